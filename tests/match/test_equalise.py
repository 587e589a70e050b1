"""Nuisances made equal by force, faults put in on purpose, changes to both sides."""

import numpy as np
import pytest

from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSet, Setup
from simreal.match.controls import (
    CONTROLS,
    encoded,
    own_noise_share,
    point_sources,
    rows_of,
    shrunk,
    starlet,
)
from simreal.match.equalise import common_mean, common_worse, equalised
from simreal.match.psf import convolve
from simreal.match.transforms import TRANSFORMS, interpolation, zoomed
from simreal.measure.psf import adaptive_width
from simreal.measure.sky import clipped_statistics
from simreal.measure.stamps import measure_stamps

BANDS = ("red", "green", "blue")


def a_set(pixels, *, name="set", psf=None, first=0, **setup):
    n, bands = pixels.shape[:2]
    widths = None if psf is None else np.repeat(np.asarray(psf, float)[:, None], bands, axis=1)
    ids = np.array([f"{name}{k + first}" for k in range(n)])
    return ImageSet(
        name=name,
        role="observed",
        sampling="random",
        images=pixels.astype(np.float32),
        ids=ids,
        groups=ids,
        setup=Setup(track="rgb", bands=BANDS[:bands], unit="display", psf_fwhm=widths, **setup),
    )


def galaxies(n, rng, *, scale=5.0, level=0.05, rms=0.01, peak=0.5, gain=(1.0, 1.0, 1.0), side=64):
    """Return exponential discs on noisy sky, and that sky."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    scales = scale * np.exp(rng.normal(0, 0.15, (n, 1, 1, 1)))
    light = peak * np.exp(-np.hypot(x, y) / scales) * np.reshape(gain, (1, 3, 1, 1))
    sky = level + rng.normal(0, rms, (n, 3, side, side))
    return (light + sky).astype(np.float32), sky.astype(np.float32)


def steps(sim, obs, skies, seed=0):
    return {
        name: (kind, a, b) for name, kind, a, b in equalised((sim, obs), skies, rng=rng_of(seed))
    }


def rng_of(seed):
    return np.random.default_rng(seed)


def pixels(images):
    return np.asarray(images.images.read(slice(None)), dtype=np.float32)


@pytest.fixture(scope="module")
def unequal():
    """Return two sides that differ in every nuisance, and all steps."""
    rng = rng_of(1)
    one, sky_one = galaxies(60, rng, scale=4.0, level=0.05, rms=0.008, gain=(1.0, 0.8, 0.6))
    two, sky_two = galaxies(80, rng, scale=5.5, level=0.08, rms=0.014, gain=(0.7, 0.8, 0.9))
    sim = a_set(one, name="s", psf=rng.uniform(2.0, 3.0, 60))
    obs = a_set(two, name="o", psf=rng.uniform(3.0, 4.5, 80))
    skies = a_set(sky_one, name="s"), a_set(sky_two, name="o")
    return steps(sim, obs, skies)


def corners(images, side=10):
    """Return level and rms of the four corners of the luminance of every stamp."""
    plane = pixels(images).mean(1)
    part = np.concatenate(
        [plane[:, a, b].reshape(len(plane), -1) for a in (slice(side), slice(-side, None))
         for b in (slice(side), slice(-side, None))], axis=1,
    )  # fmt: skip
    return clipped_statistics(part)


def test_the_worse_of_both_quantiles_leaves_one_distribution_and_nothing_smaller():
    rng = rng_of(0)
    sim, obs = rng.normal(3, 1, 50), rng.normal(4, 0.3, 50)
    a, b = common_worse(sim, obs)
    assert (a >= sim).all()
    assert (b >= obs).all()
    np.testing.assert_allclose(np.sort(a), np.sort(b))
    np.testing.assert_allclose(np.sort(a), np.maximum(np.sort(sim), np.sort(obs)))


def test_the_mean_of_both_quantiles_leaves_one_distribution():
    rng = rng_of(0)
    sim, obs = rng.normal(3, 1, 50), rng.normal(4, 0.3, 50)
    a, b = common_mean(sim, obs)
    np.testing.assert_allclose(np.sort(a), np.sort(b))
    np.testing.assert_allclose(np.sort(a), (np.sort(sim) + np.sort(obs)) / 2)


def test_constants_are_brought_together_too():
    a, b = common_worse(np.full(5, 2.0), np.full(7, 3.0))
    assert (a == 3.0).all()
    assert (b == 3.0).all()


def test_steps_come_in_their_order_and_know_what_may_be_physics(unequal):
    assert [(name, kind) for name, (kind, _, _) in unequal.items()] == [
        ("as compared, encoded once more", "nothing"),
        ("sky level", "nuisance"),
        ("PSF", "nuisance"),
        ("sky noise", "nuisance"),
        ("size on the stamp", "physics"),
        ("brightness", "physics"),
        ("colours", "physics"),
    ]
    for _, sim, obs in unequal.values():
        for images in (sim, obs):
            grid = pixels(images) * 255
            np.testing.assert_allclose(grid, np.rint(grid), atol=1e-3)  # the last encoding


def test_the_level_of_the_sky_becomes_equal(unequal):
    def apart(step):
        sim, obs = (corners(images)[0].mean() for images in unequal[step][1:])
        return abs(sim - obs)

    assert apart("as compared, encoded once more") > 0.02  # .03 was put in
    # What is left is the discs' light in the corners: exp(-31/5.5) of a peak of .5 and more.
    assert apart("sky level") < 0.005


def test_the_noise_of_the_sky_becomes_that_of_the_noisier_side(unequal):
    def rms(step):
        return [float(np.median(corners(images)[1])) for images in unequal[step][1:]]

    first, last = rms("as compared, encoded once more"), rms("sky noise")
    assert first[0] < 0.7 * first[1]
    assert abs(last[0] / last[1] - 1) < 0.05


def test_the_psf_of_a_point_becomes_that_of_the_wider_side():
    # Stars have the width that the setup says; afterwards they have that of the other side.
    widths = np.full(40, 3.0), np.full(40, 5.0)
    sides = []
    for name, width in zip("so", widths, strict=True):
        light = np.zeros((40, 3, 64, 64), np.float32)
        light[:, :, 32, 32] = 20.0
        star = convolve(light, width, beta=np.inf)
        sides.append(a_set(star + 0.05, name=name, psf=width))
    found = steps(*sides, (None, None))
    assert "sky level" not in found
    assert "sky noise" not in found
    fwhm = [
        float(np.median(adaptive_width(pixels(images)[:, 1, 18:47, 18:47].astype(float) - 0.05)[0]))
        for images in found["PSF"][1:]
    ]
    assert abs(fwhm[0] / 5.0 - 1) < 0.03
    assert abs(fwhm[0] / fwhm[1] - 1) < 0.02


def test_sizes_brightness_and_colours_become_equal(unequal):
    def ratio(step):
        radii = [np.nanmedian(measure_stamps(images, stars=False).radius)
                 for images in unequal[step][1:]]  # fmt: skip
        return radii[0] / radii[1]

    assert ratio("sky noise") < 0.85  # disc scales of 4 and 5.5 pixels, through one PSF
    assert abs(ratio("size on the stamp") - 1) < 0.05
    quantiles = [
        np.quantile(pixels(images).mean(1), [0.05, 0.5, 0.95, 0.99])
        for images in unequal["brightness"][1:]
    ]
    np.testing.assert_allclose(*quantiles, atol=0.01)

    def blue_share(images):
        light = pixels(images) - np.median(pixels(images), axis=(0, 2, 3))[:, None, None]
        total = np.maximum(light, 0).sum((0, 2, 3))
        return total[2] / total.sum()

    before, after = ([blue_share(images) for images in unequal[step][1:]]
                     for step in ("brightness", "colours"))  # fmt: skip
    assert abs(before[0] - before[1]) > 0.05
    assert abs(after[0] - after[1]) < 0.01


def test_steps_are_the_same_at_every_call():
    rng = rng_of(3)
    one, sky_one = galaxies(20, rng)
    two, sky_two = galaxies(25, rng, rms=0.02)
    sides = a_set(one, name="s"), a_set(two, name="o")
    skies = a_set(sky_one, name="s"), a_set(sky_two, name="o")
    first, second = steps(*sides, skies), steps(*sides, skies)
    for name in first:
        np.testing.assert_array_equal(pixels(first[name][1]), pixels(second[name][1]))


def test_noise_is_smoothed_away_and_light_is_not():
    stamps, sky = galaxies(20, rng_of(5), rms=0.02)
    images = a_set(stamps)
    out = CONTROLS["noiseless"](images, a_set(sky), rng_of(0))
    before, after = corners(images)[1], corners(a_set(out))[1]
    assert np.median(after / before) < 0.3
    flux = (out - 0.05).sum((1, 2, 3)) / (stamps - 0.05).sum((1, 2, 3))
    assert abs(np.median(flux) - 1) < 0.05


def test_details_and_rest_add_up_and_nothing_shrinks_without_noise():
    smooth = np.exp(-0.5 * ((np.mgrid[:32, :32] - 15.5) ** 2).sum(0) / 36)[None, None]
    details, rest = starlet(smooth.astype(np.float32))
    np.testing.assert_allclose(sum(details) + rest, smooth, atol=1e-5)
    flat = np.full((1, 1, 32, 32), 0.5, np.float32)
    np.testing.assert_allclose(shrunk(flat, np.ones(4)), flat, atol=1e-6)


def test_the_wrong_psf_is_half_as_wide_again():
    light = np.zeros((4, 3, 64, 64), np.float32)
    light[:, :, 32, 32] = 12.0
    star = convolve(light, np.full(4, 4.0), beta=np.inf)
    out = CONTROLS["psf"](a_set(star, psf=np.full(4, 4.0)), None, rng_of(0))
    fwhm, _, _ = adaptive_width(out[:, 1, 18:47, 18:47].astype(float))
    np.testing.assert_allclose(fwhm, 6.0, rtol=0.03)


def test_shuffled_bands_keep_the_luminance_and_need_two_bands():
    stamps, _ = galaxies(5, rng_of(2), gain=(1.0, 0.7, 0.4))
    out = CONTROLS["bands"](a_set(stamps), None, rng_of(0))
    np.testing.assert_allclose(out.mean(1), stamps.mean(1), atol=1e-6)
    assert (out[:, 2].sum((1, 2)) > out[:, 0].sum((1, 2))).all()
    with pytest.raises(NotComputableError, match="one band"):
        CONTROLS["bands"](a_set(stamps[:, :1]), None, rng_of(0))


def test_shuffled_pixels_keep_their_values():
    stamps, _ = galaxies(5, rng_of(2))
    out = CONTROLS["pixels"](a_set(stamps), None, rng_of(0))
    np.testing.assert_array_equal(np.sort(out, axis=None), np.sort(stamps, axis=None))
    assert np.abs(out - stamps).max() > 0.1


def test_stars_have_the_light_of_the_galaxies_and_the_width_of_the_psf():
    stamps, sky = galaxies(30, rng_of(4), peak=0.3, scale=3.0)
    images = a_set(stamps, psf=np.full(30, 6.0))
    out = CONTROLS["stars"](images, a_set(sky), rng_of(0))
    flux = [(part - 0.05).sum((2, 3)).mean() for part in (out, stamps)]
    assert abs(flux[0] / flux[1] - 1) < 0.05
    mean = out.mean((0, 1)).astype(float) - 0.05
    # The area above half of the maximum; the middle of an even stamp is between its pixels.
    assert abs(2 * np.sqrt((mean > mean.max() / 2).sum() / np.pi) - 6.0) < 0.5
    with pytest.raises(NotComputableError, match="sky"):
        CONTROLS["stars"](images, None, rng_of(0))


@pytest.mark.parametrize("side", [32, 33])
def test_a_point_source_is_in_the_middle(side):
    kernel = point_sources(np.array([4.0]), (side, side))[0]
    grid = np.arange(side) - (side - 1) / 2
    assert abs(kernel.sum() - 1) < 1e-9
    assert abs((kernel.sum(0) * grid).sum()) < 1e-9
    assert abs((kernel.sum(1) * grid).sum()) < 1e-9


def test_the_sky_of_a_simulation_is_taken_away_again():
    stamps, sky = galaxies(10, rng_of(6), rms=0.02)
    out = CONTROLS["sky removed"](a_set(stamps), a_set(sky), rng_of(0))
    light = stamps - sky + sky.mean()
    assert np.abs(out - light).mean() < 2 / 255  # the last encoding
    with pytest.raises(NotComputableError, match="own sky"):
        CONTROLS["sky removed"](a_set(stamps), a_set(sky, first=5), rng_of(0))


def test_a_sky_is_found_by_its_id():
    stamps, sky = galaxies(4, rng_of(0))
    assert rows_of(a_set(stamps), a_set(sky, first=2)).tolist() == [-1, -1, 0, 1]


@pytest.mark.parametrize(("own", "target", "left"), [(3.0, 3.0, 1 / 4), (3.0, 5.0, None)])
def test_own_noise_follows_from_averaging_and_blur(own, target, left):
    from astropy.table import QTable

    rng, n = rng_of(8), 30
    noise = 0.02
    originals = a_set(
        0.1 + rng.normal(0, noise, (n, 3, 160, 160)), psf=np.full(n, own), rendition="idealised"
    )
    # Two original pixels on a stamp's pixel; the target's PSF is known in both units.
    stamps = a_set(np.full((n, 3, 64, 64), 0.1), psf=np.full(n, target / 2)).replace(
        properties=QTable({"measured_psf_fwhm": np.full(n, target)})
    )
    sky = a_set(0.1 + rng.normal(0, noise, (n, 3, 64, 64)))
    share = float(np.median(own_noise_share(originals, stamps, sky)))
    if left is None:
        # Moffat of 4 pixels on white noise, then 2 x 2 averages: measured in the same way on a
        # frame without corners.
        wide = convolve(rng.normal(0, 1, (8, 1, 256, 256)).astype("f4"), np.full(8, 4.0))
        left = float(wide.reshape(8, 1, 128, 2, 128, 2).mean((3, 5)).var())
        assert left < 0.1
    # Corner blocks begin at any phase of the pixel grid: half a pixel off, averages of 2 reach
    # over 3 pixels and lose up to (3/8)² / (1/2)² of the variance.
    assert 0.5 * left < share < 1.15 * left


def test_own_noise_needs_the_psf():
    stamps, sky = galaxies(3, rng_of(0))
    with pytest.raises(NotComputableError, match="PSF"):
        own_noise_share(a_set(stamps), a_set(stamps), a_set(sky))


def test_interpolation_keeps_constants_and_lines():
    centre, width = np.array([10.0]), np.array([8.3])
    for kernel in ("linear", "cubic"):
        matrix = interpolation(32, centre=centre, width=width, n_out=11, kernel=kernel)[0]
        np.testing.assert_allclose(matrix.sum(1), 1.0)
        at = centre - width / 2 + width / 11 * (np.arange(11) + 0.5)
        np.testing.assert_allclose(matrix @ np.arange(32.0), at)


def test_a_zoom_magnifies_about_the_middle():
    y, x = np.mgrid[:64, :64] - 31.5
    disc = np.exp(-0.5 * (x**2 + y**2) / 6.0**2)[None, None].astype(np.float32)
    out = zoomed(disc, np.array([1.5]))
    np.testing.assert_allclose(out[0, 0], np.exp(-0.5 * (x**2 + y**2) / 9.0**2), atol=2e-3)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_change_to_both_sides_keeps_shape_and_range_and_says_the_same_again(name):
    stamps, _ = galaxies(6, rng_of(9))
    stamps = np.clip(stamps, 0, 1)
    out = TRANSFORMS[name](stamps)
    assert out.shape == stamps.shape
    assert out.dtype == np.float32
    assert out.min() >= -1e-6
    assert out.max() <= 1 + 1e-6
    assert np.abs(out - stamps).max() > 0.5 / 255
    np.testing.assert_array_equal(out, TRANSFORMS[name](stamps))


def test_stretches_rise_and_turns_undo_themselves():
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    for name in ("asinh stretch", "logarithmic stretch"):
        out = TRANSFORMS[name](ramp).ravel()
        assert (np.diff(out) > 0).all()
        np.testing.assert_allclose(out[[0, -1]], [0, 1], atol=1e-6)
    np.testing.assert_array_equal(TRANSFORMS["mirrored"](TRANSFORMS["mirrored"](ramp)), ramp)
    out = ramp
    for _ in range(4):
        out = TRANSFORMS["turned by 90 degrees"](out)
    np.testing.assert_array_equal(out, ramp)


def test_the_last_encoding_is_on_the_grid_and_close():
    stamps, _ = galaxies(3, rng_of(1))
    for bands in (1, 3):
        out = encoded(stamps[:, :bands])
        np.testing.assert_allclose(out * 255, np.rint(out * 255), atol=1e-3)
        assert np.abs(out - stamps[:, :bands]).mean() < 3 / 255
