"""The ladder: a little more damage to the images is a little more distance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from simreal.compare.calibration.effort import fit_to, load_metric
from simreal.compare.inference import floor_values
from simreal.compare.sample import Sample
from simreal.core.arrays import Float32Array, Float64Array
from simreal.core.errors import NotComputableError
from simreal.core.seeding import stream

#: Share of the kinds of damage on which the mean distance must rise at every step: 7 of 8.
MONOTONE_SHARE = 7 / 8

#: Splits of the undamaged images behind the floor, per seed.
FLOOR_SPLITS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderRow:
    """One metric on one kind of damage.

    Parameters
    ----------
    metric, kind : str
    severities : tuple of float
        From none to most.
    n : int
        Groups per side.
    means : tuple of float or None
        Mean distance over seeds at every severity; None with a `reason`.
    spearman : float or None
        Rank correlation of severity and mean distance.
    seed_spearman : tuple of float
        The same for every seed.
    floor : tuple of float or None
        2.5 and 97.5 % of the distance between undamaged halves.
    starts_at_floor : bool or None
        Whether the mean without damage lies in the floor.
    monotone : bool or None
    reason : str
    """

    metric: str
    kind: str
    severities: tuple[float, ...]
    n: int
    means: tuple[float, ...] | None
    spearman: float | None
    seed_spearman: tuple[float, ...]
    floor: tuple[float, float] | None
    starts_at_floor: bool | None
    monotone: bool | None
    reason: str = ""


def ladder_scores(
    intact: tuple[Float32Array, Float32Array],
    damaged: tuple[Float32Array, Float32Array],
    metrics: Sequence[str],
    *,
    seed: int,
    repetition: int,
) -> dict[str, float | str]:
    """Return every metric between one half intact and the other damaged, or why there is none.

    The mean of both ways round. Two halves differ by chance, and slight damage moves one towards
    the other or away from it; what is away for one half is towards for the other, and to first
    order it cancels. What a metric fits it fits to the intact pool: like encoder and transform,
    it has not seen the damage, and a step differs from the one before in the images alone.

    Parameters
    ----------
    intact, damaged : pairs of arrays (n, k)
        The transformed points of both halves without and with damage, row by row.
    metrics : sequence of str
    seed, repetition : int
    """
    pool = Sample.of(*intact)
    labels = pool.is_sim[None]
    ways = [
        np.concatenate([damaged[1], intact[0]]),
        np.concatenate([damaged[0], intact[1]]),
    ]
    found: dict[str, float | str] = {}
    for name in metrics:
        module, meta = load_metric(name)
        rng = stream(seed, "calibrate", "ladder", name, str(repetition))
        try:
            metric = fit_to(module, meta, pool, rng=rng)
        except NotComputableError as error:
            found[name] = str(error)
            continue
        value = float(np.mean([metric.values(points, labels, ~labels)[0] for points in ways]))
        found[name] = -value if meta.tail == "lower" else value
    return found


def ladder_floor(
    intact: tuple[Float32Array, Float32Array],
    metrics: Sequence[str],
    *,
    seed: int,
    repetition: int,
) -> dict[str, Float64Array]:
    """Return every metric between random disjoint halves of the intact points ``(splits,)``."""
    pool = Sample.of(*intact)
    sample = replace(pool, obs_rounds=pool.rounds)
    found: dict[str, Float64Array] = {}
    for name in metrics:
        module, meta = load_metric(name)
        rng = stream(seed, "calibrate", "ladder", name, str(repetition))
        try:
            metric = fit_to(module, meta, pool, rng=rng)
        except NotComputableError:
            continue
        splits = floor_values(metric, sample, len(intact[0]), FLOOR_SPLITS, rng=rng)
        found[name] = -splits if meta.tail == "lower" else splits
    return found


def ladder_row(
    metric: str,
    kind: str,
    *,
    severities: Sequence[float],
    n: int,
    scores: Float64Array,
    floor: Float64Array,
) -> LadderRow:
    """Return the row of one metric and kind from its scores.

    Parameters
    ----------
    metric, kind : str
    severities : sequence of float (S,)
        From none to most; their order counts, not their size.
    n : int
        Groups per side.
    scores : array (seeds, S)
        Larger is further.
    floor : array
        Distances between undamaged halves.

    Examples
    --------
    >>> scores = np.array([[0.0, 1.0, 3.0], [0.2, 2.0, 1.8]])
    >>> row = ladder_row("mmd", "blur", severities=(0, 1, 2), n=100, scores=scores,
    ...                  floor=np.array([-0.5, 0.5]))
    >>> row.means, row.spearman, row.seed_spearman, row.starts_at_floor
    ((0.1, 1.5, 2.4), 1.0, (1.0, 0.5), True)
    """
    means = scores.mean(axis=0)
    low, high = np.percentile(floor, [2.5, 97.5])
    correlation = rank_correlation(means)
    return LadderRow(
        metric=metric,
        kind=kind,
        severities=tuple(float(s) for s in severities),
        n=n,
        means=tuple(round(float(mean), 10) for mean in means),
        spearman=correlation,
        seed_spearman=tuple(rank_correlation(one) for one in scores),
        floor=(float(low), float(high)),
        starts_at_floor=bool(means[0] <= high),
        monotone=correlation > 1 - 1e-9,
    )


def ladder_unknown(
    metric: str, kind: str, *, severities: Sequence[float], n: int, why: str
) -> LadderRow:
    """Return the row of a metric that cannot be computed on the ladder."""
    return LadderRow(
        metric=metric,
        kind=kind,
        severities=tuple(float(s) for s in severities),
        n=n,
        means=None,
        spearman=None,
        seed_spearman=(),
        floor=None,
        starts_at_floor=None,
        monotone=None,
        reason=why,
    )


def rank_correlation(rising: Float64Array) -> float:
    """Return Spearman's correlation of values with their order; 0 where all are the same.

    Examples
    --------
    >>> rank_correlation(np.array([1.0, 3.0, 2.0]))
    0.5
    """
    from scipy.stats import rankdata

    ranks = rankdata(rising) - (len(rising) + 1) / 2
    steps = np.arange(len(rising)) - (len(rising) - 1) / 2
    norm = math.sqrt(float(ranks @ ranks) * float(steps @ steps))
    return round(float(ranks @ steps) / norm, 12) if norm else 0.0


def monotone_kinds(rows: Sequence[LadderRow]) -> tuple[int, int]:
    """Return on how many kinds of damage a metric rises at every step, and how many it needs."""
    known = [row for row in rows if row.monotone is not None]
    return sum(bool(row.monotone) for row in known), math.floor(MONOTONE_SHARE * len(known))


def by_metric(rows: Sequence[LadderRow]) -> Mapping[str, list[LadderRow]]:
    """Return the rows of every metric, in the order they came."""
    found: dict[str, list[LadderRow]] = {}
    for row in rows:
        found.setdefault(row.metric, []).append(row)
    return found
