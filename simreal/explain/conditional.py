"""Realism at fixed mass, star formation or redshift: the distance in bins of a property.

Two populations of different masses look different though at every mass they may look alike, and
two that look alike together may differ at every mass. In each bin the two sides are compared as
they are all together: same metric, floor, interval, p-value. What measures the distance is passed
in. Bins are cut at quantiles of the pool, so that no label decides where an edge lies.

Where only one side has the property, the bins are its own, and each is held against all of the
other side: it then differs also by being only a part of the whole, and the result says so.
"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.results import Comparison
from simreal.explain.region_properties import Column, Side, columns_of
from simreal.explain.saving import save_as
from simreal.stats.fdr import benjamini_hochberg

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

#: From observed and simulated objects of one bin to their distance.
Measure: TypeAlias = Callable[[Embedding, Embedding], Comparison]

BINS = 4
MOST_BINS = 50
ASSOCIATION = (
    "A distance at fixed property says where the two sides part; it does not say that the property "
    "is why."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RealismBin:
    """The distance in one bin.

    Parameters
    ----------
    low, high : float
        Ends, in the unit of the property; the upper one belongs to the last bin only.
    n_sim, n_obs : int
        Groups there are in the bin; those used are in the comparison.
    comparison : Comparison or None
    p_adjusted : float or None
        Benjamini-Hochberg over the bins.
    reason : str
        Why there is no distance.
    """

    low: float
    high: float
    n_sim: int
    n_obs: int
    comparison: Comparison | None
    p_adjusted: float | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        row: dict[str, Any] = {
            "low": self.low,
            "high": self.high,
            "groups_sim": self.n_sim,
            "groups_obs": self.n_obs,
            "reason": self.reason or None,
            "p_adjusted": self.p_adjusted,
        }
        one = self.comparison
        estimate, floor = (None, None) if one is None else (one.estimate, one.floor)
        row["p_value"] = None if one is None else one.p_value
        for name in ("value", "low", "high"):
            key = name if name == "value" else f"value_{name}"
            row[key] = None if estimate is None else getattr(estimate, name)
        row["n"] = 0 if estimate is None else estimate.n_sim
        row["level"] = None if estimate is None else estimate.level
        row["interval_method"] = None if estimate is None else estimate.method
        row["floor"] = (
            None
            if floor is None
            else {"median": floor.median, "low": floor.low, "high": floor.high, "n": floor.n}
        )
        return row


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConditionalRealism:
    """A distance in bins of a property.

    Parameters
    ----------
    sim, obs : str
    name, unit : str
        Property.
    metric : str
    bins : tuple of RealismBin
        By rising property.
    binned : {"both", "sim", "obs"}
        Sides that are cut into bins.
    reason : str
        Why not both; empty where both are.
    missing_sim, missing_obs : int
        Groups left out for want of a value.
    """

    sim: str
    obs: str
    name: str
    unit: str
    metric: str
    bins: tuple[RealismBin, ...]
    binned: str
    reason: str
    missing_sim: int
    missing_obs: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "sim": self.sim,
            "obs": self.obs,
            "property": self.name,
            "unit": self.unit,
            "metric": self.metric,
            "binned": self.binned,
            "binned_reason": self.reason or None,
            "missing_sim": self.missing_sim,
            "missing_obs": self.missing_obs,
            "meaning": ASSOCIATION,
            "bins": [each.to_dict() for each in self.bins],
        }

    def plot(self) -> "Figure":
        """Return the distance with its interval, and the floor, bin by bin."""
        return _figure(self)

    def save(self, path: "str | Path") -> "Path":
        """Write the numbers (``.json``) or the figure (``.png``, ``.pdf``), whole.

        Raises
        ------
        UsageError
            If the name ends otherwise.
        StorageError
            If it cannot be written.
        """
        from simreal.explain.gradient_pictures import figure_bytes

        return save_as(
            path,
            {
                ".json": lambda: json.dumps(
                    self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False
                ).encode(),
                ".png": lambda: figure_bytes(self.plot(), "png"),
                ".pdf": lambda: figure_bytes(self.plot(), "pdf"),
            },
        )

    def __str__(self) -> str:
        """Return a table."""
        unit = f" [{self.unit}]" if self.unit else ""
        lines = [
            f"{self.metric} of {self.sim} against {self.obs} at fixed {self.name}{unit}",
            *([self.reason] if self.reason else []),
            f"{'bin':<24}{'n':>5}  {'distance':<28}{'floor':<24}{'p (FDR)':>8}",
        ]
        return "\n".join([*lines, *(_line(each) for each in self.bins), ASSOCIATION])


def conditional_realism(
    obs: Embedding,
    sim: Embedding,
    name: str,
    *,
    measure: Measure,
    bins: int | Sequence[float] = BINS,
    metric: str = "",
) -> ConditionalRealism:
    """Return the distance of the two sides in bins of a property.

    Parameters
    ----------
    obs, sim : Embedding
        Of one encoder.
    name : str
        Numeric property of both sides, or of one.
    measure : callable
        From observed and simulated objects to a `Comparison`;
        `simreal.pipeline.explain_regions.conditional_realism` passes in any metric.
    bins : int or sequence of float
        Number of quantile bins, or their edges in the unit of the property.
    metric : str
        Its name, for the record.

    Raises
    ------
    UsageError
        If no side has the property, or bins are not rising.
    NotComputableError
        If the property is the same for all, or no bin has a distance.
    """
    column = columns_of(obs, sim, (name,))[0]
    if column.units_differ:
        raise UsageError(f"conditional realism: {column.reason()}; bring both to one unit")
    sides: tuple[tuple[Side, Embedding], ...] = (("sim", sim), ("obs", obs))
    values = {side: _of_group(e, column.values[side]) for side, e in sides}
    have = [side for side, _ in sides if not column.absent[side]]
    if not have:
        raise NotComputableError(f"conditional realism: {column.reason()}")
    edges = _edges(np.concatenate([values[side] for side in have]), bins, name)
    cut: list[RealismBin] = []
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        last = i == len(edges) - 2
        parts = {
            side: e.rows(
                _inside(values[side], low, high, last=last) if side in have else _everything(e)
            )
            for side, e in sides
        }
        cut.append(_bin(low, high, parts, measure))
    if all(each.comparison is None for each in cut):
        raise NotComputableError(f"conditional realism at fixed {name}: {cut[0].reason}")
    missing = {side: _missing(e, values[side]) if side in have else 0 for side, e in sides}
    return ConditionalRealism(
        sim=sim.name,
        obs=obs.name,
        name=name,
        unit=column.unit,
        metric=metric or next(b.comparison.metric for b in cut if b.comparison is not None),
        bins=_adjusted(cut),
        binned="both" if len(have) == 2 else have[0],
        reason="" if len(have) == 2 else _one_sided(column, have[0], obs, sim),
        missing_sim=missing["sim"],
        missing_obs=missing["obs"],
    )


def _everything(e: Embedding) -> BoolArray:
    return np.ones(len(e), dtype=np.bool_)


def _one_sided(column: Column, side: Side, obs: Embedding, sim: Embedding) -> str:
    has, whole = (sim, obs) if side == "sim" else (obs, sim)
    return (
        f"{column.reason()}: each bin of {has.name} is held against all of {whole.name}, and "
        "differs from it also by being a part of the whole; compare bins with one another, not "
        "with the floor"
    )


def _of_group(e: Embedding, values: Float64Array) -> Float64Array:
    """Return for every image the mean over the images of its group: a group has one bin."""
    codes = np.unique(e.groups, return_inverse=True)[1]
    there = np.isfinite(values)
    n = np.bincount(codes, there)
    total = np.bincount(codes, np.where(there, values, 0.0))
    return np.asarray(np.where(n > 0, total / np.maximum(n, 1), np.nan)[codes])


def _missing(e: Embedding, values: Float64Array) -> int:
    return len(np.unique(e.groups[~np.isfinite(values)]))


def _edges(values: Float64Array, bins: int | Sequence[float], name: str) -> list[float]:
    there = values[np.isfinite(values)]
    if np.ptp(there) == 0:
        raise NotComputableError(
            f"conditional realism: {name} is {there[0]:g} for all objects; bins need one that "
            "varies"
        )
    if isinstance(bins, int):
        if not 1 <= bins <= MOST_BINS:
            raise UsageError(f"conditional realism: got {bins} bins, allowed are 1 to {MOST_BINS}")
        edges = np.unique(np.quantile(there, np.linspace(0, 1, bins + 1)))
        return [float(edge) for edge in edges]
    given = [float(edge) for edge in bins]
    if len(given) < 2 or not np.isfinite(given).all() or (np.diff(given) <= 0).any():
        raise UsageError(
            f"conditional realism: got edges {given}, allowed are two or more rising numbers"
        )
    return given


def _inside(values: Float64Array, low: float, high: float, *, last: bool) -> BoolArray:
    below = values <= high if last else values < high
    return np.asarray((values >= low) & below, dtype=np.bool_)


def _bin(low: float, high: float, parts: Mapping[Side, Embedding], measure: Measure) -> RealismBin:
    n_sim, n_obs = parts["sim"].n_groups, parts["obs"].n_groups
    comparison, reason = None, ""
    if not n_sim or not n_obs:
        reason = f"not available: got {n_sim} simulated and {n_obs} observed groups"
    else:
        try:
            comparison = measure(parts["obs"], parts["sim"])
            reason = comparison.estimate.reason or ""
        except NotComputableError as error:
            reason = f"not available: {error}"
    if comparison is not None and comparison.estimate.value is None:
        comparison = None
    return RealismBin(
        low=low, high=high, n_sim=n_sim, n_obs=n_obs, comparison=comparison, reason=reason
    )


def _adjusted(bins: Sequence[RealismBin]) -> tuple[RealismBin, ...]:
    """Return the bins with Benjamini-Hochberg over those that have a p-value."""
    p_values = {
        i: each.comparison.p_value
        for i, each in enumerate(bins)
        if each.comparison is not None and each.comparison.p_value is not None
    }
    adjusted = dict(zip(p_values, benjamini_hochberg(list(p_values.values())), strict=True))
    return tuple(
        replace(each, p_adjusted=float(adjusted[i])) if i in adjusted else each
        for i, each in enumerate(bins)
    )


def _line(each: RealismBin) -> str:
    ends = f"{each.low:.4g} to {each.high:.4g}"
    if each.comparison is None:
        return f"{ends:<24}{min(each.n_sim, each.n_obs):>5}  {each.reason}"
    estimate, floor = each.comparison.estimate, each.comparison.floor
    value = f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"
    noise = "none" if floor is None else f"{floor.median:.3g} ({floor.low:.3g} to {floor.high:.3g})"
    p = "" if each.p_adjusted is None else f"{each.p_adjusted:.2g}"
    return f"{ends:<24}{estimate.n_sim:>5}  {value:<28}{noise:<24}{p:>8}"


def _figure(found: ConditionalRealism) -> "Figure":
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.family": ["DejaVu Sans"], "font.size": 9, "text.usetex": False,
        "text.parse_math": False, "axes.spines.top": False, "axes.spines.right": False,
        "legend.frameon": False, "figure.facecolor": "#ffffff",
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=(6.4, 3.6), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for place, each in enumerate(found.bins):
            if each.comparison is None:
                continue
            estimate, floor = each.comparison.estimate, each.comparison.floor
            if floor is not None:
                axes.fill_between(
                    [place - 0.3, place + 0.3], floor.low, floor.high, color="#c9ced6", lw=0
                )
            ends = np.array([estimate.low, estimate.high, estimate.value], dtype=np.float64)
            axes.plot([place, place], ends[:2], color="#c2410c", lw=1.8)
            axes.plot([place], ends[2:], "o", color="#c2410c", ms=6)
        names = [f"{e.low:.3g} to {e.high:.3g}\nn = {_used(e)}" for e in found.bins]
        axes.set_xticks(range(len(names)), names, fontsize=7.5)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_xlabel(f"{found.name} [{found.unit}]" if found.unit else found.name)
        axes.set_ylabel(found.metric)
        axes.fill_between([], [], color="#c9ced6", lw=0, label="floor: observed against observed")
        axes.plot([], [], "o-", color="#c2410c", label=f"{found.sim} against {found.obs}, 95 %")
        axes.legend(fontsize=7.5, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure


def _used(each: RealismBin) -> int:
    return 0 if each.comparison is None else each.comparison.estimate.n_sim
