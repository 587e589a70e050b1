"""The figures of the audit as they stand on the page and in the folder."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simreal.core.errors import UsageError
from simreal.report.audit_figures import controls_figure, overview_figure
from simreal.report.audit_pictures import picture_figure, picture_words
from simreal.report.audit_view import CheckView, ControlGrid, check_views, control_grids
from simreal.report.pictures import Picture, Plot, plotted
from simreal.report.tables import to_plain

_NAME = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPlots:
    """Every figure of an audit.

    Parameters
    ----------
    overview, controls : Plot or None
    checks : mapping of str to tuple of Plot
        Those of each check, by the check's name.
    faults : mapping of str to tuple of str
        Pictures that could not be drawn, and why, by the check's name: a fault in a picture
        costs the picture, never the report.
    files : mapping of str to Picture
        All of them by file name, without its ending.
    """

    overview: Plot | None = None
    controls: Plot | None = None
    checks: Mapping[str, tuple[Plot, ...]] = field(default_factory=dict)
    faults: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, Picture] = field(default_factory=dict)


def audit_plots(
    results: Mapping[str, Any], pictures: Mapping[str, Mapping[str, Any]]
) -> AuditPlots:
    """Draw the overview, the controls and the pictures of every check that was run."""
    views, grids = check_views(results["audit"]), control_grids(results)
    overview, controls = _overview(views), _controls(grids)
    files = {
        f"audit_{name}": plot.picture
        for name, plot in (("overview", overview), ("controls", controls))
        if plot is not None
    }
    plots: dict[str, tuple[Plot, ...]] = {}
    faults: dict[str, tuple[str, ...]] = {}
    for view in views:
        name = str(view.row["name"])
        drawn, failed = _drawn(view, pictures.get(name) or {})
        plots[name], faults[name] = tuple(drawn.values()), failed
        for picture, plot in drawn.items():
            files[_file_name(name, picture, taken=files)] = plot.picture
    return AuditPlots(
        overview=overview, controls=controls, checks=plots, faults=faults, files=files
    )


def _drawn(view: CheckView, pictures: Mapping[str, Any]) -> tuple[dict[str, Plot], tuple[str, ...]]:
    plots, faults = {}, []
    for name, data in pictures.items():
        try:
            plain = to_plain(data)
            drawing = picture_figure(plain)
        except UsageError as error:
            faults.append(f"{name}: {error}")
            continue
        said = f"{view.row['title']}, {name.replace('_', ' ')}. {picture_words(plain)}"
        plots[str(name)] = Plot(
            picture=plotted(drawing, said),
            caption=str(plain.get("caption") or ""),
            pixels=plain["kind"] == "images",
        )
    return plots, tuple(faults)


def _file_name(check: str, picture: str, *, taken: Mapping[str, Any]) -> str:
    """Return a file name that no name can lead out of its folder, and no two share.

    Examples
    --------
    >>> _file_name("psf", "../../etc/Passwd", taken={"audit_psf_etc_passwd": b""})
    'audit_psf_etc_passwd_2'
    """
    parts = (
        re.sub("[^a-z0-9]+", "_", name.lower())[:_NAME].strip("_") for name in (check, picture)
    )
    stem = "_".join(["audit", *(part or "x" for part in parts)])
    place, name = 1, stem
    while name in taken:
        place += 1
        name = f"{stem}_{place}"
    return name


def _overview(views: Sequence[CheckView]) -> Plot | None:
    drawing = overview_figure(views)
    if drawing is None:
        return None
    told = "; ".join(f"{view.name}: {view.standing}" for view in views)
    return Plot(
        picture=plotted(drawing, f"Every vetoing reading in units of its limit. {told}"),
        caption="Every reading that can veto, with its 95 % interval, in units of its own limit: "
        "0 is equality, the dashed lines at ±1 are the limits. A reading is clean if its whole "
        "interval lies between them and red if it lies wholly outside; the number at the right "
        "is how many limits it is away. Right of 0 the simulated side has the larger number; "
        "classifiers only go to the right.",
    )


def _controls(grids: Sequence[ControlGrid]) -> Plot | None:
    drawing = controls_figure(grids)
    if drawing is None:
        return None
    told = "; ".join(dict.fromkeys(row.title for grid in grids for row in grid.rows))
    return Plot(
        picture=plotted(drawing, f"Distance of every control in every metric: {told}"),
        caption="The distance of the simulation (S) beside that of every control, one panel for "
        "each metric on its own scale, linear up to the floor and logarithmic beyond where the "
        "values lie far apart. “> P” must exceed the positive control (dashed line), “> S” the "
        "simulation (dotted line).",
    )
