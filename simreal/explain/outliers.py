"""Which simulated objects look like no real one.

The realism distance of a simulated object is its mean distance to its k nearest observed
objects of other groups. On its own that number says nothing; it is therefore quoted as a percentile
of the distances that real objects have to other real ones: 95 means that only one real object in
twenty lies further from its neighbours.
"""

from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import Float64Array, IntArray, StrArray, owned
from simreal.core.embedding import Embedding
from simreal.core.errors import UsageError
from simreal.core.seeding import stream
from simreal.explain.projection import pooled_pca
from simreal.stats.neighbours import nearest

#: Nearest real objects that are named for every simulated one.
N_NEAREST = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Realism:
    """How far every simulated object is from the real ones.

    Parameters
    ----------
    distance : array (n_sim,)
        Mean distance to the k nearest real objects, in pooled standard deviations.
    percentile : array (n_sim,)
        Percentage of real-to-real distances that are smaller or equal.
    nearest_obs : array of int (n_sim, 3)
        Rows of the nearest real objects, nearest first.
    real_distance : array (n_obs,)
        The same distance for every real object, its own group left out.
    n_reference : int
        Real groups that distances are measured to, the same number for both kinds of object.
    k : int
    """

    distance: Float64Array
    percentile: Float64Array
    nearest_obs: IntArray
    real_distance: Float64Array
    n_reference: int
    k: int

    def __post_init__(self) -> None:
        for name in ("distance", "percentile", "real_distance"):
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))
        object.__setattr__(self, "nearest_obs", owned(self.nearest_obs, np.int64))

    @property
    def fraction_beyond_95(self) -> float:
        """Fraction of simulated objects beyond the 95th percentile; 0.05 for the real ones."""
        return float(np.mean(self.percentile > 95))


def realism(obs: Embedding, sim: Embedding, *, k: int = 5) -> Realism:
    """Return how far every simulated object is from the real ones.

    A real object cannot be its own neighbour, so its reference lacks one group. For the same
    reference size one group, drawn at random, is left out for each simulated object too, or
    its own where both sides share it. Distances are taken in the label-free common transform.

    Parameters
    ----------
    obs, sim : Embedding
        Of one encoder.
    k : int

    Raises
    ------
    NotComputableError
        If there are fewer than `k` observed objects of other groups.
    UsageError
        If the encoders differ.
    """
    if obs.encoder_digest != sim.encoder_digest:
        raise UsageError(f"{sim.name} and {obs.name} come from different encoders; use one")
    fitted = pooled_pca(obs, sim)
    points_obs, points_sim = fitted.apply(obs.vectors), fitted.apply(sim.vectors)
    names, codes = np.unique(obs.groups, return_inverse=True)
    codes = codes.astype(np.int64)
    wanted = max(k, N_NEAREST)
    real, _ = nearest(points_obs, points_obs, k, query_codes=codes, reference_codes=codes)
    away, rows = nearest(
        points_sim,
        points_obs,
        wanted,
        query_codes=left_out(sim.groups, names),
        reference_codes=codes,
    )
    real_distance = real.mean(axis=1)
    distance = away[:, :k].mean(axis=1)
    return Realism(
        distance=distance,
        percentile=percentile_among(distance, real_distance),
        nearest_obs=rows[:, :N_NEAREST],
        real_distance=real_distance,
        n_reference=len(names) - 1,
        k=k,
    )


def left_out(groups: StrArray, names: StrArray) -> IntArray:
    """Return the number of the observed group that each simulated object must not see."""
    drawn = stream(0, "explain", "left out").integers(len(names), size=len(groups))
    place = np.searchsorted(names, groups).clip(max=len(names) - 1)
    return np.where(names[place] == groups, place, drawn).astype(np.int64)


def percentile_among(values: Float64Array, reference: Float64Array) -> Float64Array:
    """Return the percentage of `reference` that is at most each of `values`.

    Examples
    --------
    >>> percentile_among(np.array([0.0, 2.0, 9.0]), np.array([1.0, 2.0, 3.0, 4.0])).tolist()
    [0.0, 50.0, 100.0]
    """
    below = np.searchsorted(np.sort(reference), values, side="right")
    return 100.0 * below / len(reference)
