"""Who stands against whom: cells of a grid, or nearest neighbours within tolerances.

Everything here works on coordinates in units of the tolerances: two objects are alike where
no coordinate differs by more than 1. Pure functions of arrays; what the coordinates mean is
the business of `simreal.match.matched_selection`.
"""

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array, IntArray

#: Neighbours within the tolerances that each simulated object may choose from; more of them
#: cost time and hardly ever find another pair.
N_CANDIDATES = 32


def cells(sim: Float64Array, obs: Float64Array) -> tuple[IntArray, IntArray]:
    """Return the cell of every object: cells are 1 wide and one is centred on the pooled median.

    Parameters
    ----------
    sim, obs : array (n, property)
        Coordinates in units of the tolerances.

    Examples
    --------
    >>> sim, obs = cells(np.array([[0.0], [3.0]]), np.array([[0.2], [-0.4]]))
    >>> sim[0] == obs[0] == obs[1], sim[1] in obs
    (np.True_, False)
    """
    both = np.concatenate([sim, obs])
    index = np.floor(both - np.median(both, axis=0) + 0.5).astype(np.int64)
    _, label = np.unique(index, axis=0, return_inverse=True)
    label = label.reshape(-1).astype(np.int64)
    return label[: len(sim)], label[len(sim) :]


def shared_cells(sim: IntArray, obs: IntArray) -> IntArray:
    """Return the cells that hold objects of both sides."""
    return np.intersect1d(sim, obs)


def drawn_alike(
    sim: IntArray, obs: IntArray, *, observed_per_simulated: int, rng: np.random.Generator
) -> tuple[BoolArray, BoolArray]:
    """Draw from every cell as many of both sides as the scarcer side allows.

    The two draws fill the cells in the same proportions, whatever the sides were.

    Examples
    --------
    >>> sim, obs = np.array([0, 0, 0, 1]), np.array([0, 0, 2])
    >>> kept = drawn_alike(sim, obs, observed_per_simulated=1, rng=np.random.default_rng(0))
    >>> [int(each.sum()) for each in kept]
    [2, 2]
    """
    top = int(max(sim.max(initial=-1), obs.max(initial=-1))) + 1
    n_sim, n_obs = np.bincount(sim, minlength=top), np.bincount(obs, minlength=top)
    draws = np.minimum(n_sim, n_obs // observed_per_simulated)
    return _drawn(sim, draws, rng), _drawn(obs, draws * observed_per_simulated, rng)


def _drawn(cell: IntArray, quota: IntArray, rng: np.random.Generator) -> BoolArray:
    """Return which objects a draw of `quota` from every cell takes."""
    order = np.lexsort([rng.random(len(cell)), cell])
    first = np.searchsorted(cell[order], np.arange(len(quota)))
    place = np.empty(len(cell), dtype=np.int64)
    place[order] = np.arange(len(cell)) - first[cell[order]]
    return np.asarray(place < quota[cell])


def cell_weights(sim: IntArray, obs: IntArray) -> Float64Array:
    """Return the weights that give `sim` the cell proportions of `obs`; their mean is 1.

    Parameters
    ----------
    sim, obs : array of int
        Cells of objects in shared cells alone.

    Examples
    --------
    >>> cell_weights(np.array([0, 0, 0, 1]), np.array([0, 1])).tolist()
    [0.6666666666666666, 0.6666666666666666, 0.6666666666666666, 2.0]
    """
    top = int(max(sim.max(), obs.max())) + 1
    n_sim, n_obs = np.bincount(sim, minlength=top), np.bincount(obs, minlength=top)
    return np.asarray((n_obs[sim] / n_sim[sim]) * len(sim) / len(obs), dtype=np.float64)


def nearest_pairs(
    sim: Float64Array,
    obs: Float64Array,
    *,
    observed_per_simulated: int,
    rng: np.random.Generator,
) -> tuple[IntArray, IntArray]:
    """Return as many pairs within the tolerances as there can be, at the least total distance.

    Every observed object is used at most once. A simulated object gets exactly
    `observed_per_simulated` partners or none. The assignment is the exact optimum over the
    `N_CANDIDATES` nearest of each simulated object (Jonker and Volgenant 1987); `rng` settles
    ties alone.

    Parameters
    ----------
    sim, obs : array (n, property)
        Coordinates in units of the tolerances.

    Returns
    -------
    sim, obs : array of int (n_pairs,)
        Rows of the two sides, pair by pair, in the order of `sim`.

    Examples
    --------
    >>> a, b = np.array([[0.0], [0.6], [9.0]]), np.array([[-0.8], [0.1]])
    >>> sim, obs = nearest_pairs(a, b, observed_per_simulated=1, rng=np.random.default_rng(0))
    >>> sim.tolist(), obs.tolist()
    ([0, 1], [0, 1])
    """
    order_sim, order_obs = rng.permutation(len(sim)), rng.permutation(len(obs))
    a, b = sim[order_sim], obs[order_obs]
    left, right = np.arange(len(a)), np.arange(len(b))
    pairs: list[tuple[IntArray, IntArray]] = []
    # One partner a round. Who finds none drops out, and so do the partners it had.
    for _ in range(observed_per_simulated):
        i, j = _assigned(a[left], b[right])
        pairs = [_among(pair, left[i]) for pair in pairs]
        pairs.append((left[i], right[j]))
        left, right = left[i], np.setdiff1d(right, right[j])
    rows_sim = order_sim[np.concatenate([pair[0] for pair in pairs])]
    rows_obs = order_obs[np.concatenate([pair[1] for pair in pairs])]
    order = np.lexsort([rows_obs, rows_sim])
    return rows_sim[order].astype(np.int64), rows_obs[order].astype(np.int64)


def _among(pair: tuple[IntArray, IntArray], kept: IntArray) -> tuple[IntArray, IntArray]:
    still = np.isin(pair[0], kept)
    return pair[0][still], pair[1][still]


def _assigned(sim: Float64Array, obs: Float64Array) -> tuple[IntArray, IntArray]:
    """Return one best partner each: the most pairs, then the least summed distance."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    n_sim, n_obs = len(sim), len(obs)
    i, j, distance = _candidates(sim, obs)
    # Staying alone is a column of one's own, dearer than all pairs together. A distance of 0
    # would read as "no candidate" in a sparse matrix.
    alone = np.arange(n_sim)
    rows, columns = np.concatenate([i, alone]), np.concatenate([j, n_obs + alone])
    price = np.concatenate([distance + 1e-9, np.full(n_sim, 2.0 * (n_sim + 1))])
    graph = csr_matrix((price, (rows, columns)), shape=(n_sim, n_obs + n_sim))
    chosen, partner = min_weight_full_bipartite_matching(graph)
    paired = partner < n_obs
    return chosen[paired].astype(np.int64), partner[paired].astype(np.int64)


def _candidates(sim: Float64Array, obs: Float64Array) -> tuple[IntArray, IntArray, Float64Array]:
    """Return pairs within the tolerances and how far apart they are (largest coordinate)."""
    from scipy.spatial import cKDTree

    k = min(N_CANDIDATES, len(obs))
    if k == 0 or len(sim) == 0:
        none = np.zeros(0, dtype=np.int64)
        return none, none, np.zeros(0)
    # The bound of the tree is exclusive: a difference of exactly the tolerance is allowed.
    distance, found = cKDTree(obs).query(sim, k=k, p=np.inf, distance_upper_bound=1.0 + 1e-9)
    distance, found = distance.reshape(len(sim), k), found.reshape(len(sim), k)
    near = np.isfinite(distance)
    i = np.repeat(np.arange(len(sim)), k).reshape(len(sim), k)
    return i[near], found[near].astype(np.int64), distance[near]


def nearest_other(points: Float64Array, other: Float64Array) -> IntArray:
    """Return for every point the row of the nearest object of the other side."""
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(other).query(points, k=1, p=np.inf)[1], dtype=np.int64)
