"""Units: magnitudes by hand, SKIRT's own sizes, and everything unknown refused."""

import numpy as np
import pytest

from simreal.core.errors import UsageError
from simreal.data._photometry import (
    UNITS,
    card_unit,
    check_plausible,
    check_total,
    magnitude,
    pixel_unit,
    to_nanojansky,
    unit_of_file,
)
from simreal.data._quarantine import BadFileError
from tests.data.golden import tng_hsc, tng_skirt

#: 1 sr in arcsec2, from 180 * 3600 / pi arcsec in a radian.
SR = 206264.80624709636**2


@pytest.mark.parametrize(
    ("value", "unit", "pixel_scale", "wavelength", "expected"),
    [
        (1.0, "nanomaggy", None, None, 3630.7805),
        (1.0, "maggy", None, None, 3630.7805e9),
        (2.0, "uJy", None, None, 2e3),
        (1.0, "mJy", None, None, 1e6),
        (1.0, "Jy", None, None, 1e9),
        (3.0, "nJy / pix", None, None, 3.0),
        # 1 MJy/sr is 23.5044 uJy per square arcsecond.
        (1.0, "MJy/sr", 1.0, None, 1e15 / SR),
        (1.0, "MJy / sr", 0.031, None, 1e15 / SR * 0.031**2),
        (1.0, "Jy/arcsec2", 0.5, None, 0.25e9),
        # AB 31.4 is one nJy; 5 magnitudes are a factor of 100.
        (26.4, "AB mag/arcsec2", 1.0, None, 100.0),
        (26.4, "mag / arcsec**2", 0.5, None, 25.0),
        (31.4, "mag", None, None, 1.0),
        # f_lambda = 1e-17 erg/s/cm2/A at 5500 A is 1.0090314e-28 erg/s/cm2/Hz.
        (1e-17, "erg/s/cm2/Angstrom", None, 5500.0, 10090.314),
        (1e-20, "W/m2/Angstrom", None, 5500.0, 10090.314),
        (1e-10, "W/m3", None, 5500.0, 10090.314),
        (1e-16, "W/m2/micron", None, 5500.0, 10090.314),
        # lambda F_lambda = nu F_nu: 1e-15 W/m2 at 1 micron, nu = 2.998e14 Hz.
        (1e-15, "W/m2", None, 1e4, 1e-15 / 2.99792458e14 * 1e35),
        (1e-15, "W/m2/arcsec2", 0.5, 1e4, 1e-15 / 2.99792458e14 * 1e35 / 4),
        (1e-26, "W/m2/Hz", None, None, 1e9),
    ],
)
def test_one_unit_of_anything_is_what_a_hand_computation_says(
    value, unit, pixel_scale, wavelength, expected
):
    got = to_nanojansky([[value]], unit, pixel_scale=pixel_scale, wavelength=wavelength)
    assert got.dtype == np.float32
    assert float(got[0, 0]) == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        # Sizes of SKIRT's table of units (SkirtUnitDef.cpp).
        ("W/m2/micron/sr", "W/m3/sr", 1e6),
        ("W/m2/Angstrom/sr", "W/m3/sr", 1e10),
        ("erg/s/cm3/sr", "W/m3/sr", 1e-1),
        ("erg/s/cm2/micron/sr", "W/m3/sr", 1e3),
        ("erg/s/cm2/Angstrom/sr", "W/m3/sr", 1e7),
        ("W/m2/micron/arcsec2", "W/m2/micron/sr", SR),
        ("erg/s/cm2/Hz/sr", "W/m2/Hz/sr", 1e-3),
        ("MJy/sr", "W/m2/Hz/sr", 1e-20),
        ("Jy/arcsec2", "W/m2/Hz/arcsec2", 1e-26),
        ("erg/s/cm2/sr", "W/m2/sr", 1e-3),
    ],
)
def test_units_have_skirts_sizes_relative_to_each_other(one, other, ratio):
    a, b = (
        float(to_nanojansky([[1.0]], u, pixel_scale=1.0, wavelength=7e3)[0, 0])
        for u in (one, other)
    )
    assert a / b == pytest.approx(ratio, rel=1e-6)


@pytest.mark.parametrize(
    "texts",
    [
        ("W/m2/micron/arcsec2", "W/micron/m2/arcsec2"),
        ("erg/s/cm2/Angstrom/arcsec2", "erg s-1 cm-2 Angstrom-1 arcsec-2"),
        ("W/m3/sr", "W/m/m2/sr", "W/m/m^2/sr"),
        ("MJy/sr", "MJy sr-1", "MJy / sr"),
        ("counts/s", "counts/s/pixel", "cps"),
        ("electrons/s", "e-/s", "electron s-1"),
        ("mag/arcsec2", "AB mag/arcsec2", "mag arcsec^-2"),
        ("nanomaggy", "AB nanomaggies, m_AB = 22.5-2.5log10(f)", "nmgy"),
    ],
)
def test_spellings_of_one_unit_are_one_unit(texts):
    assert len({pixel_unit(text) for text in texts}) == 1


def test_milli_and_mega_are_told_apart():
    assert pixel_unit("mJy").scale * 1e9 == pytest.approx(pixel_unit("MJy").scale)


def test_every_name_in_the_table_finds_its_own_unit():
    assert {name: pixel_unit(name) for name in UNITS} == dict(UNITS)
    assert len(UNITS) > 50


@pytest.mark.parametrize("text", ["", "Jy/beam", "Vega mag", "K", "MJy/sr/pix", "nMgy/lightyear"])
def test_an_unknown_unit_is_refused_naming_the_key(text):
    with pytest.raises(BadFileError, match=r"calibration\.unit") as caught:
        pixel_unit(text)
    assert caught.value.code == "E_UNIT"


@pytest.mark.parametrize("text", ["1/s/cm2/keV/arcsec2", "/s/keV/cm2/sr", "1/s/m2/J/sr"])
def test_photons_per_energy_are_sent_to_the_xray_track(text):
    with pytest.raises(BadFileError, match="track = 'xray'"):
        pixel_unit(text)


@pytest.mark.parametrize(
    ("unit", "missing"), [("counts/s", "zero_point"), ("MJy/sr", "pixel_scale")]
)
def test_what_a_unit_needs_is_named_when_it_is_absent(unit, missing):
    with pytest.raises(BadFileError, match=rf"calibration\.{missing}"):
        to_nanojansky([[1.0]], unit, pixel_scale=None)


def test_flux_per_wavelength_needs_a_wavelength():
    with pytest.raises(BadFileError, match=r"files\.options\.wavelengths"):
        to_nanojansky([[1.0]], "W/m3/sr", pixel_scale=1.0)


def test_zero_points_and_wavelengths_go_band_by_band():
    cube = np.ones((2, 3, 4))
    got = to_nanojansky(cube, "counts/s", pixel_scale=None, zero_point=[31.4, 26.4])
    assert got[:, 0, 0].tolist() == [1.0, 100.0]
    per_wave = to_nanojansky(cube, "W/m3", pixel_scale=None, wavelength=[4000.0, 8000.0])
    assert per_wave[1, 2, 3] / per_wave[0, 2, 3] == pytest.approx(4.0, rel=1e-6)


def test_infinite_magnitudes_are_empty_and_nan_stays_nan():
    got = to_nanojansky([[np.inf, np.nan]], "mag/arcsec2", pixel_scale=0.2)
    assert got[0, 0] == 0
    assert np.isnan(got[0, 1])


def test_what_overflows_is_infinite_and_says_nothing():
    assert np.isinf(to_nanojansky([[3e38]], "Jy", pixel_scale=None)).all()
    assert np.isinf(to_nanojansky([[-1e3]], "mag", pixel_scale=None)).all()


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "<i2", ">i2", "<u2", ">i4"])
def test_byte_order_and_type_change_no_bit(dtype):
    whole = np.arange(12).reshape(3, 4)
    expected = to_nanojansky(whole.astype(np.float64), "MJy/sr", pixel_scale=0.3)
    got = to_nanojansky(whole.astype(dtype), "MJy/sr", pixel_scale=0.3)
    assert got.dtype == np.dtype(np.float32)
    assert got.tobytes() == expected.tobytes()


def test_magnitudes_come_back():
    there = to_nanojansky([[19.87]], "mag", pixel_scale=None)
    assert magnitude(there)[0, 0] == pytest.approx(19.87, abs=1e-6)
    assert magnitude([0.0, -1.0]).tolist() == [np.inf, np.inf]


class TestPlausibility:
    def test_a_magnitude_image_called_linear_is_refused(self):
        rng = np.random.default_rng(0)
        sky = 26 + 0.4 * rng.standard_normal((40, 40))
        sky[15:25, 15:25] = 18.5
        with pytest.raises(BadFileError, match="look like magnitudes"):
            check_plausible(sky, UNITS["nanomaggy"])
        check_plausible(sky, UNITS["mag/arcsec2"])

    def test_empty_pixels_of_magnitudes_give_them_away(self):
        image = np.full((9, 9), 25.0)
        image[3:5] = 24.0
        image[0] = np.inf
        with pytest.raises(BadFileError, match="look like magnitudes"):
            check_plausible(image, UNITS["nJy"])

    def test_a_linear_image_called_magnitudes_is_refused(self):
        with pytest.raises(BadFileError, match="look linear"):
            check_plausible([[-0.01, 0.02, 0.5]], UNITS["mag/arcsec2"])

    def test_a_linear_image_on_a_pedestal_is_left_alone(self):
        rng = np.random.default_rng(0)
        image = 22 + rng.standard_normal((40, 40))
        image[18:22, 18:22] = 55  # what is bright is large
        check_plausible(image, UNITS["counts"])

    @pytest.mark.parametrize("values", [[[np.nan, np.inf]], [[25.0, 25.0]]])
    def test_empty_and_constant_images_have_codes_of_their_own(self, values):
        check_plausible(values, UNITS["nJy"])


def test_light_that_misses_its_stated_magnitude_is_refused():
    # 100 nJy have magnitude 26.4.
    image = np.array([[60.0, 40.0], [0.0, 0.0]])
    check_total(image, 26.44, band="g", key="MAG1", tolerance=0.05)
    for wrong in (26.46, 26.34, np.nan):
        with pytest.raises(BadFileError, match=r"MAG1") as caught:
            check_total(image, wrong, band="g", key="MAG1", tolerance=0.05)
        assert caught.value.code == "E_FLUX"
    with pytest.raises(BadFileError, match="inf"):
        check_total(-image, 26.4, band="g", key="MAG1", tolerance=0.05)


@pytest.mark.parametrize("broken", [np.zeros((2, 2)), np.array([[1.0, np.nan]])])
def test_light_of_broken_images_is_left_to_their_own_codes(broken):
    check_total(broken, 26.4, band="g", key="MAG1", tolerance=0.05)


class TestCard:
    def test_header_means_the_files(self):
        card = tng_hsc.card(unit="header")
        assert card_unit(card) is None
        assert unit_of_file(card, "nmgy").name == "nanomaggy"

    def test_a_file_without_a_unit_is_refused_where_the_card_believes_it(self):
        with pytest.raises(BadFileError, match="has no BUNIT"):
            unit_of_file(tng_hsc.card(unit="header"), None)

    def test_card_and_header_must_not_contradict_each_other(self):
        with pytest.raises(BadFileError, match="where the card says 'nanomaggy'"):
            unit_of_file(tng_hsc.card(), "MJy/sr")

    @pytest.mark.parametrize("written", [None, "", "nmgy", "whatever"])
    def test_the_card_wins_over_silence_and_nonsense(self, written):
        assert unit_of_file(tng_hsc.card(), written).name == "nanomaggy"

    def test_counts_of_any_kind_are_the_zero_points_business(self):
        assert unit_of_file(tng_skirt.card(), "electrons/s").name == "counts/s"

    def test_an_unknown_unit_in_the_card_is_a_usage_error(self):
        with pytest.raises(UsageError, match=r"calibration\.unit.*furlong"):
            card_unit(tng_hsc.card(unit="furlong"))

    def test_a_zero_point_of_pixels_that_have_none_is_refused(self):
        with pytest.raises(UsageError, match=r"calibration\.zero_point"):
            card_unit(tng_skirt.card(unit="nJy"))
