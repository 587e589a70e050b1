"""Rendering laws: flux, widths, shapes, noise and display are what they are said to be."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.data.toy_universe.observe import BAND_NOISE, add_noise, display, display_noise
from simreal.data.toy_universe.options import Camera, ToyOptions
from simreal.data.toy_universe.population import draw_population
from simreal.data.toy_universe.render import (
    ZERO_POINT,
    grid_of,
    mix_colour,
    psf_spectrum,
    render,
)
from simreal.data.toy_universe.sight import Sight, apparent_axis_ratio, draw_sight

CAMERA = Camera(pixel_scale=0.396, stamp=96)
EMPTY = np.zeros((0, 7))


def sight_of(**changes):
    plain = {
        "inclination": 0.0,
        "position_angle": 0.0,
        "shift": (0.0, 0.0),
        "seeing": 1.3,
        "sky_rms": 0.025,
        "neighbours": EMPTY,
        "stars": EMPTY[:, :4],
    }
    return Sight(**{**plain, **changes})


@pytest.fixture(scope="module")
def galaxies():
    return draw_population(ToyOptions(n_galaxies=60), name="render", seed=3)


def one_of(galaxies, morphology):
    return next(galaxy for galaxy in galaxies if galaxy.morphology == morphology)


def draw(galaxy, sight, camera=CAMERA, **changes):
    return render(galaxy, sight, camera, **{"psf": "moffat", "colour_offset": 0.0, **changes})


def moments(image):
    y, x = np.indices(image.shape) - (np.array(image.shape)[:, None, None] - 1) / 2
    total = image.sum()
    cx, cy = (image * x).sum() / total, (image * y).sum() / total
    return cx, cy, (image * (x - cx) ** 2).sum() / total, (image * (y - cy) ** 2).sum() / total


def test_flux_is_that_of_the_magnitude(galaxies):
    for galaxy in galaxies[:20]:
        image = draw(galaxy, sight_of())
        flux = 10 ** (-0.4 * (galaxy.magnitude - ZERO_POINT))
        # The stamp reaches 19 arcsec, some five half-light radii: a cuspy profile leaves up
        # to 8 % outside, exponentials and knots less than 2 %.
        assert 0.91 < image[1].sum() / flux < 1.005, galaxy.morphology


def test_flux_does_not_depend_on_seeing_or_place(galaxies):
    disc = dataclasses.replace(one_of(galaxies, "clumpy"), radius=2.0, disc_radius=2.0)
    base = draw(disc, sight_of()).sum()
    for changes in ({"seeing": 1.8}, {"shift": (0.15, -0.1)}, {"position_angle": 1.0}):
        # A Moffat PSF of index 3.5 holds 1 - (1 + (r / 2.0 FWHM)**2)**-2.5, all but 0.2 %,
        # inside 10 FWHM; wings of the disc add a little.
        assert draw(disc, sight_of(**changes)).sum() == pytest.approx(base, rel=5e-3)


@pytest.mark.parametrize("shape", ["moffat", "kolmogorov", "gaussian"])
@pytest.mark.parametrize("seeing", [1.0, 1.6])
def test_the_psf_has_the_stated_width(shape, seeing):
    import scipy.fft

    camera = Camera(pixel_scale=0.099, stamp=192)  # fine pixels, to read off half maximum
    spectrum = psf_spectrum(shape, seeing, grid_of(camera))
    assert spectrum[0, 0] == pytest.approx(1.0, abs=1e-3)
    profile = scipy.fft.irfft2(spectrum)[0]
    radius = np.arange(60) * camera.pixel_scale
    half = np.interp(0.5, profile[:60][::-1] / profile[0], radius[::-1])
    # linear interpolation between samples of a tenth of the width
    assert 2 * half == pytest.approx(seeing, rel=0.01)


def test_rendering_agrees_with_galsim_alone(galaxies):
    import galsim

    plain = dataclasses.replace(
        one_of(galaxies, "lenticular"),
        bulge_to_total=0.0, disc_radius=2.0, magnitude=16.0, thickness=0.2, youth=0.0,
        knots=np.zeros((0, 5)), tail=np.zeros((0, 5)), companion=None,
    )  # fmt: skip
    sight = sight_of(inclination=1.0, position_angle=0.7, shift=(0.1, -0.05))
    ours = draw(plain, sight)[1]
    ratio = apparent_axis_ratio(0.2, 1.0)
    disc = galsim.Exponential(half_light_radius=2.0 * np.sqrt(ratio), flux=10 ** (0.4 * 6.5))
    disc = disc.shear(q=ratio, beta=0.7 * galsim.radians).shift(0.1, -0.05)
    seen = galsim.Convolve([disc, galsim.Moffat(beta=3.5, fwhm=1.3)])
    theirs = seen.drawImage(nx=96, ny=96, scale=0.396).array
    # GalSim's own accuracy target is half a per cent of the flux in the wings and 1e-3 of
    # the peak in Fourier space.
    np.testing.assert_allclose(ours, theirs, atol=2e-3 * theirs.max())


@settings(max_examples=15, deadline=None)
@given(x=st.floats(-0.19, 0.19), y=st.floats(-0.19, 0.19))
def test_the_galaxy_sits_where_the_sight_says(x, y):
    galaxy = one_of(draw_population(ToyOptions(n_galaxies=12), name="g", seed=1), "elliptical")
    small = dataclasses.replace(galaxy, radius=0.8, bulge_radius=0.8, sersic=1.0)
    cx, cy, _, _ = moments(draw(small, sight_of(shift=(x, y)))[1])
    # in pixels; the stamp's edge truncates a little of the wings on one side
    assert cx * 0.396 == pytest.approx(x, abs=0.01)
    assert cy * 0.396 == pytest.approx(y, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(thickness=st.floats(0.05, 1.0), a=st.floats(0.0, np.pi / 2), b=st.floats(0.0, np.pi / 2))
def test_more_inclined_is_flatter(thickness, a, b):
    low, high = sorted((a, b))
    flat = apparent_axis_ratio(thickness, high)
    assert thickness - 1e-12 <= flat <= apparent_axis_ratio(thickness, low) + 1e-12 <= 1 + 1e-9


def test_inclination_flattens_the_image(galaxies):
    galaxy = one_of(galaxies, "spiral")
    face, edge = (draw(galaxy, sight_of(inclination=i))[1] for i in (0.0, 1.4))
    flat = [np.sqrt(m[3] / m[2]) for m in (moments(face), moments(edge))]
    assert flat[1] < 0.6 < 0.85 < flat[0]


def test_half_of_the_light_is_inside_the_stated_radius(galaxies):
    for morphology in ("elliptical", "lenticular", "spiral"):
        galaxy = one_of(galaxies, morphology)
        image = draw(galaxy, sight_of(seeing=0.9), psf="gaussian")[1]
        flux = 10 ** (-0.4 * (galaxy.magnitude - ZERO_POINT))
        y, x = np.indices(image.shape) - 47.5
        order = np.argsort(np.hypot(x, y), axis=None)
        inside = np.cumsum(image.ravel()[order]) / flux
        radius = 0.396 * np.hypot(x, y).ravel()[order][np.searchsorted(inside, 0.5)]
        # Arms, bar and knots move light about the smooth profile, and the PSF widens it.
        assert radius == pytest.approx(galaxy.radius, rel=0.15), morphology


def test_colour_offset_reddens_the_galaxy_and_not_its_neighbours(galaxies):
    star = np.array([[12.0, 10.0, 17.0, 0.5]])
    galaxy = one_of(galaxies, "clumpy")
    plain, red = (draw(galaxy, sight_of(stars=star), colour_offset=c) for c in (0.0, 0.3))
    middle, corner = (..., slice(30, 66), slice(30, 66)), (..., slice(68, 80), slice(72, 84))
    colour = [-2.5 * np.log10(i[middle][2].sum() / i[middle][0].sum()) for i in (plain, red)]
    assert colour[1] - colour[0] == pytest.approx(0.3, abs=0.003)
    np.testing.assert_allclose(red[corner][1], plain[corner][1], rtol=1e-5)
    np.testing.assert_allclose(red[corner].sum(), plain[corner].sum(), rtol=2e-3)


def test_star_formation_makes_blue():
    colour = [mix_colour(y)[2] / mix_colour(y)[0] for y in np.linspace(0, 1, 6)]
    assert np.all(np.diff(colour) > 0)


def test_sky_noise_has_the_stated_rms_and_correlation():
    n, correlation = 60, 0.3
    rng = np.random.default_rng(8)
    white = rng.standard_normal((n, 3, 96, 96), dtype=np.float32)
    rms = np.full(n, 0.025)
    sky = add_noise(np.zeros_like(white), white, sky_rms=rms, correlation=correlation)
    wanted = 0.025 * BAND_NOISE
    # 553,000 pixels per band, each worth about one half after correlation:
    # relative error of an rms is 1 / sqrt(2 n_eff) = 0.14 %; five of those
    np.testing.assert_allclose(sky.std(axis=(0, 2, 3)), wanted, rtol=0.007)
    unit = sky / wanted[:, None, None]
    for (dy, dx), expected in {(0, 1): 0.3, (1, 0): 0.3, (1, 1): 0.09, (0, 2): 0.0}.items():
        product = unit * np.roll(unit, (dy, dx), axis=(2, 3))
        # 1.6 million products: standard error about 0.0015 with correlation
        assert product.mean() == pytest.approx(expected, abs=0.007), (dy, dx)
    # bands are independent
    assert abs((unit[:, 0] * unit[:, 1]).mean()) < 0.01


def test_no_sky_means_no_noise_at_all():
    white = np.ones((1, 3, 8, 8), np.float32)
    image = np.full((1, 3, 8, 8), 5.0, np.float32)
    noisy = add_noise(image, white, sky_rms=np.zeros(1), correlation=0.3)
    np.testing.assert_array_equal(noisy, image)


def test_sky_on_the_display_is_what_the_setup_says():
    n = 20
    white = np.random.default_rng(2).standard_normal((n, 3, 96, 96), dtype=np.float32)
    sky = add_noise(np.zeros_like(white), white, sky_rms=np.full(n, 0.025), correlation=0.3)
    shown = display(sky / np.float32(0.396**2)) / 255.0
    assert (shown > 0).mean() > 0.999  # negative noise is not clipped
    expected = display_noise(np.full(1, 0.025 / 0.396**2))[0]
    # second order in noise over softening: (0.16 / 1.0)**2 / 6 is half a per cent or so,
    # and quantisation adds 1 / (255**2 12) to the variance
    np.testing.assert_allclose(shown.std(axis=(0, 2, 3)), expected, rtol=0.02)


@settings(max_examples=60, deadline=None)
@given(
    flux=st.tuples(*[st.floats(0.0, 60.0)] * 3),
    factor=st.floats(1.0, 20.0),
)
def test_the_display_is_monotone_in_brightness_at_fixed_colour(flux, factor):
    pixel = np.array(flux, np.float32).reshape(1, 3, 1, 1)
    fainter, brighter = display(pixel).astype(int), display(pixel * np.float32(factor)).astype(int)
    unsaturated = brighter.max() < 255
    if unsaturated:
        assert (brighter >= fainter).all()
    assert brighter.max() >= fainter.max()


def test_the_display_never_looks_at_the_rest_of_the_image():
    image = np.random.default_rng(1).uniform(0, 30, (2, 3, 16, 16)).astype(np.float32)
    np.testing.assert_array_equal(display(image)[:, :, 4:9, 4:9], display(image[:, :, 4:9, 4:9]))


def test_orientations_are_isotropic():
    options = ToyOptions(neighbours=3.0, stars=1.0)
    rng = np.random.default_rng(0)
    sights = [draw_sight(options, CAMERA, geometry="random", rng=rng) for _ in range(800)]
    cosine = np.sort(np.cos([sight.inclination for sight in sights]))
    # Kolmogorov-Smirnov distance to the uniform law; 1.95 / sqrt(n) is the 0.1 % point
    assert np.abs(cosine - np.linspace(0, 1, 800)).max() < 1.95 / np.sqrt(800)
    seeing = np.log([sight.seeing for sight in sights])
    assert seeing.mean() == pytest.approx(np.log(1.3), abs=4 * 0.08 / np.sqrt(800))
    assert seeing.std() == pytest.approx(0.08, rel=4 / np.sqrt(1600))


def test_neighbours_have_the_stated_density_and_leave_the_target_free():
    options = ToyOptions(neighbours=3.0, stars=1.0)
    rng = np.random.default_rng(4)
    sights = [draw_sight(options, CAMERA, geometry="random", rng=rng) for _ in range(800)]
    xy = np.concatenate([sight.neighbours[:, :2] for sight in sights])
    half = 0.5 * 96 * 0.396
    inside = (np.abs(xy) < half).all(axis=1).sum()
    # the zone kept free is taken off
    expected = 800 * 3.0 * (1.0 - np.pi * 25.0 / (2 * half) ** 2)
    assert abs(inside - expected) < 4 * np.sqrt(expected)
    assert np.hypot(*xy.T).min() > 5.0


@pytest.mark.parametrize(("geometry", "ratio"), [("face-on", 1.0), ("edge-on", 0.0)])
def test_fixed_geometries(geometry, ratio):
    rng = np.random.default_rng(0)
    sight = draw_sight(ToyOptions(), CAMERA, geometry=geometry, rng=rng)
    assert np.cos(sight.inclination) == pytest.approx(ratio, abs=1e-12)
