"""What a team's continuous integration asks: whether this run is closer to the sky than that."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, SimrealError, StorageError, UsageError
from simreal.pipeline import fragments
from simreal.pipeline.manifest import check_manifest
from simreal.pipeline.stages import read_json

AGAINST = "against.json"

_SAYS = {
    "this": "this run is closer",
    "that": "that run is closer",
    None: "no difference seen",
}

#: Fewer observed objects in common than this share of the smaller set are other observations.
SAME_OBSERVATIONS = 0.5


def against(folder: Path, other: Path) -> dict[str, Any]:
    """Return how much closer one run is than another to the observations both were scored on.

    Differences are paired: the same observed objects, and where both simulations hold the same
    galaxies these too, so that what the readings share cancels.

    Parameters
    ----------
    folder, other : Path
        Run folders; the first is the one asked about.

    Raises
    ------
    StorageError
        If the other run is not finished, or not as it was left.
    FootingError
        If the encoders differ.
    NotComputableError
        If the observations are not the same.
    """
    from simreal.compare.ranking import Entry, common_groups, rank_entries
    from simreal.compare.settings import InferenceSettings

    check_manifest(other)
    mine, theirs = read_json(folder / "results.json"), read_json(other / "results.json")
    variant = next(row["variant"] for row in mine["comparisons"] if row["lead"])
    sides = {name: _sides(place, variant) for name, place in (("this", folder), ("that", other))}
    entries = [Entry(name=name, obs=of["obs"], sim=of["sim"]) for name, of in sides.items()]
    shared, smaller = len(common_groups(entries)), min(e.obs.n_groups for e in entries)
    if shared < SAME_OBSERVATIONS * smaller:
        raise NotComputableError(
            f"--against {other}: {shared} observed objects in common of {smaller}, so the "
            "observations are not the same; score both against one observed collection, with one "
            "seed and one frozen encoder (--encoder-from)"
        )
    settings = mine["provenance"]["settings"]
    allow = {name for e in entries for name in e.obs.setup.differs_from(e.sim.setup)}
    try:
        found = rank_entries(
            entries,
            metrics=settings["metrics"],
            settings=InferenceSettings(),
            seed=mine["seed"],
            allow=sorted(allow),
        )
    except SimrealError as error:
        raise type(error)(f"--against {other}: {error}") from None
    return {
        "run": str(other),
        "this": mine["sim"]["name"],
        "that": theirs["sim"]["name"],
        "variant": variant,
        "observed_in_common": shared,
        "differences": [_row(fragments.plain(one)) for one in found],
    }


def _sides(folder: Path, variant: str) -> dict[str, Embedding]:
    from simreal.data.store import read_embedding

    place = folder / "embeddings" / variant
    if not place.is_dir():
        raise StorageError(f"{place}: no such embeddings; name the folder of a run of this track")
    return {side: read_embedding(place / f"{side}.h5") for side in ("obs", "sim")}


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return one metric: both readings, their paired difference, and which run is closer."""
    row: dict[str, Any] = {"metric": one["metric"], "n": one["n"], "reason": one["reason"] or None}
    if one["reason"]:
        return {**row, "this": None, "that": None, "difference": None, "low": None, "high": None,
                "p_value": None, "closer": None, "linked": 0}  # fmt: skip
    pair = one["differences"][0]
    return {
        **row,
        "this": one["readings"][0],
        "that": one["readings"][1],
        "difference": pair["estimate"]["value"],
        "low": pair["estimate"]["low"],
        "high": pair["estimate"]["high"],
        "p_value": pair["p_value"],
        "closer": pair["closer"],
        "linked": pair["linked"],
    }


def check_against(other: Path | None, out: Path | None) -> None:
    """Refuse another run that cannot be compared with, before any work is done.

    Raises
    ------
    UsageError
        If it is the folder this run writes to.
    StorageError
        If it is not finished, or not as it was left.
    """
    if other is None:
        return
    if out is not None and other.resolve() == out.resolve():
        raise UsageError(f"--against {other}: that is where this run writes; choose another --out")
    check_manifest(other)


def paired_with(other: Path, folder: Path) -> dict[str, Any]:
    """Return how a finished run compares with another, and leave it as ``against.json``."""
    found = against(folder, other)
    write_against(found, folder)
    return found


def write_against(found: Mapping[str, Any], folder: Path) -> Path:
    """Write ``against.json`` beside the results and return its path."""
    from simreal.report.tables import write_text

    return write_text(json.dumps(found, indent=1) + "\n", folder / AGAINST)


def against_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the outcome for a reader."""
    shared = f"{found['observed_in_common']} observed objects in common"
    what = f"{found['run']} ({found['that']}), {found['variant']}, {shared}"
    lines = [f"against {what}: this run minus that"]
    for row in found["differences"]:
        if row["reason"]:
            lines.append(f"  {row['metric']:20} not computable: {row['reason']}")
            continue
        says = _SAYS[row["closer"]]
        linked = ", same galaxies" if row["linked"] else ""
        lines.append(
            f"  {row['metric']:20} {row['difference']:+.4g} [{row['low']:+.4g}, {row['high']:+.4g}]"
            f" p = {row['p_value']:.3g}, n = {row['n']}{linked}: {says}"
        )
    return lines
