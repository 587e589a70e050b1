"""Convolve idealised images with a PSF whose width differs from image to image."""

from typing import Literal

import numpy as np
import scipy.fft

from simreal.core.arrays import Float32Array, Float64Array
from simreal.core.errors import UsageError

#: Wings of a ground-based PSF: Moffat index of the SDSS and of seeing in general
#: (Racine 1996 finds 3 to 4); infinity would be a Gaussian.
MOFFAT_BETA = 3.5
#: [pixel] A kernel this wide may be sampled at pixel centres.
WELL_SAMPLED = 3.0
#: Kernels reach this many FWHM from the centre; 0.4 % of the light lies beyond.
REACH = 3.0


def moffat_kernels(fwhm: Float64Array, side: int, *, beta: float = MOFFAT_BETA) -> Float64Array:
    """Return centred Moffat profiles that sum to one.

    Narrow kernels are averaged over 3 x 3 points per pixel: sampled at pixel centres alone,
    a PSF of one or two pixels would come out too peaked.

    Parameters
    ----------
    fwhm : array (n,)
        [pixel]
    side : int
        Odd side of the kernels.

    Returns
    -------
    array (n, side, side)

    Examples
    --------
    >>> kernel = moffat_kernels(np.array([3.0]), 21)[0]
    >>> round(float(kernel.sum()), 6), int(kernel.argmax())
    (1.0, 220)
    """
    points = 3 if fwhm.min(initial=np.inf) < WELL_SAMPLED else 1
    fine = (np.arange(points * side) - (points * side - 1) / 2) / points
    square = fine[:, None] ** 2 + fine**2
    scale = np.maximum(fwhm, 0.05) / (2 * np.sqrt(2 ** (1 / beta) - 1))
    kernels = (1 + square / scale[:, None, None] ** 2) ** -beta
    kernels = kernels.reshape(len(fwhm), side, points, side, points).mean((2, 4))
    return np.asarray(kernels / kernels.sum((1, 2), keepdims=True))


def missing_width(own: Float64Array, target: Float64Array) -> Float64Array:
    """Return the FWHM that brings a PSF of width `own` to `target`; NaN where it is wider.

    Widths add in quadrature, exactly for Gaussians and to a few percent for Moffats.

    Examples
    --------
    >>> missing_width(np.array([3.0, 5.0]), np.array([5.0, 4.0])).tolist()
    [4.0, nan]
    """
    square = target**2 - own**2
    return np.sqrt(np.where(square >= 0, square, np.nan))


def gaussian_transfer(fwhm: Float64Array, shape: tuple[int, int]) -> Float64Array:
    """Return the Fourier transform of centred Gaussians on a real-FFT grid."""
    sigma = fwhm[:, None, None] / (2 * np.sqrt(2 * np.log(2)))
    ky, kx = scipy.fft.fftfreq(shape[0])[:, None], scipy.fft.rfftfreq(shape[1])
    return np.asarray(np.exp(-2 * np.pi**2 * sigma**2 * (ky**2 + kx**2)))


def convolve(
    images: Float32Array,
    fwhm: Float64Array,
    *,
    beta: float = MOFFAT_BETA,
    edges: Literal["reflect", "wrap"] = "reflect",
) -> Float32Array:
    """Convolve each image with a round PSF of its own width.

    Edges are extended by reflection, not by zeros: light that enters the frame from beyond
    the field is replaced by light that leaves it.

    Parameters
    ----------
    images : array (n, band, y, x)
    fwhm : array (n,)
        [pixel], zero for no smoothing.
    beta : float
        Moffat index; infinity for a Gaussian.
    edges : {"reflect", "wrap"}
        ``wrap`` for noise, whose variance a reflection would raise along the border.

    Returns
    -------
    array (n, band, y, x)

    Raises
    ------
    UsageError
        If a width is negative or not finite: sharpening is refused.

    Examples
    --------
    >>> point = np.zeros((1, 1, 33, 33), "f4"); point[0, 0, 16, 16] = 1
    >>> round(float(convolve(point, np.array([3.0])).sum()), 4)
    1.0
    """
    if not (np.isfinite(fwhm).all() and (fwhm >= 0).all()):
        bad = fwhm[~(np.isfinite(fwhm) & (fwhm >= 0))][0]
        raise UsageError(
            f"PSF: got a width of {bad} pixel, allowed are finite widths from 0 up (a PSF that "
            "is wider than its target's would have to be sharpened, which is refused)"
        )
    height, width = images.shape[-2:]
    pad = int(min(np.ceil(REACH * fwhm.max(initial=0.0)) + 1, height - 1, width - 1))
    padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode=edges)
    shape = (
        scipy.fft.next_fast_len(height + 2 * pad, real=True),
        scipy.fft.next_fast_len(width + 2 * pad, real=True),
    )
    transfer = _transfer(fwhm, shape, beta)[:, None]
    spectrum = scipy.fft.rfft2(padded, shape)
    smooth = scipy.fft.irfft2(spectrum * transfer, shape)
    return np.asarray(smooth[..., pad : pad + height, pad : pad + width], dtype=images.dtype)


def _transfer(fwhm: Float64Array, shape: tuple[int, int], beta: float) -> Float32Array:
    if np.isinf(beta):
        return gaussian_transfer(fwhm, shape).astype(np.float32)
    side = int(
        min(2 * np.ceil(REACH * fwhm.max(initial=0.0)) + 5, min(shape) - (1 - min(shape) % 2))
    )
    side -= 1 - side % 2
    kernels = moffat_kernels(fwhm, side, beta=beta).astype(np.float32)
    embedded = np.zeros((len(fwhm), *shape), dtype=np.float32)
    embedded[:, :side, :side] = kernels
    centred = np.roll(embedded, (-(side // 2), -(side // 2)), axis=(1, 2))
    return np.asarray(scipy.fft.rfft2(centred))
