"""Two scores for every single object, which answer two different questions.

**Off support**: does the other population have anything like this object? Its distance to the
k-th neighbour in the target population is compared with the same distance of target objects that
were set aside (conformal p-value, Vovk, Gammerman and Shafer 2005; several objects at once:
Bates et al. 2023, Ann. Statist. 51, 149). Weak for populations that are only shifted a little.

**Density ratio**: does the object's own population have more or fewer like it than the other? The
ratio of the two distances to the k-th neighbour, calibrated on halves of the own population. It
reads a population that is too narrow as over-dense, which it is, and as out of distribution,
which it is not: with both scores side by side that is seen, merged it would be hidden.

Both are directional: what simulations make and the sky lacks, and what the sky has and simulations
lack, are two calls with the sides exchanged. Neighbours are taken in the city-block metric. An
object is never its own neighbour, and neither is another view of it.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from simreal.compare.contract import Points
from simreal.core.arrays import Float64Array, IntArray, StrArray, owned
from simreal.core.errors import NotComputableError, UsageError
from simreal.stats.fdr import benjamini_hochberg
from simreal.stats.groups import group_rows, thin_views
from simreal.stats.neighbours import nearest_by_city_block

#: Neighbour whose distance is taken.
K = 8

#: Share of objects beyond it where nothing differs.
QUANTILE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Population:
    """Points of one side and the groups they belong to.

    Parameters
    ----------
    points : array (n, d)
    groups : array of str (n,)
        The galaxy behind every point; shared between sides, it is the same galaxy.
    name : str
    """

    points: Points
    groups: StrArray
    name: str

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or len(self.points) != len(self.groups):
            raise UsageError(
                f"{self.name}: got points {self.points.shape} and {len(self.groups)} groups, "
                "allowed are points (n, d) with one group each"
            )
        bad = np.flatnonzero(~np.isfinite(self.points).all(axis=1))
        if len(bad):
            raise UsageError(
                f"{self.name}: row {bad[0]} is not finite, and {len(bad) - 1} more; leave them out"
            )

    @classmethod
    def of(cls, points: Points, name: str) -> "Population":
        """Return a population in which every object is a group of its own.

        Examples
        --------
        >>> Population.of(np.zeros((2, 1)), "sim").groups.tolist()
        ['sim 0', 'sim 1']
        """
        return cls(
            points=points, groups=np.array([f"{name} {i}" for i in range(len(points))]), name=name
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OffSupport:
    """Which objects of one population have no counterpart in another.

    Parameters
    ----------
    distance : array (n,)
        City-block distance of every object to its k-th neighbour in the target.
    p_value : array (n,)
        Conformal: (1 + calibration objects at least as far) / (n_calibration + 1).
    p_adjusted : array (n,)
        Benjamini-Hochberg over the objects.
    threshold : float
        The distance that a twentieth of the calibration objects exceed.
    fraction : float
        Share of objects beyond the threshold; 0.05 where nothing differs.
    smallest_p : float
        The smallest p-value there can be: 1 / (n_calibration + 1).
    fewest_found : int
        With fewer objects than this at the smallest p none can be found at the level asked for;
        more than there are objects, and none can be found at all.
    n_reference, n_calibration : int
        Target objects that distances go to, and that they are compared with.
    level : float
        False-discovery rate.
    k : int
    """

    distance: Float64Array
    p_value: Float64Array
    p_adjusted: Float64Array
    threshold: float
    fraction: float
    smallest_p: float
    fewest_found: int
    n_reference: int
    n_calibration: int
    level: float
    k: int

    def __post_init__(self) -> None:
        for name in ("distance", "p_value", "p_adjusted"):
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))

    @property
    def found(self) -> int:
        """Objects off support at the false-discovery rate."""
        return int((self.p_adjusted <= self.level).sum())

    @property
    def note(self) -> str:
        """Return what the p-values can and cannot say."""
        text = (
            f"conformal p against {self.n_calibration} objects disjoint from the "
            f"{self.n_reference} of the reference; smallest attainable p {self.smallest_p:.3g}"
        )
        n = len(self.p_value)
        if self.fewest_found > n:
            return (
                f"{text}, too large to name any of {n} objects at a false-discovery rate of "
                f"{self.level:g}; more target objects are needed"
            )
        if self.fewest_found > 1:
            return (
                f"{text}: fewer than {self.fewest_found} off-support objects of {n} cannot be "
                f"named at a false-discovery rate of {self.level:g}"
            )
        return text


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DensityRatio:
    """Where one population is denser or thinner than another, object by object.

    Parameters
    ----------
    ratio : array (n,)
        Distance to the k-th neighbour in the other population over that in the own one. Its
        power of the local dimension is the ratio of densities, own over other.
    log2_ratio : array (n,)
        Above 0: over-produced here; below 0: under-produced.
    factor : float
        95th percentile of the ratio between two random halves of the own population.
    fraction : float
        Share of objects with a ratio beyond the factor; about 0.05 where nothing differs.
    n_each : int
        Groups that neighbours are taken from, on each side.
    k : int
    """

    ratio: Float64Array
    log2_ratio: Float64Array
    factor: float
    fraction: float
    n_each: int
    k: int

    def __post_init__(self) -> None:
        for name in ("ratio", "log2_ratio"):
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))

    @property
    def note(self) -> str:
        """Return how the ratio was calibrated."""
        return (
            f"{self.n_each} groups a side; calibration factor {self.factor:.3g}, the 95th "
            "percentile between two random halves of the own population"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ObjectScores:
    """Both scores of one population against another; never merged into one."""

    off_support: OffSupport
    density_ratio: DensityRatio


def object_scores(
    own: Population,
    other: Population,
    *,
    k: int = K,
    level: float = 0.05,
    rng: np.random.Generator,
) -> ObjectScores:
    """Return both scores of every object of `own` against `other`.

    The other direction is the same call with the populations exchanged.

    Raises
    ------
    NotComputableError
        If a population has too few groups.
    """
    return ObjectScores(
        off_support=off_support(own, other, k=k, level=level, rng=rng),
        density_ratio=density_ratio(own, other, k=k, rng=rng),
    )


def off_support(
    queries: Population,
    target: Population,
    *,
    k: int = K,
    level: float = 0.05,
    rng: np.random.Generator,
) -> OffSupport:
    """Return how far every object of `queries` is from anything in `target`.

    Half of the target's groups, drawn at random, are the reference that distances go to; the
    other half, one object each, are the calibration. A query of the same population is
    exchangeable with the calibration objects, so its p-value is valid whatever the encoder;
    ties count against.

    Parameters
    ----------
    queries, target : Population
    k : int
        Neighbour whose distance is taken.
    level : float
        False-discovery rate over the objects.
    rng : Generator
        Splits the target.

    Raises
    ------
    NotComputableError
        If there are no queries, or the target has too few groups.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sky = Population.of(rng.normal(size=(400, 2)), "obs")
    >>> odd = Population.of(np.array([[0.0, 0.0], [9.0, 9.0]]), "sim")
    >>> off_support(odd, sky, rng=rng).p_value.round(3).tolist()[1]
    0.005
    """
    reference, calibration = _split(target, k, rng=rng)
    if not len(queries.points):
        raise NotComputableError(f"off support: {queries.name} has no objects; give one or more")
    distance = _to_kth(queries.points, queries.groups, target, reference, k)
    near, groups = target.points[calibration], target.groups[calibration]
    known = np.sort(_to_kth(near, groups, target, reference, k))
    n = len(known)
    at_least = n - np.searchsorted(known, distance, side="left")
    p = np.asarray((1.0 + at_least) / (n + 1.0), dtype=np.float64)
    threshold = float(np.quantile(known, QUANTILE, method="higher"))
    smallest = 1.0 / (n + 1)
    return OffSupport(
        distance=distance,
        p_value=p,
        p_adjusted=benjamini_hochberg(p),
        threshold=threshold,
        fraction=float(np.mean(distance > threshold)),
        smallest_p=smallest,
        fewest_found=max(1, math.ceil(smallest * len(p) / level - 1e-9)),
        n_reference=len(reference),
        n_calibration=n,
        level=level,
        k=k,
    )


def density_ratio(
    own: Population, other: Population, *, k: int = K, rng: np.random.Generator
) -> DensityRatio:
    """Return how dense `other` is around every object of `own`, against `own` itself.

    r(x) = d_k(x, other) / d_k(x, own without x), with one object of each group and as many groups
    on both sides. Distances shrink with the number of points, hence the same number n - 1 on
    either side of the ratio: for an object that is not among the n of its own side, one of them
    is left out at random. Axes are first brought to the same width over both sides, each of
    equal weight. The factor is the 95th percentile of the ratio between two random
    halves of `own`, a property of how densely it is sampled.

    Parameters
    ----------
    own, other : Population
    k : int
        Neighbour whose distance is taken.
    rng : Generator
        Draws the groups, one object of each, and the halves.

    Raises
    ------
    NotComputableError
        If a side has too few groups.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> narrow, broad = rng.normal(size=(2, 400, 2)) * np.array([0.5, 2.0])[:, None, None]
    >>> found = density_ratio(Population.of(narrow, "sim"), Population.of(broad, "obs"), rng=rng)
    >>> found.fraction > 0.8
    True
    """
    mine, theirs = _one_each(own, rng=rng), _one_each(other, rng=rng)
    n = min(len(mine), len(theirs))
    if n < 2 * (k + 2):
        raise NotComputableError(
            f"density ratio: got {len(mine)} groups of {own.name} and {len(theirs)} of {other.name}"
            f", allowed are {2 * (k + 2)} or more of each for neighbour {k} in halves"
        )
    mine, theirs = rng.permutation(mine)[:n], rng.permutation(theirs)[:n]
    own, other = _same_widths(own, other, mine, theirs)
    theirs = theirs[: n - 1]
    ratio = _ratio(
        _to_kth(own.points, own.groups, other, theirs, k),
        _to_kth_but_one(own.points, own.groups, own, mine, k, rng=rng),
    )
    factor = float(np.quantile(_between_halves(own, mine, k, rng=rng), QUANTILE))
    with np.errstate(divide="ignore"):
        logs = np.log2(ratio)
    return DensityRatio(
        ratio=ratio,
        log2_ratio=logs,
        factor=factor,
        fraction=float(np.mean(ratio > factor)),
        n_each=n,
        k=k,
    )


def _same_widths(
    own: Population, other: Population, mine: IntArray, theirs: IntArray
) -> tuple[Population, Population]:
    """Return both with every axis divided by its deviation over the pool of the drawn rows."""
    pool = np.concatenate([own.points[mine], other.points[theirs]]).astype(np.float64)
    width = pool.std(axis=0)
    width = np.where(width > 0, width, 1.0)
    return replace(own, points=own.points / width), replace(other, points=other.points / width)


def _between_halves(
    own: Population, rows: IntArray, k: int, *, rng: np.random.Generator
) -> Float64Array:
    """Return the ratio of the objects of each half with the other half as the other side."""
    half = len(rows) // 2
    found = []
    for mine, theirs in ((rows[:half], rows[half:]), (rows[half:], rows[:half])):
        theirs = theirs[: len(mine) - 1]
        points, groups = own.points[mine], own.groups[mine]
        found.append(
            _ratio(
                _to_kth(points, groups, own, theirs, k),
                _to_kth_but_one(points, groups, own, mine, k, rng=rng),
            )
        )
    return np.concatenate(found)


def _ratio(to_other: Float64Array, to_own: Float64Array) -> Float64Array:
    """Return the ratio of distances; 1 where both are zero, infinite where only the second is."""
    both_zero = (to_other == 0) & (to_own == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(both_zero, 1.0, to_other / to_own))


def _to_kth(
    points: Points, groups: StrArray, target: Population, rows: IntArray, k: int
) -> Float64Array:
    """Return the distance to the k-th of some target rows, other views of the same galaxy aside."""
    names, codes = np.unique(target.groups[rows], return_inverse=True)
    place = np.searchsorted(names, groups).clip(max=len(names) - 1)
    own = np.where(names[place] == groups, place, -1)
    return nearest_by_city_block(
        points, target.points[rows], k, query_codes=own, reference_codes=codes.astype(np.int64)
    )[:, -1]


def _to_kth_but_one(
    points: Points,
    groups: StrArray,
    own: Population,
    rows: IntArray,
    k: int,
    *,
    rng: np.random.Generator,
) -> Float64Array:
    """Return the distance to the k-th of all rows but one: its own group's, or a random one."""
    names, codes = np.unique(own.groups[rows], return_inverse=True)
    place = np.searchsorted(names, groups).clip(max=len(names) - 1)
    drawn = rng.integers(len(names), size=len(groups))
    skipped = np.where(names[place] == groups, place, drawn)
    return nearest_by_city_block(
        points, own.points[rows], k, query_codes=skipped, reference_codes=codes.astype(np.int64)
    )[:, -1]


def _one_each(population: Population, *, rng: np.random.Generator) -> IntArray:
    """Return one random row of every group."""
    if not len(population.groups):
        return np.zeros(0, dtype=np.int64)
    drawn: IntArray = thin_views(group_rows(population.groups), 1, rng=rng)[0]
    return drawn


def _split(target: Population, k: int, *, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Return the rows of the reference groups, and one row of every calibration group."""
    of_groups = group_rows(target.groups)
    # The reference of a query or calibration object may lack one group, its own.
    if len(of_groups) < 2 * (k + 1):
        raise NotComputableError(
            f"off support: got {len(of_groups)} groups of {target.name}, allowed are "
            f"{2 * (k + 1)} or more for neighbour {k} in half of them"
        )
    order = rng.permutation(len(of_groups))
    half = len(of_groups) // 2
    reference = np.concatenate([of_groups[i] for i in order[:half]])
    calibration = thin_views([of_groups[i] for i in order[half:]], 1, rng=rng)[0]
    return np.sort(reference), np.sort(calibration)
