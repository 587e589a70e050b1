"""`results.json`: its schema, its bytes and the light check of every run."""

import copy
import json
import math
import random
from collections.abc import Callable
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.errors import UsageError
from simreal.report.tables import check_results, results_schema, results_to_json, to_plain

REQUIRED = (
    "schema", "track", "sim", "obs", "encoder", "seed", "matching", "selection", "audit",
    "comparisons", "objects", "occupancy", "rejected", "excluded", "provenance",
)  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = results_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def drop(*path: Any) -> Callable[[dict], None]:
    def change(results: Any) -> None:
        for key in path[:-1]:
            results = results[key]
        del results[path[-1]]

    return change


def put(value: Any, *path: Any) -> Callable[[dict], None]:
    def change(results: Any) -> None:
        for key in path[:-1]:
            results = results[key]
        results[path[-1]] = value

    return change


def nothing_without_reason(results: dict) -> None:
    results["comparisons"][0] |= {"value": None, "low": None, "high": None, "reason": None}


def no_reading(results: dict) -> None:
    results["audit"]["checks"][3]["readings"][0]["reason"] = None


def no_control(results: dict) -> None:
    results["audit"]["controls"][0] |= {"value": None, "low": None, "high": None, "reason": ""}


FAULTS = {
    **{f"no {key}": drop(key) for key in REQUIRED},
    "no sim.digest": drop("sim", "digest"),
    "no encoder.mode": drop("encoder", "mode"),
    "no audit.verdict": drop("audit", "verdict"),
    "no comparison p_adjusted": drop("comparisons", 1, "p_adjusted"),
    "no floor median": drop("comparisons", 0, "floor", "median"),
    "no provenance.timings": drop("provenance", "timings"),
    "another schema": put(2, "schema"),
    "unknown track": put("radio", "track"),
    "unknown verdict": put("fine", "audit", "verdict"),
    "text for a value": put("0.5", "comparisons", 0, "value"),
    "text for n": put("60", "sim", "n"),
    "true for n": put(True, "sim", "n"),
    "text for passed": put("yes", "match_checks", 0, "passed"),
    "null floor median": put(None, "comparisons", 0, "floor", "median"),
    "null value without reason": nothing_without_reason,
    "no reading's limit": drop("audit", "checks", 0, "readings", 0, "limit_high"),
    "no check's verdict": drop("audit", "checks", 0, "verdict"),
    "no control's metric": drop("audit", "controls", 0, "metric"),
    "unknown check verdict": put("fine", "audit", "checks", 0, "verdict"),
    "unknown scale": put("log", "audit", "checks", 0, "readings", 0, "scale"),
    "unknown level": put("some", "audit", "level"),
    "unknown control": put("odd", "audit", "controls", 0, "kind"),
    "unknown to exceed": put("floor", "audit", "controls", 0, "must_exceed"),
    "text for holds": put("yes", "audit", "controls", 0, "holds"),
    "text for a reading": put("1.1", "audit", "checks", 0, "readings", 0, "value"),
    "null reading without reason": no_reading,
    "null control without reason": no_control,
}  # fmt: skip


def test_full_results_pass(results: dict, validator: Any) -> None:
    check_results(results)
    validator.validate(json.loads(results_to_json(results)))


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_fail_both_checks(results: dict, validator: Any, fault: str) -> None:
    FAULTS[fault](results)
    with pytest.raises(UsageError) as caught:
        check_results(results)
    assert "\n" not in str(caught.value)
    assert not validator.is_valid(json.loads(results_to_json(results)))


def test_results_from_before_there_were_checks_pass(
    results: dict, old_audit: dict, validator: Any
) -> None:
    results["audit"] = old_audit
    check_results(results)
    validator.validate(json.loads(results_to_json(results)))


@pytest.mark.parametrize("key", ["level", "first", "controls", "positive_excess", "not_run"])
def test_what_an_audit_gained_may_be_absent(results: dict, validator: Any, key: str) -> None:
    del results["audit"][key]
    check_results(results)
    validator.validate(json.loads(results_to_json(results)))


def test_the_verdict_stands_first_in_every_part_of_the_audit(results: dict) -> None:
    audit = json.loads(results_to_json(results))["audit"]
    assert next(iter(audit)) == "verdict"
    assert list(audit["checks"][0])[:3] == ["name", "code", "title"]
    assert list(audit["checks"][0]["readings"][0])[:4] == ["name", "value", "low", "high"]


def test_nan_without_reason_fails_both_checks(results: dict, validator: Any) -> None:
    results["comparisons"][0] |= {"value": math.nan, "low": math.nan, "high": math.nan}
    with pytest.raises(UsageError, match="null value needs a reason"):
        check_results(results)
    assert not validator.is_valid(json.loads(results_to_json(results)))


def test_nan_with_reason_is_null(results: dict, validator: Any) -> None:
    row = results["comparisons"][0]
    row |= {"value": math.nan, "low": math.nan, "high": math.inf, "reason": "too few objects"}
    check_results(results)
    loaded = json.loads(results_to_json(results))
    validator.validate(loaded)
    assert loaded["comparisons"][0]["value"] is None
    assert loaded["comparisons"][0]["high"] is None


def test_new_keys_are_allowed(results: dict, validator: Any) -> None:
    results["later"] = {"anything": [1, 2]}
    results["comparisons"][0]["title"] = "Sliced Wasserstein distance"
    check_results(results)
    validator.validate(json.loads(results_to_json(results)))


@pytest.mark.parametrize("key", ["occupancy", "objects", "map"])
def test_what_was_not_computed_may_be_null(results: dict, validator: Any, key: str) -> None:
    results[key] = None
    check_results(results)
    validator.validate(json.loads(results_to_json(results)))


def test_numpy_numbers_keep_full_precision() -> None:
    third = np.float64(1) / 3
    values = {"a": third, "b": np.float32(0.1), "c": np.int64(7), "d": np.bool_(True)}
    loaded = json.loads(results_to_json(values | {"e": np.array([1.5, np.nan])}))
    assert loaded["a"] == 1 / 3
    assert np.float32(loaded["b"]) == np.float32(0.1)
    assert loaded["c"] == 7
    assert loaded["d"] is True
    assert loaded["e"] == [1.5, None]


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(UsageError, match="got a set"):
        results_to_json({"a": {1, 2}})


def test_bytes_do_not_depend_on_the_order_of_keys(results: dict) -> None:
    assert results_to_json(shuffled(results, random.Random(3))) == results_to_json(results)


def shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        order.shuffle(keys)
        return {key: shuffled(value[key], order) for key in keys}
    return [shuffled(item, order) for item in value] if isinstance(value, list) else value


def test_results_are_not_changed(results: dict) -> None:
    before = copy.deepcopy(results)
    check_results(results)
    results_to_json(results)
    assert results == before


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=5), anything, max_size=5))
def test_any_results_are_valid_json_without_nan(value: dict) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = results_to_json(value)
    loaded = json.loads(text, parse_constant=refuse)
    assert loaded == to_plain(value)
    assert results_to_json(loaded) == text
    text.encode("utf-8")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_exactly(value: float) -> None:
    assert json.loads(results_to_json({"x": value}))["x"] == value
