"""Clusters of an embedding, and how far to believe them.

One image of every object goes through principal components and into HDBSCAN (Campello, Moulavi
and Sander 2013, PAKDD 160) and k-means; never through UMAP, which makes islands of its own. A
silhouette alone misleads: one large cluster beside a few crumbs scores high, and leaving out
what HDBSCAN calls noise raises it. So sizes, the noise fraction, the silhouette with and without
noise, and two other scores stand beside each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray, StrArray, owned
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.explain.agreement import (
    PERMUTATIONS,
    Shuffled,
    adjusted_rand,
    cluster_means,
    contingency,
    explained_share,
    label_agreement,
    normalised_information,
    number_agreement,
)
from simreal.explain.scores import Score, from_error, no_score, share
from simreal.explain.targets import Target
from simreal.stats.clusters import assign, fit_centres
from simreal.stats.fdr import benjamini_hochberg
from simreal.stats.groups import group_rows
from simreal.stats.pca import fit_pca

COMPONENTS = 8
K = 8
DENSITY_NEIGHBOURS = 5
#: Objects of which pairwise distances are taken; more are scored on a random part of this many.
MOST_SCORED = 2000
#: Half-samples behind an interval.
HALVES = 40
FEWEST = 20
#: Images named for each cluster: those nearest to its mean.
EXAMPLES = 6
NOISE = -1
SCORES = ("silhouette", "silhouette_with_noise", "calinski_harabasz", "davies_bouldin")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """One image of every object in the space that is clustered.

    Parameters
    ----------
    coordinates : array (G, k)
    rows : array of int (G,)
        Row of the embedding behind every point.
    explained : float
        Share of the variance along the kept components.
    """

    coordinates: Float32Array
    rows: IntArray
    explained: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "coordinates", owned(self.coordinates, np.float32))
        object.__setattr__(self, "rows", owned(self.rows, np.int64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClusterLabel:
    """What one cluster holds of a label.

    Parameters
    ----------
    cluster : int
        -1 is noise.
    label : str
        A class, or the name of the number.
    score : Score
        Share of the class, or mean of the number, among labelled members.
    p_value, p_adjusted : float or None
        Of a value as far from that of all objects with shuffled labels;
        Benjamini-Hochberg over the clusters (and classes) of a partition.
    """

    cluster: int
    label: str
    score: Score
    p_value: float | None
    p_adjusted: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelReport:
    """How a partition and a label agree.

    Parameters
    ----------
    overall : float or None
        Mean of the number over all labelled objects; None for classes.
    agreement : mapping of str to Shuffled
        ``adjusted_rand`` and ``normalised_information``, noise a cluster of its own, and the
        same ``_without_noise``; or ``explained_share`` for a number.
    intervals : mapping of str to Score
        The same numbers with intervals.
    per_cluster : tuple of ClusterLabel
    n_labelled : int
    reason : str or None
        Why there is no agreement.
    """

    overall: float | None
    agreement: Mapping[str, Shuffled]
    intervals: Mapping[str, Score]
    per_cluster: tuple[ClusterLabel, ...]
    n_labelled: int
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partition:
    """One way to cut the points into clusters.

    Parameters
    ----------
    method : str
    labels : array of int (G,)
        Cluster of every point, the most populous 0, noise -1.
    sizes : tuple of int
    noise_fraction : Score
    scores : mapping of str to Score
        ``silhouette`` and ``silhouette_with_noise`` (noise as one more cluster),
        ``calinski_harabasz``, ``davies_bouldin``, both without noise.
    examples : tuple of tuple of str
        Ids nearest to the mean of every cluster.
    label : LabelReport or None
    """

    method: str
    labels: IntArray
    sizes: tuple[int, ...]
    noise_fraction: Score
    scores: Mapping[str, Score]
    examples: tuple[tuple[str, ...], ...]
    label: LabelReport | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", owned(self.labels, np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """How an embedding is cut into clusters.

    Parameters
    ----------
    n_components : int
        Principal components at most.
    k : tuple of int
        Numbers of k-means clusters.
    min_cluster_size : int or None
        Smallest HDBSCAN cluster; default a fiftieth of the objects, at least 10.
    density_neighbours : int
        Objects that make a point dense for HDBSCAN; more call more noise.
    n_permutations : int

    Raises
    ------
    UsageError
        If a number is too small.
    """

    n_components: int = COMPONENTS
    k: tuple[int, ...] = (K,)
    min_cluster_size: int | None = None
    density_neighbours: int = DENSITY_NEIGHBOURS
    n_permutations: int = PERMUTATIONS

    def __post_init__(self) -> None:
        smallest = {
            "n_components": (self.n_components, 1),
            "k": (min(self.k, default=2), 2),
            "min_cluster_size": (2 if self.min_cluster_size is None else self.min_cluster_size, 2),
            "density_neighbours": (self.density_neighbours, 1),
            "n_permutations": (self.n_permutations, 1),
        }
        for name, (got, fewest) in smallest.items():
            if got < fewest:
                raise UsageError(f"clusters.{name}: got {got}, allowed is {fewest} or more")


def clusters(
    embedding: Embedding,
    target: Target | None = None,
    *,
    settings: ClusterSettings | None = None,
    seed: int = 0,
    rng: np.random.Generator,
) -> tuple[Points, tuple[Partition, ...]]:
    """Return the clusters that HDBSCAN and k-means find, scored and held against a label.

    Parameters
    ----------
    embedding : Embedding
    target : Target, optional
    settings : ClusterSettings
    seed : int
        Of the starts of k-means.
    rng : Generator

    Raises
    ------
    NotComputableError
        If there are fewer than 20 objects, or all vectors are the same.
    """
    settings = settings or ClusterSettings()
    points = cluster_points(embedding, n_components=settings.n_components, rng=rng)
    n = len(points.rows)
    size = settings.min_cluster_size or max(10, n // 50)
    found = {
        f"hdbscan, clusters of {size} or more": hdbscan(
            points.coordinates, size, density_neighbours=settings.density_neighbours
        )
    }
    for k in settings.k:
        centres = fit_centres(points.coordinates, k, seed=seed)
        labels = _by_size(assign(points.coordinates, centres))
        found[f"k-means, k = {k}"] = labels
    return points, tuple(
        describe(method, points, labels, embedding.ids, target, settings=settings, rng=rng)
        for method, labels in found.items()
    )


def cluster_points(
    embedding: Embedding, *, n_components: int = COMPONENTS, rng: np.random.Generator
) -> Points:
    """Return one random image of every object on the first principal components."""
    rows = np.array(
        [int(rng.choice(views)) for views in group_rows(embedding.groups, embedding.ids)],
        dtype=np.int64,
    )
    if len(rows) < FEWEST:
        raise NotComputableError(
            f"clusters: got {len(rows)} objects, needed are {FEWEST}; embed more images"
        )
    vectors = embedding.vectors[rows]
    fitted = fit_pca(vectors, max_components=n_components, rng=rng)
    return Points(
        coordinates=fitted.apply(vectors), rows=rows, explained=float(fitted.explained.sum())
    )


def hdbscan(
    coordinates: Float32Array,
    min_cluster_size: int,
    *,
    density_neighbours: int = DENSITY_NEIGHBOURS,
) -> IntArray:
    """Return the most stable HDBSCAN clusters, the most populous 0 and noise -1."""
    from sklearn.cluster import HDBSCAN

    order = np.lexsort(coordinates.T[::-1])
    labels = np.empty(len(coordinates), dtype=np.int64)
    labels[order] = HDBSCAN(
        min_cluster_size=min(min_cluster_size, len(coordinates)),
        min_samples=min(density_neighbours, len(coordinates)),
        copy=True,
    ).fit_predict(coordinates[order].astype(np.float64))
    return _by_size(labels)


def _by_size(labels: IntArray) -> IntArray:
    kept = labels >= 0
    names, codes, counts = np.unique(labels[kept], return_inverse=True, return_counts=True)
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(names))
    out = np.full(len(labels), NOISE, dtype=np.int64)
    out[kept] = rank[codes]
    return out


def describe(
    method: str,
    points: Points,
    labels: IntArray,
    ids: StrArray,
    target: Target | None = None,
    *,
    settings: ClusterSettings | None = None,
    rng: np.random.Generator,
) -> Partition:
    """Return sizes, scores, examples and label agreement of a partition."""
    settings = settings or ClusterSettings()
    n_noise = int((labels == NOISE).sum())
    return Partition(
        method=method,
        labels=labels,
        sizes=tuple(np.bincount(labels[labels >= 0]).tolist()),
        noise_fraction=share(n_noise, len(labels)),
        scores=partition_scores(points.coordinates, labels, rng=rng),
        examples=_examples(points, labels, ids),
        label=None
        if target is None
        else label_report(
            labels, target, points.rows, n_permutations=settings.n_permutations, rng=rng
        ),
    )


def _examples(points: Points, labels: IntArray, ids: StrArray) -> tuple[tuple[str, ...], ...]:
    found = []
    for cluster in range(int(labels.max(initial=NOISE)) + 1):
        members = np.flatnonzero(labels == cluster)
        own = points.coordinates[members]
        away = ((own - own.mean(axis=0)) ** 2).sum(axis=1)
        nearest = members[np.argsort(away, kind="stable")[:EXAMPLES]]
        found.append(tuple(ids[points.rows[nearest]].tolist()))
    return tuple(found)


def partition_scores(
    coordinates: Float32Array, labels: IntArray, *, rng: np.random.Generator
) -> dict[str, Score]:
    """Return silhouette, with and without noise, Calinski-Harabasz and Davies-Bouldin.

    The intervals are those of the partition as it is, over other objects: a mean over half of
    the objects scatters about that over all as the latter does about its limit.

    Parameters
    ----------
    coordinates : array (n, d)
    labels : array of int (n,)
        -1 is noise.
    rng : Generator
    """
    if len(labels) > MOST_SCORED:
        part = np.sort(rng.choice(len(labels), MOST_SCORED, replace=False))
        coordinates, labels = coordinates[part], labels[part]
    points = coordinates.astype(np.float64)
    inside = labels != NOISE
    found = {
        "silhouette": _scored(points[inside], labels[inside], _silhouette, (-1.0, 1.0), rng=rng)
    }
    if inside.all():
        found["silhouette_with_noise"] = found["silhouette"]
    else:
        found["silhouette_with_noise"] = _scored(points, labels, _silhouette, (-1.0, 1.0), rng=rng)
    for name, compute in (
        ("calinski_harabasz", _calinski_harabasz),
        ("davies_bouldin", _davies_bouldin),
    ):
        found[name] = _scored(points[inside], labels[inside], compute, (0.0, np.inf), rng=rng)
    return found


#: From points and labels to a score.
_Compute = Callable[[Float64Array, IntArray], float]


def _silhouette(points: Float64Array, labels: IntArray) -> float:
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(points, labels))


def _calinski_harabasz(points: Float64Array, labels: IntArray) -> float:
    from sklearn.metrics import calinski_harabasz_score

    return float(calinski_harabasz_score(points, labels))


def _davies_bouldin(points: Float64Array, labels: IntArray) -> float:
    from sklearn.metrics import davies_bouldin_score

    return float(davies_bouldin_score(points, labels))


def _scored(
    points: Float64Array,
    labels: IntArray,
    compute: _Compute,
    bounds: tuple[float, float],
    *,
    rng: np.random.Generator,
) -> Score:
    n, k = len(labels), len(np.unique(labels))
    if k < 2 or n <= k:
        return no_score(f"got {k} clusters among {n} objects, needed are 2 or more", n=n)
    value = compute(points, labels)
    size = n // 2
    halves = []
    for _ in range(HALVES):
        rows = rng.choice(n, size, replace=False)
        n_seen = len(np.unique(labels[rows]))
        if n_seen == k and size > k:
            # Calinski-Harabasz grows with the degrees of freedom; the others do not.
            grown = (n - k) / (size - k) if compute is _calinski_harabasz else 1.0
            halves.append(grown * compute(points[rows], labels[rows]))
    if len(halves) < HALVES // 2:
        return no_score(
            f"the smallest cluster has too few objects for an interval (the score is {value:.3g})",
            n=n,
        )
    # Half of the objects are as far from all as all are from their limit.
    error = float(np.std(halves, ddof=1))
    return from_error(value, error, n=n, method="half-samples, partition as it is", bounds=bounds)


def label_report(
    labels: IntArray,
    target: Target,
    rows: IntArray,
    *,
    n_permutations: int = PERMUTATIONS,
    rng: np.random.Generator,
) -> LabelReport:
    """Return how clusters and a label agree.

    Parameters
    ----------
    labels : array of int (G,)
        Cluster of every object, -1 noise.
    target : Target
        Of all rows of the embedding.
    rows : array of int (G,)
        Row of every object.
    n_permutations : int
    rng : Generator
    """
    known = target.known[rows]
    own, values = labels[known], target.values[rows][known]
    n = len(own)
    names = np.unique(labels)
    reason = _no_agreement(target, own, values)
    if reason is not None:
        return LabelReport(
            overall=None, agreement={}, intervals={}, per_cluster=(), n_labelled=n, reason=reason
        )
    codes = np.searchsorted(names, own).astype(np.int64)
    if target.kind == "class":
        agreement = _class_agreement(own, codes, values, n_permutations, rng)
    else:
        agreement = {
            "explained_share": number_agreement(
                codes, values, n_permutations=n_permutations, rng=rng
            )
        }
    return LabelReport(
        overall=float(values.mean()) if target.kind == "number" else None,
        agreement=agreement,
        intervals={
            name: _agreement_interval(name, found.value, own, values, rng)
            for name, found in agreement.items()
        },
        per_cluster=_per_cluster(names, codes, values, target, n_permutations, rng),
        n_labelled=n,
    )


def _no_agreement(target: Target, own: IntArray, values: Float64Array) -> str | None:
    if len(own) < FEWEST:
        return f"got {len(own)} objects with {target.name}, needed are {FEWEST}"
    if len(np.unique(values)) < 2:
        return f"{target.name} is the same for all {len(own)} labelled objects"
    if len(np.unique(own)) < 2:
        return f"all {len(own)} labelled objects are in one cluster"
    return None


def _class_agreement(
    own: IntArray, codes: IntArray, values: Float64Array, n: int, rng: np.random.Generator
) -> dict[str, Shuffled]:
    classes = values.astype(np.int64)
    rand, information = label_agreement(codes, classes, n_permutations=n, rng=rng)
    found = {"adjusted_rand": rand, "normalised_information": information}
    inside = own != NOISE
    if not inside.all() and len(np.unique(own[inside])) > 1 < len(np.unique(classes[inside])):
        rand, information = label_agreement(own[inside], classes[inside], n_permutations=n, rng=rng)
        found["adjusted_rand_without_noise"] = rand
        found["normalised_information_without_noise"] = information
    return found


def _agreement_interval(
    name: str, value: float, own: IntArray, values: Float64Array, rng: np.random.Generator
) -> Score:
    if name.endswith("_without_noise"):
        own, values = own[own != NOISE], values[own != NOISE]
    codes = np.unique(own, return_inverse=True)[1].astype(np.int64)
    halves = []
    for _ in range(HALVES * 5):
        half = rng.choice(len(codes), len(codes) // 2, replace=False)
        if name == "explained_share":
            halves.append(explained_share(codes[half], values[half]))
            continue
        table = contingency(codes[half], values[half].astype(np.int64))
        compute = adjusted_rand if name.startswith("adjusted_rand") else normalised_information
        halves.append(float(compute(table)))
    low = -1.0 if name.startswith("adjusted_rand") else 0.0
    return from_error(
        value,
        float(np.std(halves, ddof=1)),
        n=len(codes),
        method="half-samples, partition as it is",
        bounds=(low, 1.0),
    )


def _per_cluster(
    names: IntArray,
    codes: IntArray,
    values: Float64Array,
    target: Target,
    n_permutations: int,
    rng: np.random.Generator,
) -> tuple[ClusterLabel, ...]:
    asked: list[tuple[str, Float64Array]] = [(target.name, values)]
    if target.kind == "class":
        asked = [(name, (values == c).astype(float)) for c, name in enumerate(target.classes)]
    columns = np.array([column for _, column in asked])
    found = cluster_means(
        codes, columns, n_clusters=len(names), n_permutations=n_permutations, rng=rng
    )
    rows: list[tuple[int, str, Score, float]] = []
    for i, cluster in enumerate(names.tolist()):
        for c, (label, column) in enumerate(asked):
            score = _cluster_score(column[codes == i], is_share=target.kind == "class")
            rows.append((cluster, label, score, float(found.p_values[c, i])))
    p_values = np.array([row[3] for row in rows])
    given: BoolArray = np.isfinite(p_values)
    adjusted = np.full(len(rows), np.nan)
    adjusted[given] = benjamini_hochberg(p_values[given])
    return tuple(
        ClusterLabel(
            cluster=cluster,
            label=label,
            score=score,
            p_value=_or_none(p),
            p_adjusted=_or_none(float(q)),
        )
        for (cluster, label, score, p), q in zip(rows, adjusted, strict=True)
    )


def _cluster_score(values: Float64Array, *, is_share: bool) -> Score:
    n = len(values)
    if is_share:
        return share(float(values.sum()), n)
    if n < 2:
        return no_score(f"got {n} labelled objects, needed are 2 or more", n=n)
    from scipy.stats import t

    reach = float(t.ppf(0.975, n - 1)) * float(values.std(ddof=1)) / np.sqrt(n)
    mean = float(values.mean())
    return Score(value=mean, low=mean - reach, high=mean + reach, n=n, method="Student's t")


def _or_none(p: float) -> float | None:
    return float(p) if np.isfinite(p) else None
