"""PSF widths from stars, noise correlation and power spectra."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from simreal.measure.power import azimuthal_power
from simreal.measure.psf import FWHM_PER_SIGMA, adaptive_width, correlation_length, fill_widths
from simreal.measure.stamps import measure_image


@settings(max_examples=25)
@given(st.floats(1.2, 4.0), st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
def test_width_of_a_gaussian_star_at_any_phase(sigma, x, y):
    grid = np.arange(-14, 15)
    star = np.exp(-0.5 * ((grid[None, :] - x) ** 2 + (grid[:, None] - y) ** 2) / sigma**2)
    fwhm, shear, offset = adaptive_width(star[None])
    assert fwhm[0] == pytest.approx(FWHM_PER_SIGMA * sigma, rel=0.01)
    assert shear[0] < 0.01
    assert offset[0] == pytest.approx(np.hypot(x, y), abs=0.02)


def frame_with_stars(sigma, n=12, seed=0):
    rng = np.random.default_rng(seed)
    plane = np.zeros((240, 240))
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    y, x = np.indices(plane.shape)
    for a in angle:
        cx, cy = 119.5 + 90 * np.cos(a), 119.5 + 90 * np.sin(a)
        plane += 0.4 * np.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2) / sigma**2)
    plane += 0.5 * np.exp(-np.hypot(x - 119.5, y - 119.5) / 10)
    return (plane + rng.normal(0.05, 0.003, (3, 240, 240))).astype(np.float32)


@pytest.mark.parametrize("sigma", [1.5, 2.5, 3.5])
def test_frames_with_stars_give_their_psf(sigma):
    found = measure_image(frame_with_stars(sigma), binning=2)
    assert found["stars"] >= 8
    assert found["psf_fwhm"] == pytest.approx(FWHM_PER_SIGMA * sigma, rel=0.05)


def test_single_band_blobs_are_not_stars():
    image = frame_with_stars(2.0)
    image[1:] = frame_with_stars(2.0, n=0)[1:]
    assert measure_image(image, binning=2)["stars"] == 0


def test_correlation_length_grows_with_smoothing():
    rng = np.random.default_rng(2)
    lengths = [
        correlation_length(gaussian_filter(rng.normal(size=(240, 240)), s).astype(np.float32))
        for s in (1.0, 2.0, 3.0)
    ]
    # White noise smoothed by a Gaussian s has autocorrelation exp(-lag^2 / 4 s^2), which is
    # one half at a lag of 2 s sqrt(ln 2).
    assert lengths == pytest.approx([2 * s * np.sqrt(np.log(2)) for s in (1, 2, 3)], rel=0.12)


def test_missing_widths_follow_the_noise():
    rng = np.random.default_rng(0)
    length = rng.uniform(1, 4, 200)
    widths = 3 * length * np.exp(rng.normal(0, 0.05, 200))
    hidden = widths.copy()
    hidden[::4] = np.nan
    filled, slope = fill_widths(hidden, length)
    assert slope == pytest.approx(1.0, abs=0.05)
    assert np.abs(np.log(filled[::4] / widths[::4])).max() < 0.3
    assert np.array_equal(filled[1::4], widths[1::4])


def test_unrelated_noise_gives_the_median():
    filled, slope = fill_widths(np.r_[np.linspace(2, 4, 51), np.nan], np.full(52, 2.0))
    assert slope == 0.0
    assert filled[-1] == pytest.approx(3.0)


def test_nothing_known_stays_unknown():
    filled, _ = fill_widths(np.full(3, np.nan), np.ones(3))
    assert np.isnan(filled).all()


@settings(max_examples=10)
@given(st.floats(0.5, 3.0))
def test_power_of_white_noise_is_its_variance_and_parseval_like(rms):
    rng = np.random.default_rng(5)
    _, power = azimuthal_power(rng.normal(0, rms, (60, 48, 48)).astype(np.float32))
    # 60 stamps, at least 20 modes a bin: relative error below 1 / sqrt(1200) = 3 %; clipping
    # at 4 sigma takes nothing measurable.
    assert np.allclose(power.mean(0), rms**2, rtol=0.12)


def test_a_star_does_not_enter_the_power():
    rng = np.random.default_rng(6)
    plain = rng.normal(0, 1, (30, 48, 48)).astype(np.float32)
    starry = plain.copy()
    starry[:, 20:23, 20:23] += 50
    _, a = azimuthal_power(plain)
    _, b = azimuthal_power(starry)
    assert np.allclose(a.mean(0), b.mean(0), rtol=0.05)
