"""A9: match one more nuisance at a time, and see how much of the distance is left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from simreal.audit.contract import CheckMeta, Equalise, Found, Given, Tools
from simreal.audit.controls import REACH, half_width, quick
from simreal.audit.inference import FEWEST, Asked, not_computable, reading
from simreal.core.arrays import IntArray
from simreal.core.audit import Reading
from simreal.core.embedding import Embedding
from simreal.core.errors import SimrealError
from simreal.core.results import Comparison

META = CheckMeta(
    code="A9",
    title="nuisance ablation",
    question="How much of the distance is left when sky, noise and PSF are made equal by force?",
    cost="full",
    names_cause=False,
    mend="match the nuisance whose step takes most of the distance away, from original pixels",
)

NAME = "distance lost when nuisances are equal"
#: Largest share of the distance that may be lost: four fifths must survive.
LOST_LIMIT = 0.2
BASELINE, NUISANCE = "nothing", "nuisance"
#: The error comes from disjoint parts of the objects; with fewer it says too little.
BLOCKS, FEWEST_BLOCKS = 6, 3

_Values: TypeAlias = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Row:
    """Both sides after one step."""

    name: str
    kind: str
    sim: Embedding
    obs: Embedding
    comparisons: tuple[Comparison, ...]


def run(given: Given, *, rng: np.random.Generator) -> Found:
    """Run the check."""
    tools = given.tools
    asked = Asked(name=NAME, limit=LOST_LIMIT, scale="share", vetoes=False)
    if tools is None or tools.equalise is None:
        return Found(readings=[not_computable(asked, "no way to equalise was handed over")])
    try:
        rows = _measured(given, tools, tools.equalise, rng)
    except SimrealError as error:
        return Found(readings=[not_computable(asked, str(error))])
    lead = next(iter(tools.embed))
    steps = ", ".join(row.name for row in rows[1:]) or "none could be made"
    metrics = [one.metric for one in rows[0].comparisons]
    return Found(
        readings=_lost(rows, metrics, tools, rng),
        pictures={metric: _bars(rows, metric, lead) for metric in metrics},
        notes=(
            f"in {lead}, steps add up: {steps}",
            "size, brightness and colours may be physics and are not counted as lost",
        ),
    )


def _measured(
    given: Given, tools: Tools, equalise: Equalise, rng: np.random.Generator
) -> list[_Row]:
    embed, distance = next(iter(tools.embed.values())), quick(tools)
    pair = (given.sim.stamps, given.obs.stamps)
    rows = []
    for name, kind, *shown in equalise(pair, (given.sim.sky, given.obs.sky), rng):
        sim, obs = (embed(images) for images in shown)
        rows.append(_Row(name=name, kind=kind, sim=sim, obs=obs, comparisons=distance(obs, sim)))
    return rows


def _lost(
    rows: Sequence[_Row], metrics: Sequence[str], tools: Tools, rng: np.random.Generator
) -> list[Reading]:
    """Return the share of each metric's excess over the floor that equal nuisances take away."""
    last = [row for row in rows if row.kind == NUISANCE][-1:]
    asked = {
        metric: Asked(
            name=f"{metric}, share lost when sky, noise and PSF are equal",
            limit=LOST_LIMIT,
            scale="share",
            vetoes=False,
        )
        for metric in metrics
    }
    if not last:
        reason = "neither the sky nor the PSF of both sides is known"
        return [not_computable(one, reason) for one in asked.values()]
    blocks = _by_block(rows[0], last[0], tools, rng)
    return [_share(asked[metric], rows[0], last[0], metric, blocks) for metric in metrics]


def _share(
    asked: Asked, first: _Row, last: _Row, metric: str, blocks: Sequence[tuple[_Values, _Values]]
) -> Reading:
    before, after = _of(first.comparisons, metric), _of(last.comparisons, metric)
    if before is None or after is None or before.floor is None or before.estimate.value is None:
        return not_computable(asked, "no value before or after, or no floor at this n")
    if before.estimate.value <= before.floor.high:
        return not_computable(asked, "the comparison is not beyond its floor: nothing to lose")
    whole, left = _excess(before), _excess(after)
    share, n = left / whole, (before.estimate.n_sim, before.estimate.n_obs)
    # The ratio, linearised: both numbers are made of the same objects.
    parts = [b[metric] - share * a[metric] for a, b in blocks if metric in a and metric in b]
    if len(parts) < FEWEST_BLOCKS:
        errors = [
            half_width(one.estimate.low, one.estimate.high) / REACH for one in (before, after)
        ]
        error = float(np.hypot(errors[1], share * errors[0])) / whole
        return reading(asked, 1.0 - share, error, n=n)
    error = float(np.std(parts, ddof=1)) / np.sqrt(len(parts)) / whole
    return reading(asked, 1.0 - share, error, n=n, freedom=len(parts) - 1.0)


def _by_block(
    first: _Row, last: _Row, tools: Tools, rng: np.random.Generator
) -> list[tuple[_Values, _Values]]:
    """Return both steps' distances on disjoint parts of the objects, the same parts for both."""
    if min(len(first.sim), len(first.obs) // 2) < BLOCKS * FEWEST:
        return []
    place = [rng.permutation(len(side)) % BLOCKS for side in (first.sim, first.obs)]
    out: list[tuple[_Values, _Values]] = []
    for block in range(BLOCKS):
        sim, obs = (np.flatnonzero(of == block) for of in place)
        try:
            out.append((_values(first, sim, obs, tools), _values(last, sim, obs, tools)))
        except SimrealError:
            return []  # a part is too small for these metrics; the intervals stand in
    return out


def _values(row: _Row, sim: IntArray, obs: IntArray, tools: Tools) -> _Values:
    found = quick(tools)(row.obs.rows(obs), row.sim.rows(sim))
    return {one.metric: one.estimate.value for one in found if one.estimate.value is not None}


def _of(comparisons: Sequence[Comparison], metric: str) -> Comparison | None:
    for one in comparisons:
        if one.metric == metric and one.estimate.value is not None and one.floor is not None:
            return one
    return None


def _excess(one: Comparison) -> float:
    """Return what a distance reads above its floor's median."""
    floor = 0.0 if one.floor is None else one.floor.median
    return (0.0 if one.estimate.value is None else one.estimate.value) - floor


def _bars(rows: Sequence[_Row], metric: str, variant: str) -> dict[str, Any]:
    bars = []
    for row in rows:
        one = _of(row.comparisons, metric)
        if one is None:
            continue
        estimate = one.estimate
        bars.append(
            {
                "label": row.name if row.kind == BASELINE else f"+ {row.name}",
                "value": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
            }
        )
    first = _of(rows[0].comparisons, metric)
    floor = None if first is None else first.floor
    return {
        "kind": "bars",
        "rows": bars,
        "x_label": f"{metric}, {variant}",
        "limit": None if floor is None else floor.high,
        "caption": "one more nuisance equal at each step; the line is the floor's end",
    }
