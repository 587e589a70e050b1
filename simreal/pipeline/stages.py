"""The first stages of every comparison, and what all stages work with."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.cards import Card, catalogue_names
from simreal.core.images import ImageSet
from simreal.pipeline import fragments
from simreal.pipeline.cache import StageCache, stage_key
from simreal.pipeline.plan import Plan
from simreal.pipeline.results import ReadSide

if TYPE_CHECKING:
    from simreal.data.ingest import Ingested

Progress = Callable[[str, int, int], None]

SIDES = ("sim", "obs")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """What every stage needs: the plan, the cache, the clock and who is watching."""

    plan: Plan
    cache: StageCache
    seconds: dict[str, float]
    progress: Progress

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and show that it began and ended."""
        start = time.perf_counter()
        self.progress(name, 0, 1)
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - start, 3)
        self.progress(name, 1, 1)


def silent(label: str, done: int, total: int) -> None:
    """Show no progress."""


def read_stage(work: Work) -> dict[str, ReadSide]:
    """Read both collections; one collection against itself becomes two disjoint halves."""
    from simreal.data.split import halves

    plan = work.plan
    obs = _scorable(work, ingest_stage(work, plan.obs_card, plan.read_keys["obs"]))
    if plan.null_test:
        first, second = halves(obs.images, seed=plan.settings.seed)
        return {
            "sim": ReadSide(images=first, rejected=[], notes=[]),
            "obs": replace(obs, images=second),
        }
    return {"sim": ingest_stage(work, plan.sim_card, plan.read_keys["sim"]), "obs": obs}


def _scorable(work: Work, obs: ReadSide) -> ReadSide:
    """Leave out what a stored encoder with a model card was trained on."""
    from simreal.pipeline.encoding import model_card, without_seen

    card = model_card(work.plan.settings.encoder_from)
    if card is None:
        return obs
    hashes = hash_stage(work.cache, obs.images, work.plan.read_keys["obs"])["hashes"]
    left = without_seen(
        obs.images,
        np.array(hashes, dtype=np.str_),
        card,
        same_collection=_is_collection(work.plan.obs_card, work.plan.settings.seed, card),
    )
    said = f"{len(left)} of {len(obs.images)} images: the encoder {card['name']} saw the others"
    return obs if left is obs.images else replace(obs, images=left, notes=[*obs.notes, said])


def _is_collection(obs: Card, seed: int, card: Mapping[str, Any]) -> bool:
    """Return whether these are the files a model card speaks of, so that ids can be trusted.

    A name is unique among catalogues only, and a synthetic collection is another for every seed.
    """
    known = obs.name in catalogue_names() and obs.name == card["data"]["name"]
    return known and (obs.folder() is not None or seed == card["split"]["seed"])


def hash_stage(cache: StageCache, images: ImageSet, read_key: str) -> dict[str, Any]:
    """Return digest and pixel hashes of a collection as it was read, computed once."""
    from simreal.measure.pixel_hash import pixel_hashes

    def build(folder: Path) -> None:
        hashes: list[str] = pixel_hashes(images.images).tolist()
        dump({"digest": images.digest, "hashes": hashes}, folder / "hashes.json")

    key = stage_key("hashes", code=("measure/pixel_hash",), read=read_key)
    found: dict[str, Any] = read_json(cache.fetch("hashes", key, build) / "hashes.json")
    return found


def ingest_stage(work: Work, card: Card, key: str) -> ReadSide:
    """Read one collection, or find it in the cache."""
    with work.stage(f"read {card.name}"):
        build = read_into(card, seed=work.plan.settings.seed)
        folder = work.cache.fetch("read", key, build)
    return ReadSide(images=stored(folder / "images.h5"), **read_json(folder / "read.json"))


def read_into(card: Card, *, seed: int) -> Callable[[Path], None]:
    """Return what reads a collection into a folder of the cache."""
    from simreal.data.ingest import ingest

    def build(folder: Path) -> None:
        ingested = ingest(card, seed=seed, store=folder / "images.h5")
        dump(said_of(ingested), folder / "read.json")

    return build


def said_of(ingested: "Ingested") -> dict[str, Any]:
    """Return what was rejected and noted on the way, as plain JSON values."""
    return {
        "rejected": fragments.rejections(ingested.rejected),
        "notes": list(ingested.notes),
    }


def match_stage(work: Work, native: Mapping[str, ImageSet]) -> Path:
    """Bring both sides to the same frame, PSF, noise and encoding."""
    from simreal.data.store import write_set
    from simreal.match.track import match_sets

    plan = work.plan

    def build(folder: Path) -> None:
        matched = match_sets(
            native["sim"],
            native["obs"],
            views=(plan.sim_card.view, plan.obs_card.view),
            recipe=plan.recipe,
            seed=plan.settings.seed,
            progress=work.progress,
        )
        write_set(folder / "sim.h5", matched.sim)
        write_set(folder / "obs.h5", matched.obs)
        for side, sky in (("sim", matched.sky_sim), ("obs", matched.sky_obs)):
            if sky is not None:
                write_set(folder / f"sky_{side}.h5", sky)
        dump(fragments.matching(matched), folder / "match.json")

    with work.stage("match"):
        return work.cache.fetch("match", plan.match_key, build)


def stored(path: Path) -> ImageSet:
    """Return a set whose pixels stay on disk."""
    from simreal.data.store import read_set

    return read_set(path)


def stored_if_any(path: Path) -> ImageSet | None:
    """Return a stored set, or None where there is none."""
    return stored(path) if path.exists() else None


def dump(value: Any, path: Path) -> None:
    """Write plain values as JSON."""
    path.write_text(json.dumps(value), encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the values of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
