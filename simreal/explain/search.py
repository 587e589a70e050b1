"""Search by example: the objects most like a handful, and how many of the first k are right.

Two ways to be like the examples. ``distance``: close to their mean. ``direction``: far along the
line that leads from the mean of everything to the mean of the examples, with the scatter of
everything divided out, which is what a linear classifier of examples against all else would use
(Hariharan, Malik and Ramanan 2012, ECCV 459). Neither reads a label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array, IntArray, owned
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.explain.scores import Score, share
from simreal.explain.targets import Target

RankBy = Literal["direction", "distance"]
RANK_BY = ("direction", "distance")
DEFAULT_RANK_BY: RankBy = "direction"

#: How many of the first are looked at.
FIRST = 25
#: Examples in a handful.
EXAMPLES = 5
#: Random handfuls.
HANDFULS = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """Objects ranked by their likeness to the examples, one image of each.

    Parameters
    ----------
    examples : tuple of str
        Ids asked with; no image of their groups is among the rows.
    rows : array of int (m,)
        Rows of the embedding, the most alike first: the best image of every other group.
    likeness : array (m,)
        Falling; minus the distance, or the place along the direction.
    rank_by : {"direction", "distance"}
    """

    examples: tuple[str, ...]
    rows: IntArray
    likeness: Float64Array
    rank_by: RankBy

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", owned(self.rows, np.int64))
        object.__setattr__(self, "likeness", owned(self.likeness, np.float64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Precision:
    """How many of the first k are of the class of the examples.

    Parameters
    ----------
    wanted : str
        The class.
    score : Score
        Share of the first `k`, with Clopper and Pearson's interval.
    n_right, k : int
    baseline : float
        Share of the class among all that could have been found: what chance finds.
    n_candidates : int
        Labelled objects that could have been found.
    """

    wanted: str
    score: Score
    n_right: int
    k: int
    baseline: float
    n_candidates: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Handfuls:
    """The precision of many random handfuls of examples of one class.

    Parameters
    ----------
    wanted : str
    mean, draw_low, draw_high : float
        Over the handfuls: mean and 2.5 and 97.5 percentiles, what one handful can give.
    n_handfuls, n_examples, k : int
    baseline : float
    n_candidates : int
    """

    wanted: str
    mean: float
    draw_low: float
    draw_high: float
    n_handfuls: int
    n_examples: int
    k: int
    baseline: float
    n_candidates: int


class Searcher:
    """Everything of an embedding that does not hang on the examples, worked out once.

    Parameters
    ----------
    embedding : Embedding
    rank_by : {"direction", "distance"}
    """

    def __init__(self, embedding: Embedding, *, rank_by: RankBy = DEFAULT_RANK_BY) -> None:
        if rank_by not in RANK_BY:
            raise UsageError(f"rank_by: got {rank_by!r}, allowed: {', '.join(RANK_BY)}")
        self.embedding = embedding
        self.rank_by = rank_by
        self.codes: IntArray = np.unique(embedding.groups, return_inverse=True)[1].astype(np.int64)
        points = embedding.vectors.astype(np.float64)
        weights = 1.0 / np.bincount(self.codes)[self.codes]
        self._points = points - np.average(points, axis=0, weights=weights)
        self._whitened = _divided(self._points, weights) if rank_by == "direction" else None

    def like(self, rows: Sequence[int] | IntArray) -> Found:
        """Return all other groups, the most alike to `rows` first.

        Raises
        ------
        UsageError
            If there are no examples.
        NotComputableError
            If no other group is left to be found.
        """
        index = np.asarray(rows, dtype=np.int64)
        if not len(index):
            raise UsageError("search: got no examples, allowed is one or more")
        likeness = self._likeness(index)
        open_to = ~np.isin(self.codes, self.codes[index])
        if not open_to.any():
            raise NotComputableError(
                f"search: all {self.embedding.n_groups} objects of {self.embedding.name} are "
                "examples; ask with fewer"
            )
        candidates = np.flatnonzero(open_to)
        order = candidates[np.argsort(-likeness[candidates], kind="stable")]
        _, first = np.unique(self.codes[order], return_index=True)
        best = order[np.sort(first)]
        return Found(
            examples=tuple(self.embedding.ids[index].tolist()),
            rows=best,
            likeness=likeness[best],
            rank_by=self.rank_by,
        )

    def _likeness(self, index: IntArray) -> Float64Array:
        mean = self._points[index].mean(axis=0)
        if self._whitened is None:
            return np.asarray(-np.sqrt(((self._points - mean) ** 2).sum(axis=1)))
        return np.asarray(self._whitened @ mean, dtype=np.float64)


def _divided(points: Float64Array, weights: Float64Array) -> Float64Array:
    """Return centred points times the inverse of their (shrunk) covariance.

    Ledoit and Wolf 2004, J. Multivariate Anal. 88, 365, with each group counting once.
    """
    from sklearn.covariance import ledoit_wolf

    scaled = points * np.sqrt(weights * len(points) / weights.sum())[:, None]
    covariance, _ = ledoit_wolf(scaled, assume_centered=True)
    scale = float(np.trace(covariance)) / len(covariance)
    if not scale > 0:
        raise NotComputableError(
            f"search: all {len(points)} vectors are the same; the encoder tells no two images apart"
        )
    # A touch of the identity: axes without any variance have no inverse.
    covariance[np.diag_indices(len(covariance))] += 1e-9 * scale
    return np.asarray(np.linalg.solve(covariance, points.T).T)


def similar(
    embedding: Embedding, examples: Sequence[str], *, rank_by: RankBy = DEFAULT_RANK_BY
) -> Found:
    """Return the objects most like the examples, the most alike first.

    Parameters
    ----------
    embedding : Embedding
    examples : sequence of str
        Ids.
    rank_by : {"direction", "distance"}

    Raises
    ------
    UsageError
        If an id is not there, or none is given.
    NotComputableError
        If no other group is left.
    """
    return Searcher(embedding, rank_by=rank_by).like(rows_of(embedding, examples))


def rows_of(embedding: Embedding, ids: Sequence[str]) -> IntArray:
    """Return the rows of `ids`.

    Raises
    ------
    UsageError
        Naming the first that is not there, with the nearest that is.
    """
    place = {name: row for row, name in enumerate(embedding.ids.tolist())}
    for name in ids:
        if name not in place:
            near = did_you_mean(name, embedding.ids.tolist())
            hint = near if near.startswith("did you") else "no id is like it"
            raise UsageError(
                f"{embedding.name} has no object {name!r}: {hint.partition(' (allowed')[0]}"
            )
    return np.array([place[name] for name in ids], dtype=np.int64)


def precision_at(found: Found, target: Target, wanted: str, *, k: int = FIRST) -> Precision:
    """Return how many of the first `k` labelled objects found are of class `wanted`.

    Objects without a label are passed over: they are neither right nor wrong.

    Raises
    ------
    UsageError
        If there is no such class, or `k` is below 1.
    NotComputableError
        If fewer than `k` objects found have a label.
    """
    is_wanted = _is_wanted(target, wanted, k)
    rows = found.rows[target.known[found.rows]]
    if len(rows) < k:
        raise NotComputableError(
            f"precision at {k}: got {len(rows)} labelled objects beside the examples; ask for "
            "fewer, or label more"
        )
    n_right = int(is_wanted[rows[:k]].sum())
    return Precision(
        wanted=wanted,
        score=share(n_right, k),
        n_right=n_right,
        k=k,
        baseline=float(is_wanted[rows].mean()),
        n_candidates=len(rows),
    )


def random_handfuls(
    embedding: Embedding,
    target: Target,
    wanted: str,
    *,
    n_examples: int = EXAMPLES,
    k: int = FIRST,
    handfuls: int = HANDFULS,
    rank_by: RankBy = DEFAULT_RANK_BY,
    rng: np.random.Generator,
) -> tuple[Handfuls, Precision]:
    """Return the precision of many random handfuls of a class, and that of the first of them.

    One handful can be lucky: the spread over handfuls is the honest figure.

    Raises
    ------
    UsageError
        If there is no such class, or a number is below 1.
    NotComputableError
        If the class has too few objects for a handful with something left to find.
    """
    is_wanted = _is_wanted(target, wanted, k)
    if n_examples < 1 or handfuls < 1:
        raise UsageError(
            f"search: got {n_examples} examples and {handfuls} handfuls, allowed is 1 or more"
        )
    members = np.flatnonzero(is_wanted)
    searcher = Searcher(embedding, rank_by=rank_by)
    codes = searcher.codes[members]
    n_members = len(np.unique(codes))
    if n_members <= n_examples:
        raise NotComputableError(
            f"{target.name}: got {n_members} objects of {wanted!r}, needed are more than the "
            f"{n_examples} examples"
        )
    results = []
    for _ in range(handfuls):
        picked = rng.choice(np.unique(codes), n_examples, replace=False)
        rows = [int(rng.choice(members[codes == code])) for code in picked]
        results.append(precision_at(searcher.like(rows), target, wanted, k=k))
    values = np.array([each.score.value for each in results], dtype=np.float64)
    low, high = np.percentile(values, [2.5, 97.5])
    return (
        Handfuls(
            wanted=wanted,
            mean=float(values.mean()),
            draw_low=float(low),
            draw_high=float(high),
            n_handfuls=handfuls,
            n_examples=n_examples,
            k=k,
            baseline=results[0].baseline,
            n_candidates=results[0].n_candidates,
        ),
        results[0],
    )


def _is_wanted(target: Target, wanted: str, k: int) -> BoolArray:
    if k < 1:
        raise UsageError(f"precision at k: got {k}, allowed is 1 or more")
    if target.kind != "class" or wanted not in target.classes:
        raise UsageError(
            f"{target.name} has no class {wanted!r}: {did_you_mean(wanted, target.classes)}"
        )
    return np.asarray(target.known & (target.values == target.classes.index(wanted)))
