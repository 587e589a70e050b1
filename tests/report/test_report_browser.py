"""The page in a real browser: it shows everything, loads nothing and runs nothing."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from simreal.report.page import ReportInputs, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
PROBE = Path(__file__).with_name("chromium_probe.py")

pytestmark = [
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs Chromium"),
    pytest.mark.skipif(not importlib.util.find_spec("playwright"), reason="needs playwright"),
]


def probe(*pages: str) -> list[dict]:
    command = [sys.executable, str(PROBE), CHROMIUM, *pages]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def pages(
    written: tuple[Path, ...],
    hostile_inputs: ReportInputs,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("pages")
    good, hostile = written[0], write_report(hostile_inputs, folder)[0]
    # The controls: the same page with its escaping undone must be caught by the policy, and
    # with the policy taken away as well it must raise dialogs; else this test sees nothing.
    text = hostile.read_text(encoding="utf-8")
    unescaped = text.replace("&lt;", "<").replace("&gt;", ">").replace("&#34;", '"')
    guarded = folder / "guarded.html"
    guarded.write_text(unescaped, encoding="utf-8")
    naked = folder / "naked.html"
    naked.write_text(re.sub(r'<meta http-equiv="Content-Sec[^\n]*', "", unescaped), "utf-8")
    views = {
        "good": f"{good}|light|1200", "dark": f"{good}|dark|1200", "phone": f"{good}|light|400",
        "tablet": f"{good}|light|900",
        "hostile": f"{hostile}|light|1200", "guarded": f"{guarded}|light|1200",
        "naked": f"{naked}|light|1200",
    }  # fmt: skip
    return dict(zip(views, probe(*views.values()), strict=True))


@pytest.mark.parametrize("view", ["good", "dark", "tablet", "phone", "hostile"])
def test_page_shows_everything_and_does_nothing(pages: dict[str, dict], view: str) -> None:
    page = pages[view]
    assert page["dialogs"] == 0
    assert page["requests"] == []
    assert page["console"] == []
    assert page["scripts"] == 0
    assert page["headline"]
    assert page["images"] > 100
    assert page["broken"] == 0


@pytest.mark.parametrize("view", ["good", "hostile"])
def test_page_is_accessible(pages: dict[str, dict], view: str) -> None:
    page = pages[view]
    assert page["no_alt"] == 0
    assert page["h1"] == 1
    assert page["landmarks"] == 4
    assert page["bare_headers"] == 0
    assert page["dead_links"] == 0
    assert page["duplicate_ids"] == 0


@pytest.mark.parametrize("view", ["good", "tablet", "phone"])
def test_page_does_not_scroll_sideways(pages: dict[str, dict], view: str) -> None:
    assert pages[view]["overflow"] <= 0


@pytest.mark.parametrize("view", ["good", "tablet", "phone"])
def test_nothing_of_the_audit_is_cut_off(pages: dict[str, dict], view: str) -> None:
    page = pages[view]
    # Eight checks and the second variant of the controls, all opened by the probe.
    assert page["checks"] == 9
    assert page["outside"] == 0
    assert page["cut"] == 0


@pytest.mark.parametrize("view", ["good", "phone", "hostile"])
def test_a_link_opens_the_check_it_leads_to(pages: dict[str, dict], view: str) -> None:
    assert pages[view]["revealed"] is True


def test_closed_checks_are_printed(pages: dict[str, dict]) -> None:
    assert pages["good"]["unprinted"] == 0


@pytest.mark.parametrize("view", ["good", "hostile"])
def test_what_scrolls_has_a_name(pages: dict[str, dict], view: str) -> None:
    assert pages[view]["nameless"] == 0


def test_hostile_page_has_the_same_images(pages: dict[str, dict]) -> None:
    assert pages["hostile"]["images"] == pages["good"]["images"]


def test_policy_holds_where_escaping_fails(pages: dict[str, dict]) -> None:
    assert pages["guarded"]["dialogs"] == 0
    blocked = {url for url, why in pages["guarded"]["blocked"] if why == "csp"}
    assert set(pages["guarded"]["requests"]) <= blocked
    assert any("Content Security Policy" in line for line in pages["guarded"]["console"])


def test_the_probe_sees_an_attack(pages: dict[str, dict]) -> None:
    assert pages["naked"]["dialogs"] > 0
