"""A comparison up to its match: both sets on the same footing, and what that took."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simreal.core.errors import UsageError
from simreal.core.images import ImageSet
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
    stored,
    stored_if_any,
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
    strip : Path or None
        Picture of some stamps of both sides, where one was asked for.
    """

    folder: Path
    match: Mapping[str, Any]
    n: Mapping[str, int]
    rejected: tuple[dict[str, Any], ...]
    strip: Path | None = None


def run_match(
    settings: RunSettings,
    *,
    out: Path | None = None,
    strip: Path | None = None,
    progress: Progress | None = None,
) -> MatchRun:
    """Bring two collections to the same observing conditions and write both sets.

    The stages are those of a comparison with the same settings, which finds them in the cache.

    Parameters
    ----------
    settings : RunSettings
    out : Path, optional
        Default ``matched/SIM_vs_OBS``.
    strip : Path, optional
        PNG to write: some matched stamps of both sides, and of their empty sky.
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
    if strip is not None and strip.suffix.lower() != ".png":
        raise UsageError(f"--strip: got {str(strip)!r}, allowed is the name of a .png file")
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
    if strip is not None:
        write_strip(stage, strip, names=(plan.sim_card.name, plan.obs_card.name))
    # Last: a folder with match.json is a finished match.
    shutil.copyfile(stage / "match.json", folder / "match.json")
    return MatchRun(
        folder=folder,
        match=match,
        n={side: len(read_set(folder / f"{side}.h5")) for side in SIDES},
        rejected=rejected,
        strip=strip,
    )


def write_strip(matched: Path, path: Path, *, names: tuple[str, str]) -> None:
    """Draw some stamps of both sides of a match, and of their empty sky where there is any.

    Parameters
    ----------
    matched : Path
        Folder with ``sim.h5``, ``obs.h5`` and perhaps ``sky_sim.h5``, ``sky_obs.h5``.
    path : Path
        PNG to write.
    names : pair of str
        Of the simulated and the observed collection.
    """
    from simreal.report.strips import Row, strip

    sides = dict(zip(SIDES, names, strict=True))
    stamps = {side: stored(matched / f"{side}.h5") for side in SIDES}
    skies = {side: stored_if_any(matched / f"sky_{side}.h5") for side in SIDES}
    rows = [
        Row(label=f"{side}  {sides[side]}: some of {len(images)} {what}", images=images)
        for what, found in (("stamps", stamps), ("patches of empty sky", skies))
        for side, images in found.items()
        if images is not None
    ]
    order = shown_bands(rows[0].images)
    setup = rows[0].images.setup
    bands = ", ".join(setup.bands[band] for band in order)
    colours = f"red, green and blue are {bands}" if len(order) == 3 else f"{bands} alone"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(strip(rows, order=order, title=f"{colours}; one stretch for all"))


def shown_bands(images: ImageSet) -> tuple[int, ...]:
    """Return the bands shown as red, green and blue, by wavelength where it is known."""
    from simreal.match.filters import pivot
    from simreal.report.strips import red_to_blue

    bands = images.setup.bands
    if images.setup.track == "rgb":
        return (0, 1, 2) if len(bands) >= 3 else (0,)
    try:
        return red_to_blue([pivot(band) for band in bands])
    except UsageError:
        # Names of the user's own: in the order of the card, which is usually by wavelength.
        return red_to_blue([float(index) for index in range(len(bands))])
