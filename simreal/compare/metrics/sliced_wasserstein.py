"""Sliced Wasserstein-2 distance: how far mass moves along random directions.

Root mean square, over many random directions, of the one-dimensional Wasserstein-2 distance
(Bonneel et al. 2015, J. Math. Imaging Vis. 51, 22). It reacts to shifts, widths and shapes,
needs no bandwidth, and in the common transform it is in units of the pool's own width: 1
means that projections differ by one standard deviation of the pool on average. Being a
plug-in statistic it is above zero between finite samples of the same population: read it
against the floor.
"""

from dataclasses import dataclass

import numpy as np

from simreal.compare.contract import MetricMeta, Points
from simreal.compare.transport import coupling
from simreal.core.arrays import BoolArray, Float32Array, Float64Array

#: Directions, rounded up to whole orthonormal sets. The same ones serve value, permutations, floor
#: and interval. Another choice of them would move a value by 3 to 13 % of the spread between
#: samples: the more axes matter alike the more (32 equal ones are the worst); `fit` measures it.
N_PROJECTIONS = 1024

#: Random halves of the pool on which that share is measured, and the points of a half.
N_HALVES = 16
MOST_HALF_POINTS = 500

#: Projections handled together: 1 MB in single precision, which stays in cache.
BLOCK_ELEMENTS = 262_144

META = MetricMeta(
    summary="sliced Wasserstein-2 distance",
    zero_point="above 0 at finite n: the floor",
    minimum_groups=10,
    estimand="expectation at this n",
    near_null="root",
    bounds=(0.0, np.inf),
    unit="pooled standard deviations",
    citation="Bonneel et al. 2015, J. Math. Imaging Vis. 51, 22",
)


def directions(d: int, n: int, *, rng: np.random.Generator) -> Float64Array:
    """Return `n` unit vectors ``(n, d)``, each uniform on the sphere, in orthonormal sets.

    Along an orthonormal set squared projections of a vector add up to its squared length: the
    part of the distance that comes from a shift is exact, and a value depends on the choice of
    directions half as much as with independent ones (32 dimensions, 302 objects per side).
    """
    sets = [_orthonormal(d, rng) for _ in range(-(-n // d))]
    return np.concatenate(sets)[:n]


def whole_sets(d: int) -> int:
    """Return the number of directions used in `d` dimensions: whole orthonormal sets.

    Examples
    --------
    >>> whole_sets(32), whole_sets(12), whole_sets(1)
    (1024, 1032, 1)
    """
    return 1 if d == 1 else -(-N_PROJECTIONS // d) * d


def _orthonormal(d: int, rng: np.random.Generator) -> Float64Array:
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    return np.asarray((q * np.sign(np.diag(r))).T)


def statistic(
    obs: Points,
    sim: Points,
    *,
    rng: np.random.Generator,
    n_projections: int | None = None,
) -> float:
    """Return the sliced Wasserstein-2 distance of two samples ``(n, d)``, ``(m, d)``.

    Examples
    --------
    >>> x = np.zeros((5, 1)); y = np.ones((5, 1))
    >>> statistic(x, y, rng=np.random.default_rng(0))
    1.0
    """
    d = obs.shape[1]
    n = whole_sets(d) if n_projections is None else n_projections
    return distance_along(obs, sim, directions(d, n, rng=rng))


def distance_along(obs: Points, sim: Points, axes: Float64Array) -> float:
    """Return the distance along given unit vectors ``(p, d)``, in double precision."""
    a = np.sort(axes @ obs.T.astype(np.float64), axis=1)
    b = np.sort(axes @ sim.T.astype(np.float64), axis=1)
    from_a, from_b, weight = coupling(a.shape[1], b.shape[1])
    squared = (a[:, from_a] - b[:, from_b]) ** 2 @ weight
    return float(np.sqrt(squared.mean()))


def fit(pooled: Float32Array, *, rng: np.random.Generator) -> "SlicedWasserstein":
    """Fix the directions, and measure how much their choice matters for this pool."""
    d = pooled.shape[1]
    axes = directions(d, whole_sets(d), rng=rng)
    return SlicedWasserstein(axes, choice_error(pooled, axes, rng=rng))


def choice_error(points: Points, axes: Float64Array, *, rng: np.random.Generator) -> float:
    """Return the error from the choice of directions, in units of the spread between samples.

    The pool is halved at random, again and again: the scatter of the distance between halves is the
    spread of samples of one population, and the scatter of the orthonormal sets about their
    mean is the error of that mean. The share is the same at any n, so a part of a large pool does.

    Parameters
    ----------
    points : array (n, d)
    axes : array (p, d)
        Orthonormal sets, one after the other.

    Returns
    -------
    float
        NaN with fewer than two sets, or points that are all the same.
    """
    d = points.shape[1]
    n_sets, half = len(axes) // d, min(len(points) // 2, MOST_HALF_POINTS)
    if n_sets < 2:
        return float("nan")
    some = points[rng.permutation(len(points))[: 2 * half]]
    sim = np.array([rng.permutation(2 * half) < half for _ in range(N_HALVES)])
    projected = (axes[: n_sets * d] @ some.T.astype(np.float64)).astype(np.float32)
    of_sets = squares(projected, sim, ~sim).reshape(N_HALVES, n_sets, d).mean(axis=2)
    value = np.sqrt(of_sets.mean(axis=1))
    spread = value.std(ddof=1)
    if not spread > 0:
        return float("nan")
    # The error of a root is that of its square over twice the root.
    error = of_sets.std(axis=1, ddof=1) / n_sets**0.5 / (2 * value)
    return float(error.mean() / spread)


@dataclass(frozen=True, slots=True, eq=False)
class SlicedWasserstein:
    """The distance along fixed directions, for many assignments of the same points."""

    axes: Float64Array
    choice_error: float = float("nan")

    @property
    def note(self) -> str:
        """Return how many directions are used, and what their choice adds to the error."""
        used = f"{len(self.axes)} projections, the same for value, test, floor and interval"
        if np.isnan(self.choice_error):
            return used
        return f"{used}; others would move a value by {self.choice_error:.2f} of its null spread"

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the distance for every assignment: points (n, d), masks (B, n) -> (B,).

        Every assignment has the same numbers on each side.
        """
        exact = points.T.astype(np.float64)
        squared = np.zeros(len(sim))
        rows = max(1, BLOCK_ELEMENTS // len(points))
        for start in range(0, len(self.axes), rows):
            projected = (self.axes[start : start + rows] @ exact).astype(np.float32)
            squared += squares(projected, sim, obs).sum(axis=1)
        return np.asarray(np.sqrt(squared / len(self.axes)))


def squares(projected: Points, sim: BoolArray, obs: BoolArray) -> Float64Array:
    """Return the squared one-dimensional distance per assignment and projection ``(B, p)``.

    Both sides are sorted anew for every assignment: vectorised sorts of single precision are
    faster than picking them from a sorted pool.

    Parameters
    ----------
    projected : array (p, n)
    sim, obs : array of bool (B, n)
        With the same numbers of members in every row.
    """
    n, m = (int(mask[:1].sum()) for mask in (sim, obs))
    plan = None if n == m else coupling(n, m)
    squared = np.empty((len(sim), len(projected)))
    for i, (in_sim, in_obs) in enumerate(zip(sim, obs, strict=True)):
        a, b = (np.take(projected, np.flatnonzero(mask), axis=1) for mask in (in_sim, in_obs))
        a.sort(axis=1)
        b.sort(axis=1)
        if plan is None:
            a -= b
            squared[i] = np.einsum("ij,ij->i", a, a) / n
        else:
            from_a, from_b, weight = plan
            squared[i] = (a[:, from_a] - b[:, from_b]) ** 2 @ weight
    return squared
