"""The pictures of the checks: curves with their ratio, histograms, tiles of pixels, bars.

A check hands over plain data and never draws; every kind of data is drawn here in one way.
The simulated side is orange, dashed and a triangle, the observed one blue, full and a circle.
What is missing is left out of a line and said in the legend, never drawn as zero.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.arrays import Float64Array
from simreal.core.errors import UsageError
from simreal.report import words
from simreal.report.canvas import (
    FLOOR,
    GROUND,
    INK,
    NARROW,
    OBS,
    QUIET,
    SIM,
    Drawing,
    canvas,
    draw_interval,
    drawing_of,
    one_line,
    shortened,
    two_lines,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

#: How a series is told from the others: colour, line, mark, name.
_SIDES: Mapping[str, tuple[str, str, str, str]] = {
    "obs": (OBS, "-", "o", "observed"),
    "sim": (SIM, "--", "^", "simulated"),
}
_OTHERS = ((QUIET, ":", "s"), (INK, "-.", "D"), ("#7a4fa0", "-", "v"), ("#00796b", "--", "x"))
_MOST_SERIES = len(_SIDES) + len(_OTHERS)

#: Characters of a label along x on one line.
_X_LABEL = 46
_MOST_BARS = 30
_MOST_TILES = 12
_TILES_ACROSS = 4
#: Where a few values outside this share of all lie far from the rest, they are drawn at the
#: edge: one bright pixel or object would squeeze the rest into one colour or one bin.
_SHOWN = (0.5, 99.5)
#: Up to this many different values every one has a bar of its own.
_FEW_VALUES = 12


def picture_figure(picture: Any) -> Drawing:
    """Return a PNG of the picture of a check.

    Parameters
    ----------
    picture : mapping
        ``kind`` is ``curves``, ``histograms``, ``images`` or ``bars``.

    Raises
    ------
    UsageError
        If the kind is unknown, or the data do not fit it.
    """
    if not isinstance(picture, Mapping):
        raise UsageError(f"picture: got {type(picture).__name__}, allowed is a mapping")
    kind = picture.get("kind")
    draw = _KINDS.get(str(kind))
    if draw is None:
        raise UsageError(f"picture: got kind {str(kind)!r:.40}, allowed: {', '.join(_KINDS)}")
    try:
        return draw(picture)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        fault = f"{type(error).__name__}: {error}"
        raise UsageError(f"picture of kind {kind}: malformed data ({fault:.120})") from error


def picture_words(picture: Mapping[str, Any]) -> str:
    """Return what a picture shows, for readers who do not see it."""
    kind = str(picture.get("kind"))
    axes = [str(picture[key]) for key in ("y_label", "x_label") if picture.get(key)]
    over = " against ".join(axes)
    if kind == "bars":
        parts = [
            f"{row.get('label', '')} {words.reading_value(row | {'unit': ''})}"
            for row in picture["rows"][:_MOST_BARS]
        ]
        return f"{over or 'Values'}: {'; '.join(parts)}"
    if kind == "images":
        return "Images: " + ", ".join(
            str(tile.get("label", "")) for tile in picture["tiles"][:_MOST_TILES]
        )
    if kind == "histograms":
        counts = [f"{len(values)} {_role(name)}" for name, values in picture["values"].items()]
        return f"Histograms of {over or 'values'}: {', '.join(counts)}"
    return f"Curves of {over or 'both sides'}: {', '.join(map(_role, picture['series']))}"


def _role(name: str) -> str:
    return _SIDES[name][3] if name in _SIDES else str(name)


def _looks(names: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Return colour, line and mark of every series."""
    others = itertools.cycle(_OTHERS)
    return {name: _SIDES[name][:3] if name in _SIDES else next(others) for name in names}


def _ordered(names: Sequence[str]) -> list[str]:
    known = [name for name in ("obs", "sim") if name in names]
    rest = [name for name in names if name not in known]
    return (known + rest)[:_MOST_SERIES]


def _numbers(values: Any) -> Float64Array:
    """Return a row of numbers in which what is missing is NaN."""
    found = np.array([np.nan if x is None else x for x in values], dtype=np.float64)
    if found.ndim != 1:
        raise ValueError(f"got {found.ndim} dimensions, needed is a list of numbers")
    return np.where(np.isfinite(found), found, np.nan)


def _limits(picture: Mapping[str, Any]) -> list[float]:
    return [float(x) for x in picture.get("limits") or () if x is not None]


# -- curves --------------------------------------------------------------------------------


def _curves(picture: Mapping[str, Any]) -> Drawing:
    x = _numbers(picture["x"])
    series = {name: _numbers(y) for name, y in picture["series"].items()}
    short = [name for name, y in series.items() if len(y) != len(x)]
    if short or not series:
        raise ValueError(f"series of another length than x: {', '.join(short) or 'no series'}")
    ratio = _numbers(picture.get("ratio") or ())
    with canvas(3.6 if len(ratio) else 2.7, width=NARROW) as figure:
        if len(ratio):
            main, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.0, 1.2))
            _ratio_panel(below, picture, x=x, ratio=ratio)
            below.set_xlabel(two_lines(picture.get("x_label", ""), _X_LABEL))
        else:
            main = figure.subplots()
            main.set_xlabel(two_lines(picture.get("x_label", ""), _X_LABEL))
            for limit in _limits(picture):
                main.axhline(limit, color=INK, lw=1.0, ls=(0, (2, 2)))
        _lines(main, x, series, log=bool(picture.get("log")))
        main.set_ylabel(two_lines(picture.get("y_label", ""), 24))
        _legend_above(figure, main)
        return drawing_of(figure)


def _lines(axes: "Axes", x: Float64Array, series: Mapping[str, Float64Array], *, log: bool) -> None:
    looks = _looks(_ordered(list(series)))
    for name, (colour, style, marker) in looks.items():
        y = series[name]
        if log:
            y = np.where(y > 0, y, np.nan)
        label = one_line(_role(name), 24)
        if not np.isfinite(y).any():
            label = f"{label} (none)"
        axes.plot(
            x, y, color=colour, ls=style, marker=marker, ms=3.4, lw=1.5, mew=0.8, label=label,
            markevery=max(1, len(x) // 24),
        )  # fmt: skip
    if log and any(np.nanmax(np.nan_to_num(y), initial=0.0) > 0 for y in series.values()):
        _logarithmic(axes)
    if len(series) > len(looks):
        axes.plot([], [], ls="", label=f"and {len(series) - len(looks)} not drawn")
    _grid(axes)


def _logarithmic(axes: "Axes") -> None:
    """Set a logarithmic scale whose labels are plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = (1.0, 2.0, 5.0) if high < 30.0 * low else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _ratio_panel(
    axes: "Axes", picture: Mapping[str, Any], *, x: Float64Array, ratio: Float64Array
) -> None:
    limits = _limits(picture)
    if len(limits) == 2:
        axes.axhspan(limits[0], limits[1], color=FLOOR, lw=0, alpha=0.75)
    axes.axhline(1.0, color=QUIET, lw=1.0)
    low = _numbers(picture.get("ratio_low") or ())
    high = _numbers(picture.get("ratio_high") or ())
    if len(low) == len(high) == len(ratio):
        axes.vlines(x, low, high, color=INK, lw=1.4)
    if len(limits) == 2:
        outside = (ratio < limits[0]) | (ratio > limits[1])
    else:
        outside = np.zeros(len(ratio), dtype=np.bool_)
    axes.plot(x[~outside], ratio[~outside], ls="", marker="o", ms=3.8, color=INK)
    axes.plot(x[outside], ratio[outside], ls="", marker="D", ms=4.6, mfc=GROUND, mec=INK, mew=1.3)
    axes.set_ylabel("sim / obs")
    _grid(axes)


def _legend_above(figure: "Figure", axes: "Axes") -> None:
    """Name the series above the panel: inside it a legend would lie on one or the other."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, handlelength=2.8)


def _grid(axes: "Axes", *, axis: Any = "both") -> None:
    axes.grid(visible=True, axis=axis, color=FLOOR, lw=0.5, alpha=0.6)
    axes.set_axisbelow(True)


# -- histograms ----------------------------------------------------------------------------


def _histograms(picture: Mapping[str, Any]) -> Drawing:
    values = {name: _numbers(v) for name, v in picture["values"].items()}
    values = {name: v[np.isfinite(v)] for name, v in values.items()}
    pooled = np.concatenate([np.empty(0), *values.values()])
    if len(pooled) == 0:
        raise ValueError("no finite value on any side")
    edges = _edges(pooled, max(len(v) for v in values.values()))
    with canvas(2.9, width=NARROW) as figure:
        axes = figure.subplots()
        for name, (colour, style, _) in _looks(_ordered(list(values))).items():
            own = values[name]
            counts = np.histogram(np.clip(own, edges[0], edges[-1]), bins=edges)[0]
            label = f"{one_line(_role(name), 20)} (n = {len(own)})"
            share = counts / max(len(own), 1)
            if name == "obs":
                axes.stairs(share, edges, fill=True, color=colour, alpha=0.22)
            axes.stairs(share, edges, color=colour, lw=1.7, ls=style, label=label)
            if len(own):
                axes.axvline(float(np.median(own)), color=colour, lw=1.8, ymax=0.08)
        outside = int(((pooled < edges[0]) | (pooled > edges[-1])).sum())
        note = f"\n{outside} beyond the frame, in the edge bins" if outside else ""
        axes.set_xlabel(f"{two_lines(picture.get('x_label', ''), _X_LABEL)}{note}")
        axes.set_ylabel("share of the side")
        axes.set_ylim(bottom=0)
        _legend_above(figure, axes)
        _grid(axes)
        return drawing_of(figure)


def _edges(pooled: Float64Array, n: int) -> Float64Array:
    different = np.unique(pooled)
    if len(different) == 1:
        reach = 0.5 * max(abs(float(different[0])), 1e-6)
        return np.asarray(different[0] + reach * np.linspace(-1.0, 1.0, 4))
    if len(different) <= _FEW_VALUES:
        middle = 0.5 * (different[1:] + different[:-1])
        first, last = 2 * different[0] - middle[0], 2 * different[-1] - middle[-1]
        return np.concatenate([[first], middle, [last]])
    low, high = pooled.min(), pooled.max()
    most = np.percentile(pooled, _SHOWN)
    if 0 < most[1] - most[0] < 0.7 * (high - low):
        low, high = most
    return np.linspace(low, high, int(np.clip(math.sqrt(n), 8, 36)) + 1)


# -- tiles of pixels -----------------------------------------------------------------------


def _images(picture: Mapping[str, Any]) -> Drawing:
    from matplotlib.cm import ScalarMappable
    from matplotlib.patches import Rectangle

    tiles = list(picture["tiles"])[:_MOST_TILES]
    arrays = [np.array([_numbers(row) for row in tile["pixels"]]) for tile in tiles]
    if not arrays or any(array.ndim != 2 or array.size == 0 for array in arrays):
        raise ValueError("every tile needs rows of numbers")
    diverging = bool(picture.get("diverging"))
    norm, extend = _colour_scale(arrays, diverging=diverging)
    across = _across(len(tiles))
    down = math.ceil(len(tiles) / across)
    # One tile alone need not fill the width.
    side = min(1.9, (NARROW - 0.2) / across)
    label = 0.34 / side
    with canvas(0.6 + down * (side + 0.34), width=NARROW) as figure:
        colours = ScalarMappable(norm, "PuOr_r" if diverging else "gray")
        # One panel for all: a dozen of them take as many seconds to lay out.
        axes = figure.subplots()
        for place, (tile, array) in enumerate(zip(tiles, arrays, strict=True)):
            row, column = divmod(place, across)
            height, width = (n / max(array.shape) for n in array.shape)
            width, height = 0.96 * width, 0.96 * height
            left, bottom = column + 0.5 * (1.0 - width), -row * (1.0 + label) - 1.0
            # Row 0 on top, as in every stamp of the page.
            axes.imshow(
                array, cmap=colours.cmap, norm=norm, interpolation="nearest",
                extent=(left, left + width, bottom, bottom + height),
            )  # fmt: skip
            text = two_lines(tile.get("label", ""), int(13.5 * side))
            axes.text(column + 0.5, bottom + height + 0.045, text, fontsize=8, ha="center")
            edge = Rectangle((left, bottom), width, height, fill=False, ec=QUIET, lw=0.4)
            axes.add_patch(edge)
        lowest = -(down - 1) * (1.0 + label) - 1.02
        axes.set(xlim=(-0.01, across + 0.01), ylim=(lowest, label), aspect="equal")
        axes.set_axis_off()
        bar = figure.colorbar(
            colours, ax=axes, orientation="horizontal", extend=extend, aspect=40, pad=0.01,
            shrink=0.7,
        )  # fmt: skip
        bar.ax.tick_params(labelsize=8)
        return drawing_of(figure)


def _across(n: int) -> int:
    """Return how many of `n` tiles stand in a row.

    Examples
    --------
    >>> [_across(n) for n in (1, 4, 5, 6, 7, 9, 12)]
    [1, 4, 3, 3, 4, 3, 6]
    """
    if n <= _TILES_ACROSS:
        return n
    if n % 2 == 0:
        # Even numbers are most often two sides, each of which gets a row.
        return n // 2
    return min((_TILES_ACROSS, _TILES_ACROSS - 1), key=lambda across: -n % across)


def _colour_scale(arrays: Sequence[Float64Array], *, diverging: bool) -> tuple["Normalize", str]:
    """Return one scale for all tiles, and which of its ends are passed."""
    from matplotlib.colors import Normalize

    pooled = np.concatenate([array.ravel() for array in arrays])
    pooled = pooled[np.isfinite(pooled)]
    if len(pooled) == 0:
        raise ValueError("no finite pixel")
    low, high = float(pooled.min()), float(pooled.max())
    most = [float(x) for x in np.percentile(pooled, _SHOWN)]
    if 0 < most[1] - most[0] < 0.7 * (high - low):
        low, high = most
    if diverging:
        high = max(abs(low), abs(high))
        low = -high
    if not high > low:
        low, high = low - 0.5, high + 0.5
    under, over = bool((pooled < low).any()), bool((pooled > high).any())
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}
    return Normalize(low, high, clip=False), extend.get((under, over), "neither")


# -- bars ----------------------------------------------------------------------------------


def _bars(picture: Mapping[str, Any]) -> Drawing:
    rows = list(picture["rows"])
    shown = rows[:_MOST_BARS]
    values = _numbers([row["value"] for row in shown])
    if not shown:
        raise ValueError("no rows")
    limit = picture.get("limit")
    with canvas(0.75 + 0.26 * max(len(shown), 3), width=NARROW) as figure:
        axes = figure.subplots()
        places = [float(k) for k in range(len(shown))]
        start = _baseline(shown, limit)
        for place, row, value in zip(places, shown, values, strict=True):
            if not math.isfinite(value):
                axes.text(
                    0.02, place, "not computable", va="center", fontsize=8, color=QUIET,
                    transform=axes.get_yaxis_transform(),
                )  # fmt: skip
                continue
            if start is not None:
                axes.barh(place, value - start, left=start, height=0.56, color=FLOOR, lw=0)
            draw_interval(axes, place, row.get("low"), row.get("high"), colour=INK)
            axes.plot([value], [place], ls="", marker="o", ms=4.5, color=INK)
        if limit is not None:
            axes.axvline(float(limit), color=INK, lw=1.2, ls=(0, (3, 2)))
            axes.annotate(
                "limit", (float(limit), 1.0), xycoords=("data", "axes fraction"), xytext=(3, 2),
                textcoords="offset points", fontsize=8, va="bottom", ha="center",
            )  # fmt: skip
        if start is not None:
            axes.axvline(start, color=QUIET, lw=1.0)
        axes.set_yticks(places, [shortened(row.get("label", ""), 30) for row in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        more = f"\n{len(rows) - len(shown)} more not drawn" if len(rows) > len(shown) else ""
        # Centred on the figure: beside long names of rows the panel is narrow.
        figure.supxlabel(f"{two_lines(picture.get('x_label', ''), _X_LABEL)}{more}", fontsize=9.5)
        _grid(axes, axis="x")
        return drawing_of(figure)


def _baseline(rows: Sequence[Mapping[str, Any]], limit: Any) -> float | None:
    """Return 0 where bars can start there without squeezing what they show, else None."""
    ends = [row.get(key) for row in rows for key in ("value", "low", "high")]
    known = _numbers([*ends, limit])
    known = known[np.isfinite(known)]
    if len(known) == 0:
        return None
    low, high = float(known.min()), float(known.max())
    if low <= 0.0 <= high:
        return 0.0
    nearest = min(abs(low), abs(high))
    return 0.0 if nearest < 0.5 * (high - low) else None


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], Drawing]] = {
    "curves": _curves,
    "histograms": _histograms,
    "images": _images,
    "bars": _bars,
}
