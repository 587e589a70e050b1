"""Is simulation A closer to the sky than simulation B? Both on the same observed objects.

Each simulation is read against the same observed groups, in a transform and with metrics fitted
to the anonymous pool of all three; the spread of the difference comes from subsamples that
share their observed groups too, so that what the two readings have in common cancels. Two
overlapping intervals do not say that two simulations tie; this difference does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from simreal.compare.contract import Fitted, fit_metric, metric_meta
from simreal.compare.footing import check_footing
from simreal.compare.inference import Subsampled, values, variance_of
from simreal.compare.run import load_metric
from simreal.compare.sample import FEWEST_GROUPS, MOST_VIEWS
from simreal.compare.settings import InferenceSettings
from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError
from simreal.core.results import Estimate
from simreal.core.seeding import stream
from simreal.stats.fdr import holm
from simreal.stats.groups import choose, group_rows, random_masks, smallest_group, thin_views
from simreal.stats.pca import fit_pca

ROLES = ("obs", "a", "b")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paired:
    """The difference between two simulations under one metric.

    Parameters
    ----------
    metric, a, b : str
    value_a, value_b : float or None
        The metric between each simulation and the observed groups.
    difference : Estimate
        ``value_a - value_b``: below zero where A is closer, for a metric whose larger values
        are further.
    closer : str or None
        The simulation that is closer, where the interval leaves out zero.
    p_value : float or None
        Two-sided, of no difference; normal theory with the standard error of the difference.
    p_adjusted : float or None
        Holm over the metrics.
    """

    metric: str
    a: str
    b: str
    value_a: float | None
    value_b: float | None
    difference: Estimate
    closer: str | None
    p_value: float | None
    p_adjusted: float | None = None


def compare_paired(
    obs: Embedding,
    sim_a: Embedding,
    sim_b: Embedding,
    *,
    metrics: Sequence[str],
    settings: InferenceSettings | None = None,
    seed: int,
    allow: Sequence[str] = (),
) -> tuple[Paired, ...]:
    """Return which of two simulations is closer to the observed set, metric by metric.

    Parameters
    ----------
    obs, sim_a, sim_b : Embedding
        Of one encoder.
    metrics : sequence of str
    settings : InferenceSettings
    seed : int
    allow : sequence of str
        Fields of the setup that may differ.

    Raises
    ------
    FootingError
        If encoders or setups differ.
    NotComputableError
        If too few groups are left.
    """
    settings = InferenceSettings() if settings is None else settings
    for sim in (sim_a, sim_b):
        check_footing(obs, sim, allow=allow)
    same = bool(np.array_equal(np.unique(sim_a.groups), np.unique(sim_b.groups)))
    rounds, roles = _three(obs, sim_a, sim_b, n=settings.n, seed=seed, same=same)
    names = (sim_a.name, sim_b.name)
    found = [
        _one(name, names, rounds, roles, settings=settings, seed=seed, same=same)
        for name in dict.fromkeys(metrics)
    ]
    p_values = {i: one.p_value for i, one in enumerate(found) if one.p_value is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return tuple(
        replace(one, p_adjusted=float(adjusted[i])) if i in adjusted else one
        for i, one in enumerate(found)
    )


def _three(
    obs: Embedding, sim_a: Embedding, sim_b: Embedding, *, n: int | None, seed: int, same: bool
) -> tuple[Float32Array, dict[str, BoolArray]]:
    """Return all three in the transform of their anonymous pool, and who is who.

    Where A and B are the same objects, such as a set and a damaged copy of it, the same ones are
    drawn of both, in the same order.
    """
    sides = dict(zip(ROLES, (obs, sim_a, sim_b), strict=True))
    rows = {role: group_rows(e.groups, e.ids) for role, e in sides.items()}
    there = min(len(of) for of in rows.values())
    size = there if n is None else min(n, there)
    if size < FEWEST_GROUPS:
        raise NotComputableError(
            f"{sim_a.name} and {sim_b.name} against {obs.name}: {size} groups each, allowed are "
            f"{FEWEST_GROUPS} or more"
        )
    n_views = min(MOST_VIEWS, smallest_group(*rows.values()))
    picked = []
    for role, of in rows.items():
        drawn = "a" if same and role == "b" else role
        thinned = thin_views(of, n_views, rng=stream(seed, "paired", "views", drawn))
        groups = choose(thinned.shape[1], size, rng=stream(seed, "paired", "groups", drawn))
        picked.append(sides[role].vectors[thinned[:, groups]])
    pool = np.concatenate(picked, axis=1)
    transform = fit_pca(pool.reshape(-1, pool.shape[-1]), rng=stream(seed, "paired", "pca"))
    rounds = np.stack([transform.apply(points) for points in pool])
    order = np.repeat(np.arange(3), size)
    return rounds, {role: order == i for i, role in enumerate(ROLES)}


def _one(
    name: str,
    names: tuple[str, str],
    rounds: Float32Array,
    roles: dict[str, BoolArray],
    *,
    settings: InferenceSettings,
    seed: int,
    same: bool,
) -> Paired:
    module = load_metric(name)
    meta = metric_meta(module, name)
    of_cost = settings.for_cost(meta.cost)
    if meta.cost == "heavy":
        rng = stream(seed, "paired", name, "subsample")
        kept = _thinned(roles, settings.heavy_n, rng=rng, same=same)
        rounds, roles = rounds[:, kept], {role: mask[kept] for role, mask in roles.items()}
    n = int(roles["obs"].sum())
    smallest = meta.smallest_n(rounds.shape[2])
    if n < smallest:
        return _null(name, names, n, f"needs {smallest} groups of each, {n} are left")
    try:
        metric = fit_metric(module, rounds[0], rng=stream(seed, "paired", name, "fit"))
        at_n = _readings(metric, rounds, {role: mask[None] for role, mask in roles.items()})
        rng = stream(seed, "paired", name, "subsamples")
        half, quarter = (
            _readings(
                metric, rounds, _drawn(roles, n // part, of_cost.n_subsamples, rng=rng, same=same)
            )
            for part in (2, 4)
        )
    except NotComputableError as reason:
        return _null(name, names, n, str(reason))
    return _paired(
        name,
        names,
        (float(at_n[0][0]), float(at_n[1][0])),
        variance_of(
            Subsampled(half=half[0] - half[1], quarter=quarter[0] - quarter[1], n=n)
        ).standard_error,
        n=n,
        settings=of_cost,
        tail=meta.tail,
    )


def _drawn(
    roles: dict[str, BoolArray], size: int, n_draws: int, *, rng: np.random.Generator, same: bool
) -> dict[str, BoolArray]:
    """Return draws of `size` groups of each; of the same objects, the same ones."""
    masks = {
        role: random_masks(mask, max(1, size), n_draws, rng=rng) for role, mask in roles.items()
    }
    if same:
        masks["b"] = np.zeros_like(masks["a"])
        masks["b"][:, roles["b"]] = masks["a"][:, roles["a"]]
    return masks


def _readings(
    metric: Fitted, rounds: Float32Array, masks: dict[str, BoolArray]
) -> tuple[Float64Array, Float64Array]:
    a, b = (values(metric, rounds, masks[role], masks["obs"]) for role in ("a", "b"))
    return a, b


def _paired(
    name: str,
    names: tuple[str, str],
    found: tuple[float, float],
    error: float,
    *,
    n: int,
    settings: InferenceSettings,
    tail: str,
) -> Paired:
    from scipy.special import ndtr, ndtri

    difference = found[0] - found[1]
    width = float(ndtri((1 + settings.level) / 2)) * error
    closer = None
    if abs(difference) > width and tail != "both":
        a_is_closer = (difference < 0) == (tail == "upper")
        closer = names[0] if a_is_closer else names[1]
    p = 2 * float(ndtr(-abs(difference) / error)) if error > 0 else float(difference == 0)
    return Paired(
        metric=name,
        a=names[0],
        b=names[1],
        value_a=found[0],
        value_b=found[1],
        difference=Estimate(
            value=difference,
            low=difference - width,
            high=difference + width,
            level=settings.level,
            method=f"subsampling with shared observed groups, {settings.n_subsamples} each size",
            estimand="difference of the expectations at this n",
            n_sim=n,
            n_obs=n,
        ),
        closer=closer,
        p_value=max(p, float(np.finfo(np.float64).tiny)),
    )


def _thinned(
    roles: dict[str, BoolArray], n: int, *, rng: np.random.Generator, same: bool
) -> BoolArray:
    size = min(n, *(int(mask.sum()) for mask in roles.values()))
    masks = _drawn(roles, size, 1, rng=rng, same=same)
    return np.asarray(np.any([mask[0] for mask in masks.values()], axis=0))


def _null(name: str, names: tuple[str, str], n: int, reason: str) -> Paired:
    return Paired(
        metric=name,
        a=names[0],
        b=names[1],
        value_a=None,
        value_b=None,
        difference=Estimate(
            value=None, low=None, high=None, n_sim=n, n_obs=n, reason=f"{name}: {reason}"
        ),
        closer=None,
        p_value=None,
    )
