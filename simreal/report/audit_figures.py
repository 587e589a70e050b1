"""The audit as two figures: every vetoing reading against its limit, and the controls.

A verdict is told by its mark and by its colour, and the colours keep their order of lightness
for readers who see none: a full circle is clean, an open diamond not shown, a cross red.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simreal.report import words
from simreal.report.audit_view import CheckView, ControlGrid, ControlView, ReadingView
from simreal.report.canvas import (
    FLOOR,
    GROUND,
    INK,
    QUIET,
    SIM,
    WIDTH,
    Drawing,
    canvas,
    drawing_of,
    one_line,
    shortened,
    two_lines,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLEAN = "#0e7c86"
RED = "#8e0b33"
OPEN = "#a06b00"
#: Mark, colour and whether it is filled.
MARKS: Mapping[str, tuple[str, str, bool]] = {
    "clean": ("o", CLEAN, True),
    "underpowered": ("D", OPEN, False),
    "red": ("X", RED, True),
}

#: Readings of one check that get a line of their own; the others share one.
_MOST_LINES = 10
_FARTHEST = 1000.0
#: Legible on a telephone without scrolling sideways.
_OVERVIEW = 5.4
_LINE = 0.205
_PANELS_ACROSS = 3
_LANE = 0.2
#: Where the farthest control is this many times the floor, the axis is logarithmic beyond it.
_FAR = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line of the overview: a heading, one reading, or the rest of a check."""

    label: str
    readings: tuple[ReadingView, ...] = ()
    heading: bool = False


def overview_figure(checks: Sequence[CheckView]) -> Drawing | None:
    """Return a PNG of all vetoing readings in units of their limits, grouped by check.

    None where no check has one.
    """
    lines = [line for check in checks for line in _lines_of(check)]
    if not lines:
        return None
    with canvas(1.1 + _LINE * len(lines), width=_OVERVIEW) as figure:
        axes = figure.subplots()
        axes.axvspan(-1.0, 1.0, color=FLOOR, alpha=0.55, lw=0)
        for limit in (-1.0, 1.0):
            axes.axvline(limit, color=INK, lw=1.0, ls=(0, (3, 2)))
        axes.axvline(0.0, color=QUIET, lw=0.8)
        reach = _reach(lines)
        for place, line in enumerate(lines):
            _overview_line(axes, float(place), line, reach=reach)
        _overview_axes(axes, lines, reach=reach)
        _verdict_legend(figure)
        return drawing_of(figure)


def _lines_of(check: CheckView) -> list[_Line]:
    vetoing = [one for one in check.readings if one.row["vetoes"]]
    known = [one for one in vetoing if one.value is not None]
    if not vetoing or check.standing == "reports only":
        return []
    known.sort(key=lambda one: (one.standing == "red", abs(one.value or 0.0)), reverse=True)
    # A single reading beyond the last line gets a line as well: "1 more" would take as much.
    most = _MOST_LINES if len(known) > _MOST_LINES + 1 else len(known)
    lines = [_Line(label=check.name, heading=True)]
    lines += [_Line(label=str(one.row["name"]), readings=(one,)) for one in known[:most]]
    if len(known) > most:
        lines.append(_Line(label=f"{len(known) - most} more", readings=tuple(known[most:])))
    missing = [one for one in vetoing if one.standing == "not computable"]
    if missing:
        first = one_line(missing[0].row["name"], 24)
        label = first if len(missing) == 1 else f"{first} and {len(missing) - 1} more"
        lines.append(_Line(label=label))
    return lines


def _reach(lines: Sequence[_Line]) -> tuple[float, float]:
    """Return the ends of the axis: all of every interval, up to `_FARTHEST` limits."""
    ends = [
        x
        for line in lines
        for one in line.readings
        for x in (one.value, one.low, one.high)
        if x is not None
    ]
    low, high = min(ends, default=0.0), max(ends, default=0.0)
    return max(min(1.25 * low, -1.6), -_FARTHEST), min(max(1.25 * high, 1.6), _FARTHEST)


def _overview_line(axes: "Axes", place: float, line: _Line, *, reach: tuple[float, float]) -> None:
    if line.heading:
        return
    if not line.readings:
        axes.text(
            0.0, place, "not computable", fontsize=7.5, color=QUIET, va="center", ha="center",
            bbox={"fc": GROUND, "ec": "none", "pad": 1.0},
        )  # fmt: skip
    alone = len(line.readings) == 1
    for one in line.readings:
        # Kept inside: a mark at the very edge says "beyond", and the number is beside it.
        value = min(max(one.value or 0.0, reach[0]), reach[1])
        marker, colour, filled = MARKS[one.standing]
        if alone and one.low is not None and one.high is not None:
            axes.plot([one.low, one.high], [place, place], color=colour, lw=1.6)
        axes.plot(
            [value], [place], ls="", marker=marker, ms=_size(marker, 6.0 if alone else 4.2),
            mfc=colour if filled else GROUND, mec=colour, mew=1.2, clip_on=False,
        )  # fmt: skip
    if alone:
        axes.annotate(
            words.times_limit(line.readings[0].row.get("exceedance")), (1.0, place),
            xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
            va="center", fontsize=7.5, color=QUIET,
        )  # fmt: skip


def _size(marker: str, size: float) -> float:
    """Return the size at which a mark is told from the others: a small cross reads as a dot."""
    return 1.3 * size if marker == "X" else size


def _overview_axes(axes: "Axes", lines: Sequence[_Line], *, reach: tuple[float, float]) -> None:
    axes.set_xscale("symlog", linthresh=1.0, linscale=0.9)
    axes.set_xlim(*reach)
    ticks = _ticks(reach)
    axes.set_xticks(ticks, [f"{x:g}".replace("-", "−") for x in ticks])
    axes.minorticks_off()
    axes.set_ylim(len(lines) - 0.4, -0.6)
    labels = [shortened(line.label, 36 if line.heading else 32) for line in lines]
    axes.set_yticks(range(len(lines)), labels, fontsize=8)
    for text, line in zip(axes.get_yticklabels(), lines, strict=True):
        if line.heading:
            text.set_fontweight("bold")
    axes.tick_params(axis="y", length=0)
    for place, line in enumerate(lines):
        if line.heading and place:
            axes.axhline(place - 0.5, color=FLOOR, lw=0.7)
    axes.set_xlabel("distance from equality, in limits\n(linear inside ±1, logarithmic beyond)")
    axes.annotate(
        "× limit", (1.0, 1.0), xycoords="axes fraction", xytext=(2, 2),
        textcoords="offset points", fontsize=7.5, color=QUIET, va="bottom",
    )  # fmt: skip
    axes.grid(visible=True, axis="x", color=FLOOR, lw=0.5, alpha=0.5)
    axes.set_axisbelow(True)


def _ticks(reach: tuple[float, float]) -> list[int]:
    """Return a few round numbers of limits, never so many that their labels meet.

    Examples
    --------
    >>> _ticks((-1.6, 8.0)), _ticks((-400.0, 1000.0))
    ([-1, 0, 1, 3], [-10, -1, 0, 1, 10, 1000])
    """
    wide = min(-reach[0], reach[1]) > 30
    found = [0]
    for sign, end in ((-1, -reach[0]), (1, reach[1])):
        marks = (1, 3, 10) if end <= 30 else (1, 10, 1000) if wide else (1, 10, 100, 1000)
        found += [sign * x for x in marks if x <= end]
    return sorted(found)


def _verdict_legend(figure: "Figure") -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    labels = {"clean": "clean", "underpowered": "underpowered", "red": "red"}
    handles: list[Any] = [
        Line2D(
            [], [], marker=marker, color=colour, mfc=colour if filled else GROUND, ms=6.5, lw=1.6,
            label=labels[name],
        )
        for name, (marker, colour, filled) in MARKS.items()
    ]  # fmt: skip
    handles.append(Patch(color=FLOOR, alpha=0.55, label="inside the limit"))
    figure.legend(handles=handles, loc="outside upper left", ncols=4, columnspacing=1.2)


# -- controls ------------------------------------------------------------------------------


def controls_figure(grids: Sequence[ControlGrid]) -> Drawing | None:
    """Draw every control beside the simulation: one panel for each metric.

    The leading variant has filled marks. Grey is up to the floor's upper edge; lines stand at
    what the positive control and the simulation read in the leading variant. None where there
    are no controls.
    """
    if not grids:
        return None
    metrics = grids[0].metrics
    rows = _control_rows(grids)
    down = -(-len(metrics) // _PANELS_ACROSS)
    across = min(len(metrics), _PANELS_ACROSS)
    pitch = _LANE * max(len(grids), 1.4)
    with canvas(0.7 + down * (0.75 + pitch * len(rows)), width=WIDTH) as figure:
        panels = figure.subplots(down, across, squeeze=False, sharey=True)
        for column, panel in enumerate(panels.flat):
            if column >= len(metrics):
                panel.set_axis_off()
                continue
            _control_panel(panel, grids, rows, column=column)
        for first in panels[:, 0]:
            first.set_yticks(range(len(rows)), [_control_label(row) for row in rows], fontsize=8)
            first.set_ylim(len(rows) - 0.4, -0.6)
        _control_legend(figure, grids)
        return drawing_of(figure)


def _control_rows(grids: Sequence[ControlGrid]) -> list[ControlView]:
    """Return each control once, in the order of the leading variant."""
    found: dict[tuple[str, str], ControlView] = {}
    for grid in grids:
        for row in grid.rows:
            found.setdefault((row.kind, row.name), row)
    return list(found.values())


def _control_label(row: ControlView) -> str:
    mark = {"positive": " > P", "simulation": " > S"}.get(str(row.must_exceed), "")
    kind = {"positive": " (P)", "comparison": " (S)"}.get(row.kind, "")
    return two_lines(f"{one_line(row.title, 40)}{kind}{mark}", 27)


def _control_panel(
    axes: "Axes", grids: Sequence[ControlGrid], rows: Sequence[ControlView], *, column: int
) -> None:
    drawn: list[float] = []
    floors: list[float] = []
    lane = 0.8 / len(grids)
    for number, grid in enumerate(grids):
        own = {(row.kind, row.name): row.cells[column] for row in grid.rows}
        for place, row in enumerate(rows):
            cell = own.get((row.kind, row.name))
            at = place - 0.4 + lane * (number + 0.5)
            if cell is not None and cell.get("value") is not None:
                above = grid.tails[column] == "upper"
                floors += _floor(axes, at, cell, height=0.86 * lane, above=above)
                drawn += _control_mark(axes, at, cell, kind=row.kind, filled=grid.lead)
            elif cell is not None and grid.lead:
                axes.text(
                    0.03, at, "not computable", transform=axes.get_yaxis_transform(),
                    fontsize=7, color=QUIET, va="center",
                    bbox={"fc": GROUND, "ec": "none", "pad": 1.0},
                )  # fmt: skip
    _control_axis(axes, drawn, floors)
    lead = grids[0]
    for kind, style in (("positive", (0, (4, 2))), ("simulation", (0, (1, 1.5)))):
        reference = lead.reference(kind, column)
        if reference is not None:
            colour = SIM if kind == "simulation" else INK
            axes.axvline(reference, color=colour, lw=1.0, ls=style, zorder=0.9)
    for place in range(1, len(rows)):
        axes.axhline(place - 0.5, color=FLOOR, lw=0.5)
    axes.set_xlabel(one_line(lead.metrics[column][1], 30), fontsize=8.5)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)


def _floor(
    axes: "Axes", at: float, cell: Mapping[str, Any], *, height: float, above: bool
) -> list[float]:
    """Draw what is not told from the floor; only the median where below it is the far side."""
    from matplotlib.patches import Rectangle

    median, high = cell.get("floor_median"), cell.get("floor_high")
    if high is None:
        return []
    if above:
        start = min(0.0, float(median or 0.0))
        patch = Rectangle((start, at - height / 2), float(high) - start, height, color=FLOOR, lw=0)
        axes.add_patch(patch)
    if median is not None:
        axes.vlines(median, at - height / 2, at + height / 2, color=QUIET, lw=1.2)
    return [float(high)]


def _control_mark(
    axes: "Axes", at: float, cell: Mapping[str, Any], *, kind: str, filled: bool
) -> list[float]:
    value, holds = float(cell["value"]), cell.get("holds")
    marker, colour = ("D", SIM) if kind == "comparison" else ("o", INK)
    if holds is not None:
        marker, colour = ("o", CLEAN) if holds else ("X", RED)
    ends = [float(cell[key]) for key in ("low", "high") if cell.get(key) is not None]
    if len(ends) == 2:
        axes.plot(ends, [at, at], color=colour, lw=1.5)
    axes.plot(
        [value], [at], ls="", marker=marker, ms=_size(marker, 5.6), mew=1.2, mec=colour,
        mfc=colour if filled else GROUND,
    )  # fmt: skip
    return [value, *ends]


def _control_axis(axes: "Axes", drawn: Sequence[float], floors: Sequence[float]) -> None:
    if not drawn:
        axes.set_xticks([])
        return
    low, high = min(0.0, *drawn), max(0.0, *drawn, *floors)
    knee = max(floors, default=0.0)
    if knee > 0 and high > _FAR * knee:
        axes.set_xscale("symlog", linthresh=knee, linscale=0.6)
        axes.set_xlim(low if low >= 0 else 1.3 * low, 1.5 * high)
        _few_ticks(axes, knee, high)
    else:
        pad = 0.05 * (high - low)
        axes.set_xlim(low - (pad if low < 0 else 0.0), high + pad)
        axes.locator_params(axis="x", nbins=4)


def _few_ticks(axes: "Axes", knee: float, high: float) -> None:
    """Label zero and two or three powers of ten: more would run into one another."""
    powers = range(math.ceil(math.log10(knee)), math.floor(math.log10(high)) + 1)
    step = max(1, -(-len(powers) // 3))
    marks = [10.0**k for k in powers][::-step]
    if len(marks) == 1:
        # A single power of ten gives no sense of scale.
        marks += [x for x in (3.0 * marks[0], 0.3 * marks[0]) if knee < x <= high]
    ticks = [0.0, *sorted(marks)]
    axes.set_xticks(ticks, [f"{x:.3g}" for x in ticks])
    axes.minorticks_off()


def _control_legend(figure: "Figure", grids: Sequence[ControlGrid]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], marker="D", color=SIM, ms=6, lw=1.5, label="S: simulation"),
        Line2D([], [], color=INK, lw=1.0, ls=(0, (4, 2)), label="P: positive control"),
        Patch(color=FLOOR, label="floor, tick at its median"),
        Line2D([], [], marker="o", color=CLEAN, ms=6, lw=1.5, label="exceeds what it must"),
        Line2D([], [], marker="X", color=RED, ms=6.5, lw=1.5, label="does not"),
        Line2D([], [], marker="o", color=INK, ms=6, lw=1.5, label="not judged"),
    ]
    if len(grids) > 1:
        beside = ", ".join(one_line(grid.variant, 16) for grid in grids[1:])
        handles.append(
            Line2D(
                [], [], marker="o", color=INK, mfc=GROUND, ms=6, lw=0,
                label=f"open: {one_line(beside, 24)}",
            )
        )  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", ncols=4, columnspacing=1.2)
