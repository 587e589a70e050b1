"""Two sets of real galaxies that went through a pipeline: whatever tells them apart is its doing.

Read in three ways: by the distances of the comparison, by a straight line through the
embedding on galaxies it has not seen, and by the fast checks, in which nothing can be physics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simreal.audit.contract import Given, Rematched, Side, Tools
from simreal.audit.controls import REACH, ControlSet, control_row, half_width, one_of_each, quick
from simreal.audit.inference import AUC_LIMIT, FEWEST, Asked, not_computable, reading
from simreal.audit.probe import cross_validated_auc
from simreal.core.arrays import BoolArray
from simreal.core.audit import AuditResult, Reading
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, SimrealError
from simreal.core.images import ImageSet
from simreal.core.results import Comparison, Floor
from simreal.core.seeding import integer_seed
from simreal.stats.pca import fit_pca

#: Share of a comparison's own excess that a pipeline may make up.
SHARE_LIMIT = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NullPair:
    """What two sets of real galaxies read.

    Parameters
    ----------
    readings : tuple of Reading
    comparisons : mapping of variant to tuple of Comparison
    notes : tuple of str
    """

    readings: tuple[Reading, ...]
    comparisons: Mapping[str, tuple[Comparison, ...]]
    notes: tuple[str, ...] = ()


def random_halves(images: ImageSet, rng: np.random.Generator) -> tuple[ImageSet, ImageSet]:
    """Return two disjoint halves of a set, split by group.

    Raises
    ------
    NotComputableError
        If a half would have fewer than `FEWEST` groups.
    """
    names = np.unique(images.groups)
    if len(names) < 2 * FEWEST:
        raise NotComputableError(
            f"{images.name}: {len(names)} groups, needed are {2 * FEWEST} for two halves"
        )
    first = np.isin(images.groups, rng.permutation(names)[: len(names) // 2])
    return images.rows(first), images.rows(~first)


def read_null_pair(
    pair: Rematched, given: Given, tools: Tools, *, rng: np.random.Generator
) -> NullPair:
    """Return the readings of a pair in which both sides are real galaxies.

    Parameters
    ----------
    pair : Rematched
    given : Given
        The comparison under audit.
    tools : Tools
    rng : Generator
    """
    lead = next(iter(tools.embed))
    sides = {"sim": _thin(pair.sim, rng), "obs": _thin(pair.obs, rng)}
    fewest = min(len(side.stamps) for side in sides.values())
    if fewest < FEWEST:
        raise NotComputableError(f"{fewest} galaxies are left on one side, needed are {FEWEST}")
    embedded = {
        variant: {name: embed(side.stamps) for name, side in sides.items()}
        for variant, embed in tools.embed.items()
    }
    comparisons = {
        variant: (tools.distance if variant == lead else quick(tools))(of["obs"], of["sim"])
        for variant, of in embedded.items()
    }
    seen = {name: replace(side, embedding=embedded[lead][name]) for name, side in sides.items()}
    battery = _fast_battery(seen, given, rng)
    readings = [
        probe_reading(embedded[lead]["sim"], embedded[lead]["obs"], rng=rng),
        *distance_readings(comparisons[lead], _own(given, tools)),
        *battery_readings(battery),
    ]
    ran = ", ".join(check.code for check in battery.checks)
    return NullPair(
        readings=tuple(readings),
        comparisons=comparisons,
        notes=(f"fast checks on this pair ({ran}): {battery.verdict}",),
    )


def _own(given: Given, tools: Tools) -> Sequence[Comparison]:
    """Return the distances under audit, with the inference that rows of controls have."""
    embed = next(iter(tools.embed.values()))
    sim, obs = (
        embed(side.stamps) if side.embedding is None else side.embedding
        for side in (given.sim, given.obs)
    )
    return quick(tools)(obs, sim)


def _thin(side: Side, rng: np.random.Generator) -> Side:
    return side.rows(one_of_each(side.stamps, rng))


def _fast_battery(sides: Mapping[str, Side], given: Given, rng: np.random.Generator) -> AuditResult:
    # The battery knows all checks, this one too.
    from simreal.audit.battery import run_audit

    pair = Given(
        sim=sides["sim"],
        obs=sides["obs"],
        same_population=True,
        seed=integer_seed(given.seed, "audit", "null pair", str(rng.integers(2**31))),
    )
    return run_audit(pair, cost="fast")


def probe_reading(sim: Embedding, obs: Embedding, *, rng: np.random.Generator) -> Reading:
    """Return how well a straight line through the embedding tells two sets apart, held out."""
    asked = Asked(name="embedding, held-out AUC", limit=AUC_LIMIT, scale="auc")
    pooled = np.concatenate([sim.vectors, obs.vectors])
    is_sim: BoolArray = np.arange(len(pooled)) < len(sim)
    try:
        # No label takes part in the axes.
        points = fit_pca(pooled, rng=rng).apply(pooled).astype(np.float64)
    except SimrealError as error:
        return not_computable(asked, str(error))
    found = cross_validated_auc(points, is_sim, rng=rng)
    return reading(asked, found.value, found.error, n=(len(sim), len(obs)))


def distance_readings(
    comparisons: Sequence[Comparison], own: Sequence[Comparison]
) -> list[Reading]:
    """Return how far beyond the floor two sets of real galaxies lie, metric by metric.

    Where the comparison under audit is itself beyond its floor, as a share of its excess: what
    matters is how much of the score the pipeline may have made. Where it is not, in half-widths
    of the floor: there is no score to take a share of, and beyond the floor's own range is all
    that can be asked. A p-value would only grow with n.

    Parameters
    ----------
    comparisons : sequence of Comparison
        Real galaxies against real galaxies.
    own : sequence of Comparison
        Under audit.
    """
    by_metric = {one.metric: one for one in own}
    return [_beyond_floor(one, by_metric.get(one.metric)) for one in comparisons]


def _beyond_floor(one: Comparison, own: Comparison | None) -> Reading:
    name = f"{one.metric}, excess over the floor"
    if one.estimate.value is None or one.floor is None:
        return not_computable(name, one.estimate.reason or "no floor at this n")
    n = (one.estimate.n_sim, one.estimate.n_obs)
    above = one.estimate.value - one.floor.median
    half = max(one.floor.high - one.floor.median, 1e-12)
    # Of one draw of both sets, or of the floor, whichever says less.
    error = max(
        half_width(one.floor.low, one.floor.high),
        half_width(one.estimate.low, one.estimate.high),
    )
    error /= REACH
    excess = _own_excess(own)
    if excess is None:
        asked = Asked(
            name=name, limit=1.0, scale="share", unit="half-widths of the floor",
            note="the comparison itself is not beyond its floor",
        )  # fmt: skip
        return reading(asked, above / half, error / half, n=n)
    asked = Asked(
        name=name,
        limit=max(SHARE_LIMIT, half / excess),
        scale="share",
        unit="of the comparison's own excess",
    )
    return reading(asked, above / excess, error / excess, n=n)


def _own_excess(own: Comparison | None) -> float | None:
    """Return the excess of the comparison under audit, None where it is not beyond its floor."""
    if own is None or own.estimate.value is None or own.floor is None:
        return None
    beyond = own.estimate.value > own.floor.high
    return own.estimate.value - own.floor.median if beyond else None


def battery_readings(battery: AuditResult) -> list[Reading]:
    """Return the largest exceedance among the red checks of a battery, then each of them.

    No red check reads 0. The family-wise error was held inside the battery, so its adjusted
    p-values are taken on.
    """
    red = sorted(
        (check for check in battery.checks if check.verdict == "red"),
        key=lambda check: -check.exceedance,
    )
    worst = red[0].exceedance if red else 0.0
    n = max(
        ((r.n_sim, r.n_obs) for check in battery.checks for r in check.readings), default=(0, 0)
    )
    summary = Reading(
        name="fast checks, largest exceedance among the red ones",
        value=worst,
        low=worst,
        high=worst,
        limit=1.0,
        scale="share",
        unit="limits",
        n_sim=n[0],
        n_obs=n[1],
        note="; ".join(check.title for check in red),
    )
    each = []
    for check in red:
        one = check.worst
        if one is not None:
            name = f"{check.code} {check.title}: {one.name}"
            each.append(replace(one, name=name, p_value=one.p_adjusted, p_adjusted=None))
    return [summary, *each]


def null_rows(of: ControlSet, found: NullPair) -> list[dict[str, Any]]:
    """Return the control rows of a pair of real sets."""
    return [
        control_row(of, one, variant=variant)
        for variant, comparisons in found.comparisons.items()
        for one in comparisons
    ]


def against_floor(comparisons: Sequence[Comparison], caption: str) -> dict[str, Any]:
    """Return the picture of distances against their floors, in half-widths of the floor."""
    rows = []
    for one in comparisons:
        estimate, floor = one.estimate, one.floor
        if estimate.value is None or floor is None:
            continue
        rows.append(
            {
                "label": one.metric,
                **{key: _scaled(getattr(estimate, key), floor) for key in ("value", "low", "high")},
            }
        )
    return {
        "kind": "bars",
        "rows": rows,
        "x_label": "distance above the floor's median [half-widths of the floor]",
        "limit": 1.0,
        "caption": caption,
    }


def _scaled(value: float, floor: Floor) -> float:
    return (value - floor.median) / max(floor.high - floor.median, 1e-12)
