"""Strata of properties, so that populations are compared at the same mass, redshift or size.

Two sides that differ in mass differ in everything that follows mass. To ask whether galaxies look
alike *at fixed mass*, both sides are drawn with the same numbers in every stratum, and labels are
shuffled inside strata only. Strata are cut at quantiles of the pool of both sides, so that no label
decides where an edge lies. What one stratum holds of both sides still differs a little within
the stratum: narrower strata leave less of it, and drop more objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simreal.core.arrays import Float64Array, IntArray, owned
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.core.images import property_values
from simreal.stats.groups import group_rows, kish_effective_size

#: Strata of one property; with several, each has fewer, for about as many cells.
DEFAULT_BINS = 15

#: No stratum: the group lacks a value.
NONE = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strata:
    """The stratum of every group of both sides.

    Parameters
    ----------
    names : tuple of str
        Properties.
    bins : int
        Quantile bins of each property.
    sim, obs : array of int (G,)
        Stratum of every group, in the order of `group_rows`; -1 where a property is missing.
    values_sim, values_obs : array (G, P)
        Group means of the properties.
    """

    names: tuple[str, ...]
    bins: int
    sim: IntArray
    obs: IntArray
    values_sim: Float64Array
    values_obs: Float64Array

    def __post_init__(self) -> None:
        for name in ("sim", "obs"):
            object.__setattr__(self, name, owned(getattr(self, name), np.int64))
        for name in ("values_sim", "values_obs"):
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))

    def usable(self, *, floor: bool) -> IntArray:
        """Return how many groups a side every stratum gives ``(S,)``.

        With `floor` the observed side gives two disjoint sets, so it needs twice as many.
        """
        size = 1 + max(int(self.sim.max(initial=0)), int(self.obs.max(initial=0)))
        sim, obs = (np.bincount(of[of >= 0], minlength=size) for of in (self.sim, self.obs))
        return np.asarray(np.minimum(sim, obs // 2 if floor else obs), dtype=np.int64)


def make_strata(
    obs: Embedding, sim: Embedding, *, names: Sequence[str], bins: int | None = None
) -> Strata:
    """Return strata of properties that both sides have.

    Parameters
    ----------
    obs, sim : Embedding
    names : sequence of str
        Numeric columns of the properties of both sides.
    bins : int, optional
        Quantile bins of each property; by default about 15 cells in all.

    Raises
    ------
    UsageError
        If a property is unknown on one side, or there are fewer than two bins.
    NotComputableError
        If no stratum holds groups of both sides.
    """
    bins = max(2, round(DEFAULT_BINS ** (1 / len(names)))) if bins is None else bins
    if bins < 2:
        raise UsageError(f"strata: got {bins} bins, allowed are 2 or more")
    values = {
        side: np.stack([group_means(embedding, name) for name in names], axis=1)
        for side, embedding in (("sim", sim), ("obs", obs))
    }
    pooled = np.concatenate([values["sim"], values["obs"]])
    if not np.isfinite(pooled).all(axis=1).any():
        raise NotComputableError(f"strata: no group has a value of {', '.join(names)}")
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    edges = [np.unique(np.nanquantile(column, inner)) for column in pooled.T]
    strata = Strata(
        names=tuple(names),
        bins=bins,
        sim=cells(values["sim"], edges),
        obs=cells(values["obs"], edges),
        values_sim=values["sim"],
        values_obs=values["obs"],
    )
    if not strata.usable(floor=False).any():
        raise NotComputableError(
            f"strata of {', '.join(names)}: {sim.name} and {obs.name} have no stratum in common; "
            "use fewer bins, or select objects in a common range"
        )
    return strata


def cells(values: Float64Array, edges: Sequence[Float64Array]) -> IntArray:
    """Return the cell of every row, -1 where a value is missing.

    Examples
    --------
    >>> cells(np.array([[0.0], [2.0], [np.nan]]), [np.array([1.0])]).tolist()
    [0, 1, -1]
    """
    code = np.zeros(len(values), dtype=np.int64)
    for column, inner in zip(values.T, edges, strict=True):
        code = code * (len(inner) + 1) + np.searchsorted(inner, column, side="right")
    return np.where(np.isfinite(values).all(axis=1), code, NONE)


def group_means(embedding: Embedding, name: str) -> Float64Array:
    """Return the mean of a property over the images of every group ``(G,)``, NaN where missing."""
    found = property_values(embedding.properties, name)
    if found is None:
        columns = [] if embedding.properties is None else list(embedding.properties.colnames)
        known = [c for c in columns if property_values(embedding.properties, c) is not None]
        raise UsageError(
            f"strata: {embedding.name} has no numeric property {name!r}: "
            f"{did_you_mean(name, known) if known else 'it has no properties at all'}"
        )
    values, valid, _ = found
    rows_of = group_rows(embedding.groups, embedding.ids)
    return np.array(
        [values[rows][valid[rows]].mean() if valid[rows].any() else np.nan for rows in rows_of]
    )


def pick_by_stratum(codes: IntArray, counts: IntArray, *, rng: np.random.Generator) -> IntArray:
    """Return random group numbers, `counts` of every stratum, in rising order."""
    picked = [
        rng.choice(np.flatnonzero(codes == stratum), count, replace=False)
        for stratum, count in enumerate(counts.tolist())
        if count
    ]
    return np.sort(np.concatenate(picked)).astype(np.int64)


def spread_over_strata(counts: IntArray, n: int, *, rng: np.random.Generator) -> IntArray:
    """Return how many of every stratum make up `n` in all, drawn at random from `counts`."""
    if n >= counts.sum():
        return counts
    drawn = rng.choice(np.repeat(np.arange(len(counts)), counts), n, replace=False)
    return np.bincount(drawn, minlength=len(counts)).astype(np.int64)


def strata_record(strata: Strata, picked_sim: IntArray, picked_obs: IntArray) -> dict[str, Any]:
    """Return what stratifying did: what was left out, and the balance before and after."""
    both = strata.usable(floor=False) > 0
    inside = {
        side: (codes >= 0) & both[np.maximum(codes, 0)]
        for side, codes in (("sim", strata.sim), ("obs", strata.obs))
    }
    return {
        "properties": list(strata.names),
        "bins": strata.bins,
        "strata_in_common": int(both.sum()),
        "strata": len(both),
        "outside_sim": float(1 - inside["sim"].mean()),
        "outside_obs": float(1 - inside["obs"].mean()),
        "effective_size_sim": kish_effective_size(stratum_weights(strata)),
        "balance": [
            {
                "property": name,
                "before": standardised_difference(sim, obs),
                "after": standardised_difference(sim[picked_sim], obs[picked_obs]),
            }
            for name, sim, obs in zip(
                strata.names, strata.values_sim.T, strata.values_obs.T, strict=True
            )
        ],
    }


def stratum_weights(strata: Strata) -> Float64Array:
    """Return the weights that would give the simulated groups the observed strata ``(G,)``.

    They are not used: equal numbers per stratum are drawn. Their effective size says how far
    the two sides overlap.
    """
    size = len(strata.usable(floor=False))
    sim, obs = (np.bincount(of[of >= 0], minlength=size) for of in (strata.sim, strata.obs))
    ratio = np.divide(obs, sim, out=np.zeros(size), where=sim > 0)
    return np.where(strata.sim >= 0, ratio[np.maximum(strata.sim, 0)], 0.0)


def standardised_difference(sim: Float64Array, obs: Float64Array) -> float | None:
    """Return (mean of sim - mean of obs) / pooled standard deviation; None without spread.

    Examples
    --------
    >>> standardised_difference(np.array([1.0, 3.0]), np.array([0.0, 2.0]))
    1.0
    """
    sim, obs = sim[np.isfinite(sim)], obs[np.isfinite(obs)]
    if not len(sim) or not len(obs):
        return None
    spread = float(np.sqrt((sim.var() + obs.var()) / 2))
    return float((sim.mean() - obs.mean()) / spread) if spread > 0 else None
