"""A12: one observed set, split at random and sent through the whole pipeline as both sides."""

from typing import Any

import numpy as np

from simreal.audit.contract import CheckMeta, Found, Given, Tools
from simreal.audit.controls import ControlSet
from simreal.audit.inference import not_computable
from simreal.audit.null_pair import against_floor, null_rows, random_halves, read_null_pair
from simreal.core.errors import NotComputableError

META = CheckMeta(
    code="A12",
    title="observed set split in two",
    question="Is one set, split at random and sent through the pipeline as both sides, one set?",
    cost="full",
    names_cause=False,
    mend=(
        "look for a step that knows the side: a normalisation, an encoding or a resampling of one "
        "side only; the red fast checks of this pair name it"
    ),
)

NAME = "whole pipeline"


def run(given: Given, *, rng: np.random.Generator) -> Found:
    """Run the check."""
    tools, native, view = given.tools, given.obs.native, given.obs.view
    if tools is None or native is None or view is None:
        return Found(
            readings=[not_computable(NAME, "needs the observed originals and a way to match them")]
        )
    return split_and_read(
        given, tools, title="observed galaxies split in two, one half in the simulation's place",
        rng=rng,
    )  # fmt: skip


def split_and_read(given: Given, tools: Tools, *, title: str, rng: np.random.Generator) -> Found:
    """Match two random halves of the observed originals anew and read them as a null pair."""
    native, view = given.obs.native, given.obs.view
    if native is None or view is None:
        raise NotComputableError("needs the observed originals and how they were seen")
    first, second = random_halves(native, rng)
    pair = tools.rematch(first, second, views=(view, view), seed=int(rng.integers(2**31)))
    found = read_null_pair(pair, given, tools, rng=rng)
    row = ControlSet(key="null pair", title=title, kind="positive", images=None)
    lead = next(iter(found.comparisons))
    pictures: dict[str, Any] = {
        "distances": against_floor(found.comparisons[lead], f"{title}, {lead}")
    }
    return Found(
        readings=found.readings,
        pictures=pictures,
        notes=found.notes,
        controls=null_rows(row, found),
    )
