"""The explain stage: regions, property maps and gradients of the leading embedding.

Whatever cannot be had says why in its place: an explanation that fails costs itself, never the
comparison. What the pages show is drawn here, where the nouns are, and kept with the numbers.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.arrays import IntArray
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.seeding import stream
from simreal.pipeline.stages import SIDES, Work, dump, read_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simreal.explain.gradients import Gradients
    from simreal.explain.maps import PropertyMap
    from simreal.explain.regions import Regions
    from simreal.report.canvas import Drawing

#: Properties with a map of their own, the best encoded first.
MOST_MAPS = 4
FOUND, REGIONS = "explained.json", "regions.npz"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explained:
    """What the stage left: plain values and a folder of figures."""

    found: Mapping[str, Any]
    folder: Path

    def labels(self) -> dict[str, IntArray]:
        """Return the region of every image, by the names that the report gives them."""
        if not (self.folder / REGIONS).exists():
            return {}
        with np.load(self.folder / REGIONS) as regions:
            return {f"region_{side}": regions[side] for side in SIDES}

    def drawings(self) -> dict[str, "Drawing"]:
        """Return the figures by name."""
        from simreal.report.canvas import Drawing

        return {
            row["name"]: Drawing(
                (self.folder / f"{row['name']}.png").read_bytes(),
                (self.folder / f"{row['name']}.pdf").read_bytes(),
            )
            for row in self.found["figures"]
        }


def explain_stage(work: Work, embedded: Path) -> Explained:
    """Return what explains the distance between the embeddings in `embedded`.

    Parameters
    ----------
    work : Work
    embedded : Path
        Output of the embed stage of the leading variant.
    """
    from simreal.data.store import read_embedding

    plan = work.plan

    def build(folder: Path) -> None:
        sim, obs = (read_embedding(embedded / f"{side}.h5") for side in SIDES)
        dump(explain(obs, sim, seed=plan.settings.seed, folder=folder), folder / FOUND)

    with work.stage("explain"):
        folder = work.cache.fetch("explain", plan.explain_key, build)
    return Explained(found={"variant": plan.lead, **read_json(folder / FOUND)}, folder=folder)


def explain(obs: Embedding, sim: Embedding, *, seed: int, folder: Path) -> dict[str, Any]:
    """Return regions, property maps and gradients of two embeddings; draw them into `folder`.

    Returns
    -------
    dict
        ``regions`` and ``gradients`` (by side) hold ``{"reason": why}`` where there are none;
        ``property_maps`` is a list, ``figures`` names what was drawn.
    """
    from simreal.explain.gradient_pictures import figure_bytes

    figures: list[dict[str, str]] = []

    def draw(name: str, figure: "Figure", said: str) -> None:
        engine = figure.get_layout_engine()
        if engine is not None:  # laid out once, not again in every drawing
            engine.execute(figure)
            figure.set_layout_engine("none")
        for suffix in ("png", "pdf"):
            (folder / f"{name}.{suffix}").write_bytes(figure_bytes(figure, suffix))
        figures.append({"name": name, "alt": said})

    regions = _regions(obs, sim, seed=seed)
    gradients: dict[str, Any] = {}
    for side, embedding, other in (("sim", sim, obs), ("obs", obs, sim)):
        found = _gradients(embedding, other, seed=seed)
        gradients[side] = _plain(found, drop="vector")
        if not isinstance(found, str):
            said = f"Gradients of the properties of {embedding.name}"
            draw(f"gradients_{side}", found.plot(), said)
    maps = []
    for number, name in enumerate(_mapped(gradients), start=1):
        found_map = _map(obs, sim, name, regions, seed=seed)
        maps.append({"property": name} | _plain(found_map))
        if not isinstance(found_map, str):
            said = f"{found_map.label} over the map of both sides, with errors and counts"
            draw(f"property_map_{number}", found_map.plot(), said)
            maps[-1]["figure"] = f"property_map_{number}"
    if not isinstance(regions, str):
        np.savez(folder / REGIONS, sim=regions.region_sim, obs=regions.region_obs)
    return {
        "regions": _plain(regions),
        "property_maps": maps,
        "gradients": gradients,
        "figures": figures,
    }


def _or_reason(ask: Callable[[], Any]) -> Any:
    """Return what was asked for, or why it cannot be had."""
    try:
        return ask()
    except (NotComputableError, UsageError) as error:
        return str(error)


def _regions(obs: Embedding, sim: Embedding, *, seed: int) -> "Regions | str":
    from simreal.explain.regions import find_regions

    rng = stream(seed, "explain", "regions")
    found: Regions | str = _or_reason(lambda: find_regions(obs, sim, rng=rng))
    return found


def _gradients(embedding: Embedding, other: Embedding, *, seed: int) -> "Gradients | str":
    from simreal.explain.gradients import gradients

    rng = stream(seed, "explain", "gradients", embedding.name)
    found: Gradients | str = _or_reason(lambda: gradients(embedding, other=other, rng=rng))
    return found


def _map(
    obs: Embedding, sim: Embedding, name: str, regions: "Regions | str", *, seed: int
) -> "PropertyMap | str":
    from simreal.explain.maps import property_map

    rng = stream(seed, "explain", "map", name)
    given = None if isinstance(regions, str) else regions
    found: PropertyMap | str = _or_reason(
        lambda: property_map((obs, sim), name, regions=given, rng=rng)
    )
    return found


def _mapped(gradients: Mapping[str, Any]) -> list[str]:
    """Return the properties that are mapped: those that the embedding holds best."""
    held: dict[str, float] = {}
    for side in SIDES:
        for each in gradients[side].get("properties", ()):
            if each["reason"] is None and each["linear"] is not None:
                r2 = each["linear"]["r2"]["value"]
                name = each["name"]
                held[name] = max(held.get(name, -1.0), -1.0 if r2 is None else r2)
    return sorted(held, key=lambda name: (-held[name], name))[:MOST_MAPS]


def _plain(found: Any, *, drop: str = "") -> dict[str, Any]:
    if isinstance(found, str):
        return {"reason": found}
    text = json.dumps(found.to_dict(), allow_nan=False)
    values: dict[str, Any] = json.loads(text, object_hook=lambda d: _without(d, drop))
    return {"reason": None, **values}


def _without(values: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key} if key else values
