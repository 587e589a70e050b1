"""Laws that matching obeys, whatever the images are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.core.cards import View
from simreal.core.images import ImageSet, Setup
from simreal.match.pixels import resample
from simreal.match.psf import convolve, missing_width
from simreal.match.recipe import Recipe
from simreal.match.run import match_pair

SKY = View(geometry="sky", bands=("r", "g", "b"))


def second_moment(image):
    """Standard deviation along x of a source that is small against its image."""
    x = np.arange(image.shape[-1])
    profile = image.sum(0)
    mean = (profile * x).sum() / profile.sum()
    return np.sqrt((profile * (x - mean) ** 2).sum() / profile.sum())


def gaussian(sigma, side=129):
    grid = np.arange(side) - side // 2
    return np.exp(-0.5 * (grid[:, None] ** 2 + grid**2) / sigma**2)


@settings(max_examples=20)
@given(st.floats(1.5, 5.0), st.floats(1.5, 5.0))
def test_gaussian_widths_add_in_quadrature(source, kernel):
    image = gaussian(source)[None, None]
    fwhm = np.array([kernel * 2 * np.sqrt(2 * np.log(2))])
    out = convolve(image, fwhm, beta=np.inf)[0, 0]
    assert second_moment(out) == pytest.approx(np.hypot(source, kernel), rel=2e-3)


@settings(max_examples=10)
@given(st.floats(1.5, 3.0), st.floats(3.2, 6.0))
def test_the_missing_width_reaches_the_target(own, target):
    to_fwhm = 2 * np.sqrt(2 * np.log(2))
    needed = missing_width(np.array([own * to_fwhm]), np.array([target * to_fwhm]))
    out = convolve(gaussian(own)[None, None], needed, beta=np.inf)[0, 0]
    assert second_moment(out) == pytest.approx(target, rel=2e-3)


@settings(max_examples=20)
@given(st.floats(2.0, 6.0), st.integers(45, 80), st.floats(-0.5, 0.5))
def test_resampling_widens_by_the_pixel_alone(sigma, n_out, phase):
    image = gaussian(sigma)[None, None]
    width = 100.0
    args = {"x": np.array([64 + phase]), "y": np.array([64.0]), "width": np.array([width])}
    out = resample(image, **args, n_out=n_out)[0, 0]
    step = width / n_out
    # Sheppard: binning into boxes of `step` adds step^2 / 12 to the variance, and the input's
    # pixels are boxes themselves; at this sampling aliases are below exp(-12).
    expected = np.sqrt(sigma**2 + step**2 / 12 + 1 / 12)
    assert second_moment(out) * step == pytest.approx(expected, rel=5e-3)


def population(n, seed, *, noise=0.01, survey=True, side=128):
    rng = np.random.default_rng(seed)
    grid = np.arange(side) - (side - 1) / 2
    images = np.empty((n, 3, side, side), np.float32)
    for k in range(n):
        q, scale = rng.uniform(0.5, 1), rng.uniform(3.5, 5)
        dx, dy = grid[None] - rng.normal(0, 0.5), (grid[:, None] - rng.normal(0, 0.5)) / q
        images[k] = 0.5 * np.exp(-np.hypot(dx, dy) / scale)
        if survey:
            images[k] += rng.normal(0.03, noise, (3, side, side))
    return np.clip(images, 0, 1)


def made(name, images, **changes):
    ids = np.array([f"{name}{k}" for k in range(len(images))])
    return ImageSet(
        name=name, role="simulated", sampling="random", images=images, ids=ids, groups=ids,
        setup=Setup(track="rgb", bands=("r", "g", "b"), unit="display", **changes),
    )  # fmt: skip


def test_the_same_images_on_both_sides_stay_the_same():
    images = population(24, seed=0)
    matched = match_pair(
        made("one", images), made("other", images), views=(SKY, SKY), recipe=Recipe(stamp=32),
        seed=0,
    )  # fmt: skip
    one, other = (s.images.read(slice(None)) for s in (matched.sim, matched.obs))
    assert np.array_equal(one, other)
    assert matched.residual_differences == ()
    assert all(check.passed is not False for check in matched.checks)


def test_one_population_on_both_sides_stays_one_population():
    matched = match_pair(
        made("one", population(80, seed=1)), made("other", population(160, seed=2)),
        views=(SKY, SKY), recipe=Recipe(stamp=32), seed=0,
    )  # fmt: skip
    assert matched.residual_differences == ()
    a, b = (s.images.read(slice(None)).mean((0, 1)) for s in (matched.sim, matched.obs))
    # Mean stamps differ by their standard errors: .02 of galaxy to galaxy scatter over
    # sqrt(80) in the bright part; five of them allowed.
    assert np.abs(a - b).max() < 5 * 0.02 / np.sqrt(80) + 0.01
    by_name = {row.property: row.smd for row in matched.balance}
    # Standard error of a standardised difference at 80 against 160: .14.
    assert abs(by_name["axis_ratio"]) < 0.5
    assert abs(by_name["stamp_flux"]) < 0.5


def test_sides_can_be_exchanged():
    one, other = made("one", population(20, seed=3)), made("other", population(30, seed=4))
    recipe = Recipe(stamp=32)
    forth = match_pair(one, other, views=(SKY, SKY), recipe=recipe, seed=0)
    back = match_pair(other, one, views=(SKY, SKY), recipe=recipe, seed=0)
    assert forth.sim.setup.frame_width == back.sim.setup.frame_width
    assert np.array_equal(forth.sim.images.read(slice(None)), back.obs.images.read(slice(None)))


@pytest.mark.parametrize("noise", [0.006, 0.012])
def test_injected_sky_has_the_survey_s_rms(noise):
    sky = made("sky", population(90, seed=5, noise=noise), psf_fwhm=np.full((90, 3), 3.0))
    ideal = made("ideal", population(24, seed=6, survey=False), rendition="idealised")
    matched = match_pair(ideal, sky, views=(SKY, SKY), recipe=Recipe(stamp=32), seed=0)
    checks = {check.name: check.value for check in matched.checks}
    # 24 stamps of 1,024 pixels, and the spread of the noise is the same in every frame.
    assert checks["injected sky: rms, median"] == pytest.approx(1.0, abs=0.02)
    assert abs(checks["injected sky: mean"]) < 0.05
    assert checks["PSF width, sim over obs"] == pytest.approx(1.0, abs=0.1)
    ratio = np.median(matched.sim.setup.noise) / np.median(matched.obs.setup.noise)
    # The quieter sky is less than a grey level deep on the stamps: rounding adds to it.
    assert ratio == pytest.approx(1.0, abs=0.06)


def test_a_larger_galaxy_is_larger_on_an_angular_frame_and_equal_on_a_radius_frame():
    images = population(12, seed=7, survey=False)
    # The same galaxies at half the sampling: half the size in arcsec at one pixel scale.
    args = {"x": np.full(12, 63.5), "y": np.full(12, 63.5), "width": np.full(12, 128.0)}
    half = resample(images, **args, n_out=64)
    rng = np.random.default_rng(0)
    whole = images + rng.normal(0.03, 0.004, images.shape).astype("f4")
    half = half + rng.normal(0.03, 0.004, half.shape).astype("f4")
    a, b = made("whole", whole, pixel_scale=0.4), made("half", half, pixel_scale=0.4)
    radii = {}
    for frame in ("angular", "radius"):
        recipe = Recipe(stamp=48, frame=frame, loss_limit=0.2)
        matched = match_pair(a, b, views=(SKY, SKY), recipe=recipe, seed=0)
        name = "half-light radius on the stamps, sim over obs"
        radii[frame] = next(c.value for c in matched.checks if c.name == name)
    assert radii["angular"] == pytest.approx(2.0, rel=0.15)
    assert radii["radius"] == pytest.approx(1.0, rel=0.1)
