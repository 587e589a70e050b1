"""Exact nearest neighbours, in blocks, of other groups only."""

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError

#: Elements of one block of distances: 4 million float64, 32 MB, whatever n is.
BLOCK_ELEMENTS = 4_000_000

#: The same for city-block distances, which are made and read once: 4 MB stay in cache.
CITY_BLOCK_ELEMENTS = 500_000


def nearest(
    queries: Float32Array,
    reference: Float32Array,
    k: int,
    *,
    query_codes: IntArray | None = None,
    reference_codes: IntArray | None = None,
) -> tuple[Float64Array, IntArray]:
    """Return Euclidean distances and rows of the `k` nearest reference points.

    Reference points with the same code as the query are skipped: an object is not its own
    neighbour, and neither are other views of it. Ties go to the earlier row.

    Parameters
    ----------
    queries : array (n, d)
    reference : array (m, d)
    k : int
    query_codes, reference_codes : array of int (n,), (m,), optional
        Group numbers; negative query codes skip nothing.

    Returns
    -------
    distances : array (n, k)
    rows : array of int (n, k)

    Raises
    ------
    NotComputableError
        If some query has fewer than `k` allowed neighbours.

    Examples
    --------
    >>> points = np.array([[0.0], [1.0], [3.0]], dtype=np.float32)
    >>> distances, rows = nearest(points[:1], points, 1, query_codes=np.array([0]),
    ...                           reference_codes=np.arange(3))
    >>> distances.tolist(), rows.tolist()
    ([[1.0]], [[1]])
    """
    _check_enough(len(queries), len(reference), k, query_codes, reference_codes)
    middle = reference.mean(axis=0, dtype=np.float64)
    ref = reference.astype(np.float64) - middle
    ref_norm = np.einsum("ij,ij->i", ref, ref)
    distances = np.empty((len(queries), k))
    rows = np.empty((len(queries), k), dtype=np.int64)
    size = max(1, BLOCK_ELEMENTS // len(reference))
    for start in range(0, len(queries), size):
        block = slice(start, start + size)
        points = queries[block].astype(np.float64) - middle
        squared = ref_norm - 2.0 * (points @ ref.T)
        if query_codes is not None and reference_codes is not None:
            squared[query_codes[block, None] == reference_codes[None, :]] = np.inf
        near = _smallest(squared, k)
        # The expansion of the square loses digits for close pairs: the few that are kept are
        # computed again from the differences.
        away = np.linalg.norm(points[:, None, :] - ref[near], axis=2)
        order = np.argsort(away, axis=1, kind="stable")
        rows[block] = np.take_along_axis(near, order, axis=1)
        distances[block] = np.take_along_axis(away, order, axis=1)
    return distances, rows


def nearest_by_city_block(
    queries: Float32Array,
    reference: Float32Array,
    k: int,
    *,
    query_codes: IntArray | None = None,
    reference_codes: IntArray | None = None,
) -> Float64Array:
    """Return city-block (L1) distances to the `k` nearest reference points ``(n, k)``.

    As `nearest`, with the sum of absolute differences, in which a single far coordinate counts
    less than in the Euclidean length.

    Parameters
    ----------
    queries : array (n, d)
    reference : array (m, d)
    k : int
    query_codes, reference_codes : array of int (n,), (m,), optional
        Group numbers; negative query codes skip nothing.

    Raises
    ------
    NotComputableError
        If some query has fewer than `k` allowed neighbours.

    Examples
    --------
    >>> points = np.array([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]], dtype=np.float32)
    >>> nearest_by_city_block(points[:1], points[1:], 2).tolist()
    [[7.0, 18.0]]
    """
    from scipy.spatial.distance import cdist

    _check_enough(len(queries), len(reference), k, query_codes, reference_codes)
    distances = np.empty((len(queries), k))
    size = max(1, CITY_BLOCK_ELEMENTS // len(reference))
    there = reference.astype(np.float64)
    for start in range(0, len(queries), size):
        block = slice(start, start + size)
        away = cdist(queries[block].astype(np.float64), there, "cityblock")
        if query_codes is not None and reference_codes is not None:
            away[query_codes[block, None] == reference_codes[None, :]] = np.inf
        distances[block] = np.sort(np.partition(away, k - 1, axis=1)[:, :k], axis=1)
    return distances


def _smallest(squared: Float64Array, k: int) -> IntArray:
    if k >= squared.shape[1]:
        return np.broadcast_to(np.arange(squared.shape[1]), squared.shape).astype(np.int64)
    near = np.argpartition(squared, k - 1, axis=1)[:, :k]
    return np.sort(near, axis=1).astype(np.int64)


def _check_enough(
    n_queries: int,
    n_reference: int,
    k: int,
    query_codes: IntArray | None,
    reference_codes: IntArray | None,
) -> None:
    fewest = n_reference
    if query_codes is not None and reference_codes is not None and n_queries:
        codes, counts = np.unique(reference_codes, return_counts=True)
        own = counts[np.isin(codes, query_codes)]
        fewest -= int(own.max()) if len(own) else 0
    if not 1 <= k <= fewest:
        raise NotComputableError(
            f"nearest neighbours: got k = {k} with {fewest} reference objects of other groups; "
            "use a smaller k or more objects"
        )
