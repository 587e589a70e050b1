"""Figures: the same bytes every time, whatever the names and the user's style."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from simreal.report.figures import MapPoints, comparison_figure, map_figure, region_figure
from simreal.report.page import ReportInputs

NASTY = ["$\\frac{1$ _^{", "_hidden", "<script>", "a" * 500, "銀河\x00\n", "%s {0}"]


def points(name: str, n_sim: int = 30) -> MapPoints:
    rng = np.random.default_rng(2)
    return MapPoints(
        sim=rng.normal(size=(n_sim, 2)), obs=rng.normal(size=(60, 2)), sim_name=name,
        obs_name=name, explained_variance=[0.4, float("nan")],
        region_sim=np.arange(n_sim) % 3, region_obs=np.arange(60) % 3,
        region_names={0: name, 1: "b", 9: "empty"},
    )  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_any_name_can_be_drawn(inputs: ReportInputs, name: str) -> None:
    regions = [dict(r) | {"name": name} for r in inputs.results["occupancy"]["regions"]]
    rows = [dict(r) | {"variant": name} for r in inputs.results["comparisons"][:1]]
    for png in (
        comparison_figure(rows, obs_name=name),
        map_figure(points(name)),
        region_figure(regions, names=(name, name)),
    ):
        assert Image.open(io.BytesIO(png)).width == 1440


def test_figures_are_the_same_bytes_in_any_user_style(inputs: ReportInputs) -> None:
    rows = inputs.results["comparisons"]
    plain = comparison_figure(rows, obs_name="survey")
    with mpl.rc_context({"text.usetex": True, "font.size": 30, "axes.facecolor": "red"}):
        assert comparison_figure(rows, obs_name="survey") == plain
        assert mpl.rcParams["font.size"] == 30
    image = Image.open(io.BytesIO(plain))
    assert "Software" not in image.info
    assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)


@pytest.mark.parametrize("n_sim", [1, 2])
def test_a_map_of_hardly_any_points(n_sim: int) -> None:
    assert map_figure(points("few", n_sim))


def test_a_map_of_identical_points() -> None:
    same = MapPoints(sim=np.zeros((3, 2)), obs=np.zeros((3, 2)), explained_variance=[],
                     sim_name="a", obs_name="b", region_names={})  # fmt: skip
    assert map_figure(same)


def test_regions_without_a_ratio_are_drawn(inputs: ReportInputs) -> None:
    regions = [dict(r) | {"log2_ratio": None, "low": None, "high": None, "p_adjusted": None}
               for r in inputs.results["occupancy"]["regions"]]  # fmt: skip
    assert region_figure(regions, names=("a", "b"))
