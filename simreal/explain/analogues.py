"""Which simulated objects are most like a given real one, and how like that is.

Distances are Euclidean in the label-free common transform of both sides. On its own a distance says
nothing; each is therefore quoted beside the distances of real objects to *their* nearest real ones,
at the same number of objects to choose from: the nearest of a thousand lies nearer than the nearest
of a hundred, whoever they are.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.explain.outliers import realism
from simreal.explain.projection import pooled_pca
from simreal.explain.scores import Score, share
from simreal.stats.neighbours import nearest

NOTE = (
    "Nearness in this embedding, not physical likeness: analogues share what the encoder looks at. "
    "Matched images of both sides were compared."
)
#: Analogues that are named.
MOST_NAMED = 10
#: Elements of one block of distances: 4 million float32, 16 MB.
BLOCK_ELEMENTS = 4_000_000
#: Candidates kept beyond those wanted, before distances are computed exactly.
SPARE = 8
#: Random splits behind the share of mutual neighbours.
SPLITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """One near object.

    Parameters
    ----------
    id : str
    distance : float
        In pooled standard deviations.
    nearer : Score
        Share of real objects whose own neighbour of this rank, among as many real ones, is at
        most as far: 0.05 is a close match, 0.99 none.
    rank_back : int
        1 + observed objects that are nearer to this one than the query is: 1 is mutual, if this
        is also the query's nearest.
    """

    id: str
    distance: float
    nearer: Score
    rank_back: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Analogues:
    """What `analogues` found; prints as a table.

    Parameters
    ----------
    query : str
    sim, obs : str
        Names of both sides.
    simulated, real : tuple of Neighbour
        Nearest first.
    n_reference : int
        Objects to choose from behind `nearer`.
    n_sim, n_obs : int
        Objects of each side, the query left out.
    left_out : tuple of str
        Observed images that are the query itself, or views of it.
    """

    query: str
    sim: str
    obs: str
    simulated: tuple[Neighbour, ...]
    real: tuple[Neighbour, ...]
    n_reference: int
    n_sim: int
    n_obs: int
    left_out: tuple[str, ...] = ()

    @property
    def mutual(self) -> bool:
        """Whether query and nearest simulated object are each other's nearest."""
        return self.simulated[0].rank_back == 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        found = asdict(self)
        for side in ("simulated", "real"):
            found[side] = list(found[side])
        found["left_out"] = list(self.left_out)
        return {"kind": "simreal analogues", "note": NOTE, **found, "mutual": self.mutual}

    def __str__(self) -> str:
        """Return a table with every share, its interval and its n."""
        said = f"whose neighbour of the same rank, among {self.n_reference} real ones, is as near"
        lines = [
            f"{self.query}: nearest of {self.n_sim} in {self.sim}, of {self.n_obs} in {self.obs}",
            NOTE,
            f"nearer: share of real objects {said} or nearer",
        ]
        for title, rows in ((f"simulated ({self.sim})", self.simulated), ("real", self.real)):
            lines += ["", f"{title:32} distance  nearer                          back"]
            lines += [
                f"{each.id[:32]:32} {each.distance:8.3f}  {_share(each.nearer):30}  "
                f"{each.rank_back}"
                for each in rows
            ]
        if self.left_out:
            lines += ["", f"left out as the query itself: {', '.join(self.left_out)}"]
        lines += ["", "back: place of the query among the real neighbours of that object"]
        return "\n".join(lines)


def _share(score: Score) -> str:
    if score.value is None or score.low is None or score.high is None:
        return f"- ({score.reason})"
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f}, n = {score.n})"


def analogues(
    query: Embedding,
    sim: Embedding,
    obs: Embedding,
    *,
    same: BoolArray | None = None,
    k: int = MOST_NAMED,
    rng: np.random.Generator,
) -> Analogues:
    """Return the simulated and the real objects nearest to one image.

    Parameters
    ----------
    query : Embedding
        One row.
    sim, obs : Embedding
        Of the same encoder.
    same : array of bool (n_obs,), optional
        Observed rows that are the query itself; their objects are left out.
    k : int
    rng : Generator
        Chooses one view of every object, and who is left out for equal numbers.

    Raises
    ------
    UsageError
        If the encoders differ or the query is not one image.
    NotComputableError
        If there are no more than `k` objects on a side.
    """
    _check(query, sim, obs)
    left_out = np.zeros(len(obs), dtype=np.bool_) if same is None else same
    left_out = np.isin(obs.groups, obs.groups[left_out])
    gone = tuple(obs.ids[left_out].tolist())
    obs = obs.rows(~left_out)
    n = min(sim.n_groups, obs.n_groups - 1)
    if n <= k:
        raise NotComputableError(
            f"analogues: got {sim.n_groups} simulated and {obs.n_groups} observed objects, needed "
            f"are {k + 1} and {k + 2}; ask for fewer"
        )
    fitted = pooled_pca(obs, sim)
    sims, reals = _one_view(sim, rng), _one_view(obs, rng)
    point = fitted.apply(query.vectors)
    at_sim, at_obs = fitted.apply(sim.vectors[sims]), fitted.apply(obs.vectors[reals])
    away_sim, near_sim = exact_nearest(point, at_sim, k)
    away_obs, near_obs = exact_nearest(point, at_obs, k)
    usual = _real_to_real(at_obs, n, k, rng=rng)
    equal = np.sort(rng.choice(len(at_sim), n, replace=False))
    equal_obs = np.sort(rng.choice(len(at_obs), n, replace=False))
    placed_sim = exact_nearest(point, at_sim[equal], k)[0][0]
    placed_obs = exact_nearest(point, at_obs[equal_obs], k)[0][0]
    back_sim = _rank_back(at_sim[near_sim[0]], at_obs, away_sim[0], skip=None)
    back_obs = _rank_back(at_obs[near_obs[0]], at_obs, away_obs[0], skip=near_obs[0])
    return Analogues(
        query=str(query.ids[0]),
        sim=sim.name,
        obs=obs.name,
        simulated=_named(sim, sims[near_sim[0]], away_sim[0], placed_sim, usual, back_sim),
        real=_named(obs, reals[near_obs[0]], away_obs[0], placed_obs, usual, back_obs),
        n_reference=n,
        n_sim=sim.n_groups,
        n_obs=obs.n_groups,
        left_out=gone,
    )


def _check(query: Embedding, sim: Embedding, obs: Embedding) -> None:
    if len(query) != 1:
        raise UsageError(f"analogues: got {len(query)} images, allowed is one at a time")
    for each in (sim, obs):
        if each.encoder_digest != query.encoder_digest:
            raise UsageError(f"{each.name} and the query come from different encoders; use one")


def _one_view(side: Embedding, rng: np.random.Generator) -> IntArray:
    """Return one random row of every object: more views would be more chances to be near."""
    order = rng.permutation(len(side))
    first = np.unique(side.groups[order], return_index=True)[1]
    return np.sort(order[first]).astype(np.int64)


def _real_to_real(
    points: Float32Array, n: int, k: int, *, rng: np.random.Generator
) -> Float64Array:
    """Return distances of every real object to its k nearest of `n` other real ones."""
    chosen = np.sort(rng.choice(len(points), n + 1, replace=False))
    # One of the n + 1 is left out for each object: itself, or one at random.
    skipped = chosen[rng.integers(n + 1, size=len(points))]
    skipped[chosen] = chosen
    distances, rows = exact_nearest(points, points[chosen], k + 1)
    kept = chosen[rows] != skipped[:, None]
    # Of k + 1 at most one goes; where none does, the farthest.
    kept[kept.all(axis=1), -1] = False
    return np.asarray(distances[kept].reshape(len(points), k))


def _rank_back(
    points: Float32Array, reference: Float32Array, away: Float64Array, *, skip: IntArray | None
) -> IntArray:
    there = reference.astype(np.float64)
    ranks = np.empty(len(points), dtype=np.int64)
    for i, point in enumerate(points.astype(np.float64)):
        distances = np.linalg.norm(there - point, axis=1)
        if skip is not None:
            distances[skip[i]] = np.inf
        ranks[i] = 1 + int((distances < away[i]).sum())
    return ranks


def _named(
    side: Embedding,
    rows: IntArray,
    away: Float64Array,
    placed: Float64Array,
    usual: Float64Array,
    back: IntArray,
) -> tuple[Neighbour, ...]:
    return tuple(
        Neighbour(
            id=str(side.ids[row]),
            distance=float(away[j]),
            nearer=share(float((usual[:, j] <= placed[j]).sum()), len(usual)),
            rank_back=int(back[j]),
        )
        for j, row in enumerate(rows.tolist())
    )


def exact_nearest(
    queries: Float32Array, reference: Float32Array, k: int
) -> tuple[Float64Array, IntArray]:
    """Return Euclidean distances and rows of the `k` nearest reference points, exactly.

    Products are taken in single precision, in blocks of both sides, and a few more candidates
    than wanted are kept; their distances are computed again in double precision. Where rounding
    could hide a nearer point, that query is searched again in double precision. Ties go to the
    earlier row. Memory does not grow with the number of points.

    Parameters
    ----------
    queries : array (n, d)
    reference : array (m, d)
    k : int

    Returns
    -------
    distances : array (n, k)
    rows : array of int (n, k)

    Raises
    ------
    NotComputableError
        If there are fewer than `k` reference points.

    Examples
    --------
    >>> points = np.array([[0.0], [1.0], [3.0]], dtype=np.float32)
    >>> distances, rows = exact_nearest(points[:1], points, 2)
    >>> distances.tolist(), rows.tolist()
    ([[0.0, 1.0]], [[0, 1]])
    """
    if not 1 <= k <= len(reference):
        raise NotComputableError(
            f"nearest neighbours: got k = {k} with {len(reference)} points to choose from"
        )
    if min(len(queries), len(reference)) == 0 or k + SPARE >= len(reference):
        return nearest(queries, reference, k)
    middle = reference.mean(axis=0, dtype=np.float64).astype(np.float32)
    distances, rows = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
    tall = max(1, min(len(queries), 1024))
    for start in range(0, len(queries), tall):
        block = slice(start, start + tall)
        here = queries[block] - middle
        near, beyond, largest = _candidates(here, reference, middle, k + SPARE)
        exact = _exactly(queries[block], reference, near)
        order = np.lexsort((near, exact), axis=1)[:, :k]
        rows[block] = np.take_along_axis(near, order, axis=1)
        distances[block] = np.take_along_axis(exact, order, axis=1)
        # What a product of d terms may be off by in single precision, both norms included.
        size = np.linalg.norm(here.astype(np.float64), axis=1)
        off = 2 * (here.shape[1] + 8) * 2.0**-24 * (size + largest) ** 2
        unsure = np.flatnonzero(distances[block, -1] ** 2 > beyond + size**2 - off)
        if len(unsure):
            again = nearest(queries[block][unsure], reference, k)
            distances[start + unsure], rows[start + unsure] = again
    return distances, rows


def _candidates(
    here: Float32Array, reference: Float32Array, middle: Float32Array, wanted: int
) -> tuple[IntArray, Float64Array, float]:
    """Return the nearest `wanted` rows by rounded distances, the largest of those, and of lengths.

    Rounded distances lack the square of the query's own length.
    """
    # Blocks are centred as they come: a centred copy of all points would double the memory.
    wide = max(wanted, BLOCK_ELEMENTS // max(here.shape))
    near = np.empty((len(here), 0), dtype=np.int64)
    value = np.empty((len(here), 0), dtype=np.float32)
    largest = 0.0
    for start in range(0, len(reference), wide):
        there = reference[start : start + wide] - middle
        norms = np.einsum("ij,ij->i", there, there)
        largest = max(largest, float(norms.max()))
        part = norms - 2 * (here @ there.T)
        if part.shape[1] > wanted:
            best = np.argpartition(part, wanted - 1, axis=1)[:, :wanted]
            part = np.take_along_axis(part, best, axis=1)
        else:
            best = np.broadcast_to(np.arange(part.shape[1]), part.shape)
        near = np.concatenate([near, best + start], axis=1)
        value = np.concatenate([value, part], axis=1)
        if near.shape[1] > wanted:
            kept = np.argpartition(value, wanted - 1, axis=1)[:, :wanted]
            near = np.take_along_axis(near, kept, axis=1)
            value = np.take_along_axis(value, kept, axis=1)
    return near, value.max(axis=1).astype(np.float64), float(np.sqrt(largest))


def _exactly(queries: Float32Array, reference: Float32Array, near: IntArray) -> Float64Array:
    away = np.empty(near.shape)
    for j in range(near.shape[1]):
        difference = queries.astype(np.float64) - reference[near[:, j]]
        away[:, j] = np.sqrt(np.einsum("ij,ij->i", difference, difference))
    return away


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One object and how far it lies from the other side, as a percentile of real distances."""

    id: str
    percentile: float
    nearest_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BothWays:
    """Most and least realistic objects of both sides, and how many pairs choose each other.

    Parameters
    ----------
    simulated : mapping of "most", "least" to tuple of Placed
        By their mean distance to the k nearest real objects.
    real : mapping of "most", "least" to tuple of Placed
        Real objects by their mean distance to the k nearest simulated ones: the least are those
        that the simulation lacks.
    k, n_reference : int
    mutual, mutual_real : Score or float
        Share of simulated objects that are the nearest of their own nearest real object, at
        `n_mutual` objects a side; and the same between halves of the real ones, mean over splits.
    """

    simulated: Mapping[str, tuple[Placed, ...]]
    real: Mapping[str, tuple[Placed, ...]]
    k: int
    n_reference: int
    mutual: Score
    mutual_real: Score

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        found = asdict(self)
        for side in ("simulated", "real"):
            found[side] = {name: list(rows) for name, rows in found[side].items()}
        return found


def both_ways(
    obs: Embedding, sim: Embedding, *, k: int = 5, shown: int = 5, rng: np.random.Generator
) -> BothWays:
    """Return the most and least realistic objects of both sides.

    Raises
    ------
    NotComputableError
        If there are too few objects.
    """
    forward = realism(obs, sim, k=k)
    fitted = pooled_pca(obs, sim)
    sims, reals = _one_view(sim, rng), _one_view(obs, rng)
    at_sim, at_obs = fitted.apply(sim.vectors[sims]), fitted.apply(obs.vectors[reals])
    n = min(len(sims), len(reals) - 1)
    if n <= k:
        raise NotComputableError(f"realism both ways: got {n} objects to choose from")
    usual = np.sort(_real_to_real(at_obs, n, k, rng=rng).mean(axis=1))
    equal = np.sort(rng.choice(len(at_sim), n, replace=False))
    away, near = exact_nearest(at_obs, at_sim[equal], k)
    percentile = 100 * np.searchsorted(usual, away.mean(axis=1), side="right") / len(usual)
    mutual, floor = _mutual(at_obs, at_sim, rng=rng)
    return BothWays(
        simulated=_ends(
            sim.ids, forward.distance, forward.percentile, obs.ids[forward.nearest_obs[:, 0]], shown
        ),
        real=_ends(
            obs.ids[reals], away.mean(axis=1), percentile, sim.ids[sims[equal[near[:, 0]]]], shown
        ),
        k=k,
        n_reference=n,
        mutual=mutual,
        mutual_real=floor,
    )


def _ends(
    ids: Any, distance: Float64Array, percentile: Float64Array, near: Any, shown: int
) -> dict[str, tuple[Placed, ...]]:
    order = np.argsort(distance, kind="stable")
    return {
        name: tuple(
            Placed(id=str(ids[i]), percentile=float(percentile[i]), nearest_id=str(near[i]))
            for i in rows[:shown].tolist()
        )
        for name, rows in (("most", order), ("least", order[::-1]))
    }


def _mutual(
    at_obs: Float32Array, at_sim: Float32Array, *, rng: np.random.Generator
) -> tuple[Score, Score]:
    """Return the share of mutual nearest neighbours at equal n, and that between real halves."""
    n = min(len(at_sim), len(at_obs) // 2)
    seen, usual = [], []
    for _ in range(SPLITS):
        order = rng.permutation(len(at_obs))
        half, other = at_obs[order[:n]], at_obs[order[n : 2 * n]]
        seen.append(_mutual_share(at_sim[rng.choice(len(at_sim), n, replace=False)], half))
        usual.append(_mutual_share(other, half))
    return _over_splits(seen, n), _over_splits(usual, n)


def _mutual_share(first: Float32Array, second: Float32Array) -> float:
    there, back = exact_nearest(first, second, 1)[1][:, 0], exact_nearest(second, first, 1)[1][:, 0]
    return float((back[there] == np.arange(len(first))).mean())


def _over_splits(values: list[float], n: int) -> Score:
    low, high = np.percentile(values, [2.5, 97.5])
    mean = float(np.mean(values))
    return Score(
        value=mean, low=min(float(low), mean), high=max(float(high), mean), n=n,
        method=f"2.5 to 97.5 percentiles over {SPLITS} splits",
    )  # fmt: skip
