"""The results of a calibration as a document, as text and as Markdown."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from simreal.compare.calibrate import Calibration
from simreal.core.provenance import machine, versions

#: Version of the document; within one version fields are only added.
SCHEMA = 1

#: Between these the tables stand in the documentation.
BEGIN, END = "<!-- calibration:begin -->", "<!-- calibration:end -->"

_HEADINGS = {
    "level": "Level",
    "power": "Power",
    "coverage": "Coverage",
    "ladder": "Ladder",
    "planted": "Planted errors",
}
_STATES = {True: "pass", False: "FAIL", None: "reported"}


def document(
    found: Calibration,
    *,
    settings: Mapping[str, Any],
    survey: str | None,
    seconds: float,
) -> dict[str, Any]:
    """Return the document of a calibration, ready for JSON.

    Parameters
    ----------
    found : Calibration
    settings : Mapping
        What was asked for.
    survey : str or None
        What the images were.
    seconds : float
        How long it took.

    Returns
    -------
    dict
        ``level``, ``power``, ``coverage``, ``ladder`` and ``planted_errors`` are lists of rows,
        empty where not run; ``verdicts`` is the pass/fail table; ``passed`` is False if any row
        fails its bar. Numbers that do not exist are null, with a ``reason``.
    """
    content = {
        "schema": f"simreal-calibration/{SCHEMA}",
        "passed": found.passed,
        "seed": settings.get("seed"),
        "settings": dict(settings),
        "survey": survey,
        "level": found.level,
        "power": found.power,
        "coverage": found.coverage,
        "ladder": found.ladder,
        "planted_errors": found.planted,
        "verdicts": found.verdicts,
        "versions": versions(),
        "machine": machine(),
        "seconds": round(seconds, 1),
    }
    plain: dict[str, Any] = _plain(content)
    return plain


def _plain(value: Any) -> Any:
    """Return `value` in terms of JSON: no dataclass, tuple or NaN."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def table(results: Mapping[str, Any]) -> str:
    """Return the pass/fail table as text."""
    heads = ("part", "name", "conditions", "measured", "allowed", "verdict")
    rows = [heads, *map(_cells, results["verdicts"])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", _summary(results["verdicts"])])


def markdown(results: Mapping[str, Any]) -> str:
    """Return the tables as they stand in the documentation, between their markers."""
    lines = [BEGIN, "", _summary(results["verdicts"]), "", _how(results)]
    for part, heading in _HEADINGS.items():
        verdicts = [one for one in results["verdicts"] if one["part"] == part]
        if not verdicts:
            continue
        lines += ["", f"### {heading}", "", "| | conditions | measured | allowed | verdict |"]
        lines.append("|---|---|---|---|---|")
        lines += [
            "| " + " | ".join([f"`{cells[1]}`", *cells[2:]]) + " |"
            for cells in map(_cells, verdicts)
        ]
        lines += _ladder_table(results["ladder"]) if part == "ladder" else []
    return "\n".join([*lines, "", END])


def _cells(verdict: Mapping[str, Any]) -> tuple[str, ...]:
    note = f" ({verdict['note']})" if verdict["note"] else ""
    return (
        verdict["part"],
        verdict["name"],
        verdict["cell"],
        verdict["value"] + note,
        verdict["bar"],
        _STATES[verdict["passed"]],
    )


def _summary(verdicts: Sequence[Mapping[str, Any]]) -> str:
    states = [verdict["passed"] for verdict in verdicts]
    return (
        f"{states.count(True)} passed, {states.count(False)} failed, "
        f"{states.count(None)} reported without a bar"
    )


def _how(results: Mapping[str, Any]) -> str:
    settings = results["settings"]
    words = [
        f"seed {results['seed']}",
        f"{settings['n']} objects a side",
        f"{settings['n_permutations']} permutations",
    ]
    if results["survey"]:
        words += [f"images: {results['survey']}", f"encoder {settings['survey_encoder']}"]
    version = results["versions"]
    words += [f"simreal {version['simreal']}", f"numpy {version['numpy']}"]
    minutes = results["seconds"] / 60
    return f"{'; '.join(words)}; {minutes:.0f} min on {results['machine']['cores']} cores."


def _ladder_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the mean distance at every step."""
    lines: list[str] = []
    for name in dict.fromkeys(row["metric"] for row in rows):
        found = [row for row in rows if row["metric"] == name and row["means"] is not None]
        if not found:
            continue
        low, high = found[0]["floor"]
        lines += ["", f"`{name}` (floor {low:.3g} to {high:.3g}):", ""]
        n = len(found[0]["means"])
        lines.append(f"| kind | {' | '.join(map(str, range(n)))} | Spearman | per seed |")
        lines.append("|---" * (n + 3) + "|")
        for row in found:
            means = " | ".join(f"{mean:.4g}" for mean in row["means"])
            seeds = ", ".join(f"{one:.2f}" for one in row["seed_spearman"])
            lines.append(f"| {row['kind']} | {means} | {row['spearman']:.2f} | {seeds} |")
    return lines
