"""Inference, written once for every metric: permutation p-value, floor and interval.

**Groups and views.** Every group is thinned at random to m views, the number the smallest
group of either side has (at most four); m rounds each take one view of every group, each view
once; a statistic is averaged over the rounds; and permutations shuffle the labels of groups,
the same in every round. Under the null hypothesis groups are then exchangeable for equal and
for unequal numbers of views, and the test is exact.

**Interval.** Halves and quarters of the groups of each side are drawn without replacement,
again and again; the spread of the statistic over these draws gives its spread at n
(`variance_of`). The ordinary bootstrap is not used: it repeats objects, and a repeated
object is at distance zero from itself, which shifts and widens every statistic made of
pairwise distances.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from simreal.compare.contract import Fitted, HeldOut, Laddered, MetricMeta
from simreal.compare.sample import Sample
from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.stats.groups import permuted_labels, random_masks

Tail: TypeAlias = Literal["upper", "lower", "both"]
NearNull: TypeAlias = Literal["linear", "quadratic", "root"]

#: Statistics closer than this share of the largest are tied: float32 rounding is no difference.
TIE = 1e-6


def values(metric: Fitted, rounds: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
    """Return the metric averaged over rounds for every assignment of groups ``(B,)``."""
    per_round = np.stack([metric.values(points, sim, obs) for points in rounds])
    return np.asarray(per_round.mean(axis=0, dtype=np.float64))


def permutation_statistics(
    metric: Fitted,
    sample: Sample,
    n_permutations: int,
    *,
    tail: Tail = "upper",
    rng: np.random.Generator,
) -> Float64Array:
    """Return the tested statistic of the observed labelling and of its shuffles ``(B + 1,)``.

    Larger is further, whatever the tail of the metric. Labels are shuffled by group, inside
    strata where the sample has them, and for a metric that learns from labels only among the
    groups it did not learn from.
    """
    if not isinstance(metric, HeldOut):
        labels = permuted_labels(sample.is_sim, n_permutations, rng=rng, strata=sample.strata)
        return _tested([metric] * len(sample.rounds), sample.rounds, labels, tail)
    learned = [metric.held_out(points, sample.is_sim) for points in sample.rounds]
    rest = learned[0][1]
    labels = permuted_labels(
        sample.is_sim[rest],
        n_permutations,
        rng=rng,
        strata=None if sample.strata is None else sample.strata[rest],
    )
    return _tested([fixed for fixed, _ in learned], sample.rounds[:, rest], labels, tail)


def _tested(
    metrics: Sequence[Fitted], rounds: Float32Array, labels: BoolArray, tail: Tail
) -> Float64Array:
    """Return the tested statistic, each round under its own metric, averaged over rounds."""
    if isinstance(metrics[0], Laddered):
        components = [
            metric.components(points, labels, ~labels)
            for metric, points in zip(metrics, rounds, strict=True)
            if isinstance(metric, Laddered)
        ]
        return aggregate(np.stack(components).mean(axis=0))
    plain = [
        metric.values(points, labels, ~labels)
        for metric, points in zip(metrics, rounds, strict=True)
    ]
    return oriented(np.asarray(np.stack(plain).mean(axis=0)), tail)


def oriented(statistics: Float64Array, tail: Tail) -> Float64Array:
    """Return statistics for which larger is further, from those of all labellings.

    For a metric whose both tails tell, the distance from the mean over all labellings, the
    observed one among them: a symmetric function, so that the test stays exact.

    Examples
    --------
    >>> oriented(np.array([1.0, 4.0, 4.0]), "both").tolist()
    [2.0, 1.0, 1.0]
    """
    if tail == "upper":
        return statistics
    return -statistics if tail == "lower" else np.abs(statistics - statistics.mean())


def aggregate(components: Float64Array) -> Float64Array:
    """Return the largest component of every labelling, each in its own permutation spread.

    Mean and spread are taken over all labellings, the observed one among them: a symmetric
    function of the labellings leaves them exchangeable, so the test stays exact, and a component
    with larger numbers does not drown the others.

    Parameters
    ----------
    components : array (B, L)

    Examples
    --------
    >>> aggregate(np.array([[3.0, 100.0], [0.0, 200.0], [0.0, 300.0]])).round(3).tolist()
    [1.414, 0.0, 1.225]
    """
    spread = components.std(axis=0)
    away = components - components.mean(axis=0)
    return np.asarray((away / np.where(spread > 0, spread, 1.0)).max(axis=1))


def p_value(statistics: Float64Array) -> float:
    """Return (1 + #{T_b >= T}) / (B + 1) for the observed T first and B relabellings after.

    Never zero, and ties count against the alternative. Relabellings that give the same
    partition are equal only up to float32 rounding, so a tie is a tie to one part in a million.

    Examples
    --------
    >>> p_value(np.array([2.0, 1.0, 2.0, 3.0]))
    0.75
    """
    observed = statistics[0]
    tolerance = TIE * float(np.abs(statistics).max())
    return float(np.mean(statistics >= observed - tolerance))


def randomised_p_value(statistics: Float64Array, *, rng: np.random.Generator) -> float:
    """Return the p-value with ties broken at random: uniform under the null, for calibration.

    A statistic that is a count has many ties; counted against the alternative they make its test
    safe and its p-values anything but uniform.

    Examples
    --------
    >>> p = randomised_p_value(np.array([1.0, 1.0, 1.0]), rng=np.random.default_rng(0))
    >>> 0 < p <= 1
    True
    """
    tolerance = TIE * float(np.abs(statistics).max())
    above = int((statistics > statistics[0] + tolerance).sum())
    tied = int((np.abs(statistics - statistics[0]) <= tolerance).sum())
    return float((above + tied * (1.0 - rng.random())) / len(statistics))


def floor_values(
    metric: Fitted, sample: Sample, n: int, n_splits: int, *, rng: np.random.Generator
) -> Float64Array:
    """Return the metric between random disjoint sets of `n` observed groups ``(n_splits,)``.

    The metric is the one fitted to the comparison: same projections, bandwidths, regions. With
    strata the sets are drawn like the tested sample, stratum by stratum.
    """
    first, second = floor_masks(sample, n, n_splits, rng=rng)
    return values(metric, sample.obs_rounds, first, second)


def floor_masks(
    sample: Sample, n: int, n_splits: int, *, rng: np.random.Generator
) -> tuple[BoolArray, BoolArray]:
    """Return masks ``(n_splits, G)`` of disjoint sets of `n` observed groups each."""
    n_groups = sample.obs_rounds.shape[1]
    if sample.strata is None or sample.obs_strata is None:
        quotas = [(np.ones(n_groups, dtype=np.bool_), n)]
    else:
        shares = proportional(np.bincount(sample.strata[~sample.is_sim]), n)
        quotas = [(sample.obs_strata == code, q) for code, q in enumerate(shares.tolist()) if q]
    either = np.zeros((n_splits, n_groups), dtype=np.bool_)
    first = either.copy()
    for members, quota in quotas:
        drawn = random_masks(members, 2 * quota, n_splits, rng=rng)
        either |= drawn
        first |= np.concatenate([random_masks(one, quota, 1, rng=rng) for one in drawn])
    return first, either & ~first


def proportional(counts: IntArray, n: int) -> IntArray:
    """Return whole numbers in proportion to `counts` that add up to `n`, by largest remainder.

    Examples
    --------
    >>> proportional(np.array([4, 3, 1]), 4).tolist()
    [2, 2, 0]
    """
    exact = counts * n / counts.sum()
    whole: IntArray = np.floor(exact).astype(np.int64)
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: n - int(whole.sum())]] += 1
    return whole


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subsampled:
    """A statistic on random halves and random quarters of the groups of each side.

    Parameters
    ----------
    half, quarter : array (S,)
        Values on ``n // 2`` and ``n // 4`` groups a side.
    n : int
        Groups a side that the subsamples were drawn from.
    """

    half: Float64Array
    quarter: Float64Array
    n: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SubsampleMasks:
    """Which groups the parts of a sample hold: masks ``(S, N)`` for one in 2 and one in 4."""

    sim: Mapping[int, BoolArray]
    obs: Mapping[int, BoolArray]


def subsample_masks(
    is_sim: BoolArray, n_subsamples: int, *, rng: np.random.Generator
) -> SubsampleMasks:
    """Return random halves and quarters of the groups of each side, without replacement."""

    def parts(side: BoolArray) -> dict[int, BoolArray]:
        size = int(side.sum())
        return {
            part: random_masks(side, max(1, size // part), n_subsamples, rng=rng) for part in (2, 4)
        }

    return SubsampleMasks(sim=parts(is_sim), obs=parts(~is_sim))


def subsample_values(metric: Fitted, sample: Sample, masks: SubsampleMasks) -> Subsampled:
    """Return the metric on halves and quarters of the groups of each side."""
    half, quarter = (
        values(metric, sample.rounds, masks.sim[part], masks.obs[part]) for part in (2, 4)
    )
    return Subsampled(half=half, quarter=quarter, n=sample.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variance:
    """The variance of a statistic at n, in its two parts.

    Parameters
    ----------
    linear : float
        Of the part that is a mean over groups; it vanishes at the null for statistics of pairs.
    quadratic : float
        Of the part that is quadratic in the groups; it stays.
    """

    linear: float
    quadratic: float

    @property
    def standard_error(self) -> float:
        """Root of the sum."""
        return math.sqrt(self.linear + self.quadratic)


def variance_of(subsampled: Subsampled) -> Variance:
    """Return the variance of a statistic at n from its values on halves and quarters.

    The statistics of pairs have a part that is a mean over groups, with variance A/n, and a part
    that is quadratic in them, with variance V/n². Over b groups drawn without replacement from
    the n at hand the variance is A(1/b - 1/n) + V(1/b² - 1/n²) (delete-d jackknife: Shao and Wu
    1989, Ann. Statist. 17, 1176; subsampling: Politis and Romano 1994, Ann. Statist. 22, 2031).
    Two sizes b tell the two parts apart. One size alone cannot: taken as all linear it is too
    wide by the root of 3 near the null, where only the quadratic part is left. Neither part is
    below zero.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> linear = Subsampled(half=rng.normal(size=9999), quarter=rng.normal(size=9999) * 3**0.5, n=8)
    >>> round(variance_of(linear).standard_error, 1)
    1.0
    """
    n, half, quarter = subsampled.n, subsampled.n // 2, subsampled.n // 4
    if quarter < 1:
        raise NotComputableError(f"an interval needs 4 groups a side or more, got {n}")
    design = np.array([[1 / size - 1 / n, 1 / size**2 - 1 / n**2] for size in (half, quarter)])
    seen = np.var([subsampled.half, subsampled.quarter], axis=1, ddof=1)
    linear, quadratic = np.linalg.solve(design, seen).tolist()
    if linear < 0:
        linear, quadratic = 0.0, float(seen[0] / design[0, 1])
    elif quadratic < 0:
        linear, quadratic = float(seen[0] / design[0, 0]), 0.0
    return Variance(linear=linear / n, quadratic=quadratic / n**2)


def subsampling_interval(
    value: float,
    subsampled: Subsampled,
    *,
    level: float,
    near_null: NearNull = "linear",
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, float]:
    """Return the interval of a statistic from its values on parts of the sample.

    The value plus and minus the normal quantile z times the standard error. The linear variance of
    a quadratic statistic grows in proportion to the statistic itself, so a sample that reads
    low also looks precise, and a symmetric interval misses a larger truth too often. Its upper
    end u is therefore where ``u - value = z * sqrt(quadratic + linear * u / value)`` (a score
    interval: Wilson 1927, J. Am. Statist. Assoc. 22, 209). A root is squared first.

    Parameters
    ----------
    value : float
    subsampled : Subsampled
    level : float
    near_null : {"linear", "quadratic", "root"}
        See `MetricMeta`.
    bounds : tuple
        The smallest and largest value the statistic can take.
    """
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    if near_null == "root":
        squared = Subsampled(half=subsampled.half**2, quarter=subsampled.quarter**2, n=subsampled.n)
        ends = _quadratic_ends(value**2, variance_of(squared), z)
        low, high = (math.sqrt(max(end, 0.0)) for end in ends)
    elif near_null == "quadratic":
        low, high = _quadratic_ends(value, variance_of(subsampled), z)
    else:
        width = z * variance_of(subsampled).standard_error
        low, high = value - width, value + width
    low, high = np.clip([low, high], *bounds).tolist()
    return min(low, value), max(high, value)


def _quadratic_ends(value: float, variance: Variance, z: float) -> tuple[float, float]:
    # For a quadratic form in Gaussian variables the linear variance is at most 4 sqrt(V / 2)
    # times the value, V the quadratic variance; what noise adds beyond that is cut.
    most = 2 * z**2 * math.sqrt(variance.quadratic / 2)
    shift = min(z**2 * variance.linear / (2 * value), most) if value > 0 else 0.0
    width = z * variance.standard_error
    return value - width, value + shift + math.hypot(width, shift)


def interval_of(
    metric: Fitted,
    meta: MetricMeta,
    sample: Sample,
    *,
    n_subsamples: int,
    level: float,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Return the value of a metric on the sample and the ends of its interval."""
    labels = sample.is_sim[None]
    value = float(values(metric, sample.rounds, labels, ~labels)[0])
    masks = subsample_masks(sample.is_sim, n_subsamples, rng=rng)
    subsampled = subsample_values(metric, sample, masks)
    low, high = subsampling_interval(
        value, subsampled, level=level, near_null=meta.near_null, bounds=meta.bounds
    )
    return value, low, high
