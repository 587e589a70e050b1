"""Compare two embeddings: every metric with its floor, interval and p-value.

The order: same encoder and same footing or a refusal; equal views and equal n on both sides;
one label-free transform; then every metric, fitted to the anonymous pool, goes through the same
inference (`simreal.compare.measured`).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from simreal.compare.footing import check_footing
from simreal.compare.measured import Task, bare_comparison, one_metric
from simreal.compare.metrics.occupancy import Occupancies
from simreal.compare.objects import ObjectScores, Population, object_scores
from simreal.compare.regions import Occupancy, Placed, counts_of, region_table
from simreal.compare.sample import Sample, draw_sample, usable_n
from simreal.compare.settings import InferenceSettings
from simreal.compare.strata import make_strata
from simreal.core import plugins
from simreal.core.arrays import Float32Array
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.results import Comparison, Estimate
from simreal.stats.clusters import assign
from simreal.stats.fdr import holm
from simreal.stats.pca import Pca


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
    scores : Mapping of "sim", "obs" to ObjectScores, or None
        Both scores of every image, tested or not: of the simulated ones against the observed
        ones, and the other way round.
    scores_reason : str
        Why there are none.
    """

    comparisons: tuple[Comparison, ...]
    transform: Mapping[str, Any]
    n: int
    occupancy: Occupancy | None
    scores: Mapping[str, ObjectScores] | None
    scores_reason: str = ""


def compare_embeddings(
    obs: Embedding,
    sim: Embedding,
    *,
    metrics: Sequence[str],
    settings: InferenceSettings | None = None,
    seed: int,
    allow: Sequence[str] = (),
    variant: str = "",
    ceiling: Embedding | None = None,
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
    ceiling : Embedding, optional
        A declared bad mock under the same encoder: every metric then has an excess.

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
    modules = {name: load_metric(name) for name in _unique(metrics)}
    notes = check_footing(obs, sim, allow=allow)
    if ceiling is not None:
        check_footing(obs, ceiling, allow=allow)
    task = Task(obs=obs, sim=sim, settings=settings, seed=seed, variant=variant, notes=notes)
    if same_data(obs, sim):
        return _identical(task, modules)
    strata = (
        make_strata(obs, sim, names=settings.strata, bins=settings.strata_bins)
        if settings.strata
        else None
    )
    n = usable_n(obs, sim, settings.n, strata=strata)
    sample, transform, record = draw_sample(
        obs, sim, n=n, seed=seed, strata=strata, ceiling=ceiling
    )
    measured = {name: one_metric(name, module, sample, task) for name, module in modules.items()}
    comparisons = _holm_adjusted([comparison for comparison, _ in measured.values()])
    if all(one.estimate.value is None for one in comparisons):
        raise NotComputableError("; ".join(str(one.estimate.reason) for one in comparisons))
    regions = measured["occupancy"][1] if "occupancy" in measured else None
    scores, scores_reason = _scores(task, transform)
    return Compared(
        comparisons=comparisons,
        transform=record,
        n=n,
        occupancy=_occupancy(regions, sample, transform, task, comparisons)
        if isinstance(regions, Occupancies)
        else None,
        scores=scores,
        scores_reason=scores_reason,
    )


def _scores(task: Task, transform: Pca) -> tuple[dict[str, ObjectScores] | None, str]:
    """Return both scores of every object, both ways, or why there are none."""
    sim, obs = (
        Population(points=transform.apply(e.vectors), groups=e.groups, name=e.name)
        for e in (task.sim, task.obs)
    )
    level = round(1 - task.settings.level, 9)
    try:
        return {
            "sim": object_scores(sim, obs, level=level, rng=task.stream("objects", "sim")),
            "obs": object_scores(obs, sim, level=level, rng=task.stream("objects", "obs")),
        }, ""
    except NotComputableError as error:
        return None, str(error)


def same_data(obs: Embedding, sim: Embedding) -> bool:
    """Return whether both sides hold the same vectors, whatever their names and order."""
    if obs.digest == sim.digest:
        return True
    if obs.vectors.shape != sim.vectors.shape:
        return False
    one, other = (e.vectors[np.lexsort(e.vectors.T[::-1])] for e in (obs, sim))
    return bool(np.array_equal(one, other))


def _holm_adjusted(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Adjust over the metrics that have a p-value."""
    p_values = {i: one.p_value for i, one in enumerate(comparisons) if one.p_value is not None}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return tuple(
        dataclasses.replace(one, p_adjusted=float(adjusted[i])) if i in adjusted else one
        for i, one in enumerate(comparisons)
    )


def _identical(task: Task, modules: Mapping[str, ModuleType]) -> Compared:
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
    warning = "warning: the same data on both sides, which is no comparison"
    comparisons = [
        dataclasses.replace(bare_comparison(name, estimate, task, notes=(warning,)), p_value=1.0)
        for name in modules
    ]
    return Compared(
        comparisons=_holm_adjusted(comparisons),
        transform={"kind": "none: both sides are the same data"},
        n=n,
        occupancy=None,
        scores=None,
        scores_reason=warning,
    )


def _occupancy(
    metric: Occupancies,
    sample: Sample,
    transform: Pca,
    task: Task,
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


def load_metric(name: str) -> ModuleType:
    """Return the module of a built-in or installed metric."""
    return plugins.load("simreal.compare.metrics", "simreal.metrics", name)


def _unique(metrics: Sequence[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(metrics))
    if not names:
        raise UsageError("metrics: got none, name one or more")
    return names
