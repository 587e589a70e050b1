"""Balls around every object that reach to its k-th neighbour of the same side.

Precision, recall, density and coverage are four readings of the same picture: the balls of one
side, and which objects of the other side they hold (Sajjadi et al. 2018; Kynkäänniemi et al.
2019, arXiv:1904.06991; Naeem et al. 2020, arXiv:2002.09797).

**Many assignments of the same points.** Neighbours do not know labels, so every point's nearest
others are found once, in order (`neighbour_table`). For one assignment the k-th neighbour of
the same side is then where a running count along that list reaches k, and the ball holds the
list up to there. Where a list ends too early the ball is measured directly.

**Exact membership.** Whether a point lies inside a ball must not hang on rounding: duplicates lie
exactly on its surface. Products in single precision give a *lower bound* of every squared
distance, rounding included; whatever the bound cannot decide is measured again from
differences in double precision. A point on the surface is inside.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from simreal.compare.contract import Points
from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError

#: Neighbour of the same side that a ball reaches to.
K = 5

#: Entries of a neighbour list. With a share p of the points on a side it holds 128 p of them:
#: with a quarter (half samples), fewer than 5 happens once in 10^9 lists.
LIST_LENGTH = 128

#: Entries looked at first: enough for all but one list in a thousand at a share of one half.
FIRST_LOOK = 24

#: Sides with a smaller share of the points are measured directly: their neighbours are too far
#: down the lists.
SMALLEST_SHARE = 0.08

#: Fewer assignments than this are measured directly.
FEWEST_FOR_TABLE = 3

#: More candidates than needed, in case rounding has put them in the wrong order.
SPARE = 4

#: Largest group of columns in the search for the nearest.
LARGEST_GROUP = 16

#: Elements of a block of distances: 1 million float32, 4 MB.
BLOCK_ELEMENTS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """What the balls of one side hold of the other.

    Parameters
    ----------
    counts : array of int (n_balls,)
        Objects of the other side in every ball, balls in the order of the points.
    inside : array of bool (n,)
        Objects of the other side that are in any ball.
    """

    counts: IntArray
    inside: BoolArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeighbourTable:
    """The nearest others of every point, nearest first.

    Parameters
    ----------
    rows : array of int (L, n)
    last : array of int (L, n)
        The last entry of the list at the same distance as this one.
    complete : array of int (n,)
        Entries that are certain to be the nearest: no other point is as near.
    """

    rows: npt.NDArray[np.int32]
    last: npt.NDArray[np.uint8]
    complete: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Lower bounds of squared distances between points, from products in single precision.

    Parameters
    ----------
    exact : array (n, d)
        As given: differences of float32 numbers are exact in float64.
    left, right : array (n, d + 2)
        Centred coordinates and lowered squared lengths, laid out so that one product is the bound:
        (x, l, 1) · (-2y, 1, l) = l(x) + l(y) - 2 x·y.
    margin : array (n,)
        The true squared distance is at most the bound plus the margins of both points.
    """

    exact: Points
    left: Float32Array
    right: Float32Array
    margin: Float32Array

    @classmethod
    def of(cls, points: Points) -> "Bounds":
        """Return the bounds for `points` ``(n, d)``."""
        centred = points - points.mean(axis=0, dtype=np.float64)
        rough = centred.astype(np.float32)
        norms = np.einsum("ij,ij->i", rough, rough, dtype=np.float64)
        # A sum of d + 2 terms errs by at most (d + 2) eps times their sizes, which add up to
        # |x|² + |y|² + 2|x||y| <= 2 (|x|² + |y|²); the coordinates were rounded before.
        relative = 2 * (points.shape[1] + 16) * float(np.finfo(np.float32).eps)
        lowered, ones = norms * (1 - relative), np.ones(len(points))
        return cls(
            exact=points,
            left=np.column_stack([rough, lowered, ones]).astype(np.float32),
            right=np.column_stack([-2 * rough, ones, lowered]).astype(np.float32),
            margin=(norms * 2 * relative).astype(np.float32),
        )

    def towards(self, others: IntArray) -> Float32Array:
        """Return what `between` takes for the other points, laid out for the product."""
        return np.ascontiguousarray(self.right[others].T)

    def between(self, rows: IntArray, towards: Float32Array) -> Float32Array:
        """Return the bounds between two lists of points ``(len(rows), len(others))``."""
        low: Float32Array = self.left[rows] @ towards
        return low

    def squared(self, rows: IntArray, others: IntArray) -> Float64Array:
        """Return squared distances from differences; `others` may have further axes."""
        centre = self.exact[rows].astype(np.float64)
        away = self.exact[others].astype(np.float64)
        away -= centre.reshape(len(rows), *[1] * (others.ndim - 1), centre.shape[1])
        return np.asarray(np.einsum("...i,...i->...", away, away))


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Precision, recall, density and coverage of one assignment."""

    precision: float
    recall: float
    density: float
    coverage: float


def readings(points: Points, sim: BoolArray, obs: BoolArray, *, k: int = K) -> Readings:
    """Return all four readings of one assignment, from one look at the balls of each side.

    Parameters
    ----------
    points : array (n, d)
    sim, obs : array of bool (n,)
        Disjoint, with more than `k` members each.
    k : int

    Raises
    ------
    NotComputableError
        If a side has no more than `k` members.

    Examples
    --------
    >>> points = np.array([[0.0], [1.0], [2.0], [0.5], [9.0], [9.5]])
    >>> found = readings(points, np.arange(6) > 2, np.arange(6) <= 2, k=1)
    >>> round(found.precision, 3), found.recall, round(found.density, 3), round(found.coverage, 3)
    (0.333, 1.0, 0.667, 0.667)
    """
    _check_sides(obs, sim, k)
    _check_sides(sim, obs, k)
    bounds = Bounds.of(points)
    real, fake = np.flatnonzero(obs), np.flatnonzero(sim)
    of_real, of_fake = (_radii(bounds, members, members, k) for members in (real, fake))
    counts, inside = np.zeros(len(real), dtype=np.int64), np.zeros(len(points), dtype=np.bool_)
    towards = bounds.towards(fake)
    for some in _blocks(np.arange(len(real)), len(fake)):
        low = bounds.between(real[some], towards)
        i, j = _inside(bounds, low, (real[some], fake), of_real[some, None])
        counts[some] = np.bincount(i, minlength=len(some))
        inside[fake[j]] = True
        i, j = _inside(bounds, low, (real[some], fake), of_fake[None])
        inside[real[some[i]]] = True
    held = Held(counts=counts, inside=inside)
    return Readings(
        precision=covered(held, sim),
        recall=covered(held, obs),
        density=crowding(held, sim, k=k),
        coverage=occupied(held),
    )


def covered(held: Held, others: BoolArray) -> float:
    """Return the share of the other side that lies in any ball."""
    return float(held.inside[others].mean())


def crowding(held: Held, others: BoolArray, *, k: int) -> float:
    """Return how many balls hold an object of the other side on average, over `k`."""
    return float(held.counts.sum() / (k * others.sum()))


def occupied(held: Held) -> float:
    """Return the share of balls that hold any object of the other side."""
    return float((held.counts > 0).mean())


def null_coverage(n: int, m: int, *, k: int = K) -> float:
    """Return the expected coverage of `n` balls by `m` objects of the same population.

    The nearest of the other side is beyond the k-th of one's own if the k nearest of all
    N - 1 + M others are of one's own: 1 - Π (N - i)/(N + M - i) for i from 1 to k.

    Examples
    --------
    >>> round(null_coverage(1000, 1000), 4), round(null_coverage(1000, 500), 4)
    (0.969, 0.869)
    """
    i = np.arange(1, k + 1)
    return float(1 - np.prod((n - i) / (n + m - i)))


def balls(points: Points, own: BoolArray, other: BoolArray, *, k: int = K) -> Iterator[Held]:
    """Yield what the balls of one side hold of the other, for every assignment.

    Parameters
    ----------
    points : array (n, d)
    own, other : array of bool (B, n)
        The side whose balls they are, and the side that is counted; disjoint.
    k : int
        Balls reach to the k-th nearest other object of their own side.

    Raises
    ------
    NotComputableError
        If the balls' side has no more than `k` members.
    """
    for ours, theirs in zip(own[:1], other[:1], strict=True):
        _check_sides(ours, theirs, k)
    bounds = Bounds.of(points)
    share = own[:1].mean()
    many = len(own) >= FEWEST_FOR_TABLE and share >= SMALLEST_SHARE
    table = neighbour_table(points) if many else None
    for ours, theirs in zip(own, other, strict=True):
        yield _held(bounds, table, ours, theirs, k)


def _held(
    bounds: Bounds, table: NeighbourTable | None, own: BoolArray, other: BoolArray, k: int
) -> Held:
    centres = np.flatnonzero(own)
    held = Held(counts=np.zeros(len(centres), dtype=np.int64), inside=np.zeros_like(own))
    left = np.arange(len(centres))
    if table is not None:
        for length in (min(FIRST_LOOK, len(table.rows)), len(table.rows)):
            if len(left):
                done = _along_lists(table, length, centres[left], left, held, (own, other), k)
                left = left[~done]
    if len(left):
        _directly(bounds, left, held, (centres, np.flatnonzero(other)), k)
    return held


def _along_lists(
    table: NeighbourTable,
    length: int,
    centres: IntArray,
    places: IntArray,
    held: Held,
    sides: tuple[BoolArray, BoolArray],
    k: int,
) -> BoolArray:
    """Fill in the balls that end within the first `length` neighbours; return which they are."""
    own, other = sides
    near = table.rows[:length].take(centres, axis=1)
    nth = np.cumsum(own[near], axis=0, dtype=np.uint8)
    place = (nth < k).sum(axis=0)
    end = table.last[np.minimum(place, length - 1), centres]
    done = (place < length) & (end < np.minimum(length, table.complete[centres]))
    inside = other[near] & (np.arange(length)[:, None] <= end) & done
    held.counts[places[done]] = inside.sum(axis=0)[done]
    held.inside[near[inside]] = True
    return np.asarray(done)


def _directly(
    bounds: Bounds, left: IntArray, held: Held, sides: tuple[IntArray, IntArray], k: int
) -> None:
    """Fill in the balls whose places are `left` by measuring all distances from them."""
    members, others = sides
    radii = _radii(bounds, members[left], members, k)
    towards = bounds.towards(others)
    for some in _blocks(np.arange(len(left)), len(others)):
        places = left[some]
        low = bounds.between(members[places], towards)
        i, j = _inside(bounds, low, (members[places], others), radii[some, None])
        held.counts[places] = np.bincount(i, minlength=len(some))
        held.inside[others[j]] = True


def _inside(
    bounds: Bounds, low: Float32Array, of: tuple[IntArray, IntArray], radii: Float64Array
) -> tuple[IntArray, IntArray]:
    """Return the pairs (row, column of `low`) whose squared distance is at most `radii`.

    Parameters
    ----------
    bounds : Bounds
    low : array (r, c)
        Lower bounds of the squared distances.
    of : pair of arrays of int (r,), (c,)
        The points that rows and columns stand for.
    radii : array (r, 1) or (1, c)
        Squared radii.
    """
    rows, columns = of
    # Rounded up: in single precision the comparison may only let in too many.
    reach = np.nextafter(radii.astype(np.float32), np.float32(np.inf))
    i, j = np.divmod(_few_true(low <= reach), low.shape[1])
    radius = np.broadcast_to(radii, low.shape)[i, j]
    high = low[i, j] + (bounds.margin[rows[i]] + bounds.margin[columns[j]]).astype(np.float64)
    inside = high <= radius
    unsure = np.flatnonzero(~inside)
    for some in np.array_split(unsure, len(unsure) * bounds.exact.shape[1] // BLOCK_ELEMENTS + 1):
        inside[some] = bounds.squared(rows[i[some]], columns[j[some]]) <= radius[some]
    return i[inside], j[inside]


def _few_true(mask: BoolArray) -> IntArray:
    """Return where a mask is true, counted along its rows, eight entries at a look.

    Examples
    --------
    >>> _few_true(np.arange(20).reshape(2, 10) % 9 == 8).tolist()
    [8, 17]
    """
    flat = mask.ravel()
    whole = len(flat) // 8 * 8
    eights = np.flatnonzero(flat[:whole].view(np.uint64))
    places = (8 * eights[:, None] + np.arange(8)).ravel()
    places = np.append(places, np.arange(whole, len(flat)))
    return np.asarray(places[flat[places]])


def _check_sides(own: BoolArray, other: BoolArray, k: int) -> None:
    members = int(own.sum())
    if not 1 <= k < members or not other.any():
        raise NotComputableError(
            f"balls to neighbour k = {k}: got {members} objects on one side and "
            f"{int(other.sum())} on the other, allowed are more than k and one or more"
        )


def _radii(bounds: Bounds, centres: IntArray, members: IntArray, k: int) -> Float64Array:
    """Return the squared distance of every centre to the k-th nearest other member."""
    towards, radii = bounds.towards(members), np.empty(len(centres))
    for some in _blocks(np.arange(len(centres)), len(members)):
        block = centres[some]
        low = bounds.between(block, towards)
        low[np.arange(len(block)), np.searchsorted(members, block)] = np.inf
        near, limit = _candidates(low, k + SPARE)
        squared = _measured(bounds, block, near, members)
        squared = np.partition(squared, k - 1, axis=1)[:, k - 1]
        for i in np.flatnonzero(squared > limit):
            others = members[members != block[i]]
            every = bounds.squared(block[i : i + 1], others[None])[0]
            squared[i] = np.partition(every, k - 1)[k - 1]
        radii[some] = squared
    return radii


def _measured(bounds: Bounds, centres: IntArray, near: IntArray, members: IntArray) -> Float64Array:
    """Return squared distances to candidates, infinite where there is none."""
    squared = bounds.squared(centres, members[near])
    squared[near < 0] = np.inf
    return squared


def _candidates(low: Float32Array, n: int) -> tuple[IntArray, Float32Array]:
    """Return the columns of `n` or more of the lowest bounds, and a floor under all others.

    One column of every row, the point itself, is infinite and never among them; rows with fewer
    columns than others are filled up with -1.

    A full partition of every row costs as much as the product. Instead the columns are put into
    groups: the n-th smallest of the groups' minima has at least n bounds at or below it,
    and not many more, so what lies below it is found in one comparison.
    """
    n = min(n, low.shape[1] - 1)
    size = min(LARGEST_GROUP, low.shape[1] // (4 * n))
    if size < 2:
        return _by_partition(low, n)
    whole = low.shape[1] // size * size
    minima = low[:, :whole].reshape(len(low), size, -1).min(axis=1)
    limit = np.partition(minima, n - 1, axis=1)[:, n - 1]
    i, j = np.divmod(_few_true(low <= limit[:, None]), low.shape[1])
    counts = np.bincount(i, minlength=len(low))
    if counts.max() > 4 * n:
        return _by_partition(low, n)  # duplicates: half a row may be tied
    near = np.full((len(low), int(counts.max())), -1, dtype=np.int64)
    near[i, np.arange(len(i)) - (np.cumsum(counts) - counts)[i]] = j
    return near, limit


def _by_partition(low: Float32Array, n: int) -> tuple[IntArray, Float32Array]:
    order = np.argpartition(low, n, axis=1)
    return order[:, :n], low[np.arange(len(low)), order[:, n]]


def _blocks(rows: IntArray, n_columns: int) -> Iterator[IntArray]:
    size = max(1, BLOCK_ELEMENTS // max(1, n_columns))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def neighbour_table(points: Points, *, length: int | None = None) -> NeighbourTable:
    """Return the nearest others of every point, remembered by the content of `points`.

    Permutations, half samples and the next metric ask for the same points again; the lists
    take about a tenth of a second for 2,000 points, the digest they are known by next to nothing.
    """
    length = min(LIST_LENGTH if length is None else length, len(points) - 1)
    content = np.ascontiguousarray(points)
    digest = hashlib.blake2b(content.data, digest_size=16).digest()
    return _table(_Content(points=content, digest=digest, length=length))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Content:
    """Points known by their bytes, so that a table never outlives a change of them."""

    points: Points
    digest: bytes
    length: int

    def _key(self) -> tuple[object, ...]:
        return self.digest, self.length, self.points.shape, self.points.dtype

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Content) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


#: One table per view of the pool and of the observed set: 13 MB each for 20,000 points.
@lru_cache(maxsize=8)
def _table(content: _Content) -> NeighbourTable:
    points, length = content.points, content.length
    bounds, n = Bounds.of(points), len(content.points)
    rows = np.empty((length, n), dtype=np.int32)
    last = np.empty((length, n), dtype=np.uint8)
    complete = np.empty(n, dtype=np.int32)
    everyone = np.arange(n)
    towards = bounds.towards(everyone)
    wanted = length + SPARE
    for block in _blocks(everyone, max(n, wanted * points.shape[1])):
        low = bounds.between(block, towards)
        low[np.arange(len(block)), block] = np.inf
        near, limit = _candidates(low, wanted)
        squared = _measured(bounds, block, near, everyone)
        order = np.argsort(squared, axis=1, kind="stable")
        squared = np.take_along_axis(squared, order, axis=1)
        # What is cut off the end, or never was a candidate, may be as near as this.
        beyond = squared[:, length] if squared.shape[1] > length else np.inf
        certain = np.minimum(limit, beyond)
        squared = squared[:, :length]
        rows[:, block] = np.take_along_axis(near, order, axis=1)[:, :length].T
        last[:, block] = _last_of_ties(squared).T
        complete[block] = (squared < certain[:, None]).sum(axis=1)
    return NeighbourTable(rows=rows, last=last, complete=complete)


def _last_of_ties(ordered: Float64Array) -> IntArray:
    """Return, along rows in rising order, the place of the last entry equal to each.

    Examples
    --------
    >>> _last_of_ties(np.array([[1.0, 2.0, 2.0, 3.0]])).tolist()
    [[0, 2, 2, 3]]
    """
    length = ordered.shape[1]
    ends = np.full(ordered.shape, length - 1, dtype=np.int64)
    ends[:, :-1] = np.where(ordered[:, 1:] != ordered[:, :-1], np.arange(length - 1), length - 1)
    return np.asarray(np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1])
