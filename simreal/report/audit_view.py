"""The audit as it is read: checks by their standing, readings in limits, controls as a grid.

Page, figures and command line show the same view of ``results["audit"]``; what a reading or
a check amounts to is decided here and nowhere else.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from simreal.report import words

Standing = Literal[
    "clean", "red", "underpowered", "not computable", "reports only", "no limit"
]  # fmt: skip

_KINDS = ("comparison", "positive", "bridge", "negative", "planted")
_MENDED: tuple[Standing, ...] = ("red", "underpowered")
_BESIDE: Mapping[str, str] = {
    "clean": "inside the limit",
    "red": "outside the limit",
    "underpowered": "crosses the limit",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingView:
    """One reading, its standing and where it lies in units of its limit.

    Parameters
    ----------
    row : mapping
        As in the results.
    standing : str
        That of a reading which may be physics is ``"reports only"``, whatever its value.
    aside : str
        Where such a reading lies.
    value, low, high : float or None
        Signed distance from equality in units of the limit.
    """

    row: Mapping[str, Any]
    standing: Standing
    aside: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckView:
    """One check and its standing.

    Parameters
    ----------
    row : mapping
        As in the results.
    anchor : str
        Where it stands on the page; made by counting, never from a name.
    standing : str
    worst : mapping or None
        The reading that decides.
    mend : str
        What would mend it, empty where nothing needs mending.
    readings : tuple of ReadingView
    """

    row: Mapping[str, Any]
    anchor: str
    standing: Standing
    worst: Mapping[str, Any] | None
    mend: str
    readings: tuple[ReadingView, ...]

    @property
    def name(self) -> str:
        """Code and title."""
        return f"{self.row['code']} {self.row['title']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlView:
    """One control in one variant: a cell for every metric, None where it was not measured."""

    name: str
    title: str
    kind: str
    must_exceed: str | None
    cells: tuple[Mapping[str, Any] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGrid:
    """All controls of one variant.

    Parameters
    ----------
    variant : str
    lead : bool
    metrics : tuple of (str, str)
        Name and title.
    tails : tuple of str
        Where each metric finds populations that differ: above the floor, below it, or both.
    rows : tuple of ControlView
    """

    variant: str
    lead: bool
    metrics: tuple[tuple[str, str], ...]
    tails: tuple[str, ...]
    rows: tuple[ControlView, ...]

    @property
    def floors(self) -> tuple[tuple[float, float] | None, ...]:
        """Median and upper edge of the floor in each metric, where all rows share them."""
        found = []
        for column in range(len(self.metrics)):
            cells = [row.cells[column] for row in self.rows]
            ends = {
                (cell.get("floor_median"), cell.get("floor_high"))
                for cell in cells
                if cell is not None and _known(cell["value"])
            }
            median, high = ends.pop() if len(ends) == 1 else (None, None)
            found.append((median, high) if _known(median) and _known(high) else None)
        return tuple(found)

    def reference(self, kind: str, column: int) -> float | None:
        """Return what the positive control or the simulation itself reads in a metric."""
        wanted = "comparison" if kind == "simulation" else kind
        cells = (row.cells[column] for row in self.rows if row.kind == wanted)
        known = (cell["value"] for cell in cells if cell is not None and _known(cell["value"]))
        return next((float(value) for value in known), None)


def check_views(audit: Mapping[str, Any]) -> tuple[CheckView, ...]:
    """Return the checks of an audit in the order in which they ran."""
    return tuple(
        _check_view(check, f"check-{place}")
        for place, check in enumerate(audit.get("checks") or (), start=1)
    )


def cause(audit: Mapping[str, Any]) -> CheckView | None:
    """Return the red check that names the cause, None where nothing is red."""
    first = audit.get("first")
    red = [check for check in check_views(audit) if check.standing == "red"]
    return next((check for check in red if check.row["name"] == first), None)


def _check_view(check: Mapping[str, Any], anchor: str) -> CheckView:
    readings = tuple(_reading_view(row) for row in check["readings"])
    standing: Standing = check["verdict"]
    if not check["vetoes"]:
        known = any(one.standing != "not computable" for one in readings)
        standing = "reports only" if known else "not computable"
    return CheckView(
        row=check,
        anchor=anchor,
        standing=standing,
        worst=_worst(check),
        mend=str(check.get("mend") or "") if standing in _MENDED else "",
        readings=readings,
    )


def _worst(check: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the reading that the check calls its worst, the worst of those of that name."""
    named = [row for row in check["readings"] if row["name"] == check.get("worst")]
    if not named:
        return None
    best: Mapping[str, Any] = max(
        named, key=lambda row: (row["vetoes"], row["verdict"] == "red", row["exceedance"] or 0.0)
    )
    return best


def _reading_view(row: Mapping[str, Any]) -> ReadingView:
    if not _known(row["value"]):
        return ReadingView(row=row, standing="not computable")
    if row["limit_high"] is None:
        return ReadingView(row=row, standing="no limit")
    value, low, high = in_limits(row)
    standing: Standing = row["verdict"] if row["vetoes"] else "reports only"
    aside = "" if row["vetoes"] else _BESIDE.get(row["verdict"], "")
    return ReadingView(row=row, standing=standing, aside=aside, value=value, low=low, high=high)


def in_limits(row: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    """Return value and interval of a reading as signed distances in units of its limit.

    Examples
    --------
    >>> row = {"scale": "auc", "value": 0.6, "low": 0.45, "high": 0.7, "limit_high": 0.55}
    >>> [round(x, 3) for x in in_limits(row)]  # below one half a classifier says nothing
    [2.0, 0.0, 4.0]
    >>> row = {"scale": "ratio", "value": 0.98, "low": 0.9604, "high": 1.0, "limit_high": 1.02}
    >>> [round(x, 2) for x in in_limits(row)]
    [-1.02, -2.04, 0.0]
    """
    ends = (row["value"], row["low"], row["high"])
    limit = _from_equality(row["limit_high"], row["scale"])
    placed = [_from_equality(x, row["scale"]) for x in ends]
    if limit is None or limit <= 0 or placed[0] is None:
        # A limit too fine for its own scale; the results still say how often it is passed.
        given = row.get("exceedance")
        return (given, None, None) if _known(given) else (None, None, None)
    value, low, high = (None if x is None else x / limit for x in placed)
    return value, low, high


def _from_equality(x: Any, scale: str) -> float | None:
    if not _known(x):
        return None
    if scale == "ratio":
        return math.log(x) if x > 0 else None
    away = float(x) - (0.5 if scale in ("auc", "separation") else 0.0)
    return max(away, 0.0) if scale in ("auc", "share") else away


def control_grids(results: Mapping[str, Any]) -> tuple[ControlGrid, ...]:
    """Return the controls of every variant, the leading one first.

    Rows stand in the order in which a reader compares them: the comparison itself, the
    positive control, other surveys, negative controls, planted nuisances.
    """
    rows = results["audit"].get("controls") or ()
    comparisons = results["comparisons"]
    titles = {str(row["metric"]): words.metric_name(row) for row in comparisons}
    tails = {str(row["metric"]): str(row.get("tail") or "upper") for row in comparisons}
    leading = [str(row.get("variant") or "") for row in comparisons if row.get("lead", True)]
    variants = list(dict.fromkeys(str(row.get("variant") or "") for row in rows))
    variants.sort(key=lambda variant: variant not in leading)
    metrics = list(dict.fromkeys(str(row["metric"]) for row in rows))
    return tuple(
        _grid(
            [row for row in rows if str(row.get("variant") or "") == variant],
            metrics=[(name, titles.get(name, name.replace("_", " "))) for name in metrics],
            tails=[tails.get(name, "upper") for name in metrics],
            lead=place == 0,
        )
        for place, variant in enumerate(variants)
    )


def _grid(
    rows: Sequence[Mapping[str, Any]],
    *,
    metrics: Sequence[tuple[str, str]],
    tails: Sequence[str],
    lead: bool,
) -> ControlGrid:
    own: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        own.setdefault((str(row["kind"]), str(row["name"])), {})[str(row["metric"])] = row
    views = []
    for (kind, name), cells in own.items():
        first = next(iter(cells.values()))
        views.append(
            ControlView(
                name=name,
                title=str(first.get("title") or name),
                kind=kind,
                must_exceed=first.get("must_exceed"),
                cells=tuple(cells.get(metric) for metric, _ in metrics),
            )
        )
    views.sort(key=lambda view: _KINDS.index(view.kind))
    variant = str(rows[0].get("variant") or "")
    return ControlGrid(
        variant=variant, lead=lead, metrics=tuple(metrics), tails=tuple(tails), rows=tuple(views)
    )


def _known(value: Any) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)
