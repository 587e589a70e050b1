"""How well properties are held by an embedding: R² of the probes, beside what chance reads.

The probes are those of `simreal.explain.probes`, folds, choice of the ridge and all. They are
applied to the values and to many shuffles of them at once, because what is costly depends on the
embedding alone: the null is then that of the very same procedure.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import Float64Array, IntArray
from simreal.explain.probes import (
    FOLDS,
    INNER_FOLDS,
    SHARED,
    STRENGTHS,
    group_folds,
    r_squared,
)
from simreal.explain.scores import Score, widened
from simreal.explain.targets import Sample
from simreal.stats.neighbours import nearest

#: Divisions into folds, over which squared errors are averaged: one alone can be lucky.
REPEATS = 5
#: Objects whose values are predicted; beyond them a random part is.
MOST_PROBED = 5000

#: From training to test columns: (training rows, test rows, training values) -> predictions.
_Fit = Callable[[IntArray, IntArray, Float64Array], Float64Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """How well one probe predicts a property of objects it has not seen.

    Parameters
    ----------
    r2 : Score
    p_value : float
        (1 + shuffles with an R² at least as high) / (1 + shuffles).
    null_high : float
        95th percentile of the R² of shuffled values.
    """

    r2: Score
    p_value: float
    null_high: float


def encoded(
    sample: Sample, *, neighbours: int, n_permutations: int, rng: np.random.Generator
) -> tuple[Encoded, Encoded]:
    """Return what the linear and the nearest-neighbour probe read of a number.

    Parameters
    ----------
    sample : Sample
        Of a number, from `simreal.explain.targets.labelled`.
    neighbours : int
    n_permutations : int
    rng : Generator
    """
    if sample.n_groups > MOST_PROBED:
        chosen = np.zeros(sample.n_groups, dtype=np.bool_)
        chosen[rng.choice(sample.n_groups, MOST_PROBED, replace=False)] = True
        sample = sample.of_groups(chosen)
    columns = shuffled_columns(sample, n_permutations, rng=rng)
    # One stratum: folds balanced in the true values would not be as balanced in shuffled ones.
    sample = Sample(
        points=sample.points,
        y=columns[:, 0],
        codes=sample.codes,
        strata=np.zeros(sample.n_groups, dtype=np.int64),
        n_classes=0,
    )
    seeds = rng.integers(2**31, size=REPEATS).tolist()
    lines = [linear_predictions(sample, columns, rng=np.random.default_rng(s)) for s in seeds]
    near = [
        neighbour_predictions(sample, columns, neighbours, rng=np.random.default_rng(s))
        for s in seeds
    ]
    return _scored(sample, columns, lines), _scored(sample, columns, near)


def _scored(
    sample: Sample, columns: Float64Array, repeats: list[tuple[Float64Array, Float64Array]]
) -> Encoded:
    """Return the R² whose squared errors are means over the repeats."""
    lost = np.mean([(columns - predicted) ** 2 for predicted, _ in repeats], axis=0)
    total = np.mean([(columns - mean) ** 2 for _, mean in repeats], axis=0)
    null = 1.0 - sample.weights @ lost / np.maximum(sample.weights @ total, 1e-300)
    score = r_squared(
        sample.group_means(lost[:, 0]), sample.group_means(total[:, 0]), n=sample.n_groups
    )
    return Encoded(
        r2=widened(score, SHARED, bounds=(-np.inf, 1.0)),
        p_value=float((1 + (null[1:] >= null[0] - 1e-12).sum()) / len(null)),
        null_high=float(np.quantile(null[1:], 0.95)),
    )


def shuffled_columns(
    sample: Sample, n_permutations: int, *, rng: np.random.Generator
) -> Float64Array:
    """Return the values of every row, then shuffles of them between groups ``(n, 1 + shuffles)``.

    All rows of a group get one value, their mean: groups with different numbers of views can
    then change places.
    """
    means = sample.group_means(sample.y)
    shuffled = rng.permuted(np.repeat(means[None], n_permutations, axis=0), axis=1)
    return np.concatenate([means[None], shuffled])[:, sample.codes].T


def linear_predictions(
    sample: Sample, columns: Float64Array, *, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    """Return what the linear probe predicts of every column, and the means it was given.

    The same folds, ridges and choices as `simreal.explain.probes.learn_linear`, for all columns
    with one decomposition.
    """
    return _held_out(sample, columns, lambda a, b, y: _ridge(sample, a, b, y, rng=rng), rng=rng)


def neighbour_predictions(
    sample: Sample, columns: Float64Array, k: int, *, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    """Return what the nearest-neighbour probe predicts of every column, and the means."""
    return _held_out(sample, columns, lambda a, b, y: _neighbours(sample, a, b, y, k), rng=rng)


def _held_out(
    sample: Sample, columns: Float64Array, fit: _Fit, *, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    fold = group_folds(sample.strata, FOLDS, rng=rng)[sample.codes]
    predicted, mean = np.empty_like(columns), np.empty_like(columns)
    for k in range(FOLDS):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        mean[test] = np.average(columns[train], axis=0, weights=sample.weights[train])
        predicted[test] = fit(train, test, columns[train])
    return predicted, mean


def _neighbours(
    sample: Sample, train: IntArray, test: IntArray, y: Float64Array, k: int
) -> Float64Array:
    points = sample.points.astype(np.float32)
    near = nearest(points[test], points[train], min(k, len(train)))[1]
    weights = sample.weights[train][near]
    # One neighbour after the other: all at once would be as many copies of the test columns.
    votes = sum(weights[:, i, None] * y[near[:, i]] for i in range(near.shape[1]))
    return np.asarray(votes / weights.sum(axis=1, keepdims=True))


def _ridge(
    sample: Sample,
    train: IntArray,
    test: IntArray,
    y: Float64Array,
    *,
    rng: np.random.Generator,
) -> Float64Array:
    """Return the predictions of the ridge that inner folds prefer, column by column."""
    names, codes = np.unique(sample.codes[train], return_inverse=True)
    inner = group_folds(sample.strata[names], INNER_FOLDS, rng=rng)[codes]
    losses = np.zeros((len(STRENGTHS), y.shape[1]))
    for k in range(INNER_FOLDS):
        held = inner == k
        paths = _ridge_path(sample, train[~held], train[held], y[~held])
        weights = sample.weights[train[held]]
        losses += [weights @ (y[held] - found) ** 2 for found in paths]
    best = losses.argmin(axis=0)
    found = np.stack(_ridge_path(sample, train, test, y))
    return np.asarray(np.take_along_axis(found, best[None, None], axis=0)[0])


def _ridge_path(
    sample: Sample, train: IntArray, test: IntArray, y: Float64Array
) -> list[Float64Array]:
    weights = sample.weights[train][:, None]
    points = sample.points[train]
    centre = (weights * points).sum(axis=0) / weights.sum()
    away = points - centre
    scale = np.sqrt((weights * away**2).sum(axis=0) / weights.sum())
    rounding = 1e-6 * np.abs(points).max(axis=0, initial=0.0)
    scale = np.where(scale > rounding, scale, np.inf)
    x = away / scale
    mean = (weights * y).sum(axis=0) / weights.sum()
    values, axes = np.linalg.eigh((x * weights).T @ x)
    product = axes.T @ (x.T @ (weights * (y - mean)))
    there = ((sample.points[test] - centre) / scale) @ axes
    return [
        mean + there @ (product / (np.maximum(values, 0)[:, None] + 1.0 / strength))
        for strength in STRENGTHS
    ]
