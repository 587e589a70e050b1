"""What the page shows of the explanations: region cards, property maps, gradients.

Results of before there were explanations have the regions of the occupancy metric instead; the
page shows those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simreal.core.images import ImageSet
from simreal.report.canvas import Drawing
from simreal.report.pictures import (
    STAMP_LIMIT,
    ByteImage,
    Plot,
    Shown,
    plotted,
    read_display,
    shown,
)

_STAMPS = 5
_REGIONS_WITH_IMAGES = 16
#: Gradients with a strip of galaxies.
_MOST_STRIPS = 6
#: A gradient this unlikely by chance is shown in galaxies.
_LEVEL = 0.05

#: Key of a region, the side whose galaxies it names, and what they are.
_EXAMPLES = (
    ("sim_ids", "sim", "simulated"),
    ("obs_ids", "obs", "observed"),
    ("sim_edge_ids", "sim", "simulated"),
    ("obs_edge_ids", "obs", "observed"),
)

_MAP_CAPTION = (
    "Mean, standard error of the mean and number of objects in each cell of the map, on the same "
    "scales for both sides; blank where there are too few objects. An association between place "
    "and property, not a cause."
)
_GRADIENT_CAPTION = (
    "Above: how well the embedding holds each property (R² of objects not seen, with the 95 % "
    "that shuffled values reach), and the share of the embedding’s variance that goes along with "
    "it, by itself and with the others held fixed. Below: the property in ten equal parts along "
    "its own gradient. Associations, not causes."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Galaxies along one gradient, lowest first: one of each part, both sides."""

    name: str
    unit: str
    told: Mapping[str, Any]
    sim: tuple[Shown | None, ...]
    obs: tuple[Shown | None, ...]
    values: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExplainedView:
    """Region cards, figures and strips, ready for the template."""

    regions: Sequence[Mapping[str, Any]] = ()
    plots: Mapping[str, Plot] = field(default_factory=dict)
    maps: Sequence[Mapping[str, Any]] = ()
    gradients: Sequence[Mapping[str, Any]] = ()


def region_set(results: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what was found of regions, or None."""
    explained = (results.get("explained") or {}).get("regions") or {}
    if explained.get("regions"):
        return dict(explained) | {"variant": results["explained"].get("variant")}
    occupancy: Mapping[str, Any] | None = results.get("occupancy")
    return occupancy


def region_rows(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the regions in the order of the results."""
    return list((region_set(results) or {}).get("regions") or [])


def explained_view(
    results: Mapping[str, Any],
    *,
    sim: ImageSet,
    obs: ImageSet,
    drawn: Mapping[str, Drawing],
) -> ExplainedView:
    """Return what the page shows, reading only the images it needs."""
    explained = results.get("explained") or {}
    said = {row["name"]: row["alt"] for row in explained.get("figures") or ()}
    plots = {
        name: Plot(
            picture=plotted(drawing, said.get(name, name)),
            caption=_GRADIENT_CAPTION if name.startswith("gradients") else _MAP_CAPTION,
            pixels=name.startswith("property_map"),  # a colour scale turned around misleads
        )
        for name, drawing in drawn.items()
    }
    return ExplainedView(
        regions=_cards(results, {"sim": sim, "obs": obs}),
        plots=plots,
        maps=[
            {**row, "plot": plots.get(str(row.get("figure")))}
            for row in explained.get("property_maps") or ()
        ],
        gradients=[
            _gradients(side, found, {"sim": sim, "obs": obs}, plots)
            for side, found in (explained.get("gradients") or {}).items()
        ],
    )


def _cards(results: Mapping[str, Any], images: Mapping[str, ImageSet]) -> list[Mapping[str, Any]]:
    """Return the regions, the strongest departure first, with images of both sides."""
    rows = sorted(region_rows(results), key=lambda region: -abs(region.get("log2_ratio") or 0.0))
    wanted: dict[str, list[str]] = {"sim": [], "obs": []}
    for region in rows[:_REGIONS_WITH_IMAGES]:
        for key, side, _ in _EXAMPLES:
            wanted[side] += _few(region, key)
    pixels = {side: read_display(images[side], wanted[side], STAMP_LIMIT) for side in wanted}
    return [
        dict(region)
        | {"pictured": place < _REGIONS_WITH_IMAGES}
        | {
            key: [shown(pixels[side][i], i, role) for i in _few(region, key) if i in pixels[side]]
            for key, side, role in _EXAMPLES
        }
        | {"properties": _described(region)}
        for place, region in enumerate(rows)
    ]


def _few(region: Mapping[str, Any], key: str) -> list[str]:
    return list((region.get(key) or [])[:_STAMPS])


def _described(region: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the properties with a median on some side, offsets that stand out first."""
    rows = [
        row
        for row in region.get("properties") or ()
        if row["sim"]["value"] is not None or row["obs"]["value"] is not None
    ]
    return sorted(rows, key=lambda row: row["direction"] not in ("larger", "smaller"))


def _gradients(
    side: str,
    found: Mapping[str, Any],
    images: Mapping[str, ImageSet],
    plots: Mapping[str, Plot],
) -> dict[str, Any]:
    """Return the gradients of one side's properties, with galaxies along the clearest."""
    rows = [row for row in found.get("properties") or () if row["reason"] is None]
    clear = [row for row in rows if _clear(row)]
    clear.sort(key=lambda row: -(row["direction"]["share"]["value"] or 0.0))
    other = "obs" if side == "sim" else "sim"
    wanted: dict[str, list[str]] = {"sim": [], "obs": []}
    for row in clear[:_MOST_STRIPS]:
        for part in row["bins"]:
            wanted[side] += part["ids"][:1]
            wanted[other] += part["other_ids"][:1]
    pixels = {one: read_display(images[one], wanted[one], STAMP_LIMIT) for one in wanted}
    return {
        "side": side,
        "reason": found.get("reason"),
        "name": found.get("name"),
        "properties": rows,
        "silent": [row for row in found.get("properties") or () if row["reason"] is not None],
        "angles": [row for row in found.get("angles") or () if row["angle"]["value"] is not None],
        "plot": plots.get(f"gradients_{side}"),
        "strips": [_strip(row, side, pixels) for row in clear[:_MOST_STRIPS]],
    }


def _clear(row: Mapping[str, Any]) -> bool:
    p = row["direction"]["p_adjusted"]
    return p is not None and p <= _LEVEL and row["direction"]["cone"] is not None


def _strip(
    row: Mapping[str, Any], side: str, pixels: Mapping[str, Mapping[str, ByteImage]]
) -> Strip:
    roles = {"sim": "simulated", "obs": "observed"}

    def first(part: Mapping[str, Any], of: str) -> Shown | None:
        names = part["ids" if of == side else "other_ids"][:1]
        there = [name for name in names if name in pixels[of]]
        return shown(pixels[of][there[0]], there[0], roles[of]) if there else None

    return Strip(
        name=row["name"],
        unit=row["unit"],
        told=row["direction"],
        sim=tuple(first(part, "sim") for part in row["bins"]),
        obs=tuple(first(part, "obs") for part in row["bins"]),
        values=tuple(part["value"] for part in row["bins"]),
    )
