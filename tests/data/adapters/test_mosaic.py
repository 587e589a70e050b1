"""Mosaics cut up by detection: planted galaxies found, edges left out, tiles as groups."""

import numpy as np
import pytest
from PIL import Image

from simreal.core.cards import load_card
from simreal.core.errors import NothingUsableError, UsageError
from simreal.data._cutouts import corner
from simreal.data.adapters.mosaic import read
from simreal.data.ingest import ingest
from tests.data.golden import mosaic as golden


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=folder.parent / "store.h5")


def test_planted_galaxies_are_found_and_cut_out(folder):
    found = ingested(folder)
    images = found.images
    assert images.ids.tolist() == [
        "field1-x40-y30", "field1-x100-y80", "field2-x40-y30", "field2-x100-y80"
    ]  # fmt: skip
    assert images.groups.tolist() == [
        "field1-tile0.0", "field1-tile1.1", "field2-tile0.0", "field2-tile1.1"
    ]  # fmt: skip
    assert any("2 detected objects were left out" in note for note in found.notes)
    np.testing.assert_allclose(images.setup.noise, [[1.0, 2.0]] * 4, rtol=0.08)
    pixels = images.images.read(slice(None))
    for i, (seed, place) in enumerate((s, p) for s in (1, 2) for p in golden.PLACES[:2]):
        for j, band in enumerate(golden.NOISE):
            top, left = (corner(position, golden.WIDTH) for position in place)
            window = golden.pixels(seed, band)[top : top + 21, left : left + 21]
            np.testing.assert_allclose(pixels[i, j], window, rtol=1e-5, atol=1e-4)


def composite(folder, name="field.png"):
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:100, :120]
    light = rng.normal(20, 3, (100, 120))
    for cy, cx in ((30, 40), (60, 90)):
        light += 180 * np.exp(-0.5 * ((y - cy) ** 2 + (x - cx) ** 2) / 9)
    image = np.clip(light, 0, 255).astype(np.uint8)
    colour = np.stack([image, image // 2, image // 3], axis=-1)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colour).save(folder / name)
    return colour


def display_card(**changes):
    card = load_card("hubble-deep-field")
    options = {"width": 15, "snr": 10.0, "min_area": 10} | changes
    update = {"folder": "display", "pattern": "*", "options": options}
    return card.model_copy(update={"files": card.files.model_copy(update=update)})


def test_a_display_composite_is_cut_up_on_the_rgb_track(folder):
    colour = composite(folder.parent / "display")
    (folder.parent / "display" / "bad.jpg").write_bytes(b"<html></html>")
    found = ingested(folder, display_card())
    assert found.images.ids.tolist() == ["field-x40-y30", "field-x90-y60"]
    assert found.images.setup.track == "rgb"
    pixels = found.images.images.read(slice(None))
    top, left = corner(30, 15), corner(40, 15)
    window = np.moveaxis(colour[top : top + 15, left : left + 15], -1, 0)
    assert found.images.images.shape == (2, 3, 15, 15)
    np.testing.assert_allclose(pixels[0], window / 255, atol=1e-6)
    assert [row.id for row in found.rejected] == ["bad"]


def test_nothing_to_find_is_said(folder):
    composite(folder.parent / "display")
    with pytest.raises(UsageError, match="snr"):
        ingested(folder, display_card(snr=5000.0))
    (folder.parent / "display" / "field.png").write_bytes(b"no image")
    with pytest.raises(NothingUsableError):
        ingested(folder, display_card())


@pytest.mark.parametrize(
    "options", [{"width": 0}, {"snr": -1.0}, {"min_area": "ten"}, {"detect": "acs-f999w"}]
)
def test_a_card_that_does_not_fit_is_refused(folder, options):
    with pytest.raises(UsageError, match=next(iter(options))):
        ingested(folder, golden.card(options=options))


def test_the_hubble_deep_field_of_scikit_image(tmp_path, monkeypatch):
    from pathlib import Path

    skimage = pytest.importorskip("skimage", reason="needs the composite of scikit-image")
    source = Path(skimage.__file__).parent / "data" / "hubble_deep_field.jpg"
    if not source.is_file():
        pytest.skip("this scikit-image has no hubble_deep_field.jpg")
    (tmp_path / "hubble_deep_field").mkdir()
    (tmp_path / "hubble_deep_field" / source.name).write_bytes(source.read_bytes())
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    images = ingest(load_card("hubble-deep-field"), seed=0, store=tmp_path / "store.h5").images
    assert 300 < len(images) < 500
    assert images.images.shape[1:] == (3, 32, 32)
    assert 20 < images.n_groups <= 56
