"""Populations that calibration draws from: two sides that are the same, or differ as stated."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from simreal.compare.sample import Sample
from simreal.core.arrays import Float32Array, Float64Array, StrArray
from simreal.core.errors import NotComputableError
from simreal.stats.groups import group_rows, thin_views
from simreal.stats.pca import fit_pca

#: Dimension of the Gaussian populations.
DIMENSION = 16


class Population(Protocol):
    """Two sides, drawn anew for every repetition; it travels to other processes by pickle."""

    @property
    def name(self) -> str:
        """What the sides are, in a word."""
        ...

    @property
    def note(self) -> str:
        """What a reader must know of them."""
        ...

    @property
    def n(self) -> int:
        """Groups per side."""
        ...

    def draw(self, rng: np.random.Generator) -> Sample:
        """Return one sample, in the transform of a comparison."""
        ...


def pooled_sample(obs: Float32Array, sim: Float32Array, *, rng: np.random.Generator) -> Sample:
    """Return two sets of vectors ``(n, d)``, ``(m, d)`` as a comparison sees them.

    Shuffled, and in the transform that is fitted to the anonymous pool: a calibration that
    leaves the transform out would not calibrate what is run.
    """
    pooled = np.concatenate([sim, obs])
    order = rng.permutation(len(pooled))
    pooled = pooled[order]
    points = fit_pca(pooled, rng=rng).apply(pooled)
    is_sim = order < len(sim)
    return Sample(rounds=points[None], is_sim=is_sim, obs_rounds=points[None, ~is_sim])


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianPair:
    """N(0, I) against N(0, I), a shifted copy, or one in which a part is displaced.

    Parameters
    ----------
    n : int
        Points per side.
    dimension : int
    shift : float
        Shift of the simulated side along the first axis, in standard deviations.
    contamination : float
        Share of the simulated points that are displaced along the first axis instead.
    displacement : float
        By how much [standard deviations].
    """

    n: int = 100
    dimension: int = DIMENSION
    shift: float = 0.0
    contamination: float = 0.0
    displacement: float = 0.0
    name: str = "gaussian"

    @property
    def note(self) -> str:
        """What the sides are."""
        return f"N(0, I) in {self.dimension} dimensions"

    def draw(self, rng: np.random.Generator) -> Sample:
        """Return one sample, in the transform of a comparison."""
        obs, sim = rng.standard_normal((2, self.n, self.dimension), dtype=np.float32)
        sim[:, 0] += self.shift
        sim[rng.random(self.n) < self.contamination, 0] += self.displacement
        return pooled_sample(obs, sim, rng=rng)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SplitEmbedding:
    """Vectors of one collection, split at random by group into two disjoint sides.

    Parameters
    ----------
    vectors : array (images, d)
    groups : array of str (images,)
        A side holds one image of each of its groups.
    n : int
        Groups per side; at most half of the groups.
    note : str
    """

    vectors: Float32Array
    groups: StrArray
    n: int
    note: str = ""
    name: str = "survey"

    def __post_init__(self) -> None:
        there = len(np.unique(self.groups))
        if 2 * self.n > there:
            raise NotComputableError(
                f"{self.name}: two disjoint sides of {self.n} need {2 * self.n} groups, there are "
                f"{there}; ask for fewer per side"
            )

    def draw(self, rng: np.random.Generator) -> Sample:
        """Return one sample, in the transform of a comparison."""
        rows = thin_views(group_rows(self.groups), 1, rng=rng)[0]
        picked = self.vectors[rng.permutation(rows)[: 2 * self.n]]
        return pooled_sample(picked[: self.n], picked[self.n :], rng=rng)


def correlated_views(
    n_groups: int, n_views: int, dimension: int, *, correlation: float, rng: np.random.Generator
) -> Float64Array:
    """Return views ``(n_groups, n_views, d)`` that share a part of their variance by group."""
    group = rng.standard_normal((n_groups, 1, dimension)) * correlation**0.5
    view = rng.standard_normal((n_groups, n_views, dimension)) * (1 - correlation) ** 0.5
    return np.asarray(group + view)
