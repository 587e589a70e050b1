"""Reading one collection: through the stage cache, or into a store of the user's own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simreal.core.cards import Card
from simreal.core.images import ImageSet, Role, Track
from simreal.pipeline.cache import StageCache, cache_folder, stage_key

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadCollection:
    """A collection on a store, with what was left out and what must be known of it.

    Parameters
    ----------
    card : Card
    images : ImageSet
    rejected : list of dict
        One row per broken input.
    notes : list of str
    store : Path
        HDF5 file with the images.
    cached : bool
        Whether it had been read before.
    """

    card: Card
    images: ImageSet
    rejected: list[dict[str, Any]]
    notes: list[str]
    store: Path
    cached: bool


def read_collection(
    name: str,
    *,
    role: Role = "simulated",
    track: Track | None = None,
    seed: int = 0,
    out: Path | None = None,
    progress: Progress | None = None,
) -> ReadCollection:
    """Read a collection, into the stage cache where a comparison finds it, or into a file.

    Parameters
    ----------
    name : str
        Catalogue name, card (``.toml``) or folder of images.
    role : {"simulated", "observed"}
        What a bare folder is taken for.
    track : {"rgb", "flux"}, optional
        For collections that come in several; the card's own by default.
    seed : int
        Of synthetic collections.
    out : Path, optional
        Store to write; broken inputs are listed beside it. Default the stage cache.
    progress : callable, optional
        ``(label, done, total)``.

    Raises
    ------
    SimrealError
        In one line: what was got, what is allowed, what to do.
    """
    from simreal.data.ingest import card_for, in_track

    card = card_for(name, role=role)
    if track is not None:
        card = in_track(card, track)
    if progress is not None:
        progress(f"read {card.name}", 0, 1)
    found = _into_cache(card, seed) if out is None else _into_file(card, seed, out)
    if progress is not None:
        progress(f"read {card.name}", 1, 1)
    return found


def _into_cache(card: Card, seed: int) -> ReadCollection:
    from simreal.data.ingest import fingerprint
    from simreal.data.store import read_set
    from simreal.pipeline.stages import read_into, read_json

    # Key and files are those of a comparison, so that what is read here is not read again.
    key = stage_key("read", code=("data",), source=fingerprint(card, seed=seed))
    cache = StageCache(cache_folder())
    cached = cache.has("read", key)

    folder = cache.fetch("read", key, read_into(card, seed=seed))
    store = folder / "images.h5"
    return ReadCollection(
        card=card,
        images=read_set(store),
        store=store,
        cached=cached,
        **read_json(folder / "read.json"),
    )


def _into_file(card: Card, seed: int, out: Path) -> ReadCollection:
    from simreal.data.ingest import ingest
    from simreal.pipeline.stages import said_of
    from simreal.report.tables import write_rejected

    out.parent.mkdir(parents=True, exist_ok=True)
    ingested = ingest(card, seed=seed, store=out)
    said = said_of(ingested)
    if said["rejected"]:
        write_rejected(said["rejected"], rejected_beside(out))
    return ReadCollection(card=card, images=ingested.images, store=out, cached=False, **said)


def rejected_beside(store: Path) -> Path:
    """Return the table of broken inputs that belongs to a store."""
    return store.with_name(f"{store.stem}.rejected.csv")


def described(found: ReadCollection) -> dict[str, Any]:
    """Return what was read, as plain JSON values."""
    images, setup = found.images, found.images.setup
    n, _, height, width = images.images.shape
    masked = None if images.mask is None else float(images.mask.mean())
    return {
        "name": found.card.name,
        "title": found.card.title,
        "role": images.role,
        "track": setup.track,
        "sampling": images.sampling,
        "n": n,
        "n_groups": images.n_groups,
        "bands": list(setup.bands),
        "unit": setup.unit,
        "size": [height, width],
        "rendition": setup.rendition,
        "pixel_scale": _spread(setup.pixel_scale),
        "physical_scale": _spread(getattr(setup, "physical_scale", None)),
        "redshift": _spread(getattr(setup, "redshift", None)),
        "psf_fwhm": _spread(setup.psf_fwhm),
        "has_psf": setup.psf is not None,
        "noise": _spread(setup.noise),
        "masked": masked,
        "properties": [] if images.properties is None else list(images.properties.colnames),
        "n_rejected": len(found.rejected),
        "rejected": found.rejected,
        "notes": found.notes,
        "store": str(found.store),
        "cached": found.cached,
    }


def _spread(value: Any) -> dict[str, float] | None:
    """Return least, middle and largest of a condition, or None where it is not known."""
    if value is None:
        return None
    numbers = np.asarray(value, dtype=np.float64)
    return {
        "min": float(numbers.min()),
        "median": float(np.median(numbers)),
        "max": float(numbers.max()),
    }
