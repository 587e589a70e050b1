"""Real sky from observed frames: donors, galaxy-free patches and who gets which.

A donor lends sky and PSF together, because both vary from frame to frame and vary
together. Its sky is cut from the four corners of its frame, which are moved inwards until
they meet: what is left out is a cross through the galaxy. The seams lie under the simulated
galaxy and along the axes; corners are shifted so that no source is cut by them.
"""

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array, IntArray
from simreal.measure.sky import clipped_statistics
from simreal.measure.stamps import Measured

#: Sky comes from outside this many half-light radii. Nearer pixels would land in the middle
#: of the patch, under the simulated galaxy.
CLEARANCE = 2.0
#: Positions tried for each corner, per axis.
OFFSETS = 4
SEAM_SIGMA = 3.0


def half_limit(measured: Measured, edge: Float64Array) -> Float64Array:
    """Return the largest half-width [pixel] of a galaxy-free patch of each frame.

    Parameters
    ----------
    measured : Measured
    edge : array (n,)
        Distance from the galaxy to the nearest edge.
    """
    return np.asarray(np.floor(edge - CLEARANCE * measured.radius / np.sqrt(2.0)) - 1.0)


def sky_patch(
    frame: Float32Array, *, x: float, y: float, clearance: float, half: int,
    rng: np.random.Generator,
) -> Float32Array:  # fmt: skip
    """Return a galaxy-free patch made of the four corners of a frame.

    Parameters
    ----------
    frame : array (band, y, x)
    x, y : float
        Centre of the galaxy.
    clearance : float
        [pixel] No pixel nearer to the galaxy is taken.
    half : int
        Side of each corner block; the patch is ``2 half`` pixels wide.

    Returns
    -------
    array (band, 2 half, 2 half)
        In a random one of the eight orientations.
    """
    height, width = frame.shape[-2:]
    luminance = frame.mean(0)
    level, rms = clipped_statistics(luminance[::3, ::3].reshape(-1))
    bright = luminance > level + SEAM_SIGMA * rms
    patch = np.empty((frame.shape[0], 2 * half, 2 * half), dtype=frame.dtype)
    for down in (False, True):
        for right in (False, True):
            turn = (slice(None, None, -1 if down else 1), slice(None, None, -1 if right else 1))
            cx, cy = (width - 1 - x if right else x), (height - 1 - y if down else y)
            oy, ox = _quiet_corner(bright[turn], (cx, cy), clearance, half, rng)
            block = frame[(slice(None), *turn)][:, oy : oy + half, ox : ox + half]
            target = patch[(slice(None), *turn)]
            target[:, :half, :half] = block
    return _oriented(patch, int(rng.integers(8)))


def _quiet_corner(
    bright: np.ndarray, centre: tuple[float, float], clearance: float, half: int,
    rng: np.random.Generator,
) -> tuple[int, int]:  # fmt: skip
    """Return the offset of the block whose two inner edges cut the fewest source pixels."""
    steps = np.arange(OFFSETS)
    room_y = max(min(bright.shape[0] // 2, int(centre[1])) - half, 0)
    room_x = max(min(bright.shape[1] // 2, int(centre[0])) - half, 0)
    choices = [(0, 0)]
    for oy in np.unique((steps * room_y) // (OFFSETS - 1)):
        for ox in np.unique((steps * room_x) // (OFFSETS - 1)):
            gap = np.hypot(centre[0] - (ox + half), centre[1] - (oy + half))
            if gap >= clearance and (oy, ox) != (0, 0):
                choices.append((int(oy), int(ox)))
    rng.shuffle(choices)
    cost = [
        int(bright[oy + half - 1, ox : ox + half].sum())
        + int(bright[oy : oy + half, ox + half - 1].sum())
        for oy, ox in choices
    ]
    return choices[int(np.argmin(cost))]


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
