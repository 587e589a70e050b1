"""Control rows: distances that say what the distance of a simulation is to be read against.

Undamaged real galaxies are the positive control, real galaxies made wrong on purpose the
negative ones, another survey is a bridge. All are compared with the same observed galaxies at
the same n, so that what they have in common cancels when two of them are compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from simreal.audit.contract import Distance, Given, Tools
from simreal.audit.inference import FEWEST, LEVEL, Asked, not_computable, reading
from simreal.core.arrays import IntArray
from simreal.core.audit import Reading
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, SimrealError
from simreal.core.images import ArraySource, ImageSet
from simreal.core.results import Comparison
from simreal.core.seeding import stream

Kind = Literal["comparison", "positive", "negative", "bridge", "planted"]
Exceeds = Literal["positive", "simulation"]

#: Half of a 95 % interval in standard errors.
REACH = float(stats.norm.ppf(0.5 + LEVEL / 2))
#: A control is seen if it lies this many half-widths of the floor beyond undamaged galaxies;
#: one that lacks more than this share of it is not seen.
REQUIRED_GAIN, GAIN_LIMIT = 2.0, 0.5
#: Vectors that move by less than this part of their spread have not moved.
SAME_PLACE = 1e-4
#: Variants that a control cannot change, whatever the encoder, and why.
BLIND_BY_CONSTRUCTION: Mapping[tuple[str, str], str] = {
    ("bands", "luminance"): "the mean of the bands does not change when they are exchanged",
    ("bands", "shape"): "the sum of the bands hardly changes when they are exchanged",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlMeta:
    """What a negative control is called and what is asked of it.

    Parameters
    ----------
    key : str
        Its name among `Tools.controls`.
    title : str
    of : {"obs", "sim"}
        Whether it is made of real galaxies or of the simulation.
    beyond_simulation : {"must", "should"} or None
        Whether any simulation must read less, because nothing of a galaxy is left; or should,
        although shapes are left, and one with worse shapes than colours may not.
    in_colour : bool
        Whether it is asked for in colour, and not in the leading variant.
    must_be_seen : bool
        Whether a score that is blind to it measures no galaxies. One that is blind to noise may
        have been trained to be.
    """

    key: str
    title: str
    of: Literal["obs", "sim"] = "obs"
    beyond_simulation: Literal["must", "should"] | None = None
    in_colour: bool = False
    must_be_seen: bool = True


NEGATIVE = (
    ControlMeta(key="noiseless", title="real galaxies, noise smoothed away", must_be_seen=False),
    ControlMeta(key="psf", title="real galaxies, PSF 1.5 times as wide"),
    ControlMeta(
        key="bands",
        title="real galaxies, bands shuffled",
        beyond_simulation="should",
        in_colour=True,
    ),
    ControlMeta(key="pixels", title="real galaxies, pixels shuffled", beyond_simulation="must"),
    ControlMeta(key="stars", title="stars on real sky", beyond_simulation="must"),
    ControlMeta(key="sky removed", title="the simulation without its sky", of="sim"),
)
UNDAMAGED, SIMULATION = "undamaged", "simulation"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ControlSet:
    """One set of stamps that is read against the reference.

    Parameters
    ----------
    key, title : str
    kind : str
        Of its rows.
    images : ImageSet or None
    reason : str
        Why there are none.
    meta : ControlMeta or None
        Of negative controls.
    """

    key: str
    title: str
    kind: Kind
    images: ImageSet | None
    reason: str = ""
    meta: ControlMeta | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ControlSets:
    """Everything that is read against the same observed galaxies.

    Parameters
    ----------
    reference : ImageSet
        Observed galaxies of which no control is made.
    sets : tuple of ControlSet
        Undamaged galaxies first, then the simulation.
    n : int
        Groups of each set; the reference has twice as many for the floor.
    """

    reference: ImageSet
    sets: tuple[ControlSet, ...]
    n: int


def control_sets(given: Given, tools: Tools) -> ControlSets:
    """Return the controls of a comparison, the same ones at every call.

    The simulation, the undamaged galaxies and every control have n groups, as many as the
    comparison or a third of the observed ones: two thirds are the reference and its floor.

    Raises
    ------
    NotComputableError
        If there are too few groups.
    """
    stamps, n = given.obs.stamps, min(len(given.sim.stamps), len(given.obs.stamps) // 3)
    if n < FEWEST:
        raise NotComputableError(
            f"controls are made of a third of the observed groups: got {len(stamps)} observed and "
            f"{len(given.sim.stamps)} simulated, needed are {3 * FEWEST} and {FEWEST}"
        )
    order = stream(given.seed, "audit", "controls", "split").permutation(len(stamps))
    undamaged = stamps.rows(np.sort(order[:n]))
    simulated = _thinned(given.sim.stamps, n, given, "simulation")
    sets = [
        ControlSet(
            key=UNDAMAGED, title="real galaxies, undamaged", kind="positive", images=undamaged
        ),
        ControlSet(
            key=SIMULATION, title="the simulation, at this n", kind="comparison", images=simulated
        ),
    ]
    for meta in NEGATIVE:
        if meta.of == "obs":
            sets.append(_made(meta, undamaged, given.obs.sky, given, tools))
        elif was_given_sky(given.sim.stamps):
            sets.append(_made(meta, simulated, given.sim.sky, given, tools))
    for name, images in tools.bridges.items():
        bridge = _thinned(images, n, given, name)
        sets.append(ControlSet(key=f"bridge {name}", title=name, kind="bridge", images=bridge))
    return ControlSets(reference=stamps.rows(np.sort(order[n:])), sets=tuple(sets), n=n)


def was_given_sky(stamps: ImageSet) -> bool:
    """Return whether the match put a sky under these stamps."""
    return any(step.name == "sky" for step in stamps.history)


def _thinned(images: ImageSet, n: int, given: Given, name: str) -> ImageSet:
    rng = stream(given.seed, "audit", "controls", name)
    rows = one_of_each(images, rng)
    return images.rows(np.sort(rng.permutation(rows)[:n]))


def one_of_each(images: ImageSet, rng: np.random.Generator) -> IntArray:
    """Return one random row of every group, in rising order."""
    order = rng.permutation(len(images))
    _, first = np.unique(images.groups[order], return_index=True)
    return np.sort(order[first])


def _made(
    meta: ControlMeta, stamps: ImageSet, sky: ImageSet | None, given: Given, tools: Tools
) -> ControlSet:
    images, reason = None, ""
    try:
        if meta.key not in tools.controls:
            raise NotComputableError("no way to make it was handed to the check")
        rng = stream(given.seed, "audit", "controls", meta.key)
        pixels = tools.controls[meta.key](stamps, sky, rng)
        images = stamps.replace(name=meta.title, images=ArraySource(pixels))
    except SimrealError as error:
        reason = str(error)
    return ControlSet(
        key=meta.key, title=meta.title, kind="negative", images=images, reason=reason, meta=meta
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredSet:
    """What one set reads in one variant, or why it reads nothing."""

    of: ControlSet
    embedding: Embedding | None
    comparisons: tuple[Comparison, ...]
    reason: str = ""

    def by_metric(self, metric: str) -> Comparison | None:
        """Return the comparison by one metric, None where it has no value."""
        for one in self.comparisons:
            if one.metric == metric and one.estimate.value is not None:
                return one
        return None


def measure_sets(
    sets: Sequence[ControlSet], reference: Embedding, *, variant: str, tools: Tools
) -> dict[str, MeasuredSet]:
    """Return every set's distances from the reference in one variant."""
    return {one.key: _measured(one, reference, variant, tools) for one in sets}


def _measured(one: ControlSet, reference: Embedding, variant: str, tools: Tools) -> MeasuredSet:
    reason = one.reason or BLIND_BY_CONSTRUCTION.get((one.key, variant), "")
    if one.images is not None and not reason:
        try:
            embedding = tools.embed[variant](one.images)
            found = quick(tools)(reference, embedding)
            return MeasuredSet(of=one, embedding=embedding, comparisons=found)
        except SimrealError as error:
            reason = str(error)
    return MeasuredSet(of=one, embedding=None, comparisons=(), reason=reason)


def quick(tools: Tools) -> Distance:
    """Return the distance with less inference, or the full one where there is none."""
    return tools.distance if tools.quick is None else tools.quick


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much further one set lies than another, with its standard error."""

    value: float
    error: float

    @property
    def exceeds(self) -> bool | None:
        """True if the whole 95 % interval is above zero, False if none of it, else None."""
        if self.value - REACH * self.error > 0:
            return True
        return False if self.value + REACH * self.error <= 0 else None


def differences(
    further: MeasuredSet, nearer: MeasuredSet, *, reference: Embedding, tools: Tools
) -> dict[str, Difference]:
    """Return how much further one set lies from the reference than another, metric by metric.

    Paired on the shared reference (and on the objects, where one set is a damaged copy of the
    other) if the tools can; else from both intervals, which is conservative.
    """
    if further.embedding is None or nearer.embedding is None:
        return {}
    out = {}
    for one in further.comparisons:
        other = nearer.by_metric(one.metric)
        if one.estimate.value is not None and other is not None:
            error = float(np.hypot(_error(one), _error(other)))
            out[one.metric] = Difference(value=_value(one) - _value(other), error=error)
    if _same_places(further.embedding, nearer.embedding):
        return {metric: Difference(value=0.0, error=0.0) for metric in out}
    paired = getattr(tools, "paired", None)
    if paired is not None and out:
        for metric, found in paired(reference, further.embedding, nearer.embedding).items():
            if metric in out and found.value is not None:
                error = half_width(found.low, found.high) / REACH
                out[metric] = Difference(value=found.value, error=error)
    return out


def _same_places(one: Embedding, other: Embedding) -> bool:
    """Return whether the same objects are where they were: there is nothing to estimate then."""
    if not np.array_equal(one.ids, other.ids):
        return False
    spread = float(other.vectors.std(axis=0).max())
    return bool(np.abs(one.vectors - other.vectors).max() <= SAME_PLACE * spread)


def tells_apart(embedding: Embedding) -> bool:
    """Return whether an encoder puts any two images at different places."""
    size = float(np.abs(embedding.vectors).max())
    return bool(embedding.vectors.std(axis=0).max() > SAME_PLACE * size)


def half_width(low: float | None, high: float | None) -> float:
    """Return half of an interval's width, 0 where there is none."""
    return 0.0 if low is None or high is None else (high - low) / 2


def _value(one: Comparison) -> float:
    return 0.0 if one.estimate.value is None else one.estimate.value


def _error(one: Comparison) -> float:
    return half_width(one.estimate.low, one.estimate.high) / REACH


def control_row(
    of: ControlSet,
    one: Comparison,
    *,
    variant: str,
    must_exceed: Exceeds | None = None,
    holds: bool | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """Return one distance as a plain row."""
    estimate, floor = one.estimate, one.floor
    return {
        "name": of.key,
        "kind": of.kind,
        "title": of.title,
        "variant": variant,
        "metric": one.metric,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "p_value": one.p_value,
        "n_sim": estimate.n_sim,
        "n_obs": estimate.n_obs,
        "floor_median": None if floor is None else floor.median,
        "floor_high": None if floor is None else floor.high,
        "must_exceed": must_exceed,
        "holds": holds,
        "reason": reason or estimate.reason,
    }


def empty_row(of: ControlSet, *, variant: str, metric: str, reason: str) -> dict[str, Any]:
    """Return the row of a control that could not be measured."""
    numbers = ("value", "low", "high", "p_value", "floor_median", "floor_high", "holds")
    return {
        "name": of.key,
        "kind": of.kind,
        "title": of.title,
        "variant": variant,
        "metric": metric,
        **dict.fromkeys(numbers),
        "n_sim": 0,
        "n_obs": 0,
        "must_exceed": None,
        "reason": reason,
    }


def smallest_p(one: Comparison) -> bool:
    """Return whether no relabelling read as far as the labels do."""
    if one.p_value is None or one.n_permutations < 1:
        return False
    return one.p_value <= 1.0 / (one.n_permutations + 1) + 1e-12


def gain_reading(
    name: str, undamaged: Comparison, gain: Difference, *, vetoes: bool = True
) -> Reading:
    """Return whether a fault is seen: the share that is missing of what it must add.

    It must add `REQUIRED_GAIN` half-widths of the floor to the distance of undamaged galaxies.
    An encoder that is blind to the fault reads 1, one that sees it 0 or less.

    Parameters
    ----------
    name : str
    undamaged : Comparison
        With a floor.
    gain : Difference
        Of the damaged over the undamaged galaxies.
    vetoes : bool
    """
    required = f"required: {REQUIRED_GAIN:g} half-widths of the floor beyond undamaged galaxies"
    asked = Asked(
        name=name,
        limit=GAIN_LIMIT,
        scale="share",
        unit="of the required excess is missing",
        vetoes=vetoes,
        note=required if vetoes else f"{required}; reported: encoders may be trained not to see it",
    )
    floor = undamaged.floor
    if floor is None:
        return not_computable(asked, "undamaged galaxies have no floor at this n")
    unit = REQUIRED_GAIN * max(floor.high - floor.median, 1e-12)
    n = (undamaged.estimate.n_sim, undamaged.estimate.n_obs)
    return reading(asked, 1.0 - gain.value / unit, gain.error / unit, n=n)


def beyond_reading(name: str, control: Comparison, lead: Difference, *, vetoes: bool) -> Reading:
    """Return the simulation's excess over the floor as a share of a control's; 1 is the limit.

    Parameters
    ----------
    name : str
    control : Comparison
    lead : Difference
        Of the control over the simulation.
    vetoes : bool
    """
    asked = Asked(
        name=name,
        limit=1.0,
        scale="share",
        unit="of the control's excess",
        vetoes=vetoes,
        note=""
        if vetoes
        else "reported: galaxies' shapes are left, so that a simulation may be further",
    )
    if control.floor is None:
        return not_computable(asked, "the control has no floor at this n")
    excess = _value(control) - control.floor.median
    if excess <= control.floor.high - control.floor.median:
        return not_computable(asked, "the control itself is not beyond the floor")
    n = (control.estimate.n_sim, control.estimate.n_obs)
    return reading(asked, 1.0 - lead.value / excess, lead.error / excess, n=n)
