"""Coverage: the share of observed objects that have a simulated one nearby.

The share of observed balls, each reaching to the fifth nearest other observed object, that hold at
least one simulated object (Naeem et al. 2020, arXiv:2002.09797). A point on the surface is inside.

**Bias.** 1 - Π (N - i)/(N + M - i), i = 1..k, between N observed and M simulated objects of one
population, whatever it is: .969 for k = 5 and N = M = 1,000.

**Failure cases.** Saturated: at k = 5 the null reads .97, and a moderate lack is seen only as a
few per cent. A simulation that is too broad but reaches everywhere is hardly punished, and what
only the simulation makes is not seen at all.
"""

from dataclasses import dataclass

import numpy as np

from simreal.compare.contract import MetricMeta, Points, value_between
from simreal.compare.manifold import K, balls, null_coverage, occupied
from simreal.core.arrays import BoolArray, Float32Array, Float64Array

META = MetricMeta(
    title="coverage",
    summary="coverage: share of observed k-neighbour balls that hold a simulated object",
    zero_point="1 - Π (N - i)/(N + M - i), i = 1..k",
    minimum_groups=24,  # a quarter of them, for the interval, still has a fifth neighbour
    estimand="expectation at this n",
    tail="lower",
    bounds=(0.0, 1.0),
    citation="Naeem et al. 2020, arXiv:2002.09797",
)


def statistic(obs: Points, sim: Points, *, rng: np.random.Generator) -> float:
    """Return the coverage of two samples ``(n, d)``, ``(m, d)``.

    Examples
    --------
    >>> x = np.arange(20.0)[:, None]
    >>> statistic(x, x, rng=np.random.default_rng(0))
    1.0
    """
    return value_between(fit, obs, sim, rng=rng)


def fit(pooled: Points, *, rng: np.random.Generator) -> "Coverage":  # noqa: ARG001
    """Fix the size of the balls; nothing else is to be chosen."""
    return Coverage(len(pooled) // 2)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The coverage at a fixed k, for many assignments of the same points."""

    n: int
    k: int = K

    @property
    def note(self) -> str:
        """Return k and what is expected where nothing differs."""
        expected = null_coverage(self.n, self.n, k=self.k)
        return f"k = {self.k}; identical populations read {expected:.4f} at n = {self.n} per side"

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the coverage for every assignment: points (n, d), masks (B, n) -> (B,)."""
        held = balls(points, obs, sim, k=self.k)
        return np.array([occupied(one) for one in held])
