"""The audit on a terminal: verdict first, short lines, nothing that acts."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.report.audit_text import WIDTH, _columns, audit_lines
from simreal.report.page import ReportInputs
from simreal.report.tables import to_plain


@pytest.fixture(scope="module")
def lines(inputs: ReportInputs) -> list[str]:
    return audit_lines(to_plain(inputs.results))


def line_of(lines: list[str], start: str) -> str:
    return next(line for line in lines if line.startswith(start))


def test_verdict_cause_and_what_to_do_come_first(lines: list[str]) -> None:
    assert lines[0] == "audit: confounded (full audit, 8 checks run)"
    assert lines[1].startswith("  cause: A3 Sky statistics: sky rms, r 1.100 [1.062, 1.139]")
    assert "allowed 0.980 to 1.02: 4.8 x the limit" in lines[1]
    assert lines[2] == "  to do: match sky statistics again with its own spectrum"


@pytest.mark.parametrize(
    ("start", "parts"),
    [
        ("A1 ", ("underpowered", "0.55 [0.49, 0.61]", "at most 0.550", "0.92", "AUC on empty")),
        ("A2 ", ("clean", "0.952 to 1.05", "0.08", "power at 0.04")),
        ("A3 ", ("red", "1.100 [1.062, 1.139]", "0.980 to 1.02", "4.8", "sky rms, r")),
        ("A4 ", ("not computable", "no star in the simulated images")),
        ("A9 ", ("reports only", "0.91 [0.81, 1.01]", "no limit", " - ")),
        ("A11", ("red", "1.00e9", "+-1.00e-12", "over 10,000", "border value")),
    ],
)
def test_each_check_has_its_line(lines: list[str], start: str, parts: tuple[str, ...]) -> None:
    line = line_of(lines, start)
    places = [line.index(part) for part in parts]
    assert places == sorted(places)


def test_columns_stand_under_their_heads(lines: list[str]) -> None:
    head = next(line for line in lines if "worst reading" in line)
    line = line_of(lines, "A3 ")
    for title, cell in (("verdict", "red"), ("allowed", "0.980 to 1.02"),
                        ("worst reading", "sky rms, r")):  # fmt: skip
        assert head.index(title) == line.index(cell)


def test_controls_and_checks_not_run_are_named(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert "controls (luminance): 12 of 17 exceed what they must" in text
    assert line_of(lines, "  Sérsic").split()[-1] == "NO"
    assert line_of(lines, "  pixels permuted").endswith("the simulation       yes")
    assert "not computable: fewer than 8 groups in a region" in text
    assert "excess over the positive control: sliced wasserstein (luminance) 0.210" in text
    assert lines[-1] == "  not run: Invariance, Occlusion"


def test_brief_leaves_out_what_holds(inputs: ReportInputs) -> None:
    brief = audit_lines(to_plain(inputs.results), brief=True)
    assert "  clean: A2, A6" in brief
    assert "  reports only: A9" in brief
    assert not any(line.startswith("A2 ") for line in brief)
    assert any(line.startswith("A4 ") for line in brief)
    assert not any("pixels permuted" in line for line in brief)
    assert any("images of stars" in line for line in brief)
    assert "  and 2 more reasons in the report" in brief


def test_a_red_check_that_names_no_cause_does_not_claim_one(results: dict) -> None:
    for check in results["audit"]["checks"]:
        check["names_cause"] = False
    assert audit_lines(results)[1].startswith("  something differs: A3")


def test_a_run_from_before_there_were_checks(results: dict, old_audit: dict[str, Any]) -> None:
    results["audit"] = old_audit
    assert audit_lines(results) == [
        "audit: warned (no check was run)",
        "  because: the display mapping of the composites is unknown",
        "  not run: sky corners, JPEG grid",
    ]


@pytest.mark.parametrize("brief", [False, True])
def test_hostile_names_stay_on_their_lines(hostile_inputs: ReportInputs, *, brief: bool) -> None:
    results = to_plain(hostile_inputs.results)
    for line in audit_lines(results, brief=brief):
        assert line.isprintable()
        assert _columns(line) <= WIDTH


def renamed(value: Any, payload: str) -> Any:
    """Return an audit with `payload` before every text of it that is free."""
    free = {"name", "code", "title", "question", "mend", "unit", "note", "reason", "worst", "first",
            "variant", "metric"}  # fmt: skip
    if isinstance(value, dict):
        return {
            key: f"{payload}{item}"
            if key in free and isinstance(item, str)
            else renamed(item, payload)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [f"{payload}{x}" if isinstance(x, str) else renamed(x, payload) for x in value]
    return value


@given(payload=st.text(max_size=200))
@settings(max_examples=40)
def test_no_text_breaks_a_line(inputs: ReportInputs, payload: str) -> None:
    results = dict(to_plain(inputs.results))
    plain = audit_lines(results)
    results["audit"] = to_plain(renamed(results["audit"], payload))
    lines = audit_lines(results)
    assert lines[0] == plain[0]
    for line in lines:
        assert line.isprintable()
        assert _columns(line) <= WIDTH
