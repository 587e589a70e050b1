"""An order of points that knows neither their labels nor how they were listed."""

import numpy as np

from simreal.compare.contract import Points
from simreal.core.arrays import BoolArray, IntArray


def anonymous_order(points: Points, *, seed: int) -> IntArray:
    """Return the rows of `points` in a random order that depends on nothing but the set.

    Whatever splits or nests a sample (halves for fitting and testing, subsets of growing size)
    takes it in this order: the same points give the same split however they are listed, and,
    the order being drawn at random, the place of a point says nothing about where it lies.

    Parameters
    ----------
    points : array (n, d)
    seed : int

    Examples
    --------
    >>> points = np.array([[2.0], [0.0], [1.0]])
    >>> one, two = anonymous_order(points, seed=1), anonymous_order(points[::-1], seed=1)
    >>> bool((points[one] == points[::-1][two]).all())
    True
    """
    listed = np.lexsort(points.T[::-1])
    return np.asarray(listed[np.random.default_rng(seed).permutation(len(points))], dtype=np.int64)


def ranks(order: IntArray) -> IntArray:
    """Return the place of every row in `order`.

    Examples
    --------
    >>> ranks(np.array([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place


def first_members(mask: BoolArray, place: IntArray, n: int) -> IntArray:
    """Return the `n` members that come first, in order.

    Parameters
    ----------
    mask : array of bool (n,)
    place : array of int (n,)
        Place of every row, from `ranks`.
    n : int

    Examples
    --------
    >>> first_members(np.array([True, False, True, True]), np.array([3, 0, 1, 2]), 2).tolist()
    [2, 3]
    """
    rows = np.flatnonzero(mask)
    return np.asarray(rows[np.argsort(place[rows], kind="stable")[:n]])
