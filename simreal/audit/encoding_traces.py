"""What storage leaves in a stamp: grey levels, steps of a JPEG, borders, plateaus.

Numbers of this kind know nothing of galaxies. Where they differ between two sides, a classifier
need not look at galaxies either.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.fft

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray

#: Steps of 8 bits from black to white.
GREY = 255.0
#: [grey level] float32 keeps 8-bit values to 2e-5 of a level.
ON_GRID = 1e-3
#: Pixels between these percentiles are dense enough in grey level for a gap to be a missing
#: level; of coarsely quantised sky, the darkest levels count whatever their percentile.
DENSE_PERCENTILES = (2.0, 75.0)
FEWEST_LEVELS = 3

#: A ladder of values has this many steps, each near a multiple of the usual one; smaller gaps
#: are rounding.
FEWEST_STEPS, RUNG, SMALLEST_GAP = 5, 0.03, 1e-6

#: Luminance step of a JPEG at quality 50 for each spatial frequency (ITU-T T.81, table K.1).
LUMA_STEPS = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
LUMA_WEIGHTS = (0.299, 0.587, 0.114)
QUALITIES = np.arange(50, 101)
#: Finer frequencies than this sum of the two indices are all zero in most stamps.
FINEST = 5
#: [grey level] Rounding of pixels and of colours, seen in a coefficient.
COEFFICIENT_ERROR = 0.4
#: Share of coefficients that follow no step: clipped pixels, painted borders.
STRAY = 0.03
#: Smaller coefficients may be zeros, which fit any step.
SMALLEST_COEFFICIENT = 1.5
#: Table of likelihoods: entries per grey level, and the largest coefficient of 8-bit pixels.
_GRAIN, _LARGEST = 8, 1024
#: Natural log of the odds, against no steps at all, above which a stamp was a JPEG.
TRACE_ODDS = 20.0
#: [pixel] Stamps with this side or more have enough blocks without their outermost ones.
_RIM_BLOCKS_FROM = 48
#: [pixel]
WIDEST_BORDER = 4
#: A painted line has less than this part of the roughness of the lines behind it. Of 2732 sides
#: of real stamps none falls below 0.37.
SMOOTH_BORDER = 0.25


def off_grid_share(pixels: Float32Array, mask: BoolArray | None = None) -> Float64Array:
    """Return the share of each stamp's values that no 8-bit image holds.

    Parameters
    ----------
    pixels : array (n, band, y, x)
        Display values in [0, 1].
    mask : array of bool, optional
        True where a pixel must not be used.

    Examples
    --------
    >>> off_grid_share(np.array([[[[0.0, 1.0], [0.2, 0.201]]]], "f4")).tolist()
    [0.25]
    """
    scaled = pixels * np.float32(GREY)
    off = np.abs(scaled - np.rint(scaled)) > ON_GRID
    return _mean(off, mask)


def masked_share(pixels: Float32Array, mask: BoolArray | None) -> Float64Array:
    """Return the share of each stamp's pixels that must not be used."""
    if mask is None:
        return np.zeros(len(pixels))
    return np.asarray(mask.reshape(len(mask), -1).mean(axis=1))


def black_share(pixels: Float32Array, mask: BoolArray | None = None) -> Float64Array:
    """Return the share of each stamp's values that are exactly zero."""
    return _mean(pixels == 0, mask)


def _mean(what: BoolArray, mask: BoolArray | None) -> Float64Array:
    """Return the mean over all unmasked pixels of each stamp, NaN where none is left."""
    flat = what.reshape(len(what), -1)
    if mask is None:
        return np.asarray(flat.mean(axis=1))
    free = ~mask.reshape(len(what), -1)
    count = free.sum(axis=1)
    return np.where(count > 0, (flat & free).sum(axis=1) / np.maximum(count, 1), np.nan)


def effective_bits(pixels: Float32Array, mask: BoolArray | None = None) -> Float64Array:
    """Return how many bits the grey levels of each stamp make use of, at most 8.

    Where pixels are many, every level between the darkest and a brighter one is taken by some
    pixel, unless levels are missing. NaN where a stamp has too few levels to tell.

    Parameters
    ----------
    pixels : array (n, band, y, x)
        Display values in [0, 1].

    Examples
    --------
    >>> ramp = np.arange(4096, dtype="f4").reshape(1, 1, 64, 64) / 4095
    >>> six_bits = np.rint(ramp * 63) * 4 / 255
    >>> effective_bits(six_bits.astype("f4")).tolist()
    [6.0]
    """
    n = len(pixels)
    values = pixels.reshape(n, -1)
    if mask is not None:
        values = np.where(mask.reshape(n, -1), np.float32(0), values)
    level = np.clip(np.rint(values * np.float32(GREY)), 0, GREY).astype(np.int64)
    place = level + 256 * np.arange(n)[:, None]
    if mask is not None:
        place = place[~mask.reshape(n, -1)]
    counts = np.bincount(place.ravel(), minlength=256 * n).reshape(n, 256)
    below = np.cumsum(counts, axis=1)
    taken = counts > 0
    low, high = (part / 100 * below[:, -1:] for part in DENSE_PERCENTILES)
    dense = taken & (below > low) & (below - counts <= high)
    few = dense.sum(axis=1, keepdims=True) < FEWEST_LEVELS
    dense = np.where(few, taken & (np.cumsum(taken, axis=1) <= FEWEST_LEVELS), dense)
    steps = dense.sum(axis=1) - 1
    first, last = dense.argmax(axis=1), 255 - dense[:, ::-1].argmax(axis=1)
    known = steps >= 1
    share = np.where(known, steps, 1) / np.where(known, last - first, 1)
    return np.where(known, 8.0 + np.log2(share), np.nan)


def grey_step(pixels: Float32Array, mask: BoolArray | None = None) -> Float64Array:
    """Return ln of the step between the values of each stamp, 0 for 1/255.

    Stamps that were divided by something after 8 bits keep a ladder of values, with another
    step. NaN where values follow no ladder.

    Parameters
    ----------
    pixels : array (n, band, y, x)
        The first band counts.

    Examples
    --------
    >>> ladder = np.arange(256, dtype="f4").reshape(1, 1, 16, 16) / 255
    >>> grey_step(ladder / 0.8).round(4).tolist(), grey_step(np.sqrt(ladder)).tolist()
    ([0.2231], [nan])
    """
    n = len(pixels)
    values = pixels[:, 0].reshape(n, -1).astype(np.float64)
    hidden = np.zeros(values.shape, dtype=np.bool_) if mask is None else mask[:, 0].reshape(n, -1)
    out = np.full(n, np.nan)
    for k in range(n):
        row = values[k][~hidden[k]]
        if not len(row):
            continue
        ordered = np.unique(row)
        low, high = np.searchsorted(ordered, np.percentile(row, DENSE_PERCENTILES))
        ordered = ordered[low:high]
        gaps = np.diff(ordered)
        gaps = gaps[gaps > SMALLEST_GAP]
        if len(gaps) < FEWEST_STEPS:
            continue
        rungs = gaps / np.median(gaps)
        on_rung = (np.abs(rungs - np.rint(rungs)) < RUNG) & (rungs > 0.5)
        if on_rung.mean() > 0.9:
            out[k] = np.log(np.median(gaps) * GREY)
    return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JpegTrace:
    """What the coefficients of each stamp say of its last encoding.

    Parameters
    ----------
    quality : array (n,)
        On the scale of the common encoders, NaN where the stamp shows no steps.
    odds : array (n,)
        Natural log of the likelihood ratio of these steps against none.
    """

    quality: Float64Array
    odds: Float64Array

    @property
    def traced(self) -> BoolArray:
        """Whether a stamp shows the steps of a JPEG."""
        return np.isfinite(self.quality)


def steps_of(quality: int) -> IntArray:
    """Return the luminance steps ``(8, 8)`` of a JPEG, scaled as the common encoders do.

    Examples
    --------
    >>> steps_of(90)[0, :4].tolist(), int(steps_of(100).max())
    ([3, 2, 2, 3], 1)
    """
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.asarray(np.clip((LUMA_STEPS * scale + 50) // 100, 1, 255))


def luma_levels(pixels: Float32Array) -> Float32Array:
    """Return what a JPEG stores first ``(n, y, x)`` [grey level]; other than 3 bands, the first."""
    if pixels.shape[1] != 3:
        return np.asarray(pixels[:, 0] * np.float32(GREY))
    weights = np.asarray(LUMA_WEIGHTS, dtype=np.float32) * np.float32(GREY)
    total = pixels[:, 0] * weights[0]
    for band in (1, 2):
        total += pixels[:, band] * weights[band]
    return np.asarray(total)


def block_coefficients(luma: Float32Array) -> Float32Array:
    """Return the cosine coefficients ``(n, blocks, 8, 8)`` of the 8 x 8 blocks of each stamp.

    The grid of blocks starts at the stamp's corner. Large stamps leave out their outermost
    blocks, which a painted border would spoil.
    """
    n, height, width = luma.shape
    down, across = height // 8, width // 8
    blocks = luma[:, : 8 * down, : 8 * across].reshape(n, down, 8, across, 8)
    rim = 1 if min(height, width) >= _RIM_BLOCKS_FROM else 0
    blocks = blocks[:, rim : down - rim, :, rim : across - rim]
    blocks = blocks.transpose(0, 1, 3, 2, 4).reshape(n, -1, 8, 8)
    return np.asarray(scipy.fft.dctn(blocks, axes=(-2, -1), norm="ortho"))


def jpeg_trace(luma: Float32Array) -> JpegTrace:
    """Return the quality at which each stamp was last written as a JPEG.

    Every coefficient of a decoded JPEG lies near a multiple of its frequency's step. Under a
    quality's steps it has the likelihood of a rounding error about the nearest multiple, times
    the step: a grid twice as fine fits as well and explains half as much. A stamp written at a
    much higher quality than before shows the earlier one.

    Parameters
    ----------
    luma : array (n, y, x)
        [grey level] See `luma_levels`.
    """
    coefficients = np.abs(block_coefficients(luma))
    n = len(luma)
    odds = np.zeros((n, len(QUALITIES)))
    if coefficients.shape[1] == 0:
        return JpegTrace(quality=np.full(n, np.nan), odds=np.zeros(n))
    tables = np.stack([steps_of(int(quality)) for quality in QUALITIES])
    chances = _chances(int(tables.max()))
    for i in range(FINEST + 1):
        for j in range(FINEST + 1 - i):
            if i + j > 0:  # the mean of a block is no wave
                steps, inverse = np.unique(tables[:, i, j], return_inverse=True)
                odds += _summed(coefficients[:, :, i, j], chances[steps])[:, inverse]
    best = odds.max(axis=1)
    quality = QUALITIES[odds.argmax(axis=1)].astype(np.float64)
    return JpegTrace(quality=np.where(best > TRACE_ODDS, quality, np.nan), odds=best)


@cache
def _chances(largest_step: int) -> Float32Array:
    """Return ln likelihood ratio ``(step, coefficient)`` of a step against none."""
    value = np.arange(_LARGEST * _GRAIN) / _GRAIN
    out = np.zeros((largest_step + 1, len(value)), dtype=np.float32)
    for step in range(1, largest_step + 1):
        away = value - step * np.rint(value / step)
        density = sum(
            np.exp(-0.5 * ((away - k * step) / COEFFICIENT_ERROR) ** 2) for k in (-1, 0, 1)
        ) / (np.sqrt(2 * np.pi) * COEFFICIENT_ERROR)
        out[step] = np.log((1 - STRAY) * step * density + STRAY)
    out.flags.writeable = False
    return out


def _summed(values: Float32Array, chances: Float32Array) -> Float64Array:
    """Return each stamp's sum ``(n, step)`` over its blocks ``(n, block)``."""
    row, block = np.nonzero(values > SMALLEST_COEFFICIENT)
    place = np.rint(values[row, block] * _GRAIN).astype(np.int64)
    each = chances[:, np.minimum(place, _LARGEST * _GRAIN - 1)]
    return np.stack([np.bincount(row, one, minlength=len(values)) for one in each], axis=1)


def blockiness(luma: Float32Array) -> Float64Array:
    """Return ln of the steps across the borders of 8 x 8 blocks over those between the borders.

    Parameters
    ----------
    luma : array (n, y, x)

    Returns
    -------
    array (n,)
        0 where the grid shows nothing; NaN where the stamp is flat or smaller than two blocks.

    Examples
    --------
    >>> tiles = np.kron(np.arange(16.0).reshape(4, 4) % 3, np.ones((8, 8)))
    >>> smooth = np.add.outer(np.arange(32.0), np.arange(32.0))
    >>> blockiness((smooth + tiles)[None])[0] > 0.1, round(float(blockiness(smooth[None])[0]), 6)
    (np.True_, 0.0)
    """
    ratios = []
    for axis in (1, 2):
        step = np.abs(np.diff(luma, axis=axis)).mean(axis=3 - axis)
        at_border = np.arange(step.shape[1]) % 8 == 7
        inside = ~at_border
        if not at_border.any():
            return np.full(len(luma), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios.append(
                np.log(step[:, at_border].mean(axis=1)) - np.log(step[:, inside].mean(axis=1))
            )
    mean = (ratios[0] + ratios[1]) / 2
    return np.where(np.isfinite(mean), mean, np.nan)


def _rims(image: Float32Array) -> list[Float32Array]:
    """Return each of the four sides as lines from the outside in ``(n, line, pixel)``."""
    turned = image.swapaxes(1, 2)
    return [image, image[:, ::-1], turned, turned[:, ::-1]]


def painted_border_share(image: Float32Array) -> Float64Array:
    """Return the share of each stamp's four sides that look painted.

    Their outermost lines are flat, or much smoother than the lines just behind them, or the
    outermost repeats the next. Padding is smooth also after another encoding, and a galaxy or
    a sky fades more slowly.

    Parameters
    ----------
    image : array (n, y, x)

    Examples
    --------
    >>> stamp = np.random.default_rng(0).normal(size=(1, 16, 16))
    >>> stamp[:, :2] = 0; stamp[:, :, -1] = stamp[:, :, -2]
    >>> painted_border_share(stamp).tolist()
    [0.5]
    """
    painted = []
    for lines in _rims(image):
        # The corners belong to two sides.
        near = lines[:, : WIDEST_BORDER + 3, 1:-1]
        rough = np.abs(np.diff(near[:, :, 3:-3], axis=2)).mean(axis=2)
        found = (near[:, 0] == near[:, 1]).all(axis=1) & (rough[:, 2:5] > 0).all(axis=1)
        for width in range(1, WIDEST_BORDER + 1):
            behind = rough[:, width : width + 3].min(axis=1)
            found |= rough[:, :width].max(axis=1) < SMOOTH_BORDER * behind
        painted.append(found)
    return np.asarray(np.mean(painted, axis=0))


def brightest(pixels: Float32Array, mask: BoolArray | None = None) -> Float64Array:
    """Return the largest value of each stamp in any band, NaN where all is masked."""
    flat = pixels.reshape(len(pixels), -1)
    if mask is None:
        return np.asarray(flat.max(axis=1), dtype=np.float64)
    free = ~mask.reshape(len(pixels), -1)
    top = np.where(free, flat, -np.inf).max(axis=1).astype(np.float64)
    return np.where(free.any(axis=1), top, np.nan)


def tied_pixels(pixels: Float32Array, mask: BoolArray | None = None) -> Float64Array:
    """Return how many pixels of each stamp share its largest value, in the band with most.

    The core of an image that is not clipped has one to a few.

    Examples
    --------
    >>> core = np.exp(-0.5 * np.add.outer(np.arange(-8, 9) ** 2, np.arange(-8, 9) ** 2) / 9)
    >>> tied_pixels(np.minimum(core, [[[[2.0]], [[0.8]]]]).reshape(2, 1, 17, 17)).tolist()
    [1.0, 13.0]
    """
    n, bands = pixels.shape[:2]
    flat = pixels.reshape(n, bands, -1)
    if mask is not None:
        flat = np.where(mask.reshape(n, bands, -1), -np.inf, flat)
    top = flat.max(axis=2, keepdims=True)
    ties = (flat >= top - np.float32(0.5 / GREY)) & np.isfinite(top)
    most = ties.sum(axis=2).max(axis=1).astype(np.float64)
    return np.where(most > 0, most, np.nan)
