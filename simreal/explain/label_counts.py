"""How many labels a probe needs: 25, 50, 100 ... all, and one or a few per class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array, IntArray
from simreal.core.embedding import Embedding
from simreal.core.errors import UsageError
from simreal.explain.probes import (
    Learn,
    learn_linear,
    learn_prototypes,
    r_squared,
    right_of_groups,
)
from simreal.explain.scores import Score, from_error, no_score
from simreal.explain.targets import Sample, Target, labelled

COUNTS = (25, 50, 100, 200, 400, 800, 1600)
SHOTS = (1, 2, 5, 10, 20)
#: Random sets of labels at each count.
DRAWS = 20
#: Share of the labelled objects that is learned from where "all" are asked for.
ALL = 0.8
#: Objects that must be left to test on.
FEWEST_LEFT = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AtCount:
    """How well a probe does with this many labels.

    Parameters
    ----------
    n_labels : int
        Objects learned from.
    score : Score
        Mean over the draws of the accuracy, or of R², on all objects not drawn; its interval
        is that of the mean over draws and objects.
    draw_low, draw_high : float or None
        2.5 and 97.5 percentiles over the draws: what one set of labels can give.
    n_draws : int
    is_all : bool
        Whether these are all labels but those tested on.
    """

    n_labels: int
    score: Score
    draw_low: float | None
    draw_high: float | None
    n_draws: int
    is_all: bool = False


def label_sweep(
    embedding: Embedding,
    target: Target,
    *,
    counts: Sequence[int] = COUNTS,
    draws: int = DRAWS,
    learn: Learn = learn_linear,
    rng: np.random.Generator,
) -> tuple[AtCount, ...]:
    """Return how well a probe does with ever more labels, up to four fifths of all there are.

    Each draw takes objects at random, classes in the proportions they have, and is tested on
    all others.

    Parameters
    ----------
    embedding : Embedding
    target : Target
    counts : sequence of int
        Those above four fifths of the labelled objects, or below the number of classes, are left
        out; four fifths themselves are added.
    draws : int
    learn : callable
    rng : Generator

    Raises
    ------
    NotComputableError
        If too few objects or classes have a label.
    UsageError
        If a count is below 2, or there is no draw.
    """
    _check(counts, draws, fewest=2)
    sample, _, _ = labelled(embedding, target)
    everything = int(ALL * sample.n_groups)
    fitting = {int(n) for n in counts if sample.n_classes <= n < everything}
    wanted = [*sorted(fitting), everything]
    return tuple(
        _at(
            sample,
            n,
            [proportional(sample.strata, n, rng=rng) for _ in range(draws)],
            learn,
            rng=rng,
            is_all=n == everything,
        )
        for n in wanted
    )


def few_shot(
    embedding: Embedding,
    target: Target,
    *,
    shots: Sequence[int] = SHOTS,
    draws: int = 5 * DRAWS,
    rng: np.random.Generator,
) -> tuple[AtCount, ...]:
    """Return how well the nearest class mean does with a few labels of every class.

    ``n_labels`` counts the labels of all classes together. Euclidean distances in the embedding
    as it is: nothing is fitted but the means.

    Raises
    ------
    NotComputableError
        If too few objects or classes have a label.
    UsageError
        If a number of shots is below 1, there is no draw, or the target is a number.
    """
    _check(shots, draws, fewest=1)
    if target.kind != "class":
        raise UsageError(f"{target.name}: few-shot needs classes, got numbers; use the label sweep")
    sample, _, _ = labelled(embedding, target)
    smallest = int(np.bincount(sample.strata).min())
    return tuple(
        _at(
            sample,
            shot * sample.n_classes,
            [_balanced(sample.strata, shot, rng=rng) for _ in range(draws)],
            learn_prototypes,
            rng=rng,
        )
        for shot in sorted(set(shots))
        if shot < smallest
    )


def proportional(strata: IntArray, n: int, *, rng: np.random.Generator) -> BoolArray:
    """Return `n` random groups, every stratum in its proportion and none left without ``(G,)``.

    Examples
    --------
    >>> strata = np.repeat([0, 1], [90, 10])
    >>> chosen = proportional(strata, 20, rng=np.random.default_rng(0))
    >>> np.bincount(strata[chosen]).tolist()
    [18, 2]
    """
    sizes = np.bincount(strata)
    exact = n * sizes / len(strata)
    takes = np.minimum(np.maximum(np.floor(exact).astype(np.int64), np.minimum(sizes, 1)), sizes)
    while takes.sum() < n:
        short = np.where(takes < sizes, exact - takes, -np.inf)
        takes[int(short.argmax())] += 1
    while takes.sum() > n and takes.max() > 1:
        takes[int(np.where(takes > 1, takes - exact, -np.inf).argmax())] -= 1
    chosen = np.zeros(len(strata), dtype=np.bool_)
    for stratum, take in enumerate(takes.tolist()):
        chosen[rng.choice(np.flatnonzero(strata == stratum), take, replace=False)] = True
    return chosen


def _balanced(strata: IntArray, shot: int, *, rng: np.random.Generator) -> BoolArray:
    chosen = np.zeros(len(strata), dtype=np.bool_)
    for stratum in np.unique(strata):
        chosen[rng.choice(np.flatnonzero(strata == stratum), shot, replace=False)] = True
    return chosen


def _check(counts: Sequence[int], draws: int, *, fewest: int) -> None:
    bad = [n for n in counts if n < fewest]
    if bad:
        raise UsageError(f"labels: got {bad[0]}, allowed is {fewest} or more")
    if draws < 2:
        raise UsageError(f"draws: got {draws}, allowed is 2 or more")


def _at(
    sample: Sample,
    n: int,
    draws: Sequence[BoolArray],
    learn: Learn,
    *,
    rng: np.random.Generator,
    is_all: bool = False,
) -> AtCount:
    left = sample.n_groups - n
    if left < FEWEST_LEFT:
        reason = f"got {left} objects to test on, needed are {FEWEST_LEFT}"
        return AtCount(
            n_labels=n, score=no_score(reason, n=left), draw_low=None, draw_high=None,
            n_draws=0, is_all=is_all,
        )  # fmt: skip
    tested = np.array([~chosen for chosen in draws])
    lost, total = np.zeros(tested.shape), np.zeros(tested.shape)
    for i, chosen in enumerate(draws):
        lost[i, ~chosen], total[i, ~chosen] = _held_out(sample, chosen, learn, rng)
    single = 1.0 - lost.sum(axis=1) / total.sum(axis=1)
    times = np.maximum(tested.sum(axis=0), 1)
    seen = tested.any(axis=0)
    of_draws = float(single.var(ddof=1)) / len(draws)
    # Every group with its mean over the draws that left it out: groups are what is independent.
    score = _mean_score(
        (lost.sum(axis=0) / times)[seen], (total.sum(axis=0) / times)[seen], of_draws, sample
    )
    low, high = np.percentile(single, [2.5, 97.5])
    return AtCount(
        n_labels=n,
        score=score,
        draw_low=float(low),
        draw_high=float(high),
        n_draws=len(draws),
        is_all=is_all,
    )


def _mean_score(lost: Float64Array, total: Float64Array, extra: float, sample: Sample) -> Score:
    if not sample.n_classes:
        return r_squared(lost, total, n=len(lost), extra=extra)
    right = 1.0 - lost
    # No narrower than one object more or less would make it.
    error = float(np.sqrt(right.var(ddof=1) / len(right) + extra))
    return from_error(
        float(right.mean()),
        max(error, 0.5 / len(right)),
        n=len(right),
        method="over objects and draws",
        bounds=(0.0, 1.0),
    )


def _held_out(
    sample: Sample, chosen: BoolArray, learn: Learn, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    """Return what is lost, and what there was to lose, for every group that was not chosen."""
    train, test = sample.of_groups(chosen), sample.of_groups(~chosen)
    found = learn(train, rng)(test.points)
    if sample.n_classes:
        return 1.0 - right_of_groups(test, found), np.ones(test.n_groups)
    mean = float(np.average(train.y, weights=train.weights))
    return test.group_means((test.y - found) ** 2), test.group_means((test.y - mean) ** 2)
