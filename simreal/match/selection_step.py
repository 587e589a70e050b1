"""The step of a match in which both sides are brought to the same selection."""

import numpy as np

from simreal.core.arrays import Float64Array
from simreal.core.errors import UsageError, did_you_mean
from simreal.core.images import Step
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
    found = select(
        _values(sim, shared),
        _values(obs, shared),
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
    ours, theirs = (set(numeric_names(party.images)) | set(MEASURED) for party in (sim, obs))
    return sorted(ours & theirs)


def _values(party: Party, names: list[str]) -> dict[str, Float64Array]:
    found = {name: column(party, name) for name in names}
    return {name: values for name, values in found.items() if values is not None}


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
