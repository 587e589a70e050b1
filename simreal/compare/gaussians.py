"""Gaussians fitted to many subsets of the same points, and the distance between them."""

import numpy as np

from simreal.compare.contract import Points
from simreal.core.arrays import BoolArray, Float64Array

#: Elements of one block of masks, products or matrices: 2 million float64, 16 MB.
BLOCK_ELEMENTS = 2_000_000


def frechet(
    mean_a: Float64Array, cov_a: Float64Array, mean_b: Float64Array, cov_b: Float64Array
) -> Float64Array:
    """Return squared Fréchet distances between Gaussians: |Δμ|² + tr(A + B - 2 (AB)^½).

    The trace of the root is the sum of the roots of the eigenvalues of A^½ B A^½, which is
    symmetric: real whatever the ranks, where a general matrix root turns complex. Rounding may
    leave an eigenvalue of zero slightly negative, hence the clipping.

    Parameters
    ----------
    mean_a, mean_b : array (..., d)
    cov_a, cov_b : array (..., d, d)

    Examples
    --------
    >>> one, two = np.eye(2), 4 * np.eye(2)
    >>> float(frechet(np.zeros(2), one, np.ones(2), two))
    4.0
    """
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    inner = root @ cov_b @ root
    inner = (inner + np.swapaxes(inner, -1, -2)) / 2
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(inner), 0.0)).sum(axis=-1)
    traces = np.trace(cov_a, axis1=-2, axis2=-1) + np.trace(cov_b, axis1=-2, axis2=-1)
    shift = ((mean_a - mean_b) ** 2).sum(axis=-1)
    return np.asarray(np.maximum(shift + traces - 2 * overlap, 0.0))


def frechet_of_masks(points: Points, sim: BoolArray, obs: BoolArray) -> Float64Array:
    """Return the Fréchet distance of every assignment ``(B,)``.

    Parameters
    ----------
    points : array (n, d)
        In double precision and centred, or digits are lost.
    sim, obs : array of bool (B, n)
        Disjoint, with at least two members each.
    """
    d = points.shape[1]
    found = np.empty(len(sim))
    # Two matrices per assignment and a few of their size while they are decomposed.
    size = max(1, BLOCK_ELEMENTS // (2 * d * d))
    for start in range(0, len(sim), size):
        block = slice(start, start + size)
        a, b = _moments_of_both(points, sim[block], obs[block])
        found[block] = frechet(*a, *b)
    return found


def gaussians(points: Points, masks: BoolArray) -> tuple[Float64Array, Float64Array]:
    """Return mean ``(B, d)`` and covariance ``(B, d, d)`` of every subset, with n - 1.

    Examples
    --------
    >>> points = np.array([[0.0], [2.0], [9.0]])
    >>> mean, cov = gaussians(points, np.array([[True, True, False]]))
    >>> mean.tolist(), cov.tolist()
    ([[1.0]], [[[2.0]]])
    """
    return _gaussians(_sums(points, masks), masks.sum(axis=1), points.shape[1])


def _moments_of_both(
    points: Points, sim: BoolArray, obs: BoolArray
) -> tuple[tuple[Float64Array, Float64Array], tuple[Float64Array, Float64Array]]:
    """Return the Gaussians of both sides; of complementary masks the second is what is left."""
    d = points.shape[1]
    from_sim = _sums(points, sim)
    if bool((sim ^ obs).all()):
        from_obs = _sums(points, np.ones((1, len(points)), dtype=np.bool_)) - from_sim
    else:
        from_obs = _sums(points, obs)
    return (
        _gaussians(from_sim, sim.sum(axis=1), d),
        _gaussians(from_obs, obs.sum(axis=1), d),
    )


def _sums(points: Points, masks: BoolArray) -> Float64Array:
    """Return the sums of x and of x xᵀ (upper triangle) over every subset, in one product.

    One GEMM of the masks with the products of coordinates stands for B covariance matrices.
    """
    d = points.shape[1]
    first, second = np.triu_indices(d)
    sums = np.zeros((len(masks), d + len(first)))
    size = max(1, BLOCK_ELEMENTS // max(len(masks), d + len(first)))
    for start in range(0, len(points), size):
        rows = slice(start, start + size)
        some = points[rows].astype(np.float64)
        features = np.concatenate([some, some[:, first] * some[:, second]], axis=1)
        sums += masks[:, rows].astype(np.float64) @ features
    return sums


def _gaussians(
    sums: Float64Array, counts: Float64Array, d: int
) -> tuple[Float64Array, Float64Array]:
    n = np.asarray(counts, dtype=np.float64)
    mean = sums[:, :d] / n[:, None]
    first, second = np.triu_indices(d)
    upper = sums[:, d:] - n[:, None] * mean[:, first] * mean[:, second]
    cov = np.empty((len(sums), d, d))
    cov[:, first, second] = upper / (n - 1)[:, None]
    cov[:, second, first] = cov[:, first, second]
    return mean, cov


def extrapolated(sizes: Float64Array, values: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the intercept and R² of the straight line of `values` in 1/`sizes`.

    Parameters
    ----------
    sizes : array (J,)
    values : array (..., J)

    Examples
    --------
    >>> sizes = np.array([10.0, 20.0, 40.0])
    >>> intercept, r_squared = extrapolated(sizes, 3.0 + 5.0 / sizes)
    >>> round(float(intercept), 9), round(float(r_squared), 9)
    (3.0, 1.0)
    """
    away = 1.0 / sizes - (1.0 / sizes).mean()
    centred = values - values.mean(axis=-1, keepdims=True)
    slope = centred @ away / (away @ away)
    intercept = values.mean(axis=-1) - slope * (1.0 / sizes).mean()
    total = (centred**2).sum(axis=-1)
    explained = slope**2 * (away @ away)
    r_squared = np.where(total > 0, explained / np.where(total > 0, total, 1.0), 1.0)
    return np.asarray(intercept), np.asarray(r_squared)
