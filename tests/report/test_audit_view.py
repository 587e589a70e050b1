"""What a check or a reading amounts to: decided once, for page, figures and command line."""

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.report import words
from simreal.report.audit_view import cause, check_views, control_grids, in_limits


def reading(value: float | None, **more: Any) -> dict[str, Any]:
    return {
        "name": "x", "value": value, "low": value, "high": value, "limit_low": -1.0,
        "limit_high": 1.0, "scale": "offset", "unit": "", "vetoes": True, "verdict": "clean",
        "exceedance": abs(value or 0.0), "p_adjusted": None, "n_sim": 9, "n_obs": 9, "note": "",
        "reason": None if value is not None else "no sky",
    } | more  # fmt: skip


def check(*readings: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "sky", "code": "A3", "title": "Sky", "question": "?", "cost": "fast",
        "verdict": "clean", "vetoes": True, "names_cause": True, "worst": "x", "mend": "match it",
        "readings": list(readings),
    } | more  # fmt: skip


def standing(*readings: dict[str, Any], **more: Any) -> str:
    return check_views({"checks": [check(*readings, **more)]})[0].standing


@pytest.mark.parametrize("verdict", ["clean", "red", "underpowered", "not computable"])
def test_a_vetoing_check_stands_as_its_verdict(verdict: str) -> None:
    assert standing(reading(0.1), verdict=verdict) == verdict


def test_what_never_vetoes_only_reports() -> None:
    # The verdict over no vetoing reading is "not computable", which would read as a failure.
    only = reading(5.0, vetoes=False, verdict="red")
    view = check_views({"checks": [check(only, vetoes=False, verdict="not computable")]})[0]
    assert view.standing == "reports only"
    assert view.mend == ""
    assert (view.readings[0].standing, view.readings[0].aside) == (
        "reports only", "outside the limit",
    )  # fmt: skip


def test_what_never_vetoes_and_has_no_number_is_not_computable() -> None:
    only = reading(None, vetoes=False, verdict="not computable")
    assert standing(only, vetoes=False, verdict="not computable") == "not computable"


def test_a_reading_without_a_limit_is_not_called_underpowered() -> None:
    free = reading(0.3, limit_low=None, limit_high=None, verdict="underpowered")
    assert check_views({"checks": [check(free)]})[0].readings[0].standing == "no limit"


def test_the_worst_of_several_readings_of_one_name_is_the_one_that_vetoes_and_is_red() -> None:
    rows = [
        reading(9.0, vetoes=False, verdict="red"), reading(3.0, verdict="underpowered"),
        reading(2.0, verdict="red"), reading(1.5, verdict="red"),
    ]  # fmt: skip
    assert check_views({"checks": [check(*rows)]})[0].worst == rows[2]


def test_mending_is_for_what_is_not_clean() -> None:
    for verdict, told in (("red", True), ("underpowered", True), ("clean", False)):
        view = check_views({"checks": [check(reading(0.1), verdict=verdict)]})[0]
        assert bool(view.mend) is told


def test_the_cause_is_a_red_check_or_none() -> None:
    clean, red = check(reading(0.1)), check(reading(2.0), name="psf", verdict="red")
    assert cause({"first": "psf", "checks": [clean, red]}).row["name"] == "psf"
    assert cause({"first": "sky", "checks": [clean, red]}) is None
    assert cause({"verdict": "warned", "checks": []}) is None


@given(st.floats(0.001, 2.0), st.floats(-3.0, 3.0))
def test_a_ratio_lies_as_far_as_its_logarithm(limit: float, away: float) -> None:
    value = math.exp(away * limit)
    row = reading(value, scale="ratio", limit_high=math.exp(limit))
    placed = in_limits(row)
    assert placed == pytest.approx((away, away, away), abs=1e-6)


@given(st.floats(0.0, 1.0))
def test_a_separation_has_two_directions_and_a_classifier_one(value: float) -> None:
    two = in_limits(reading(value, scale="separation", limit_high=0.55))[0]
    one = in_limits(reading(value, scale="auc", limit_high=0.55))[0]
    assert two == pytest.approx((value - 0.5) / 0.05)
    assert one == pytest.approx(max(two, 0.0))


@pytest.mark.parametrize("limit", [1.0, 0.9])
def test_a_ratio_whose_limit_has_no_width_falls_back_to_what_is_given(limit: float) -> None:
    # exp(1e-17) is 1: the plain ratio cannot hold a limit that fine.
    row = reading(1.2, scale="ratio", limit_high=limit, exceedance=1e16)
    assert in_limits(row) == (1e16, None, None)


def test_controls_stand_in_the_order_of_reading(results: dict) -> None:
    audit = results["audit"]
    audit["controls"] = audit["controls"][::-1]
    lead, beside = control_grids(results)
    assert (lead.variant, lead.lead, beside.variant) == ("luminance", True, "colour")
    kinds = [row.kind for row in lead.rows]
    assert kinds == ["comparison", "positive", *["bridge"] * 2, *["negative"] * 6]
    assert {name for name, _ in lead.metrics} == {"sliced_wasserstein", "mmd", "occupancy"}
    column = [name for name, _ in lead.metrics].index("sliced_wasserstein")
    assert lead.reference("simulation", column) == pytest.approx(0.08 * 6.5)
    assert lead.reference("positive", column) == pytest.approx(0.08 * 1.2)
    assert lead.floors[column] == pytest.approx((0.08, 0.104))


def test_a_control_without_one_metric_leaves_a_gap(results: dict) -> None:
    rows = results["audit"]["controls"]
    gone = [row for row in rows if not (row["name"] == "hsc" and row["metric"] == "mmd")]
    results["audit"]["controls"] = gone
    grid = control_grids(results)[0]
    hsc = next(row for row in grid.rows if row.name == "hsc")
    assert [cell is None for cell in hsc.cells] == [name == "mmd" for name, _ in grid.metrics]


def test_floors_that_differ_are_not_given_as_one(results: dict) -> None:
    results["audit"]["controls"][3]["floor_high"] = 9.9
    assert control_grids(results)[0].floors[0] is None


def test_nothing_given_is_changed(results: dict) -> None:
    before = copy.deepcopy(results)
    check_views(results["audit"])
    control_grids(results)
    assert results == before


def test_every_verdict_has_a_shape_and_a_meaning() -> None:
    assert set(words.VERDICTS) | set(words.STANDINGS) <= set(words.SHAPES)
    standings = [words.SHAPES[name] for name in words.STANDINGS]
    assert len(set(standings)) == len(standings)
    assert len({words.SHAPES[name] for name in words.VERDICTS}) == 4
    assert "not shown to be inside" in words.STANDINGS["underpowered"]


@given(st.floats(0.0, 1e12))
def test_a_distance_in_limits_is_short(exceedance: float) -> None:
    text = words.times_limit(exceedance)
    assert len(text) <= 11
    if exceedance < 9_999:
        # Two decimals below one, one below a hundred, none above: half a unit of the last.
        last = 0.5 if exceedance >= 99.5 else 0.05 if exceedance >= 0.995 else 0.005
        assert abs(float(text) - exceedance) <= last * 1.001


def test_probabilities_too_small_to_mean_anything_are_bounded() -> None:
    assert words.p_value(0.0) == words.p_value(1e-200) == "below 10⁻¹²"
