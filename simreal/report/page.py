"""The report: one page that stands alone, and its figures as files.

Nothing that came from a file, a table or a name is ever markup here: the template escapes
every value, the page carries a content-security policy that allows no script and no
network, and identifiers never become file names.
"""

import base64
import functools
import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from simreal.core.arrays import Float64Array, IntArray
from simreal.core.errors import UsageError
from simreal.core.images import ImageSet
from simreal.report import words
from simreal.report.audit_page import AuditPlots, audit_plots
from simreal.report.audit_view import cause, check_views, control_grids
from simreal.report.canvas import Drawing
from simreal.report.explained_view import ExplainedView, explained_view, region_rows, region_set
from simreal.report.figures import (
    MapPoints,
    comparison_figure,
    map_figure,
    map_limits,
    region_figure,
)
from simreal.report.pictures import (
    STAMP_LIMIT,
    ByteImage,
    Picture,
    Plot,
    Shown,
    binned,
    cell_members,
    contact_sheet,
    mosaic,
    picture,
    plotted,
    read_display,
    shown,
    to_display,
)
from simreal.report.tables import check_results, printable, to_plain, write_bytes, write_text

TEMPLATES = Path(__file__).parent / "templates"

#: Longest side of an image as delivered [pixel]; larger ones are averaged in whole blocks.
NATIVE_LIMIT = 144

CASES = 8
STRIP_LENGTH = 6
TILE_LIMIT = 48
TILES = (8, 10)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReportInputs:
    """What the report shows: the results and the images behind them.

    Parameters
    ----------
    results : mapping
        As in ``results.json``, schema 1.
    native_sim, native_obs : ImageSet
        As delivered, before matching; at least the ids of the matched sets.
    sim, obs : ImageSet
        As compared.
    coordinates_sim, coordinates_obs : array (n, 2) or None
        Principal components, one row per image of `sim` and `obs`.
    explained_variance : array (2,) or None
    region_sim, region_obs : array of int (n,) or None
        Region label of each image.
    audit_pictures : mapping of check to mapping of name to picture
        Plain data of the checks' figures; they are kept out of the results for their size.
    drawn : mapping of str to Drawing
        Figures of ``results.explained``, by the name they have there.

    Raises
    ------
    UsageError
        If an array does not have one row per image.
    """

    results: Mapping[str, Any]
    native_sim: ImageSet
    native_obs: ImageSet
    sim: ImageSet
    obs: ImageSet
    coordinates_sim: Float64Array | None = None
    coordinates_obs: Float64Array | None = None
    explained_variance: Float64Array | None = None
    region_sim: IntArray | None = None
    region_obs: IntArray | None = None
    audit_pictures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    drawn: Mapping[str, Drawing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("coordinates_sim", "coordinates_obs", "region_sim", "region_obs"):
            values = getattr(self, name)
            images = self.sim if name.endswith("sim") else self.obs
            if values is not None and len(values) != len(images):
                raise UsageError(
                    f"report: {name} has {len(values)} rows for the {len(images)} images of "
                    f"{images.name}; give one row per image, in order"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A simulated galaxy beside its nearest real ones."""

    sim: Shown
    nearest: tuple[Shown, ...]
    percentile: float
    distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strip:
    """A few objects of one side before and after matching."""

    kind: str
    label: str
    title: str
    native_shape: str
    shape: str
    before: tuple[Shown, ...]
    after: tuple[Shown, ...]


def write_report(inputs: ReportInputs, folder: Path) -> tuple[Path, ...]:
    """Write ``report.html`` and its ``figures/`` into `folder` and return their paths.

    Figures are written as PNG and as PDF, pictures of galaxies as PNG only.

    The page comes last: where it is, everything it speaks of is there.

    Raises
    ------
    UsageError
        If the results do not follow schema 1.
    StorageError
        If the disk refuses.
    """
    check_results(inputs.results)
    results = to_plain(inputs.results)
    plots = _plots(results, inputs)
    audit = audit_plots(results, inputs.audit_pictures)
    explained = explained_view(results, sim=inputs.sim, obs=inputs.obs, drawn=inputs.drawn)
    galleries = _galleries(results, inputs)
    strips = _strips(inputs, results)
    tiles = _tiles(results, inputs)
    pictures = {name: plot.picture for name, plot in plots.items()} | dict(audit.files)
    pictures |= {name: plot.picture for name, plot in explained.plots.items()}
    pictures |= {f"map_{kind}": tile for kind, tile in tiles.items()}
    files = {f"{name}.png": one.png for name, one in pictures.items()}
    files |= {f"{name}.pdf": one.pdf for name, one in pictures.items() if one.pdf}
    files |= {f"{name}.png": png for name, png in _sheets(galleries, strips).items()}
    written = [write_bytes(content, folder / "figures" / name) for name, content in files.items()]
    page = render(
        results,
        plots=plots,
        galleries=galleries,
        strips=strips,
        explained=explained,
        tiles=tiles,
        audit=audit,
    )
    return (write_text(page, folder / "report.html"), *written)


def render(
    results: Mapping[str, Any],
    *,
    plots: Mapping[str, Any],
    galleries: Mapping[str, Sequence[Any]],
    strips: Sequence[Any],
    tiles: Mapping[str, Picture],
    explained: ExplainedView | None = None,
    audit: AuditPlots | None = None,
) -> str:
    """Return the page as HTML, every value of it escaped."""
    from markupsafe import Markup

    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    provenance = results["provenance"]
    return str(
        _environment()
        .get_template("report.html")
        .render(
            r=results,
            # The style sheet is part of this package, and the hash below admits nothing else.
            style=Markup(style),  # noqa: S704
            style_hash=_content_hash(style),
            sim_title=_title(results["sim"]),
            obs_title=_title(results["obs"]),
            sim_name=results["sim"]["name"],
            obs_name=results["obs"]["name"],
            geometries=words.GEOMETRIES,
            verdict_meaning=words.VERDICTS.get(results["audit"]["verdict"], ""),
            checks=check_views(results["audit"]),
            cause=cause(results["audit"]),
            grids=control_grids(results),
            audit=audit or AuditPlots(),
            standings=words.STANDINGS,
            control_kinds=words.CONTROL_KINDS,
            must_exceed=words.MUST_EXCEED,
            sections=_section_names(results, plots, galleries, strips),
            figures=plots,
            galleries=galleries,
            strips=strips,
            explained=explained or ExplainedView(),
            region_set=region_set(results),
            tiles=tiles,
            steps=_steps(results["matching"], results),
            checks_summary=_checks_summary(results.get("match_checks") or []),
            comparisons=_grouped(results["comparisons"]),
            left_out=_left_out(results),
            native_limit=NATIVE_LIMIT,
            command=_command(provenance.get("command")),
            settings=_settings(provenance.get("settings")),
            versions=sorted(provenance["versions"].items()),
            machine=sorted((provenance.get("machine") or {}).items()),
            timings=list((provenance.get("timings") or {}).items()),
            variants=sorted((results["encoder"].get("variants") or {}).items()),
        )
    )


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": words.number,
        "signed": words.signed,
        "percent": words.percent,
        "p_value": words.p_value,
        "metric_name": words.metric_name,
        "times_floor": words.times_floor,
        "fold": words.fold,
        "shown": words.shown,
        "limits": words.limits,
        "allowed": words.allowed,
        "interval": words.interval,
        "reading_text": words.reading_text,
        "reading_value": words.reading_value,
        "times_limit": words.times_limit,
    }
    environment.globals |= {
        "together": words.together,
        "meaning": words.meaning,
        "not_available": words.NOT_AVAILABLE,
        "shapes": words.SHAPES,
    }
    return environment


def _visible(value: Any) -> Any:
    """Show what a terminal or a browser would act on, such as a change of reading direction."""
    if type(value) is not str or value.isprintable():
        return "" if value is None else value
    return "".join(c if c.isprintable() or c in "\n\t" or c.isspace() else "\ufffd" for c in value)


def _content_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def _title(side: Mapping[str, Any]) -> str:
    return str(side.get("title") or side["name"])


def _section_names(
    results: Mapping[str, Any],
    plots: Mapping[str, Any],
    galleries: Mapping[str, Sequence[Any]],
    strips: Sequence[Any],
) -> list[tuple[str, str]]:
    every = (
        ("warnings", "Warnings", results.get("warnings")),
        ("audit", "Audit", results["audit"]["checks"] or results["audit"].get("controls")),
        ("selection", "Selection", True),
        ("matching", "Matching", True),
        ("strips", "Before and after", strips),
        ("comparisons", "Distances", True),
        ("scores", "Two failures", (results.get("objects") or {}).get("scores")),
        ("map", "Map", plots.get("map")),
        ("regions", "Regions", region_set(results)),
        ("properties", "Properties", results.get("explained")),
        ("objects", "Galaxies", any(galleries.values())),
        ("left-out", "Left out", True),
        ("provenance", "Provenance", True),
    )
    return [(anchor, label) for anchor, label, present in every if present]


# -- the numbers ---------------------------------------------------------------------------


def _grouped(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the comparisons by variant, the leading one first."""
    ordered = _lead_first(rows)
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in ordered:
        groups.setdefault(str(row.get("variant") or ""), []).append(row)
    found = []
    for place, (variant, own) in enumerate(groups.items()):
        label = variant or "all bands"
        if len(groups) > 1:
            label += ": leads" if place == 0 else ": beside it"
        found.append({"label": label, "rows": own, "lead": place == 0})
    return found


def _lead_first(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(rows, key=lambda row: not row.get("lead", True))


def _steps(
    matching: Sequence[Mapping[str, Any]], results: Mapping[str, Any]
) -> list[dict[str, Any]]:
    kinds = {
        results["sim"]["name"]: "sim",
        results["obs"]["name"]: "obs",
        "sim": "sim",
        "obs": "obs",
    }
    steps = []
    for step in matching:
        before, after = step["before"], step["after"]
        quantities = list(dict.fromkeys([*before, *after])) or ["–"]
        side = str(step.get("side") or "both")
        steps.append(
            {
                "side": {"sim": "simulated", "obs": "observed"}.get(side, side),
                "kind": kinds.get(side, ""),
                "name": step["name"],
                "note": step.get("note") or "",
                "rows": [
                    {"quantity": q, "before": before.get(q, "–"), "after": after.get(q, "–")}
                    for q in quantities
                ],
            }
        )
    return steps


def _checks_summary(checks: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(check.get("passed") for check in checks)
    parts = [f"{counts[True]} of {counts[True] + counts[False]} checks passed"]
    if counts[False]:
        failed = [str(check["name"]) for check in checks if check.get("passed") is False]
        parts.append(f"failed: {', '.join(failed)}")
    if counts[None]:
        parts.append(f"{counts[None]} not judged")
    return "; ".join(parts) + "."


def _left_out(results: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rejected": _counted(results["rejected"], "code", "Code"),
        "excluded": _counted(results["excluded"], "step", "Step"),
    }


def _counted(rows: Sequence[Mapping[str, Any]], key: str, what: str) -> dict[str, Any]:
    first: dict[tuple[str, str], Mapping[str, Any]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        kind = (str(row.get("side") or ""), str(row[key]))
        first.setdefault(kind, row)
        counts[kind] += 1
    summary = [
        {
            "side": {"sim": "simulated", "obs": "observed"}.get(side, side),
            "what": name,
            "n": n,
            "id": first[side, name]["id"],
            "reason": first[side, name]["reason"],
        }
        for (side, name), n in counts.most_common()
    ]
    return {"total": len(rows), "rows": summary, "what": what}


def _command(command: Any) -> str:
    return shlex.join(map(str, command)) if isinstance(command, list) else str(command or "")


def _settings(settings: Any) -> str:
    return json.dumps(settings, indent=1, ensure_ascii=False) if settings else ""


# -- the figures ---------------------------------------------------------------------------


def _plots(results: Mapping[str, Any], inputs: ReportInputs) -> dict[str, Plot]:
    sim, obs = results["sim"]["name"], results["obs"]["name"]
    plots = {}
    rows = _lead_first(results["comparisons"])
    if rows:
        plots["comparisons"] = Plot(
            picture=plotted(comparison_figure(rows, obs_name=obs), _said(rows)),
            caption="Each metric on its own scale. A value beyond its grey band is a difference "
            "that parts of the observed set do not show among themselves: to the right, for "
            "shares such as coverage to the left. The leading variant has a filled mark.",
        )
    points = _map_points(results, inputs)
    if points is not None:
        alt = f"Scatter of {sim} and {obs} on two principal components"
        plots["map"] = Plot(
            picture=plotted(map_figure(points), alt),
            caption="Circles and full lines: observed. Triangles and dashed lines: simulated. "
            "Boxes stand at the median of each region; the margins give each side's share per bin.",
        )
    regions = region_rows(results)
    if regions:
        plots["regions"] = Plot(
            picture=plotted(region_figure(regions, names=(sim, obs)), _regions_said(regions)),
            caption="Left: share of each side in each region, with the number of objects. Right: "
            "log2 of the ratio of the shares, with its interval; right of the line the simulated "
            "share is the larger one, left the smaller.",
        )
    return plots


def _said(rows: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for row in rows:
        value = words.together(row["value"], row["low"], row["high"])
        floor = row.get("floor") or {}
        median = words.number(floor.get("median"))
        variant = f" ({row['variant']})" if row.get("variant") else ""
        parts.append(f"{words.metric_name(row)}{variant}: {value}, floor {median}")
    return "Values with intervals against their floors. " + "; ".join(parts)


def _regions_said(regions: Sequence[Mapping[str, Any]]) -> str:
    parts = [
        f"{region['name']}: {region['n_sim']} simulated, {region['n_obs']} observed, "
        f"{region['direction']}"
        for region in regions
    ]
    return "Occupancy of each region. " + "; ".join(parts)


def _map_points(results: Mapping[str, Any], inputs: ReportInputs) -> MapPoints | None:
    if inputs.coordinates_sim is None or inputs.coordinates_obs is None:
        return None
    variance = inputs.explained_variance
    return MapPoints(
        sim=np.asarray(inputs.coordinates_sim, dtype=np.float64),
        obs=np.asarray(inputs.coordinates_obs, dtype=np.float64),
        explained_variance=[] if variance is None else [float(v) for v in variance],
        sim_name=results["sim"]["name"],
        obs_name=results["obs"]["name"],
        region_sim=inputs.region_sim,
        region_obs=inputs.region_obs,
        region_names=_region_names(results, inputs),
    )


def _tiles(results: Mapping[str, Any], inputs: ReportInputs) -> dict[str, Picture]:
    """Return each side's map as a mosaic of galaxies, the same grid under both."""
    points = _map_points(results, inputs)
    if points is None:
        return {}
    limits = map_limits(points)
    found = {}
    for kind, images, xy in (("sim", inputs.sim, points.sim), ("obs", inputs.obs, points.obs)):
        members = cell_members(xy, limits, TILES)
        if members:
            rows = np.array(list(members.values()))
            shown = to_display(binned(images.images.read(rows), TILE_LIMIT))
            tiles = mosaic(dict(zip(members, shown, strict=True)), TILES)
            found[kind] = picture(tiles, f"{len(rows)} galaxies of {images.name} set on the map")
    return found


def _region_names(results: Mapping[str, Any], inputs: ReportInputs) -> dict[int, str]:
    """Return the name of each region label, read off the objects that each region lists."""
    if inputs.region_sim is None or inputs.region_obs is None:
        return {}
    label_of = _labels(inputs.sim, inputs.region_sim)
    label_of_obs = _labels(inputs.obs, inputs.region_obs)
    names: dict[int, str] = {}
    for region in region_rows(results):
        labels = [label_of[i] for i in region.get("sim_ids") or [] if i in label_of]
        labels += [label_of_obs[i] for i in region.get("obs_ids") or [] if i in label_of_obs]
        if labels:
            names[Counter(labels).most_common(1)[0][0]] = str(region["name"])
    return names


def _labels(images: ImageSet, regions: IntArray) -> dict[str, int]:
    names = (printable(name) for name in images.ids.tolist())
    return dict(zip(names, (int(label) for label in regions), strict=True))


# -- the galaxies --------------------------------------------------------------------------


def _galleries(results: Mapping[str, Any], inputs: ReportInputs) -> dict[str, list[_Case]]:
    rows = (results.get("objects") or {}).get("sim") or []
    least, most = extremes(rows, CASES)
    chosen = [*least, *most]
    sim = read_display(inputs.sim, [row["id"] for row in chosen], STAMP_LIMIT)
    near = [name for row in chosen for name in _nearest(row)]
    obs = read_display(inputs.obs, near, STAMP_LIMIT)
    return {
        "least": [_case(row, sim, obs) for row in least if row["id"] in sim],
        "most": [_case(row, sim, obs) for row in most if row["id"] in sim],
    }


def extremes(
    rows: Sequence[Mapping[str, Any]], n: int
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the first and the last `n` rows, one per group, none in both.

    Several views of one galaxy would otherwise fill a gallery.

    Examples
    --------
    >>> rows = [{"id": str(i), "group": str(i // 2)} for i in range(6)]
    >>> [[row["id"] for row in side] for side in extremes(rows, 1)]
    [['0'], ['5']]
    """
    least = _one_per_group(rows)[:n]
    taken = {_group(row) for row in least}
    most = [row for row in _one_per_group(rows[::-1]) if _group(row) not in taken][:n]
    return least, most


def _one_per_group(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    first: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        first.setdefault(_group(row), row)
    return list(first.values())


def _group(row: Mapping[str, Any]) -> str:
    return str(row.get("group") or row["id"])


def _nearest(row: Mapping[str, Any]) -> list[str]:
    return [str(name) for name in (row.get("nearest_obs") or [])[:3]]


def _case(
    row: Mapping[str, Any], sim: Mapping[str, ByteImage], obs: Mapping[str, ByteImage]
) -> _Case:
    return _Case(
        sim=shown(sim[row["id"]], row["id"], "simulated"),
        nearest=tuple(shown(obs[i], i, "observed") for i in _nearest(row) if i in obs),
        percentile=row["percentile"],
        distance=row["distance"],
    )


def _strips(inputs: ReportInputs, results: Mapping[str, Any]) -> list[_Strip]:
    return [
        _strip(inputs.native_sim, inputs.sim, kind="sim", title=_title(results["sim"])),
        _strip(inputs.native_obs, inputs.obs, kind="obs", title=_title(results["obs"])),
    ]


def _strip(native: ImageSet, matched: ImageSet, *, kind: str, title: str) -> _Strip:
    rows = np.unique(np.linspace(0, len(matched) - 1, STRIP_LENGTH).round().astype(np.int64))
    ids = [printable(name) for name in matched.ids[rows].tolist()]
    before = read_display(native, ids, NATIVE_LIMIT)
    after = read_display(matched, ids, STAMP_LIMIT)
    both = [i for i in ids if i in before and i in after]
    role = "simulated" if kind == "sim" else "observed"
    return _Strip(
        kind=kind,
        label=role.capitalize(),
        title=title,
        native_shape=_shape(native),
        shape=_shape(matched),
        before=tuple(shown(before[i], i, f"as delivered, {role}") for i in both),
        after=tuple(shown(after[i], i, f"as compared, {role}") for i in both),
    )


def _shape(images: ImageSet) -> str:
    _, _, height, width = images.images.shape
    return f"{height} × {width} pixels"


def _sheets(galleries: Mapping[str, Sequence[_Case]], strips: Sequence[_Strip]) -> dict[str, bytes]:
    """Return the galleries and strips as single pictures for talks and papers."""
    sheets = {}
    for name, cases in galleries.items():
        if not cases:
            continue
        sheets[f"{name}_realistic"] = contact_sheet(
            [[case.sim.pixels, *(n.pixels for n in case.nearest)] for case in cases],
            captions=[
                [f"sim {case.sim.caption}", *(f"real {n.caption}" for n in case.nearest)]
                for case in cases
            ],
            title=f"{name} realistic: simulated, nearest real",
        )
    for strip in strips:
        if strip.before:
            sheets[f"matching_{strip.kind}"] = contact_sheet(
                [[s.pixels for s in strip.before], [s.pixels for s in strip.after]],
                captions=[[s.caption for s in strip.before], [s.caption for s in strip.after]],
                title=f"{strip.label}: {strip.title}. Above as delivered, below as compared",
                cell=NATIVE_LIMIT,
            )
    return sheets
