"""Figures of the audit: all of it inside the frame, told apart without colour, never failing."""

import contextlib
import copy
import io
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from simreal.core.errors import UsageError
from simreal.report import audit_figures, canvas
from simreal.report.audit_figures import MARKS, controls_figure, overview_figure
from simreal.report.audit_page import AuditPlots, audit_plots
from simreal.report.audit_pictures import picture_figure, picture_words
from simreal.report.audit_view import check_views, control_grids
from simreal.report.page import ReportInputs
from simreal.report.tables import to_plain

LONG = "a name that goes on and on " * 8


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def clipped(png: bytes) -> int:
    """Count the inked pixels at the very edge of a figure: what is cut off leaves some there."""
    image = pixels(png)
    edge = np.concatenate([image[:2].reshape(-1, 3), image[-2:].reshape(-1, 3),
                           image[:, :2].reshape(-1, 3), image[:, -2:].reshape(-1, 3)])  # fmt: skip
    return int((edge < 250).any(axis=1).sum())


def inked(png: bytes, colour: str) -> int:
    """Count the pixels of exactly one colour."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((pixels(png) == wanted).all(axis=2).sum())


def curves(**more: Any) -> dict[str, Any]:
    return {
        "kind": "curves", "x": [0.1, 0.2, 0.3], "x_label": "x", "y_label": "y", "log": True,
        "series": {"sim": [3.0, 2.0, 1.0], "obs": [3.1, 2.1, 0.9]}, "ratio": [1.0, 0.95, 1.1],
        "ratio_low": [0.9, 0.9, 1.0], "ratio_high": [1.1, 1.0, 1.2], "limits": [0.95, 1.05],
        "caption": "c",
    } | more  # fmt: skip


def histograms(**more: Any) -> dict[str, Any]:
    values = {"sim": [1.0, 2.0, 3.0, 2.5], "obs": [1.5, 2.0, 2.2]}
    return {"kind": "histograms", "values": values, "x_label": "x", "caption": "c"} | more


def images(*tiles: list[list[Any]], **more: Any) -> dict[str, Any]:
    named = [{"label": f"tile {k}", "pixels": tile} for k, tile in enumerate(tiles)]
    return {"kind": "images", "tiles": named, "diverging": False, "caption": "c"} | more


def bars(*values: float | None, **more: Any) -> dict[str, Any]:
    rows = [
        {"label": f"row {k}", "value": v, "low": None if v is None else v - 0.1,
         "high": None if v is None else v + 0.1}
        for k, v in enumerate(values)
    ]  # fmt: skip
    return {"kind": "bars", "rows": rows, "x_label": "x", "limit": 0.55, "caption": "c"} | more


SQUARE = [[0.0, 1.0], [0.5, 0.25]]
ODD = {
    "limits without a ratio": curves(ratio=None, limits=[1.0, 2.0]),
    "ratio without an interval": curves(ratio_low=None, ratio_high=None, limits=None),
    "gaps": curves(series={"sim": [None, 2.0, 1.0], "obs": [3.0, float("nan"), 1.0]},
                   ratio=[None, 1.0, 1.0]),
    "a side without values": curves(series={"sim": [None] * 3, "obs": [3.0, 2.0, 1.0]}),
    "nothing positive on a log axis": curves(series={"sim": [-1.0, 0.0, -2.0]}),
    "one point": curves(x=[0.1], series={"sim": [1.0]}, ratio=[1.0], ratio_low=[0.9],
                        ratio_high=[1.1]),
    "five decades": curves(series={"sim": [1e-6, 1.0, 1e3], "obs": [1e-5, 1.0, 1e2]}),
    "many series": curves(series={f"band {k}": [1.0, 2.0, k + 1.0] for k in range(9)}),
    "long labels": curves(x_label=LONG, y_label=LONG, series={LONG: [1.0, 2.0, 3.0]}),
    "dollars": curves(x_label="$\\frac{1$ _^{", y_label="$x", series={"$a_{b": [1.0, 2.0, 3.0]}),
    "one value": histograms(values={"sim": [2.0] * 9, "obs": [2.0] * 5}),
    "zeros": histograms(values={"sim": [0.0] * 9, "obs": [0.0] * 5}),
    "outliers": histograms(values={"sim": [*np.linspace(0, 1, 400).tolist(), 1e9], "obs": [0.5]}),
    "an empty side": histograms(values={"sim": [], "obs": [1.0, 2.0]}),
    "long histogram label": histograms(x_label=LONG, values={LONG: [1.0, 2.0], "obs": [1.0]}),
    "one tile": images(SQUARE),
    "twelve tiles": images(*[SQUARE] * 12),
    "more than twelve": images(*[SQUARE] * 20),
    "flat": images([[0.5, 0.5]], diverging=True),
    "missing pixels": images([[None, 1.0], [0.0, 0.5]]),
    "a long tile": images([[0.0, 1.0] * 32], diverging=True),
    "long tile labels": {"kind": "images", "tiles": [{"label": LONG, "pixels": SQUARE}] * 6},
    "bars": bars(0.5, 0.8, None),
    "bars below zero": bars(-3.0, 2.0, 0.0),
    "no bar computed": bars(None, None, limit=None),
    "many bars": bars(*np.linspace(0, 1, 50).tolist()),
    "long bars": bars(0.5, x_label=LONG) | {"rows": [{"label": LONG, "value": 1.0}]},
}  # fmt: skip


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the dots per inch: a quarter of the time, and the same layout."""
    monkeypatch.setattr(canvas, "DOTS_PER_INCH", 100)


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("case", ODD)
def test_odd_pictures_are_drawn_and_nothing_is_cut_off(case: str) -> None:
    png = picture_figure(to_plain(ODD[case]))
    assert Image.open(io.BytesIO(png)).width == 480
    assert clipped(png) == 0
    assert picture_words(to_plain(ODD[case]))


MALFORMED = {
    "not a mapping": [1, 2],
    "no kind": {"x": []},
    "unknown kind": {"kind": "pie"},
    "series too short": curves(series={"sim": [1.0]}),
    "no series": curves(series={}),
    "text for numbers": curves(x=["a", "b", "c"]),
    "nested": curves(series={"sim": [[1.0], [2.0], [3.0]]}),
    "no values": histograms(values={"sim": [], "obs": []}),
    "values not a mapping": histograms(values=[1.0, 2.0]),
    "no tiles": images(),
    "ragged tile": images([[0.0, 1.0], [0.5]]),
    "empty tile": images([]),
    "nothing finite": images([[None, None]]),
    "no rows": bars(),
    "row without a value": {"kind": "bars", "rows": [{"label": "x"}]},
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_pictures_say_what_is_wrong(case: str) -> None:
    with pytest.raises(UsageError, match="picture") as caught:
        picture_figure(MALFORMED[case])
    assert "\n" not in str(caught.value)


json_like = st.recursive(
    st.none() | st.booleans() | st.floats(-1e6, 1e6) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner,
                                                                max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(
    kind=st.sampled_from(["curves", "histograms", "images", "bars"]),
    key=st.sampled_from(["x", "series", "ratio", "limits", "values", "tiles", "rows", "limit"]),
    value=json_like,
)
@settings(max_examples=10, deadline=None)
def test_no_data_fail_otherwise(kind: str, key: str, value: Any) -> None:
    whole = {"curves": curves(), "histograms": histograms(), "images": images(SQUARE),
             "bars": bars(0.5)}[kind]  # fmt: skip
    with contextlib.suppress(UsageError):
        assert picture_figure(whole | {key: value})[:4] == b"\x89PNG"


def test_sides_keep_their_colours_in_every_kind() -> None:
    for picture in (curves(), histograms()):
        png = picture_figure(picture)
        assert inked(png, canvas.SIM) > 100
        assert inked(png, canvas.OBS) > 100
        alone = {key: {"obs": v["obs"]} if key in ("series", "values") else v
                 for key, v in picture.items()}  # fmt: skip
        assert inked(picture_figure(alone), canvas.SIM) == 0


def test_tiles_share_one_scale() -> None:
    # A faint tile beside a bright one stays faint: nothing is stretched on its own.
    faint, bright = [[0.0, 0.1], [0.1, 0.0]], [[0.0, 1.0], [1.0, 0.0]]
    both = pixels(picture_figure(images(faint, bright)))
    left, right = both[100:400, :480], both[100:400, 480:]
    dark = [(side.mean(axis=2) < 60).sum() for side in (left, right)]
    white = [(side.mean(axis=2) > 245).sum() for side in (left, right)]
    assert dark[0] > 1.5 * dark[1]
    assert white[1] > white[0] + 5_000


def test_a_diverging_scale_is_symmetric_about_zero() -> None:
    up = pixels(picture_figure(images([[0.0, 1.0], [1.0, 0.0]], diverging=True)))
    down = pixels(picture_figure(images([[0.0, -1.0], [-1.0, 0.0]], diverging=True)))
    orange = [(im[..., 0] > im[..., 2] + 60).sum() for im in (up[:380], down[:380])]
    purple = [(im[..., 2] > im[..., 1] + 40).sum() for im in (up[:380], down[:380])]
    assert orange[0] > 10_000 > 100 > orange[1]
    assert purple[1] > 10_000 > 100 > purple[0]


def test_every_verdict_is_in_the_overview(results: dict) -> None:
    png = overview_figure(check_views(results["audit"]))
    assert png is not None
    assert clipped(png) == 0
    for marker, (_, colour, _) in MARKS.items():
        assert inked(png, colour) > 200, marker


def test_the_overview_shows_every_vetoing_reading_once(results: dict) -> None:
    for view in check_views(results["audit"]):
        lines = audit_figures._lines_of(view)
        shown = [id(one.row) for line in lines for one in line.readings]
        wanted = [id(one.row) for one in view.readings
                  if one.row["vetoes"] and one.value is not None]  # fmt: skip
        assert sorted(shown) == sorted(wanted) if view.standing != "reports only" else not lines
        # The worst stand first, and no check takes more than a dozen lines.
        known = [abs(line.readings[0].value) for line in lines if len(line.readings) == 1]
        if all(one.standing == "clean" for one in view.readings):
            assert known == sorted(known, reverse=True)
        assert len(lines) <= 13


def test_no_overview_where_nothing_vetoes(results: dict) -> None:
    assert overview_figure([]) is None
    for check in results["audit"]["checks"]:
        check["vetoes"] = False
        for row in check["readings"]:
            row["vetoes"] = False
    assert overview_figure(check_views(results["audit"])) is None
    assert controls_figure(()) is None


@pytest.mark.usefixtures("coarse")
def test_long_names_leave_the_overview_and_the_controls_whole(results: dict) -> None:
    for check in results["audit"]["checks"]:
        check["title"] = LONG
        for row in check["readings"]:
            row["name"] = LONG
    for row in results["audit"]["controls"]:
        row["title"] = LONG
    for png in (overview_figure(check_views(results["audit"])),
                controls_figure(control_grids(results))):  # fmt: skip
        assert png is not None
        assert clipped(png) == 0


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("n_metrics", [1, 4])
def test_controls_are_drawn_for_any_number_of_metrics(results: dict, n_metrics: int) -> None:
    rows = [row for row in results["audit"]["controls"] if row["metric"] == "mmd"]
    results["audit"]["controls"] = [
        row | {"metric": f"metric {k}"} for k in range(n_metrics) for row in rows
    ]
    png = controls_figure(control_grids(results))
    assert png is not None
    assert clipped(png) == 0
    assert inked(png, audit_figures.CLEAN) > 50
    assert inked(png, audit_figures.RED) > 25


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("values", [(None, 0.0), (-0.001, 1e-9), (1e-7, 1e6)])
def test_controls_of_any_size_are_drawn(results: dict, values: tuple[Any, Any]) -> None:
    for row, value in zip(results["audit"]["controls"], itertools.cycle(values), strict=False):
        row |= {"value": value, "low": value, "high": value, "reason": "none", "holds": None}
    png = controls_figure(control_grids(results))
    assert png is not None
    assert clipped(png) == 0


def test_no_band_lies_over_the_far_side_of_a_metric_that_falls(results: dict) -> None:
    # Of a share such as coverage the far side is below the floor.
    shades = []
    for tail in ("upper", "lower"):
        for row in results["comparisons"]:
            row["tail"] = tail
        png = controls_figure(control_grids(results))
        assert png is not None
        shades.append(inked(png, canvas.FLOOR))
    assert shades[0] > 10 * shades[1]


# -- colour ----------------------------------------------------------------------------------

#: Full loss of one kind of cone (Machado, Oliveira and Fernandes 2009, IEEE TVCG 15, 1291).
SIGHT = {
    "all cones": np.eye(3),
    "no red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                     [-0.003882, -0.048116, 1.051998]],
    "no green cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                       [-0.011820, 0.042940, 0.968881]],
    "no blue cones": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                      [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def linear(colour: str) -> np.ndarray:
    levels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return CIE 1976 L*a*b* of linear sRGB under D65."""
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = matrix @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_are_told_apart_by_every_reader(sight: str) -> None:
    verdicts = [colour for _, colour, _ in MARKS.values()]
    pairs = [*itertools.combinations(verdicts, 2), (canvas.SIM, canvas.OBS)]
    for one, other in pairs:
        seen = [lab(np.array(SIGHT[sight]) @ linear(colour)) for colour in (one, other)]
        # About 2 is just noticeable side by side; marks stand apart and are small.
        assert np.linalg.norm(seen[0] - seen[1]) > 25, (one, other)


def test_marks_are_told_apart_without_colour_and_from_the_ground() -> None:
    assert len({(marker, filled) for marker, _, filled in MARKS.values()}) == len(MARKS)
    assert len({marker for marker, _, _ in MARKS.values()}) == len(MARKS)
    for _, colour, _ in MARKS.values():
        # WCAG 2.2, success criterion 1.4.11: at least 3 to 1 for what carries meaning.
        assert 1.05 / (np.dot([0.2126, 0.7152, 0.0722], linear(colour)) + 0.05) >= 3.0


# -- as they reach the page ------------------------------------------------------------------


@pytest.fixture(scope="module")
def plots(inputs: ReportInputs) -> AuditPlots:
    before = copy.deepcopy(dict(inputs.audit_pictures))
    found = audit_plots(to_plain(inputs.results), inputs.audit_pictures)
    assert before == inputs.audit_pictures
    return found


def test_every_picture_is_a_file_and_a_fault_costs_only_itself(plots: AuditPlots) -> None:
    assert set(plots.files) == {
        "audit_overview", "audit_controls", "audit_noise_power_spectrum", "audit_noise_power_sky",
        "audit_sky_statistics_rms", "audit_sky_statistics_autocorrelation",
        "audit_where_the_evidence_lies_map", "audit_where_the_evidence_lies_variants",
        "audit_nuisance_ablation_steps",
    }  # fmt: skip
    (fault,) = plots.faults["sky_statistics"]
    assert fault.startswith("broken: picture of kind curves: malformed data")
    assert [plot.pixels for plot in plots.checks["noise_power"]] == [False, True]
    for name, picture in plots.files.items():
        assert clipped(picture.png) == 0, name
        assert picture.pdf.startswith(b"%PDF"), name


def test_pictures_of_a_check_that_was_not_run_are_not_drawn(inputs: ReportInputs) -> None:
    plots = audit_plots(to_plain(inputs.results), {"nobody": {"a": bars(0.5)}})
    assert set(plots.files) == {"audit_overview", "audit_controls"}


@pytest.mark.usefixtures("coarse")
def test_names_lead_to_no_other_folder_and_files_never_collide(results: dict) -> None:
    results["audit"] |= {"checks": results["audit"]["checks"][:1], "controls": []}
    results["audit"]["checks"][0]["name"] = "../../etc/x"
    names = ("../../passwd", "..\\..\\passwd", "PASSWD", "", "\x00", "銀河", "a" * 300)
    plots = audit_plots(results, {"../../etc/x": {name: bars(0.5) for name in names}})
    files = [name for name in plots.files if name != "audit_overview"]
    assert len(files) == len(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_") for name in files)
    assert max(map(len, files)) < 100
