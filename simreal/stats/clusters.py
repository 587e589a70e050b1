"""Regions of a pool of points: k-means centres or dense clumps, and who belongs to which."""

import numpy as np

from simreal.core.arrays import Float32Array, IntArray

BLOCK_ELEMENTS = 4_000_000

#: Points, itself among them, whose distance is the local density of HDBSCAN: few, so that clumps
#: of a few objects are seen in 16 or 32 dimensions.
DENSITY_NEIGHBOURS = 2


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


def density_clusters(points: Float32Array, *, min_cluster_size: int) -> IntArray:
    """Return the HDBSCAN cluster of every point ``(n,)``, -1 for noise.

    The leaves of the cluster tree: many small dense clumps, where the usual choice, the most
    stable clusters, merges overlapping populations into one and calls the rest noise. The
    most populous cluster is 0. Points are put in order first, so that ties in distance do not
    depend on how they were listed.

    Campello, Moulavi and Sander 2013, PAKDD 160.

    Parameters
    ----------
    points : array (n, d)
    min_cluster_size : int

    Examples
    --------
    >>> points = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [99.0]], dtype=np.float32)
    >>> density_clusters(points, min_cluster_size=2)[[0, 1, 5]].tolist()
    [0, 0, -1]
    """
    from sklearn.cluster import HDBSCAN

    order = np.lexsort(points.T[::-1])
    found = HDBSCAN(
        min_cluster_size=min_cluster_size,
        min_samples=DENSITY_NEIGHBOURS,
        cluster_selection_method="leaf",
        copy=True,
    ).fit_predict(points[order].astype(np.float64))
    sizes = np.bincount(found[found >= 0])
    rank = np.empty(len(sizes) + 1, dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    rank[-1] = -1  # noise is label -1, and so the last entry
    labels = np.empty(len(points), dtype=np.int64)
    labels[order] = rank[found]
    return labels
