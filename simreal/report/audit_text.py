"""The audit on a terminal: the verdict first, then one line for every check and control."""

import re
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from simreal.report import words
from simreal.report.audit_view import (
    CheckView,
    ControlGrid,
    ControlView,
    cause,
    check_views,
    control_grids,
)

WIDTH = 120
_FEW = 3
#: Width of each column and whether its text may be cut: numbers never are, what follows them
#: gives way.
_COLUMNS = ((4, True), (24, True), (14, True), (24, False), (14, False), (7, False))
_CONTROL_COLUMNS = ((30, True), (22, True), (26, False), (7, False), (20, True))
_POWER = re.compile("×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_PLAIN = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def audit_lines(results: Mapping[str, Any], *, brief: bool = False) -> list[str]:
    r"""Return the audit of `results` as lines of at most `WIDTH` columns.

    No text in it can move the cursor, change the colour or turn the reading direction.

    Parameters
    ----------
    results : mapping
        As in ``results.json``; the audit may be that of a run from before there were checks.
    brief : bool
        Leave out what is clean: the checks and controls that hold are counted, not listed.

    Examples
    --------
    >>> audit = {"verdict": "warned", "checks": [], "reasons": ["no audit was run"],
    ...          "not_run": ["PSF", "sky"]}
    >>> print("\n".join(audit_lines({"audit": audit, "comparisons": []})))
    audit: warned (no check was run)
      because: no audit was run
      not run: PSF, sky
    """
    audit = results["audit"]
    checks = check_views(audit)
    lines = [_fitted(_inert(f"audit: {audit['verdict']} ({_extent(audit, checks)})"))]
    lines += _cause(cause(audit))
    lines += _reasons(audit.get("reasons") or (), brief=brief)
    lines += _check_lines(checks, brief=brief)
    for grid in control_grids(results):
        lines += _control_lines(grid, brief=brief)
    lines += _excess_lines(audit.get("positive_excess") or ())
    if audit.get("not_run"):
        lines += _wrapped("not run", ", ".join(map(str, audit["not_run"])))
    return lines


def _extent(audit: Mapping[str, Any], checks: Sequence[CheckView]) -> str:
    if not checks:
        return "no check was run"
    level = f"{audit['level']} audit, " if audit.get("level") else ""
    return f"{level}{len(checks)} check{'s' if len(checks) > 1 else ''} run"


def _cause(first: CheckView | None) -> list[str]:
    if first is None:
        return []
    what = "cause" if first.row.get("names_cause", True) else "something differs"
    worst = f": {words.reading_text(first.worst)}" if first.worst is not None else ""
    lines = _wrapped(what, _ascii(f"{first.name}{worst}"))
    return lines + (_wrapped("to do", first.mend) if first.mend else [])


def _reasons(reasons: Sequence[Any], *, brief: bool) -> list[str]:
    shown = reasons[:_FEW] if brief else reasons
    lines = [line for reason in shown for line in _wrapped("because", str(reason))]
    if len(shown) < len(reasons):
        lines.append(f"  and {len(reasons) - len(shown)} more reasons in the report")
    return lines


def _check_lines(checks: Sequence[CheckView], *, brief: bool) -> Iterator[str]:
    quiet = ("clean", "reports only")
    shown = [check for check in checks if not (brief and check.standing in quiet)]
    if shown:
        heads = ("", "check", "verdict", "value [95 %]", "allowed", "x limit", "worst reading")
        yield _row(heads, _COLUMNS)
    for check in shown:
        yield _check_line(check)
        if check.mend and not brief:
            yield from _wrapped("to mend", check.mend, indent=7)
    for standing in quiet:
        left = [check.row["code"] for check in checks if check.standing == standing]
        if brief and left:
            yield from _wrapped(standing, ", ".join(map(str, left)))


def _check_line(check: CheckView) -> str:
    row, worst = check.row, check.worst
    start = (row["code"], row["title"], check.standing)
    if worst is None:
        reasons = (one.row.get("reason") for one in check.readings)
        why = next((str(reason) for reason in reasons if reason), "no reading")
        return _row((*start, why), _COLUMNS[:3])
    times = words.times_limit(worst.get("exceedance")) if worst["limit_high"] is not None else "-"
    cells = (words.reading_value(worst), words.allowed(worst), times)
    return _row((*start, *map(_ascii, cells), worst["name"]), _COLUMNS)


def _control_lines(grid: ControlGrid, *, brief: bool) -> Iterator[str]:
    rows = [
        (row, title, cell)
        for column, (_, title) in enumerate(grid.metrics)
        for row in grid.rows
        if (cell := row.cells[column]) is not None
    ]
    judged = [cell["holds"] for _, _, cell in rows if cell.get("holds") is not None]
    told = f"controls ({grid.variant or 'all bands'})"
    if judged:
        yield from _wrapped(told, f"{sum(judged)} of {len(judged)} exceed what they must")
    elif rows:
        yield _fitted(f"  {_inert(told)}")
    shown = [one for one in rows if not brief or one[2].get("holds") is False]
    if shown:
        heads = ("control", "metric", "value [95 %]", "p", "must exceed", "does it?")
        yield _row(heads, _CONTROL_COLUMNS, indent=2)
    for row, title, cell in shown:
        yield _control_line(row, title, cell)


def _control_line(row: ControlView, title: str, cell: Mapping[str, Any]) -> str:
    start = (row.title, title)
    if cell.get("value") is None:
        return _row((*start, _ascii(words.reading_value(cell))), _CONTROL_COLUMNS[:2], indent=2)
    value = words.together(cell["value"], cell.get("low"), cell.get("high"))
    holds = {True: "yes", False: "NO", None: "-"}[cell.get("holds")]
    must = words.MUST_EXCEED.get(str(row.must_exceed), "-")
    if cell.get("holds") is None and cell.get("reason"):
        holds = f"- ({cell['reason']})"
    p = words.p_value(cell.get("p_value")) if cell.get("p_value") is not None else "-"
    return _row((*start, _ascii(value), _ascii(p), must, holds), _CONTROL_COLUMNS, indent=2)


def _excess_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        value = _ascii(words.reading_value(row))
        label = f"{words.metric_name(row)} ({row.get('variant') or 'all bands'})"
        yield from _wrapped("excess over the positive control", f"{label} {value}")


# -- text that stays on its line -----------------------------------------------------------


def _ascii(text: str) -> str:
    """Return a number as other programs read it."""
    text = _POWER.sub(lambda found: "e" + found[1].translate(_PLAIN), text)
    return text.replace("−", "-").replace("×", "x").replace("±", "+-")


def _inert(text: object) -> str:
    """Return one line in which nothing acts on the terminal."""
    visible = (c if c.isprintable() else "\ufffd" for c in re.sub(r"\s+", " ", str(text)))
    return "".join(visible).strip(" ")


def _columns(text: str) -> int:
    """Return how many columns of a terminal `text` takes: wide characters take two."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _fitted(text: str, most: int = WIDTH) -> str:
    """Return `text` cut to `most` columns, and said to be."""
    if _columns(text) <= most:
        return text
    while text and _columns(text) > most - 3:
        text = text[:-1]
    return f"{text.rstrip()}..."


def _both_ends(text: str, most: int) -> str:
    """Return `text` cut in its middle: names of readings differ at their ends."""
    if _columns(text) <= most or most < 12:
        return _fitted(text, max(most, 3))
    tail = text[-(most // 3) :]
    while _columns(tail) > most // 3:
        tail = tail[1:]
    return _fitted(text, most - _columns(tail)) + tail


def _row(cells: Sequence[object], columns: Sequence[tuple[int, bool]], *, indent: int = 0) -> str:
    """Return cells in columns; a cell beyond the last column runs to the edge."""
    line = " " * indent
    for place, cell in enumerate(cells):
        text = _inert(cell)
        if place < len(columns):
            width, may_cut = columns[place]
            text = _fitted(text, width) if may_cut else text
            text += " " * max(1, width - _columns(text) + 1)
        else:
            text = _both_ends(text, WIDTH - _columns(line))
        line += text
    return _fitted(line.rstrip())


def _wrapped(label: str, text: str, *, indent: int = 2) -> list[str]:
    start, inert = f"{' ' * indent}{_inert(label)}: ", _inert(text)
    # The wrapper counts characters; where some are wide it is given half the room.
    room = WIDTH // 2 if _columns(start + inert) > len(start + inert) else WIDTH
    start = _fitted(start, room // 2)
    after = " " * (indent + 2)
    lines = textwrap.wrap(
        inert, room, initial_indent=start, subsequent_indent=after, break_on_hyphens=False
    )
    return lines or [start.rstrip()]
