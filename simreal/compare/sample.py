"""From two embeddings to the sample that is tested, without letting any label through."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simreal.compare.strata import Strata, pick_by_stratum, spread_over_strata, strata_record
from simreal.core.arrays import BoolArray, Float32Array, IntArray
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError
from simreal.core.seeding import stream
from simreal.stats.groups import choose, group_rows, random_masks, smallest_group, thin_views
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
    obs_strata : array of int (G,), optional
        Stratum of every observed group.
    ceiling_rounds : array (m, n, d), optional
        A declared bad mock, as many groups as the observed side has.
    """

    rounds: Float32Array
    is_sim: BoolArray
    obs_rounds: Float32Array
    strata: IntArray | None = None
    obs_strata: IntArray | None = None
    ceiling_rounds: Float32Array | None = None

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

    def thinned(self, n: int, *, rng: np.random.Generator) -> "Sample":
        """Return at most `n` random groups of each side, and twice as many for the floor."""
        if n >= max(self.n_sim, self.n_obs):
            return self
        kept = np.concatenate(
            [random_masks(side, min(n, int(side.sum())), 1, rng=rng) for side in self._sides()]
        ).any(axis=0)
        there = self.obs_rounds.shape[1]
        # With strata the floor needs twice the tested groups of each, which a part may lack.
        enough = there if self.strata is not None else min(there, 2 * n)
        of_obs = choose(there, enough, rng=rng)
        ceiling = self.ceiling_rounds
        return Sample(
            rounds=self.rounds[:, kept],
            is_sim=self.is_sim[kept],
            obs_rounds=self.obs_rounds[:, of_obs],
            strata=None if self.strata is None else self.strata[kept],
            obs_strata=None if self.obs_strata is None else self.obs_strata[of_obs],
            ceiling_rounds=None if ceiling is None else ceiling[:, :n],
        )

    def _sides(self) -> tuple[BoolArray, BoolArray]:
        return self.is_sim, ~self.is_sim


def usable_n(
    obs: Embedding, sim: Embedding, n: int | None = None, *, strata: Strata | None = None
) -> int:
    """Return the groups per side that a comparison uses.

    By default the smaller of the simulated groups and half of the observed ones, so that the
    floor, two disjoint observed sets, exists at the same n. With strata, the same in each.

    Raises
    ------
    NotComputableError
        If fewer than `FEWEST_GROUPS` per side are left.
    """
    if strata is None:
        there = min(sim.n_groups, obs.n_groups // 2)
        usable = there if n is None else min(n, sim.n_groups, obs.n_groups)
    else:
        there = int(strata.usable(floor=True).sum())
        usable = there if n is None else min(n, there)
    if usable < FEWEST_GROUPS:
        raise NotComputableError(
            f"{sim.name} against {obs.name}: {sim.n_groups} simulated and {obs.n_groups} observed "
            f"groups leave {usable} per side{' in common strata' if strata else ''}, allowed are "
            f"{FEWEST_GROUPS} or more; add objects or widen the selection"
        )
    return usable


def draw_sample(
    obs: Embedding,
    sim: Embedding,
    *,
    n: int,
    seed: int,
    strata: Strata | None = None,
    ceiling: Embedding | None = None,
) -> tuple[Sample, Pca, dict[str, Any]]:
    """Return the tested sample in the common transform, that transform, and how it came about.

    Views are thinned alike, both sides are subsampled by group to `n`, the tested groups are
    shuffled, and the transform is fitted to that anonymous pool. A transform fitted to one side,
    or to all rows of sides with different numbers of views, carries the label into the test.

    Parameters
    ----------
    obs, sim : Embedding
    n : int
        Groups per side.
    seed : int
    strata : Strata, optional
        Both sides get the same numbers in every stratum.
    ceiling : Embedding, optional
        A declared bad mock. The transform does not see it.
    """
    sides = {"sim": sim, "obs": obs} | ({} if ceiling is None else {"ceiling": ceiling})
    rows = {side: group_rows(e.groups, e.ids) for side, e in sides.items()}
    n_views = min(MOST_VIEWS, smallest_group(*rows.values()))
    thinned = {
        side: thin_views(of, n_views, rng=stream(seed, "compare", "views", side))
        for side, of in rows.items()
    }
    groups = _tested_groups(thinned, n, seed=seed, strata=strata)
    picked = {side: thinned[side][:, groups[side]] for side in ("sim", "obs")}
    tested = np.concatenate([sim.vectors[picked["sim"]], obs.vectors[picked["obs"]]], axis=1)
    order = stream(seed, "compare", "order").permutation(2 * n)
    tested = tested[:, order]
    transform = fit_pca(tested.reshape(-1, tested.shape[-1]), rng=stream(seed, "compare", "pca"))
    codes = None
    if strata is not None:
        codes = np.concatenate([strata.sim[groups["sim"]], strata.obs[groups["obs"]]])[order]
    sample = Sample(
        rounds=_apply(transform, tested),
        is_sim=order < n,
        obs_rounds=_apply(transform, obs.vectors[thinned["obs"]]),
        strata=codes,
        obs_strata=None if strata is None else strata.obs,
        ceiling_rounds=None
        if ceiling is None
        else _apply(
            transform,
            ceiling.vectors[_ceiling_rows(ceiling, obs, thinned, groups["obs"], seed=seed)],
        ),
    )
    record = transform_record(transform, sample)
    if strata is not None:
        record["strata"] = strata_record(strata, groups["sim"], groups["obs"])
    return sample, transform, record


def _tested_groups(
    thinned: Mapping[str, IntArray], n: int, *, seed: int, strata: Strata | None
) -> dict[str, IntArray]:
    """Return the numbers of the groups of each side that are tested."""
    if strata is None:
        return {
            side: choose(thinned[side].shape[1], n, rng=stream(seed, "compare", "groups", side))
            for side in ("sim", "obs")
        }
    counts = spread_over_strata(
        strata.usable(floor=True), n, rng=stream(seed, "compare", "groups", "strata")
    )
    return {
        side: pick_by_stratum(codes, counts, rng=stream(seed, "compare", "groups", side))
        for side, codes in (("sim", strata.sim), ("obs", strata.obs))
    }


def _ceiling_rows(
    ceiling: Embedding,
    obs: Embedding,
    thinned: Mapping[str, IntArray],
    tested_obs: IntArray,
    *,
    seed: int,
) -> IntArray:
    """Return rows ``(m, n)`` of the bad mock: not made of the objects it is compared with.

    Raises
    ------
    NotComputableError
        If fewer groups are left than the observed side has.
    """
    n = len(tested_obs)
    names = np.unique(ceiling.groups)
    taken = np.unique(obs.groups)[tested_obs]
    free = np.flatnonzero(~np.isin(names, taken))
    if len(free) < n:
        raise NotComputableError(
            f"ceiling {ceiling.name}: {len(free)} groups that are not compared themselves, {n} "
            "are needed; declare a larger bad mock, or compare fewer groups (--n)"
        )
    chosen = free[choose(len(free), n, rng=stream(seed, "compare", "groups", "ceiling"))]
    return thinned["ceiling"][:, chosen]


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


def _apply(transform: Pca, rounds: Float32Array) -> Float32Array:
    return np.stack([transform.apply(points) for points in rounds])
