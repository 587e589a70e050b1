"""The comparison, in the order of a methods section.

Read the two collections, bring them to the same observing conditions, embed both with one
encoder that never learns which side an image is from, measure how far apart they lie, and
report it. Every stage is kept in the cache; a rerun does nothing.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.arrays import IntArray
from simreal.core.cards import Card
from simreal.core.images import ImageSet
from simreal.pipeline import fragments
from simreal.pipeline.cache import StageCache, cache_folder
from simreal.pipeline.plan import VARIANTS, Plan, make_plan
from simreal.pipeline.results import assemble
from simreal.pipeline.settings import RunSettings, settings_to_toml

if TYPE_CHECKING:
    from simreal.compare.regions import Occupancy

Progress = Callable[[str, int, int], None]

SIDES = ("sim", "obs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One finished comparison.

    Parameters
    ----------
    results : dict
        The content of ``results.json`` (schema 1).
    folder : Path
        Where report, results, figures and tables were written.
    n_rejected : int
        Broken files that were left out; the command line exits with 4 if there are any.
    """

    results: Mapping[str, Any]
    folder: Path
    n_rejected: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """What every stage needs: the plan, the cache, the clock and who is watching."""

    plan: Plan
    cache: StageCache
    seconds: dict[str, float]
    progress: Progress

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and show that it began and ended."""
        start = time.perf_counter()
        self.progress(name, 0, 1)
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - start, 3)
        self.progress(name, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Side:
    """One collection as read: its images, what was quarantined, what a reader must know."""

    images: ImageSet
    rejected: list[dict[str, str]]
    notes: list[str]


def run_comparison(
    settings: RunSettings,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
    command: str = "",
) -> Run:
    """Compare a simulated with an observed collection and write the report.

    Parameters
    ----------
    settings : RunSettings
        Which collections, which encoder and metrics, how many objects.
    out : Path, optional
        Folder of the run; default ``runs/SIM_vs_OBS``.
    progress : callable, optional
        Called with a label, the steps done and the steps in all.
    command : str
        The command line, for the provenance.

    Returns
    -------
    Run

    Raises
    ------
    SimrealError
        In one line: what was got, what is allowed, what to do.
    """
    from simreal.report.tables import results_to_json, write_text

    plan = make_plan(settings)
    work = _Work(
        plan=plan, cache=StageCache(cache_folder()), seconds={}, progress=progress or _silent
    )
    read = _read(work)
    native = {side: found.images for side, found in read.items()}
    matched = _match(work, native)
    stamps = {side: _stored(matched / f"{side}.h5") for side in SIDES}
    match = _json(matched / "match.json")
    compared = {
        variant: _compare(
            work, variant, _embed(work, variant, stamps), match["residual_differences"]
        )
        for variant in VARIANTS
    }
    results = assemble(
        plan,
        native=native,
        stamps=stamps,
        rejected={side: found.rejected for side, found in read.items()},
        notes=[f"{found.images.name}: {note}" for found in read.values() for note in found.notes],
        match=match,
        compared={variant: _json(path / "compared.json") for variant, path in compared.items()},
        provenance={"command": command, "timings": work.seconds},
    )
    folder = out or Path("runs") / f"{plan.sim_card.name}_vs_{plan.obs_card.name}"
    with work.stage("report"):
        _write(results, settings, folder, native=native, stamps=stamps, lead=compared[VARIANTS[0]])
    # Last, and with the time the report took: a folder with results is a finished run.
    write_text(results_to_json(results), folder / "results.json")
    return Run(results=results, folder=folder, n_rejected=len(results["rejected"]))


def _silent(label: str, done: int, total: int) -> None:
    """Show no progress."""


def _read(work: _Work) -> dict[str, _Side]:
    """Read both collections; one collection against itself becomes two disjoint halves."""
    from simreal.data.split import halves

    plan = work.plan
    obs = _ingest(work, plan.obs_card, plan.read_keys["obs"])
    if plan.null_test:
        first, second = halves(obs.images, seed=plan.settings.seed)
        return {
            "sim": _Side(images=first, rejected=[], notes=[]),
            "obs": replace(obs, images=second),
        }
    return {"sim": _ingest(work, plan.sim_card, plan.read_keys["sim"]), "obs": obs}


def _ingest(work: _Work, card: Card, key: str) -> _Side:
    from simreal.data.ingest import ingest

    def build(folder: Path) -> None:
        ingested = ingest(card, seed=work.plan.settings.seed, store=folder / "images.h5")
        found = {
            "rejected": fragments.rejections(ingested.rejected),
            "notes": list(ingested.notes),
        }
        _dump(found, folder / "read.json")

    with work.stage(f"read {card.name}"):
        folder = work.cache.fetch("read", key, build)
    return _Side(images=_stored(folder / "images.h5"), **_json(folder / "read.json"))


def _match(work: _Work, native: Mapping[str, ImageSet]) -> Path:
    """Bring both sides to the same frame, PSF, noise and encoding."""
    from simreal.data.store import write_set
    from simreal.match.run import match_pair

    plan = work.plan

    def build(folder: Path) -> None:
        matched = match_pair(
            native["sim"],
            native["obs"],
            views=(plan.sim_card.view, plan.obs_card.view),
            recipe=plan.recipe,
            seed=plan.settings.seed,
            progress=work.progress,
        )
        write_set(folder / "sim.h5", matched.sim)
        write_set(folder / "obs.h5", matched.obs)
        _dump(fragments.matching(matched), folder / "match.json")

    with work.stage("match"):
        return work.cache.fetch("match", plan.match_key, build)


def _embed(work: _Work, variant: str, stamps: Mapping[str, ImageSet]) -> Path:
    """Train one encoder on both sides pooled, without labels, and embed each side."""
    from simreal.data.store import write_embedding
    from simreal.encode.run import embed, fit_encoder, save_encoder
    from simreal.match.bands import luminance

    plan = work.plan

    def build(folder: Path) -> None:
        seen = {
            side: luminance(images) if variant == "luminance" else images
            for side, images in stamps.items()
        }

        def labelled(label: str, done: int, total: int) -> None:
            work.progress(f"{label} ({variant})", done, total)

        # Checkpoints outlive an interrupted build, so that a rerun resumes the training.
        checkpoints = work.cache.folder / "checkpoints" / plan.embed_keys[variant][:32]
        encoder = fit_encoder(
            plan.settings.encoder,
            list(seen.values()),
            settings=replace(plan.encoder, checkpoints=checkpoints),
            seed=plan.settings.seed,
            progress=labelled,
        )
        save_encoder(encoder, folder / "encoder")
        for side, images in seen.items():
            write_embedding(folder / f"{side}.h5", embed(encoder, images))
        shutil.rmtree(checkpoints, ignore_errors=True)

    with work.stage(f"embed {variant}"):
        return work.cache.fetch("embed", plan.embed_keys[variant], build)


def _compare(work: _Work, variant: str, embedded: Path, residual: list[str]) -> Path:
    """Measure the distances, and where each side puts its objects."""
    from simreal.compare.run import compare_embeddings
    from simreal.data.store import read_embedding
    from simreal.explain.outliers import realism
    from simreal.explain.projection import pca_map

    plan = work.plan

    def build(folder: Path) -> None:
        sim, obs = (read_embedding(embedded / f"{side}.h5") for side in SIDES)
        compared = compare_embeddings(
            obs,
            sim,
            metrics=plan.settings.metrics,
            settings=plan.inference,
            seed=plan.settings.seed,
            allow=(*plan.settings.allow, *residual),
            variant=variant,
        )
        projected, realistic = pca_map(obs, sim), realism(obs, sim)
        card = _json(embedded / "encoder" / "card.json")
        found = fragments.comparing(compared, projected, realistic, sim, obs, card)
        _dump(found, folder / "compared.json")
        region_sim, region_obs = _regions(compared.occupancy, len(sim), len(obs))
        np.savez(
            folder / "objects.npz",
            coordinates_sim=projected.coordinates_sim,
            coordinates_obs=projected.coordinates_obs,
            region_sim=region_sim,
            region_obs=region_obs,
        )

    with work.stage(f"compare {variant}"):
        return work.cache.fetch("compare", plan.compare_keys[variant], build)


def _regions(occupancy: "Occupancy | None", n_sim: int, n_obs: int) -> tuple[IntArray, IntArray]:
    """Return the region of every object, -1 where occupancy was not computable."""
    if occupancy is None:
        return np.full(n_sim, -1, dtype=np.int64), np.full(n_obs, -1, dtype=np.int64)
    return occupancy.region_sim, occupancy.region_obs


def _write(
    results: dict[str, Any],
    settings: RunSettings,
    folder: Path,
    *,
    native: Mapping[str, ImageSet],
    stamps: Mapping[str, ImageSet],
    lead: Path,
) -> None:
    """Write everything a reader, a script and a referee need, each file whole."""
    from simreal.report.page import ReportInputs, write_report
    from simreal.report.tables import write_excluded, write_rejected, write_text

    folder.mkdir(parents=True, exist_ok=True)
    with np.load(lead / "objects.npz") as objects:
        inputs = ReportInputs(
            results=results,
            native_sim=native["sim"],
            native_obs=native["obs"],
            sim=stamps["sim"],
            obs=stamps["obs"],
            explained_variance=np.array(results["map"]["explained_variance"]),
            **{name: objects[name] for name in objects.files},
        )
    write_report(inputs, folder)
    write_rejected(results["rejected"], folder / "rejected.csv")
    write_excluded(results["excluded"], folder / "excluded.csv")
    write_text(settings_to_toml(settings), folder / "run.toml")


def _stored(path: Path) -> ImageSet:
    from simreal.data.store import read_set

    return read_set(path)


def _dump(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
