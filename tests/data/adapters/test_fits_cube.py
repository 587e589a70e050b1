"""Cubes described by a card: where the bands are is always said, never guessed."""

import numpy as np
import pytest
from astropy.io import fits

from simreal.core.errors import UsageError
from simreal.data.adapters.fits_cube import read
from tests.data.golden import fits_cube as golden


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=folder.parent / "store.h5")


def without(card, *names):
    options = {key: v for key, v in card.files.options.items() if key not in names}
    return card.model_copy(update={"files": card.files.model_copy(update={"options": options})})


def test_planes_masks_variances_and_groups(folder):
    images = ingested(folder).images
    assert images.ids.tolist() == ["galaxy1_v0", "galaxy2_v0"]
    assert images.groups.tolist() == ["1", "2"]
    assert images.setup.pixel_scale == golden.PIXEL_SCALE
    # An inverse variance of 400 / uJy^2 is an rms of 0.05 uJy.
    np.testing.assert_allclose(images.setup.noise, 50.0)
    pixels = images.images.read(slice(None))
    for i, seed in enumerate((1, 2)):
        bad = np.broadcast_to(golden.good(seed) == 0, pixels[i].shape)
        np.testing.assert_array_equal(images.mask[i], bad)
        expected = np.where(bad, 0.0, 1e3 * golden.pixels(seed))
        np.testing.assert_allclose(pixels[i], expected, rtol=1e-6)


@pytest.mark.parametrize(("order", "first"), [((2, 0, 1), 0), ((1, 2, 0), 1)])
def test_planes_are_found_by_name_in_any_order(folder, order, first):
    straight = ingested(folder).images.digest
    for seed in (1, 2):
        golden.write(folder, seed, order=order, first=first)
    assert ingested(folder).images.digest == straight


def test_the_card_may_state_the_order(folder):
    straight = ingested(folder).images.digest
    card = without(golden.card(options={"planes": ["g", "r", "z"], "filters": {
        "decam-g": "g", "decam-r": "r", "decam-z": "z"}}), "plane_keys")  # fmt: skip
    assert ingested(folder, card).images.digest == straight


def test_bands_may_have_an_hdu_each(folder):
    straight = ingested(folder).images.images.read(slice(None))
    for seed in (1, 2):
        path = folder / f"galaxy{seed}_v0.fits"
        cube, header = fits.getdata(path), fits.getheader(path)
        units = [fits.PrimaryHDU()]
        for name, plane in zip("ABC", cube[::-1], strict=True):
            units += [fits.ImageHDU(plane, name=name)]
            units[-1].header["PIXSCALE"], units[-1].header["BUNIT"] = header["PIXSCALE"], "uJy"
            units += [fits.ImageHDU(golden.good(seed), name=f"{name} MASK")]
        fits.HDUList(units).writeto(path, overwrite=True)
    bands = dict(zip(golden.BANDS, "CBA", strict=True))
    masks = {band: f"{name} MASK" for band, name in bands.items()}
    card = golden.card(options={"hdus": bands, "mask_hdu": masks})
    card = without(card, "plane_keys", "variance_hdu", "inverse_variance", "hdu")
    pixels = ingested(folder, card).images.images.read(slice(None))
    np.testing.assert_array_equal(pixels, straight)


@pytest.mark.parametrize("dtype", ["<f4", ">f8"])
def test_the_type_in_the_file_changes_nothing(folder, dtype):
    straight = ingested(folder).images.images.read(slice(None))
    for seed in (1, 2):
        golden.write(folder, seed, dtype=dtype)
    other = ingested(folder).images.images.read(slice(None))
    np.testing.assert_allclose(other, straight, rtol=2e-7)


@pytest.mark.parametrize(
    ("drop", "options", "word"),
    [
        (("plane_keys",), {}, "planes, plane_keys and hdus"),
        ((), {"planes": ["a", "b", "c"]}, "planes and plane_keys"),
        (("plane_keys",), {"planes": ["DECam g", "DECam r"]}, "DECam z"),
        (("plane_keys",), {"hdus": {"decam-g": 0}}, "hdus"),
        (("mask_hdu",), {}, "mask_hdu"),
        ((), {"group_pattern": r"\d+"}, "bracket"),
        ((), {"group_pattern": "("}, "regular expression"),
    ],
)
def test_what_is_ambiguous_is_refused(folder, drop, options, word):
    with pytest.raises(UsageError, match=word):
        ingested(folder, without(golden.card(options=options), *drop))


@pytest.mark.real
def test_a_real_cube_with_a_wcs(real_data, tmp_path):
    folder = real_data("hsc_cosmos")
    bands = tuple(f"hsc-{band}" for band in "grizy")
    card = golden.make_card(
        "fits_cube",
        bands,
        {
            "unit": "counts", "zero_point": 27.0, "zero_point_source": "HSC coadds",
            "pixel_scale_from": "wcs", "mask": "none", "already_dimmed": True,
        },
        options={"planes": list("grizy"), "filters": {band: band[-1] for band in bands}},
        view={"geometry": "sky", "rendition": "survey"},
        files={"folder": "hsc_cosmos", "pattern": "*.fits"},
    )  # fmt: skip
    images = read(card, seed=0, store=tmp_path / "store.h5").images
    assert images.images.shape == (1, 5, 54, 54)
    assert images.setup.pixel_scale == pytest.approx(0.168, rel=1e-6)
    raw = fits.getdata(next((folder / "hsc_cosmos").glob("*.fits")))
    np.testing.assert_allclose(images.images.read(slice(None))[0], raw * 57.54399373, rtol=1e-6)
