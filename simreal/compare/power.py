"""What a comparison of this size could have seen: a statement of power.

"Not told apart" means little without the difference that would have been told apart. Two disjoint
sets of observed groups are drawn, one is shifted along a random direction, and the smallest
shift is found that the metric separates from unshifted pairs in most draws.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simreal.compare.contract import Fitted, MetricMeta
from simreal.compare.inference import floor_masks, oriented, values
from simreal.compare.sample import Sample
from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.core.results import Detectable

POWER = 0.8
LEVEL = 0.05

#: Groups per side the search is run at; beyond, the shift falls with the root of n.
MOST_FAST, MOST_HEAVY = 500, 150

#: Unshifted pairs behind the critical value, shifted pairs behind each power.
N_NULL, N_SHIFTED = 200, 40

#: Steps of bisection between the smallest and the largest shift that are tried.
STEPS = 6
SMALLEST, LARGEST = 0.03, 4.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pairs:
    """Disjoint pairs of observed sets, each with a direction to shift the first along."""

    points: Float32Array
    first: BoolArray
    second: BoolArray
    directions: Float64Array


def detectable_shift(
    metric: Fitted, meta: MetricMeta, sample: Sample, *, rng: np.random.Generator
) -> Detectable | None:
    """Return the shift that is seen 80 % of the time, in pooled standard deviations.

    Every group moves by the same vector, of a direction that is drawn anew for every pair; the
    unit is the root-mean-square width of the pool along one axis. The critical value is that of
    the reported value, not of the aggregated test, whose power is close to it. None where two
    disjoint sets do not exist, or even the largest shift tried is missed.

    Parameters
    ----------
    metric : Fitted
    meta : MetricMeta
    sample : Sample
    rng : Generator
    """
    there = sample.obs_rounds.shape[1] // 2
    most = MOST_FAST if meta.cost == "fast" else MOST_HEAVY
    n = min(sample.n, there, most)
    points = sample.obs_rounds[0]
    if n < meta.smallest_n(points.shape[1]):
        return None
    first, second = floor_masks(sample, n, N_NULL, rng=rng)
    unshifted = values(metric, points[None], first, second)
    middle = float(unshifted.mean())
    critical = float(np.quantile(_further(unshifted, meta, middle), 1 - LEVEL))
    directions = rng.standard_normal((N_SHIFTED, points.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    pairs = _Pairs(
        points=points,
        first=first[:N_SHIFTED],
        second=second[:N_SHIFTED],
        directions=directions,
    )

    def seen(shift: float) -> float:
        shifted = _shifted_values(metric, pairs, shift)
        return float(np.mean(_further(shifted, meta, middle) > critical))

    shift = smallest_seen(seen)
    if shift is None:
        return None
    return Detectable(
        shift=shift * float(np.sqrt(n / sample.n)),
        power=POWER,
        level=LEVEL,
        n=sample.n,
        measured_at_n=n,
    )


def smallest_seen(seen: Callable[[float], float]) -> float | None:
    """Return the smallest shift with power 80 %, by bisection in its logarithm.

    Examples
    --------
    >>> round(smallest_seen(lambda shift: float(shift > 0.5)), 1)
    0.5
    """
    if seen(LARGEST) < POWER:
        return None
    low, high = np.log(SMALLEST), np.log(LARGEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if seen(float(np.exp(middle))) >= POWER:
            high = middle
        else:
            low = middle
    return float(np.exp((low + high) / 2))


def _shifted_values(metric: Fitted, pairs: _Pairs, shift: float) -> Float64Array:
    found = np.empty(len(pairs.first))
    for i, (one, other) in enumerate(zip(pairs.first, pairs.second, strict=True)):
        used = one | other
        points = pairs.points[used].copy()
        moved = one[used]
        points[moved] += (shift * pairs.directions[i]).astype(np.float32)
        found[i] = metric.values(points, moved[None], ~moved[None])[0]
    return found


def _further(statistics: Float64Array, meta: MetricMeta, middle: float) -> Float64Array:
    """Orient values so that larger is further, both tails around the unshifted mean."""
    if meta.tail == "both":
        return np.abs(statistics - middle)
    return oriented(statistics, meta.tail)
