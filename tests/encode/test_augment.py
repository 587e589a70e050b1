"""Laws of the augmentations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.errors import UsageError
from simreal.encode.augment import (
    Blur,
    Brightness,
    Colour,
    Contrast,
    Photometry,
    blur,
    draw_views,
    load_preset,
    place,
    placement_matrix,
)

PRESET = load_preset("galaxy-morphology")
REASON = "test"

seeds = st.integers(0, 2**31)
sizes = st.sampled_from([(32, 32), (40, 33)])


def images_of(seed, n=3, bands=2, size=(32, 32)):
    return torch.from_numpy(np.random.default_rng(seed).random((n, bands, *size), dtype=np.float32))


def uniform_of(seed, n, draws):
    return torch.from_numpy(np.random.default_rng(seed).random((n, draws), dtype=np.float32))


def fixed(n=3, *, angle=0.0, mirrored=False, zoom=1.0, shift=(0.0, 0.0), size=(32, 32)):
    return placement_matrix(
        angle=torch.full((n,), angle),
        mirrored=torch.full((n,), mirrored),
        zoom=torch.full((n,), zoom),
        shift=torch.tensor([shift] * n),
        size=size,
    )


@given(seeds, st.integers(1, 5), sizes)
def test_shape_and_finiteness(seed, bands, size):
    images = images_of(seed, bands=bands, size=size)
    before = images.clone()
    views = PRESET(images, uniform_of(seed, 3, PRESET.draws))
    assert views.shape == images.shape
    assert torch.isfinite(views).all()
    assert torch.equal(images, before), "an argument was written into"


@given(seeds, sizes)
def test_an_image_meets_its_own_numbers_whatever_the_batch(seed, size):
    images = images_of(seed, n=6, size=size)
    uniform = uniform_of(seed, 6, PRESET.draws)
    together = PRESET(images, uniform)
    apart = torch.cat([PRESET(images[i : i + 1], uniform[i : i + 1]) for i in range(6)])
    # Rounding of float32 only: products are summed in another order.
    torch.testing.assert_close(apart, together, atol=2e-6, rtol=0)


def test_the_table_of_an_epoch_follows_from_seed_and_epoch():
    table = draw_views(PRESET, 5, seed=1, epoch=2)
    np.testing.assert_array_equal(table, draw_views(PRESET, 5, seed=1, epoch=2))
    assert table.shape == (5, 2, PRESET.draws)
    for other in (draw_views(PRESET, 5, seed=2, epoch=2), draw_views(PRESET, 5, seed=1, epoch=3)):
        assert (table != other).all(axis=2).all()


@given(seeds, sizes)
def test_the_identity_is_exact(seed, size):
    images = images_of(seed, size=size)
    # A grid point is off by an ulp of its coordinate, 64 pixels * 6e-8.
    torch.testing.assert_close(place(images, fixed(size=size)), images, atol=1e-5, rtol=0)


@given(seeds, sizes)
def test_flips_are_exact(seed, size):
    images = images_of(seed, size=size)
    flipped = place(images, fixed(mirrored=True, size=size))
    torch.testing.assert_close(flipped, images.flip(3), atol=1e-5, rtol=0)


@given(seeds, st.integers(0, 3))
def test_quarter_turns_are_exact(seed, turns):
    images = images_of(seed)
    turned = place(images, fixed(angle=turns * math.pi / 2))
    torch.testing.assert_close(turned, images.rot90(turns, (2, 3)), atol=2e-5, rtol=0)


@given(seeds, st.integers(-3, 3), st.integers(-3, 3))
def test_whole_shifts_move_whole_pixels(seed, right, up):
    images = images_of(seed)
    moved = place(images, fixed(shift=(float(right), float(up))))
    expected = images.roll((-up, -right), (2, 3))
    inside = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(moved[inside], expected[inside], atol=1e-5, rtol=0)


@given(seeds, sizes)
def test_placement_stays_within_the_range_of_the_image(seed, size):
    # Mirrored outside and convex in between: no padded corner, no overshoot.
    images = images_of(seed, size=size) + 1
    placement = PRESET.operations[0]
    views = placement(images, uniform_of(seed, 3, placement.draws))
    low, high = images.amin((1, 2, 3)) - 1e-5, images.amax((1, 2, 3)) + 1e-5
    assert (views.amin((1, 2, 3)) >= low).all()
    assert (views.amax((1, 2, 3)) <= high).all()


@given(seeds)
def test_a_radial_profile_does_not_change_under_rotation(seed):
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    round_galaxy = torch.exp(-(x**2 + y**2) / (2 * 8.0**2))[None, None]
    angle = float(np.random.default_rng(seed).uniform(0, 2 * math.pi))
    turned = place(round_galaxy, fixed(1, angle=angle, size=(64, 64)))
    # Bilinear interpolation errs by at most h^2 / 8 (f_xx + f_yy) = 2 / (8 * 8^2).
    # The corners, which turn in from outside the image, are mirrored and not compared.
    inside = x**2 + y**2 < 31**2
    torch.testing.assert_close(
        turned[..., inside], round_galaxy[..., inside], atol=2 / (8 * 64), rtol=0
    )


@given(seeds, st.floats(0.05, 0.8))
def test_blur_keeps_flux_and_range_and_mirrors_with_the_image(seed, sigma):
    images = images_of(seed, n=2)
    width = torch.full((2,), sigma)
    blurred = blur(images, width)
    torch.testing.assert_close(blurred.sum((2, 3)), images.sum((2, 3)), rtol=1e-5, atol=0)
    assert blurred.min() >= images.min() - 1e-6
    assert blurred.max() <= images.max() + 1e-6
    torch.testing.assert_close(blur(images.flip(3), width), blurred.flip(3), atol=1e-6, rtol=0)


def test_blur_is_a_gaussian_of_the_width_asked_for():
    point = torch.zeros(1, 1, 33, 33)
    point[..., 16, 16] = 1
    offset = torch.arange(33) - 16.0
    for sigma in (0.3, 0.5, 0.8):
        profile = blur(point, torch.tensor([sigma]))[0, 0].sum(0)
        taps = torch.exp(-0.5 * (offset / sigma) ** 2) * (offset.abs() <= 2)
        torch.testing.assert_close(profile, taps / taps.sum(), atol=1e-6, rtol=0)


@given(seeds)
def test_only_the_share_is_blurred(seed):
    images = images_of(seed, n=8)
    uniform = uniform_of(seed, 8, 2)
    blurred = Blur(sigma=0.8, share=0.5, reason=REASON)(images, uniform)
    untouched = (blurred == images).flatten(1).all(1)
    assert untouched[uniform[:, 0] >= 0.5].all()
    # Below a quarter of a pixel the wings are lost in float32.
    assert not untouched[(uniform[:, 0] < 0.5) & (uniform[:, 1] * 0.8 > 0.25)].any()


@given(seeds, st.integers(1, 4))
def test_brightness_scales_and_contrast_keeps_the_mean(seed, bands):
    images = images_of(seed, bands=bands)
    brighter = Photometry(mixes=(Brightness(strength=0.2, reason=REASON),))
    uniform = uniform_of(seed, 3, 1)
    gain = (1 + (2 * uniform - 1) * 0.2)[:, :, None, None]
    torch.testing.assert_close(brighter(images, uniform), images * gain, atol=1e-6, rtol=0)
    contrast = Photometry(mixes=(Contrast(strength=0.2, reason=REASON),))
    changed = contrast(images, uniform)
    mean = images.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(changed, mean + (images - mean) * gain, atol=2e-6, rtol=0)


@given(seeds)
def test_composed_photometry_equals_its_parts_in_turn(seed):
    images = images_of(seed, bands=3)
    mixes = (
        Brightness(strength=0.2, reason=REASON),
        Contrast(strength=0.2, reason=REASON),
        Colour(saturation=0.2, gain=0.1, reason=REASON),
    )
    whole = Photometry(mixes=mixes)
    uniform = uniform_of(seed, 3, whole.draws)
    start, expected = 0, images
    for mix in mixes:
        part = Photometry(mixes=(mix,))
        expected = part(expected, uniform[:, start : start + mix.draws])
        start += mix.draws
    torch.testing.assert_close(whole(images, uniform), expected, atol=3e-6, rtol=0)


def test_one_band_has_no_colour_and_grey_stays_grey_under_saturation():
    colour = Photometry(mixes=(Colour(saturation=0.5, gain=0.0, reason=REASON),))
    uniform = uniform_of(0, 3, colour.draws)
    one = images_of(0, bands=1)
    torch.testing.assert_close(colour(one, uniform), one, atol=0, rtol=0)
    grey = one.repeat(1, 3, 1, 1)
    torch.testing.assert_close(colour(grey, uniform), grey, atol=1e-6, rtol=0)


def test_noise_is_white_and_of_the_drawn_width():
    noise = PRESET.operations[-1]
    images = torch.zeros(64, 1, 64, 64)
    uniform = uniform_of(0, 64, noise.draws)
    noisy = noise(images, uniform)
    drawn = uniform[:, 0] * noise.sigma
    # 4,096 pixels: a width is known to 1 / sqrt(2 * 4096) = 1.1 %, four of which are 4.4 %.
    torch.testing.assert_close(noisy.std((1, 2, 3)), drawn, rtol=0.045, atol=1e-5)
    step = (noisy[..., 1:] * noisy[..., :-1]).mean((1, 2, 3)) / drawn.clamp_min(1e-6) ** 2
    # The mean over 64 images has a standard error of 1 / sqrt(64 * 4096) = 0.002.
    assert abs(float(step[drawn > 1e-4].mean())) < 0.01


def test_every_operation_gives_a_reason():
    assert all(len(operation.reason) > 20 for operation in PRESET.operations)
    assert len(PRESET.describe()) == len(PRESET.operations)


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'galaxy-morphology'"):
        load_preset("galaxy-morphologie")
