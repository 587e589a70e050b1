"""Regions of a pool of points: k-means centres, and who belongs to which."""

import numpy as np

from simreal.core.arrays import Float32Array, IntArray

BLOCK_ELEMENTS = 4_000_000


def fit_centres(points: Float32Array, k: int, *, seed: int, n_starts: int = 4) -> Float32Array:
    """Return `k` k-means centres ``(k, d)``, the most populous first.

    The pool carries no labels, so the regions are the same whichever side is called which, and
    the points are put in order first, so that they do not depend on how they were listed.

    Parameters
    ----------
    points : array (n, d)
    k : int
        Fewer centres come back where there are fewer distinct points.
    seed : int
    n_starts : int
        Random starts; the tightest solution is kept.
    """
    from sklearn.cluster import KMeans

    points = points[np.lexsort(points.T[::-1])]
    k = min(k, 1 + int((points[1:] != points[:-1]).any(axis=1).sum()))
    fitted = KMeans(k, n_init=n_starts, random_state=seed).fit(points)
    counts = np.bincount(fitted.labels_, minlength=k)
    order = np.argsort(-counts, kind="stable")
    return np.asarray(fitted.cluster_centers_[order], dtype=np.float32)


def assign(points: Float32Array, centres: Float32Array) -> IntArray:
    """Return the number of the nearest centre of every point ``(n,)``.

    Examples
    --------
    >>> centres = np.array([[0.0], [10.0]], dtype=np.float32)
    >>> assign(np.array([[1.0], [9.0]], dtype=np.float32), centres).tolist()
    [0, 1]
    """
    labels = np.empty(len(points), dtype=np.int64)
    norms = np.einsum("ij,ij->i", centres, centres)
    size = max(1, BLOCK_ELEMENTS // len(centres))
    for start in range(0, len(points), size):
        block = slice(start, start + size)
        labels[block] = np.argmin(norms - 2.0 * (points[block] @ centres.T), axis=1)
    return labels
