"""A8: images made wrong on purpose must lie further than real galaxies, or the score is blind."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simreal.audit.contract import CheckMeta, Found, Given, Tools
from simreal.audit.controls import (
    GAIN_LIMIT,
    SIMULATION,
    UNDAMAGED,
    ControlMeta,
    ControlSets,
    Difference,
    Exceeds,
    MeasuredSet,
    beyond_reading,
    control_row,
    control_sets,
    differences,
    empty_row,
    gain_reading,
    measure_sets,
    smallest_p,
    tells_apart,
)
from simreal.audit.inference import Asked, not_computable, reading
from simreal.core.audit import Reading
from simreal.core.results import Comparison

META = CheckMeta(
    code="A8",
    title="negative controls",
    question="Does the score see faults that are put in on purpose, and rank them behind?",
    cost="full",
    names_cause=False,
    mend=(
        "use another encoder, or train it on more images: this one puts galaxies with the named "
        "fault where it puts galaxies without it"
    ),
)

NAME = "faults put in on purpose"
#: Variants that show the bands apart.
COLOURFUL = ("colour", "flux")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Variant:
    """All sets in one variant of the stamps.

    Parameters
    ----------
    name : str
    measured : mapping of str to MeasuredSet
    gains : mapping of str to mapping of metric to Difference
        Of every control over undamaged galaxies.
    leads : mapping of str to mapping of metric to Difference
        Of the controls that are to be beyond the simulation over it.
    """

    name: str
    measured: Mapping[str, MeasuredSet]
    gains: Mapping[str, Mapping[str, Difference]]
    leads: Mapping[str, Mapping[str, Difference]]

    @property
    def undamaged(self) -> MeasuredSet:
        return self.measured[UNDAMAGED]

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(one.metric for one in self.undamaged.comparisons)


def run(given: Given, *, rng: np.random.Generator) -> Found:
    """Run the check."""
    del rng  # the controls are the same wherever they are used
    tools = given.tools
    if tools is None or not tools.controls:
        return Found(readings=[not_computable(NAME, "no way to make the controls was handed over")])
    sets = control_sets(given, tools)
    lead_name, lead_embed = next(iter(tools.embed.items()))
    if not tells_apart(lead_embed(sets.reference)):
        asked = Asked(name=f"any fault at all, {lead_name}", limit=GAIN_LIMIT, scale="share")
        blind = reading(asked, 1.0, 0.0, n=(sets.n, len(sets.reference)))
        note = "the encoder puts all observed galaxies at one place: it can see no fault"
        return Found(readings=[blind], notes=[note])
    variants = [_variant(name, sets, tools) for name in tools.embed]
    lead = variants[0]
    if not lead.metrics:
        reason = lead.undamaged.reason or "undamaged galaxies read no distance"
        return Found(readings=[not_computable(NAME, reason)])
    readings: list[Reading] = []
    rows: list[dict[str, Any]] = []
    for variant in variants:
        for one in variant.measured.values():
            rows += _rows(one, variant)
            if one.of.meta is not None and variant is _home(one.of.meta, variants):
                readings += _readings(one, variant)
    return Found(
        readings=readings,
        pictures=_pictures(lead),
        notes=(
            f"every row is read against the same {len(sets.reference)} observed galaxies, of which "
            f"no control is made, at n = {sets.n} a side; differences of rows are "
            + ("paired" if _paired(tools) else "taken from both intervals, which is conservative"),
        ),
        controls=rows,
    )


def _variant(name: str, sets: ControlSets, tools: Tools) -> _Variant:
    reference = tools.embed[name](sets.reference)
    measured = measure_sets(sets.sets, reference, variant=name, tools=tools)
    gains, leads = {}, {}
    for key, one in measured.items():
        if one.of.meta is None:
            continue
        gains[key] = differences(one, measured[UNDAMAGED], reference=reference, tools=tools)
        if one.of.meta.beyond_simulation:
            leads[key] = differences(one, measured[SIMULATION], reference=reference, tools=tools)
    return _Variant(name=name, measured=measured, gains=gains, leads=leads)


def _paired(tools: Tools) -> bool:
    return getattr(tools, "paired", None) is not None


def _home(meta: ControlMeta, variants: list[_Variant]) -> _Variant:
    """Return the variant in which a control is asked to be seen."""
    if meta.in_colour:
        for variant in variants:
            if variant.name in COLOURFUL:
                return variant
    return variants[0]


def _readings(one: MeasuredSet, variant: _Variant) -> list[Reading]:
    """Return whether a control is seen and, where it must be, beyond the simulation."""
    meta, title = one.of.meta, one.of.title
    if not one.comparisons or meta is None:
        asked = Asked(name=f"{title}, {variant.name}", vetoes=meta is None or meta.must_be_seen)
        return [not_computable(asked, one.reason or "it reads no distance")]
    out = []
    for metric in variant.metrics:
        out.append(_seen(one, metric, variant, vetoes=meta.must_be_seen))
        if meta.beyond_simulation:
            out.append(_beyond(one, metric, variant, vetoes=meta.beyond_simulation == "must"))
    return out


def _seen(one: MeasuredSet, metric: str, variant: _Variant, *, vetoes: bool) -> Reading:
    name = f"{one.of.title}: {variant.name}, {metric}"
    undamaged = variant.undamaged.by_metric(metric)
    gain = variant.gains[one.of.key].get(metric)
    if undamaged is None or gain is None:
        return not_computable(Asked(name=name, vetoes=vetoes), _why_not(one, metric))
    return gain_reading(name, undamaged, gain, vetoes=vetoes)


def _beyond(one: MeasuredSet, metric: str, variant: _Variant, *, vetoes: bool) -> Reading:
    name = f"the simulation against {one.of.title}: {variant.name}, {metric}"
    control = one.by_metric(metric)
    lead = variant.leads[one.of.key].get(metric)
    if control is None or lead is None:
        return not_computable(Asked(name=name, vetoes=vetoes), _why_not(one, metric))
    return beyond_reading(name, control, lead, vetoes=vetoes)


def _why_not(one: MeasuredSet, metric: str) -> str:
    for found in one.comparisons:
        if found.metric == metric and found.estimate.reason:
            return found.estimate.reason
    return one.reason or f"no value of {metric}"


def _rows(one: MeasuredSet, variant: _Variant) -> list[dict[str, Any]]:
    if not one.comparisons:
        return [
            empty_row(one.of, variant=variant.name, metric=metric, reason=one.reason)
            for metric in variant.metrics
        ]
    return [_row(one, comparison, variant) for comparison in one.comparisons]


def _row(one: MeasuredSet, comparison: Comparison, variant: _Variant) -> dict[str, Any]:
    meta = one.of.meta
    if meta is None:
        return control_row(one.of, comparison, variant=variant.name)
    must: Exceeds = "simulation" if meta.beyond_simulation else "positive"
    holds, reason = _holds(one, comparison, variant)
    return control_row(
        one.of, comparison, variant=variant.name, must_exceed=must, holds=holds, reason=reason
    )


def _holds(
    one: MeasuredSet, comparison: Comparison, variant: _Variant
) -> tuple[bool | None, str | None]:
    """Return whether a control exceeds all it must, with the smallest p there is."""
    if comparison.estimate.value is None:
        return None, None
    key, metric = one.of.key, comparison.metric
    needed = [variant.gains] if key not in variant.leads else [variant.gains, variant.leads]
    found = [of[key].get(metric) for of in needed]
    exceeded = [None if one is None else one.exceeds for one in found]
    if False in exceeded:
        return False, None
    if None in exceeded:
        return None, "the difference is not decided at this n"
    if not smallest_p(comparison):
        return None, "some relabellings read as far"
    return True, None


def _pictures(lead: _Variant) -> dict[str, Any]:
    """Return one bar chart per metric of the leading variant."""
    out = {}
    for metric in lead.metrics:
        found = [(one.of.title, one.by_metric(metric)) for one in lead.measured.values()]
        bars = [
            {
                "label": title,
                "value": comparison.estimate.value,
                "low": comparison.estimate.low,
                "high": comparison.estimate.high,
            }
            for title, comparison in found
            if comparison is not None
        ]
        undamaged = lead.undamaged.by_metric(metric)
        floor = None if undamaged is None else undamaged.floor
        out[metric] = {
            "kind": "bars",
            "rows": bars,
            "x_label": f"{metric}, {lead.name}",
            "limit": None if floor is None else floor.high,
            "caption": "distance from the same observed galaxies; the line is the floor's end",
        }
    return out
