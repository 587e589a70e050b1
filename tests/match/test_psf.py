"""PSFs: normalised, as wide as asked, and never narrower than what is there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.core.errors import UsageError
from simreal.match.psf import convolve, missing_width, moffat_kernels


def half_width(profile):
    """Full width at half maximum of a profile that peaks in its middle, by interpolation."""
    middle = len(profile) // 2
    side = profile[middle:] / profile[middle]
    k = int(np.argmax(side < 0.5))
    return 2 * (k - 1 + (side[k - 1] - 0.5) / (side[k - 1] - side[k]))


@settings(max_examples=20)
@given(st.floats(3.5, 12.0), st.floats(2.5, 6.0))
def test_moffat_kernels_have_their_width_and_unit_sum(fwhm, beta):
    kernel = moffat_kernels(np.array([fwhm]), 81, beta=beta)[0]
    assert kernel.sum() == pytest.approx(1.0, abs=1e-9)
    # Linear interpolation between pixels of a curve: a few percent at the narrow end.
    assert half_width(kernel[40]) == pytest.approx(fwhm, rel=0.04)


@settings(max_examples=15)
@given(st.floats(0.0, 9.0), st.integers(0, 99))
def test_convolution_keeps_flux_and_stays_positive(fwhm, seed):
    image = np.zeros((1, 3, 96, 96), np.float32)
    image[..., 40:56, 40:56] = np.random.default_rng(seed).random((1, 3, 16, 16))
    out = convolve(image, np.array([fwhm]))
    # Wings that leave through the edge come back by reflection.
    assert np.allclose(out.sum((2, 3)), image.sum((2, 3)), rtol=5e-3)
    assert out.min() > -1e-5


def test_zero_width_changes_nothing():
    image = np.random.default_rng(0).random((2, 1, 40, 40)).astype(np.float32)
    assert np.allclose(convolve(image, np.zeros(2)), image, atol=1e-3)


def test_each_image_gets_its_own_width():
    image = np.zeros((2, 1, 65, 65), np.float32)
    image[:, 0, 32, 32] = 1
    out = convolve(image, np.array([3.0, 9.0]))
    assert half_width(out[0, 0, 32]) == pytest.approx(3, rel=0.08)
    assert half_width(out[1, 0, 32]) == pytest.approx(9, rel=0.05)


@given(st.floats(1.0, 5.0), st.floats(1.0, 5.0))
def test_missing_width_completes_the_square(own, extra):
    target = np.array([np.hypot(own, extra)])
    assert missing_width(np.array([own]), target)[0] == pytest.approx(extra, rel=1e-6)


@pytest.mark.parametrize("width", [-1.0, np.nan, np.inf])
def test_sharpening_is_refused(width):
    with pytest.raises(UsageError, match="sharpened"):
        convolve(np.zeros((1, 1, 8, 8), np.float32), np.array([width]))
