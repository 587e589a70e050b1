"""Property maps as a figure: every side on the same axes and the same colours."""

from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.arrays import Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simreal.explain.maps import PropertyMap, SideMap

_INK, _QUIET, _GROUND = "#1a1d21", "#5b6470", "#f2f4f7"
_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"], "font.size": 8.5, "text.usetex": False,
    "text.parse_math": False, "axes.edgecolor": _QUIET, "text.color": _INK,
    "axes.labelcolor": _INK, "xtick.color": _INK, "ytick.color": _INK,
    "figure.facecolor": "#ffffff", "axes.facecolor": _GROUND,
}  # fmt: skip
_WORDS = {"obs": "observed", "sim": "simulated", "all": "all"}


def map_figure(found: "PropertyMap") -> "Figure":
    """Return mean, standard error and number of objects, a row for each side.

    The scales of a column are those of both sides together. Where both have a map, a last row
    shows simulated minus observed, in units of its standard error too.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [side for side in found.sides if not side.reason]
    difference = found.difference()
    rows = max(1, len(shown)) + (difference is not None)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.0, 2.6 * rows + 0.7), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(rows, 3, squeeze=False, sharex=True, sharey=True)
        mean_scale = _scale(np.concatenate([side.mean.ravel() for side in shown]))
        error_scale = (0.0, _scale(np.concatenate([side.error.ravel() for side in shown]))[1])
        most = max([int(side.count.max()) for side in shown], default=1)
        for row, side in zip(panels, shown or found.sides[:1], strict=False):
            _side(row, found, side, (mean_scale, error_scale, (0, max(most, 1))))
        if difference is not None:
            _difference(panels[-1], found, *difference)
        title = (
            f"{_short(found.label, 60)} over {found.projection}: an association, no cause. Blank: "
            f"fewer than {found.fewest} objects"
        )
        silent = [_short(s.reason, 100) for s in found.sides if s.reason]
        figure.suptitle("\n".join([title, *silent]) if shown else title, fontsize=9)
    return figure


def _side(
    row: Any, found: "PropertyMap", side: "SideMap", scales: tuple[tuple[float, float], ...]
) -> None:
    row[0].set_ylabel(f"{_WORDS[side.side]}: {_short(side.name, 24)}", fontsize=8)
    if side.reason:
        for axes in row:
            axes.set_axis_off()
        row[0].text(0.0, 0.5, _short(side.reason, 70), transform=row[0].transAxes, fontsize=8)
        return
    grids = (side.mean, side.error, np.where(side.count > 0, side.count, np.nan))
    titles = (f"mean, n = {side.n}", "standard error of the mean", "objects")
    for axes, grid, title, scale, colours in zip(
        row, grids, titles, scales, ("viridis", "cividis", "Greys"), strict=True
    ):
        _draw(axes, found, grid, title, scale, colours)


def _difference(
    row: Any, found: "PropertyMap", difference: Float64Array, error: Float64Array
) -> None:
    row[0].set_ylabel("simulated - observed", fontsize=8)
    top = _scale(np.abs(difference))[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error > 0, difference / error, np.nan)
    most = _scale(np.abs(ratio))[1]
    _draw(row[0], found, difference, "difference, nothing held fixed", (-top, top), "RdBu_r")
    _draw(row[1], found, error, "its standard error", (0.0, _scale(error)[1]), "cividis")
    _draw(row[2], found, ratio, "difference / standard error", (-most, most), "RdBu_r")


def _draw(
    axes: "Axes",
    found: "PropertyMap",
    grid: Float64Array,
    title: str,
    scale: tuple[float, float],
    colours: str,
) -> None:
    mesh = axes.pcolormesh(
        found.x_edges, found.y_edges, np.ma.masked_invalid(grid), cmap=colours,
        vmin=scale[0], vmax=scale[1], rasterized=True,
    )  # fmt: skip
    axes.set_title(title, fontsize=8)
    axes.tick_params(labelsize=7)
    bar = axes.figure.colorbar(mesh, ax=axes)
    bar.ax.tick_params(labelsize=7)


def _scale(values: Float64Array) -> tuple[float, float]:
    """Return the ends of a scale, apart from each other also where nothing is shown."""
    there = values[np.isfinite(values)]
    if not len(there):
        return 0.0, 1.0
    low, high = float(there.min()), float(there.max())
    return (low, high) if high > low else (low, low + max(abs(low), 1.0) * 1e-6)


def _short(text: str, most: int) -> str:
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= most else f"{line[: most - 1]}…"
