"""The order of several simulations by their distance to the same sky, and how sure it is.

As in `simreal.compare.paired`, for any number of simulations at once: all are read against the
same observed groups, in one transform and with metrics fitted to the anonymous pool of all, and
on the same random parts of the observed groups, so that what the readings share cancels in their
differences. Two are tied where the interval of their difference holds zero after Holm's
correction over all pairs; a rank counts only those that are closer beyond that. The same draws
give the chance of every rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from simreal.compare.contract import Fitted, MetricMeta, fit_metric, metric_meta
from simreal.compare.footing import check_footing
from simreal.compare.inference import Subsampled, values, variance_of
from simreal.compare.run import load_metric
from simreal.compare.sample import FEWEST_GROUPS, MOST_VIEWS
from simreal.compare.settings import InferenceSettings
from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray, StrArray
from simreal.core.embedding import Embedding
from simreal.core.errors import FootingError, NotComputableError
from simreal.core.results import Estimate
from simreal.core.seeding import stream
from simreal.stats.fdr import holm
from simreal.stats.groups import choose, group_rows, random_masks, smallest_group, thin_views
from simreal.stats.pca import fit_pca

#: Two simulations are tied unless their difference is seen at this level, over all pairs.
TIE_LEVEL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """One simulation and the observed objects it was matched with.

    The observed stamps of two entries may differ, because matching them with another simulation
    may have changed frame or PSF; their groups are the same objects.
    """

    name: str
    obs: Embedding
    sim: Embedding


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Difference:
    """How much further `a` reads than `b`, on the same observed groups.

    Parameters
    ----------
    a, b : str
    estimate : Estimate
        ``value_a - value_b``; the interval is at the level of one pair.
    p_value : float
        Two-sided, normal theory.
    p_adjusted : float
        Holm over all pairs of this metric.
    closer : str or None
        The closer one, where `p_adjusted` is at most `TIE_LEVEL`; None is a tie.
    linked : int
        Groups that both simulations hold and that were drawn together; 0 where ids do not link.
    """

    a: str
    b: str
    estimate: Estimate
    p_value: float
    p_adjusted: float
    closer: str | None
    linked: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricRanking:
    """The order of all simulations under one metric.

    Parameters
    ----------
    metric : str
    names : tuple of str
    readings : tuple of float
        The metric of each in the common transform.
    floors : tuple of float
        What disjoint sets of each one's observed groups read there, in the median; empty where
        there are too few groups for two sets of n.
    ranks : tuple of int
        One more than the number of simulations that are closer beyond a tie.
    p_rank : array (K, K)
        Chance that a simulation (row) comes at a place (column) when objects are drawn anew.
    differences : tuple of Difference
    n : int
        Groups a side.
    reason : str
        Why there is no order; then all else is empty.
    """

    metric: str
    names: tuple[str, ...]
    n: int
    readings: tuple[float, ...] = ()
    floors: tuple[float, ...] = ()
    ranks: tuple[int, ...] = ()
    p_rank: Float64Array | None = None
    differences: tuple[Difference, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Points:
    """All entries in the common transform.

    Parameters
    ----------
    rounds : array (K, m, 2n, d)
        Of every entry and view, the observed groups first, then the simulated ones.
    observed : array (K, m, G, d)
        All observed groups that the entries have in common.
    pool : array (p, d)
        Every observed group once and all simulated ones, without labels.
    groups : tuple of array of str (n,)
        Names of each entry's simulated groups.
    """

    rounds: Float32Array
    observed: Float32Array
    pool: Float32Array
    groups: tuple[StrArray, ...]

    @property
    def n(self) -> int:
        return int(self.rounds.shape[2]) // 2


def rank_entries(
    entries: Sequence[Entry],
    *,
    metrics: Sequence[str],
    settings: InferenceSettings | None = None,
    seed: int,
    allow: Sequence[str] = (),
) -> tuple[MetricRanking, ...]:
    """Return the order of simulations under every metric, with ties and the chance of each rank.

    Parameters
    ----------
    entries : sequence of Entry
        All under one encoder; two or more.
    metrics : sequence of str
    settings : InferenceSettings
    seed : int
    allow : sequence of str
        Fields of the setup that may differ between the sides of an entry.

    Raises
    ------
    FootingError
        If encoders differ, or the setups of an entry's sides do.
    NotComputableError
        If too few groups are left, or fewer than two simulations are given.
    """
    settings = InferenceSettings() if settings is None else settings
    if len(entries) < 2:
        raise NotComputableError(f"ranking: got {len(entries)} simulations, allowed are 2 or more")
    first = entries[0].obs
    for entry in entries:
        check_footing(entry.obs, entry.sim, allow=allow)
        if entry.obs.encoder_digest != first.encoder_digest:
            raise FootingError(
                f"{entry.name} and {entries[0].name} come from different encoders "
                f"({entry.obs.encoder_digest[:12]!r} and {first.encoder_digest[:12]!r}); score "
                "both with one frozen encoder (--encoder-from)"
            )
    points = _points(entries, n=settings.n, seed=seed)
    names = tuple(entry.name for entry in entries)
    return tuple(
        _one_metric(name, names, points, settings=settings, seed=seed)
        for name in dict.fromkeys(metrics)
    )


def common_groups(entries: Sequence[Entry]) -> StrArray:
    """Return the observed groups that every entry was scored against, in order of their names."""
    common: StrArray = np.unique(entries[0].obs.groups)
    for entry in entries[1:]:
        common = np.intersect1d(common, entry.obs.groups)
    return common


def _points(entries: Sequence[Entry], *, n: int | None, seed: int) -> _Points:
    common = common_groups(entries)
    sides = [e.obs.rows(np.isin(e.obs.groups, common)) for e in entries]
    sims = [entry.sim for entry in entries]
    rows = [group_rows(e.groups, e.ids) for e in (*sides, *sims)]
    there = min(len(of) for of in rows)
    size = there if n is None else min(n, there)
    if size < FEWEST_GROUPS:
        raise NotComputableError(
            f"{', '.join(entry.name for entry in entries)}: {len(common)} observed groups in "
            f"common and {there} groups in the smallest set, allowed are {FEWEST_GROUPS} or more; "
            "compare on the same observations"
        )
    n_views = min(MOST_VIEWS, smallest_group(*rows))
    every_obs, picked_sim, names = [], [], []
    for e, of in zip(sides, rows[: len(entries)], strict=True):
        # The same stream for every entry: the same views, however their stamps differ.
        views = thin_views(of, n_views, rng=stream(seed, "ranking", "views", "obs"))
        every_obs.append(e.vectors[views])
    for e, of in zip(sims, rows[len(entries) :], strict=True):
        linked = _linked(e, sims)
        picked = _pick(of, n_views, size, seed, "linked" if linked else e.name)
        picked_sim.append(e.vectors[picked])
        names.append(e.groups[picked[0]])
    everyone, sim = np.stack(every_obs), np.stack(picked_sim)
    drawn = choose(everyone.shape[2], size, rng=stream(seed, "ranking", "groups", "obs"))
    obs = everyone[:, :, drawn]
    # Each observed group once, from the entries in turn: a group that stands in the pool K times
    # would be at no distance from itself.
    turn = np.arange(size) % len(entries)
    pool = np.concatenate([obs[turn, :, np.arange(size)].reshape(-1, obs.shape[-1]),
                           sim.reshape(-1, sim.shape[-1])])  # fmt: skip
    transform = fit_pca(pool, rng=stream(seed, "ranking", "pca"))
    both = np.concatenate([obs, sim], axis=2)
    pooled = np.concatenate([obs[turn, 0, np.arange(size)], *sim[:, 0]])
    rounds, observed = (
        np.stack([[transform.apply(view) for view in entry] for entry in all_of])
        for all_of in (both, everyone)
    )
    return _Points(
        rounds=rounds, observed=observed, pool=transform.apply(pooled), groups=tuple(names)
    )


def _linked(sim: Embedding, sims: Sequence[Embedding]) -> bool:
    """Return whether another simulation holds the very same groups."""
    mine = np.unique(sim.groups)
    return any(other is not sim and np.array_equal(mine, np.unique(other.groups)) for other in sims)


def _pick(of: Sequence[IntArray], n_views: int, size: int, seed: int, name: str) -> IntArray:
    thinned = thin_views(of, n_views, rng=stream(seed, "ranking", "views", name))
    groups = choose(thinned.shape[1], size, rng=stream(seed, "ranking", "groups", name))
    return thinned[:, groups]


def _one_metric(
    name: str, names: tuple[str, ...], points: _Points, *, settings: InferenceSettings, seed: int
) -> MetricRanking:
    module = load_metric(name)
    meta = metric_meta(module, name)
    none = MetricRanking(metric=name, names=names, n=points.n)
    smallest = meta.smallest_n(points.pool.shape[1])
    if meta.tail == "both":
        return replace(none, reason=f"{name} does not say which of two values is closer")
    if points.n < smallest:
        return replace(none, reason=f"{name} needs {smallest} groups a side, {points.n} are left")
    if meta.cost == "heavy" and points.n > settings.heavy_n:
        return replace(none, reason=f"{name} is ranked up to {settings.heavy_n} groups a side")
    try:
        metric = fit_metric(module, points.pool, rng=stream(seed, "ranking", name, "fit"))
        return _ranked(none, metric, meta, points, settings=settings.for_cost(meta.cost), seed=seed)
    except NotComputableError as error:
        return replace(none, reason=f"{name}: {error}")


def _ranked(
    none: MetricRanking,
    metric: Fitted,
    meta: MetricMeta,
    points: _Points,
    *,
    settings: InferenceSettings,
    seed: int,
) -> MetricRanking:
    n, names = points.n, none.names
    at_n = _readings(metric, points, _masks(points, n, 1, seed, none.metric))[:, 0]
    half, quarter = (
        _readings(
            metric, points, _masks(points, n // part, settings.n_subsamples, seed, none.metric)
        )
        for part in (2, 4)
    )
    # A metric that is larger where populations agree counts down.
    sign = 1.0 if meta.tail == "upper" else -1.0
    pairs = list(combinations(range(len(names)), 2))
    differences = [
        _difference(
            (names[i], names[j]),
            float(at_n[i] - at_n[j]),
            Subsampled(half=half[i] - half[j], quarter=quarter[i] - quarter[j], n=n),
            settings=settings,
            linked=n if np.array_equal(points.groups[i], points.groups[j]) else 0,
        )
        for i, j in pairs
    ]
    adjusted = holm([one.p_value for one in differences])
    differences = [
        _decided(one, float(p), sign) for one, p in zip(differences, adjusted, strict=True)
    ]
    ranks = tuple(1 + sum(_is_beaten(name, one) for one in differences) for name in names)
    errors = np.array(
        [variance_of(Subsampled(half=h, quarter=q, n=n)).standard_error
         for h, q in zip(half, quarter, strict=True)]
    )  # fmt: skip
    return replace(
        none,
        readings=tuple(float(value) for value in at_n),
        floors=_floors(metric, points, settings.n_floor_splits, seed, none.metric),
        ranks=ranks,
        p_rank=chance_of_ranks(sign * at_n, sign * half, errors),
        differences=tuple(differences),
    )


def _floors(
    metric: Fitted, points: _Points, n_splits: int, seed: int, name: str
) -> tuple[float, ...]:
    """Return what disjoint sets of n observed groups read, for the stamps of every entry."""
    n_groups = points.observed.shape[2]
    if n_groups < 2 * points.n:
        return ()
    rng = stream(seed, "ranking", name, "floor")
    order = rng.permuted(np.broadcast_to(np.arange(n_groups), (n_splits, n_groups)), axis=1)
    masks = np.zeros((2, n_splits, n_groups), dtype=np.bool_)
    for part in (0, 1):
        drawn = order[:, part * points.n : (part + 1) * points.n]
        masks[part][np.arange(n_splits)[:, None], drawn] = True
    return tuple(
        float(np.median(values(metric, rounds, masks[0], masks[1]))) for rounds in points.observed
    )


def chance_of_ranks(at_n: Float64Array, draws: Float64Array, errors: Float64Array) -> Float64Array:
    """Return how often each of K simulations comes at each place ``(K, K)``.

    Draws on half of the groups scatter more than readings at n do: each simulation's deviations
    are scaled to its own standard error at n, which leaves their correlation, and with it what
    the shared observed groups cancel, as it is.

    Parameters
    ----------
    at_n : array (K,)
        Smaller is closer.
    draws : array (K, S)
    errors : array (K,)

    Examples
    --------
    >>> draws = np.array([[0.0, 1.0, 2.0], [5.0, 6.0, 7.0]])
    >>> chance_of_ranks(np.array([1.0, 6.0]), draws, np.array([0.1, 0.1])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    away = draws - draws.mean(axis=1, keepdims=True)
    spread = draws.std(axis=1, ddof=1, keepdims=True)
    scaled = at_n[:, None] + away * errors[:, None] / np.where(spread > 0, spread, 1.0)
    place = np.argsort(np.argsort(scaled, axis=0, kind="stable"), axis=0, kind="stable")
    places = np.arange(len(at_n))
    return np.asarray((place[:, :, None] == places).mean(axis=1))


def _masks(
    points: _Points, size: int, n_draws: int, seed: int, metric: str
) -> list[tuple[BoolArray, BoolArray]]:
    """Return which observed and simulated groups are drawn, for every entry."""
    n = points.n
    is_obs = np.arange(2 * n) < n
    size = max(1, size)
    names = (metric, str(size))
    obs = random_masks(is_obs, size, n_draws, rng=stream(seed, "ranking", "draw obs", *names))
    return [
        (
            obs,
            random_masks(
                ~is_obs, size, n_draws, rng=stream(seed, "ranking", "draw", _key(points, k), *names)
            ),
        )
        for k in range(len(points.groups))
    ]


def _key(points: _Points, k: int) -> str:
    """Return what names the draw of an entry: the first one with the same groups."""
    same = (np.array_equal(points.groups[k], other) for other in points.groups)
    return str(next(i for i, equal in enumerate(same) if equal))


def _readings(
    metric: Fitted, points: _Points, masks: list[tuple[BoolArray, BoolArray]]
) -> Float64Array:
    """Return the metric of every entry on every draw ``(K, S)``."""
    return np.stack(
        [
            values(metric, rounds, sim, obs)
            for rounds, (obs, sim) in zip(points.rounds, masks, strict=True)
        ]
    )


def _difference(
    names: tuple[str, str],
    value: float,
    drawn: Subsampled,
    *,
    settings: InferenceSettings,
    linked: int,
) -> Difference:
    from scipy.special import ndtr, ndtri

    error = variance_of(drawn).standard_error
    width = float(ndtri((1 + settings.level) / 2)) * error
    p = 2 * float(ndtr(-abs(value) / error)) if error > 0 else float(value == 0)
    return Difference(
        a=names[0],
        b=names[1],
        estimate=Estimate(
            value=value,
            low=value - width,
            high=value + width,
            level=settings.level,
            method=f"subsampling with shared observed groups, {settings.n_subsamples} each size",
            estimand="difference of the expectations at this n",
            n_sim=drawn.n,
            n_obs=drawn.n,
        ),
        p_value=max(p, float(np.finfo(np.float64).tiny)),
        p_adjusted=1.0,
        closer=None,
        linked=linked,
    )


def _decided(one: Difference, p_adjusted: float, sign: float) -> Difference:
    """Say which of two is closer, or that they tie."""
    value = one.estimate.value
    if value is None or p_adjusted > TIE_LEVEL or value == 0:
        return replace(one, p_adjusted=p_adjusted)
    closer = one.a if sign * value < 0 else one.b
    return replace(one, p_adjusted=p_adjusted, closer=closer)


def _is_beaten(name: str, one: Difference) -> bool:
    return one.closer is not None and name in (one.a, one.b) and one.closer != name
