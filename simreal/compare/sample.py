"""From two embeddings to the sample that is tested, without letting any label through."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, IntArray
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError
from simreal.core.seeding import stream
from simreal.stats.groups import choose, group_rows, smallest_group, thin_views
from simreal.stats.pca import Pca, fit_pca

#: Views of a group beyond this many add time and next to no information.
MOST_VIEWS = 4

#: Fewer groups per side have too few relabellings (70 for 4 + 4) for a test at 5 %.
FEWEST_GROUPS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """The groups that are tested and the observed groups the floor is drawn from.

    Parameters
    ----------
    rounds : array (m, N, d)
        One view of each of the N = n_sim + n_obs tested groups per round, in random order.
    is_sim : array of bool (N,)
    obs_rounds : array (m, G, d)
        All observed groups.
    strata : array of int (N,), optional
        Stratum of every tested group; labels are shuffled inside strata only.
    """

    rounds: Float32Array
    is_sim: BoolArray
    obs_rounds: Float32Array
    strata: IntArray | None = None

    @classmethod
    def of(cls, obs: Float32Array, sim: Float32Array) -> "Sample":
        """Return the sample of two plain sets of points ``(n, d)``, ``(m, d)``, one per group."""
        return cls(
            rounds=np.concatenate([sim, obs])[None],
            is_sim=np.arange(len(sim) + len(obs)) < len(sim),
            obs_rounds=obs[None],
        )

    @property
    def n_sim(self) -> int:
        """Tested simulated groups."""
        return int(self.is_sim.sum())

    @property
    def n_obs(self) -> int:
        """Tested observed groups."""
        return len(self.is_sim) - self.n_sim

    @property
    def n(self) -> int:
        """Tested groups of the smaller side."""
        return min(self.n_sim, self.n_obs)

    @property
    def pooled(self) -> Float32Array:
        """One view of every tested group, without labels ``(N, d)``."""
        pool: Float32Array = self.rounds[0]
        return pool


def usable_n(obs: Embedding, sim: Embedding, n: int | None = None) -> int:
    """Return the groups per side that a comparison uses.

    By default the smaller of the simulated groups and half of the observed ones, so that the
    floor, two disjoint observed sets, exists at the same n.

    Raises
    ------
    NotComputableError
        If fewer than `FEWEST_GROUPS` per side are left.
    """
    there = min(sim.n_groups, obs.n_groups // 2)
    usable = there if n is None else min(n, sim.n_groups, obs.n_groups)
    if usable < FEWEST_GROUPS:
        raise NotComputableError(
            f"{sim.name} against {obs.name}: {sim.n_groups} simulated and {obs.n_groups} observed "
            f"groups leave {usable} per side, allowed are {FEWEST_GROUPS} or more; add objects "
            "or widen the selection"
        )
    return usable


def draw_sample(obs: Embedding, sim: Embedding, *, n: int, seed: int) -> tuple[Sample, Pca]:
    """Return the tested sample in the common transform, and that transform.

    Views are thinned alike, both sides are subsampled by group to `n`, the tested groups are
    shuffled, and the transform is fitted to that anonymous pool. A transform fitted to one side,
    or to all rows of sides with different numbers of views, carries the label into the test.

    Parameters
    ----------
    obs, sim : Embedding
    n : int
        Groups per side.
    seed : int
    """
    rows = {"sim": group_rows(sim.groups, sim.ids), "obs": group_rows(obs.groups, obs.ids)}
    n_views = min(MOST_VIEWS, smallest_group(*rows.values()))
    thinned = {
        side: thin_views(of, n_views, rng=stream(seed, "compare", "views", side))
        for side, of in rows.items()
    }
    picked = {side: _pick(of, n, seed=seed, side=side) for side, of in thinned.items()}
    tested = np.concatenate([sim.vectors[picked["sim"]], obs.vectors[picked["obs"]]], axis=1)
    order = stream(seed, "compare", "order").permutation(2 * n)
    tested = tested[:, order]
    transform = fit_pca(tested.reshape(-1, tested.shape[-1]), rng=stream(seed, "compare", "pca"))
    sample = Sample(
        rounds=_apply(transform, tested),
        is_sim=order < n,
        obs_rounds=_apply(transform, obs.vectors[thinned["obs"]]),
    )
    return sample, transform


def transform_record(transform: Pca, sample: Sample) -> dict[str, Any]:
    """Return what the transform was, for the results."""
    return {
        "kind": "principal components of the pooled, unlabelled sample; one common scale",
        "dimension": len(transform.mean),
        "components": len(transform.components),
        "explained_variance": float(transform.explained.sum()),
        "scale": transform.scale,
        "fitted_on": f"{sample.n_sim} + {sample.n_obs} groups",
        "views_per_group": len(sample.rounds),
    }


def _pick(thinned: IntArray, n: int, *, seed: int, side: str) -> IntArray:
    return thinned[:, choose(thinned.shape[1], n, rng=stream(seed, "compare", "groups", side))]


def _apply(transform: Pca, rounds: Float32Array) -> Float32Array:
    return np.stack([transform.apply(points) for points in rounds])
