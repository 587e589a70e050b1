"""Real sky from observed frames: donors, galaxy-free patches and who gets which.

A donor lends sky and PSF together, because both vary from frame to frame and vary
together. Its sky is cut from the four corners of its frame, which are moved inwards until
they meet: what is left out is a cross through the galaxy. The seams lie under the simulated
galaxy and along the axes; corners are shifted so that no source is cut by them, brought to
one level and blended.
"""

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.measure.sky import clipped_statistics
from simreal.measure.stamps import Measured, luminance_of

#: Sky comes from outside this many half-light radii. Nearer pixels would land in the middle
#: of the patch, under the simulated galaxy.
CLEARANCE = 2.0
#: Positions tried for each corner, per axis.
OFFSETS = 4
SEAM_SIGMA = 3.0
#: [pixel] Corners overlap by this much on either side of a seam and are blended there.
FEATHER = 8


def half_limit(measured: Measured, edge: Float64Array) -> Float64Array:
    """Return the largest half-width [pixel] of a galaxy-free patch of each frame.

    Parameters
    ----------
    measured : Measured
    edge : array (n,)
        Distance from the galaxy to the nearest edge.
    """
    free = edge - CLEARANCE * measured.radius / np.sqrt(2.0)
    return np.asarray(np.floor(free) - 1.0 - FEATHER)


def sky_patch(
    frame: Float32Array,
    *,
    x: float,
    y: float,
    clearance: float,
    half: int,
    rng: np.random.Generator,
) -> Float32Array:
    """Return a galaxy-free patch made of the four corners of a frame.

    The corners are brought to their mean level and blended where they meet with weights
    whose squares sum to one, so that neither a gradient across the frame nor a break in the
    noise's correlation draws a cross on the patch.

    Parameters
    ----------
    frame : array (band, y, x)
    x, y : float
        Centre of the galaxy.
    clearance : float
        [pixel] No pixel nearer to the galaxy is taken.
    half : int
        Half the width of the patch.

    Returns
    -------
    array (band, 2 half, 2 half)
        In a random one of the eight orientations.
    """
    height, width = frame.shape[-2:]
    luminance = luminance_of(frame)
    level, rms = clipped_statistics(luminance[::5, ::5].reshape(-1))
    bright = np.asarray(luminance > level + SEAM_SIGMA * rms)
    feather = min(FEATHER, half // 2)
    side = half + feather
    taper = _taper(half, feather)
    weight = np.outer(taper, taper).astype(frame.dtype)
    patch = np.zeros((frame.shape[0], 2 * half, 2 * half), dtype=frame.dtype)
    levels = []
    for down in (-1, 1):
        for right in (-1, 1):
            turn = (slice(None), slice(None, None, -down), slice(None, None, -right))
            centre = (x if right < 0 else width - 1 - x, y if down < 0 else height - 1 - y)
            oy, ox = _quiet_corner(bright[turn[1:]], centre, clearance, half, rng)
            block = frame[turn][:, oy : oy + side, ox : ox + side]
            sky, _ = clipped_statistics(block[:, ::3, ::3].reshape(len(block), -1))
            levels.append(sky)
            target = patch[turn][:, :side, :side]
            target += weight * (block - sky[:, None, None].astype(frame.dtype))
    patch += np.mean(levels, axis=0)[:, None, None].astype(frame.dtype)
    return _oriented(patch, int(rng.integers(8)))


def _taper(half: int, feather: int) -> Float64Array:
    """Return weights that fall from one to zero around `half`.

    With those of the corner opposite, the squares sum to one: noise keeps its rms.
    """
    steps = (np.arange(2 * feather) + 0.5) / (2 * feather)
    return np.concatenate([np.ones(half - feather), np.cos(np.pi / 2 * steps)])


def _quiet_corner(
    bright: BoolArray,
    centre: tuple[float, float],
    clearance: float,
    half: int,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """Return the offset of the block whose two inner edges cut the fewest source pixels.

    Ties are broken at random, by keys whose number does not depend on `half`: a slightly
    wider frame takes the same corner.
    """
    keys = rng.random((OFFSETS, OFFSETS))
    steps = np.arange(OFFSETS)
    room = [
        max(min(side // 2, int(middle)) - half, 0)
        for side, middle in zip(bright.shape, (centre[1], centre[0]), strict=True)
    ]
    offset_y, offset_x = ((steps * space) // (OFFSETS - 1) for space in room)
    gap = np.hypot(centre[1] - (offset_y[:, None] + half), centre[0] - (offset_x[None, :] + half))
    cost = keys.copy()
    for i, oy in enumerate(offset_y):
        for j, ox in enumerate(offset_x):
            cut = np.count_nonzero(bright[oy + half - 1, ox : ox + half])
            cost[i, j] += cut + np.count_nonzero(bright[oy : oy + half, ox + half - 1])
    allowed = gap >= clearance
    allowed[0, 0] = True
    best = int(np.argmin(np.where(allowed, cost, np.inf)))
    return int(offset_y[best // OFFSETS]), int(offset_x[best % OFFSETS])


def _oriented(patch: Float32Array, which: int) -> Float32Array:
    turned = np.rot90(patch, which % 4, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if which >= 4 else turned)


def serpentine_order(features: Float64Array) -> IntArray:
    """Return an order in which neighbours are alike in every feature.

    The rows are cut into slices by the first feature, each slice is sorted by the next with
    alternating direction, and so on: a systematic draw along this order is stratified in
    all features at once.

    Parameters
    ----------
    features : array (n, k)
        The most important first.

    Examples
    --------
    >>> serpentine_order(np.array([[3.0], [1.0], [2.0]])).tolist()
    [1, 2, 0]
    """
    n, k = features.shape
    order = np.argsort(features[:, 0], kind="stable")
    if k == 1 or n < 4:
        return order.astype(np.int64)
    slices = max(2, round(n ** (1 / k)))
    pieces = []
    for i, rows in enumerate(np.array_split(order, slices)):
        inner = rows[serpentine_order(features[rows, 1:])] if len(rows) else rows
        pieces.append(inner[::-1] if i % 2 else inner)
    return np.concatenate(pieces).astype(np.int64)


def systematic(n: int, k: int, rng: np.random.Generator) -> IntArray:
    """Return `k` of `n` positions at even spacing from a random start.

    With ``k > n`` every position comes up ``k // n`` or one more times.

    Examples
    --------
    >>> systematic(10, 5, np.random.default_rng(0)).tolist()
    [1, 3, 5, 7, 9]
    """
    return np.floor((np.arange(k) + rng.random()) * n / k).astype(np.int64)
