"""Property gradients of a finished run: numbers, figures and, where stamps are left, strips."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from simreal.core.embedding import Embedding
from simreal.core.errors import SimrealError, UsageError, did_you_mean
from simreal.core.images import ArraySource, ImageSet, property_values
from simreal.core.seeding import stream
from simreal.explain.gradients import Gradients, GradientSettings, PropertyGradient, gradients

if TYPE_CHECKING:
    from simreal.pipeline.plan import Plan

Progress = Callable[[str, int, int], None]
Side = Literal["sim", "obs"]
SIDES: tuple[Side, ...] = ("sim", "obs")
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientRequest:
    """Which gradients of a run.

    Parameters
    ----------
    properties : tuple of str
        Empty for every number that varies.
    side : {"sim", "obs"} or None
        The side whose properties they are; default the simulated one, if it has any.
    variant : str or None
        Default the leading one of the run.
    settings : GradientSettings
    seed : int

    Raises
    ------
    UsageError
        If there is no such side.
    """

    properties: tuple[str, ...] = ()
    side: Side | None = None
    variant: str | None = None
    settings: GradientSettings = field(default_factory=GradientSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.side is not None and self.side not in SIDES:
            raise UsageError(f"side: got {self.side!r}: {did_you_mean(self.side, SIDES)}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GradientRun:
    """What was found, and the files that were written.

    Parameters
    ----------
    document : dict
        ``schema``, ``kind``, ``source``, ``variant``, ``side``, ``seed``, ``strips`` and all that
        `Gradients.to_dict` says.
    found : Gradients
    files : tuple of Path
    """

    document: dict[str, Any]
    found: Gradients
    files: tuple[Path, ...]


def run_gradients(
    run: Path,
    request: GradientRequest | None = None,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
) -> GradientRun:
    """Return the property gradients of a finished run.

    Parameters
    ----------
    run : Path
        Folder that ``simreal compare`` wrote.
    request : GradientRequest
    out : Path, optional
        Folder for ``gradients.json``, the figure and the strips of stamps.
    progress : callable, optional
        ``(label, done, total)``.

    Raises
    ------
    UsageError
        If this is no finished run, or the side has no such property.
    """
    request = request or GradientRequest()
    sides, variant = stored_sides(Path(run), request.variant)
    side = request.side or _with_numbers(sides)
    other: Side = "obs" if side == "sim" else "sim"
    if progress is not None:
        progress(f"gradients {sides[side].name}", 0, 1)
    found = gradients(
        sides[side],
        request.properties or None,
        other=sides[other],
        settings=request.settings,
        rng=stream(request.seed, "gradients", variant, side),
    )
    if progress is not None:
        progress(f"gradients {sides[side].name}", 1, 1)
    document = {
        "schema": VERSION,
        "source": str(run),
        "variant": variant,
        "side": side,
        "seed": request.seed,
        "strips": None,
        **found.to_dict(),
    }
    files = () if out is None else _write(found, document, Path(run), Path(out))
    return GradientRun(document=document, found=found, files=files)


def stored_sides(run: Path, variant: str | None) -> tuple[dict[Side, Embedding], str]:
    """Return the embeddings of a finished run by side, and their variant.

    Raises
    ------
    UsageError
        If the folder holds none, or not this variant.
    """
    from simreal.data.store import read_embedding

    folder = run / "embeddings"
    variants = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    if not variants:
        raise UsageError(
            f"{run}: no embeddings; name the folder of a finished run of simreal compare"
        )
    chosen = variant or _lead(run, variants)
    if chosen not in variants:
        raise UsageError(f"variant: got {chosen!r}: {did_you_mean(chosen, variants)}")
    for side in SIDES:
        if not (folder / chosen / f"{side}.h5").is_file():
            raise UsageError(
                f"{folder / chosen}: {side}.h5 is missing; repeat the run (--config "
                f"{run / 'run.toml'})"
            )
    return {side: read_embedding(folder / chosen / f"{side}.h5") for side in SIDES}, chosen


def _lead(run: Path, variants: list[str]) -> str:
    """Return the leading variant of a run; the first by name where its results do not say."""
    try:
        rows = json.loads((run / "results.json").read_text(encoding="utf-8"))["comparisons"]
        lead = next(str(row["variant"]) for row in rows if row["lead"])
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return variants[0]
    return lead if lead in variants else variants[0]


def _with_numbers(sides: dict[Side, Embedding]) -> Side:
    """Return the side whose own properties hold numbers, the simulated one first."""
    for side in SIDES:
        table = sides[side].properties
        names = [] if table is None else table.colnames
        if any(
            property_values(table, name) is not None and not name.startswith("measured_")
            for name in names
        ):
            return side
    return "sim"


def _write(found: Gradients, document: dict[str, Any], run: Path, out: Path) -> tuple[Path, ...]:
    from simreal.report.tables import write_bytes, write_text

    files = [found.save(out / f"gradients.{kind}") for kind in ("png", "pdf")]
    try:
        stamps = stored_stamps(run)
        for each in found.properties:
            if each.bins:
                path = out / "strips" / f"{_file_name(each.name)}.png"
                files.append(write_bytes(_strip(each, document, stamps), path))
        document["strips"] = {"drawn": True, "reason": None}
    except SimrealError as error:
        document["strips"] = {"drawn": False, "reason": str(error)}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    return (write_text(text, out / "gradients.json"), *files)


def stored_stamps(run: Path) -> dict[Side, ImageSet]:
    """Return the matched stamps of a finished run, if the stage cache still has them.

    Raises
    ------
    SimrealError
        If it has not, or the settings of the run cannot be planned again.
    """
    from simreal.pipeline.stages import stored

    plan = plan_of(run)
    folder = cached(plan, "match", plan.match_key)
    if folder is None:
        raise UsageError(
            f"{run}: the stamps of this run are not in the stage cache; repeat the run, then ask "
            "again"
        )
    return {side: stored(folder / f"{side}.h5") for side in SIDES}


def plan_of(run: Path) -> "Plan":
    """Return the plan of a finished run, from the settings it keeps.

    Raises
    ------
    UsageError
        If they are missing or wrong.
    """
    from simreal.pipeline.plan import make_plan
    from simreal.pipeline.settings import RunSettings, expanded, read_settings

    path = run / "run.toml"
    return make_plan(expanded(RunSettings.checked(read_settings(path), where=str(path))))


def cached(plan: "Plan", stage: str, key: str) -> Path | None:  # noqa: ARG001
    """Return the folder of a stage in the cache, None where it is not there."""
    from simreal.pipeline.cache import StageCache, cache_folder

    cache = StageCache(cache_folder())

    def build(folder: Path) -> None:
        raise UsageError(f"{folder}: this stage is damaged; repeat the run")

    return cache.fetch(stage, key, build) if cache.has(stage, key) else None


def _strip(each: PropertyGradient, document: dict[str, Any], stamps: dict[Side, ImageSet]) -> bytes:
    """Draw two objects of every part along a gradient, and two of the other side."""
    from simreal.pipeline.match import shown_bands
    from simreal.report.strips import Row, strip

    side: Side = document["side"]
    other: Side = "obs" if side == "sim" else "sim"
    unit = f" [{each.unit}]" if each.unit else ""
    rows = [
        Row(
            label=f"{shown}  {stamps[shown].name}: along the gradient of {each.name}{unit}",
            images=_along(stamps[shown], each, own=shown == side, which=which),
        )
        for shown in (side, other)
        for which in (0, 1)
    ]
    title = (
        f"{each.name}, low to high in {len(each.bins)} parts, mean of each below; one stretch for "
        "all; an association, not a cause"
    )
    return strip(rows, order=shown_bands(rows[0].images), title=title, columns=len(each.bins))


def _along(images: ImageSet, each: PropertyGradient, *, own: bool, which: int) -> ImageSet:
    """Return one object of every part; nothing but background where a part has none."""
    place = {name: row for row, name in enumerate(images.ids.tolist())}
    ids = [part.ids if own else part.other_ids for part in each.bins]
    rows = [place[names[which]] if len(names) > which else -1 for names in ids]
    found = images.rows(np.maximum(rows, 0))
    pixels = np.array(found.images.read(slice(None)), dtype=np.float32)
    pixels[np.array(rows) < 0] = 0.0
    said = [
        f"{k}: none" if row < 0 else f"{k}: {part.value.value or 0:.3g}" if own else f"{k}"
        for k, (row, part) in enumerate(zip(rows, each.bins, strict=True), start=1)
    ]
    return found.replace(images=ArraySource(pixels), ids=np.array(said), groups=np.array(said))


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name) or "property"
