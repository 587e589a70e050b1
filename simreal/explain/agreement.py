"""Whether clusters and labels agree, and whether shuffled labels would agree as well.

Labels are shuffled over objects with the clusters as they are: p = (1 + number of shuffles that
agree at least as well) / (B + 1), never 0, and ties count against.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import AnyArray, Float64Array, IntArray, owned
from simreal.core.errors import UsageError

PERMUTATIONS = 999
#: Shuffled sums differ in the last bit for the same labels.
_ROUNDING = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shuffled:
    """One number, and what it reads with shuffled labels.

    Parameters
    ----------
    value : float
    null_mean, null_high : float
        Mean and 95 percentile over shuffles.
    p_value : float
    n_permutations : int
    """

    value: float
    null_mean: float
    null_high: float
    p_value: float
    n_permutations: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusterMeans:
    """The means of some numbers over every cluster, with the chance of such means.

    Parameters
    ----------
    means, p_values : array (C, K)
        p of a mean at least as far from that of all objects; NaN where a cluster has no label.
    """

    means: Float64Array
    p_values: Float64Array

    def __post_init__(self) -> None:
        for name in ("means", "p_values"):
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))


def contingency(one: IntArray, two: IntArray) -> Float64Array:
    """Return how many objects have each pair of labels ``(K, L)``.

    Examples
    --------
    >>> contingency(np.array([0, 0, 1]), np.array([0, 1, 1])).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    k, width = int(one.max()) + 1, int(two.max()) + 1
    return np.bincount(one * width + two, minlength=k * width).reshape(k, width).astype(np.float64)


def adjusted_rand(tables: Float64Array) -> Float64Array:
    """Return the adjusted Rand index of tables ``(..., K, L)``.

    Hubert and Arabie 1985, J. Classification 2, 193. Equal to scikit-learn's, for many tables at
    once.

    Examples
    --------
    >>> float(adjusted_rand(np.array([[2.0, 0.0], [0.0, 2.0]])))
    1.0
    """
    n = tables.sum(axis=(-2, -1))
    both = _pairs(tables).sum(axis=(-2, -1))
    rows, columns = (_pairs(tables.sum(axis=axis)).sum(axis=-1) for axis in (-1, -2))
    expected = rows * columns / _pairs(n)
    most = (rows + columns) / 2
    # One cluster and one label, or all alone on both sides: the same partition.
    same = np.isclose(most, expected)
    return np.asarray(np.where(same, 1.0, (both - expected) / np.where(same, 1.0, most - expected)))


def normalised_information(tables: Float64Array) -> Float64Array:
    """Return the mutual information over the mean of both entropies of tables ``(..., K, L)``.

    Examples
    --------
    >>> float(normalised_information(np.array([[1.0, 1.0], [1.0, 1.0]])))
    0.0
    """
    share = tables / tables.sum(axis=(-2, -1), keepdims=True)
    rows, columns = share.sum(axis=-1), share.sum(axis=-2)
    of_rows, of_columns = (-_xlogx(marginal).sum(axis=-1) for marginal in (rows, columns))
    information = of_rows + of_columns + _xlogx(share).sum(axis=(-2, -1))
    most = (of_rows + of_columns) / 2
    return np.where(most > 0, np.clip(information, 0, None) / np.where(most > 0, most, 1.0), 1.0)


def explained_share(clusters: IntArray, values: Float64Array) -> float:
    """Return the share of the variance that lies between clusters (eta squared).

    Parameters
    ----------
    clusters : array of int (n,)
    values : array (n,)

    Examples
    --------
    >>> explained_share(np.array([0, 0, 1, 1]), np.array([1.0, 1.0, 3.0, 3.0]))
    1.0
    """
    away = values - values.mean()
    between = np.bincount(clusters, away) ** 2 / np.maximum(np.bincount(clusters), 1)
    return float(between.sum() / (away**2).sum())


def label_agreement(
    clusters: IntArray,
    labels: IntArray,
    *,
    n_permutations: int = PERMUTATIONS,
    rng: np.random.Generator,
) -> tuple[Shuffled, Shuffled]:
    """Return adjusted Rand index and normalised mutual information against shuffled labels.

    Parameters
    ----------
    clusters, labels : array of int (n,)
        From 0.
    n_permutations : int
    rng : Generator
    """
    shuffles = _shuffles(labels, n_permutations, rng)
    tables = np.array([contingency(clusters, each) for each in shuffles])
    return (
        _against_null(adjusted_rand(tables)),
        _against_null(normalised_information(tables)),
    )


def number_agreement(
    clusters: IntArray,
    values: Float64Array,
    *,
    n_permutations: int = PERMUTATIONS,
    rng: np.random.Generator,
) -> Shuffled:
    """Return the share of variance between clusters against shuffled values."""
    shuffles = _shuffles(values, n_permutations, rng)
    return _against_null(np.array([explained_share(clusters, each) for each in shuffles]))


def cluster_means(
    clusters: IntArray,
    values: Float64Array,
    *,
    n_clusters: int,
    n_permutations: int = PERMUTATIONS,
    rng: np.random.Generator,
) -> ClusterMeans:
    """Return the mean of every cluster and how often shuffled values lie as far from the overall.

    Parameters
    ----------
    clusters : array of int (n,)
        From 0.
    values : array (C, n)
        Numbers, or 1 for objects of a class and 0 for others; all are shuffled alike.
    n_clusters : int
    n_permutations : int
    rng : Generator
    """
    sizes = np.bincount(clusters, minlength=n_clusters)
    means = np.array(
        [
            [np.bincount(clusters, column[order], minlength=n_clusters) for column in values]
            for order in _shuffles(np.arange(len(clusters)), n_permutations, rng)
        ]
    ).swapaxes(0, 1) / np.maximum(sizes, 1)
    away = np.abs(means - values.mean(axis=1)[:, None, None])
    slack = _ROUNDING * (1.0 + float(np.abs(values).max(initial=0.0)))
    p = (1 + (away[:, 1:] >= away[:, :1] - slack).sum(axis=1)) / (n_permutations + 1)
    empty = sizes == 0
    return ClusterMeans(
        means=np.where(empty, np.nan, means[:, 0]), p_values=np.where(empty, np.nan, p)
    )


def _shuffles(values: AnyArray, n: int, rng: np.random.Generator) -> Iterator[AnyArray]:
    """Yield the values as they are, then `n` shuffles of them."""
    if n < 1:
        raise UsageError(f"permutations: got {n}, allowed is 1 or more")
    yield values
    for _ in range(n):
        yield rng.permutation(values)


def _against_null(values: Float64Array) -> Shuffled:
    observed, null = float(values[0]), values[1:]
    return Shuffled(
        value=observed,
        null_mean=float(null.mean()),
        null_high=float(np.percentile(null, 95)),
        p_value=float((1 + (null >= observed - _ROUNDING).sum()) / (len(null) + 1)),
        n_permutations=len(null),
    )


def _pairs(counts: Float64Array) -> Float64Array:
    return counts * (counts - 1) / 2


def _xlogx(share: Float64Array) -> Float64Array:
    return np.asarray(share * np.log(np.where(share > 0, share, 1.0)))
