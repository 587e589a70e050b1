"""Gradients as a figure: how well each property is held, its shares, and its course."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.explain.scores import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simreal.explain.gradients import Gradients, PropertyGradient

_INK, _QUIET, _FIRST, _SECOND, _BAND = "#1a1d21", "#5b6470", "#5b21b6", "#0f766e", "#c9ced6"
_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"], "font.size": 9, "text.usetex": False,
    "text.parse_math": False, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": _QUIET, "text.color": _INK, "axes.labelcolor": _INK, "xtick.color": _INK,
    "ytick.color": _INK, "legend.frameon": False, "figure.facecolor": "#ffffff",
    "axes.facecolor": "#ffffff",
}  # fmt: skip
#: Properties whose course is drawn; all of them are in the numbers.
_MOST_COURSES = 8


def gradient_figure(found: "Gradients") -> "Figure":
    """Return R² and shares of every property above, and properties along their gradients below.

    The grey mark of an R² is the 95th percentile of shuffled values. Filled and open marks
    differ also in shape, for print without colour.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [each for each in found.properties if each.bins][:_MOST_COURSES]
    rows = -(-len(shown) // 4)
    names = [each.name for each in found.properties]
    top = 1.3 + 0.34 * len(names)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.0, top + 2.0 * rows + 0.3), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        heights = [top, 2.0 * rows] if rows else [top]
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        left, right = parts[0].subplots(1, 2, sharey=True)
        _read(left, found)
        _shares(right, found)
        left.set_yticks(range(len(names)), [_short(name) for name in names])
        left.set_ylim(len(names) - 0.4, -0.6)
        if rows:
            panels = parts[1].subplots(rows, 4, squeeze=False).ravel()
            for panel, each in zip(panels, shown, strict=False):
                _course(panel, each)
            for panel in panels[len(shown) :]:
                panel.set_axis_off()
        title = f"{_short(found.name, 40)}: associations, not causes; 95 % intervals"
        figure.suptitle(title, fontsize=10)
    return figure


def _read(axes: "Axes", found: "Gradients") -> None:
    for row, each in enumerate(found.properties):
        for off, probe, colour, marker in (
            (-0.14, each.linear, _FIRST, "o"),
            (0.14, each.neighbours, _SECOND, "s"),
        ):
            if probe is None:
                continue
            _interval(axes, row + off, probe.r2, colour=colour, marker=marker)
            axes.plot([probe.null_high], [row + off], marker="|", ms=9, color=_QUIET, ls="")
    axes.plot([], [], marker="o", color=_FIRST, ls="", label="read by a line")
    axes.plot([], [], marker="s", color=_SECOND, ls="", label="read by neighbours")
    axes.plot([], [], marker="|", ms=9, color=_QUIET, ls="", label="shuffled, 95 %")
    axes.axvline(0, color=_BAND, lw=1, zorder=0)
    axes.set_xlabel("R² of objects not seen")
    axes.legend(fontsize=7.5, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderpad=0,
                columnspacing=0.8, handletextpad=0.2)  # fmt: skip


def _shares(axes: "Axes", found: "Gradients") -> None:
    for row, each in enumerate(found.properties):
        _interval(axes, row - 0.14, each.direction.share, colour=_FIRST, marker="o")
        _interval(axes, row + 0.14, each.partial.share, colour=_SECOND, marker="D", filled=False)
    axes.plot([], [], marker="o", color=_FIRST, ls="", label="by itself")
    axes.plot([], [], marker="D", mfc="#ffffff", color=_SECOND, ls="", label="others held fixed")
    axes.axvline(0, color=_BAND, lw=1, zorder=0)
    axes.set_xlabel("share of the embedding's variance")
    axes.legend(fontsize=7.5, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0,
                columnspacing=0.8, handletextpad=0.2)  # fmt: skip


def _interval(
    axes: "Axes", place: float, score: Score, *, colour: str, marker: str, filled: bool = True
) -> None:
    if score.value is None or score.low is None or score.high is None:
        return
    axes.plot([score.low, score.high], [place, place], color=colour, lw=1.6)
    face = colour if filled else "#ffffff"
    axes.plot([score.value], [place], marker=marker, ms=5, mfc=face, mec=colour, ls="")


def _course(axes: "Axes", each: "PropertyGradient") -> None:
    known = [(k, b.value) for k, b in enumerate(each.bins, start=1) if b.value.value is not None]
    places = np.array([k for k, _ in known])
    ends = np.array([[v.low, v.value, v.high] for _, v in known], dtype=np.float64)
    axes.errorbar(
        places, ends[:, 1], yerr=[ends[:, 1] - ends[:, 0], ends[:, 2] - ends[:, 1]],
        color=_FIRST, marker="o", ms=3.5, lw=1.2,
    )  # fmt: skip
    cone = "no direction" if each.direction.cone is None else f"cone {each.direction.cone:.0f}°"
    axes.set_title(f"{_short(each.name, 24)}\n{cone}", fontsize=8.5)
    axes.set_xlabel(f"part along the gradient, of {len(each.bins)}", fontsize=7.5)
    axes.set_ylabel(_short(each.unit, 20), fontsize=7.5)
    axes.tick_params(labelsize=7.5)


def _short(text: str, most: int = 26) -> str:
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def figure_bytes(figure: "Figure", kind: str) -> bytes:
    """Return a figure as ``png``, ``pdf`` or ``svg``, without a date in it."""
    import matplotlib as mpl

    nothing: dict[str, dict[str, None]] = {
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Producer": None},
        "svg": {"Date": None},
    }
    buffer = io.BytesIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": "simreal", "svg.fonttype": "none"}):
        figure.savefig(buffer, format=kind, metadata=nothing[kind])
    return buffer.getvalue()
