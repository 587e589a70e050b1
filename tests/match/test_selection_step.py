"""The step of a match that keeps on both sides what has a counterpart."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units
from astropy.table import QTable

from simreal.core.errors import UsageError
from simreal.match.selection_step import with_matched_selection
from tests.match.flux.scenes import flux_set, job, party


def side(name, mass, *, axis_ratio=None, extra=None):
    n = len(mass)
    columns = {"mass": np.asarray(mass, float) * units.Msun, **(extra or {})}
    images = flux_set(
        name, np.zeros((n, 1, 8, 8)), pixel_scale=0.3, psf_fwhm=[2.0], properties=QTable(columns)
    )
    given = party(name, images)
    ratio = np.full(n, 0.5) if axis_ratio is None else np.asarray(axis_ratio, float)
    return replace(given, measured=given.measured.replace(axis_ratio=ratio))


def lognormal(n, mean, seed):
    return 10 ** np.random.default_rng(seed).normal(mean, 0.4, n)


def test_without_criteria_nothing_happens():
    sim, obs = side("sim", [1, 2]), side("obs", [1, 2, 3])
    ours, theirs, found = with_matched_selection(sim, obs, job())
    assert ours is sim
    assert theirs is obs
    assert found is None


@pytest.mark.parametrize("method", ["strata", "nearest"])
def test_what_is_kept_agrees_and_what_is_lost_is_listed_by_name(method):
    sim, obs = side("sim", lognormal(300, 10.2, 0)), side("obs", lognormal(900, 10.0, 1))
    recipe = {"match_on": ("mass=0.2dex",), "match_method": method}
    ours, theirs, found = with_matched_selection(sim, obs, job(**recipe))
    logs = [np.log10(p.images.properties["mass"].value) for p in (ours, theirs)]
    assert abs(logs[0].mean() - logs[1].mean()) < 0.1
    before = np.log10(sim.images.properties["mass"].value).mean()
    assert abs(before - 10.0) > 0.1
    for given, left in ((sim, ours), (obs, theirs)):
        gone = {row.id for row in left.exclusions}
        assert gone | set(left.images.ids.tolist()) == set(given.images.ids.tolist())
        assert not gone & set(left.images.ids.tolist())
        assert {row.step for row in left.exclusions} <= {"selection"}
        assert all(row.reason for row in left.exclusions)
        assert [step.name for step in left.steps] == ["matched selection"]
        np.testing.assert_array_equal(left.original, np.flatnonzero(
            np.isin(given.images.ids, left.images.ids)
        ))  # fmt: skip
    assert found.n_kept["sim"] == ours.images.n_groups
    assert found.n_kept["obs"] == theirs.images.n_groups


def test_measured_shapes_can_be_matched_on():
    rng = np.random.default_rng(2)
    sim = side("sim", np.ones(200), axis_ratio=rng.uniform(0.7, 1.0, 200))
    obs = side("obs", np.ones(600), axis_ratio=rng.uniform(0.2, 1.0, 600))
    ours, theirs, _ = with_matched_selection(sim, obs, job(match_on=("axis_ratio=0.05",)))
    assert theirs.measured.axis_ratio.min() > 0.6
    assert abs(ours.measured.axis_ratio.mean() - theirs.measured.axis_ratio.mean()) < 0.03


def test_a_property_that_one_side_lacks_is_refused_with_the_one_that_was_meant():
    sim = side("sim", [1, 2, 3], extra={"sfr": np.ones(3) * units.Msun / units.yr})
    obs = side("obs", [1, 2, 3])
    with pytest.raises(UsageError, match="do not both have it"):
        with_matched_selection(sim, obs, job(match_on=("sfr=0.2dex",)))
    with pytest.raises(UsageError, match="mass"):
        with_matched_selection(sim, obs, job(match_on=("mas=0.2dex",)))


def test_the_seed_decides():
    sim, obs = side("sim", lognormal(200, 10.1, 0)), side("obs", lognormal(600, 10.0, 1))
    recipe = {"match_on": ("mass=0.2dex",), "match_method": "nearest"}
    first, second = (
        with_matched_selection(sim, obs, job(seed=5, **recipe))[1].original for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
