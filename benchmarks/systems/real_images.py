"""The real images that all measurements of this folder share, and how their results are kept.

Two sets: the stamps that `simreal compare --sim eagle --obs sdss` makes, and the 1,374 SDSS images
as they are, their middle brought to a stamp.
"""

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simreal.core.images import ArraySource
from simreal.data.store import read_set
from simreal.match.variants import shown
from simreal.pipeline.cache import StageCache, cache_folder
from simreal.pipeline.encoding import for_training
from simreal.pipeline.ingest import read_collection
from simreal.pipeline.plan import make_plan
from simreal.pipeline.settings import RunSettings
from simreal.pipeline.stages import Work, match_stage, read_json, read_stage, silent, stored_if_any

LABEL, WANTED = "morphology", "spiral"

#: [pixel] The middle of the 424-pixel SDSS frames, as in tests/explain/test_probes_real.py.
CROP = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Matched:
    """EAGLE and SDSS on one footing, and what the audit of a comparison of them needs."""

    plan: object
    native: dict
    stamps: dict
    sky: dict
    match: dict

    def shown(self, variant):
        return {side: shown(images, variant) for side, images in self.stamps.items()}


def matched(sim="eagle", obs="sdss", **settings):
    """Return the stamps of a comparison; the stage cache keeps them."""
    given = RunSettings(sim=sim, obs=obs, metrics=("mmd",), check_encoders=(), **settings)
    plan = make_plan(given)
    work = Work(plan=plan, cache=StageCache(cache_folder()), seconds={}, progress=silent)
    native = {side: found.images for side, found in read_stage(work).items()}
    folder = match_stage(work, native)
    return Matched(
        plan=plan,
        native=native,
        stamps={side: read_set(folder / f"{side}.h5") for side in ("sim", "obs")},
        sky={side: stored_if_any(folder / f"sky_{side}.h5") for side in ("sim", "obs")},
        match=read_json(folder / "match.json"),
    )


def sdss_stamps(stamp=64, name="sdss", crop=CROP):
    """Return all SDSS images as colour stamps: the middle `crop` pixels by area means."""
    images = read_collection(name, role="observed").images
    edge = (images.images.shape[-1] - crop) // 2
    blocks = []
    for _, block in images.chunks():
        middle = block[:, :, edge : edge + crop, edge : edge + crop]
        factor = crop // stamp
        small = middle.reshape(*block.shape[:2], stamp, factor, stamp, factor)
        blocks.append(small.mean(axis=(3, 5), dtype=np.float32))
    return images.replace(images=ArraySource(np.concatenate(blocks)))


class Store:
    """Rows of a measurement by key in one JSON file; one that is there is not made again."""

    def __init__(self, path):
        self.path = Path(path)
        self.rows = json.loads(self.path.read_text()) if self.path.is_file() else {}

    def make(self, key, compute):
        if key not in self.rows:
            self.rows[key] = compute()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = self.path.with_suffix(".new")
            new.write_text(json.dumps(self.rows, indent=1))
            new.replace(self.path)
            print(time.strftime("%H:%M:%S"), key, flush=True)
        return self.rows[key]


@contextmanager
def clock(into):
    """Write wall and processor seconds of a block into a dict."""
    wall, used = time.perf_counter(), time.process_time()
    yield
    into["seconds"] = round(time.perf_counter() - wall, 1)
    into["cpu_seconds"] = round(time.process_time() - used, 1)


def score(row, digits=3):
    """Write a value with its interval."""
    if row is None or row["value"] is None:
        return "–"
    value, low, high = (f"{row[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def halves(images):
    """Return the half of a set that trains and the half that is held out, split by galaxy."""
    train = for_training(images.groups, seed=0)
    return images.rows(np.flatnonzero(train)), images.rows(np.flatnonzero(~train))
