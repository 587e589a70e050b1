"""Recall: the share of observed objects that look like a simulated one.

Precision with the sides exchanged: an observed object counts if it lies inside the ball of any
simulated object, which reaches to its fifth nearest other simulated object (Kynkäänniemi et al.
2019, arXiv:1904.06991). A point on the surface is inside.

**Bias.** A plug-in statistic that falls with the dimension and rises with n: between samples of
one population it reads .87 in 16 dimensions and .71 in 64 (n = 2,000). Only the floor says what
is good.

**Failure cases.** Balls of a simulation that is too broad are wide, and recall then reads
*higher* than for the truth; a few simulated outliers are enough (Naeem et al. 2020). Blind to
what only the simulation makes. Zero, and so without any order, once the sides are apart.
"""

from dataclasses import dataclass

import numpy as np

from simreal.compare.contract import MetricMeta, Points, value_between
from simreal.compare.manifold import K, balls, covered
from simreal.core.arrays import BoolArray, Float32Array, Float64Array

META = MetricMeta(
    title="recall",
    summary="recall: share of observed objects inside a simulated k-neighbour ball",
    zero_point="below 1 at finite n: the floor",
    minimum_groups=24,  # a quarter of them, for the interval, still has a fifth neighbour
    estimand="expectation at this n",
    tail="lower",
    bounds=(0.0, 1.0),
    citation="Kynkäänniemi et al. 2019, arXiv:1904.06991",
)


def statistic(obs: Points, sim: Points, *, rng: np.random.Generator) -> float:
    """Return the recall of two samples ``(n, d)``, ``(m, d)``.

    Examples
    --------
    >>> x = np.arange(20.0)[:, None]
    >>> statistic(x, x + 20, rng=np.random.default_rng(0))
    0.25
    """
    return value_between(fit, obs, sim, rng=rng)


def fit(pooled: Points, *, rng: np.random.Generator) -> "Recall":  # noqa: ARG001
    """Fix the size of the balls; nothing else is to be chosen."""
    return Recall(len(pooled) // 2)


@dataclass(frozen=True, slots=True)
class Recall:
    """The recall at a fixed k, for many assignments of the same points."""

    n: int
    k: int = K

    @property
    def note(self) -> str:
        """Return k."""
        return f"k = {self.k}; rises for a simulation that is too broad (density, precision)"

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the recall for every assignment: points (n, d), masks (B, n) -> (B,)."""
        held = balls(points, sim, obs, k=self.k)
        return np.array([covered(one, side) for one, side in zip(held, obs, strict=True)])
