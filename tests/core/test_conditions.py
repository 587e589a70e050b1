"""Observing conditions: sourced, checked against galcheat and speclite, and true to theory."""

import math
import re

import numpy as np
import pytest

from simreal.core.conditions import (
    NOISE_PIXELS,
    UNITS,
    condition_names,
    load_conditions,
    nanojansky,
    read_conditions,
)
from simreal.core.errors import NotComputableError, UsageError

SURVEYS = condition_names()

#: Survey -> name in galcheat, and how a band of ours is called there.
GALCHEAT = {
    "lsst": ("LSST", lambda band: band[-1]),
    "hsc": ("HSC", lambda band: band[-1]),
    "des": ("DES", lambda band: band[-1]),
    "euclid": ("Euclid_VIS", lambda band: "IE"),
    "cosmos": ("COSMOS", lambda band: "f814w"),
}

CARD = """
name = "mine"
title = "Mine"
pixel_scale = { value = 0.2, unit = "arcsec / pix", source = "paper" }
[sources]
paper = "Me et al. 2026"
[bands.mine-r]
psf_fwhm = { value = 0.8, unit = "arcsec", source = "paper" }
depth = { value = 25.0, unit = "mag(AB)", source = "paper" }
"""


def test_the_surveys_asked_for_are_there():
    wanted = {"sdss", "hsc", "legacy", "panstarrs", "des", "lsst", "euclid", "ceers", "cosmos"}
    assert wanted <= set(SURVEYS)


@pytest.mark.parametrize("name", SURVEYS)
def test_every_number_has_a_unit_and_a_source_that_can_be_followed(name):
    card = load_conditions(name)
    assert card.name == name
    used = set()
    for _, key, number in card.numbers():
        assert number.unit == UNITS[key]
        used.add(number.source)
    assert used == set(card.sources), "a source that no number uses"
    for key, text in card.sources.items():
        assert re.search(r"https?://|GalSim|galcheat", text), key
    for band in card.bands:
        assert re.fullmatch(r"[a-z0-9]+-[a-z0-9]+", band)


@pytest.mark.parametrize("name", sorted(GALCHEAT))
def test_it_agrees_with_galcheat(name):
    galcheat = pytest.importorskip("galcheat")
    theirs_name, band_name = GALCHEAT[name]
    theirs, ours = galcheat.get_survey(theirs_name), load_conditions(name)
    assert ours.pixel_scale.value == theirs.pixel_scale.to_value("arcsec")
    assert ours.gain.value == theirs.gain.to_value("electron / adu")
    for band, own in ours.bands.items():
        other = theirs.get_filter(band_name(band))
        assert own.psf_fwhm.value == other.psf_fwhm.to_value("arcsec")
        assert own.exposure.value == other.full_exposure_time.to_value("s")
        assert own.electron_zero_point.value == other.zeropoint.value
        assert own.effective_wavelength.value == pytest.approx(
            other.effective_wavelength.to_value("Angstrom"), abs=1e-3
        )
        if own.sky_brightness is not None:
            assert own.sky_brightness.value == other.sky_brightness.value


@pytest.mark.parametrize("name", ["lsst", "hsc", "des", "euclid"])
def test_the_noise_of_the_sky_is_that_of_galcheats_electrons(name):
    galcheat = pytest.importorskip("galcheat")
    from galcheat.utilities import mag2counts, mean_sky_level

    theirs_name, band_name = GALCHEAT[name]
    theirs, ours = galcheat.get_survey(theirs_name), load_conditions(name)
    for band in ours.bands:
        filt = theirs.get_filter(band_name(band))
        # Poisson noise of the sky's electrons, over the electrons of 1 nJy (31.4 mag); galcheat
        # rounds counts to integers, so those of a bright source are scaled.
        sky = mean_sky_level(theirs, filt).value
        of_one = mag2counts(15.0, theirs, filt).value * 10 ** (-0.4 * (31.4 - 15.0))
        assert ours.sky_noise(band) == pytest.approx(math.sqrt(sky) / of_one, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "band"),
    [(name, band) for name in SURVEYS for band, own in load_conditions(name).bands.items()
     if own.curve],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_pivots_are_those_of_the_curves_in_speclite(name, band):
    filters = pytest.importorskip("speclite.filters")
    own = load_conditions(name).bands[band]
    curve = filters.load_filter(own.curve)
    wave, through = curve.wavelength, curve.response
    # A photon counter: mean of nu f_nu = lambda f_lambda over the band (Tokunaga & Vacca 2005).
    pivot = math.sqrt(np.trapezoid(through * wave, wave) / np.trapezoid(through / wave, wave))
    assert own.pivot.value == pytest.approx(pivot, abs=0.06)
    if own.effective_wavelength is not None:
        effective = curve.effective_wavelength.to_value("Angstrom")
        assert own.effective_wavelength.value == pytest.approx(effective, rel=5e-3)


def test_a_megajansky_per_steradian_in_a_pixel_is_the_zero_point_of_ceers():
    card = load_conditions("ceers")
    steradian = (card.pixel_scale.value * math.pi / 180 / 3600) ** 2
    in_nanojansky = 1e6 * 1e9 * steradian
    for band in card.bands.values():
        assert nanojansky(band.zero_point.value) == pytest.approx(in_nanojansky, rel=2e-5)


def test_a_nanomaggy_is_3631_nanojansky():
    assert nanojansky(load_conditions("sdss").bands["sdss-g"].zero_point.value) == pytest.approx(
        3631, rel=1e-3
    )


def test_a_point_source_at_the_depth_has_five_sigma(tmp_path):
    (tmp_path / "mine.toml").write_text(CARD)
    noise = read_conditions(tmp_path / "mine.toml").sky_noise("mine-r")
    # An optimally weighted source has (S / N)^2 = (flux / noise)^2 sum(psf^2).
    grid = np.arange(-40, 41)
    sigma = 0.8 / 0.2 / (2 * math.sqrt(2 * math.log(2)))
    one = np.exp(-0.5 * (grid / sigma) ** 2)
    psf = np.outer(one, one) / one.sum() ** 2
    flux = 10 ** ((31.4 - 25) / 2.5)
    assert flux / noise * math.sqrt((psf**2).sum()) == pytest.approx(5, rel=1e-6)
    assert pytest.approx(2.266, abs=1e-3) == NOISE_PIXELS


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('source = "paper" }\n[sources]', 'source = "papr" }\n[sources]', "did you mean 'paper'"),
        ("arcsec / pix", "arcmin / pix", "use 'arcsec / pix'"),
        ("value = 0.8", "value = -0.8", "bands.mine-r.psf_fwhm.value"),
        ("value = 0.8", "value = nan", "bands.mine-r.psf_fwhm.value"),
        ("psf_fwhm", "psf_width", "bands.mine-r.psf_width"),
        (', source = "paper" }\ndepth', " }\ndepth", "bands.mine-r.psf_fwhm.source"),
        ("title =", "titel =", "title"),
        ('"mine"', "mine", "not a TOML card"),
    ],
)
def test_a_wrong_card_gets_one_line_with_file_and_key(tmp_path, old, new, words):
    assert old in CARD
    path = tmp_path / "mine.toml"
    path.write_text(CARD.replace(old, new))
    with pytest.raises(UsageError) as caught:
        read_conditions(path)
    text = str(caught.value)
    assert words in text
    assert str(path) in text
    assert "\n" not in text


def test_what_was_not_sourced_is_said_by_name():
    with pytest.raises(NotComputableError, match="sdss-g has no psf_fwhm"):
        load_conditions("sdss").number("sdss-g", "psf_fwhm")
    with pytest.raises(NotComputableError, match="ps1-g has no psf_fwhm"):
        load_conditions("panstarrs").sky_noise("ps1-g")
    with pytest.raises(UsageError, match="did you mean 'sdss-g'"):
        load_conditions("sdss").band("sdss-gg")
    with pytest.raises(UsageError, match="did you mean 'hsc'"):
        load_conditions("hcs")
    with pytest.raises(UsageError, match="no such card"):
        load_conditions("absent.toml")
