"""The comparison, in the order of a methods section.

Read the two collections, bring them to the same observing conditions, embed both with one
encoder that never learns which side an image is from, measure how far apart they lie, and
report it. Every stage is kept in the cache; a rerun does nothing.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.arrays import IntArray
from simreal.core.embedding import Embedding
from simreal.core.images import ImageSet
from simreal.pipeline import fragments
from simreal.pipeline.cache import StageCache, cache_folder
from simreal.pipeline.encoding import (
    Stamps,
    bad_mock,
    fit_or_load,
    keeps_training_part,
    split_stamps,
    stored_encoder,
)
from simreal.pipeline.explain import Explained, explain_stage
from simreal.pipeline.manifest import write_manifest
from simreal.pipeline.plan import Check, Plan, make_plan
from simreal.pipeline.results import assemble
from simreal.pipeline.settings import RunSettings, expanded, settings_to_toml
from simreal.pipeline.stages import (
    SIDES,
    Progress,
    Work,
    dump,
    hash_stage,
    ingest_stage,
    match_stage,
    read_into,
    read_json,
    read_stage,
    silent,
    stored,
    stored_if_any,
)

if TYPE_CHECKING:
    from simreal.compare.regions import Occupancy
    from simreal.compare.settings import InferenceSettings


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

    settings = expanded(settings)
    plan = make_plan(settings)
    work = Work(
        plan=plan, cache=StageCache(cache_folder()), seconds={}, progress=progress or silent
    )
    read = read_stage(work)
    native = {side: found.images for side, found in read.items()}
    matched = match_stage(work, native)
    stamps = split_stamps(
        {side: stored(matched / f"{side}.h5") for side in SIDES},
        native["obs"],
        frozen=keeps_training_part(settings.mode, settings.encoder_from),
        seed=settings.seed,
    )
    match = read_json(matched / "match.json")
    residual = match["residual_differences"]
    embedded = {variant: _embed(work, _lead(plan, variant), stamps) for variant in plan.variants}
    compared = {
        variant: _compare(work, _lead(plan, variant), folder, residual)
        for variant, folder in embedded.items()
    }
    checked = [
        _compare(work, task, _embed(work, task, stamps), residual)
        for task in (_check(plan, check) for check in plan.checks)
    ]
    unmatched = _unmatched(work, native)
    explained = explain_stage(work, embedded[plan.lead]) if settings.explain == "full" else None
    audit, audit_pictures = _audit(work, native, matched, stamps, embedded)
    results = assemble(
        plan,
        read=read,
        stamps=stamps.sides,
        match={**match, "unmatched_comparisons": unmatched},
        audit=audit,
        compared={variant: read_json(path / "compared.json") for variant, path in compared.items()},
        checked=[read_json(path / "compared.json") for path in checked],
        provenance={"command": command, "timings": work.seconds},
    )
    results["explained"] = None if explained is None else explained.found
    folder = out or Path("runs") / f"{plan.sim_card.name}_vs_{plan.obs_card.name}"
    with work.stage("report"):
        _write(
            results,
            settings,
            folder,
            native=native,
            stamps=stamps.sides,
            lead=compared[plan.lead],
            audit_pictures=audit_pictures,
            explained=explained,
        )
        _keep_embeddings(embedded, folder / "embeddings")
        if settings.mode == "frozen":
            _keep_encoders(embedded, folder / "encoder")
            _keep_scored(work, stamps.obs, folder / "observed.json")
    # Last, and with the time the report took: a folder with results is a finished run.
    write_text(results_to_json(results), folder / "results.json")
    write_manifest(folder)
    return Run(results=results, folder=folder, n_rejected=len(results["rejected"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One encoder on one variant: what it is called, and where its results are kept."""

    label: str
    variant: str
    encoder: str
    seed: int
    embed_key: str
    compare_key: str
    inference: "InferenceSettings"


def _lead(plan: Plan, variant: str) -> _Task:
    return _Task(
        label=variant,
        variant=variant,
        encoder=plan.settings.encoder,
        seed=plan.settings.seed,
        embed_key=plan.embed_keys[variant],
        compare_key=plan.compare_keys[variant],
        inference=plan.inference,
    )


def _check(plan: Plan, check: Check) -> _Task:
    return _Task(
        label=f"check {check.encoder} {check.seed}",
        variant=plan.lead,
        encoder=check.encoder,
        seed=check.seed,
        embed_key=check.embed_key,
        compare_key=check.compare_key,
        inference=replace(plan.inference, power=False),
    )


def _embed(work: Work, task: _Task, stamps: Stamps) -> Path:
    """Fit one encoder, or read a frozen one back, and embed each side and the bad mock."""
    from simreal.data.store import write_embedding
    from simreal.encode.run import embed, save_encoder
    from simreal.match.variants import shown as shown_as

    plan = work.plan

    def seen(images: ImageSet) -> ImageSet:
        return shown_as(images, task.variant)

    def labelled(label: str, done: int, total: int) -> None:
        work.progress(f"{label} ({task.label})", done, total)

    def build(folder: Path) -> None:
        # Checkpoints outlive an interrupted build, so that a rerun resumes the training.
        checkpoints = work.cache.folder / "checkpoints" / task.embed_key[:32]
        encoder = fit_or_load(
            task.encoder,
            replace(
                stamps,
                sim=seen(stamps.sim),
                obs=seen(stamps.obs),
                training=None if stamps.training is None else seen(stamps.training),
            ),
            settings=replace(plan.encoder, checkpoints=checkpoints),
            seed=task.seed,
            stored=stored_encoder(plan.settings.encoder_from, task.variant)
            if task.encoder == plan.settings.encoder
            else None,
            progress=labelled,
        )
        save_encoder(encoder, folder / "encoder")
        shown = dict(stamps.sides)
        if plan.settings.ceiling != "none":
            shown["ceiling"] = bad_mock(plan.settings.ceiling, stamps.obs, seed=plan.settings.seed)
        for side, images in shown.items():
            write_embedding(folder / f"{side}.h5", embed(encoder, seen(images)))
        shutil.rmtree(checkpoints, ignore_errors=True)

    with work.stage(f"embed {task.label}"):
        return work.cache.fetch("embed", task.embed_key, build)


def _keep_embeddings(embedded: Mapping[str, Path], folder: Path) -> None:
    """Leave the vectors with the run, for questions the report does not ask."""
    for variant, path in embedded.items():
        (folder / variant).mkdir(parents=True, exist_ok=True)
        for side in (*SIDES, "ceiling"):
            if (path / f"{side}.h5").exists():
                shutil.copyfile(path / f"{side}.h5", folder / variant / f"{side}.h5")


def _keep_encoders(embedded: Mapping[str, Path], folder: Path) -> None:
    """Leave the frozen encoders with the run, so that others can be scored with the same ones."""
    for variant, path in embedded.items():
        shutil.copytree(path / "encoder", folder / variant, dirs_exist_ok=True)


def _keep_scored(work: Work, scored: ImageSet, path: Path) -> None:
    """Leave which observed objects were scored, by the hash of their original pixels."""
    from simreal.report.tables import write_text

    card, key = work.plan.obs_card, work.plan.read_keys["obs"]
    build = read_into(card, seed=work.plan.settings.seed)
    originals = stored(work.cache.fetch("read", key, build) / "images.h5")
    hashes = hash_stage(work.cache, originals, key)["hashes"]
    known = dict(zip(originals.ids.tolist(), hashes, strict=True))
    content = {
        "ids": scored.ids.tolist(),
        "groups": scored.groups.tolist(),
        "pixel_hashes": [known[name] for name in scored.ids.tolist()],
    }
    write_text(json.dumps(content, indent=0), path)


def _compare(work: Work, task: _Task, embedded: Path, residual: list[str]) -> Path:
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
            settings=task.inference,
            seed=plan.settings.seed,
            allow=(*plan.settings.allow, *residual),
            variant=task.variant,
            ceiling=_ceiling(embedded),
        )
        projected, realistic = pca_map(obs, sim), realism(obs, sim)
        card = read_json(embedded / "encoder" / "card.json")
        found = fragments.comparing(compared, projected, realistic, sim, obs, card)
        dump({**found, "seed": task.seed}, folder / "compared.json")
        region_sim, region_obs = _regions(compared.occupancy, len(sim), len(obs))
        np.savez(
            folder / "objects.npz",
            coordinates_sim=projected.coordinates_sim,
            coordinates_obs=projected.coordinates_obs,
            region_sim=region_sim,
            region_obs=region_obs,
        )

    with work.stage(f"compare {task.label}"):
        return work.cache.fetch("compare", task.compare_key, build)


def _unmatched(work: Work, native: Mapping[str, ImageSet]) -> list[dict[str, Any]]:
    """Return the leading comparisons as they are without the matched selection, if there is one.

    The two side by side say how much of a distance is a difference in what was selected.
    """
    if not work.plan.settings.match_on:
        return []
    plain = work.plan.settings.model_copy(update={"match_on": (), "audit": "none", "bridges": ()})
    other = replace(work, plan=make_plan(plain))
    matched = match_stage(other, native)
    stamps = split_stamps(
        {side: stored(matched / f"{side}.h5") for side in SIDES},
        native["obs"],
        frozen=keeps_training_part(plain.mode, plain.encoder_from),
        seed=plain.seed,
    )
    task = replace(_lead(other.plan, other.plan.lead), label="without matched selection")
    residual = read_json(matched / "match.json")["residual_differences"]
    found = _compare(other, task, _embed(other, task, stamps), residual)
    rows: list[dict[str, Any]] = read_json(found / "compared.json")["comparisons"]
    return rows


def _audit(
    work: Work,
    native: Mapping[str, ImageSet],
    matched: Path,
    stamps: Stamps,
    embedded: Mapping[str, Path],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ask whether the distance measures galaxies; return the answer and its pictures."""
    from simreal.pipeline.audit import Evidence, audit_comparison, not_audited

    plan, match = work.plan, read_json(matched / "match.json")
    if plan.settings.audit == "none":
        return not_audited(plan, match), {}
    bridges = {
        card.name: ingest_stage(work, card, plan.read_keys[card.name]).images
        for card in plan.bridge_cards
    }

    def build(folder: Path) -> None:
        evidence = Evidence(
            native=native,
            stamps=stamps.sides,
            sky={side: stored_if_any(matched / f"sky_{side}.h5") for side in SIDES},
            embedded=embedded,
            match=match,
            bridges=bridges,
        )
        found, shown = audit_comparison(plan, evidence, progress=work.progress)
        dump(found, folder / "audit.json")
        dump(shown, folder / "pictures.json")

    with work.stage("audit"):
        folder = work.cache.fetch("audit", plan.audit_key, build)
    return read_json(folder / "audit.json"), read_json(folder / "pictures.json")


def _ceiling(embedded: Path) -> Embedding | None:
    """Return the declared bad mock, if there is one."""
    from simreal.data.store import read_embedding

    path = embedded / "ceiling.h5"
    return read_embedding(path) if path.exists() else None


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
    audit_pictures: Mapping[str, Any],
    explained: Explained | None,
) -> None:
    """Write everything a reader, a script and a referee need, each file whole."""
    from simreal.report.page import ReportInputs, write_report
    from simreal.report.tables import write_excluded, write_rejected, write_text

    folder.mkdir(parents=True, exist_ok=True)
    with np.load(lead / "objects.npz") as objects:
        placed = {name: objects[name] for name in objects.files}
    if explained is not None:
        placed |= explained.labels()
    inputs = ReportInputs(
        results=results,
        native_sim=native["sim"],
        native_obs=native["obs"],
        sim=stamps["sim"],
        obs=stamps["obs"],
        explained_variance=np.array(results["map"]["explained_variance"]),
        audit_pictures=audit_pictures,
        drawn={} if explained is None else explained.drawings(),
        **placed,
    )
    write_report(inputs, folder)
    write_rejected(results["rejected"], folder / "rejected.csv")
    write_excluded(results["excluded"], folder / "excluded.csv")
    write_text(settings_to_toml(settings), folder / "run.toml")
