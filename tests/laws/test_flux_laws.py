"""Laws of photometry that matching of calibrated images obeys."""

import itertools

import galsim
import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.match.convolution import convolve_each
from simreal.match.correlated_noise import draw, measured, missing, shot_noise, through, white
from simreal.match.pixels import resample
from simreal.match.placement import place
from simreal.match.psf_kernels import (
    FWHM_PER_SIGMA,
    encircled_energy,
    matching_kernels,
    profile_from_fwhm,
    width_kernels,
)

#: Einstein and de Sitter's universe has a distance one can write down.
EINSTEIN_DE_SITTER = FlatLambdaCDM(H0=70.0, Om0=1.0, Tcmb0=0.0)


def luminosity_distance(z):
    """[Mpc] Mattig (1958) for Omega = 1."""
    return 2 * 299792.458 / 70.0 * (1 + z - np.sqrt(1 + z))


def gaussian(sigma, side=129):
    grid = np.arange(side) - side // 2
    image = np.exp(-0.5 * (grid[:, None] ** 2 + grid**2) / sigma**2)
    return image / image.sum()


def second_moment(image):
    x = np.arange(image.shape[-1])
    profile = image.sum(0)
    mean = (profile * x).sum() / profile.sum()
    return np.sqrt((profile * (x - mean) ** 2).sum() / profile.sum())


# -- Placement ------------------------------------------------------------------------------


@pytest.mark.parametrize(("quantity", "power"), [("bolometric", 4), ("f_nu", 3), ("f_lambda", 5)])
@given(near=st.floats(0.01, 1.0), far=st.floats(1.0, 8.0))
@settings(max_examples=10, deadline=None)
def test_surface_brightness_dims_by_a_power_of_the_redshift(quantity, power, near, far):
    placed = place(1.0, z_from=near, z_to=far, quantity=quantity)
    # Tolman: whatever the cosmology, through flux and solid angle of the pixel alone.
    before = place(1.0, z_from=near, z_to=near, quantity=quantity).pixel_scale ** 2
    brightness = placed.flux_factor / placed.pixel_scale**2 * before
    assert brightness == pytest.approx(((1 + near) / (1 + far)) ** power, rel=1e-9)
    assert placed.brightness_factor == pytest.approx(brightness, rel=1e-12)


@pytest.mark.parametrize("z", [0.05, 0.5, 3.0])
def test_flux_falls_with_the_luminosity_distance(z):
    placed = place(1.0, z_from=0.0, z_to=z, distance_from=10.0, cosmology=EINSTEIN_DE_SITTER)
    expected = (1 + z) * (10.0 / luminosity_distance(z)) ** 2
    assert placed.flux_factor[0] == pytest.approx(expected, rel=1e-8)
    angular = luminosity_distance(z) / (1 + z) ** 2
    assert placed.pixel_scale[0] == pytest.approx(np.degrees(1e-3 / angular) * 3600, rel=1e-8)


def test_there_and_back_is_where_it_was():
    there = place(0.2, z_from=0.05, z_to=2.0)
    back = place(0.2, z_from=2.0, z_to=0.05)
    assert there.flux_factor * back.flux_factor == pytest.approx(1.0, rel=1e-12)
    assert there.wavelength_factor * back.wavelength_factor == pytest.approx(1.0, rel=1e-12)


def test_the_magnitude_after_all_steps_is_the_one_by_hand():
    # 1 Jy = 8.9 mag at 10 Mpc. To z = 1: D_L = 2 c / H0 (2 - sqrt 2) = 5017.54 Mpc, so
    # 5 log10(501.754) = 13.5024 fainter, and 2.5 log10(2) = .7526 brighter per hertz.
    galaxy = 1e9 * gaussian(6.0).astype("f4")[None, None]
    placed = place(0.1, z_from=0.0, z_to=1.0, distance_from=10.0, cosmology=EINSTEIN_DE_SITTER)
    faint = galaxy * placed.flux_factor[0].astype("f4")
    blurred = convolve_each(faint, profile_from_fwhm([5.0], 41)[None])
    middle = np.array([64.0])
    pixels = resample(
        blurred, x=middle, y=middle, width=np.array([129.0]), n_out=43, conserve="flux"
    )
    magnitude = 31.4 - 2.5 * np.log10(pixels.sum(dtype="f8"))
    assert magnitude == pytest.approx(8.9 + 13.5024 - 0.7526, abs=1e-3)


# -- Flux -----------------------------------------------------------------------------------


@given(
    z=st.floats(0.1, 3.0),
    fwhm=st.floats(0.0, 5.0),
    n_out=st.integers(20, 90),
    shift=st.floats(-0.5, 0.5),
)
@settings(max_examples=25, deadline=None)
def test_total_flux_survives_placement_psf_and_rebinning(z, fwhm, n_out, shift):
    image = gaussian(4.0).astype("f4")[None, None]
    factor = float(place(0.3, z_from=0.05, z_to=z).flux_factor[0])
    out = convolve_each(image * np.float32(factor), profile_from_fwhm([fwhm], 31)[None])
    out = resample(
        out,
        x=np.array([64 + shift]),
        y=np.array([64 - shift]),
        width=np.array([120.0]),
        n_out=n_out,
        conserve="flux",
    )
    assert out.sum(dtype="f8") / factor == pytest.approx(1.0, abs=1e-4)


@given(seed=st.integers(0, 10**6), fwhm=st.floats(0.5, 6.0))
@settings(max_examples=15, deadline=None)
def test_a_mirror_at_the_edge_keeps_all_light_in_the_field(seed, fwhm):
    image = np.random.default_rng(seed).exponential(size=(1, 1, 24, 31))
    out = convolve_each(image, profile_from_fwhm([fwhm], 21)[None])
    assert out.sum() == pytest.approx(image.sum(), rel=1e-12)


# -- PSF ------------------------------------------------------------------------------------


@given(source=st.floats(1.0, 4.0), more=st.floats(1.02, 3.0))
@settings(max_examples=20, deadline=None)
def test_gaussian_widths_add_in_quadrature(source, more):
    target = source * more
    kernel = width_kernels(
        source * FWHM_PER_SIGMA, target * FWHM_PER_SIGMA, 2 * int(6 * target) + 1, np.inf
    )
    out = convolve_each(gaussian(source, 257)[None, None], kernel[None])[0, 0]
    assert second_moment(out) == pytest.approx(target, rel=1e-2)


@pytest.mark.parametrize("profiles", ["moffat", "gauss to moffat", "airy to moffat", "elliptical"])
def test_the_matched_psf_has_the_width_and_the_encircled_energy_of_the_target(profiles):
    side = 61
    target = galsim.Moffat(beta=3.5, fwhm=4.6)
    source = {
        "moffat": galsim.Moffat(beta=3.0, fwhm=2.8),
        "gauss to moffat": galsim.Gaussian(fwhm=2.2),
        "airy to moffat": galsim.Airy(lam_over_diam=2.0, obscuration=0.3),
        "elliptical": galsim.Moffat(beta=3.5, fwhm=3.0).shear(g1=0.1, g2=-0.05),
    }[profiles]
    stamps = [p.drawImage(nx=side, ny=side, scale=1.0).array for p in (source, target)]
    stamps = [stamp.astype("f8")[None, None] / stamp.sum() for stamp in stamps]
    found = matching_kernels(*stamps)
    star = np.zeros((1, 1, 121, 121))
    star[0, 0, 30:91, 30:91] = stamps[0]
    made = convolve_each(star, found.kernels)[0, 0, 30:91, 30:91]
    width, wanted = (galsim.Image(np.ascontiguousarray(p), scale=1.0).calculateFWHM() for p in
                     (made, stamps[1][0, 0]))  # fmt: skip
    assert width == pytest.approx(wanted, rel=0.02)
    energy = encircled_energy(made), encircled_energy(stamps[1][0, 0])
    assert np.abs(energy[0] - energy[1]).max() < 0.01
    assert found.encircled_energy_error.max() < 0.01
    assert abs(found.fwhm_error).max() < 0.02


# -- Noise ----------------------------------------------------------------------------------


def periodogram(noise, bins=8):
    """Mean power in annuli of windowed stamps, by another way than the spectrum's own."""
    side = noise.shape[-1]
    window = np.hanning(side + 2)[1:-1]
    window = np.outer(window, window)
    power = (np.abs(np.fft.fft2(noise * window)) ** 2).mean((0, 1)) / (window**2).sum()
    frequency = np.fft.fftfreq(side)
    radius = np.hypot(frequency[:, None], frequency)
    edges = np.linspace(0.05, 0.5, bins + 1)
    return np.array(
        [power[(radius > a) & (radius <= b)].mean() for a, b in itertools.pairwise(edges)]
    )


@pytest.mark.parametrize("fwhm", [0.0, 1.3, 2.0])
def test_noise_drawn_after_a_measurement_has_its_rms_and_spectrum(fwhm):
    rng = np.random.default_rng(11)
    survey = draw(through(white([3.0]), profile_from_fwhm([fwhm], 15)), 120, (96, 96), rng)
    blank = np.ones(survey.shape, bool)
    blank[:, :, 30:66, 30:66] = False
    blank[::4, :, :, :20] = False
    spectrum = measured(np.where(blank, survey, 1e6).astype("f4"), blank)
    again = draw(spectrum, 120, (96, 96), rng)
    assert again.std() == pytest.approx(survey.std(), rel=0.01)
    ratio = periodogram(again) / periodogram(survey)
    assert ratio.min() > 0.95
    assert ratio.max() < 1.05


def test_source_noise_and_what_is_missing_make_the_survey_s():
    rng = np.random.default_rng(5)
    target = through(white([4.0]), profile_from_fwhm([1.5], 15))
    kernel = profile_from_fwhm([3.0], 21)
    own = draw(white([2.0]), 150, (96, 96), rng)
    blurred = convolve_each(own, kernel[None], edges="wrap")
    gap = missing(through(white([2.0]), kernel), target)
    assert gap.excess[0] < 1e-6
    total = blurred + draw(gap.spectrum, 150, (96, 96), rng)
    assert total.std() == pytest.approx(target.rms[0], rel=0.01)
    ratio = periodogram(total) / periodogram(draw(target, 150, (96, 96), rng))
    assert 0.95 < ratio.min() < ratio.max() < 1.05


@given(level=st.floats(1.0, 1e5), gain=st.floats(0.1, 50.0))
@settings(max_examples=15, deadline=None)
def test_shot_noise_has_the_variance_of_the_light_over_the_gain(level, gain):
    flux = np.full((1, 1, 200, 200), level)
    noise = shot_noise(flux, gain, np.random.default_rng(3)) - flux
    # 40,000 pixels know a variance to .7 %; five of these, and the kurtosis of few electrons.
    tolerance = 0.035 * np.sqrt(1 + 1 / (2 * level * gain))
    assert noise.var() == pytest.approx(level / gain, rel=max(tolerance, 0.04))
    assert abs(noise.mean()) < 5 * np.sqrt(level / gain / 40000) + 1e-6 * level


# -- A whole scene against GalSim -----------------------------------------------------------


def test_galsim_renders_the_same_scene():
    # Idealised on .05 arcsec, seen by a survey with .25 arcsec pixels and .8 arcsec seeing.
    fine, coarse, side, n_out = 0.05, 0.25, 480, 96
    disc = galsim.Exponential(half_light_radius=1.6, flux=800.0).shear(g1=0.25, g2=0.1)
    bulge = galsim.Exponential(half_light_radius=0.4, flux=400.0)
    knot = galsim.Gaussian(fwhm=0.3, flux=60.0).shift(1.1, -0.7)
    scene, seeing = disc + bulge + knot, galsim.Moffat(beta=3.5, fwhm=0.8)
    ideal = scene.drawImage(nx=side, ny=side, scale=fine)
    expected = galsim.Convolve(scene, seeing).drawImage(nx=n_out, ny=n_out, scale=coarse)
    kernel = profile_from_fwhm([0.8 / fine], 255, beta=3.5)
    blurred = convolve_each(ideal.array.astype("f4")[None, None], kernel[None], edges="zero")
    middle = np.array([(side - 1) / 2])
    seen = resample(
        blurred, x=middle, y=middle, width=np.array([side * 1.0]), n_out=n_out, conserve="flux"
    )[0, 0]
    noise = 0.02
    bright = expected.array > noise
    assert bright.sum() > 300
    error = np.abs(seen / expected.array - 1)[bright]
    assert error.max() < 0.01
