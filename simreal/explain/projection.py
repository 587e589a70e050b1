"""Two-dimensional maps: the first two principal components, and pictures by neighbours.

A linear map cannot invent islands: what is apart on it is apart in the embedding. UMAP and t-SNE
can and do: their gaps, sizes and distances are no measurement, so they serve pictures only. Nothing
is clustered, counted or scored on them.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import Float64Array, owned
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.stats.pca import Pca, fit_pca

Neighbouring = Literal["umap", "tsne"]
METHODS: tuple[Neighbouring, ...] = get_args(Neighbouring)
#: Neighbours of UMAP, and the perplexity of t-SNE, which is about their number.
NEIGHBOURS = 15
PERPLEXITY = 30.0
#: t-SNE needs three times its perplexity; below this a picture says nothing.
FEWEST = 20
_MODULES = {"umap": "umap", "tsne": "openTSNE"}


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeighbourMap:
    """A picture of who is near whom; not a space to measure in.

    Parameters
    ----------
    coordinates : array (n, 2)
    method : {"umap", "tsne"}
    settings : str
        Method, number of neighbours and seed in words, for a caption.
    """

    coordinates: Float64Array
    method: Neighbouring
    settings: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "coordinates", owned(self.coordinates, np.float64))


def neighbour_map(
    points: npt.NDArray[np.floating[Any]], *, method: Neighbouring = "umap", seed: int
) -> NeighbourMap:
    """Return a picture of `points` by UMAP (McInnes et al. 2018) or t-SNE (van der Maaten 2008).

    The same seed gives the same picture on the same machine with the same library only.

    Parameters
    ----------
    points : array (n, d)
        Best the principal components that were clustered.
    method : {"umap", "tsne"}
    seed : int

    Raises
    ------
    UsageError
        If there is no such method.
    NotComputableError
        If its library is not installed, or there are too few points.
    """
    if method not in METHODS:
        raise UsageError(f"method: got {method!r}: {did_you_mean(method, METHODS)}")
    n = len(points)
    if n < FEWEST:
        raise NotComputableError(f"a picture by neighbours: got {n} points, needed are {FEWEST}")
    try:
        library = import_module(_MODULES[method])
    except ImportError as error:
        raise NotComputableError(
            f"method {method!r}: {_MODULES[method]} cannot be imported ({error}); install "
            "simreal[pictures], or look at the principal components"
        ) from None
    whole = np.ascontiguousarray(points, dtype=np.float64)
    if method == "umap":
        # With a seed UMAP runs on one thread and says so; here it is told.
        model = library.UMAP(n_neighbors=NEIGHBOURS, random_state=seed, n_jobs=1)
        placed, said = model.fit_transform(whole), f"UMAP, {NEIGHBOURS} neighbours, seed {seed}"
    else:
        perplexity = min(PERPLEXITY, (n - 1) / 3)
        model = library.TSNE(perplexity=perplexity, random_state=seed, n_jobs=1)
        placed, said = model.fit(whole), f"t-SNE, perplexity {perplexity:.0f}, seed {seed}"
    return NeighbourMap(coordinates=np.asarray(placed), method=method, settings=said)


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
