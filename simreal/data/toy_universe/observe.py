"""Observing: correlated noise, and the one display mapping of every toy collection."""

import numpy as np
import scipy.fft

from simreal.core.arrays import AnyArray, Float32Array, Float64Array

#: Sky noise in red, green and blue, per that in green.
BAND_NOISE = np.array([1.45, 1.0, 0.70])

#: Photoelectrons per nanomaggy, which set the shot noise of the source itself.
ELECTRONS = 900.0

#: [nJy] One nanomaggy: 10 ** (-0.4 * 22.5) of the AB zero flux, 3631 Jy.
NANOMAGGY = 3630.7805477010024

DISPLAY = "lupton-asinh-v1"

#: Weights of red, green and blue in the composite, so that a mixed population looks white.
DISPLAY_WEIGHTS = np.array([0.86, 1.0, 1.37])

DISPLAY_SKY = 0.11  # where empty sky lies, so that negative noise is not clipped
_SOFTENING = 1.0  # [nanomaggy / arcsec2] linear below, logarithmic above
_BRIGHTEST = 80.0  # [nanomaggy / arcsec2] reaches 0.9 above the sky
_GAIN = 0.9 / np.arcsinh(_BRIGHTEST / _SOFTENING)


def add_noise(
    images: Float32Array, white: Float32Array, *, sky_rms: Float64Array, correlation: float
) -> Float32Array:
    """Return images with sky and shot noise.

    White noise of the local variance goes through a filter whose power spectrum is
    ``(1 + 2 r cos kx) (1 + 2 r cos ky)``: adjacent pixels correlate by exactly r, diagonal
    ones by r squared, others not at all, and the rms of the sky is unchanged.

    Parameters
    ----------
    images : array (n, 3, y, x)
        [nanomaggy / pixel]
    white : array (n, 3, y, x)
        Standard normal deviates.
    sky_rms : array (n,)
        [nanomaggy / pixel] in green; 0 for no noise of any kind.
    correlation : float
        r, from 0 to 0.5.
    """
    noisy = sky_rms > 0.0
    rms = (sky_rms[:, None] * BAND_NOISE).astype(np.float32)[:, :, None, None]
    shot = np.maximum(images, 0.0) / np.float32(ELECTRONS)
    noise = white * np.sqrt(rms**2 + shot)
    spectrum = scipy.fft.rfft2(noise)
    height, width = images.shape[-2:]
    spectrum *= np.outer(
        _filter(scipy.fft.fftfreq(height), correlation),
        _filter(scipy.fft.rfftfreq(width), correlation),
    )
    noise = scipy.fft.irfft2(spectrum, s=(height, width))
    return np.asarray(images + noisy[:, None, None, None] * noise, dtype=np.float32)


def display(images: Float32Array) -> AnyArray:
    """Return 8-bit composites of red, green and blue flux (Lupton et al. 2004, PASP 116, 133).

    The mean of the weighted bands is stretched by asinh and each band keeps its ratio to it,
    so that colour survives; where a band would exceed 1 the pixel is dimmed as a whole. The
    mapping is fixed: it never looks at the image.

    Parameters
    ----------
    images : array (n, 3, y, x)
        Surface brightness [nanomaggy / arcsec2], so that pixels of any size look alike.

    Examples
    --------
    >>> display(np.zeros((1, 3, 1, 1), np.float32)).ravel().tolist()
    [28, 28, 28]
    """
    weighted = images * DISPLAY_WEIGHTS.astype(np.float32)[:, None, None]
    # Noise around zero must not divide by zero: the ratio has a finite limit there.
    intensity = np.maximum(np.abs(weighted.mean(axis=1, keepdims=True)), np.float32(1e-6))
    ratio = np.float32(_GAIN) * np.arcsinh(intensity / np.float32(_SOFTENING)) / intensity
    shown = np.float32(DISPLAY_SKY) + weighted * ratio
    shown /= np.maximum(shown.max(axis=1, keepdims=True), 1.0)
    return np.asarray(np.rint(255.0 * np.clip(shown, 0.0, 1.0)), dtype=np.uint8)


def display_noise(surface_rms: Float64Array) -> Float64Array:
    """Return the sky rms ``(n, 3)`` on the display scale, to first order in the noise.

    Parameters
    ----------
    surface_rms : array (n,)
        [nanomaggy / arcsec2] in green.
    """
    slope = _GAIN / _SOFTENING
    return np.asarray(surface_rms[:, None] * BAND_NOISE * DISPLAY_WEIGHTS * slope)


def flux(images: Float32Array) -> Float32Array:
    """Return calibrated pixels [nJy / pixel] of images [nanomaggy / pixel].

    Examples
    --------
    >>> value = flux(np.ones((1, 1, 1, 1), np.float32)).item()
    >>> round(float(31.4 - 2.5 * np.log10(value)), 3)
    22.5
    """
    return np.asarray(images * np.float32(NANOMAGGY), dtype=np.float32)


def flux_noise(sky_rms: Float64Array) -> Float64Array:
    """Return the sky rms ``(n, 3)`` [nJy / pixel] of images with `sky_rms` ``(n,)`` in green.

    Parameters
    ----------
    sky_rms : array (n,)
        [nanomaggy / pixel]
    """
    return np.asarray(sky_rms[:, None] * BAND_NOISE * NANOMAGGY)


def _filter(frequency: Float64Array, correlation: float) -> Float32Array:
    power = 1.0 + 2.0 * correlation * np.cos(2.0 * np.pi * frequency)
    return np.sqrt(np.maximum(power, 0.0)).astype(np.float32)
