"""Cluster occupancy over dense clumps: HDBSCAN regions with the noise as a cell of its own.

As `simreal.compare.metrics.occupancy`, with the leaves of the HDBSCAN tree of the anonymous pool
(Campello, Moulavi and Sander 2013) in place of k-means regions; what belongs to no clump is one
more cell. An object that was not in the pool takes the cell of its nearest pooled object. Value
and test are the Jensen-Shannon divergence in bits and the permutation G-test.

**Bias.** (K - 1)(1/n + 1/m) / (8 ln 2) bits between samples of one population; the noise is one
of the K cells.

**Failure cases.** In many dimensions most objects are noise, and two populations that differ only
there are at distance zero; clumps are where the pool is densest, so the outskirts count for
nothing. Where HDBSCAN finds no structure at all there is no number. The k-means version has more
power against smooth differences; this one finds a clump that one side lacks.
"""

import math
from dataclasses import dataclass

import numpy as np

from simreal.compare.cells import (
    counts_by_cell,
    g_statistic,
    jensen_shannon_bits,
    null_bias_bits,
)
from simreal.compare.contract import MetricMeta, value_between
from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.stats.clusters import density_clusters
from simreal.stats.neighbours import nearest

META = MetricMeta(
    title="Jensen-Shannon divergence, HDBSCAN clusters",
    summary="Jensen-Shannon divergence of occupancy of HDBSCAN clusters and their noise",
    zero_point="above 0 at finite n: the floor",
    minimum_groups=20,
    estimand="expectation at this n",
    near_null="quadratic",
    bounds=(0.0, 1.0),
    unit="bits",
    citation="Campello, Moulavi and Sander 2013, PAKDD 160; Lin 1991, IEEE Trans. Inf. Theory 37, "
    "145",
)

#: Smallest cluster per square root of the pool, and the fewest members.
SIZE_PER_ROOT = 0.25
FEWEST_MEMBERS = 5


def smallest_cluster(n_pooled: int) -> int:
    """Return the fewest members of a cluster in a pool.

    Five up to 400 objects. It grows as the square root: a clump worth naming is a falling
    share of a growing pool, and its count a growing multiple of its own Poisson error.

    Examples
    --------
    >>> smallest_cluster(200), smallest_cluster(2000), smallest_cluster(10_000)
    (5, 11, 25)
    """
    return max(FEWEST_MEMBERS, round(SIZE_PER_ROOT * math.sqrt(n_pooled)))


def statistic(obs: Float32Array, sim: Float32Array, *, rng: np.random.Generator) -> float:
    """Return the divergence of two samples ``(n, d)``, ``(m, d)`` over clumps of their pool.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(40, 2)).astype("f4")
    >>> 0.3 < statistic(x, x + 100, rng=np.random.default_rng(0)) <= 1
    True
    """
    return value_between(fit, obs, sim, rng=rng)


def fit(pooled: Float32Array, *, rng: np.random.Generator) -> "Clumps":  # noqa: ARG001
    """Find the clumps of the pool.

    Raises
    ------
    NotComputableError
        If all objects are noise, or all are in one cluster.
    """
    size = smallest_cluster(len(pooled))
    labels = density_clusters(pooled, min_cluster_size=size)
    n_clusters, noise = int(labels.max()) + 1, float(np.mean(labels < 0))
    if n_clusters + (noise > 0) < 2:
        found = "all are noise" if n_clusters == 0 else "all are in one cluster"
        raise NotComputableError(
            f"occupancy not informative: HDBSCAN found no clusters of {size} or more among "
            f"{len(pooled)} pooled objects that set any apart ({found}); use occupancy (k-means)"
        )
    return Clumps(pool=pooled, labels=labels, n_clusters=n_clusters, noise=noise, size=size)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clumps:
    """The divergence over fixed clumps and their noise, for many assignments of the same points.

    Parameters
    ----------
    pool : array (n, d)
    labels : array of int (n,)
        Cluster of every pooled object, -1 for noise.
    n_clusters : int
    noise : float
        Share of the pool that is noise.
    size : int
        Fewest members of a cluster.
    """

    pool: Float32Array
    labels: IntArray
    n_clusters: int
    noise: float
    size: int

    @property
    def note(self) -> str:
        """Return the clusters, the noise share and the null bias."""
        n = len(self.pool) // 2
        k = self.n_clusters + (self.noise > 0)
        return (
            f"{self.n_clusters} HDBSCAN clusters (leaves, {self.size} members or more) of the "
            f"pooled, unlabelled sample; {100 * self.noise:.0f} % noise, a cell of its own; "
            f"permutation G-test; null bias {null_bias_bits(k, n, n):.3g} bits at n = {n} per side"
        )

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the divergence for every assignment: points (n, d), masks (B, n) -> (B,)."""
        return jensen_shannon_bits(*self._counts(points, sim, obs))

    def components(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the likelihood-ratio G, which is tested, for every assignment ``(B, 1)``."""
        return g_statistic(*self._counts(points, sim, obs))[:, None]

    def cells(self, points: Float32Array) -> IntArray:
        """Return the cell of every point ``(n,)``, the noise last."""
        if points is self.pool or np.array_equal(points, self.pool):
            found = self.labels
        else:
            found = self.labels[nearest(points, self.pool, 1)[1][:, 0]]
        return np.where(found < 0, self.n_clusters, found)

    def _counts(
        self, points: Float32Array, sim: BoolArray, obs: BoolArray
    ) -> tuple[Float64Array, Float64Array]:
        labels, k = self.cells(points), self.n_clusters + 1
        return counts_by_cell(labels, k, sim), counts_by_cell(labels, k, obs)
