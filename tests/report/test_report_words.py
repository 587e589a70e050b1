"""Words: what a value means against its floor is never said more strongly than it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.report import words

FLOOR = {"median": 0.08, "low": 0.07, "high": 0.10}


def row(value: float | None, low: float | None, high: float | None, **more: object) -> dict:
    return {
        "metric": "m", "value": value, "low": low, "high": high, "floor": FLOOR, "n_sim": 60,
        "p_value": 0.2, "p_adjusted": 0.4, "n_permutations": 999, "reason": None,
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.52, 0.48, 0.57, "whole interval lies above"),
        (0.12, 0.09, 0.15, "a hint, not yet a clear difference"),
        (0.08, 0.07, 0.09, "does not prove likeness"),
        (0.01, 0.00, 0.02, "images that both sides share"),
    ],
)
def test_the_place_against_the_floor(value: float, low: float, high: float, said: str) -> None:
    assert said in words.meaning(row(value, low, high), sim="A", obs="B")


def test_a_null_value_gives_its_reason() -> None:
    null = row(None, None, None, reason="fewer than 8 groups")
    assert words.meaning(null, sim="A", obs="B") == "Not computed: fewer than 8 groups."


def test_no_floor_no_claim() -> None:
    text = words.meaning(row(0.5, 0.4, 0.6, floor=None), sim="A", obs="B")
    assert "says little" in text


def test_the_least_possible_p_says_so() -> None:
    text = words.meaning(row(0.5, 0.4, 0.6, p_value=0.001, p_adjusted=0.003), sim="A", obs="B")
    assert "None of 999 shuffles" in text
    assert "Holm-adjusted p = 0.003" in text


def test_a_floor_around_zero_gives_no_ratio() -> None:
    floor = {"median": 0.0001, "low": -0.001, "high": 0.001}
    assert words.times_floor({"value": 0.01, "floor": floor}) == "+9.9 half-widths of the floor"


@given(st.floats(allow_nan=True, allow_infinity=True) | st.none() | st.booleans() | st.text())
def test_every_value_reads_as_something(value: object) -> None:
    for say in (words.number, words.percent, words.p_value, words.signed, words.fold):
        text = say(value)
        assert text
        assert "nan" not in text
        assert "inf" not in text
        assert "e-" not in text


PLAIN = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


@given(st.floats(1e-12, 1e12) | st.floats(-1e12, -1e-12))
def test_numbers_read_back_to_three_digits(value: float) -> None:
    text = (
        words.number(value).replace(",", "").replace("−", "-").replace("×10", "e").translate(PLAIN)
    )
    # Three significant digits: half a unit of the third is at most 0.5 % of the number.
    assert float(text) == pytest.approx(value, rel=5.001e-3)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.floats(0, 1))
def test_an_interval_is_rounded_finer_than_its_width(low: float, width: float, at: float) -> None:
    high = low + width
    text = words.together(low + at * width, low, high).replace(",", "")
    shown = float(text.partition("[")[2].split("]")[0].split(" ")[0].replace("−", "-").rstrip("]"))
    # Two or more digits of the width are kept, down to the eighth decimal.
    assert abs(shown - low) <= max(0.051 * width, 0.51)


@pytest.mark.parametrize(
    ("tail", "value", "said"),
    [
        ("upper", 0.9, "Above the floor"),
        ("upper", 0.1, "near side"),
        ("lower", 0.1, "Below the floor, the far side: eagle differs"),
        ("lower", 0.9, "Above the floor, on the near side"),
        ("both", 0.1, "Below the floor, the far side: eagle differs"),
        ("both", 0.9, "Above the floor"),
    ],
)
def test_the_far_side_of_the_floor_is_the_one_the_metric_names(tail, value, said):
    floor = {"median": 0.5, "low": 0.4, "high": 0.6}
    found = row(value, value - 0.05, value + 0.05, tail=tail, floor=floor)
    assert said in words.meaning(found, sim="eagle", obs="sdss")
