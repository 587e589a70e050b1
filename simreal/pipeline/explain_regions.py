"""Regions, property maps and conditional realism of a finished run, without torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.core.results import Comparison
from simreal.core.seeding import stream

if TYPE_CHECKING:
    from simreal.compare.settings import InferenceSettings
    from simreal.explain.conditional import ConditionalRealism
    from simreal.explain.regions import Regions, RegionSettings

METRIC = "mmd"


def read_pair(run: str | Path, *, variant: str | None = None) -> tuple[Embedding, Embedding]:
    """Return the observed and the simulated embedding of a finished run.

    Parameters
    ----------
    run : str or Path
        Folder of a run.
    variant : str, optional
        By default the leading one.

    Raises
    ------
    UsageError
        If there are no embeddings, or no such variant.
    """
    from simreal.data.store import read_embedding

    folder = Path(run) / "embeddings"
    variants = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    if not variants:
        raise UsageError(f"{run}: no embeddings; name the folder of a run of simreal compare")
    if variant is not None and variant not in variants:
        raise UsageError(f"variant: got {variant!r}: {did_you_mean(variant, variants)}")
    chosen = folder / (variant or _lead(Path(run), variants))
    return read_embedding(chosen / "obs.h5"), read_embedding(chosen / "sim.h5")


def _lead(run: Path, variants: Sequence[str]) -> str:
    try:
        rows = json.loads((run / "results.json").read_text(encoding="utf-8"))["comparisons"]
        named = next(str(row["variant"]) for row in rows if row["lead"])
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return variants[0]
    return named if named in variants else variants[0]


def regions_of_run(
    run: str | Path,
    *,
    variant: str | None = None,
    settings: "RegionSettings | None" = None,
    seed: int = 0,
) -> "Regions":
    """Return the regions of a finished run.

    Parameters
    ----------
    run : str or Path
    variant : str, optional
        By default the leading one.
    settings : RegionSettings
    seed : int
    """
    from simreal.explain.regions import find_regions

    obs, sim = read_pair(run, variant=variant)
    return find_regions(obs, sim, settings=settings, rng=stream(seed, "explain", "regions"))


def conditional_realism(
    run: "str | Path | tuple[Embedding, Embedding]",
    name: str,
    *,
    bins: int | Sequence[float] = 4,
    metric: str = METRIC,
    settings: "InferenceSettings | None" = None,
    variant: str | None = None,
    seed: int = 0,
) -> "ConditionalRealism":
    """Return the distance of the two sides of a run at fixed values of a property.

    Both sides are first put on the principal components of their pool, in its width; the
    distance in every bin is in that unit.

    Parameters
    ----------
    run : str, Path or (obs, sim)
        Folder of a run, or its observed and simulated embedding.
    name : str
        Numeric property of both sides, or of one.
    bins : int or sequence of float
        Number of quantile bins, or edges.
    metric : str
    settings : InferenceSettings
    variant : str, optional
        By default the leading one.
    seed : int

    Raises
    ------
    UsageError
        If metric, property or bins are not there.
    NotComputableError
        If no bin has enough objects.
    """
    from simreal.compare.run import load_metric
    from simreal.compare.settings import InferenceSettings
    from simreal.explain.conditional import conditional_realism as in_bins

    obs, sim = run if isinstance(run, tuple) else read_pair(run, variant=variant)
    load_metric(metric)
    given = settings or InferenceSettings(power=False)
    if given.strata:
        raise UsageError("conditional realism: strata are what the bins are; leave them out")
    obs, sim = _on_common_scale(obs, sim)
    measure = _Measure(metric=metric, settings=replace(given, power=False), seed=seed)
    return in_bins(obs, sim, name, measure=measure, bins=bins, metric=metric)


def _on_common_scale(obs: Embedding, sim: Embedding) -> tuple[Embedding, Embedding]:
    from simreal.explain.projection import pooled_pca

    if obs.encoder_digest != sim.encoder_digest:
        raise UsageError(f"{sim.name} and {obs.name} come from different encoders; use one")
    fitted = pooled_pca(obs, sim)
    return (
        obs.replace(vectors=fitted.apply(obs.vectors)),
        sim.replace(vectors=fitted.apply(sim.vectors)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measure:
    """One metric, with all of its inference, on the scale that the vectors come in."""

    metric: str
    settings: "InferenceSettings"
    seed: int

    def __call__(self, obs: Embedding, sim: Embedding) -> Comparison:
        from simreal.compare.measured import Task, one_metric
        from simreal.compare.run import load_metric
        from simreal.compare.sample import draw_sample, usable_n

        n = usable_n(obs, sim, self.settings.n)
        sample, transform, _ = draw_sample(obs, sim, n=n, seed=self.seed)
        # Each bin is drawn in its own width; a common one makes bins comparable.
        scale = np.float32(transform.scale)
        sample = replace(sample, rounds=sample.rounds * scale, obs_rounds=sample.obs_rounds * scale)
        task = Task(obs=obs, sim=sim, settings=self.settings, seed=self.seed, variant="", notes=())
        found, _ = one_metric(self.metric, load_metric(self.metric), sample, task)
        if found.estimate.value is None:
            raise NotComputableError(str(found.estimate.reason))
        return found
