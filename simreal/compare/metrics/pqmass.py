"""PQMass: counts of both samples in the Voronoi cells of random reference objects.

R reference objects are drawn from the anonymous pool and taken out of what is counted; every
other object belongs to its nearest reference; Pearson's χ² tells whether both samples fill the
cells alike (Lemos et al. 2024, arXiv:2402.04355). The value is χ²/(R - 1), 1 on average where
nothing differs.

**Calibration.** Only by permutation. In many dimensions a few hub cells collect most objects and
others next to none, and the analytic χ² law rejects seven times too rarely with R = 100 at
n = 250 to 1,000. For the same reason there is one reference per 25 objects of a side at most.

**Bias.** 1 on average under the null at any n; where populations differ the excess over 1 grows
in proportion to n: read it against the floor at the same n, never across n.

**Failure cases.** Blind to differences inside a cell. One draw of references decides the cells:
another would give another value (the same draw serves value, test, floor and interval). With
few objects the cells are few and wide.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simreal.compare.anonymous import anonymous_order
from simreal.compare.cells import chi_squared, counts_by_cell
from simreal.compare.contract import MetricMeta
from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.core.errors import NotComputableError
from simreal.stats.clusters import assign

META = MetricMeta(
    title="PQMass χ²",
    summary="PQMass: χ² per degree of freedom over Voronoi cells of pooled references",
    zero_point="1 on average",
    minimum_groups=100,
    estimand="expectation at this n",
    near_null="quadratic",
    bounds=(0.0, np.inf),
    unit="per degree of freedom",
    citation="Lemos et al. 2024, arXiv:2402.04355",
)

#: Objects of a side per reference, and the fewest and most references.
OBJECTS_PER_REFERENCE = 25
FEWEST_REFERENCES, MOST_REFERENCES = 4, 100


def reference_count(n: int) -> int:
    """Return the number of references for `n` points per side.

    Examples
    --------
    >>> reference_count(100), reference_count(302), reference_count(5000)
    (4, 12, 100)
    """
    return int(np.clip(n // OBJECTS_PER_REFERENCE, FEWEST_REFERENCES, MOST_REFERENCES))


def statistic(
    obs: Float32Array,
    sim: Float32Array,
    *,
    rng: np.random.Generator,
    n_references: int | None = None,
) -> float:
    """Return χ²/(R - 1) of two samples ``(n, d)``, ``(m, d)`` over cells of their pool.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 2)).astype("f4")
    >>> statistic(x, x + 9, rng=np.random.default_rng(0)) > 20
    True
    """
    pooled = np.concatenate([obs, sim])
    is_sim = np.arange(len(pooled)) >= len(obs)
    metric = fit(pooled, rng=rng, n_references=n_references)
    return float(metric.values(pooled, is_sim[None], ~is_sim[None])[0])


def fit(
    pooled: Float32Array, *, rng: np.random.Generator, n_references: int | None = None
) -> "VoronoiCells":
    """Draw the references.

    Raises
    ------
    NotComputableError
        If fewer than two distinct references can be drawn.
    """
    r = reference_count(len(pooled) // 2) if n_references is None else n_references
    drawn = pooled[anonymous_order(pooled, seed=int(rng.integers(2**31)))[:r]]
    references = np.unique(drawn, axis=0)
    if len(references) < 2:
        raise NotComputableError(
            f"pqmass: got {len(references)} distinct reference objects of {len(pooled)} pooled, "
            "allowed are 2 or more; use objects that differ"
        )
    return VoronoiCells(references, len(pooled) // 2)


@dataclass(frozen=True, slots=True, eq=False)
class VoronoiCells:
    """χ² per degree of freedom over fixed cells, for many assignments of the same points."""

    references: Float32Array
    n: int

    @property
    def note(self) -> str:
        """Return R and how the test is calibrated."""
        return (
            f"χ²/(R - 1) with R = {len(self.references)} references drawn from the pool of "
            f"{self.n} per side and not counted; calibrated by permutation only"
        )

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return χ²/(R - 1) for every assignment: points (n, d), masks (B, n) -> (B,)."""
        r = len(self.references)
        labels = np.where(self._is_reference(points), -1, assign(points, self.references))
        x, y = (counts_by_cell(labels, r, masks) for masks in (sim, obs))
        if not (x.sum(axis=1).all() and y.sum(axis=1).all()):
            raise NotComputableError(
                f"pqmass: a side has no objects left beside the {r} references; use more objects"
            )
        return np.asarray(chi_squared(x, y) / (r - 1))

    def _is_reference(self, points: Float32Array) -> BoolArray:
        """Return which points are references, whatever list they come in."""
        there = points.astype(self.references.dtype, copy=False)
        return np.asarray(np.isin(_as_records(there), _as_records(self.references)))


def _as_records(points: Float32Array) -> npt.NDArray[np.void]:
    rows = np.ascontiguousarray(points + points.dtype.type(0))  # -0.0 and 0.0 are one place
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
