"""The page: complete, escaped, the same every time, small, and tolerant of what is absent."""

import base64
import dataclasses
import hashlib
import html.parser
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.core.errors import UsageError
from simreal.report import page as report_page
from simreal.report.page import ReportInputs, extremes, render, write_report
from simreal.report.tables import to_plain

ORDER = (
    "warnings", "audit", "selection", "matching", "strips", "comparisons", "map", "regions",
    "properties", "objects", "left-out", "provenance",
)  # fmt: skip


@pytest.fixture(scope="module")
def text(written: tuple[Path, ...]) -> str:
    return written[0].read_text(encoding="utf-8")


class Structure(html.parser.HTMLParser):
    """The tags of a page and their attribute names: all that is markup."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", ()))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def structure(text: str) -> Structure:
    parser = Structure()
    parser.feed(text)
    parser.close()
    return parser


def bare(results: dict[str, Any]) -> str:
    """Render the page without its pictures."""
    return render(results, plots={}, galleries={}, strips=[], tiles={})


def test_everything_is_written(written: tuple[Path, ...]) -> None:
    names = {path.name for path in written}
    assert {"audit_overview.png", "audit_controls.png", "audit_noise_power_spectrum.png"} < names
    assert {"report.html", "comparisons.png", "map.png", "regions.png"} < names
    assert {"least_realistic.png", "most_realistic.png"} < names
    assert {"matching_sim.png", "matching_obs.png", "map_sim.png", "map_obs.png"} < names
    assert all(path.stat().st_size > 0 for path in written)


def test_sections_stand_in_order(text: str) -> None:
    places = [text.index(f'<section id="{name}"') for name in ORDER]
    assert places == sorted(places)
    assert text.index('id="headline"') < text.index("audit: confounded") < places[0]


def test_the_leading_variant_comes_first(text: str) -> None:
    assert text.index("luminance: leads") < text.index("colour: beside it")


def test_what_an_astronomer_looks_for_is_there(text: str) -> None:
    words = "".join(structure(text).words)
    for phrase in (
        "0.523 [0.481, 0.571]", "0.081 [0.070, 0.100]", "6.5 × the floor", "60 / 60",
        "subsampling of groups", "the expectation at this n", "no ceiling declared",
        "Not computed: fewer than 8 groups", "96.8 %", "leaves checks out cannot say “clean”",
        "3 of 4 checks passed", "not judged", "21.0 %", "E_TRUNC", "CC BY 4.0", "simreal compare",
        "the display mapping of the composites is unknown", "Sizes are not tested",
    ):  # fmt: skip
        assert phrase in words, phrase


def test_the_page_is_one_file_of_modest_size(text: str) -> None:
    # The number of pictures does not grow with the collections; the bar is 15 MB.
    assert len(text.encode()) < 8_000_000
    assert not re.search(r"""(?:src|href|srcset)=(?!"(?:data:|#))""", text)
    assert "<script" not in text
    assert "style=" not in text


def test_the_policy_admits_this_style_sheet_alone(text: str) -> None:
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'" in text


def test_the_same_run_gives_the_same_bytes(
    inputs: ReportInputs, written: tuple[Path, ...], tmp_path: Path
) -> None:
    again = write_report(inputs, tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]


def test_no_name_is_markup(benign_results: dict, hostile_inputs: ReportInputs) -> None:
    good, hostile = bare(to_plain(benign_results)), bare(to_plain(hostile_inputs.results))
    assert structure(hostile).tags == structure(good).tags
    words = "".join(structure(hostile).words)
    assert "<script>alert(1)</script>" in words
    assert "{{7*7}}" in words


@given(st.text(min_size=1))
@settings(max_examples=30)
def test_no_text_at_all_is_markup(payload: str) -> None:
    assert structure(bare(prefixed(payload))).tags == structure(bare(prefixed("x"))).tags


def prefixed(payload: str) -> dict[str, Any]:
    """Return small results with `payload` before the texts that come from outside."""
    return to_plain(
        {
            "schema": 1, "track": "rgb", "headline": f"{payload} far", "seed": 1,
            "sim": {"name": f"{payload} a", "digest": payload, "sampling": "random", "n": 2,
                    "n_groups": 2, "citation": [f"{payload} et al."], "licence": f"{payload} l"},
            "obs": {"name": "b", "title": f"{payload} b", "digest": "", "sampling": "random",
                    "n": 2, "n_groups": 2},
            "encoder": {"objective": f"{payload} o", "mode": "pooled", "digest": "d"},
            "matching": [{"side": "sim", "name": f"{payload} s", "note": f"{payload} n",
                          "before": {f"{payload} q": f"{payload} v"}, "after": {}}],
            "selection": {"cuts": [f"{payload} c"]},
            "audit": hostile_audit(payload),
            "comparisons": [], "objects": None, "occupancy": None, "warnings": [f"{payload} w"],
            "rejected": [{"side": "sim", "id": f"{payload} i", "code": "E_READ", "path": payload,
                          "reason": f"{payload} r"}],
            "excluded": [],
            "provenance": {"versions": {"simreal": f"{payload} 1"}, "device": f"{payload} cpu",
                           "threads": 1, "timings": {}, "command": [f"{payload} go"],
                           "settings": {"k": f"{payload} s"}},
        }
    )  # fmt: skip


def hostile_audit(payload: str) -> dict[str, Any]:
    """Return an audit with `payload` before every text of it."""
    numbers = {
        "value": 1.1,
        "low": 1.0,
        "high": 1.2,
        "limit_low": 0.9,
        "limit_high": 1.05,
        "p_value": 0.1,
        "p_adjusted": 0.2,
        "exceedance": 2.0,
        "n_sim": 9,
        "n_obs": 9,
    }
    one = numbers | {
        "name": f"{payload} reading",
        "scale": "ratio",
        "unit": f"{payload} u",
        "vetoes": True,
        "verdict": "red",
        "note": f"{payload} n",
        "reason": None,
    }
    none = one | {
        "value": None,
        "low": None,
        "high": None,
        "verdict": "not computable",
        "reason": f"{payload} why",
    }
    check = {
        "name": f"{payload} check",
        "code": f"{payload} A1",
        "title": f"{payload} t",
        "question": f"{payload} q",
        "cost": "fast",
        "verdict": "red",
        "vetoes": True,
        "names_cause": True,
        "exceedance": 2.0,
        "mend": f"{payload} m",
        "notes": [f"{payload} note"],
        "worst": f"{payload} reading",
        "readings": [one, none],
    }
    missing = check | {
        "name": f"{payload} b",
        "verdict": "not computable",
        "worst": None,
        "readings": [none],
    }
    control = {
        "kind": "negative",
        "name": f"{payload} c",
        "title": f"{payload} c",
        "variant": f"{payload} v",
        "metric": f"{payload} m",
        "must_exceed": "positive",
        "holds": None,
        "floor_median": 0.1,
        "floor_high": 0.2,
        "p_value": 0.1,
        "n_sim": 9,
        "n_obs": 9,
        "value": 0.3,
        "low": 0.2,
        "high": 0.4,
        "reason": f"{payload} r",
    }
    absent = control | {"name": f"{payload} d", "value": None, "low": None, "high": None}
    excess = {
        "metric": f"{payload} m",
        "variant": f"{payload} v",
        "value": None,
        "low": None,
        "high": None,
        "reason": f"{payload} r",
    }
    return {
        "verdict": "confounded",
        "level": "fast",
        "first": f"{payload} check",
        "reasons": [f"{payload} r"] * 5,
        "not_run": [f"{payload} x"],
        "checks": [check, missing],
        "controls": [control, absent],
        "positive_excess": [excess],
    }


def test_characters_that_turn_text_around_are_shown() -> None:
    page = bare(prefixed("x\u202egnp.\x1b[2J"))
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "x\ufffdgnp" in page


@pytest.mark.parametrize("key", ["occupancy", "objects", "map", "explained"])
def test_a_run_without_a_part_has_a_page(
    inputs: ReportInputs, results: dict, tmp_path: Path, key: str
) -> None:
    results[key] = None
    few = dataclasses.replace(
        inputs,
        results=results,
        coordinates_sim=None,
        region_sim=None,
        region_obs=None,
        audit_pictures={},
    )
    page = write_report(few, tmp_path)[0].read_text(encoding="utf-8")
    assert '<section id="provenance"' in page
    assert 'href="#map"' not in page


def test_a_null_test_says_so(inputs: ReportInputs, results: dict, tmp_path: Path) -> None:
    results["null_test"] = True
    null = dataclasses.replace(inputs, results=results, coordinates_sim=None, audit_pictures={})
    page = write_report(null, tmp_path)[0].read_text(encoding="utf-8")
    assert "<h1>Null test:" in page
    assert "every value should lie inside" in page.lower()


def test_a_curated_sample_gets_no_claim(inputs: ReportInputs, results: dict) -> None:
    curated = {"claims": False, "reason": "the observed sample is curated"}
    results["occupancy"] |= curated
    results["explained"]["regions"] |= curated
    for explained in (results["explained"], None):
        words = "".join(structure(bare(to_plain({**results, "explained": explained}))).words)
        assert "No claim of missing or over-produced galaxies is made here." in words
        assert "the observed sample is curated" in words


def test_regions_say_what_stands_out_and_what_nobody_knows(text: str) -> None:
    words = "".join(structure(text).words)
    assert "Regions" in words
    assert "nearest the centre" in words
    assert "at the edge" in words
    assert "Fisher" in words
    # One side has a spin, and nobody a redshift.
    assert "toy-obs has no redshift" in words
    assert "Along half_mass_radius, lowest to highest tenth" in words
    assert "None of them says what causes what" in words


def test_rows_must_agree_with_images(inputs: ReportInputs) -> None:
    with pytest.raises(UsageError, match="coordinates_sim has 3 rows for the 60 images"):
        dataclasses.replace(inputs, coordinates_sim=np.zeros((3, 2)))


def test_results_off_the_schema_are_refused(
    inputs: ReportInputs, results: dict, tmp_path: Path
) -> None:
    del results["audit"]
    with pytest.raises(UsageError, match=r"results\.audit is missing"):
        write_report(dataclasses.replace(inputs, results=results), tmp_path)
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.integers(0, 12), max_size=30), st.integers(0, 10))
def test_galleries_never_show_a_galaxy_twice(groups: list[int], n: int) -> None:
    rows = [{"id": str(i), "group": str(g)} for i, g in enumerate(groups)]
    least, most = extremes(rows, n)
    shown = [row["group"] for row in [*least, *most]]
    assert len(shown) == len(set(shown))
    assert len(least) == min(n, len(set(groups)))
    assert [int(r["id"]) for r in least] == sorted(int(r["id"]) for r in least)


CSS = (report_page.TEMPLATES / "report.css").read_text(encoding="utf-8")


@pytest.mark.parametrize("ground", ["light", "dark"])
@pytest.mark.parametrize("name", ["ink", "quiet", "sim", "obs", "good", "bad", "open"])
def test_text_has_contrast(ground: str, name: str) -> None:
    light, dark = re.findall(r":root \{[^}]*\}", CSS)
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light if ground == "light" else dark))
    # WCAG 2.2, success criterion 1.4.3: at least 4.5 to 1 for text.
    for behind in ("ground", "raised", "note"):
        assert contrast(found[name], found[behind]) >= 4.5, (name, behind)


def contrast(a: str, b: str) -> float:
    """Return the WCAG contrast ratio of two colours."""
    bright, dim = sorted((luminance(a), luminance(b)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    levels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_what_hangs_on_the_encoder_the_ceiling_and_the_power_is_said(
    inputs: ReportInputs, tmp_path: Path
) -> None:
    results = dict(inputs.results)
    first, *others = results["comparisons"]
    row = first | {
        "ceiling": 2.1, "excess": 0.25, "excess_low": 0.2, "excess_high": 0.3,
        "detectable": {"shift": 0.41, "power": 0.8, "level": 0.05, "n": 60},
    }  # fmt: skip
    results["comparisons"] = [row, *others]
    results["ceiling"] = {"name": "pixel-permuted", "made_from": "stamps of obs"}
    results["robustness"] = {
        "variant": "luminance",
        "encoders": [
            {"encoder": "simclr", "seed": 0, "comparisons": [row]},
            {"encoder": "morphology", "seed": 0, "comparisons": [row]},
        ],
        "between_seeds": [
            {"metric": "mmd", "values": [0.1, 0.2, 0.3], "mean": 0.2, "sd": 0.1,
             "in_floor_units": 2.0},
        ],
        "agreement": [],
        "encoder_dependent": ["mmd"],
    }  # fmt: skip
    side = {
        "off_support": {"fraction": 0.22, "found": 3, "smallest_p": 0.01, "note": "conformal"},
        "density_ratio": {"fraction": 0.73, "factor": 1.18, "note": "halves"},
        "ids": ["a", "b"],
    }
    results["objects"] = results["objects"] | {"scores": {"sim": side, "obs": side}}
    write_report(dataclasses.replace(inputs, results=results, audit_pictures={}), tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    words = " ".join("".join(structure(text).words).split())
    for phrase in (
        "Excess: 0.250 [0.200, 0.300] (ceiling 2.10)", "a shift of 0.41 pooled", "pixel-permuted",
        "Encoders disagree on mmd", "mmd over 3 training seeds: mean 0.200", "22.0 %", "3 of 2",
        "morphology",
    ):  # fmt: skip
        assert phrase in words, phrase


# -- the audit -------------------------------------------------------------------------------


def said(text: str) -> str:
    return " ".join("".join(structure(text).words).split())


def section(text: str, anchor: str) -> str:
    start = text.index(f'<section id="{anchor}"')
    return text[start : text.index("</section>", start)]


def test_the_first_lines_say_what_is_wrong_and_what_to_do(text: str) -> None:
    first = said(text[text.index('id="headline"') : text.index('<dl class="facts">')])
    for phrase in (
        "✗ audit: confounded", "do not rank this simulation on it",
        "What is wrong: A3 Sky statistics. sky rms, r 1.100 [1.062, 1.139]",
        "allowed 0.980 to 1.02: 4.8 × the limit.",
        "What to do: match sky statistics again with its own spectrum",
        "2 more reasons", "2 checks were not run",
    ):  # fmt: skip
        assert phrase in first, phrase


def test_a_clean_audit_accuses_nothing(results: dict) -> None:
    results["audit"] |= {"verdict": "clean", "first": None, "reasons": [], "not_run": []}
    page = bare(results)
    assert 'id="cause"' not in page
    assert "✓ audit: clean" in said(page)
    assert "Why the verdict is" not in page
    assert "cannot say" not in page


def test_where_no_check_names_the_cause_none_is_claimed(results: dict) -> None:
    for check in results["audit"]["checks"]:
        check["names_cause"] = False
    first = said(bare(results))
    assert "Something differs, and no check of a single thing says what: A3" in first
    assert "What is wrong" not in first


SUMMARY = {
    "A1": ("underpowered", "AUC on empty sky", "0.55 [0.49, 0.61]", "at most 0.550", "0.92"),
    "A2": ("clean", "power at 0.04", "[0.98", "0.952 to 1.05", "0.08"),
    "A3": ("red", "sky rms, r", "1.100 [1.062, 1.139]", "0.980 to 1.02", "4.8"),
    "A4": ("not computable", "no star in the simulated images"),
    "A5": ("underpowered", "AUC without the centre", "0.58 [0.53, 0.63]", "1.6"),
    "A9": ("reports only", "distance left", "0.91 [0.81, 1.01]", "no limit"),
    "A11": ("red", "border value", "1.00×10⁹", "±1.00×10⁻¹²", "over 10,000"),
}


@pytest.mark.parametrize("code", SUMMARY)
def test_each_check_is_summed_up_in_one_row(text: str, code: str) -> None:
    rows = re.findall(r"<tbody.*?</tbody>", section(text, "audit"), re.DOTALL)
    row = next(said(row) for row in rows if said(row).startswith(f"{code} "))
    places = [row.index(part) for part in SUMMARY[code]]
    assert places == sorted(places), row
    # What would mend it stands where something needs mending, and nowhere else.
    assert ("would mend it" in row) is (SUMMARY[code][0] in ("red", "underpowered"))


def test_every_verdict_stands_as_a_word_and_a_shape(text: str) -> None:
    words = said(section(text, "audit"))
    for badge in ("✓ clean", "✗ red", "◇ underpowered", "– not computable", "○ reports only",
                  "○ no limit"):  # fmt: skip
        assert badge in words
    assert "not shown to be inside it at this n" in words


def details(text: str) -> dict[str, str]:
    """Return each check's details by code."""
    found = re.findall(r"<details.*?</details>", section(text, "audit"), re.DOTALL)
    codes = [re.search(r"A\d+", said(one)) for one in found]
    return {code[0]: one for code, one in zip(codes, found, strict=True) if code}


def test_the_details_hold_every_reading_note_and_figure(text: str, inputs: ReportInputs) -> None:
    found = details(text)
    for check in inputs.results["audit"]["checks"]:
        own = found[check["code"]]
        words = said(own)
        for row in check["readings"]:
            assert row["name"] in words
            assert (row["reason"] or "") in words
        for note in check["notes"]:
            assert note in words
        wanted = len(inputs.audit_pictures.get(check["name"], ())) - (check["code"] == "A3")
        assert own.count("<img ") == wanted, check["code"]
    assert "A picture could not be drawn. broken" in said(found["A3"])
    assert "Sky rms of every frame" in said(found["A3"])
    assert "it reports and never vetoes" in said(found["A9"])
    assert "outside the limit" in said(found["A5"])
    assert "60 / 180" in said(found["A3"])


def test_the_check_that_names_the_cause_is_open(text: str) -> None:
    opened = [
        code for code, one in details(text).items() if one.startswith('<details class="check" open')
    ]
    assert opened == ["A3"]


def test_controls_say_what_must_exceed_what_and_whether_it_does(text: str) -> None:
    rows = re.findall(r"<tr>.*?</tr>", section(text, "audit"), re.DOTALL)
    # One row in each of two variants.
    lead = {said(row).split("negative control")[0]: said(row) for row in rows[::-1]}
    assert lead["pixels permuted"].count("✓ exceeds it") == 3
    assert "the simulation" in lead["pixels permuted"]
    assert lead["Sérsic profiles only"].count("✗ does not exceed it") == 3
    assert "the positive control" in lead["Sérsic profiles only"]
    assert "not computable: fewer than 8 groups in a region" in lead["images of stars"]
    words = said(section(text, "audit"))
    assert "sliced wasserstein (luminance): 0.210 [0.180, 0.250]" in words
    for title in ("Hyper Suprime-Cam composites", "real galaxies, same pipeline"):
        assert title in words


def test_a_run_from_before_there_were_checks_has_its_page(
    inputs: ReportInputs, results: dict, old_audit: dict, tmp_path: Path
) -> None:
    results["audit"] = old_audit
    old = dataclasses.replace(inputs, results=results, audit_pictures={}, coordinates_sim=None)
    paths = write_report(old, tmp_path)
    page = paths[0].read_text(encoding="utf-8")
    assert 'id="audit"' not in page
    assert 'href="#audit"' not in page
    assert "△ audit: warned" in said(page)
    assert "Checks not run: sky corners, JPEG grid. Only a full audit can say" in said(page)
    assert "the display mapping of the composites is unknown" in said(page)
    assert not any("audit" in path.name for path in paths)


def test_a_fast_audit_names_what_was_left_out(results: dict) -> None:
    audit = results["audit"]
    audit |= {"level": "fast", "controls": [], "positive_excess": None, "verdict": "underpowered"}
    words = said(bare(results))
    assert "This was a fast audit: 8 checks run, 2 not." in words
    assert "Not run: Invariance, Occlusion." in words
    assert "◇ audit: underpowered" in words
    assert "Controls" not in said(section(bare(results), "audit"))


def test_pictures_of_pixels_are_not_turned_around_in_the_dark(text: str) -> None:
    classes = re.findall(r'<figure class="(plot[^"]*)"', section(text, "audit"))
    assert classes.count("plot pixels") == 2
    assert "figure.plot:not(.pixels) img { filter" in CSS
