"""A comparison up to its match: both sets on the same footing, and what that took."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simreal.pipeline.cache import StageCache, cache_folder
from simreal.pipeline.plan import make_plan
from simreal.pipeline.settings import RunSettings, expanded, settings_to_toml
from simreal.pipeline.stages import (
    SIDES,
    Progress,
    Work,
    match_stage,
    read_json,
    read_stage,
    silent,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchRun:
    """Two matched sets on disk.

    Parameters
    ----------
    folder : Path
        ``sim.h5``, ``obs.h5`` (and their sky, where there is any), ``match.json``,
        ``excluded.csv``, ``rejected.csv`` and ``run.toml``.
    match : mapping
        What ``match.json`` holds: steps, checks, balance, what was lost, warnings.
    n : mapping of "sim", "obs" to int
        Matched images.
    rejected : tuple of dict
        Broken files of both sides.
    """

    folder: Path
    match: Mapping[str, Any]
    n: Mapping[str, int]
    rejected: tuple[dict[str, Any], ...]


def run_match(
    settings: RunSettings, *, out: Path | None = None, progress: Progress | None = None
) -> MatchRun:
    """Bring two collections to the same observing conditions and write both sets.

    The stages are those of a comparison with the same settings, which finds them in the cache.

    Parameters
    ----------
    settings : RunSettings
    out : Path, optional
        Default ``matched/SIM_vs_OBS``.
    progress : callable, optional
        ``(label, done, total)``.

    Raises
    ------
    SimrealError
        In one line: what was got, what is allowed, what to do.
    """
    from simreal.data.store import read_set
    from simreal.report.tables import write_excluded, write_rejected, write_text

    settings = expanded(settings)
    plan = make_plan(settings)
    work = Work(
        plan=plan, cache=StageCache(cache_folder()), seconds={}, progress=progress or silent
    )
    read = read_stage(work)
    stage = match_stage(work, {side: found.images for side, found in read.items()})
    match = read_json(stage / "match.json")
    folder = out or Path("matched") / f"{plan.sim_card.name}_vs_{plan.obs_card.name}"
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(stage.glob("*.h5")):
        shutil.copyfile(path, folder / path.name)
    rejected = tuple(
        {**row, "side": side} for side, found in read.items() for row in found.rejected
    )
    write_rejected(rejected, folder / "rejected.csv")
    write_excluded(match["excluded"], folder / "excluded.csv")
    write_text(settings_to_toml(settings), folder / "run.toml")
    # Last: a folder with match.json is a finished match.
    shutil.copyfile(stage / "match.json", folder / "match.json")
    return MatchRun(
        folder=folder,
        match=match,
        n={side: len(read_set(folder / f"{side}.h5")) for side in SIDES},
        rejected=rejected,
    )
