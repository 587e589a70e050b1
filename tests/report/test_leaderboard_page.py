"""The scorecard: everything on it, nothing of it markup, nothing loaded and nothing run."""

import copy
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from simreal.report.leaderboard import board_to_html, board_to_json, board_to_markdown, board_view

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}{% raw %}",
    "</style><script>alert(2)</script>",
    "</title><script>alert(3)</script>",
    "x | y | [a](javascript:alert(1)) `z`\n# head",
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"


def cell(excess, half=0.05, **more):
    return {
        "value": 0.1, "low": 0.05, "high": 0.15, "ceiling": 1.0, "excess": excess,
        "excess_low": excess - half, "excess_high": excess + half, "p_value": 0.01,
        "p_adjusted": 0.02, "floor": {"median": 0.0, "low": -0.01, "high": 0.02}, "n": 50,
        "reason": None, **more,
    }  # fmt: skip


def row(name, status, *, kind="simulation", excess=0.2, reason="", verdict="warned", ranks=None):
    cells = {v: {m: cell(excess) for m in ("mmd", "energy")} for v in ("luminance", "colour")}
    return {
        "name": name, "kind": kind, "title": f"{name} title", "entered": False, "status": status,
        "reason": reason, "groups": {"sim": 60, "obs": 300}, "digests": {},
        "audit": {"verdict": verdict, "level": "fast", "first": None, "reasons": ["display"]},
        "cells": {} if status == "incomplete" else cells, "ranks": ranks or {},
    }  # fmt: skip


@pytest.fixture
def board():
    def rank(place, tied, chances):
        found = {"rank": place, "tied_with": tied, "p_rank": chances}
        return {"mmd": found, "energy": found}

    estimate = {"value": -0.1, "low": -0.2, "high": 0.0}
    return {
        "board_schema": 1,
        "card": {
            "name": "fake-v1", "version": 1, "title": "A fake", "description": "Of nothing.",
            "digest": "ab" * 32, "sealed": True, "rank_by": "mmd", "n": 50, "seed": 0,
            "superseded_by": None,
            "observed": {"collection": "sdss", "n": 669, "sha256": "cd" * 32},
            "encoder": {"name": "e", "plugin": "simclr", "digests": {"luminance": "ef" * 32}},
            "inference": {
                "permutations": 999, "floor_splits": 100, "subsamples": 500, "level": 0.95
            },
            "metrics": {"mmd": {"reads": 1}, "energy": {"reads": 1}},
        },
        "variants": ["luminance", "colour"],
        "rows": [
            row("first", "ranked", excess=0.02, ranks=rank(1, ["second"], [0.7, 0.3])),
            row("second", "ranked", excess=0.35, ranks=rank(1, ["first"], [0.3, 0.7])),
            row("bad", "confounded", verdict="confounded", reason="confounded by PSF: see there"),
            row("gone", "incomplete", reason="no finished run"),
            row("hsc", "reference", kind="bridge survey", excess=0.7, reason="never ranked"),
        ],
        "floor": {
            "of": "first",
            "cells": {v: {m: {"excess_low": -0.02, "excess_high": 0.03, "n": 50}
                          for m in ("mmd", "energy")} for v in ("luminance", "colour")},
        },
        "ranking": [{
            "metric": "mmd", "names": ["first", "second"], "reason": "", "n": 50,
            "p_rank": [[0.7, 0.3], [0.3, 0.7]],
            "differences": [{"a": "first", "b": "second", "estimate": estimate, "p_value": 0.05,
                             "p_adjusted": 0.05, "closer": None, "linked": 0}],
        }],
        "weak_convergence": {
            "fine": "first", "coarse": "second", "note": "A pair.", "reason": "", "linked": 0,
            "unit": "galaxy", "variant": "luminance",
            "metrics": {"mmd": {
                "excess_fine": 0.02, "excess_coarse": 0.35, "p_value": 0.04, "n": 50, "linked": 0,
                "moved": {"value": 0.3, "low": 0.1, "high": 0.5}, "reason": "",
                "share": {"value": 0.86, "low": 0.3, "high": 1.4},
            }},
        },
    }  # fmt: skip


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *one) for one in attrs]

    def handle_data(self, data):
        self.texts.append(data)


def test_every_row_is_there_with_interval_rank_and_reason(board):
    text = " ".join(Page(board_to_html(board)).texts)
    for one in board["rows"]:
        assert one["title"] in text
    for words in ("0.020 [−0.030, 0.070]", "1 (tied)", "confounded by PSF: see there",
                  "no finished run", "floor: observed against observed", "0.350 [0.300, 0.400]",
                  "Chance of every place", "70.0 %", "86 [30, 140] % of the coarse run's excess",
                  "Resampled by galaxy", "fake-v1", "ab" * 32):  # fmt: skip
        assert words in text, words


def test_the_page_stands_alone_and_admits_nothing_else(board):
    html = board_to_html(board)
    page = Page(html)
    assert "script" not in page.tags
    policy = next(v for t, k, v in page.attributes if t == "meta" and v and "default-src" in v)
    assert policy.startswith("default-src 'none'")
    assert not [v for _, k, v in page.attributes if k in ("src", "href") and v != "data:,"]
    assert not [k for _, k, _ in page.attributes if k.startswith("on") or k == "style"]
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def hostile(board, payload):
    """Put a payload into every text of a board that comes from a card, a name or a run."""
    wrong = copy.deepcopy(board)
    for name in ("title", "description"):
        wrong["card"][name] = payload
    wrong["card"]["observed"]["collection"] = payload
    wrong["card"]["encoder"]["name"] = payload
    for one in wrong["rows"]:
        one["title"] = one["reason"] = payload
        one["audit"]["reasons"] = [payload]
    wrong["weak_convergence"]["note"] = payload
    return wrong


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_from_a_card_or_a_run_is_markup(board, payload):
    wrong = hostile(board, payload)
    clean, page = Page(board_to_html(board)), Page(board_to_html(wrong))
    assert page.tags == clean.tags
    assert [(t, k) for t, k, _ in page.attributes] == [(t, k) for t, k, _ in clean.attributes]
    markdown = board_to_markdown(wrong)
    assert "<script" not in markdown
    assert "<img" not in markdown
    columns = {line.count("|") - line.count("\\|")
               for line in markdown.splitlines() if line.startswith("|")}  # fmt: skip
    assert columns == {7}
    assert not re.search(r"(?<!\\)\]\(", markdown)


def test_colour_follows_the_interval_and_never_stands_alone(board):
    shown = board_view(board)["tables"][0]["rows"]
    levels = {one["name"]: one["cells"][0]["level"] for one in shown}
    assert levels == {
        "first": "floor", "second": "3", "bad": "2", "gone": "none", "hsc": "4", "floor": "floor",
    }  # fmt: skip


def test_the_other_variant_is_beside_it_and_not_ranked(board):
    lead, beside = board_view(board)["tables"]
    assert (lead["label"], beside["label"]) == (
        "luminance: leads", "colour: beside it, not ranked",
    )  # fmt: skip
    assert {one["rank"] for one in beside["rows"][:-1]} == {""}


def test_markdown_and_json_hold_the_same_board(board):
    text = board_to_markdown(board)
    assert "| first title (simulation) | 1 (tied) | warned |" in text
    assert "- gone title: no finished run" in text
    again = json.loads(board_to_json(board))
    assert again == board
    board["rows"][0]["cells"]["luminance"]["mmd"]["value"] = float("nan")
    assert json.loads(board_to_json(board))["rows"][0]["cells"]["luminance"]["mmd"]["value"] is None


@pytest.mark.slow  # a real browser: seconds; pytest -m slow tests/report/test_leaderboard_page.py
@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs Chromium")
@pytest.mark.skipif(not importlib.util.find_spec("playwright"), reason="needs playwright")
def test_a_browser_runs_and_loads_nothing(board, tmp_path):
    path = tmp_path / "board.html"
    path.write_text(board_to_html(hostile(board, "".join(PAYLOADS))))
    probe = Path(__file__).with_name("chromium_probe.py")
    pages = [f"{path}|dark|1200", f"{path}|light|400"]
    done = subprocess.run(
        [sys.executable, str(probe), CHROMIUM, *pages],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for found in json.loads(done.stdout):
        assert found["dialogs"] == 0
        assert (found["requests"], found["blocked"], found["console"]) == ([], [], [])
        assert found["scripts"] == 0
        assert found["headline"]
        assert (found["bare_headers"], found["nameless"], found["duplicate_ids"]) == (0, 0, 0)
        assert found["overflow"] <= 0
