"""The map of both sides: the first two principal components, fitted without labels.

A linear map cannot invent islands: what is apart on it is apart in the embedding.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import Float64Array, owned
from simreal.core.embedding import Embedding
from simreal.stats.pca import Pca, fit_pca


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PcaMap:
    """Both sides on the first two principal components of their pool.

    Parameters
    ----------
    coordinates_obs, coordinates_sim : array (n, 2)
        In units of the pool's root-mean-square width on the map.
    explained_variance : array (2,)
        Fraction of the pooled variance along each axis.
    """

    coordinates_obs: Float64Array
    coordinates_sim: Float64Array
    explained_variance: Float64Array

    def __post_init__(self) -> None:
        for name in ("coordinates_obs", "coordinates_sim", "explained_variance"):
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))


def pca_map(obs: Embedding, sim: Embedding) -> PcaMap:
    """Return both sides on the first two principal components of their pool.

    Each side has the same total weight and each group of a side the same, so that the larger
    sample or the object with most views does not decide what the map shows.

    Raises
    ------
    NotComputableError
        If all vectors are the same.
    """
    fitted = pooled_pca(obs, sim, max_components=2)
    return PcaMap(
        coordinates_obs=_two_columns(fitted.apply(obs.vectors)),
        coordinates_sim=_two_columns(fitted.apply(sim.vectors)),
        explained_variance=_two_columns(fitted.explained[None])[0],
    )


def pooled_pca(obs: Embedding, sim: Embedding, *, max_components: int = 32) -> Pca:
    """Fit principal components to both sides, weighted alike."""
    weights = np.concatenate([balanced_weights(obs), balanced_weights(sim)])
    pool = np.concatenate([obs.vectors, sim.vectors])
    return fit_pca(pool, max_components=max_components, weights=weights)


def balanced_weights(side: Embedding) -> Float64Array:
    """Return weights that sum to 1, equal for every group whatever its number of views."""
    _, inverse, views = np.unique(side.groups, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (views[inverse] * len(views)))


def _two_columns(values: npt.NDArray[np.floating[Any]]) -> Float64Array:
    """Pad with zeros: an embedding may have a single dimension that varies."""
    missing = 2 - values.shape[1]
    return np.pad(values.astype(np.float64), ((0, 0), (0, max(0, missing))))
