"""Energy distance: how much farther apart the two populations are than each from itself.

2 E|X - Y| - E|X - X'| - E|Y - Y'| (Székely and Rizzo 2013, J. Stat. Plan. Inference 143, 1249),
with the means over distinct pairs: the unbiased form, zero on average between samples of one
population and negative about as often as not. It is zero for equal populations only, has
nothing to choose, does not change under rotation or translation, and equals the MMD² of the
kernel -|x - y| (Sejdinovic et al. 2013, Ann. Stat. 41, 2263). In the common transform it is in
units of the pool's own width; a small shift of δ enters as δ², a large one as 2δ.

It weighs large scales most: differences inside a clump much smaller than the whole cloud, or in
the least variable directions, are small against the spread of all distances, and in many
dimensions it sees little but mean and total variance (`mmd` at a narrow bandwidth sees more).
"""

from dataclasses import dataclass

import numpy as np

from simreal.compare.contract import MetricMeta, Points
from simreal.compare.kernels import minus_distance, unbiased_discrepancy
from simreal.core.arrays import BoolArray, Float32Array, Float64Array

META = MetricMeta(
    summary="energy distance (unbiased)",
    zero_point="0 on average",
    minimum_groups=10,
    estimand="population value",
    near_null="quadratic",
    needs_equal_n=False,
    unit="pooled standard deviations",
    citation="Székely and Rizzo 2013, J. Stat. Plan. Inference 143, 1249",
)


def statistic(obs: Points, sim: Points, *, rng: np.random.Generator) -> float:  # noqa: ARG001
    """Return the energy distance of two samples ``(n, d)``, ``(m, d)``, in double precision.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0]]); y = np.array([[2.0], [3.0]])
    >>> round(statistic(x, y, rng=np.random.default_rng(0)), 12)  # 2 x 2 - 1 - 1
    2.0
    """
    points = np.concatenate([obs, sim]).astype(np.float64)
    points -= points.mean(axis=0)
    is_sim = np.arange(len(points)) >= len(obs)
    return float(_energy(points, is_sim[None], ~is_sim[None])[0])


def fit(pooled: Float32Array, *, rng: np.random.Generator) -> "Energy":  # noqa: ARG001
    """Fix the centre, which changes nothing but the rounding."""
    return Energy(pooled.mean(axis=0, dtype=np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Energy:
    """The energy distance, for many assignments of the same points."""

    centre: Float64Array

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the energy distance for every assignment: points (n, d), masks (B, n) -> (B,)."""
        return _energy((points - self.centre).astype(np.float32), sim, obs)


def _energy(points: Points, sim: BoolArray, obs: BoolArray) -> Float64Array:
    return unbiased_discrepancy(points, sim, obs, minus_distance())[:, 0]
