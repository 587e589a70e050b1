"""Stamps of one file per band: templates of paths, MJy/sr, edges of zeros, real CEERS files."""

import numpy as np
import pytest
from astropy.io import fits

from simreal.core.cards import load_card
from simreal.core.errors import UsageError
from simreal.data.adapters.fits_stamps import read
from simreal.data.ingest import ingest
from tests.data.golden import fits_stamps as golden


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=folder.parent / "store.h5")


def test_what_was_written_is_read_in_nanojansky(folder):
    found = ingested(folder)
    assert found.images.ids.tolist() == ["1", "2"]
    assert found.images.setup.pixel_scale == golden.PIXEL_SCALE
    assert found.images.setup.unit == "nJy / pix"
    pixels = found.images.images.read(slice(None))
    for i, seed in enumerate((1, 2)):
        np.testing.assert_allclose(pixels[i], golden.pixels(seed) * golden.PER_UNIT, rtol=2e-7)


@pytest.mark.parametrize("dtype", ["<f8", ">f4", ">f8"])
def test_the_byte_order_changes_no_bit(folder, dtype):
    for seed in (1, 2):
        golden.write(folder, seed, dtype=">f4")
    big = ingested(folder).images.digest
    for seed in (1, 2):
        golden.write(folder, seed, dtype=np.dtype(dtype).newbyteorder(">"))
        for path in golden.write(folder, seed, dtype=">f4"):
            values = fits.getdata(path).astype(np.dtype(dtype).newbyteorder("="))
            fits.writeto(path, values, fits.getheader(path), overwrite=True)
    assert ingested(folder).images.digest == big


def test_bands_are_found_by_name_and_stand_in_the_cards_order(folder):
    straight = ingested(folder).images.images.read(slice(None))
    card = golden.card(view={"bands": golden.BANDS[::-1]})
    np.testing.assert_array_equal(
        ingested(folder, card).images.images.read(slice(None)), straight[:, ::-1]
    )


def test_zeros_at_an_edge_are_missing_where_the_card_says_so(folder):
    path = golden.write(folder, 3)[0]
    values = fits.getdata(path)
    values[:, :2] = 0.0
    fits.writeto(path, values, fits.getheader(path), overwrite=True)
    mask = ingested(folder).images.mask
    assert mask[2, 0, :, :2].all()
    assert mask.sum() == 2 * len(values)
    card = golden.card()
    options = {key: v for key, v in card.files.options.items() if key != "missing_value"}
    files = card.files.model_copy(update={"options": options})
    assert ingested(folder, card.model_copy(update={"files": files})).images.mask is None


def test_mask_variance_and_psf_in_files_of_their_own(folder):
    for seed in (1, 2):
        for band in ("f115w", "f200w"):
            flags = np.zeros((20, 24), np.uint8)
            flags[4, seed] = 1
            fits.writeto(folder / band / f"m_{seed}.fits", flags)
            fits.writeto(folder / band / f"v_{seed}.fits", np.full((20, 24), 0.04))
            fits.writeto(folder / band / f"p_{seed}.fits", np.ones((3, 5)))
    options = {
        "mask_path": "{filter}/m_{id}.fits",
        "variance_path": "{filter}/v_{id}.fits",
        "psf_path": "{filter}/p_{id}.fits",
    }
    card = golden.card(options=options, mask="bad")
    card = card.model_copy(update={"files": card.files.model_copy(update={"pattern": "**/*"})})
    images = ingested(folder, card).images
    assert [tuple(place) for place in np.argwhere(images.mask)] == [
        (0, 0, 4, 1), (0, 1, 4, 1), (1, 0, 4, 2), (1, 1, 4, 2),
    ]  # fmt: skip
    np.testing.assert_allclose(images.setup.noise, 0.2 * golden.PER_UNIT, rtol=1e-6)
    assert images.setup.psf.shape == (2, 5, 5)
    np.testing.assert_allclose(images.setup.psf[0, 1:4], 1 / 15)


def test_properties_come_from_headers(folder):
    about = {"column": "XPOSURE", "unit": "s", "description": "exposure"}
    card = golden.card()
    card = card.model_validate(card.model_dump() | {"properties": {"exposure": about}})
    column = ingested(folder, card).images.properties["exposure"]
    np.testing.assert_array_equal(column.to_value("s"), 45352.128)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"path": "{filter}.fits"}, "{id}"),
        ({"path": "stamp_{id}.fits.gz"}, "{filter}"),
        ({"filters": {"f115w": "x"}}, "unknown band"),
        ({"paht": "x"}, "path"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(folder, options, word):
    with pytest.raises(UsageError, match=word):
        ingested(folder, golden.card(options=options))


def test_a_mask_without_a_place_is_refused(folder):
    with pytest.raises(UsageError, match="mask_path"):
        ingested(folder, golden.card(mask="bad"))


@pytest.mark.real
def test_ceers(real_data, tmp_path):
    folder = real_data("ceers") / "ceers"
    found = ingest(load_card("ceers"), seed=0, store=tmp_path / "store.h5")
    images = found.images
    assert len(images) + len(found.rejected) == 87
    assert {row.code for row in found.rejected} <= {"E_NAN"}
    assert images.images.shape[1:] == (3, 100, 100)
    assert images.setup.bands == ("nircam-f115w", "nircam-f150w", "nircam-f200w")
    assert images.setup.pixel_scale == 0.03
    row = images.ids.tolist().index("10983")
    for i, band in enumerate(("f115w", "f150w", "f200w")):
        raw = fits.getdata(folder / band / f"ceers_{band}_10983.fits.gz")
        ours = images.images.read(np.array([row]))[0, i]
        np.testing.assert_allclose(ours, raw * golden.PER_UNIT, rtol=3e-7, atol=1e-12)
    # The sky of a background-subtracted mosaic is far below a bright pixel, and pixels are linear.
    pixels = images.images.read(slice(None))
    assert abs(np.median(pixels)) < 1.0
    assert pixels.max() > 100.0
