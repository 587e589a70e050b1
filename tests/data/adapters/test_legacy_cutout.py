"""Cutouts of the Legacy Surveys: resampled cubes and the bricks' own pixels."""

import numpy as np
import pytest
from astropy.io import fits

from simreal.data.adapters.legacy_cutout import read
from tests.data.golden import legacy_cutout as golden

#: [nJy] of one nanomaggy: 10^(0.4 * 8.9).
NANOMAGGY = 3630.780548


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=folder.parent / "store.h5")


def test_a_resampled_cutout(folder):
    images = ingested(folder).images
    assert images.setup.pixel_scale == golden.PIXEL_SCALE
    # An inverse variance of 625 is an rms of 0.04 nanomaggies.
    np.testing.assert_allclose(images.setup.noise, 0.04 * NANOMAGGY, rtol=1e-6)
    pixels = images.images.read(slice(None))
    for i, seed in enumerate((1, 2)):
        bad = np.broadcast_to(golden.flags(seed) == 2, pixels[i].shape)
        np.testing.assert_array_equal(images.mask[i], bad)
        expected = np.where(bad, 0, golden.pixels(seed) * NANOMAGGY)
        np.testing.assert_allclose(pixels[i], expected, rtol=1e-6)


def test_bands_are_found_by_name(folder):
    straight = ingested(folder).images.digest
    for seed in (1, 2):
        golden.write(folder, seed, bands="zgr")
    assert ingested(folder).images.digest == straight


def test_bricks_keep_their_own_pixels_and_the_larger_piece_counts(folder):
    for path in folder.iterdir():
        path.unlink()
    golden.write_subimage(folder, 1)
    golden.write_subimage(folder, 2, bricks=("1498p020",))
    about = {"column": "BRICK", "unit": "", "description": "brick", "kind": "text"}
    card = golden.card(mask="none", mask_bits=())
    card = card.model_validate(card.model_dump() | {"properties": {"brick": about}})
    found = ingested(folder, card)
    pixels = found.images.images.read(slice(None))
    for i, seed in enumerate((1, 2)):
        np.testing.assert_allclose(pixels[i], golden.pixels(seed) * NANOMAGGY, rtol=1e-6)
    assert list(found.images.properties["brick"]) == ["1498p020"] * 2
    assert [note for note in found.notes if "several bricks" in note]


def test_outside_the_survey(folder):
    empty = fits.PrimaryHDU()
    empty.header["OVERLAP"] = False
    empty.writeto(folder / "cutout_3.fits")
    (row,) = ingested(folder).rejected
    assert (row.id, row.code) == ("cutout_3", "E_EMPTY")
    assert "outside the survey" in row.reason
