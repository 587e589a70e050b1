"""Density: how many observed balls hold a simulated object, in units of k.

(1 / kM) Σ_j #{i : |y_j - x_i| <= NND_k(x_i)} over the M simulated objects y_j and the observed
x_i (Naeem et al. 2020, arXiv:2002.09797): precision that counts balls, so that one wide ball of
an outlier no longer lets everything in. A point on the surface is inside.

**Bias.** 1 on average between samples of one population, to a few per cent (1.001 in 16 dimensions,
1.024 in 64, n = 2,000), and unbounded.

**Failure cases.** Both tails are defects: a simulation crowded into the densest part of the
observed population reads well above 1, one that lies outside reads below. A simulation with both
defects can read exactly 1, and so can one that misses a class.
"""

from dataclasses import dataclass

import numpy as np

from simreal.compare.contract import MetricMeta, Points, value_between
from simreal.compare.manifold import K, balls, crowding
from simreal.core.arrays import BoolArray, Float32Array, Float64Array

META = MetricMeta(
    title="density",
    summary="density: observed k-neighbour balls that hold a simulated object, over k",
    zero_point="1 on average, to a few per cent",
    minimum_groups=24,  # a quarter of them, for the interval, still has a fifth neighbour
    estimand="expectation at this n",
    tail="both",
    bounds=(0.0, np.inf),
    citation="Naeem et al. 2020, arXiv:2002.09797",
)


def statistic(obs: Points, sim: Points, *, rng: np.random.Generator) -> float:
    """Return the density of two samples ``(n, d)``, ``(m, d)``.

    Examples
    --------
    >>> x = np.arange(20.0)[:, None]
    >>> statistic(x, x + 0.25, rng=np.random.default_rng(0))
    1.17
    """
    return value_between(fit, obs, sim, rng=rng)


def fit(pooled: Points, *, rng: np.random.Generator) -> "Density":  # noqa: ARG001
    """Fix the size of the balls; nothing else is to be chosen."""
    return Density(len(pooled) // 2)


@dataclass(frozen=True, slots=True)
class Density:
    """The density at a fixed k, for many assignments of the same points."""

    n: int
    k: int = K

    @property
    def note(self) -> str:
        """Return k."""
        return f"k = {self.k}; tested on both sides: above 1 too crowded, below 1 outside"

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the density for every assignment: points (n, d), masks (B, n) -> (B,)."""
        held = balls(points, obs, sim, k=self.k)
        return np.array(
            [crowding(one, side, k=self.k) for one, side in zip(held, sim, strict=True)]
        )
