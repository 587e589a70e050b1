"""What sky looks like, in numbers per image: level, noise, its spectrum, its tilt.

Sky is given as patches, one for a frame without a galaxy or several for the corners around
one. Sources are masked, a plane is taken out of every patch, and all that remains is noise.
"""

import itertools
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import scipy.fft

from simreal.core.arrays import BoolArray, Float32Array, Float64Array

FloatT = TypeVar("FloatT", bound=np.floating)

#: Pixels this far above the sky level, and those next to them, belong to sources.
SOURCE_SIGMA = 4.0
ROUNDS = 2
#: An image with a smaller share of free pixels has no numbers.
FEWEST_FREE = 0.25
#: Noise below this part of the level is rounding.
FLAT = 1e-6
LAGS = 8
#: The floor is the mean of this share of blocks of `BLOCK` pixels' side, the darkest. Smoothing
#: and pixel noise leave such blocks as they are.
FLOOR, BLOCK = 0.1, 4
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
LOWEST_FREQUENCY, HIGHEST_FREQUENCY = 0.05, 0.5
#: Annuli of the spectrum by the least side of a patch, largest first.
BINS_BY_SIDE = ((40, 9), (12, 4), (0, 2))
#: The two wedges in which fine power along x and along y is compared.
WEDGE, WEDGE_LOWEST = 2.0, 0.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SkyTexture:
    """Numbers of the sky of each image; a row is NaN where there is nothing to measure.

    Parameters
    ----------
    flat : array of bool (n,)
        Whether all free pixels are equal: no noise at all.
    level, rms : array (n,)
        Of the free pixels; the rms about a plane.
    floor : array (n,)
        Mean of the darkest blocks. Where a display clips the sky at black it differs less
        from image to image than the level, and shows smaller pedestals.
    skewness, kurtosis : array (n,)
        The latter above that of a normal distribution.
    tilt : array (n, 2)
        Rise of the level along y and x from edge to edge of the frame.
    frequency : array (bins,)
        [cycle / pixel]
    log_power : array (n, bins)
        Natural logarithm of the azimuthal power.
    anisotropy : array (n,)
        ln power along x minus along y, of fine scales.
    correlation : array (n, 2, lags)
        Autocorrelation of the noise along y and x at 1, 2... pixels.
    diagonal : array (n, 2)
        The same at one pixel along both diagonals.
    quantiles : array (n, 5)
        At `QUANTILES`, of all pixels.
    """

    flat: BoolArray
    level: Float64Array
    rms: Float64Array
    floor: Float64Array
    skewness: Float64Array
    kurtosis: Float64Array
    tilt: Float64Array
    frequency: Float64Array
    log_power: Float64Array
    anisotropy: Float64Array
    correlation: Float64Array
    diagonal: Float64Array
    quantiles: Float64Array

    @property
    def shape(self) -> Float64Array:
        """Log power without its mean over the bins ``(n, bins)``: what no gain changes."""
        return np.asarray(self.log_power - self.log_power.mean(axis=1, keepdims=True))


def frame_grid(height: int, width: int) -> Float64Array:
    """Return y and x ``(2, y, x)`` of every pixel, from -1/2 to 1/2 across the frame.

    Examples
    --------
    >>> frame_grid(2, 2)[1].tolist()
    [[-0.25, 0.25], [-0.25, 0.25]]
    """
    y, x = ((np.arange(side) + 0.5) / side - 0.5 for side in (height, width))
    return np.stack(np.broadcast_arrays(y[:, None], x[None, :]))


def free_pixels(patches: Float32Array) -> BoolArray:
    """Return True where neither a source nor a hole is.

    A source is what stands `SOURCE_SIGMA` above the sky of its image, and the pixels next to
    it. Level and scatter come from quartiles first, from the free pixels after that.

    Parameters
    ----------
    patches : array (n, patch, y, x)
        NaN where a pixel must not be used.

    Examples
    --------
    >>> sky = np.random.default_rng(0).normal(size=(1, 1, 32, 32)).astype("f4")
    >>> sky[0, 0, 10, 10] = 50
    >>> int((~free_pixels(sky)).sum())
    9
    """
    valid = np.isfinite(patches)
    values = patches if valid.all() else np.where(valid, patches, np.float32(0))
    level, spread = _quartiles(patches, valid)
    free = valid
    for _ in range(ROUNDS):
        source = values > (level + SOURCE_SIGMA * spread)[:, None, None, None]
        free = valid & ~_grown(source & valid)
        level, spread = _moments(values, free)
    return free


def _quartiles(patches: Float32Array, valid: BoolArray) -> tuple[Float32Array, Float32Array]:
    """Return median and scatter of the valid pixels of each image."""
    ordered, count = _ordered(patches, valid)
    low, lower, middle, upper, high = (
        _at(ordered, count, q) for q in (0.16, 0.25, 0.5, 0.75, 0.84)
    )
    spread = np.maximum((upper - lower) / 1.349, (high - low) / 2)
    # Quantised images can have most of their pixels on one value.
    still = np.flatnonzero(spread <= 0)
    if len(still):
        values = np.where(valid[still], patches[still], middle[still, None, None, None])
        spread[still] = values.std(axis=(1, 2, 3))
    return middle, spread.astype(np.float32)


def _ordered(patches: Float32Array, valid: BoolArray) -> tuple[Float32Array, Float64Array]:
    """Return the pixels of each image in order, holes last, and the number of valid ones."""
    flat = np.where(valid, patches, np.float32(np.inf)).reshape(len(patches), -1)
    return np.sort(flat, axis=1), valid.reshape(len(patches), -1).sum(axis=1)


def _at(ordered: Float32Array, count: Float64Array, quantile: float) -> Float32Array:
    place = (quantile * np.maximum(count - 1, 0)).astype(np.int64)
    found = np.take_along_axis(ordered, place[:, None], axis=1)[:, 0]
    return np.asarray(np.where(count > 0, found, np.float32(0)))


def _grown(mask: BoolArray) -> BoolArray:
    """Return the mask with all eight neighbours of its pixels."""
    tall = mask.copy()
    tall[..., 1:, :] |= mask[..., :-1, :]
    tall[..., :-1, :] |= mask[..., 1:, :]
    wide = tall.copy()
    wide[..., 1:] |= tall[..., :-1]
    wide[..., :-1] |= tall[..., 1:]
    return wide


def _moments(values: Float32Array, free: BoolArray) -> tuple[Float32Array, Float32Array]:
    """Return mean and scatter ``(n,)`` of the free pixels of each image."""
    count = np.maximum(free.sum(axis=(1, 2, 3)), 1)
    level = ((values * free).sum(axis=(1, 2, 3), dtype=np.float64) / count).astype(np.float32)
    centred = (values - level[:, None, None, None]) * free
    scatter = np.sqrt(np.einsum("npyx,npyx->n", centred, centred) / count)
    return level, scatter.astype(np.float32)


def sky_texture(
    patches: Float32Array, *, grid: Float64Array | None = None, free: BoolArray | None = None
) -> SkyTexture:
    """Measure the sky of each image.

    Parameters
    ----------
    patches : array (n, patch, y, x)
        NaN where a pixel must not be used.
    grid : array (2, patch, y, x), optional
        Where the pixels lie in the frame, see `frame_grid`; by default one patch fills it.
    free : array of bool (n, patch, y, x), optional
        By default that of `free_pixels`.

    Examples
    --------
    >>> sky = np.random.default_rng(1).normal(5.0, 2.0, (40, 1, 64, 64)).astype("f4")
    >>> found = sky_texture(sky)
    >>> [round(float(np.mean(x)), 1) for x in (found.level, found.rms, np.exp(found.log_power))]
    [5.0, 2.0, 4.0]
    """
    n, n_patches, height, width = patches.shape
    own = frame_grid(height, width)
    grid = own[:, None] if grid is None else grid
    free = free_pixels(patches) if free is None else free
    valid = np.isfinite(patches)
    ordered, count = _ordered(patches, valid)
    values = np.where(free, patches, np.float32(0))
    level, _ = _moments(values, free)
    centred = (values - level[:, None, None, None]) * free
    noise = _flattened(centred, free, own)
    n_free = free.sum(axis=(1, 2, 3))
    square = noise * noise
    rms = np.sqrt(square.sum(axis=(1, 2, 3)) / np.maximum(n_free - 3 * n_patches, 1))
    usable = (n_free >= FEWEST_FREE * free[0].size) if n else np.zeros(0, dtype=np.bool_)
    flat = usable & (rms <= FLAT * np.abs(level))
    usable &= ~flat
    scale = np.where(usable, rms, 1.0)
    frequency, log_power, anisotropy = _spectrum(noise, free)
    return SkyTexture(
        flat=flat,
        level=_kept(level, usable),
        rms=_kept(rms, usable),
        floor=_kept(_darkest(values, free), usable),
        skewness=_kept((square * noise).sum((1, 2, 3)) / np.maximum(n_free, 1) / scale**3, usable),
        kurtosis=_kept((square**2).sum((1, 2, 3)) / np.maximum(n_free, 1) / scale**4 - 3, usable),
        tilt=_kept(_tilt(centred, free, grid), usable),
        frequency=frequency,
        log_power=_kept(log_power, usable),
        anisotropy=_kept(anisotropy, usable),
        correlation=_kept(_correlation(noise, free, scale), usable),
        diagonal=_kept(_diagonal(noise, free, scale), usable),
        quantiles=_kept(np.stack([_at(ordered, count, q) for q in QUANTILES], axis=1), usable),
    )


def _kept(values: Float32Array | Float64Array, usable: BoolArray) -> Float64Array:
    kept = usable.reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(np.where(kept, values, np.nan), dtype=np.float64)


def _darkest(values: Float32Array, free: BoolArray) -> Float64Array:
    """Return the mean of the darkest blocks of each image; at least half of a block is free."""
    total, count = _block_sums(values), _block_sums(free.astype(np.float32))
    means = np.where(count >= BLOCK**2 / 2, total / np.maximum(count, 1), np.float32(np.inf))
    ordered = np.sort(means, axis=1)
    number = np.maximum((FLOOR * np.isfinite(ordered).sum(axis=1)).astype(np.int64), 1)
    darkest = np.where(np.isfinite(ordered), ordered, 0)
    sums = np.cumsum(darkest, axis=1, dtype=np.float64)
    return np.asarray(np.take_along_axis(sums, number[:, None] - 1, axis=1)[:, 0] / number)


def _block_sums(values: Float32Array) -> Float32Array:
    """Return the sums of all whole blocks ``(n, blocks)``."""
    n, patch, height, width = values.shape
    down, across = height // BLOCK, width // BLOCK
    cut = values[:, :, : down * BLOCK, : across * BLOCK]
    blocks = cut.reshape(n, patch, down, BLOCK, across, BLOCK)
    return np.asarray(blocks.sum(axis=(3, 5)).reshape(n, -1))


def _plane(centred: Float32Array, free: BoolArray, grid: Float64Array) -> Float64Array:
    """Return offset and slopes along y and x ``(m, 3)`` of the planes that fit best.

    Parameters
    ----------
    centred, free : arrays (m, pixel)
    grid : array (2, pixel)
    """
    y, x = grid.astype(np.float32)
    basis = np.stack([np.ones_like(y), y, x], axis=1)
    products = np.stack([a * b for a in basis.T for b in basis.T], axis=1)
    normal = (free.astype(np.float32) @ products).reshape(-1, 3, 3).astype(np.float64)
    # A patch without free pixels gets a plane of zero.
    normal += 1e-6 * len(y) * np.eye(3)
    return np.asarray(np.linalg.solve(normal, (centred @ basis)[..., None])[..., 0])


def _flattened(centred: Float32Array, free: BoolArray, own: Float64Array) -> Float32Array:
    """Return the free pixels without the plane of their patch, 0 elsewhere."""
    n, n_patches = centred.shape[:2]
    flat = centred.reshape(n * n_patches, -1)
    grid = own.reshape(2, -1)
    fit = _plane(flat, free.reshape(flat.shape), grid).astype(np.float32)
    plane = fit[:, :1] + fit[:, 1:] @ grid.astype(np.float32)
    return np.asarray((centred - plane.reshape(centred.shape)) * free)


def _tilt(centred: Float32Array, free: BoolArray, grid: Float64Array) -> Float64Array:
    n = len(centred)
    return _plane(centred.reshape(n, -1), free.reshape(n, -1), grid.reshape(2, -1))[:, 1:]


def _spectrum(
    noise: Float32Array, free: BoolArray
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return bin centres, ln power in annuli ``(n, bins)`` and its anisotropy ``(n,)``.

    A Hann window keeps the edges from leaking; the power is that of the free pixels, so that
    white noise of unit variance reads 0.
    """
    n, _, height, width = noise.shape
    window = (np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]).astype(np.float32)
    spectrum = scipy.fft.rfft2(noise * window)
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=1).reshape(n, -1)
    weight = free.sum(axis=1).reshape(n, -1).astype(np.float32) @ (window**2).ravel()
    fy, fx = np.abs(np.fft.fftfreq(height)[:, None]), np.fft.rfftfreq(width)[None, :]
    radius = np.hypot(fy, fx)
    edges = bin_edges(min(height, width))
    regions = [(radius >= a) & (radius < b) for a, b in itertools.pairwise(edges)]
    fine = (radius >= WEDGE_LOWEST) & (radius <= HIGHEST_FREQUENCY)
    regions += [fine & (fx > WEDGE * fy), fine & (fy > WEDGE * fx)]
    means = np.stack([region.ravel() / region.sum() for region in regions], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(power @ means.astype(np.float32) / weight[:, None])
        anisotropy = logs[:, -2] - logs[:, -1]
    return (edges[1:] + edges[:-1]) / 2, logs[:, :-2], anisotropy


def bin_edges(side: int) -> Float64Array:
    """Return the edges of the annuli [cycle / pixel] that patches of this side can tell apart.

    Examples
    --------
    >>> len(bin_edges(64)) - 1, len(bin_edges(16)) - 1
    (9, 4)
    """
    bins = next(bins for least, bins in BINS_BY_SIDE if side >= least)
    return np.linspace(LOWEST_FREQUENCY, HIGHEST_FREQUENCY, bins + 1)


def _correlation(noise: Float32Array, free: BoolArray, rms: Float64Array) -> Float64Array:
    lags = range(1, min(LAGS, min(noise.shape[2:]) // 2) + 1)
    weight = free.astype(np.float32)
    along_y = [_pairs(noise, weight, slice(lag, None), slice(None)) for lag in lags]
    along_x = [_pairs(noise, weight, slice(None), slice(lag, None)) for lag in lags]
    found = np.stack([np.stack(along_y, axis=1), np.stack(along_x, axis=1)], axis=1)
    return np.asarray(found / (rms**2)[:, None, None])


def _diagonal(noise: Float32Array, free: BoolArray, rms: Float64Array) -> Float64Array:
    weight = free.astype(np.float32)
    down = _pairs(noise, weight, slice(1, None), slice(1, None))
    up = _pairs(noise[..., ::-1], weight[..., ::-1], slice(1, None), slice(1, None))
    return np.asarray(np.stack([down, up], axis=1) / (rms**2)[:, None])


def _pairs(noise: Float32Array, weight: Float32Array, y: slice, x: slice) -> Float64Array:
    """Return the mean product of free pixels with those that `y` and `x` shift them onto."""
    back_y, back_x = (slice(None, -s.start if s.start else None) for s in (y, x))
    product = np.einsum("npyx,npyx->n", noise[..., y, x], noise[..., back_y, back_x])
    count = np.einsum("npyx,npyx->n", weight[..., y, x], weight[..., back_y, back_x])
    return np.asarray(product / np.maximum(count, 1), dtype=np.float64)


def corners(images: npt.NDArray[FloatT], side: int) -> npt.NDArray[FloatT]:
    """Return the four corner blocks ``(..., 4, side, side)`` of images ``(..., y, x)``.

    Examples
    --------
    >>> corners(np.arange(16.0).reshape(4, 4), 1).ravel().tolist()
    [0.0, 3.0, 12.0, 15.0]
    """
    ends = (slice(None, side), slice(-side, None))
    return np.stack([images[..., y, x] for y in ends for x in ends], axis=-3)
