"""Probes: what a straight line, or the nearest neighbours, read off an embedding.

A probe that predicts a property says that the embedding holds it; nothing about why. Folds,
draws and the choice of the ridge are made of groups, never of images, so that a second view of an
object is never both learned from and tested on: with several views of each, nearest neighbours
over images would look right on pure noise.

Alain and Bengio 2016, arXiv:1610.01644.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array, IntArray
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.explain.scores import Score, from_error, mean_share, share, widened
from simreal.explain.targets import Sample, Target, labelled

#: From points to chances (n, class), or to numbers (n,).
Predict: TypeAlias = Callable[[Float64Array], Float64Array]
#: From labelled rows to what predicts.
Learn: TypeAlias = Callable[[Sample, np.random.Generator], Predict]

FOLDS = 5
#: Folds test each other: what one is tested on, the others have learned from. Where there is little
#: to learn the scatter of a cross-validated score is 1.3 to 1.4 times what independent objects
#: would have (simulated); less where the classes are far apart.
SHARED = 1.4
#: Folds inside a training set, for the choice of the ridge.
INNER_FOLDS = 3
#: Inverse ridges tried, for axes of unit variance.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
#: Where a training set is too small to choose.
DEFAULT_STRENGTH = 1e-2
#: Nearest neighbours that vote.
NEIGHBOURS = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probed:
    """What a probe reads on objects it has not seen.

    Parameters
    ----------
    method : str
    scores : mapping of str to Score
        ``accuracy``, ``balanced_accuracy`` and, for two classes, ``auc``; or ``r2`` and
        ``rmse``.
    recalls : mapping of class to Score
        Share of each class that is recognised; empty for numbers.
    baseline : float
        Accuracy of always naming the most frequent class; 0, the R² of the mean, for numbers.
    n_groups, n_rows, n_train : int
        Labelled objects, their images, and the objects that each fit has learned from.
    """

    method: str
    scores: Mapping[str, Score]
    recalls: Mapping[str, Score]
    baseline: float
    n_groups: int
    n_rows: int
    n_train: int


def linear_probe(embedding: Embedding, target: Target, *, rng: np.random.Generator) -> Probed:
    """Return what regularised logistic or ridge regression predicts of `target`.

    Axes are brought to unit variance over the training rows; the ridge is chosen inside each
    training set, by groups.

    Parameters
    ----------
    embedding : Embedding
    target : Target
        From `simreal.explain.targets.target_of`.
    rng : Generator

    Raises
    ------
    NotComputableError
        If too few objects or classes have a label.
    """
    sample, clean, _ = labelled(embedding, target)
    return cross_validated(sample, learn_linear, method="linear", classes=clean.classes, rng=rng)


def knn_probe(
    embedding: Embedding, target: Target, *, k: int = NEIGHBOURS, rng: np.random.Generator
) -> Probed:
    """Return what the `k` nearest neighbours of other objects say of `target`.

    Distances are Euclidean in the embedding as it is.

    Raises
    ------
    NotComputableError
        If too few objects or classes have a label.
    UsageError
        If `k` is below 1.
    """
    sample, clean, _ = labelled(embedding, target)
    learn = KnnLearner(k=k)
    return cross_validated(sample, learn, method=f"{k} neighbours", classes=clean.classes, rng=rng)


def cross_validated(
    sample: Sample,
    learn: Learn,
    *,
    method: str,
    classes: tuple[str, ...] = (),
    rng: np.random.Generator,
) -> Probed:
    """Return the scores of `learn` on held-out groups.

    Parameters
    ----------
    sample : Sample
    learn : callable
    method : str
    classes : tuple of str
        Names, for the recalls; empty for numbers.
    rng : Generator

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = (np.arange(200) % 2).astype(float)
    >>> points = rng.normal(size=(200, 3)) + 2 * y[:, None]
    >>> sample = Sample(
    ...     points=points, y=y, codes=np.arange(200), strata=y.astype(int), n_classes=2
    ... )
    >>> found = cross_validated(sample, learn_linear, method="linear", classes=("a", "b"), rng=rng)
    >>> bool(found.scores["accuracy"].value > 0.9), found.scores["accuracy"].n
    (True, 200)
    """
    fold = group_folds(sample.strata, FOLDS, rng=rng)
    held: list[tuple[BoolArray, Float64Array]] = []
    for k in range(FOLDS):
        rest = sample.of_groups(fold != k)
        rows = (fold == k)[sample.codes]
        held.append((rows, learn(rest, rng)(sample.points[rows])))
    n_train = sample.n_groups - int(np.bincount(fold).max())
    common = {"method": method, "n_groups": sample.n_groups, "n_rows": len(sample.y)}
    if sample.n_classes:
        chances = np.empty((len(sample.y), sample.n_classes))
        for rows, found in held:
            chances[rows] = found
        scores, recalls = _class_scores(sample, chances, fold, classes)
        baseline = float(np.bincount(sample.strata).max() / sample.n_groups)
        return Probed(scores=scores, recalls=recalls, baseline=baseline, n_train=n_train, **common)  # type: ignore[arg-type]
    predicted, mean = np.empty(len(sample.y)), np.empty(len(sample.y))
    for rows, found in held:
        predicted[rows] = found
        mean[rows] = np.average(sample.y[~rows], weights=sample.weights[~rows])
    numbers = number_scores(sample, predicted, mean)
    return Probed(scores=numbers, recalls={}, baseline=0.0, n_train=n_train, **common)  # type: ignore[arg-type]


def group_folds(strata: IntArray, n_folds: int, *, rng: np.random.Generator) -> IntArray:
    """Return the fold of every group ``(G,)``, each stratum spread evenly over the folds.

    Examples
    --------
    >>> fold = group_folds(np.repeat([0, 1], 10), 5, rng=np.random.default_rng(0))
    >>> np.bincount(fold[:10]).tolist(), np.bincount(fold[10:]).tolist()
    ([2, 2, 2, 2, 2], [2, 2, 2, 2, 2])
    """
    fold = np.empty(len(strata), dtype=np.int64)
    start = 0
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        # The next stratum goes on where this one ended, so that all folds are of one size.
        fold[members] = (start + np.arange(len(members))) % n_folds
        start += len(members)
    return fold


def learn_linear(sample: Sample, rng: np.random.Generator) -> Predict:
    """Return a logistic or ridge regression of the ridge that inner folds prefer."""
    strength = DEFAULT_STRENGTH
    smallest = int(np.bincount(sample.strata).min(initial=sample.n_groups, where=_present(sample)))
    if smallest >= INNER_FOLDS:
        fold = group_folds(sample.strata, INNER_FOLDS, rng=rng)
        losses = np.zeros(len(STRENGTHS))
        for k in range(INNER_FOLDS):
            rows = (fold == k)[sample.codes]
            fits = _linear_path(sample.of_groups(fold != k), STRENGTHS)
            losses += [_loss(sample, rows, fit(sample.points[rows])) for fit in fits]
        strength = STRENGTHS[int(np.argmin(losses))]
    return _linear_path(sample, (strength,))[0]


def _present(sample: Sample) -> BoolArray:
    return np.bincount(sample.strata) > 0


def _loss(sample: Sample, rows: BoolArray, found: Float64Array) -> float:
    y, weights = sample.y[rows], sample.weights[rows]
    if not sample.n_classes:
        return float(weights @ (y - found) ** 2)
    chance = found[np.arange(len(y)), y.astype(np.int64)]
    return float(-weights @ np.log(np.maximum(chance, 1e-12)))


def _linear_path(sample: Sample, strengths: tuple[float, ...]) -> list[Predict]:
    """Return one fit per inverse ridge, from the strongest ridge to the weakest."""
    centre = np.average(sample.points, axis=0, weights=sample.weights)
    away = sample.points - centre
    scale = np.sqrt(np.average(away**2, axis=0, weights=sample.weights))
    # What varies less than single precision rounds says nothing, and must not become noise over
    # zero; each axis is measured by itself, for a small one may hold all there is to know.
    rounding = 1e-6 * np.abs(sample.points).max(axis=0, initial=0.0)
    scale = np.where(scale > rounding, scale, np.inf)
    x = away / scale
    path = _logistic_path if sample.n_classes else _ridge_path
    return [_on_scale(fit, centre, scale) for fit in path(x, sample, strengths)]


def _on_scale(fit: Predict, centre: Float64Array, scale: Float64Array) -> Predict:
    return lambda points: fit((points - centre) / scale)


def _logistic_path(x: Float64Array, sample: Sample, strengths: tuple[float, ...]) -> list[Predict]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=300, warm_start=True)
    fits: list[Predict] = []
    for strength in strengths:
        model.set_params(C=strength)
        with warnings.catch_warnings():
            # 300 steps are enough to rank; the weakest ridge may still creep.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, sample.y.astype(np.int64), sample_weight=sample.weights)
        fits.append(
            _chances(
                np.array(model.coef_), np.array(model.intercept_), model.classes_, sample.n_classes
            )
        )
    return fits


def _chances(
    weights: Float64Array, intercept: Float64Array, present: IntArray, n_classes: int
) -> Predict:
    """Return what makes chances of all classes, also of those that were not there to learn."""
    from scipy.special import expit, softmax

    def predict(points: Float64Array) -> Float64Array:
        logits = points @ weights.T + intercept
        chances = np.zeros((len(points), n_classes))
        if logits.shape[1] == 1:
            second = expit(logits)
            chances[:, present] = np.concatenate([1 - second, second], axis=1)
        else:
            chances[:, present] = softmax(logits, axis=1)
        return chances

    return predict


def _ridge_path(x: Float64Array, sample: Sample, strengths: tuple[float, ...]) -> list[Predict]:
    from sklearn.linear_model import Ridge

    mean = float(np.average(sample.y, weights=sample.weights))
    fits: list[Predict] = []
    for strength in strengths:
        # The same grid serves both: the loss per object is of order one in either.
        model = Ridge(alpha=1.0 / strength, fit_intercept=False)
        model.fit(x, sample.y - mean, sample_weight=sample.weights)
        fits.append(_line(np.array(model.coef_), mean))
    return fits


def _line(weights: Float64Array, mean: float) -> Predict:
    return lambda points: np.asarray(mean + points @ weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnnLearner:
    """The mean over the nearest training rows, every row with the weight of its group's share.

    Parameters
    ----------
    k : int
    """

    k: int = NEIGHBOURS

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"neighbours: got {self.k}, allowed is 1 or more")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Predict:  # noqa: ARG002
        """Return what predicts from the `k` nearest rows of `sample`."""
        from sklearn.neighbors import NearestNeighbors

        known = NearestNeighbors(n_neighbors=min(self.k, len(sample.y))).fit(sample.points)
        values = sample.y[:, None]
        if sample.n_classes:
            values = np.eye(sample.n_classes)[sample.y.astype(np.int64)]

        def predict(points: Float64Array) -> Float64Array:
            near = known.kneighbors(points, return_distance=False)
            weights = sample.weights[near]
            votes = np.einsum("nk,nkc->nc", weights, values[near]) / weights.sum(1, keepdims=True)
            return np.asarray(votes if sample.n_classes else votes[:, 0])

        return predict


def learn_prototypes(sample: Sample, rng: np.random.Generator) -> Predict:  # noqa: ARG001
    """Return what names the class with the nearest mean: for a handful of labels.

    Snell, Swersky and Zemel 2017, arXiv:1703.05175, without training.
    """
    if not sample.n_classes:
        raise NotComputableError("prototypes need classes, got numbers")
    member = np.zeros((len(sample.y), sample.n_classes))
    member[np.arange(len(sample.y)), sample.y.astype(np.int64)] = sample.weights
    totals = member.sum(axis=0)
    means = member.T @ sample.points / np.maximum(totals, 1e-300)[:, None]

    def predict(points: Float64Array) -> Float64Array:
        from scipy.spatial.distance import cdist

        squared = cdist(points, means, "sqeuclidean")
        squared[:, totals == 0] = np.inf
        nearest = squared.argmin(axis=1)
        return np.asarray(np.eye(sample.n_classes)[nearest])

    return predict


def right_of_groups(sample: Sample, chances: Float64Array) -> Float64Array:
    """Return the share of every group's rows that are given their own class ``(G,)``."""
    right = chances.argmax(axis=1) == sample.y.astype(np.int64)
    return sample.group_means(right.astype(np.float64))


def _class_scores(
    sample: Sample, chances: Float64Array, fold: IntArray, classes: tuple[str, ...]
) -> tuple[dict[str, Score], dict[str, Score]]:
    right = right_of_groups(sample, chances)
    recalls = [
        share(float(right[sample.strata == c].sum()), int((sample.strata == c).sum()))
        for c in range(sample.n_classes)
    ]
    scores = {
        "accuracy": share(float(right.sum()), sample.n_groups),
        "balanced_accuracy": mean_share(recalls),
    }
    if sample.n_classes == 2:
        scores["auc"] = _auc(sample.group_means(chances[:, 1]), sample.strata, fold)
    between = (0.0, 1.0)
    wide = [widened(recall, SHARED, bounds=between) for recall in recalls]
    return (
        {name: widened(score, SHARED, bounds=between) for name, score in scores.items()},
        dict(zip(classes, wide, strict=True)),
    )


def _auc(chance: Float64Array, strata: IntArray, fold: IntArray) -> Score:
    """Return the mean over folds of the AUC: the fits of two folds have no common scale."""
    values, variances = [], []
    for k in np.unique(fold):
        own = fold == k
        value, variance = _auc_of(chance[own & (strata == 1)], chance[own & (strata == 0)])
        values.append(value)
        variances.append(variance)
    error = float(np.sqrt(np.sum(variances))) / len(values)
    n = len(strata)
    error = max(error, 0.5 / int(np.bincount(strata).min()))
    return from_error(
        float(np.mean(values)), error, n=n, method="DeLong over folds", bounds=(0.0, 1.0)
    )


def _auc_of(ones: Float64Array, zeros: Float64Array) -> tuple[float, float]:
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([ones, zeros]))
    place = (ranks[: len(ones)] - rankdata(ones)) / len(zeros)
    other = 1.0 - (ranks[len(ones) :] - rankdata(zeros)) / len(ones)
    variance = sum(
        float(part.var(ddof=1)) / len(part) if len(part) > 1 else 0.25 for part in (place, other)
    )
    return float(place.mean()), variance


def number_scores(sample: Sample, predicted: Float64Array, mean: Float64Array) -> dict[str, Score]:
    """Return R² and the root-mean-square error, their errors from the influence of every group.

    Parameters
    ----------
    sample : Sample
    predicted, mean : array (n,)
        Held-out predictions, and the mean of the rows that each was learned from.
    """
    lost = sample.group_means((sample.y - predicted) ** 2)
    total = sample.group_means((sample.y - mean) ** 2)
    n = sample.n_groups
    r2 = widened(r_squared(lost, total, n=n), SHARED, bounds=(-np.inf, 1.0))
    mse, error = float(lost.mean()), float(lost.std(ddof=1)) / np.sqrt(n)
    ends = widened(from_error(mse, error, n=n, method="linearised"), SHARED, bounds=(0.0, np.inf))
    roots = [float(np.sqrt(max(0.0, end or 0.0))) for end in (ends.value, ends.low, ends.high)]
    return {
        "r2": r2,
        "rmse": replace(ends, value=roots[0], low=roots[1], high=roots[2]),
    }


def r_squared(lost: Float64Array, total: Float64Array, *, n: int, extra: float = 0.0) -> Score:
    """Return 1 - sum of `lost` over sum of `total`, a ratio of two means, linearised.

    Parameters
    ----------
    lost, total : array (G,)
        Squared error of the prediction and of the mean, per group.
    n : int
    extra : float
        Variance from elsewhere.
    """
    value = 1.0 - float(lost.sum() / total.sum())
    influence = (lost - (1.0 - value) * total) / float(total.mean())
    error = float(np.sqrt(influence.var(ddof=1) / len(lost) + extra))
    return from_error(value, error, n=n, method="linearised", bounds=(-np.inf, 1.0))
