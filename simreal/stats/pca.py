"""Principal components of a pool that carries no labels, and one common scale."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array, owned
from simreal.core.errors import NotComputableError

#: The smaller side of the matrix that is decomposed; larger pools are fitted on a random,
#: label-free part of this many points (an eigenproblem of that size takes seconds).
LARGEST_PROBLEM = 2048

#: Elements converted to double precision at a time: 32 MB.
BLOCK_ELEMENTS = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pca:
    """A linear map: subtract `mean`, project on `components`, divide by one `scale`.

    One scale for all axes and both sides: standardising each side by itself hides real
    differences and creates false ones, and whitening the axes lets the noisiest decide.

    Parameters
    ----------
    mean : array (d,)
    components : array (k, d)
        Orthonormal rows, by falling variance. The sign of each makes its largest entry
        positive, so that a map looks the same on every machine.
    variance : array (k,)
        Variance along each component.
    total_variance : float
        Variance along all axes, kept or not.
    scale : float
        Root-mean-square width along the kept components: after division a random
        one-dimensional projection of the pool has standard deviation 1 on average.
    n : int
        Points the map was fitted on.
    """

    mean: Float64Array
    components: Float64Array
    variance: Float64Array
    total_variance: float
    scale: float
    n: int

    def __post_init__(self) -> None:
        for name in ("mean", "components", "variance"):
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))

    @property
    def explained(self) -> Float64Array:
        """Fraction of the total variance along each component."""
        return self.variance / self.total_variance

    def apply(self, points: Float32Array) -> Float32Array:
        """Return the mapped points ``(n, k)``, float32."""
        axes = self.components.T / self.scale
        mapped = np.empty((len(points), len(self.components)), dtype=np.float32)
        for rows in _blocks(points.shape):
            mapped[rows] = (points[rows] - self.mean) @ axes
        return mapped


def fit_pca(
    points: Float32Array,
    *,
    max_components: int = 32,
    keep: float = 0.99,
    weights: Float64Array | None = None,
    rng: np.random.Generator | None = None,
) -> Pca:
    """Fit a `Pca` to a pool of points that carries no labels.

    Parameters
    ----------
    points : array (n, d)
    max_components : int
    keep : float
        Fraction of the variance to keep, if `max_components` allow it.
    weights : array (n,), optional
        Weight of each point; equal by default.
    rng : Generator, optional
        Chooses the points where there are too many to decompose (`LARGEST_PROBLEM`).

    Raises
    ------
    NotComputableError
        If all points are the same.

    Examples
    --------
    >>> points = np.array([[0, 0], [2, 0], [4, 0]], dtype=np.float32)
    >>> fit_pca(points).components.tolist()
    [[1.0, 0.0]]
    """
    points, weights = _fitting_points(points, weights, rng)
    mean = _mean(points, weights)
    values, axes = _eigen(points, weights, mean)
    total = float(values.sum())
    if not total > (1e-6 * float(np.abs(points).max(initial=0.0))) ** 2:
        raise NotComputableError(
            f"all {len(points)} vectors of the pool are the same; the encoder tells no two "
            "images apart: use another encoder or look at the images"
        )
    variance = values[::-1][: len(axes)]
    enough = int(np.searchsorted(np.cumsum(variance), keep * total * (1 - 1e-12))) + 1
    k = min(max_components, enough, len(variance))
    largest = np.abs(axes[:k]).argmax(axis=1)
    signs = np.sign(axes[np.arange(k), largest])
    return Pca(
        mean=mean,
        components=axes[:k] * signs[:, None],
        variance=variance[:k],
        total_variance=total,
        scale=float(np.sqrt(variance[:k].sum() / k)),
        n=len(points),
    )


def _fitting_points(
    points: Float32Array, weights: Float64Array | None, rng: np.random.Generator | None
) -> tuple[Float32Array, Float64Array]:
    weights = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=np.float64)
    if min(points.shape) > LARGEST_PROBLEM:
        rng = np.random.default_rng(0) if rng is None else rng
        chosen = np.sort(rng.choice(len(points), LARGEST_PROBLEM, replace=False))
        points, weights = points[chosen], weights[chosen]
    return points, weights / weights.sum()


def _mean(points: Float32Array, weights: Float64Array) -> Float64Array:
    total = np.zeros(points.shape[1])
    for rows in _blocks(points.shape):
        total += weights[rows] @ points[rows].astype(np.float64)
    return total


def _eigen(
    points: Float32Array, weights: Float64Array, mean: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return variances (falling) and unit axes, from the smaller of the two products."""
    n, d = points.shape
    if d <= n:
        product = np.zeros((d, d))
        for rows in _blocks(points.shape):
            part = (points[rows] - mean) * np.sqrt(weights[rows])[:, None]
            product += part.T @ part
        values, vectors = np.linalg.eigh(product)
        axes = vectors.T
    else:
        centred = (points - mean) * np.sqrt(weights)[:, None]
        values, vectors = np.linalg.eigh(centred @ centred.T)
        axes = (centred.T @ vectors / np.sqrt(np.maximum(values, 1e-300))).T
    values = np.maximum(values, 0.0)
    order = np.flatnonzero(values > values[-1] * 1e-12)[::-1]
    return values, axes[order]


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    size = max(1, BLOCK_ELEMENTS // max(1, shape[1]))
    for start in range(0, shape[0], size):
        yield slice(start, start + size)
