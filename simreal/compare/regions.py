"""Which regions of the embedding the simulation misses or overfills."""

from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray, StrArray
from simreal.core.results import Direction, Region
from simreal.stats.fdr import benjamini_hochberg

#: Fewest tested groups of both sides together for a region to be judged. With equal n no split of
#: five objects has p <= 0.05 (5 : 0 has 2 / 2^5), and a test that cannot reject says nothing.
MINIMUM_COUNT = 6

#: Example objects per side and region.
N_EXAMPLES = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Occupancy:
    """Regions of the pooled embedding and how both sides populate them.

    Parameters
    ----------
    k : int
    jensen_shannon_bits : float
    fitted_on : str
        What the regions were found in.
    claims : bool
        Whether over- and under-production may be claimed; False where a sample is curated.
    reason : str
        Why not.
    regions : tuple of Region
        Region i is the one labelled i.
    region_sim, region_obs : array of int (n_sim,), (n_obs,)
        Region of every image of either side, tested or not.
    """

    k: int
    jensen_shannon_bits: float
    fitted_on: str
    claims: bool
    reason: str
    regions: tuple[Region, ...]
    region_sim: IntArray
    region_obs: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """One side's images in the regions: points, labels, ids and groups, row by row."""

    points: Float32Array
    labels: IntArray
    ids: StrArray
    groups: StrArray


def region_table(
    counts_sim: IntArray,
    counts_obs: IntArray,
    *,
    centres: Float32Array,
    sim: Placed,
    obs: Placed,
    claims: bool,
    level: float = 0.95,
) -> tuple[Region, ...]:
    """Return one `Region` per centre from counts of tested groups, one view each."""
    ratio, low, high = log2_ratio(counts_sim, counts_obs, level=level)
    p = fisher_p_values(counts_sim, counts_obs)
    judged = counts_sim + counts_obs >= MINIMUM_COUNT
    adjusted = np.ones(len(p))
    adjusted[judged] = benjamini_hochberg(p[judged])
    rejected = adjusted <= 1 - level
    return tuple(
        Region(
            name=f"region {i + 1}",
            n_sim=int(counts_sim[i]),
            n_obs=int(counts_obs[i]),
            log2_ratio=float(ratio[i]),
            low=float(low[i]),
            high=float(high[i]),
            p_value=float(p[i]),
            p_adjusted=float(adjusted[i]),
            direction=_direction(claims, bool(judged[i]), bool(rejected[i]), float(ratio[i])),
            sim_ids=nearest_examples(sim, i, centres[i]),
            obs_ids=nearest_examples(obs, i, centres[i]),
        )
        for i in range(len(centres))
    )


def log2_ratio(
    counts_sim: IntArray, counts_obs: IntArray, *, level: float = 0.95
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return log2 of the simulated over the observed fraction, with its interval.

    Half an object is added to every count and total (Jeffreys; Walter 1975, Biometrika 62, 371),
    which keeps an empty region finite: the interval of a missing class says how rare it is at most.

    Examples
    --------
    >>> ratio, low, high = log2_ratio(np.array([0, 100]), np.array([20, 80]))
    >>> ratio.round(2).tolist(), bool(high[0] < 0)
    ([-5.36, 0.32], True)
    """
    from scipy.special import ndtri

    a, b = counts_sim + 0.5, counts_obs + 0.5
    n, m = counts_sim.sum() + 0.5, counts_obs.sum() + 0.5
    ratio = np.log2((a / n) / (b / m))
    width = float(ndtri((1 + level) / 2)) * np.sqrt(1 / a - 1 / n + 1 / b - 1 / m) / np.log(2)
    return ratio, ratio - width, ratio + width


def fisher_p_values(counts_sim: IntArray, counts_obs: IntArray) -> Float64Array:
    """Return two-sided Fisher p-values of every region against all others.

    With one view per group and regions that never saw a label, the count of a region is
    hypergeometric under the null: the test is exact, and unlike a permutation p-value it has
    no floor to be multiplied by the number of regions.
    """
    from scipy.stats import fisher_exact

    n, m = int(counts_sim.sum()), int(counts_obs.sum())
    tables = [
        [[a, n - a], [b, m - b]]
        for a, b in zip(counts_sim.tolist(), counts_obs.tolist(), strict=True)
    ]
    return np.array([min(1.0, float(fisher_exact(t).pvalue)) for t in tables], dtype=np.float64)


def nearest_examples(side: Placed, region: int, centre: Float32Array) -> tuple[str, ...]:
    """Return the ids of the objects nearest the centre of their region, one per group."""
    rows = np.flatnonzero(side.labels == region)
    away = np.linalg.norm(side.points[rows] - centre, axis=1)
    rows = rows[np.lexsort((side.ids[rows], away))]
    _, first = np.unique(side.groups[rows], return_index=True)
    return tuple(side.ids[rows[np.sort(first)[:N_EXAMPLES]]].tolist())


def counts_of(labels: IntArray, members: BoolArray, k: int) -> IntArray:
    """Return how many `members` every region holds ``(k,)``."""
    return np.bincount(labels[members], minlength=k).astype(np.int64)


def _direction(claims: bool, judged: bool, rejected: bool, ratio: float) -> Direction:  # noqa: FBT001
    if not claims:
        return "not claimed"
    if not judged:
        return "empty"
    if not rejected:
        return "consistent"
    return "missing" if ratio < 0 else "over-produced"
