"""Classifier two-sample tests: learn to tell the sides apart, then try it on objects not seen.

A classifier is fitted to half of the groups of each side and judged on the other half (Lopez-Paz
and Oquab 2017, arXiv:1610.06545). The halves follow one random order that knows no labels, the
same for accuracy and for AUC, so both judge the same fit. Significance comes from shuffling the
labels of the held-out half with the classifier fixed: a classifier tried on what it has
learned, or fitted once and tested on its own training set, rejects every true null.

Axes are brought to zero mean and unit variance over the training half of both sides together.
Where the sides differ in number, each weighs the same in the fit and in the accuracy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from simreal.compare.anonymous import anonymous_order, first_members, ranks
from simreal.compare.contract import Points
from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.stats.logistic import fit_logistic

#: Elements of one block of masks: 2 million.
BLOCK_ELEMENTS = 2_000_000

#: From points to numbers: positive means simulated.
Scorer: TypeAlias = Callable[[Points], Float64Array]

#: From training points and their labels to a scorer.
Learner: TypeAlias = Callable[[Points, BoolArray], Scorer]

#: From scores (n,) and masks (B, n), (B, n) to a number for every assignment.
Judge: TypeAlias = Callable[[Float64Array, BoolArray, BoolArray], Float64Array]


def learn_logistic(x: Points, is_sim: BoolArray) -> Scorer:
    """Return the scorer of a logistic regression: the log odds of being simulated."""
    centre, scale = _standard(x)
    weights, intercept = fit_logistic((x - centre) / scale, is_sim)
    return lambda points: np.asarray((points - centre) / scale @ weights + intercept)


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpLearner:
    """A small neural network (`sklearn.neural_network.MLPClassifier`).

    Parameters
    ----------
    widths : tuple of int
        Units of the hidden layers.
    n_epochs : int
    decay : float
        L2 penalty.
    seed : int
        Of the initial weights and the order of the batches: the same for every fit.
    """

    widths: tuple[int, ...] = (64, 64)
    n_epochs: int = 60
    decay: float = 0.01
    seed: int = 0

    def __call__(self, x: Points, is_sim: BoolArray) -> Scorer:
        """Return the scorer of a network trained on `x` ``(n, d)``: its log odds."""
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        centre, scale = _standard(x)
        network = MLPClassifier(
            self.widths, alpha=self.decay, max_iter=self.n_epochs, random_state=self.seed
        )
        with warnings.catch_warnings():
            # A fixed number of epochs is the plan, not a failure to converge.
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit((x - centre) / scale, is_sim)

        def score(points: Points) -> Float64Array:
            chance = network.predict_proba((points - centre) / scale)[:, 1]
            tiny = np.finfo(np.float64).tiny
            return np.asarray(np.log(chance + tiny) - np.log1p(tiny - chance))

        return score


def _standard(x: Points) -> tuple[Float64Array, Float64Array]:
    centre = x.mean(axis=0, dtype=np.float64)
    scale = x.std(axis=0, dtype=np.float64)
    return centre, np.where(scale > 1e-6 * scale.max(initial=0.0), scale, 1.0)


def accuracy(scores: Float64Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
    """Return the balanced accuracy of the sign of `scores` ``(B,)``; a zero counts half.

    Examples
    --------
    >>> scores = np.array([2.0, -1.0, 0.0])
    >>> accuracy(scores, np.array([[True, False, False]]), np.array([[False, True, True]])).tolist()
    [0.875]
    """
    as_sim = (scores > 0) + 0.5 * (scores == 0)
    of_sim = sim @ as_sim / sim.sum(axis=1)
    of_obs = obs @ (1 - as_sim) / obs.sum(axis=1)
    return np.asarray((of_sim + of_obs) / 2)


def auc(scores: Float64Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
    """Return the chance that a simulated object outscores an observed one ``(B,)``; ties half.

    Examples
    --------
    >>> scores = np.array([2.0, -1.0, 2.0])
    >>> auc(scores, np.array([[True, False, False]]), np.array([[False, True, True]])).tolist()
    [0.75]
    """
    _, level = np.unique(scores, return_inverse=True)
    order = np.argsort(level, kind="stable")
    first = np.searchsorted(level[order], level[order], side="left")
    behind = np.searchsorted(level[order], level[order], side="right")
    found = np.empty(len(sim))
    size = max(1, BLOCK_ELEMENTS // len(scores))
    for start in range(0, len(sim), size):
        rows = slice(start, start + size)
        sims, others = sim[rows][:, order], obs[rows][:, order]
        below = np.zeros((len(others), len(scores) + 1), dtype=np.int64)
        np.cumsum(others, axis=1, out=below[:, 1:])
        wins = np.einsum("bi,bi->b", sims, below[:, first] + below[:, behind]) / 2
        found[rows] = wins / (sims.sum(axis=1) * others.sum(axis=1))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A classifier that learns no more: its verdict on the labels it is given."""

    score: Scorer
    judge: Judge

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the verdict on every assignment: points (n, d), masks (B, n) -> (B,)."""
        return self.judge(self.score(points), sim, obs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOutClassifier:
    """A classifier fitted to one half of each side and judged on the other.

    Parameters
    ----------
    learn : callable
        From training points and labels to a scorer.
    judge : callable
        From scores and masks to numbers.
    seed : int
        Of the order that decides the halves.
    place : array of int (N,)
        Place of every group of the pool in that order.
    note : str
    """

    learn: Learner
    judge: Judge
    seed: int
    place: IntArray
    note: str

    @classmethod
    def of(
        cls,
        pooled: Points,
        *,
        learn: Learner,
        judge: Judge,
        note: str,
        rng: np.random.Generator,
    ) -> "HeldOutClassifier":
        """Return the classifier with its halves fixed by the anonymous pool."""
        seed = int(rng.integers(2**31))
        place = ranks(anonymous_order(pooled, seed=seed))
        return cls(learn=learn, judge=judge, seed=seed, place=place, note=note)

    def values(self, points: Float32Array, sim: BoolArray, obs: BoolArray) -> Float64Array:
        """Return the held-out verdict, fitted anew, for every assignment ``(B,)``."""
        place = ranks(anonymous_order(points, seed=self.seed))
        found = np.empty(len(sim))
        for i, (one, two) in enumerate(zip(sim, obs, strict=True)):
            fixed, trained = self._fit(points, one, two, place)
            rest = (one | two) & ~trained
            found[i] = fixed.values(points[rest], one[None, rest], two[None, rest])[0]
        return found

    def held_out(self, points: Float32Array, is_sim: BoolArray) -> tuple[Learned, BoolArray]:
        """Learn from half of each side of the pool; return what was learned, and the rest.

        The halves follow from `is_sim` and the order of the pool's groups, whatever view of
        the groups `points` are.
        """
        fixed, trained = self._fit(points, is_sim, ~is_sim, self.place)
        return fixed, ~trained

    def _fit(
        self, points: Points, sim: BoolArray, obs: BoolArray, place: IntArray
    ) -> tuple[Learned, BoolArray]:
        """Fit to the first half of each side; return the fit and a mask of what it has seen."""
        counts = [int(side.sum()) for side in (sim, obs)]
        if min(counts) < 2:
            raise NotComputableError(
                f"classifier test: got {counts[0]} simulated and {counts[1]} observed groups, "
                "allowed are 2 or more of each, one to learn from and one to test on"
            )
        rows = np.concatenate(
            [first_members(side, place, n // 2) for side, n in zip((sim, obs), counts, strict=True)]
        )
        rows = rows[np.argsort(place[rows])]
        trained = np.zeros(len(points), dtype=np.bool_)
        trained[rows] = True
        return Learned(self.learn(points[rows], sim[rows]), self.judge), trained
