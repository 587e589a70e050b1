"""How far the bands of an image lie from one another."""

import numpy as np
import scipy.fft

from simreal.core.arrays import Float32Array, Float64Array

#: [pixel] Band pass for offsets between bands; weight and window in sides of the stamp.
REGISTRATION_BAND = (1.5, 6.0)
REGISTRATION_WIDTH, REGISTRATION_REACH = 7 / 64, 1 / 4


def band_passed(images: Float32Array, narrow: float, wide: float) -> Float32Array:
    """Return Gaussian smoothing by `narrow` minus by `wide` [pixel] of images ``(..., y, x)``.

    Examples
    --------
    >>> ramp = np.tile(np.arange(64, dtype="f4"), (64, 1))
    >>> bool(np.abs(band_passed(5 + ramp, 1.0, 3.0)[:, 16:-16]).max() < 1e-3)
    True
    """
    height, width = images.shape[-2:]
    waves = scipy.fft.dctn(images, axes=(-2, -1), norm="ortho")
    y, x = np.pi * np.arange(height) / height, np.pi * np.arange(width) / width
    square = y[:, None] ** 2 + x**2
    transfer = np.exp(-square * narrow**2 / 2) - np.exp(-square * wide**2 / 2)
    return np.asarray(
        scipy.fft.idctn(waves * transfer.astype(np.float32), axes=(-2, -1), norm="ortho")
    )


def distance_from_centre(height: int, width: int) -> Float64Array:
    """Return the distance [pixel] of every pixel from the middle of the stamp."""
    y, x = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    return np.asarray(np.hypot(y[:, None], x))


def band_offsets(pixels: Float32Array) -> Float64Array:
    """Return how far each band lies from the mean of the others ``(n, band, 2)``, x and y.

    Least squares of the band on the others' mean and its two slopes, in the middle of the
    stamp: colours that are symmetric about the centre do not count.

    Parameters
    ----------
    pixels : array (n, band, y, x)
        Two bands or more.

    Examples
    --------
    >>> x = np.arange(64) - 31.5
    >>> band = lambda at: np.exp(-0.5 * ((x - at) ** 2 + x[:, None] ** 2) / 25)
    >>> found = band_offsets(np.stack([band(0), 2 * band(0.3)])[None].astype("f4"))
    >>> found[0, :, 0].round(2).tolist()
    [-0.3, 0.3]
    """
    n, bands, height, width = pixels.shape
    side = min(height, width)
    smooth = band_passed(pixels, *REGISTRATION_BAND)
    reach = round(REGISTRATION_REACH * side)
    rows, columns = (slice(size // 2 - reach, size // 2 + reach) for size in (height, width))
    far = distance_from_centre(height, width)[rows, columns] / (REGISTRATION_WIDTH * side)
    weight = np.exp(-0.25 * far**2).astype(np.float32)  # the root of the weight
    slopes = [np.gradient(smooth, axis=axis)[:, :, rows, columns] * weight for axis in (3, 2)]
    planes = [smooth[:, :, rows, columns] * weight, *slopes]
    total = [plane.sum(axis=1) for plane in planes]
    out = np.full((n, bands, 2), np.nan)
    for b in range(bands):
        others = [(t - p[:, b]) / (bands - 1) for t, p in zip(total, planes, strict=True)]
        design = np.stack([other.reshape(n, -1) for other in others], axis=1)
        found = _least_squares(design, planes[0][:, b].reshape(n, -1))
        with np.errstate(divide="ignore", invalid="ignore"):
            out[:, b] = -found[:, 1:] / found[:, :1]
    return np.where(np.abs(out) <= reach, out, np.nan)


def _least_squares(design: Float32Array, target: Float32Array) -> Float64Array:
    """Return the coefficients ``(n, k)`` of rows ``(n, k, pixel)`` that give ``(n, pixel)``."""
    product = (design @ design.swapaxes(1, 2)).astype(np.float64)
    right = (design @ target[..., None]).astype(np.float64)
    scale = np.trace(product, axis1=1, axis2=2)[:, None, None]
    # A touch of ridge: a band without light has no answer, and needs none.
    product += (1e-9 * scale + 1e-30) * np.eye(product.shape[1])
    return np.asarray(np.linalg.solve(product, right)[..., 0])
