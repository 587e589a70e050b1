"""Encoders with a model card: found by name, refused when card and weights are not one."""

import json
import pickle
import shutil

import numpy as np
import pytest

from simreal.core.errors import SimrealError, StorageError, UsageError
from simreal.core.images import ArraySource, ImageSet, Setup
from simreal.core.provenance import json_digest
from simreal.encode.frozen import FrozenEncoder, fit_frozen, seen_in_training
from simreal.encode.settings import EncoderSettings
from simreal.encode.shipped import (
    encoder_folder,
    load_variant,
    read_model_card,
    shipped_folder,
    shipped_names,
    trained_on,
    write_model_card,
)

VARIANTS = ("luminance", "colour")


def survey(n=20, bands=1, seed=0):
    ids = np.array([f"g{i}" for i in range(n)])
    return ImageSet(
        name="survey",
        role="observed",
        sampling="random",
        images=np.random.default_rng(seed).random((n, bands, 32, 32)),
        ids=ids,
        groups=ids,
        setup=Setup(track="rgb", bands=tuple("rgb"[:bands]), unit="display"),
    )


@pytest.fixture
def made(tmp_path):
    folder = tmp_path / "mine"
    digests = {}
    for bands, variant in ((1, "luminance"), (3, "colour")):
        encoder = fit_frozen("pca", survey(bands=bands), settings=EncoderSettings(threads=1))
        encoder.save(folder / variant)
        digests[variant] = {"digest": encoder.digest}
    write_model_card(folder, {"name": "mine", "variants": digests})
    return folder


def test_what_was_written_comes_back(made):
    card = read_model_card(made)
    assert card["name"] == "mine"
    for variant in VARIANTS:
        encoder = load_variant(made / variant)
        assert encoder.digest == card["variants"][variant]["digest"]
    assert read_model_card(made.parent) is None


def test_one_variant_in_the_place_of_another_is_refused(made):
    """Each is sound in itself; only the model card tells."""
    shutil.rmtree(made / "colour")
    shutil.copytree(made / "luminance", made / "colour")
    with pytest.raises(StorageError, match=r"colour: the model card beside it speaks of .* this"):
        load_variant(made / "colour")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda card: {**card, "name": "other"}, "the card was changed"),
        (lambda card: {**card, "format": 2}, "not the model card"),
        (lambda card: {**card, "kind": "cat"}, "not the model card"),
        (lambda card: [], "not the model card"),
    ],
)
def test_a_changed_card_is_refused(made, change, words):
    path = made / "card.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(StorageError, match=words):
        load_variant(made / "colour")


def test_a_card_that_is_no_json_is_refused(made):
    (made / "card.json").write_bytes(b"\xff{")
    with pytest.raises(StorageError, match="not readable as JSON"):
        read_model_card(made)


def pickled(path):
    path.write_bytes(pickle.dumps({"weights": [1.0]}))


def truncated(path):
    path.write_bytes(path.read_bytes()[:-7])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [pickled, truncated, flipped])
@pytest.mark.parametrize("place", ["weights.safetensors", "base/weights.safetensors"])
@pytest.mark.parametrize("resealed", [False, True])
def test_damaged_weights_are_refused_in_one_line(made, damage, place, resealed):
    """Also where somebody brought the card beside them in line: nothing is ever unpickled."""
    path = made / "luminance" / place
    damage(path)
    if resealed:
        import hashlib

        card = json.loads((path.parent / "card.json").read_text())
        card.pop("seal")
        card["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        (path.parent / "card.json").write_text(json.dumps(card | {"seal": json_digest(card)}))
    with pytest.raises(SimrealError) as refused:
        load_variant(made / "luminance")
    text = str(refused.value)
    assert "\n" not in text
    assert str(path.parent) in text


def test_a_list_of_training_images_that_was_shortened_is_refused(made):
    """The forger keeps every checksum in order but that of the model card."""
    from safetensors.numpy import load

    from simreal.encode.weights import read_card, weights_digest, write_weights

    folder = made / "luminance"
    card, hashes = read_card(folder), load((folder / "weights.safetensors").read_bytes())
    hashes["pixels"] = hashes["pixels"][1:]
    card["digest"] = weights_digest(card["recipe"], hashes)
    write_weights(folder, card, hashes)
    with pytest.raises(StorageError, match="the model card beside it speaks of"):
        load_variant(folder)


def test_names_and_folders(made):
    assert encoder_folder(str(made)) == made
    assert encoder_folder("toy-rgb-v1") == shipped_folder("toy-rgb-v1")
    with pytest.raises(UsageError, match="did you mean 'sdss-rgb-v1'"):
        encoder_folder("sdss-rgb-v2")
    with pytest.raises(UsageError, match="did you mean 'sdss-rgb-v1'"):
        shipped_folder("sdss-rgb")


def test_one_image_gives_away_its_group():
    card = {"training": {"hashes": ["aa", "zz"]}}
    hashes, groups = np.array(["bb", "aa", "cc", "dd"]), np.array(["x", "x", "y", "z"])
    assert trained_on(card, hashes, groups).tolist() == [True, True, False, False]
    assert not trained_on({"training": {"hashes": []}}, hashes, groups).any()


@pytest.mark.parametrize("name", ["sdss-rgb-v1", "toy-rgb-v1"])
def test_the_shipped_encoders_are_whole(name):
    assert name in shipped_names()
    folder = shipped_folder(name)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10e6
    assert {path.name for path in files} == {"MODEL_CARD.md", "card.json", "weights.safetensors"}
    card = read_model_card(folder)
    assert card["name"] == name
    training, held_out = (card[part] for part in ("training", "held_out"))
    assert not set(training["ids"]) & set(held_out["ids"])
    assert not set(training["hashes"]) & set(held_out["hashes"])
    assert len(training["hashes"]) == training["n_images"]
    assert card["command"].startswith("simreal train ")
    stamp = card["matching"]["stamp"]
    for bands, variant in ((1, "luminance"), (3, "colour")):
        encoder = load_variant(folder / variant)
        assert isinstance(encoder, FrozenEncoder)
        assert encoder.card["shape"] == [bands, stamp, stamp]
        # What it was shown is what its card lists, and it would know it again.
        native = encoder.hashes["native"]
        assert len(native) == training["n_matched"]
        assert set(native) <= set(training["hashes"])
        vectors = encoder.encode(
            ArraySource(np.random.default_rng(0).random((3, bands, stamp, stamp)))
        )
        assert np.isfinite(vectors).all()
        strangers = survey(3, bands).replace(images=np.zeros((3, bands, stamp, stamp)))
        known = np.array([native[0], "0" * 16, native[-1]])
        assert seen_in_training(encoder, strangers, native=known).tolist() == [True, False, True]
