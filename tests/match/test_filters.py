import re

import numpy as np
import pytest

from simreal.core.errors import UsageError
from simreal.match.filters import (
    PIVOTS,
    SPECLITE,
    curve,
    filter_weights,
    integrate_cube,
    pair_bands,
    pivot,
)

ANGSTROM_PER_SECOND = 2.99792458e18


def pivot_of(wavelength, response):
    return np.sqrt(np.trapezoid(response * wavelength, wavelength)
                   / np.trapezoid(response / wavelength, wavelength))  # fmt: skip


@pytest.mark.parametrize("band", [b for b in PIVOTS if b.split("-")[0] in SPECLITE])
def test_pivots_are_those_of_speclite_s_curves(band):
    pytest.importorskip("speclite")
    assert pivot(band) == pytest.approx(pivot_of(*curve(band)), rel=2e-4)


@pytest.mark.parametrize(
    ("band", "file"),
    [("acs-f435w", "ACS_wfc_F435W"), ("acs-f606w", "ACS_wfc_F606W"),
     ("acs-f775w", "ACS_wfc_F775W"), ("acs-f814w", "ACS_wfc_F814W"),
     ("acs-f850lp", "ACS_wfc_F850LP"), ("wfc3-f105w", "WFC3_ir_F105W"),
     ("wfc3-f125w", "WFC3_ir_F125W"), ("wfc3-f160w", "WFC3_ir_F160W"),
     ("wfc3-f275w", "WFC3_uvis_F275W"), ("wfc3-f336w", "WFC3_uvis_F336W")],
)  # fmt: skip
def test_hubble_s_pivots_are_those_of_galsim_s_curves(band, file):
    import galsim

    bandpass = galsim.Bandpass(f"{file}.dat", wave_type="nm")
    wavelength = 10 * bandpass.wave_list
    assert pivot(band) == pytest.approx(
        pivot_of(wavelength, bandpass(bandpass.wave_list)), rel=3e-3
    )


def test_webb_s_pivots_lie_near_their_names():
    for band, wavelength in PIVOTS.items():
        instrument, name = band.split("-")
        if instrument in ("nircam", "miri"):
            digits = int(re.match(r"f(\d+)", name)[1])
            assert wavelength == pytest.approx(100.0 * digits, rel=0.12), band


def test_bands_are_paired_by_wavelength_whatever_their_order():
    pairs = pair_bands(["sdss-i", "sdss-g", "sdss-r"], ["hsc-g", "hsc-r", "hsc-i"])
    assert [(p.sim, p.obs) for p in pairs] == [
        ("sdss-g", "hsc-g"), ("sdss-r", "hsc-r"), ("sdss-i", "hsc-i")
    ]  # fmt: skip
    assert pairs[1].offset == pytest.approx(6177.2 / 6214.0 - 1)


def test_each_band_is_used_once_and_the_nearest_wins():
    pairs = pair_bands(["nircam-f150w", "wfc3-f160w"], ["nircam-f150w", "wfc3-f160w"])
    assert [p.sim for p in pairs] == ["nircam-f150w", "wfc3-f160w"]
    assert pairs[0].offset == 0.0


def test_names_alike_need_no_wavelength():
    assert pair_bands(["own-b"], ["own-b"])[0].obs == "own-b"


def test_a_band_without_partner_is_refused_with_the_way_out():
    with pytest.raises(UsageError, match=r"hsc-y \(9772 Angstrom\); --allow bands"):
        pair_bands(["sdss-g"], ["hsc-g", "hsc-y"])
    pairs = pair_bands(["sdss-g"], ["hsc-g", "hsc-y"], allow=True)
    assert [(p.sim, p.obs) for p in pairs] == [("sdss-g", "hsc-g")]
    with pytest.raises(UsageError, match="no band of one side has one of the other"):
        pair_bands(["sdss-g"], ["hsc-y"], allow=True)


def test_light_that_was_moved_is_paired_where_it_arrives():
    # g moved by 30 % lies at 6112 Angstrom: r.
    assert pair_bands(["sdss-g"], ["hsc-r"], shift=1.3)[0].sim == "sdss-g"
    with pytest.raises(UsageError, match="no partner"):
        pair_bands(["sdss-g"], ["hsc-g"], shift=1.3)


def test_the_tolerance_is_one():
    with pytest.raises(UsageError, match="within 1 %"):
        pair_bands(["hsc-i"], ["sdss-i"], tolerance=0.01)
    assert pair_bands(["hsc-i"], ["sdss-i"], tolerance=0.03)


def test_unknown_bands_are_answered_with_a_name():
    with pytest.raises(UsageError, match="did you mean 'sdss-g'"):
        pivot("sdss-gg")
    with pytest.raises(UsageError, match=r"known instruments: .*nircam"):
        pivot("f115w")
    with pytest.raises(UsageError, match="no filter curve"):
        curve("nircam-f115w")
    with pytest.raises(UsageError, match="no filter curve"):
        curve("sdss-q")


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("band", ["sdss-g", "hsc-i", "lsst-y"])
def test_colours_through_filters_are_speclite_s(band, order):
    speclite = pytest.importorskip("speclite.filters")
    from astropy import units

    wavelength = np.linspace(3000.0, 12000.0, 1801)[::order]
    f_nu = 1e-29 * (wavelength / 5000.0) ** 1.7 * (1 + 0.3 * np.sin(wavelength / 150.0))
    f_lambda = f_nu * ANGSTROM_PER_SECOND / wavelength**2
    name = {"sdss-g": "sdss2010-g", "hsc-i": "hsc2017-i", "lsst-y": "lsst2023-y"}[band]
    expected = speclite.load_filter(name).get_ab_magnitude(
        f_lambda[::order] * units.Unit("erg / (s cm2 Angstrom)"),
        wavelength[::order] * units.Angstrom,
    )
    found = integrate_cube(f_nu[:, None, None], wavelength, [band])[0, 0, 0]
    assert -2.5 * np.log10(found) - 48.6 == pytest.approx(expected, abs=1e-3)


def test_a_sloping_spectrum_is_read_at_the_mean_wavelength_of_a_narrow_filter():
    # A tophat from 5000 to 5010: f is its value at the light-weighted middle, 5005 - h^2 / 12 l.
    box = {"own-x": (np.array([4999.9999, 5000.0, 5010.0, 5010.0001]), np.array([0.0, 1, 1, 0]))}
    coarse = np.array([4000.0, 6000.0])
    weights = filter_weights(coarse, ["own-x"], curves=box)[0]
    middle = (10.0) / np.log(5010 / 5000)
    assert (weights * coarse).sum() == pytest.approx(middle, abs=1e-3)


def test_a_filter_beyond_the_spectrum_is_refused_by_name():
    with pytest.raises(UsageError, match=r"sdss-r: the spectrum from 4000 to 6000"):
        filter_weights(np.linspace(4000, 6000, 50), ["sdss-r"])
    with pytest.raises(UsageError, match="two or more different"):
        filter_weights(np.array([5000.0, 5000.0]), ["sdss-r"])
    with pytest.raises(UsageError, match="cube: got shape"):
        integrate_cube(np.ones((3, 2, 2)), np.linspace(3000, 9000, 4), ["sdss-r"])
