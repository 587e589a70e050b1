"""Kernel distance: unbiased MMD² with the cubic polynomial kernel.

With k(x, y) = (<x, y>/d + 1)³ (Bińkowski et al. 2018, arXiv:1801.01401, where the points are
Inception features and the name is Kernel Inception Distance). It compares the first three
moments of the two populations and nothing else, has no bandwidth, and is zero on average
between samples of one population at every n; it may be negative. The points are those of the
common transform: centred on the pool, one scale.

**Against the usual code.** Image-generation packages (torch-fidelity and its kin) average the same
estimator over 100 random subsets of 1,000 images and quote the scatter between the subsets. Each
of those is an unbiased estimate of the same population value, so their mean agrees with this
number, which uses every pair once and scatters less. Their scatter is not an error bar: subsets
overlap. Published values are of other features in other units and cannot be compared.

It is blind to differences that keep the first three moments (heavier tails on both sides,
two symmetric clumps against one), the higher moments weigh ever less as d grows, and it is not
invariant to translation: it depends on where the common transform has its origin. One object
far away contributes with the third power of its square: a single outlier can decide it.
"""

from dataclasses import dataclass

import numpy as np

from simreal.compare.contract import MetricMeta, Points
from simreal.compare.kernels import cubic, unbiased_discrepancy
from simreal.core.arrays import BoolArray, Float32Array, Float64Array

META = MetricMeta(
    summary="kernel distance (unbiased MMD², cubic polynomial kernel)",
    zero_point="0 on average",
    minimum_groups=10,
    estimand="population value",
    near_null="quadratic",
    needs_equal_n=False,
    citation="Bińkowski et al. 2018, arXiv:1801.01401",
)


def statistic(obs: Points, sim: Points, *, rng: np.random.Generator) -> float:  # noqa: ARG001
    """Return the kernel distance of two samples ``(n, d)``, ``(m, d)``, in double precision.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0]]); y = np.array([[2.0], [3.0]])
    >>> round(statistic(x, y, rng=np.random.default_rng(0)), 9)  # 1 + 343 - 2 x 93 / 4
    297.5
    """
    points = np.concatenate([obs, sim]).astype(np.float64)
    is_sim = np.arange(len(points)) >= len(obs)
    return float(_kernel_distance(points, is_sim[None], ~is_sim[None])[0])


def fit(pooled: Float32Array, *, rng: np.random.Generator) -> "KernelDistance":  # noqa: ARG001
    """Return the kernel distance; there is nothing to fix."""
    return KernelDistance()


@dataclass(frozen=True, slots=True, eq=False)
class KernelDistance:
    """The kernel distance, for many assignments of the same points."""

    @property
    def note(self) -> str:
        """Return which estimate it is."""
        return "all pairs once, in place of random subsets"

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the kernel distance for every assignment: points (n, d), masks (B, n) -> (B,)."""
        return _kernel_distance(points, sim, obs)


def _kernel_distance(points: Points, sim: BoolArray, obs: BoolArray) -> Float64Array:
    return unbiased_discrepancy(points, sim, obs, cubic(points.shape[1]))[:, 0]
