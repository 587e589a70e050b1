"""The Multimodal Universe: True is good, planes by name, a mask per band or for all."""

import numpy as np
import pytest

from simreal.core.errors import UsageError
from simreal.core.images import property_values
from simreal.data.adapters.multimodal_universe import read
from tests.data.golden import multimodal_universe as golden

COUNT = 57.54399373


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=folder.parent / "store.h5")


def test_rows_become_objects(folder):
    images = ingested(folder).images
    assert images.ids.tolist() == ["10000", "10001", "20000", "20001"]
    setup = images.setup
    assert setup.pixel_scale == golden.PIXEL_SCALE
    # 1 / sqrt(2500) counts; widths in pixels.
    np.testing.assert_allclose(setup.noise, 0.02 * COUNT, rtol=1e-6)
    np.testing.assert_allclose(setup.psf_fwhm, [0.79 / 0.168, 0.62 / 0.168], rtol=1e-6)
    pixels = images.images.read(slice(None))
    for i, (seed, row) in enumerate([(1, 0), (1, 1), (2, 0), (2, 1)]):
        bad = ~golden.good(row)[[0, 2]]
        np.testing.assert_array_equal(images.mask[i], bad)
        expected = np.where(bad, 0, golden.pixels(seed, row)[[0, 2]] * COUNT)
        np.testing.assert_allclose(pixels[i], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{"order": (2, 1, 0)}, {"images": "image_flux"}, {"layout": "legacy"}],
    ids=["another order", "JWST's name", "one mask for all bands"],
)
def test_other_layouts_say_the_same(folder, options):
    straight = ingested(folder).images.digest
    for seed in (1, 2):
        golden.write(folder, seed, **options)
    assert ingested(folder).images.digest == straight


def test_columns_are_properties_and_missing_stays_missing(folder):
    about = {"column": "dec", "unit": "deg", "description": "declination"}
    card = golden.card()
    card = card.model_validate(card.model_dump() | {"properties": {"dec": about}})
    values, valid, unit = property_values(ingested(folder, card).images.properties, "dec")
    assert valid.tolist() == [True, False, True, False]
    assert (values[0], unit) == (2.0, "deg")


def test_an_unknown_width_of_the_psf_is_not_zero(folder):
    for seed in (1, 2):
        golden.write(folder, seed, changes={"image_psf_fwhm": np.zeros((2, 3))})
    assert ingested(folder).images.setup.psf_fwhm is None


def test_the_polarity_of_the_mask_is_not_negotiable(folder):
    with pytest.raises(UsageError, match="True where a pixel is good"):
        ingested(folder, golden.card(mask="bad"))
