"""Figures of the report: values against their floor, the map of both sides, the regions.

Sides are told apart by an orange and a blue that every reader can separate **and** by shape,
so that the figures survive print in grey.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from simreal.core.arrays import Float64Array, IntArray
from simreal.report.canvas import (
    FLOOR,
    GROUND,
    OBS,
    QUIET,
    SIM,
    Drawing,
    canvas,
    draw_interval,
    draw_mark,
    drawing_of,
    one_line,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapPoints:
    """Where both sides lie on the first two principal components.

    Parameters
    ----------
    sim, obs : array (n, 2)
    explained_variance : sequence of float
        Fraction of the pooled variance along each axis.
    sim_name, obs_name : str
    region_sim, region_obs : array of int (n,), or None
    region_names : mapping of int to str
    """

    sim: Float64Array
    obs: Float64Array
    explained_variance: Sequence[float]
    sim_name: str
    obs_name: str
    region_sim: IntArray | None = None
    region_obs: IntArray | None = None
    region_names: Mapping[int, str]


def comparison_figure(rows: Sequence[Mapping[str, Any]], *, obs_name: str) -> Drawing:
    """Draw each metric's value and interval against its floor.

    One panel per metric, because metrics share no scale; inside it one line per variant.
    The band is what disjoint parts of the observed set give at the same n.
    """
    metrics = list(dict.fromkeys(str(row["metric"]) for row in rows))
    variants = list(dict.fromkeys(str(row.get("variant") or "") for row in rows))
    height = 0.55 + sum(0.62 + 0.34 * _count(rows, metric) for metric in metrics)
    with canvas(height) as figure:
        ratios = [0.6 + 0.34 * _count(rows, metric) for metric in metrics]
        panels = figure.subplots(len(metrics), 1, squeeze=False, height_ratios=ratios)[:, 0]
        for panel, metric in zip(panels, metrics, strict=True):
            own = [row for row in rows if str(row["metric"]) == metric]
            _comparison_panel(panel, own, variants=variants)
        _comparison_legend(figure, obs_name=obs_name)
        return drawing_of(figure)


def map_figure(points: MapPoints) -> Drawing:
    """Draw the map of both sides and the distribution along each axis.

    The frame holds all but the outermost half per cent of the points on each side of each
    axis; how many lie outside is printed in it.
    """
    with canvas(5.6) as figure:
        grid = figure.add_gridspec(2, 2, width_ratios=(5, 1), height_ratios=(1, 5))
        main = figure.add_subplot(grid[1, 0])
        top = figure.add_subplot(grid[0, 0], sharex=main)
        side = figure.add_subplot(grid[1, 1], sharey=main)
        limits = map_limits(points)
        _map_points(main, points)
        _map_regions(main, points, limits=limits)
        _map_margins(top, side, points, limits=limits)
        main.set(xlim=limits[0], ylim=limits[1])
        for axis, label in ((0, main.set_xlabel), (1, main.set_ylabel)):
            label(f"Principal component {axis + 1}{_share(points.explained_variance, axis)}")
        main.legend(loc="upper left", markerscale=1.6)
        outside = _outside(points, limits)
        if outside:
            note = f"{outside} of {len(points.sim) + len(points.obs)} points outside the frame"
            main.annotate(
                note, (0.99, 0.01), xycoords="axes fraction", ha="right", va="bottom",
                fontsize=8, color=QUIET,
            )  # fmt: skip
        return drawing_of(figure)


def map_limits(points: MapPoints) -> list[tuple[float, float]]:
    """Return the frame of the map along each axis: the middle 99 % of both sides, padded."""
    both = np.concatenate([points.sim, points.obs])
    limits = []
    for axis in (0, 1):
        low, high = (float(x) for x in np.percentile(both[:, axis], (0.5, 99.5)))
        pad = 0.06 * (high - low) or 1.0
        limits.append((low - pad, high + pad))
    return limits


def region_figure(regions: Sequence[Mapping[str, Any]], *, names: tuple[str, str]) -> Drawing:
    """Draw how both sides fill each region, and the ratio with its interval.

    Parameters
    ----------
    regions : sequence of mappings
        As in ``occupancy.regions`` of the results.
    names : tuple of str
        The simulated and the observed set.
    """
    ordered = sorted(regions, key=_ratio_key, reverse=True)
    places = np.arange(len(ordered), dtype=np.float64)[::-1]
    with canvas(1.5 + 0.42 * len(ordered)) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.0, 1.25))
        _share_bars(left, ordered, places=places, names=names)
        _ratio_points(right, ordered, places=places)
        left.set_yticks(places, [one_line(region["name"], 24) for region in ordered])
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2)
        return drawing_of(figure)


def _comparison_panel(
    axes: "Axes", rows: Sequence[Mapping[str, Any]], *, variants: Sequence[str]
) -> None:
    from matplotlib.patches import Rectangle

    rows = sorted(rows, key=lambda row: variants.index(str(row.get("variant") or "")))
    ticks = []
    for place, row in enumerate(rows):
        floor, value = row.get("floor"), row.get("value")
        if floor is not None:
            low, high = float(floor["low"]), float(floor["high"])
            band = Rectangle((low, place - 0.36), high - low, 0.72, color=FLOOR, lw=0)
            axes.add_patch(band)
            axes.vlines(floor["median"], place - 0.36, place + 0.36, color=QUIET, lw=1.4)
        if value is not None:
            filled = bool(row.get("lead", True))
            draw_interval(axes, place, row["low"], row["high"], colour=SIM)
            draw_mark(axes, place, value, marker="D", colour=SIM, filled=filled)
        ticks.append(one_line(row.get("variant") or "all bands", 18))
    if all(row.get("value") is None and row.get("floor") is None for row in rows):
        axes.set_xticks([])
        axes.text(0.5, 0.5, "not computed", transform=axes.transAxes, ha="center", va="center")
    axes.set_yticks(range(len(rows)), ticks)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    unit = rows[0].get("unit")
    name = one_line(rows[0].get("title") or str(rows[0]["metric"]).replace("_", " "), 60)
    axes.set_xlabel(f"{name} [{one_line(unit, 26)}]" if unit else name)
    start, end = axes.get_xlim()
    axes.set_xlim(min(0.0, start), max(0.0, end))
    axes.grid(visible=True, axis="x", color=FLOOR, lw=0.5, alpha=0.6)
    axes.set_axisbelow(True)


def _comparison_legend(figure: "Figure", *, obs_name: str) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], marker="D", ms=6, color=SIM, lw=1.8, label="value and interval"),
        Patch(color=FLOOR, label=f"floor: parts of {one_line(obs_name, 40)}, same n"),
        Line2D([], [], color=QUIET, lw=1.4, label="floor median"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)


def _map_points(axes: "Axes", points: MapPoints) -> None:
    for xy, name, role, marker, colour in (
        (points.obs, points.obs_name, "observed", "o", OBS),
        (points.sim, points.sim_name, "simulated", "^", SIM),
    ):
        size = float(np.clip(4000 / max(len(xy), 1), 4, 26))
        axes.scatter(
            xy[:, 0], xy[:, 1], s=size, marker=marker, c=colour, alpha=0.6, linewidths=0,
            label=f"{role}: {one_line(name, 30)} (n = {len(xy)})",
        )  # fmt: skip


def _map_regions(axes: "Axes", points: MapPoints, *, limits: Sequence[tuple[float, float]]) -> None:
    if points.region_sim is None or points.region_obs is None:
        return
    both = np.concatenate([points.sim, points.obs])
    labels = np.concatenate([points.region_sim, points.region_obs])
    for label, name in points.region_names.items():
        inside = both[labels == label]
        if len(inside) == 0:
            continue
        x, y = np.median(inside, axis=0)
        if limits[0][0] < x < limits[0][1] and limits[1][0] < y < limits[1][1]:
            box = {
                "boxstyle": "round,pad=0.2",
                "fc": GROUND,
                "ec": QUIET,
                "alpha": 0.85,
            }
            axes.text(x, y, one_line(name, 14), fontsize=8, ha="center", va="center", bbox=box)


def _map_margins(
    top: "Axes",
    side: "Axes",
    points: MapPoints,
    *,
    limits: Sequence[tuple[float, float]],
) -> None:
    ways: tuple[Literal["vertical"], Literal["horizontal"]] = ("vertical", "horizontal")
    for xy, colour, style in ((points.obs, OBS, "-"), (points.sim, SIM, "--")):
        for axes, axis in ((top, 0), (side, 1)):
            edges = np.linspace(*limits[axis], 31)
            inside = np.histogram(xy[:, axis], bins=edges)[0] / max(len(xy), 1)
            axes.stairs(inside, edges, orientation=ways[axis], color=colour, lw=1.4, ls=style)
    top.tick_params(labelbottom=False, left=False, labelleft=False)
    side.tick_params(labelleft=False, bottom=False, labelbottom=False)
    top.set_ylabel("share")
    side.set_xlabel("share")


def _share_bars(
    axes: "Axes",
    regions: Sequence[Mapping[str, Any]],
    *,
    places: Float64Array,
    names: tuple[str, str],
) -> None:
    for key, role, name, offset, colour, hatch in (
        ("n_sim", "simulated", names[0], 0.19, SIM, "////"),
        ("n_obs", "observed", names[1], -0.19, OBS, ""),
    ):
        counts = np.array([float(region[key]) for region in regions])
        total = max(counts.sum(), 1.0)
        share = 100.0 * counts / total
        axes.barh(
            places + offset, share, height=0.36, color=colour, hatch=hatch, lw=0,
            ec=GROUND, label=f"{role}: {one_line(name, 22)} (n = {int(total)})",
        )  # fmt: skip
        for place, width, count in zip(places + offset, share, counts, strict=True):
            axes.annotate(
                f"{int(count)}", (width, place), xytext=(3, 0), textcoords="offset points",
                va="center", fontsize=7.5, color=QUIET,
            )  # fmt: skip
    axes.margins(x=0.14)
    axes.set_xlabel("share of the side [%]")


def _ratio_points(
    axes: "Axes", regions: Sequence[Mapping[str, Any]], *, places: Float64Array
) -> None:
    axes.axvline(0.0, color=QUIET, lw=1.2)
    for place, region in zip(places, regions, strict=True):
        value = region.get("log2_ratio")
        if value is None:
            continue
        sure = (region.get("p_adjusted") or 1.0) < SIGNIFICANT
        colour, marker = (SIM, ">") if value > 0 else (OBS, "<")
        draw_interval(axes, place, region.get("low"), region.get("high"), colour=colour)
        draw_mark(axes, place, value, marker=marker, colour=colour, filled=sure)
        if region["direction"] == "not claimed":
            continue
        axes.annotate(
            str(region["direction"]), (1.0, place), xycoords=("axes fraction", "data"),
            xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    axes.set_xlabel("log2 (simulated / observed share), with interval\nfilled: adjusted p < 0.05")
    axes.grid(visible=True, axis="x", color=FLOOR, lw=0.5, alpha=0.6)
    axes.set_axisbelow(True)


def _ratio_key(region: Mapping[str, Any]) -> float:
    ratio = region.get("log2_ratio")
    return 0.0 if ratio is None else float(ratio)


def _outside(points: MapPoints, limits: Sequence[tuple[float, float]]) -> int:
    both = np.concatenate([points.sim, points.obs])
    low, high = np.array(limits).T
    return int(((both < low) | (both > high)).any(axis=1).sum())


def _share(explained_variance: Sequence[float], axis: int) -> str:
    if axis >= len(explained_variance) or not np.isfinite(explained_variance[axis]):
        return ""
    return f" ({100 * explained_variance[axis]:.0f} % of the variance)"


def _count(rows: Sequence[Mapping[str, Any]], metric: str) -> int:
    return sum(str(row["metric"]) == metric for row in rows)
