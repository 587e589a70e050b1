"""Fréchet distance: how far apart the Gaussians are that fit the two samples.

|μ - ν|² + tr(A + B - 2 (AB)^½) for means μ, ν and covariances A, B (n - 1 in their
denominators): the squared Wasserstein-2 distance of two Gaussians (Dowson and Landau 1982, J.
Multivariate Anal. 12, 450), known as FID where the points are Inception features (Heusel et al.
2017, arXiv:1706.08500).

**Bias.** Always above zero between finite samples: d(d + 1)/(2n) + 2d/n for two samples of n from
N(0, I) in d dimensions, and the bias differs from population to population, so that equal n
does not cure it (Chong and Forsyth 2020); `frechet_infinity` extrapolates it away. Below n = 2d it
is mostly bias and refused; below 10d that is noted.

**Failure cases.** Blind to everything beyond mean and covariance: two clusters and one broad
Gaussian of the same covariance are at distance zero, and so is a missing rare class that moves
no moment. One far outlier can outweigh the rest. Not unbiased, so not comparable at different n.
"""

from dataclasses import dataclass

import numpy as np

from simreal.compare.contract import MetricMeta, Points, value_between
from simreal.compare.gaussians import frechet_of_masks
from simreal.core.arrays import BoolArray, Float32Array, Float64Array

META = MetricMeta(
    title="Fréchet distance",
    summary="Fréchet distance of the fitted Gaussians",
    zero_point="above 0 at finite n: the floor",
    minimum_groups=10,
    estimand="expectation at this n",
    near_null="quadratic",
    groups_per_dimension=2,
    wanted_groups_per_dimension=10,
    bounds=(0.0, np.inf),
    unit="pooled variances",
    citation="Dowson and Landau 1982, J. Multivariate Anal. 12, 450; Heusel et al. 2017, "
    "arXiv:1706.08500",
)


def statistic(obs: Points, sim: Points, *, rng: np.random.Generator) -> float:
    """Return the squared Fréchet distance of two samples ``(n, d)``, ``(m, d)``.

    Examples
    --------
    >>> x = np.array([[-1.0], [1.0]])
    >>> round(statistic(x, x + 3, rng=np.random.default_rng(0)), 9)
    9.0
    """
    return value_between(fit, obs, sim, rng=rng)


def fit(pooled: Points, *, rng: np.random.Generator) -> "Frechet":  # noqa: ARG001
    """Fix the origin: sums of squares around it lose no digits."""
    return Frechet(pooled.mean(axis=0, dtype=np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Frechet:
    """The distance around a fixed origin, for many assignments of the same points."""

    centre: Float64Array

    @property
    def note(self) -> str:
        """Return the leading bias and what the distance is blind to."""
        d = len(self.centre)
        return (
            f"squared distance in {d} dimensions; for equal isotropic Gaussians it reads about "
            f"{d * (d + 1) / 2 + 2 * d:g}/n variances; blind beyond mean and covariance"
        )

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the distance for every assignment: points (n, d), masks (B, n) -> (B,)."""
        return frechet_of_masks(points - self.centre, sim, obs)
