"""Sky level and rms survive sources, gradients of a few bright pixels and quantisation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.measure.sky import border_mask, border_sky, clipped_statistics


@given(st.floats(-5, 5), st.floats(0.1, 3), st.integers(0, 2**31 - 1))
def test_clipped_statistics_follow_shift_and_scale(shift, scale, seed):
    values = np.random.default_rng(seed).normal(size=400)
    level, rms = clipped_statistics(values)
    moved, stretched = clipped_statistics(shift + scale * values)
    # The same values are clipped, so that both numbers follow exactly, up to rounding.
    assert moved == pytest.approx(shift + scale * level, abs=1e-9)
    assert stretched == pytest.approx(scale * rms, rel=1e-9)


def test_bright_sources_do_not_move_the_sky():
    rng = np.random.default_rng(0)
    values = rng.normal(10, 1, 20_000)
    contaminated = np.concatenate([values, rng.uniform(20, 200, 1_000)])
    level, rms = clipped_statistics(contaminated)
    # Clipping at 3 sigma takes 1.3 % off a Gaussian's rms; errors of the mean are 1 / sqrt(n).
    assert level == pytest.approx(10, abs=4 / np.sqrt(20_000) + 0.02)
    assert rms == pytest.approx(1, rel=0.03)


def test_constant_and_quantised_values():
    level, rms = clipped_statistics(np.full(50, 3.0))
    assert (float(level), float(rms)) == (3.0, 0.0)
    mostly_zero = np.r_[np.zeros(80), np.ones(20)]
    level, rms = clipped_statistics(mostly_zero)
    assert float(rms) > 0
    assert float(level) == pytest.approx(0.2)


def test_border_sky_ignores_a_galaxy_in_the_middle():
    rng = np.random.default_rng(1)
    stamps = rng.normal(0.1, 0.02, (5, 3, 128, 128)).astype(np.float32)
    y, x = np.indices((128, 128)) - 63.5
    stamps += 5 * np.exp(-0.5 * (x**2 + y**2) / 8**2).astype(np.float32)
    level, rms = border_sky(stamps)
    assert level.shape == rms.shape == (5, 3)
    # 3,000 border pixels: error of the mean .02 / sqrt(3000) = .0004, five of them allowed.
    assert np.allclose(level, 0.1, atol=0.002)
    assert np.allclose(rms, 0.02, rtol=0.08)


def test_border_is_at_least_two_pixels_wide():
    assert border_mask((16, 16), 0.01).sum() == 16 * 16 - 12 * 12
