"""Two samples counted over the same cells, and the numbers made of such counts.

Cells are fixed before any label is seen; what depends on the labels is only how many objects of
each side a cell holds. Counts of many assignments come from one matrix product.
"""

import numpy as np

from simreal.compare.contract import Points
from simreal.core.arrays import BoolArray, Float64Array, IntArray


def counts_by_cell(labels: IntArray, k: int, masks: BoolArray) -> Float64Array:
    """Return how many members of every mask each of `k` cells holds ``(B, k)``.

    Parameters
    ----------
    labels : array of int (n,)
        Cell of every point; points with a negative label are not counted.
    k : int
    masks : array of bool (B, n)

    Examples
    --------
    >>> masks = np.array([[True, True, True, False]])
    >>> counts_by_cell(np.array([0, 1, 1, 0]), 3, masks).tolist()
    [[1.0, 2.0, 0.0]]
    """
    member = (labels[:, None] == np.arange(k)).astype(np.float32)
    # Counts are whole numbers far below 2^24: exact in float32.
    return np.asarray(masks.astype(np.float32) @ member, dtype=np.float64)


def chi_squared(counts_x: Points, counts_y: Points) -> Float64Array:
    """Return Pearson's χ² of two histograms against one common distribution.

    The sum over cells and sides of (k - N)²/N, where N is the share of the side in what the cell
    holds. Empty cells add nothing.

    Parameters
    ----------
    counts_x, counts_y : array (..., R)

    Examples
    --------
    >>> float(chi_squared(np.array([10, 20, 0]), np.array([20, 10, 0]))).__round__(6)
    6.666667
    """
    x, y = np.asarray(counts_x, dtype=np.float64), np.asarray(counts_y, dtype=np.float64)
    total_x, total_y = x.sum(axis=-1, keepdims=True), y.sum(axis=-1, keepdims=True)
    # With one common distribution both terms of a cell have the same square in them.
    away = (x * total_y - y * total_x) ** 2
    expected = (x + y) * total_x * total_y
    return np.asarray((away / np.where(expected > 0, expected, 1.0)).sum(axis=-1))


def g_statistic(counts_x: Points, counts_y: Points) -> Float64Array:
    """Return the likelihood-ratio G of two histograms: 2 Σ O ln(O/E).

    For equal totals it is 4 n ln 2 times their Jensen-Shannon divergence in bits.

    Parameters
    ----------
    counts_x, counts_y : array (..., k)

    Examples
    --------
    >>> round(float(g_statistic(np.array([10, 20]), np.array([20, 10]))), 6)
    6.795961
    """
    x, y = np.asarray(counts_x, dtype=np.float64), np.asarray(counts_y, dtype=np.float64)
    of_sides = sum(_nlogn(side).sum(axis=-1) - _nlogn(side.sum(axis=-1)) for side in (x, y))
    of_both = _nlogn(x + y).sum(axis=-1) - _nlogn((x + y).sum(axis=-1))
    return np.asarray(np.maximum(2.0 * (of_sides - of_both), 0.0))


def jensen_shannon_bits(p: Points, q: Points) -> Float64Array:
    """Return the Jensen-Shannon divergence, in bits, of histograms along the last axis.

    Examples
    --------
    >>> round(float(jensen_shannon_bits(np.array([0.5, 0.5]), np.array([0.9, 0.1]))), 6)
    0.146793
    """
    one, two = _fractions(p), _fractions(q)
    terms = (_nlogn(one) + _nlogn(two)) / 2 - _nlogn((one + two) / 2)
    return np.asarray(np.clip(terms.sum(axis=-1) / np.log(2), 0.0, 1.0))


def null_bias_bits(k: int, n: int, m: int) -> float:
    """Return what the divergence of `k` cells reads, to first order, where nothing differs.

    Examples
    --------
    >>> round(null_bias_bits(8, 200, 200), 4)
    0.0126
    """
    return float((k - 1) / (8 * np.log(2)) * (1 / n + 1 / m))


def _fractions(counts: Points) -> Float64Array:
    exact = counts.astype(np.float64)
    return np.asarray(exact / exact.sum(axis=-1, keepdims=True))


def _nlogn(n: Float64Array) -> Float64Array:
    return np.asarray(n * np.log(np.where(n > 0, n, 1.0)))
