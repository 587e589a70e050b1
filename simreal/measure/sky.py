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

    The first round stands on the median and the interquartile range, so that a bright
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
    # Sorted once, every round of clipping is two searches and two differences of sums.
    ordered = np.sort(values.reshape(-1, values.shape[-1]), axis=-1)
    found = np.array([_clipped(row) for row in ordered]).reshape(*values.shape[:-1], 2)
    return found[..., 0], found[..., 1]


def _clipped(ordered: Float32Array) -> tuple[float, float]:
    n = len(ordered)
    quarter, middle, upper = (float(ordered[int(f * (n - 1))]) for f in (0.25, 0.5, 0.75))
    # Moments about the median: differences of large numbers would lose digits.
    shifted = ordered.astype(np.float64) - middle
    first, second = np.cumsum(shifted), np.cumsum(shifted * shifted)
    # Quantised images can have more than half of their pixels on one value.
    spread = (upper - quarter) / 1.349 or float(np.sqrt(second[-1] / n - (first[-1] / n) ** 2))
    mean, kept = 0.0, (0, n)
    for _ in range(CLIP_ROUNDS):
        reach = CLIP_SIGMA * spread + 1e-12
        low = int(np.searchsorted(shifted, mean - reach, side="left"))
        high = int(np.searchsorted(shifted, mean + reach, side="right"))
        if (low, high) == kept or high <= low:
            break
        kept, count = (low, high), high - low
        mean = (first[high - 1] - (first[low - 1] if low else 0.0)) / count
        square = (second[high - 1] - (second[low - 1] if low else 0.0)) / count
        spread = float(np.sqrt(max(square - mean * mean, 0.0)))
    if kept == (0, n):
        mean, spread = first[-1] / n, float(np.sqrt(max(second[-1] / n - (first[-1] / n) ** 2, 0)))
    return middle + float(mean), spread


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
