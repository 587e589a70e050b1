"""The step of a match in which both sides are brought to the same selection."""

from collections.abc import Mapping

import numpy as np

from simreal.core.arrays import Float64Array
from simreal.core.errors import UsageError, did_you_mean
from simreal.core.images import Step, property_values
from simreal.match.job import Job
from simreal.match.matched_selection import (
    Criterion,
    MatchedSelection,
    SelectionSettings,
    select,
)
from simreal.match.selection import MEASURED, column, numeric_names
from simreal.match.sides import Party

#: Observed counterparts of each simulated object: half of them can then be the floor.
OBSERVED_PER_SIMULATED = 2
#: Measured lengths [native pixel], which are taken in arcsec where the scale is known.
_LENGTHS = ("radius", "psf_fwhm")


def with_matched_selection(
    sim: Party, obs: Party, job: Job
) -> tuple[Party, Party, MatchedSelection | None]:
    """Keep on both sides what has a counterpart within the tolerances of the recipe.

    Raises
    ------
    UsageError
        If a side lacks a property that is to be matched on.
    NothingUsableError, NotComputableError
        If nothing, or too little, is left.
    """
    recipe = job.recipe
    if not recipe.match_on:
        return sim, obs, None
    criteria = tuple(Criterion.parse(text) for text in recipe.match_on)
    shared = _shared_names(sim, obs)
    for each in criteria:
        if each.property not in shared:
            raise UsageError(
                f"--match-on {each}: {sim.images.name} and {obs.images.name} do not both have it: "
                f"{did_you_mean(each.property, shared)}"
            )
    # Only what is matched on must agree in unit; the rest is shown where it does.
    units = _units(sim, shared)
    asked = {each.property for each in criteria}
    shown = [name for name in shared if name in asked or _units(obs, [name])[name] == units[name]]
    found = select(
        _values(sim, shown, units),
        _values(obs, shown, units),
        (sim.images.groups, obs.images.groups),
        settings=SelectionSettings(
            method=recipe.match_method,
            criteria=criteria,
            observed_per_simulated=OBSERVED_PER_SIMULATED,
            force=recipe.match_force,
        ),
        rng=job.rng("matched selection"),
    )
    return _kept(sim, found, "sim"), _kept(obs, found, "obs"), found


def _shared_names(sim: Party, obs: Party) -> list[str]:
    """Return what both sides have a number of: properties of the tables, and measured shapes."""
    ours, theirs = (set(_table_names(party)) | set(_measured_names(party)) for party in (sim, obs))
    return sorted(ours & theirs)


def _table_names(party: Party) -> tuple[str, ...]:
    return tuple(
        name
        for name in numeric_names(party.images)
        if property_values(party.images.properties, name) is not None
    )


def _measured_names(party: Party) -> tuple[str, ...]:
    """Return the shapes that mean the same on both sides.

    What is measured on calibrated images in units of their own noise does not.
    """
    if party.images.setup.track != "flux":
        return tuple(MEASURED)
    return ("axis_ratio", "concentration", "neighbours", *_LENGTHS)


def _values(party: Party, names: list[str], units: Mapping[str, str]) -> dict[str, Float64Array]:
    out = {}
    for name in names:
        found = property_values(party.images.properties, name)
        if found is not None:
            out[name] = _in_unit(found[0], found[2], units[name], f"{party.images.name}: {name}")
            continue
        values = column(party, name)
        if values is not None:
            out[name] = values * _arcsec(party) if name in _LENGTHS else values
    return out


def _arcsec(party: Party) -> Float64Array | float:
    """Return the pixel scale [arcsec] of calibrated images, 1 where pixels are all there is."""
    setup = party.images.setup
    if setup.track != "flux" or setup.pixel_scale is None:
        return 1.0
    return np.asarray(setup.pixel_scale, dtype=np.float64)


def _units(party: Party, names: list[str]) -> dict[str, str]:
    found = {name: property_values(party.images.properties, name) for name in names}
    return {name: "" if each is None else each[2] for name, each in found.items()}


def _in_unit(values: Float64Array, unit: str, wanted: str, what: str) -> Float64Array:
    """Return values in the other side's unit.

    Raises
    ------
    UsageError
        If the units do not convert.
    """
    if unit == wanted:
        return values
    from astropy import units

    try:
        return np.asarray(units.Unit(unit).to(units.Unit(wanted), values), dtype=np.float64)
    except (units.UnitConversionError, ValueError):
        raise UsageError(
            f"--match-on: {what} is in {unit or 'no unit'}, the other side in "
            f"{wanted or 'no unit'}; state one unit in both cards"
        ) from None


def _kept(party: Party, found: MatchedSelection, side: str) -> Party:
    rows = found.sim_rows if side == "sim" else found.obs_rows
    why = {each.row: each.reason for each in found.unmatched if each.side == side}
    lost = np.ones(len(party), dtype=bool)
    lost[rows] = False
    reasons = [why.get(int(row), "not matched") for row in np.flatnonzero(lost)]
    left = party.without(lost, step="selection", reasons=reasons)
    return left.noted(
        Step(
            name="matched selection",
            before={"groups": found.n_groups[side]},
            after={"groups": found.n_kept[side], "effective groups": found.effective[side]},
            note=", ".join(map(str, found.settings.criteria)),
        )
    )
