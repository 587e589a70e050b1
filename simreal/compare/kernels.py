"""Kernels, and the quadratic forms that unbiased two-sample statistics are made of.

A kernel is a number for every pair of points (`Kernel.factors`: a squared distance or an inner
product, as one matrix product) and one or several functions of it (`Kernel.forms`: one per
bandwidth). The kernel matrix is streamed in square blocks and never stored, each block meets all
assignments in one matrix product, and MMD, the kernel distance and the energy distance are the
same code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from simreal.compare.contract import Points
from simreal.core.arrays import BoolArray, Float64Array

#: From the numbers of a block of pairs to a block of the kernel, in a new array.
Form: TypeAlias = Callable[[Points], Points]

#: Side of a square block of the kernel matrix: 1 MB in float32, two of them stay in cache.
BLOCK = 512

#: Points that tell the typical size of a kernel.
TYPICAL_POINTS = 128


@dataclass(frozen=True, slots=True)
class Kernel:
    """A symmetric kernel, or several of one family.

    Parameters
    ----------
    factors : callable
        Points ``(n, d)`` to two arrays ``(n, k)``, of which `forms` get rows of one times rows
        of the other. Norms and constants ride along as further columns: a pass over a block
        costs as much as ten of them.
    forms : tuple of callable
        ``(n, m)`` to a new array ``(n, m)``, one per kernel.
    """

    factors: Callable[[Points], tuple[Points, Points]]
    forms: tuple[Form, ...]


def gaussian(bandwidths: Float64Array) -> Kernel:
    """Return ``exp(-|x - y|² / 2 s²)`` for every bandwidth s.

    Examples
    --------
    >>> matrix(gaussian(np.array([1.0])), np.array([[0.0], [2.0]])).round(4).tolist()
    [[1.0, 0.1353], [0.1353, 1.0]]
    """
    first = float(bandwidths[0])

    def factors(points: Points) -> tuple[Points, Points]:
        left, right = _distance_factors(points)
        return left * left.dtype.type(-0.5 / first**2), right

    return Kernel(factors, tuple(_exponential((first / float(s)) ** 2) for s in bandwidths))


def _exponential(rate: float) -> Form:
    def form(exponents: Points) -> Points:
        if rate == 1:
            return np.asarray(np.exp(exponents))
        block = exponents * exponents.dtype.type(rate)
        np.exp(block, out=block)
        return block

    return form


def cubic(dimension: int) -> Kernel:
    """Return ``(<x, y> / d + 1)³``, the kernel of the kernel distance.

    Examples
    --------
    >>> matrix(cubic(1), np.array([[1.0], [2.0]])).tolist()
    [[8.0, 27.0], [27.0, 125.0]]
    """

    def factors(points: Points) -> tuple[Points, Points]:
        one = np.ones_like(points[:, :1])
        scaled = points * points.dtype.type(1 / dimension)
        return np.concatenate([scaled, one], axis=1), np.concatenate([points, one], axis=1)

    def form(products: Points) -> Points:
        block: Points = products * products
        block *= products
        return block

    return Kernel(factors, (form,))


def minus_distance() -> Kernel:
    """Return ``-|x - y|``, whose MMD² is the energy distance.

    Examples
    --------
    >>> matrix(minus_distance(), np.array([[1.0], [4.0]])).tolist()
    [[-0.0, -3.0], [-3.0, -0.0]]
    """

    def form(squared: Points) -> Points:
        block: Points = np.maximum(squared, 0)
        np.sqrt(block, out=block)
        np.negative(block, out=block)
        return block

    return Kernel(_distance_factors, (form,))


def _distance_factors(points: Points) -> tuple[Points, Points]:
    """Return what multiplies to |x|² + |y|² - 2 <x, y>."""
    exact = points.astype(np.float64)
    norms = np.einsum("ij,ij->i", exact, exact).astype(points.dtype)[:, None]
    one = np.ones_like(norms)
    return (
        np.concatenate([-2 * points, norms, one], axis=1),
        np.concatenate([points, one, norms], axis=1),
    )


def matrix(kernel: Kernel, points: Points, *, level: int = 0) -> Points:
    """Return one kernel of the family between all points ``(n, n)``, whole: for small n.

    Examples
    --------
    >>> matrix(minus_distance(), np.zeros((2, 3))).shape
    (2, 2)
    """
    left, right = kernel.factors(points)
    return kernel.forms[level](left @ right.T)


def squared_distances(a: Points, b: Points) -> Points:
    """Return squared distances ``(n, m)``; points should be centred, or digits are lost."""
    squared: Points = a @ b.T
    squared *= -2
    squared += np.einsum("ij,ij->i", a, a)[:, None]
    squared += np.einsum("ij,ij->i", b, b)[None, :]
    np.maximum(squared, 0, out=squared)
    return squared


def unbiased_discrepancy(
    points: Points, sim: BoolArray, obs: BoolArray, kernel: Kernel
) -> Float64Array:
    """Return the unbiased squared MMD for every assignment and kernel ``(B, L)``.

    With w = u/n - v/m for the masks u and v, and K without its diagonal,

        MMD² = w'Kw + u'Ku / n²(n-1) + v'Kv / m²(m-1).

    The quadratic forms of all assignments come from one matrix product per block of K, which is
    never stored. Where the masks are each other's complement (permutations), u'Ku and v'Kv
    follow from w'Kw and the row sums of K, which halves the work. A constant is subtracted from
    K first, which changes no MMD² and leaves small numbers whose float32 sums lose nothing.

    Parameters
    ----------
    points : array (n, d)
        Centred where the kernel is one of distances; the arithmetic of the kernel is done in
        their precision.
    sim, obs : array of bool (B, n)
        Disjoint, with at least two members each.
    kernel : Kernel
    """
    n = sim.sum(axis=1).astype(np.float64)
    m = obs.sum(axis=1).astype(np.float64)
    w = _difference(sim, obs, points.dtype)
    if bool((sim ^ obs).all()):
        across, row_sums = quadratic_forms(points, w, kernel)
        # u'r = A + C and v'r = B + C for the row sums r, with A = u'Ku, B = v'Kv, C = u'Kv.
        from_u = _sums_over(sim, row_sums)
        from_v = row_sums.sum(axis=1) - from_u
        both = (from_u / n[:, None] ** 2 + from_v / m[:, None] ** 2 - across) / (
            (1 / n + 1 / m)[:, None] ** 2
        )
        within_u, within_v = from_u - both, from_v - both
    else:
        u, v = (mask.astype(points.dtype) for mask in (sim, obs))
        forms, _ = quadratic_forms(points, np.concatenate([w, u, v]), kernel)
        across, within_u, within_v = np.split(forms, 3)
    correction_u = within_u / (n**2 * (n - 1))[:, None]
    correction_v = within_v / (m**2 * (m - 1))[:, None]
    return np.asarray(across + correction_u + correction_v)


def _difference(sim: BoolArray, obs: BoolArray, dtype: np.dtype[Any]) -> Points:
    """Return u/n - v/m for the masks u and v ``(B, n)``."""
    w: Points = sim.astype(dtype)
    w *= (1 / sim.sum(axis=1, keepdims=True)).astype(dtype)
    np.subtract(w, (1 / obs.sum(axis=1, keepdims=True)).astype(dtype), out=w, where=obs)
    return w


def _sums_over(mask: BoolArray, values: Float64Array) -> Float64Array:
    """Return the sums of values ``(L, n)`` over the members of every mask ``(B, L)``."""
    parts = [
        mask[start : start + 64].astype(np.float64) @ values.T for start in range(0, len(mask), 64)
    ]
    return np.concatenate([*parts, np.zeros((0, len(values)))])


def quadratic_forms(
    points: Points, weights: Points, kernel: Kernel
) -> tuple[Float64Array, Float64Array]:
    """Return w'Kw for every row of `weights` ``(M, L)`` and the row sums of K ``(L, n)``.

    K is the kernel off the diagonal less a constant, and zero on the diagonal. Blocks above the
    diagonal stand for those below; all sums over blocks are in double precision.
    """
    n = len(points)
    # A column of ones: its product is the row sums.
    columns = np.ones((n, len(weights) + 1), dtype=points.dtype)
    columns[:, :-1] = weights.T
    constants = _typical(points, kernel)
    left, right = kernel.factors(points)
    forms = np.zeros((len(weights) + 1, len(kernel.forms)))
    row_sums = np.zeros((len(kernel.forms), n))
    for i in range(0, n, BLOCK):
        rows = slice(i, min(i + BLOCK, n))
        for j in range(i, n, BLOCK):
            cols = slice(j, min(j + BLOCK, n))
            pairs = left[rows] @ right[cols].T
            for level, form in enumerate(kernel.forms):
                block = form(pairs)
                block -= block.dtype.type(constants[level])
                if i == j:
                    np.fill_diagonal(block, 0)
                product = block @ columns[cols]
                twice = 1.0 if i == j else 2.0
                forms[:, level] += twice * _column_dots(columns[rows], product)
                row_sums[level, rows] += product[:, -1]
                if i != j:
                    row_sums[level, cols] += columns[rows, -1] @ block
    return forms[:-1], row_sums


def _column_dots(a: Points, b: Points) -> Float64Array:
    total = np.zeros(a.shape[1])
    for start in range(0, len(a), 128):
        rows = slice(start, start + 128)
        total += np.einsum("ij,ij->j", a[rows], b[rows])
    return total


def _typical(points: Points, kernel: Kernel) -> Float64Array:
    """Return the mean of every kernel between some of the points."""
    some = points[:: max(1, len(points) // TYPICAL_POINTS)].astype(np.float64)
    if len(some) < 2:
        return np.zeros(len(kernel.forms))
    off = ~np.eye(len(some), dtype=np.bool_)
    levels = range(len(kernel.forms))
    return np.array([matrix(kernel, some, level=level)[off].mean() for level in levels])
