"""Sky level and noise of stamps, from the pixels along their border."""

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, Float64Array

BORDER_FRACTION = 0.08
CLIP_SIGMA = 3.0
CLIP_ROUNDS = 5
#: Strided border pixels beyond this number add time and, the noise being correlated, little else.
MAX_BORDER_PIXELS = 3000


def border_mask(shape: tuple[int, int], fraction: float = BORDER_FRACTION) -> BoolArray:
    """Return True on the outer `fraction` of a stamp, at least two pixels wide.

    Examples
    --------
    >>> int(border_mask((10, 10), 0.1).sum())
    64
    """
    width = max(2, round(fraction * min(shape)))
    mask = np.ones(shape, dtype=bool)
    mask[width : shape[0] - width, width : shape[1] - width] = False
    return mask


def clipped_statistics(values: Float32Array) -> tuple[Float64Array, Float64Array]:
    """Return the sigma-clipped mean and rms along the last axis.

    The first round stands on median and median absolute deviation, so that a bright
    neighbour in the border cannot hold itself in; the later rounds use mean and rms,
    because the mean is what adds to a flux. Clipped, half-normal display noise has a mean
    above its median.

    Parameters
    ----------
    values : array (..., k)

    Returns
    -------
    level, rms : arrays (...)

    Examples
    --------
    >>> level, rms = clipped_statistics(np.r_[np.tile([1.0, 2.0, 3.0], 30), 99.0])
    >>> float(level), round(float(rms), 3)
    (2.0, 0.816)
    """
    middle = np.median(values, axis=-1, keepdims=True)
    spread = 1.4826 * np.median(np.abs(values - middle), axis=-1, keepdims=True)
    # Quantised images can have more than half of their pixels on one value.
    spread = np.where(spread > 0, spread, values.std(axis=-1, keepdims=True))
    # Moments about the first middle: differences of large numbers would lose digits.
    shifted = np.asarray(values - middle, dtype=np.float64)
    square = shifted * shifted
    offset = np.zeros_like(spread, dtype=np.float64)
    for _ in range(CLIP_ROUNDS):
        keep = (np.abs(shifted - offset) <= CLIP_SIGMA * spread + 1e-12).astype(np.float64)
        count = np.maximum(keep.sum(axis=-1, keepdims=True), 1.0)
        offset = np.einsum("...k,...k->...", keep, shifted)[..., None] / count
        second = np.einsum("...k,...k->...", keep, square)[..., None] / count
        spread = np.sqrt(np.maximum(second - offset**2, 0.0))
    return np.asarray((middle + offset)[..., 0], np.float64), np.asarray(spread[..., 0])


def border_sky(
    stamps: Float32Array, *, fraction: float = BORDER_FRACTION
) -> tuple[Float64Array, Float64Array]:
    """Return sky level and rms in the border of each stamp and band.

    Parameters
    ----------
    stamps : array (..., y, x)
    fraction : float
        Width of the border as a fraction of the side.

    Returns
    -------
    level, rms : arrays (...)
        In the unit of the stamps.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> level, rms = border_sky(rng.normal(5.0, 2.0, (1, 200, 200)).astype("f4"))
    >>> bool(abs(level[0] - 5) < 0.1), bool(abs(rms[0] - 2) < 0.1)
    (True, True)
    """
    pixels = np.flatnonzero(border_mask(stamps.shape[-2:], fraction))
    # An odd stride does not fall into step with rows of even length.
    stride = len(pixels) // MAX_BORDER_PIXELS | 1
    flat = stamps.reshape(*stamps.shape[:-2], -1)
    return clipped_statistics(flat[..., pixels[::stride]])
