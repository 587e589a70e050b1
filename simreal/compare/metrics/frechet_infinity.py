"""Fréchet distance without its finite-n bias: the limit n → ∞ by extrapolation in 1/n.

The Fréchet distance (see `simreal.compare.metrics.frechet`) is read at 15 sizes, evenly spaced
in 1/N from a quarter of the sample (or 2d, if that is more) to all of it, and the intercept of
the straight line in 1/N is the value (Chong and Forsyth 2020, arXiv:1911.07023). Subsets are nested
and taken in one random order that knows no labels.

**Bias.** The 1/N term is gone, the 1/N² term is not: near n = 2d the curve bends and the
intercept is slightly off, which is why eight groups per dimension are asked for. The intercept
scatters more than the distance itself and may be negative. The note gives R² of the line
between two random halves of the pool, where nothing but the bias is there to be fitted.

**Failure cases.** Those of the Fréchet distance: blind beyond mean and covariance, ruled by
outliers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simreal.compare.anonymous import anonymous_order, ranks
from simreal.compare.contract import MetricMeta, Points, value_between
from simreal.compare.gaussians import extrapolated, frechet_of_masks
from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray

META = MetricMeta(
    title="Fréchet distance at infinite n",
    summary="Fréchet distance extrapolated to infinite n",
    zero_point="0 on average, up to terms of 1/n²; may be negative",
    minimum_groups=20,
    estimand="population value",
    near_null="quadratic",
    cost="heavy",
    groups_per_dimension=8,
    wanted_groups_per_dimension=20,
    needs_equal_n=False,
    unit="pooled variances",
    citation="Chong and Forsyth 2020, arXiv:1911.07023",
)

#: Sizes of subset on the line.
N_SIZES = 15


def subset_sizes(n: int, d: int) -> IntArray:
    """Return the sizes of subset, evenly spaced in 1/N, the whole sample last.

    From a quarter of the sample, so that the line has a lever, but 2d or more, below which
    covariances lose rank; half of the sample if even that is too much.

    Examples
    --------
    >>> subset_sizes(1000, 16)[[0, -1]].tolist(), subset_sizes(100, 16)[0].item()
    ([250, 1000], 32)
    """
    smallest = min(max(n // 4, 2 * d), max(n // 2, 2))
    sizes = np.rint(1.0 / np.linspace(1 / smallest, 1 / n, N_SIZES)).astype(np.int64)
    return np.unique(sizes)


def statistic(obs: Points, sim: Points, *, rng: np.random.Generator) -> float:
    """Return the extrapolated distance of two samples ``(n, d)``, ``(m, d)``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 400, 2))
    >>> abs(statistic(x, y + 3, rng=rng) - 18) < 1.5
    True
    """
    return value_between(fit, obs, sim, rng=rng)


def fit(pooled: Points, *, rng: np.random.Generator) -> "FrechetInfinity":
    """Fix the origin and the order in which subsets grow."""
    centre = pooled.mean(axis=0, dtype=np.float64)
    seed = int(rng.integers(2**31))
    first = ranks(anonymous_order(pooled, seed=seed)) < len(pooled) // 2
    curve = Curve(centre, seed)
    sizes, values = curve.read(pooled, first[None], ~first[None])
    _, r_squared = extrapolated(sizes, values)
    return FrechetInfinity(curve=curve, sizes=len(sizes), r_squared=float(r_squared[0]))


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The Fréchet distance against the size of nested subsets."""

    centre: Float64Array
    seed: int

    def read(
        self, points: Points, sim: BoolArray, obs: BoolArray
    ) -> tuple[Float64Array, Float64Array]:
        """Return the sizes ``(J,)`` and the distances at them ``(B, J)``.

        Where the sides differ in number both are cut to the same fractions, and the size is
        the harmonic mean of the two, on which the leading bias depends.
        """
        centred = points - self.centre
        order = anonymous_order(points, seed=self.seed)
        n, m = (int(mask[:1].sum()) for mask in (sim, obs))
        smaller = min(n, m)
        sizes = subset_sizes(smaller, points.shape[1])
        counts = [np.rint(sizes * (side / smaller)).astype(np.int64) for side in (n, m)]
        growing = [_places(mask, order) for mask in (sim, obs)]
        values = [
            frechet_of_masks(
                centred, sim & (growing[0] < counts[0][j]), obs & (growing[1] < counts[1][j])
            )
            for j in range(len(sizes))
        ]
        return 2.0 / (1.0 / counts[0] + 1.0 / counts[1]), np.stack(values, axis=1)


def _places(masks: BoolArray, order: IntArray) -> npt.NDArray[np.int32]:
    """Return the place of every point among the members of its mask, in `order`."""
    places = np.empty(masks.shape, dtype=np.int32)
    places[:, order] = np.cumsum(masks[:, order], axis=1, dtype=np.int32) - 1
    return places


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrechetInfinity:
    """The extrapolated distance, for many assignments of the same points."""

    curve: Curve
    sizes: int
    r_squared: float

    @property
    def note(self) -> str:
        """Return how the line was fitted, and how straight it is."""
        return (
            f"intercept of a line in 1/N through {self.sizes} nested subsets; "
            f"R² = {self.r_squared:.3f} between two random, label-free halves of the pool"
        )

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the distance for every assignment: points (n, d), masks (B, n) -> (B,)."""
        return extrapolated(*self.curve.read(points, sim, obs))[0]
