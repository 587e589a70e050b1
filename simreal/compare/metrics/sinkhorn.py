"""Sinkhorn divergence: optimal transport made smooth, with its own bias taken off.

    S = OT(obs, sim) - OT(obs, obs) / 2 - OT(sim, sim) / 2,
    OT(a, b) = min over plans π of  Σ π |x - y|² + ε KL(π | a ⊗ b),

and the value is √S (Genevay, Peyré and Cuturi 2018, arXiv:1706.00292; Feydy et al. 2019,
arXiv:1810.08278). S is never negative, zero for equal samples only, and runs from the squared
Wasserstein-2 distance (ε → 0) to the squared distance of the means (ε → ∞). The root puts it
in the units of the other distances: a shift by μ alone reads ‖μ‖, whatever ε.

ε is `FRACTION` of the mean squared distance between points of the anonymous pool (twice the trace
of its covariance). Plans are improved until a share of `TOLERANCE` or less of the mass is in the
wrong place; the value comes from the dual potentials, whose error is of second order in that.

A plug-in statistic, above zero between finite samples of one population, but far less than
`wasserstein`: differences on scales below √ε are averaged away, and with them most of the
bias. To those it is blind: fine structure, duplicated objects, narrow gaps. Far outliers weigh
with their squared distance. Values at another ε, or of pools of other widths, cannot be compared.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from simreal.compare.contract import MetricMeta, Points
from simreal.compare.kernels import squared_distances
from simreal.core.arrays import BoolArray, Float32Array, Float64Array

META = MetricMeta(
    title="root Sinkhorn divergence",
    summary="Sinkhorn divergence, as a root (smoothed optimal transport)",
    zero_point="above 0 at finite n: the floor",
    minimum_groups=10,
    estimand="expectation at this n",
    near_null="root",
    cost="heavy",
    bounds=(0.0, np.inf),
    unit="pooled standard deviations",
    citation="Feydy et al. 2019, arXiv:1810.08278",
)

#: Regularisation, in units of the mean squared distance of the pool.
FRACTION = 0.2

#: Share of the mass that a plan may leave in the wrong place, and the most steps spent on it.
TOLERANCE = 1e-4
MOST_STEPS = 2000

#: Largest exponents of the kernel in single and in double precision: products of it with two
#: scalings are still numbers.
REACH_SINGLE, REACH_DOUBLE = 80.0, 650.0

#: Scalings that are iterated together: 16 MB in single precision.
BATCH_ELEMENTS = 4_000_000


def statistic(
    obs: Points,
    sim: Points,
    *,
    rng: np.random.Generator,  # noqa: ARG001
    regularisation: float | None = None,
) -> float:
    """Return the root of the Sinkhorn divergence of two samples ``(n, d)``, ``(m, d)``.

    Examples
    --------
    >>> x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> round(statistic(x, x + [3.0, 4.0], rng=np.random.default_rng(0)), 6)
    5.0
    """
    points = np.concatenate([obs, sim]).astype(np.float64)
    epsilon = fixed_regularisation(points) if regularisation is None else regularisation
    is_sim = np.arange(len(points)) >= len(obs)
    metric = Sinkhorn(epsilon, tolerance=1e-6)
    return float(metric.values(points, is_sim[None], ~is_sim[None])[0])


def fixed_regularisation(pooled: Points) -> float:
    """Return ε for a pool: `FRACTION` of its mean squared distance.

    Examples
    --------
    >>> round(fixed_regularisation(np.array([[0.0], [2.0]])), 6)  # distances 0, 2, 2, 0
    0.4
    """
    mean = 2 * float(pooled.var(axis=0, dtype=np.float64).sum())
    return FRACTION * mean if mean > 0 else 1.0  # one point, many times: there is nothing to move


def fit(pooled: Float32Array, *, rng: np.random.Generator) -> "Sinkhorn":  # noqa: ARG001
    """Fix the regularisation from the pool."""
    return Sinkhorn(fixed_regularisation(pooled))


@dataclass(frozen=True, slots=True, eq=False)
class Sinkhorn:
    """The divergence at a fixed regularisation, for many assignments of the same points.

    One kernel matrix serves all assignments: those that take part have mass, the others
    none, and a step of all plans at once is one matrix product. Memory: 4 or 8 n² bytes.
    """

    regularisation: float
    tolerance: float = TOLERANCE

    @property
    def note(self) -> str:
        """Return the regularisation used."""
        return (
            f"regularisation {self.regularisation:.4g} ({FRACTION:g} of the mean squared distance)"
        )

    def values(self, points: Points, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the value for every assignment: points (n, d), masks (B, n) -> (B,)."""
        taking_part = int(sim[:1].sum() + obs[:1].sum())
        if 2 * taking_part < len(points):
            return self._one_by_one(points, sim, obs)
        centred = (points - points.mean(axis=0, dtype=np.float64)).astype(np.float64)
        exponents = squared_distances(centred, centred) / self.regularisation
        if exponents.max() > REACH_DOUBLE:
            return self._one_by_one(points, sim, obs)
        kernel = _kernel(exponents, points.dtype)
        batch = max(1, BATCH_ELEMENTS // len(points))
        squared = [
            self._squared(kernel, sim[start : start + batch], obs[start : start + batch])
            for start in range(0, len(sim), batch)
        ]
        return np.asarray(np.sqrt(np.maximum(np.concatenate([*squared, np.zeros(0)]), 0)))

    def _squared(self, kernel: Points, sim: BoolArray, obs: BoolArray) -> Float64Array:
        a, b = _masses(sim, kernel), _masses(obs, kernel)
        apart = _transport(kernel, a, b, self.tolerance)
        within = _self_transport(kernel, np.concatenate([a, b], axis=1), self.tolerance)
        return np.asarray(self.regularisation * (apart - within.reshape(2, -1).mean(axis=0)))

    def _one_by_one(self, points: Points, sim: BoolArray, obs: BoolArray) -> Float64Array:
        squared = [self._of_two(points[i], points[j]) for i, j in zip(sim, obs, strict=True)]
        return np.sqrt(np.maximum(np.array(squared, dtype=np.float64), 0))

    def _of_two(self, sim: Points, obs: Points) -> float:
        """Return S of two samples that may be any distance apart.

        The smallest cost of every row, then of every column, is taken off first: potentials that
        the kernel would otherwise have to span. Rows and columns that keep a zero keep a 1 in the
        kernel, and nothing vanishes.
        """
        centre = sim.mean(axis=0, dtype=np.float64)
        a, b = sim - centre, obs - centre
        costs = squared_distances(a, b)
        rows = costs.min(axis=1)
        costs -= rows[:, None]
        columns = costs.min(axis=0)
        costs -= columns
        dtype = sim.dtype
        apart = _transport(*self._problem(costs, dtype), self.tolerance)[0]
        within = [
            _self_transport(*self._problem(squared_distances(x, x), dtype)[:2], self.tolerance)[0]
            for x in (a, b)
        ]
        return float(rows.mean() + columns.mean() + self.regularisation * (apart - np.mean(within)))

    def _problem(self, costs: Points, dtype: np.dtype[Any]) -> tuple[Points, Points, Points]:
        kernel = _kernel(np.minimum(costs / self.regularisation, REACH_DOUBLE), dtype)
        a, b = (np.full((n, 1), 1 / n, dtype=kernel.dtype) for n in kernel.shape)
        return kernel, a, b


def _kernel(exponents: Points, dtype: np.dtype[Any]) -> Points:
    """Return exp(-exponents) in the precision of the points, where that can hold it."""
    single = dtype == np.float32 and exponents.max() <= REACH_SINGLE
    kernel: Points = np.exp(-exponents).astype(np.float32 if single else np.float64)
    return kernel


def _masses(mask: BoolArray, kernel: Points) -> Points:
    shares: Points = (mask / mask.sum(axis=1, keepdims=True)).T.astype(kernel.dtype)
    return shares


def _transport(kernel: Points, a: Points, b: Points, tolerance: float) -> Float64Array:
    """Return the regularised cost, in units of ε, between masses ``(n, B)`` and ``(m, B)``.

    With scalings u and v the plan is u K v. A step makes its column sums, then its row sums what
    they should be, and oversteps (Thibault et al. 2021, Algorithms 14, 143; plain steps where
    that has not helped for long). Every column stops where it has converged, so that its value is
    the same in any company.
    """
    costs = np.full(a.shape[1], np.nan)
    left = np.arange(a.shape[1])
    v = (b > 0).astype(b.dtype)
    u = a / (kernel @ v)
    for step in range(MOST_STEPS):
        overstep = 0 < step < MOST_STEPS // 2
        into = kernel.T @ u
        v = v * _correction(b, v * into, overstep=overstep)
        out_of = u * (kernel @ v)
        misplaced = np.abs(out_of - a).sum(axis=0) + np.abs(v * into - b).sum(axis=0)
        done = (misplaced <= tolerance) | (step == MOST_STEPS - 1)
        if done.any():
            costs[left[done]] = (
                _mean_log(u[:, done], a[:, done])
                + _mean_log(v[:, done], b[:, done])
                - (out_of[:, done].sum(axis=0, dtype=np.float64) - 1)
            )
            left = left[~done]
            a, b, u, v = a[:, ~done], b[:, ~done], u[:, ~done], v[:, ~done]
            out_of = out_of[:, ~done]
        if not len(left):
            break
        u = u * _correction(a, out_of, overstep=overstep)
    return costs


def _self_transport(kernel: Points, a: Points, tolerance: float) -> Float64Array:
    """Return the regularised cost, in units of ε, of masses ``(n, B)`` to themselves.

    The plan is s K s with one scaling, and half a step towards the right sums converges fast
    (Feydy et al. 2019).
    """
    costs = np.full(a.shape[1], np.nan)
    left = np.arange(a.shape[1])
    s = a
    for step in range(MOST_STEPS):
        out_of = s * (kernel @ s)
        done = (np.abs(out_of - a).sum(axis=0) <= tolerance) | (step == MOST_STEPS - 1)
        if done.any():
            total = out_of[:, done].sum(axis=0, dtype=np.float64)
            costs[left[done]] = 2 * _mean_log(s[:, done], a[:, done]) - (total - 1)
            left = left[~done]
            a, s, out_of = a[:, ~done], s[:, ~done], out_of[:, ~done]
        if not len(left):
            break
        s = s * np.sqrt(a / (out_of + (a == 0)))
    return costs


def _correction(wanted: Points, reached: Points, *, overstep: bool) -> Points:
    """Return wanted / reached, to the power of 3/2 where it oversteps; 1 / 1 without mass."""
    empty = wanted == 0
    ratio: Points = (wanted + empty) / (reached + empty)
    if overstep:
        ratio *= np.sqrt(ratio)
    return ratio


def _mean_log(scaling: Points, mass: Points) -> Float64Array:
    """Return the potential in units of ε, log(scaling / mass), averaged over the mass."""
    empty = mass == 0
    exact = mass.astype(np.float64)
    return np.asarray((exact * np.log((scaling + empty) / (exact + empty))).sum(axis=0))
