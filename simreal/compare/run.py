"""Compare two embeddings: every metric with its floor, interval and p-value.

The order: same encoder and same footing or a refusal; equal views and equal n on both sides;
one label-free transform; then every metric, fitted to the anonymous pool, goes through the same
inference. All random choices come from streams named after what they decide, so adding a
metric changes no other number.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from simreal.compare.contract import Fitted, MetricMeta, fit_metric, metric_meta
from simreal.compare.footing import check_footing
from simreal.compare.inference import (
    floor_values,
    p_value,
    permutation_statistics,
    subsample_values,
    subsampling_interval,
    values,
)
from simreal.compare.metrics.occupancy import Occupancies
from simreal.compare.regions import Occupancy, Placed, counts_of, region_table
from simreal.compare.sample import Sample, draw_sample, transform_record, usable_n
from simreal.core import plugins
from simreal.core.arrays import Float32Array
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.results import Comparison, Estimate, Floor
from simreal.core.seeding import stream
from simreal.stats.clusters import assign
from simreal.stats.fdr import holm
from simreal.stats.pca import Pca


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceSettings:
    """How much inference is done.

    Parameters
    ----------
    n_permutations : int
        The smallest possible p-value is 1 / (n_permutations + 1).
    n_floor_splits : int
        Random splits of the observed set; at least 50.
    n_subsamples : int
        Half samples behind the interval; at least 50.
    level : float
        Coverage of intervals and 1 - false-discovery rate of regions.
    n : int or None
        Groups per side; by default the smaller of the simulated groups and half of the observed
        ones, so that the floor can be measured at the same n.
    """

    n_permutations: int = 999
    n_floor_splits: int = 100
    n_subsamples: int = 200
    level: float = 0.95
    n: int | None = None

    def __post_init__(self) -> None:
        lowest = {"n_permutations": 19, "n_floor_splits": 50, "n_subsamples": 50}
        for name, least in lowest.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name}: got {getattr(self, name)}, allowed is {least} or more")
        if not 0.5 <= self.level < 1:
            raise UsageError(f"level: got {self.level}, allowed is 0.5 to below 1")
        if self.n is not None and self.n < 1:
            raise UsageError(f"n: got {self.n}, allowed is 1 or more groups per side")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compared:
    """The outcome of a comparison.

    Parameters
    ----------
    comparisons : tuple of Comparison
        One per metric in the order asked for, Holm-adjusted over the metrics.
    transform : Mapping
        The label-free map that all metrics act on.
    n : int
        Groups per side.
    occupancy : Occupancy or None
        The regions, where the metric ``occupancy`` was asked for and could be computed.
    """

    comparisons: tuple[Comparison, ...]
    transform: Mapping[str, Any]
    n: int
    occupancy: Occupancy | None


def compare_embeddings(
    obs: Embedding,
    sim: Embedding,
    *,
    metrics: Sequence[str],
    settings: InferenceSettings | None = None,
    seed: int,
    allow: Sequence[str] = (),
    variant: str = "",
) -> Compared:
    """Compare a simulated with an observed embedding.

    Parameters
    ----------
    obs, sim : Embedding
        Of one encoder.
    metrics : sequence of str
        Names of metrics (`simreal.compare.metrics` or the entry points ``simreal.metrics``).
    settings : InferenceSettings
    seed : int
    allow : sequence of str
        Fields of the setup that may differ; the difference is noted in every comparison.
    variant : str
        A name for this embedding, such as ``"luminance"``; recorded, it changes no number.

    Raises
    ------
    FootingError
        If the encoders differ, or the setups differ in a field that is not allowed.
    NotComputableError
        If no metric can be computed.
    UsageError
        If a metric or an allowed field is unknown.
    """
    settings = InferenceSettings() if settings is None else settings
    modules = {name: _load(name) for name in _unique(metrics)}
    notes = check_footing(obs, sim, allow=allow)
    task = _Task(obs=obs, sim=sim, settings=settings, seed=seed, variant=variant, notes=notes)
    if obs.digest == sim.digest:
        return _identical(task, modules)
    n = usable_n(obs, sim, settings.n)
    sample, transform = draw_sample(obs, sim, n=n, seed=seed)
    fitted = _fitted(modules, sample, task)
    comparisons = _holm_adjusted(
        [
            _one_metric(name, module, fitted.get(name), sample, task)
            for name, module in modules.items()
        ]
    )
    if not fitted:
        raise NotComputableError("; ".join(str(one.estimate.reason) for one in comparisons))
    regions = fitted.get("occupancy")
    return Compared(
        comparisons=comparisons,
        transform=transform_record(transform, sample),
        n=n,
        occupancy=_occupancy(regions, sample, transform, task, comparisons)
        if isinstance(regions, Occupancies)
        else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Task:
    obs: Embedding
    sim: Embedding
    settings: InferenceSettings
    seed: int
    variant: str
    notes: tuple[str, ...]

    def stream(self, *names: str) -> np.random.Generator:
        return stream(self.seed, "compare", *names)


def _fitted(modules: Mapping[str, ModuleType], sample: Sample, task: _Task) -> dict[str, Fitted]:
    """Fit every metric that there are groups enough for."""
    return {
        name: fit_metric(module, sample.pooled, rng=task.stream(name, "fit"))
        for name, module in modules.items()
        if sample.n >= metric_meta(module, name).minimum_groups
    }


def _one_metric(
    name: str, module: ModuleType, metric: Fitted | None, sample: Sample, task: _Task
) -> Comparison:
    meta = metric_meta(module, name)
    if metric is None:
        reason = (
            f"{name} needs {meta.minimum_groups} groups per side or more, {sample.n} are left of "
            f"{task.sim.n_groups} simulated and {task.obs.n_groups} observed"
        )
        return _comparison(name, _null_estimate(sample, reason), task)
    estimate = _estimate(metric, meta, sample, task, name)
    floor, floor_notes = _floor(metric, sample, task, name)
    note = getattr(metric, "note", "")
    return _comparison(
        name,
        estimate,
        task,
        floor=floor,
        p_value=p_value(
            permutation_statistics(
                metric,
                sample,
                task.settings.n_permutations,
                tail=meta.tail,
                rng=task.stream(name, "permutations"),
            )
        ),
        notes=((note,) if note else ()) + floor_notes,
    )


def _estimate(metric: Fitted, meta: MetricMeta, sample: Sample, task: _Task, name: str) -> Estimate:
    labels = sample.is_sim[None]
    value = float(values(metric, sample.rounds, labels, ~labels)[0])
    settings = task.settings
    halves = subsample_values(
        metric, sample, settings.n_subsamples, rng=task.stream(name, "subsamples")
    )
    low, high = subsampling_interval(
        value,
        halves,
        n=sample.n,
        level=settings.level,
        bounds=meta.bounds,
    )
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=settings.level,
        method=f"subsampling of half the groups, {settings.n_subsamples} times",
        estimand=meta.estimand,
        n_sim=sample.n_sim,
        n_obs=sample.n_obs,
    )


def _floor(
    metric: Fitted, sample: Sample, task: _Task, name: str
) -> tuple[Floor | None, tuple[str, ...]]:
    n, there = sample.n_obs, sample.obs_rounds.shape[1]
    if 2 * n > there:
        return None, (
            f"no floor: two disjoint sets of {n} need {2 * n} observed groups, not {there}",
        )
    splits = floor_values(
        metric,
        sample.obs_rounds,
        n,
        task.settings.n_floor_splits,
        rng=task.stream(name, "floor"),
    )
    low, median, high = np.percentile(splits, [2.5, 50, 97.5]).tolist()
    return Floor(median=median, low=low, high=high, n=n, n_splits=len(splits)), ()


def _null_estimate(sample: Sample, reason: str) -> Estimate:
    return Estimate(
        value=None, low=None, high=None, n_sim=sample.n_sim, n_obs=sample.n_obs, reason=reason
    )


def _comparison(
    name: str,
    estimate: Estimate,
    task: _Task,
    *,
    floor: Floor | None = None,
    p_value: float | None = None,
    notes: tuple[str, ...] = (),
) -> Comparison:
    return Comparison(
        metric=name,
        estimate=estimate,
        floor=floor,
        p_value=p_value,
        n_permutations=task.settings.n_permutations if p_value is not None else 0,
        seed=task.seed,
        sim_digest=task.sim.digest,
        obs_digest=task.obs.digest,
        variant=task.variant,
        notes=task.notes + notes,
    )


def _holm_adjusted(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Adjust over the metrics that have a p-value."""
    p_values = {i: one.p_value for i, one in enumerate(comparisons) if one.p_value is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return tuple(
        dataclasses.replace(one, p_adjusted=float(adjusted[i])) if i in adjusted else one
        for i, one in enumerate(comparisons)
    )


def _identical(task: _Task, modules: Mapping[str, ModuleType]) -> Compared:
    """Return distance 0 and p = 1: the same data on both sides."""
    n = task.obs.n_groups
    estimate = Estimate(
        value=0.0,
        low=0.0,
        high=0.0,
        level=task.settings.level,
        method="none: both sides are the same data",
        estimand="population value",
        n_sim=n,
        n_obs=n,
    )
    comparisons = [
        dataclasses.replace(
            _comparison(name, estimate, task, p_value=1.0, notes=("same data on both sides",)),
            n_permutations=0,
        )
        for name in modules
    ]
    return Compared(
        comparisons=_holm_adjusted(comparisons),
        transform={"kind": "none: both sides are the same data"},
        n=n,
        occupancy=None,
    )


def _occupancy(
    metric: Occupancies,
    sample: Sample,
    transform: Pca,
    task: _Task,
    comparisons: Sequence[Comparison],
) -> Occupancy:
    value = next(one.estimate.value for one in comparisons if one.metric == "occupancy")
    k = len(metric.centres)
    labels = assign(sample.pooled, metric.centres)
    placed = {
        side: _placed(embedding, transform, metric.centres)
        for side, embedding in (("sim", task.sim), ("obs", task.obs))
    }
    curated = [e.name for e in (task.sim, task.obs) if e.sampling == "curated"]
    reason = (
        f"{' and '.join(curated)}: a curated sample does not say how common its objects are"
        if curated
        else ""
    )
    return Occupancy(
        k=k,
        jensen_shannon_bits=float(value or 0.0),
        fitted_on=f"pooled, unlabelled sample of {sample.n_sim} + {sample.n_obs} groups",
        claims=not curated,
        reason=reason,
        regions=region_table(
            counts_of(labels, sample.is_sim, k),
            counts_of(labels, ~sample.is_sim, k),
            centres=metric.centres,
            sim=placed["sim"],
            obs=placed["obs"],
            claims=not curated,
            level=task.settings.level,
        ),
        region_sim=placed["sim"].labels,
        region_obs=placed["obs"].labels,
    )


def _placed(embedding: Embedding, transform: Pca, centres: Float32Array) -> Placed:
    points = transform.apply(embedding.vectors)
    return Placed(
        points=points,
        labels=assign(points, centres),
        ids=embedding.ids,
        groups=embedding.groups,
    )


def _load(name: str) -> ModuleType:
    return plugins.load("simreal.compare.metrics", "simreal.metrics", name)


def _unique(metrics: Sequence[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(metrics))
    if not names:
        raise UsageError("metrics: got none, name one or more")
    return names
