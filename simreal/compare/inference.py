"""Inference, written once for every metric: permutation p-value, floor and interval.

**Groups and views.** Every group is thinned at random to m views, the number the smallest
group of either side has (at most four); m rounds each take one view of every group, each view
once; a statistic is averaged over the rounds; and permutations shuffle the labels of groups,
the same in every round. Under the null hypothesis groups are then exchangeable for equal and
for unequal numbers of views, and the test is exact.

**Interval.** Half of the groups of each side are drawn without replacement, again and again, and
the centred spread of the statistic over these draws, with the finite-population factor, is
the spread of the statistic itself (`subsampling_interval`). The ordinary bootstrap is not used: it
repeats objects, and a repeated object is at distance zero from itself, which shifts and
widens every statistic made of pairwise distances.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from simreal.compare.contract import Fitted, HeldOut, Laddered
from simreal.compare.sample import Sample
from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.stats.groups import permuted_labels, random_masks

Tail: TypeAlias = Literal["upper", "lower", "both"]

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
    metric: Fitted, obs_rounds: Float32Array, n: int, n_splits: int, *, rng: np.random.Generator
) -> Float64Array:
    """Return the metric between random disjoint sets of `n` observed groups ``(n_splits,)``.

    The metric is the one fitted to the comparison: same projections, bandwidths, regions.
    """
    n_groups = obs_rounds.shape[1]
    either = random_masks(np.ones(n_groups, dtype=np.bool_), 2 * n, n_splits, rng=rng)
    first = np.concatenate([random_masks(one, n, 1, rng=rng) for one in either])
    return values(metric, obs_rounds, first, either & ~first)


def subsample_values(
    metric: Fitted, sample: Sample, n_subsamples: int, *, rng: np.random.Generator
) -> Float64Array:
    """Return the metric between random halves of the groups of each side."""
    sim = random_masks(sample.is_sim, sample.n_sim // 2, n_subsamples, rng=rng)
    obs = random_masks(~sample.is_sim, sample.n_obs // 2, n_subsamples, rng=rng)
    return values(metric, sample.rounds, sim, obs)


def subsampling_interval(
    value: float, subsampled: Float64Array, *, n: int, level: float, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Return the interval of a statistic from its values on half samples.

    For a statistic that is, to first order, a mean over n independent groups, its variance is
    s²/n, and its variance over subsamples of b groups, drawn without replacement from the n at
    hand, is (s²/b)(1 - b/n). So the centred values times sqrt(b / (n - b)) spread like the
    statistic itself (delete-d jackknife: Shao and Wu 1989, Ann. Statist. 17, 1176; subsampling:
    Politis and Romano 1994, Ann. Statist. 22, 2031). They are centred on their own mean because a
    plug-in statistic is biased more at b than at n. Close to the null, where the first-order
    term vanishes, the interval is too wide rather than too narrow.

    Parameters
    ----------
    value : float
    subsampled : array
        Values at ``b = n // 2``.
    n : int
        Groups of the smaller side.
    level : float
    bounds : tuple
        The smallest and largest value the statistic can take.
    """
    b = n // 2
    spread = (subsampled - subsampled.mean()) * np.sqrt(b / (n - b))
    tail = (1 - level) / 2
    below, above = np.quantile(spread, [tail, 1 - tail])
    low, high = np.clip([value - above, value - below], *bounds)
    return min(float(low), value), max(float(high), value)
