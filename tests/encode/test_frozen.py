"""Frozen encoders: fitted on observations that are not scored, and able to prove it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from simreal.core import plugins
from simreal.core.errors import NotComputableError, StorageError, UsageError
from simreal.core.images import ArraySource, ImageSet, Setup
from simreal.core.plugins import available
from simreal.encode.encoders import pixels
from simreal.encode.frozen import FrozenEncoder, check_disjoint, fit_frozen, seen_in_training
from simreal.encode.run import embed, fit_encoder, load_encoder, save_encoder
from simreal.encode.settings import EncoderSettings
from simreal.measure.pixel_hash import pixel_digests, pixel_hashes

#: Vectors computed elsewhere know the images they were matched to and no others; fits by
#: statmorph take half a second a stamp.
LEFT_OUT = {"file", "morphology_statmorph"}
ENCODERS = sorted(set(available("simreal.encode.encoders", "simreal.encoders")) - LEFT_OUT)
SETTINGS = EncoderSettings(image_passes=64, threads=1, device="cpu")


def survey(n=30, *, name="survey", role="observed", seed=0):
    ids = np.array([f"{name}{i}" for i in range(n)])
    return ImageSet(
        name=name,
        role=role,
        sampling="random",
        images=np.random.default_rng(seed).random((n, 1, 32, 32)),
        ids=ids,
        groups=ids,
        setup=Setup(track="rgb", bands=("luminance",), unit="display"),
    )


ALL = survey()
KEPT, SCORED = ALL.rows(np.arange(16)), ALL.rows(np.arange(16, 30))


@pytest.fixture(scope="module")
def frozen():
    return fit_frozen("pixels", KEPT, settings=SETTINGS)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_can_be_frozen_stored_and_used(name, tmp_path):
    frozen = fit_frozen(name, KEPT, settings=SETTINGS, seed=3)
    pooled = fit_encoder(name, [KEPT], settings=SETTINGS, seed=3)
    assert (frozen.name, frozen.dimension) == (name, pooled.dimension)
    assert frozen.base.digest == pooled.digest != frozen.digest
    assert (pooled.card["mode"], frozen.card["mode"]) == ("pooled", "frozen")
    save_encoder(frozen, tmp_path / "encoder")
    again = load_encoder(tmp_path / "encoder")
    assert isinstance(again, FrozenEncoder)
    assert again.digest == frozen.digest
    vectors = embed(again, SCORED)
    np.testing.assert_array_equal(vectors.vectors, embed(pooled, SCORED).vectors)
    assert vectors.encoder_digest == frozen.digest
    check_disjoint(again, SCORED)
    with pytest.raises(NotComputableError, match="fitted on 16 of these 30 images"):
        check_disjoint(again, ALL)
    # What was loaded can be stored again, elsewhere.
    save_encoder(again, tmp_path / "copy")
    assert load_encoder(tmp_path / "copy").digest == frozen.digest


def test_the_card_says_what_it_was_fitted_on(frozen):
    trained_on = frozen.card["trained_on"]
    assert trained_on == {
        "name": "survey",
        "digest": KEPT.digest,
        "n_images": 16,
        "n_groups": 16,
        "originals_known": False,
    }
    json.dumps(dict(frozen.card))
    assert len(frozen.hashes["pixels"]) == 16


def test_other_names_order_and_neighbours_do_not_hide_an_overlap(frozen):
    stranger = survey(5, name="stranger", seed=7)
    mixed = np.concatenate([stranger.images.read(slice(0, 5)), KEPT.images.read(np.array([7, 3]))])
    ids = np.array([f"new{i}" for i in range(7)])
    renamed = stranger.replace(name="mixed", images=mixed, ids=ids, groups=ids)
    seen = seen_in_training(frozen, renamed)
    assert seen.tolist() == [False] * 5 + [True] * 2
    with pytest.raises(NotComputableError) as refused:
        check_disjoint(frozen, renamed)
    text = str(refused.value)
    assert "\n" not in text
    for part in ("mixed: ", "2 of these 7 images", "'new5'", "'survey'", "leave them out"):
        assert part in text
    check_disjoint(frozen, renamed.rows(~seen))


def test_originals_connect_stamps_of_different_recipes():
    originals = survey(30, name="native", seed=5).images
    hashes = pixel_hashes(originals)
    frozen = fit_frozen("pixels", KEPT, native=hashes[:16], settings=SETTINGS)
    # The same galaxies under another recipe: no pixel is the same.
    other = survey(30, seed=6)
    check_disjoint(frozen, other)
    assert seen_in_training(frozen, other, native=hashes).tolist() == [True] * 16 + [False] * 14
    with pytest.raises(NotComputableError, match="16 of these 30"):
        check_disjoint(frozen, other, native=hashes)
    assert frozen.digest != fit_frozen("pixels", KEPT, settings=SETTINGS).digest


def test_originals_survive_the_disk(tmp_path):
    hashes = pixel_hashes(survey(16, seed=5).images)
    frozen = fit_frozen("pixels", KEPT, native=hashes, settings=SETTINGS)
    frozen.save(tmp_path)
    again = load_encoder(tmp_path)
    for kind in ("pixels", "native"):
        assert again.hashes[kind].tolist() == frozen.hashes[kind].tolist()


def test_a_pooled_encoder_may_score_what_it_saw():
    pooled = fit_encoder("pixels", [ALL], settings=SETTINGS)
    check_disjoint(pooled, ALL)
    assert not seen_in_training(pooled, ALL).any()


def test_masked_pixels_do_not_hide_an_overlap():
    mask = np.zeros((16, 1, 32, 32), bool)
    mask[:, :, :4, :4] = True
    masked = KEPT.replace(mask=mask)
    frozen = fit_frozen("pixels", masked, settings=SETTINGS)
    pixels_behind = KEPT.images.read(slice(0, 16)).copy()
    pixels_behind[mask] = np.nan
    assert seen_in_training(frozen, masked.replace(images=pixels_behind)).all()


def test_simulations_and_mismatched_hashes_are_refused():
    with pytest.raises(UsageError, match="allowed is an observed one"):
        fit_frozen("pixels", survey(role="simulated"), settings=SETTINGS)
    with pytest.raises(UsageError, match="one for each of the 16 images"):
        fit_frozen("pixels", KEPT, native=np.array(["0" * 16]), settings=SETTINGS)


def test_a_forged_list_of_training_images_is_refused(frozen, tmp_path):
    from safetensors.numpy import load, save

    frozen.save(tmp_path)
    path = tmp_path / "weights.safetensors"
    hashes = load(path.read_bytes())
    hashes["pixels"] = hashes["pixels"][1:]
    path.write_bytes(save(hashes))
    with pytest.raises(StorageError, match="sha256"):
        load_encoder(tmp_path)


def test_another_encoder_in_its_place_is_refused(frozen, tmp_path):
    frozen.save(tmp_path)
    smaller = fit_encoder("pixels", [ALL], settings=SETTINGS.replace(dimension=64))
    save_encoder(smaller, tmp_path / "base")
    with pytest.raises(StorageError, match="is not the one that was frozen here"):
        load_encoder(tmp_path)


def test_an_outsiders_plugin_needs_to_know_nothing_of_it(monkeypatch, tmp_path):
    outsider = SimpleNamespace(fit=pixels.fit, load=pixels.load)
    genuine = plugins.load

    def with_outsider(package, group, name):
        return outsider if name == "theirs" else genuine(package, group, name)

    monkeypatch.setattr(plugins, "load", with_outsider)
    frozen = fit_frozen("theirs", KEPT, settings=SETTINGS)
    frozen.save(tmp_path)
    check_disjoint(load_encoder(tmp_path), SCORED)


def test_hashes_are_of_pixels_alone():
    images = np.random.default_rng(0).random((300, 2, 8, 8)).astype(np.float32)
    hashes = pixel_hashes(ArraySource(images))
    assert len(np.unique(hashes)) == 300
    assert hashes.tolist() == [digest[:16] for digest in pixel_digests(ArraySource(images))]
    # The same however rows are read, and for a copy that is laid out otherwise in memory.
    turned = np.asfortranarray(images[::-1])
    assert pixel_hashes(ArraySource(turned)).tolist() == hashes[::-1].tolist()
    # The least change of one pixel is another image.
    images[5, 0, 0, 0] = np.nextafter(images[5, 0, 0, 0], np.float32(2))
    assert (pixel_hashes(ArraySource(images)) != hashes).tolist() == [i == 5 for i in range(300)]
