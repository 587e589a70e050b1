"""Resampling, background and re-encoding of stamps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.match.pixels import (
    overlap_matrix,
    remove_background,
    requantise,
    resample,
    resample_masked,
)


def one(value):
    return np.array([float(value)])


@settings(max_examples=60)
@given(
    st.integers(8, 60), st.floats(3.0, 70.0), st.floats(-5.0, 5.0), st.integers(1, 40),
    st.integers(0, 2**31 - 1),
)  # fmt: skip
def test_flux_inside_the_frame_is_conserved(n_in, width, shift, n_out, seed):
    image = np.random.default_rng(seed).random((1, 2, n_in, n_in))
    x, y = one((n_in - 1) / 2 + shift), one((n_in - 1) / 2 - shift)
    out = resample(image, x=x, y=y, width=one(width), n_out=n_out, conserve="flux")
    # One output pixel as wide as the frame: the exact flux inside.
    whole = resample(image, x=x, y=y, width=one(width), n_out=1, conserve="flux")
    assert np.allclose(out.sum((2, 3)), whole[..., 0, 0], rtol=1e-6, atol=1e-9)
    if width > n_in + 2 * abs(shift):
        assert np.allclose(out.sum((2, 3)), image.sum((2, 3)), rtol=1e-6)


@given(st.floats(5.0, 30.0), st.floats(14.0, 17.0), st.integers(4, 40))
def test_brightness_of_a_flat_image_is_kept(width, centre, n_out):
    flat = np.full((1, 1, 32, 32), 0.37)
    out = resample(flat, x=one(centre), y=one(centre), width=one(min(width, 28.0)), n_out=n_out)
    assert np.allclose(out, 0.37, rtol=1e-9)


def test_single_precision_conserves_flux_to_a_millionth():
    images = np.random.default_rng(0).random((4, 3, 424, 424)).astype(np.float32)
    args = {"x": np.full(4, 211.5), "y": np.full(4, 211.5), "width": np.full(4, 430.0)}
    out = resample(images, **args, n_out=64, conserve="flux")
    assert out.dtype == np.float32
    total = images.sum((2, 3), dtype=np.float64)
    assert np.allclose(out.sum((2, 3), dtype=np.float64), total, rtol=1e-6)


@given(st.integers(0, 2**31 - 1), st.floats(-2, 2), st.floats(-2, 2))
@settings(max_examples=20)
def test_flips_commute_with_resampling(seed, dx, dy):
    image = np.random.default_rng(seed).random((1, 1, 31, 31))
    middle, args = 15.0, {"width": one(20.0), "n_out": 11}
    straight = resample(image, x=one(middle + dx), y=one(middle + dy), **args)
    flipped = resample(image[..., ::-1], x=one(middle - dx), y=one(middle + dy), **args)
    assert np.allclose(flipped[..., ::-1], straight, atol=1e-12)


def test_sub_pixel_shift_moves_the_centroid():
    image = np.zeros((1, 1, 41, 41))
    image[0, 0, 20, 20] = 1
    for shift in (0.0, 0.25, -0.4):
        args = {"x": one(20 + shift), "y": one(20.0), "width": one(21.0), "n_out": 21}
        out = resample(image, **args)[0, 0]
        assert (out * (np.arange(21) - 10)).sum() / out.sum() == pytest.approx(-shift, abs=1e-9)


def test_each_image_of_a_block_has_its_own_frame():
    images = np.random.default_rng(1).random((3, 1, 50, 50))
    x, y, width = (
        np.array([20.0, 25.3, 30.1]),
        np.array([25.0, 22.2, 28.0]),
        np.array([9.0, 15, 18]),
    )
    together = resample(images, x=x, y=y, width=width, n_out=8)
    for k in range(3):
        part = slice(k, k + 1)
        alone = resample(images[part], x=x[part], y=y[part], width=width[part], n_out=8)
        assert np.allclose(together[k], alone[0], atol=1e-12)


def test_rows_of_the_overlap_matrix_sum_to_the_pixel_size():
    matrix = overlap_matrix(40, np.array([19.5]), np.array([30.0]), 12)[0]
    assert np.allclose(matrix.sum(1), 2.5)
    assert np.allclose(matrix[:, 10:30].sum(0), 1.0)


def test_background_is_the_border_level_and_nothing_falls_below_zero():
    rng = np.random.default_rng(2)
    images = rng.uniform(0.09, 0.11, (2, 3, 64, 64)).astype(np.float32)
    images[:, :, 24:40, 24:40] += 0.5
    out = remove_background(images)
    assert out.min() == 0.0
    assert out[:, :, 28:36, 28:36].mean() == pytest.approx(0.5, abs=0.005)
    assert out[:, :, :8].mean() < 0.006


def test_requantised_stamps_are_8_bit_clipped_and_near_the_input():
    y, x = np.indices((64, 64)) / 63.0
    smooth = np.stack([x, y, (x + y) / 2])[None].astype(np.float32)
    out = requantise(smooth * 1.2 - 0.1, quality=90)
    assert out.min() >= 0
    assert out.max() <= 1
    assert np.allclose(np.rint(out * 255), out * 255, atol=1e-4)
    assert np.abs(out - np.clip(smooth * 1.2 - 0.1, 0, 1)).mean() < 0.01
    assert np.array_equal(out, requantise(smooth * 1.2 - 0.1, quality=90))


def test_requantising_twice_changes_little():
    rng = np.random.default_rng(3)
    stamps = rng.uniform(0.1, 0.3, (4, 3, 32, 32)).astype(np.float32)
    once = requantise(stamps, quality=95)
    twice = requantise(once, quality=95)
    assert np.abs(twice - once).mean() < 0.25 * np.abs(once - stamps).mean() + 1e-3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 0.3), st.sampled_from(["flux", "brightness"]))
def test_a_flat_field_stays_flat_whatever_is_missing(seed, share, conserve):
    rng = np.random.default_rng(seed)
    mask = rng.random((3, 2, 30, 30)) < share
    x, y = rng.uniform(13, 16, (2, 3))
    width = rng.uniform(20, 26, 3)
    out, missing = resample_masked(
        np.where(mask, np.nan, 4.0), mask, x=x, y=y, width=width, n_out=9, conserve=conserve
    )
    area = (width / 9)[:, None, None, None] ** 2 if conserve == "flux" else np.ones((3, 1, 1, 1))
    expected = np.broadcast_to(4.0 * area, out.shape)
    assert out[~missing] == pytest.approx(expected[~missing], rel=1e-9)
    assert not out[missing].any()


def test_without_missing_pixels_a_mask_changes_nothing_inside_the_field():
    image = np.random.default_rng(0).random((1, 1, 30, 30))
    frame = {"x": np.array([14.0]), "y": np.array([15.0]), "width": np.array([21.0]), "n_out": 10}
    out, missing = resample_masked(image, np.zeros(image.shape, bool), **frame)
    assert out == pytest.approx(resample(image, **frame, conserve="flux"), rel=1e-12)
    assert not missing.any()


def test_beyond_the_field_pixels_are_missing():
    frame = {"x": np.array([0.0]), "y": np.array([15.0]), "width": np.array([20.0]), "n_out": 20}
    out, missing = resample_masked(np.ones((1, 1, 30, 30)), np.zeros((1, 1, 30, 30), bool), **frame)
    # Pixel j covers j - 10 to j - 9, the field starts at -1/2: the tenth pixel is half in it.
    assert missing[0, 0].all(axis=0).tolist() == [True] * 9 + [False] * 11
    assert not out[missing].any()
