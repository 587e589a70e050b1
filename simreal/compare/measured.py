"""One metric on one sample: value, interval, floor, ceiling, p-value and power.

Nothing here knows which metric it is. All random choices come from streams named after the
metric and what they decide, so adding a metric changes no other number.
"""

import dataclasses
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from simreal.compare.ceiling import Scale, ceiling_value, excess
from simreal.compare.contract import Fitted, MetricMeta, fit_metric, metric_meta
from simreal.compare.inference import (
    Subsampled,
    floor_values,
    p_value,
    permutation_statistics,
    subsample_masks,
    subsample_values,
    subsampling_interval,
    values,
)
from simreal.compare.power import detectable_shift
from simreal.compare.sample import Sample
from simreal.compare.settings import InferenceSettings
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError
from simreal.core.results import Comparison, Estimate, Floor
from simreal.core.seeding import stream


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """What is compared, how much inference is done, and where its randomness comes from."""

    obs: Embedding
    sim: Embedding
    settings: InferenceSettings
    seed: int
    variant: str
    notes: tuple[str, ...]

    def stream(self, *names: str) -> np.random.Generator:
        """Return the generator of a named random choice."""
        return stream(self.seed, "compare", *names)


def one_metric(
    name: str, module: ModuleType, sample: Sample, task: Task
) -> tuple[Comparison, Fitted | None]:
    """Return the comparison by one metric, and what was fitted; null with a reason if it fails."""
    meta = metric_meta(module, name)
    if meta.cost == "heavy":
        sample = sample.thinned(task.settings.heavy_n, rng=task.stream(name, "subsample"))
    smallest = meta.smallest_n(sample.pooled.shape[1])
    if sample.n < smallest:
        return bare_comparison(
            name, null_estimate(sample, _too_few(name, meta, sample, task)), task
        ), None
    try:
        metric = fit_metric(module, sample.pooled, rng=task.stream(name, "fit"))
        return _measured(name, meta, metric, sample, task), metric
    except NotComputableError as error:
        return bare_comparison(name, null_estimate(sample, f"{name}: {error}"), task), None


def _too_few(name: str, meta: MetricMeta, sample: Sample, task: Task) -> str:
    d = sample.pooled.shape[1]
    smallest = meta.smallest_n(d)
    why = (
        f" ({meta.groups_per_dimension:g} for each of {d} dimensions)"
        if smallest > meta.minimum_groups
        else ""
    )
    return (
        f"{name} needs {smallest} groups per side or more{why}, {sample.n} are left of "
        f"{task.sim.n_groups} simulated and {task.obs.n_groups} observed"
    )


def _measured(
    name: str, meta: MetricMeta, metric: Fitted, sample: Sample, task: Task
) -> Comparison:
    settings = task.settings.for_cost(meta.cost)
    masks = subsample_masks(
        sample.is_sim, settings.n_subsamples, rng=task.stream(name, "subsamples")
    )
    subsampled = subsample_values(metric, sample, masks)
    estimate = _estimate(metric, meta, sample, settings, subsampled)
    floor, floor_notes = _floor(metric, sample, settings, task.stream(name, "floor"))
    top, over = None, None
    if sample.ceiling_rounds is not None and floor is not None:
        top = ceiling_value(metric, sample)
        over = excess(
            metric,
            sample,
            estimate=estimate,
            scale=Scale(floor=floor.median, ceiling=top),
            subsampled=subsampled,
            masks=masks,
            n_floor_splits=settings.n_floor_splits,
            rng=task.stream(name, "ceiling"),
        )
    tested = permutation_statistics(
        metric,
        sample,
        settings.n_permutations,
        tail=meta.tail,
        rng=task.stream(name, "permutations"),
    )
    if not np.isfinite(tested).all():
        raise NotComputableError("got a number that is not finite under a relabelling")
    blank = bare_comparison(
        name,
        estimate,
        task,
        notes=(*_metric_notes(metric, meta, sample, task), *floor_notes),
    )
    return dataclasses.replace(
        blank,
        floor=floor,
        ceiling=top,
        excess=over,
        p_value=p_value(tested),
        n_permutations=settings.n_permutations,
        detectable=detectable_shift(metric, meta, sample, rng=task.stream(name, "power"))
        if settings.power
        else None,
    )


def _metric_notes(metric: Fitted, meta: MetricMeta, sample: Sample, task: Task) -> tuple[str, ...]:
    notes = []
    if note := getattr(metric, "note", ""):
        notes.append(str(note))
    if meta.cost == "heavy" and sample.n == task.settings.heavy_n:
        notes.append(f"heavy: on a random subsample of {sample.n} groups a side")
    d = sample.pooled.shape[1]
    if sample.n < meta.wanted_groups_per_dimension * d:
        notes.append(
            f"n = {sample.n} is below {meta.wanted_groups_per_dimension:g} groups for each of {d} "
            "dimensions: the value is mostly bias, read it against the floor"
        )
    return tuple(notes)


def _estimate(
    metric: Fitted,
    meta: MetricMeta,
    sample: Sample,
    settings: InferenceSettings,
    subsampled: Subsampled,
) -> Estimate:
    labels = sample.is_sim[None]
    value = float(values(metric, sample.rounds, labels, ~labels)[0])
    if not np.isfinite([value, *subsampled.half, *subsampled.quarter]).all():
        raise NotComputableError(f"got {value}, or a part of the sample gave no finite number")
    low, high = subsampling_interval(
        value, subsampled, level=settings.level, near_null=meta.near_null, bounds=meta.bounds
    )
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=settings.level,
        method=f"subsampling of halves and quarters of the groups, {settings.n_subsamples} each",
        estimand=meta.estimand,
        n_sim=sample.n_sim,
        n_obs=sample.n_obs,
    )


def _floor(
    metric: Fitted, sample: Sample, settings: InferenceSettings, rng: np.random.Generator
) -> tuple[Floor | None, tuple[str, ...]]:
    n, there = sample.n_obs, sample.obs_rounds.shape[1]
    if 2 * n > there:
        return None, (
            f"no floor: two disjoint sets of {n} need {2 * n} observed groups, not {there}",
        )
    splits = floor_values(metric, sample, n, settings.n_floor_splits, rng=rng)
    low, median, high = np.percentile(splits, [2.5, 50, 97.5]).tolist()
    return Floor(median=median, low=low, high=high, n=n, n_splits=len(splits)), ()


def null_estimate(sample: Sample, reason: str) -> Estimate:
    """Return no value, with the reason."""
    return Estimate(
        value=None, low=None, high=None, n_sim=sample.n_sim, n_obs=sample.n_obs, reason=reason
    )


def bare_comparison(
    name: str, estimate: Estimate, task: Task, *, notes: tuple[str, ...] = ()
) -> Comparison:
    """Return a comparison that has an estimate and nothing else yet."""
    return Comparison(
        metric=name,
        estimate=estimate,
        floor=None,
        p_value=None,
        seed=task.seed,
        sim_digest=task.sim.digest,
        obs_digest=task.obs.digest,
        variant=task.variant,
        notes=task.notes + notes,
    )
