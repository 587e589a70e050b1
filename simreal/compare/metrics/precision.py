"""Precision: the share of simulated objects that look like an observed one.

A simulated object counts if it lies inside the ball of any observed object, which reaches to its
fifth nearest other observed object (Kynkäänniemi et al. 2019, arXiv:1904.06991). Real is observed,
fake is simulated; a point on the surface is inside.

**Bias.** A plug-in statistic that falls with the dimension and rises with n: between samples of
one population it reads .87 in 16 dimensions and .71 in 64 (n = 2,000). Only the floor says what
is good.

**Failure cases.** Blind to everything a simulation fails to make: a single real object, copied,
scores 1. A simulation that is too narrow scores *higher* than the truth. One observed outlier has a
huge ball and lets everything in.
"""

from dataclasses import dataclass

import numpy as np

from simreal.compare.contract import MetricMeta, Points, value_between
from simreal.compare.manifold import K, balls, covered
from simreal.core.arrays import BoolArray, Float32Array, Float64Array

META = MetricMeta(
    title="precision",
    summary="precision: share of simulated objects inside an observed k-neighbour ball",
    zero_point="below 1 at finite n: the floor",
    minimum_groups=24,  # a quarter of them, for the interval, still has a fifth neighbour
    estimand="expectation at this n",
    tail="lower",
    bounds=(0.0, 1.0),
    citation="Kynkäänniemi et al. 2019, arXiv:1904.06991",
)


def statistic(obs: Points, sim: Points, *, rng: np.random.Generator) -> float:
    """Return the precision of two samples ``(n, d)``, ``(m, d)``.

    Examples
    --------
    >>> x = np.arange(20.0)[:, None]
    >>> statistic(x, x + 20, rng=np.random.default_rng(0))
    0.25
    """
    return value_between(fit, obs, sim, rng=rng)


def fit(pooled: Points, *, rng: np.random.Generator) -> "Precision":  # noqa: ARG001
    """Fix the size of the balls; nothing else is to be chosen."""
    return Precision(len(pooled) // 2)


@dataclass(frozen=True, slots=True)
class Precision:
    """The precision at a fixed k, for many assignments of the same points."""

    n: int
    k: int = K

    @property
    def note(self) -> str:
        """Return k."""
        return f"k = {self.k}; fails to see what simulations do not make (recall, coverage)"

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the precision for every assignment: points (n, d), masks (B, n) -> (B,)."""
        held = balls(points, obs, sim, k=self.k)
        return np.array([covered(one, side) for one, side in zip(held, sim, strict=True)])
