"""Illustris and TNG SKIRT cubes: names, scales, and a zero point from somewhere said."""

import numpy as np
import pytest

from simreal.core.cards import load_card
from simreal.core.errors import NothingUsableError, UsageError
from simreal.data._photometry import magnitude
from simreal.data.adapters.tng_skirt import read
from tests.data.golden import tng_skirt as golden
from tests.data.golden.scene import new_store

#: [nJy] of one count/s at zero point 22.5.
COUNT = 3630.7805477


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    for seed in (1, 2):
        golden.write(tmp_path / "files", seed)
    return tmp_path / "files"


def ingested(folder, card=None):
    return read(card or golden.card(), seed=0, store=new_store(folder))


def test_what_was_written_is_read(folder):
    result = ingested(folder)
    images = result.images
    assert images.ids.tolist() == ["broadband_1", "broadband_2"]
    assert not result.rejected
    setup = images.setup
    assert setup.bands == golden.BANDS
    assert (setup.unit, setup.rendition) == ("nJy / pix", "idealised")
    assert setup.pixel_scale == 0.396
    assert setup.physical_scale == pytest.approx(0.3745511804883155)
    assert setup.redshift == pytest.approx(0.0485236299818)
    for i, seed in enumerate((1, 2)):
        expected = golden.pixels(seed).astype(float) * COUNT
        np.testing.assert_allclose(images.images.read(slice(i, i + 1))[0], expected, rtol=1e-6)
    assert images.mask is None


def test_bands_are_found_by_name_in_any_order(folder):
    straight = ingested(folder).images.digest
    for seed in (1, 2):
        golden.write(folder, seed, order="zgir")
    assert ingested(folder).images.digest == straight


def test_magnitudes_follow_the_zero_points_of_the_bands(folder):
    options = {
        "zero_points": {"sdss-g": 25.0, "sdss-r": 24.0, "sdss-i": 23.0, "sdss-z": 22.0},
        "zero_points_source": "made up",
    }
    card = golden.card(options=options, zero_point=None, zero_point_source=None)
    result = ingested(folder, card)
    total = result.images.images.read(slice(0, 1))[0].sum((1, 2), dtype=float)
    light = golden.pixels(1).sum((1, 2), dtype=float)
    by_hand = np.array([25.0, 24.0, 23.0, 22.0]) - 2.5 * np.log10(light)
    np.testing.assert_allclose(magnitude(total), by_hand, atol=1e-5)
    assert "made up" in result.images.history[0].note


def test_light_is_scaled_to_catalogue_magnitudes(folder):
    rows = ["id,g,r,i,z", "broadband_1,18.5,17.5,17.25,17", "broadband_2,20,19,18,17.125"]
    (folder / "table.csv").write_text("\n".join(rows))
    columns = {f"sdss-{band}": band for band in "griz"}
    card = golden.card(
        options={"magnitudes": columns}, zero_point=None, zero_point_source=None
    ).model_copy()
    files = card.files.model_copy(update={"table": "files/table.csv", "join": "id"})
    result = ingested(folder, card.model_copy(update={"files": files}))
    got = magnitude(result.images.images.read(slice(0, 2)).sum((2, 3), dtype=float))
    np.testing.assert_allclose(got, [[18.5, 17.5, 17.25, 17], [20, 19, 18, 17.125]], atol=1e-5)
    assert "scaled to the AB magnitudes of table.csv: sdss-g = g" in " ".join(result.notes)


def test_a_galaxy_without_a_catalogue_magnitude_is_quarantined(folder):
    (folder / "table.csv").write_text("id,g,r,i,z\nbroadband_1,18,17,16,15\nbroadband_2,20,,18,17")
    card = golden.card(
        options={"magnitudes": {f"sdss-{band}": band for band in "griz"}},
        zero_point=None,
        zero_point_source=None,
    )
    files = card.files.model_copy(update={"table": "files/table.csv", "join": "id"})
    result = ingested(folder, card.model_copy(update={"files": files}))
    assert [each.code for each in result.rejected] == ["E_MISSING"]
    assert "line 3 of table.csv" in result.rejected[0].reason


class TestZeroPoint:
    def test_without_any_the_card_is_refused_naming_the_keys(self, folder):
        card = golden.card(zero_point=None, zero_point_source=None)
        with pytest.raises(UsageError, match=r"calibration\.zero_point.*options\.magnitudes"):
            ingested(folder, card)

    def test_believing_the_header_needs_one_just_the_same(self, folder):
        card = golden.card(unit="header", zero_point=None, zero_point_source=None)
        with pytest.raises(NothingUsableError, match=r"calibration\.zero_point"):
            ingested(folder, card)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"zero_points": {"sdss-g": 25.0}}, "one of them"),
            ({"magnitudes": {"sdss-g": "g"}}, "a value for each"),
            (
                {"magnitudes": {f"sdss-{b}": b for b in "griz"}},
                r"files\.table",
            ),
            ({"zero_point": 3.0}, "did you mean 'zero_points'"),
        ],
    )
    def test_two_ways_or_half_a_way_are_refused(self, folder, options, message):
        with pytest.raises(UsageError, match=message):
            ingested(folder, golden.card(options=options))

    def test_values_of_nowhere_are_refused(self, folder):
        options = {"zero_points": {f"sdss-{band}": 25.0 for band in "griz"}}
        card = golden.card(options=options, zero_point=None, zero_point_source=None)
        with pytest.raises(UsageError, match="zero_points_source"):
            ingested(folder, card)


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ({"keys": {"FILTER2": None}}, "E_BANDS", "no FILTER2"),
        ({"keys": {"FILTER2": "sloan/sdss_r"}}, "E_BANDS", "2 planes called 'sloan/sdss_r'"),
        ({"keys": {"FILTER0": "sloan/sdss_u"}}, "E_BANDS", "'sloan/sdss_g' for sdss-g"),
        ({"keys": {"PIXSCALE": None}}, "E_SCALE", "PIXSCALE"),
        ({"keys": {"PIXSCALE": -0.4}}, "E_SCALE", "PIXSCALE"),
        ({"keys": {"CDELT2": 500.0}}, "E_SCALE", "square"),
        ({"keys": {"BUNIT": "MJy/sr"}}, "E_UNIT", "MJy/sr"),
        ({"keys": {"USE_Z": "soon"}}, "E_HEADER", "USE_Z"),
        ({"cube": golden.pixels(3)[0]}, "E_BANDS", "2 dimensions"),
        ({"cube": np.full((4, 20, 24), np.nan)}, "E_EMPTY", "no usable pixel"),
        ({"cube": np.full((4, 20, 24), 2.0)}, "E_CONST", "every pixel"),
    ],
)
def test_a_broken_file_is_named_and_changes_nothing_about_the_others(folder, fault, code, says):
    clean = ingested(folder).images.digest
    golden.write(folder, 3, name="broadband_3.fits", **fault)
    result = ingested(folder)
    assert [(each.code, each.id) for each in result.rejected] == [(code, "broadband_3")]
    assert result.rejected[0].reason.startswith("broadband_3.fits: ")
    assert says in result.rejected[0].reason
    assert result.images.digest == clean


@pytest.mark.real
def test_the_real_files(real_data, tmp_path):
    real_data("tng50_skirt_sdss")
    result = read(load_card("tng50-skirt-sdss"), seed=0, store=tmp_path / "store.h5")
    images = result.images
    assert not result.rejected
    assert images.images.shape == (15, 4, 269, 269)
    assert images.setup.pixel_scale == 0.396
    np.testing.assert_allclose(images.setup.physical_scale, 0.374, atol=1e-3)
    np.testing.assert_allclose(images.setup.redshift, 0.0485236, atol=1e-7)
    flux = images.images.read(slice(0, 15))
    assert flux.dtype == np.dtype("=f4")
    from astropy.io import fits

    folder = real_data("tng50_skirt_sdss") / "tng50_skirt_sdss"
    raw = fits.getdata(folder / "broadband_117361.fits").astype(float)
    low = (269 - raw.shape[-1]) // 2
    inside = flux[0][:, low : low + raw.shape[1], low : low + raw.shape[2]]
    # Zero point 25.9516: one count/s is 10**(0.4 * (31.4 - 25.9516)) = 151.13 nJy.
    np.testing.assert_allclose(inside[0] / raw[0], 151.13, rtol=1e-4)
    # The zero points are right only if red satellites have the colours of red galaxies.
    g, r, i, z = magnitude(flux.sum((2, 3), dtype=float)).T
    assert np.median(g - r) == pytest.approx(0.75, abs=0.1)
    assert np.median(r - i) == pytest.approx(0.33, abs=0.07)
    assert np.median(i - z) == pytest.approx(0.27, abs=0.07)
