"""``simreal status``: what of a run is finished, what is missing, and what a rerun would do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simreal.core.errors import SimrealError, UsageError
from simreal.pipeline.conformity import CONTROL
from simreal.pipeline.leaderboard import BOARD, CARD
from simreal.pipeline.manifest import MANIFEST, altered_files
from simreal.pipeline.settings import RunSettings, read_settings

#: What every finished run holds.
FILES = ("results.json", "report.html", "run.toml", "rejected.csv", "excluded.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where a run stands.

    Parameters
    ----------
    folder : Path
    finished : bool
        Whether the run is whole and as it was left.
    present, wrong : tuple of str
        What is there, and what is missing or altered.
    stages : tuple of dict
        What a rerun would do, stage by stage: ``state`` is "cached" or "to do".
    resume : str
        The command that finishes it.
    note : str
        Why a rerun cannot be planned.
    """

    folder: Path
    finished: bool
    present: tuple[str, ...]
    wrong: tuple[str, ...]
    stages: tuple[dict[str, Any], ...]
    resume: str
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the status as plain values."""
        return {
            "folder": str(self.folder),
            "finished": self.finished,
            "present": list(self.present),
            "wrong": list(self.wrong),
            "stages": list(self.stages),
            "resume": self.resume,
            "note": self.note,
        }


def status_of(folder: Path) -> list[Status]:
    """Return where a run stands, or every run of a board.

    Raises
    ------
    UsageError
        If there is neither in `folder`.
    """
    if (folder / BOARD).is_file() or (folder / CARD).is_file():
        runs = [one for one in sorted((folder / "runs").glob("*")) if one.is_dir()]
        if runs:
            return [_status(run) for run in runs]
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: no such folder; name the one that 'simreal compare --out' was given"
        )
    return [_status(folder)]


def _status(folder: Path) -> Status:
    files = () if (folder / CONTROL).is_file() else FILES
    present = tuple(name for name in files if (folder / name).is_file())
    wrong = [f"{name} is missing" for name in files if name not in present]
    try:
        wrong += [text for text in altered_files(folder) if text not in wrong]
    except SimrealError:
        wrong.append(f"{MANIFEST} is missing: the run did not end")
    stages, note = _planned(folder)
    return Status(
        folder=folder,
        finished=not wrong,
        present=present,
        wrong=tuple(wrong),
        stages=tuple(stages),
        resume=f"simreal compare --config {folder / 'run.toml'} --out {folder}"
        if (folder / "run.toml").is_file()
        else "repeat the command that began it: finished stages are in the cache",
        note=note,
    )


def _planned(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Return what a rerun would do, or why that cannot be said."""
    from simreal.pipeline.plan import describe, make_plan

    path = folder / "run.toml"
    if not path.is_file():
        return [], "no run.toml, which is written with the report: the settings are not known"
    try:
        settings = RunSettings.checked(read_settings(path), where=str(path))
        return describe(make_plan(settings)), ""
    except SimrealError as error:
        return [], " ".join(str(error).split())


def as_text(found: Status) -> str:
    """Return the status for a reader."""
    lines = [f"{found.folder}: {'finished' if found.finished else 'NOT finished'}"]
    lines += [f"  {text}" for text in found.wrong]
    to_do = [row["stage"] for row in found.stages if row["state"] != "cached"]
    if found.stages:
        cached = len(found.stages) - len(to_do)
        lines.append(f"  a rerun finds {cached} of {len(found.stages)} stages in the cache")
        if to_do:
            lines.append(f"  to do: {', '.join(to_do)}")
    if found.note:
        lines.append(f"  {found.note}")
    if not found.finished:
        lines.append(f"  resume: {found.resume}")
    return "\n".join(lines)
