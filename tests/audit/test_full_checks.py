"""Checks that match or embed again: each must pass where nothing is wrong and fail where it is."""

import types
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from simreal.audit.checks import (
    ablation,
    invariance,
    negative_controls,
    null_split,
    occlusion,
    positive_control,
)
from simreal.audit.contract import CheckMeta, Found, Given, Rematched, Side, Tools
from simreal.audit.controls import (
    Difference,
    beyond_reading,
    control_sets,
    gain_reading,
)
from simreal.audit.inference import Asked, offset
from simreal.audit.null_pair import distance_readings, random_halves
from simreal.compare.run import compare_embeddings
from simreal.compare.settings import InferenceSettings
from simreal.core.audit import AuditCheck
from simreal.core.cards import View
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError
from simreal.core.images import ArraySource, ImageSet, Setup, Step
from simreal.core.results import Comparison, Estimate, Floor
from simreal.match.controls import CONTROLS

SIDE, DIMENSION = 32, 12
QUICK = InferenceSettings(n_permutations=99, n_floor_splits=50, n_subsamples=50, power=False)
VIEW = View(geometry="sky", bands=("red", "green", "blue"))


def galaxies(n, rng, *, stretch=1.0):
    """Return discs of many sizes, brightnesses and axis ratios on noisy sky, and empty sky."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    scale = rng.uniform(2.5, 4.5, (n, 1, 1, 1))
    ratio = rng.uniform(0.5, 1.0, (n, 1, 1, 1))
    peak = rng.uniform(0.2, 0.6, (n, 1, 1, 1)) * np.array([1.0, 0.8, 0.6]).reshape(1, 3, 1, 1)
    light = peak * np.exp(-np.hypot(x / stretch, y / ratio) / scale)
    sky = 0.05 + rng.normal(0, 0.01, (n, 3, SIDE, SIDE))
    empty = 0.05 + rng.normal(0, 0.01, (n, 3, SIDE, SIDE))
    return np.clip(light + sky, 0, 1), np.clip(empty, 0, 1)


def a_set(pixels, name, *, history=(), **setup):
    ids = np.array([f"{name}{k:04d}" for k in range(len(pixels))])
    return ImageSet(
        name=name,
        role="observed",
        sampling="random",
        images=np.asarray(pixels, dtype=np.float32),
        ids=ids,
        groups=ids,
        setup=Setup(track="rgb", bands=("red", "green", "blue"), unit="display", **setup),
        history=history,
    )


def pixels_of(images):
    return np.asarray(images.images.read(slice(None)), dtype=np.float32)


class Line:
    """An encoder that projects luminance, or all bands, on fixed random smooth patterns."""

    def __init__(self, bands):
        rng = np.random.default_rng(11)
        self.bands = bands
        self.axes = rng.normal(size=(bands * SIDE * SIDE, DIMENSION)) / SIDE

    def __call__(self, images):
        planes = pixels_of(images)
        if self.bands == 1:
            planes = planes.mean(axis=1, keepdims=True)
        return embedded(images, planes.reshape(len(planes), -1) @ self.axes)


def embedded(images, vectors):
    return Embedding(
        name=images.name,
        sampling=images.sampling,
        vectors=vectors.astype(np.float32),
        ids=images.ids,
        groups=images.groups,
        setup=images.setup,
        encoder_digest="toy",
        source_digest=images.digest,
    )


def total(images):
    """A blind encoder: nothing but the sum of the pixels."""
    return embedded(images, pixels_of(images).sum((1, 2, 3))[:, None])


def constant(images):
    return embedded(images, np.ones((len(images), 3)))


def distance(obs, sim):
    allow = obs.setup.differs_from(sim.setup)
    return compare_embeddings(
        obs, sim, metrics=("mmd",), settings=QUICK, seed=0, allow=allow
    ).comparisons


def straight(sim, obs, *, views, seed):
    """A match that does nothing: stamps are the originals."""
    del seed
    sides = []
    for images, view in zip((sim, obs), views, strict=True):
        rng = np.random.default_rng(len(images))
        _, sky = galaxies(len(images), rng)
        empty = images.replace(images=ArraySource(sky.astype(np.float32)))
        sides.append(Side(stamps=images, sky=empty, native=images, view=view))
    return Rematched(sim=sides[0], obs=sides[1])


def leaky(sim, obs, *, views, seed):
    """A match that lets the side through: the first one gets noise that the second does not."""
    rng = np.random.default_rng(seed)
    changed = pixels_of(sim) + rng.normal(0, 0.02, sim.images.shape)
    noisy = sim.replace(images=ArraySource(np.clip(changed, 0, 1).astype(np.float32)))
    return straight(noisy, obs, views=views, seed=seed)


@dataclass(frozen=True, kw_only=True, eq=False)
class Toys(Tools):
    """Tools with paired differences that say how sure they are."""

    paired: Any = None


def tools(**changes):
    made = {
        "rematch": straight,
        "embed": {"luminance": Line(1), "colour": Line(3)},
        "distance": distance,
        "controls": CONTROLS,
    }
    return Toys(**(made | changes))


def side(n, seed, name, *, stretch=1.0, history=()):
    pixels, sky = galaxies(n, np.random.default_rng(seed), stretch=stretch)
    stamps = a_set(pixels, name, history=history)
    return Side(stamps=stamps, sky=a_set(sky, name), native=stamps, view=VIEW)


LEAD_ONLY = {"luminance": Line(1)}


def given(*, stretch=1.3, n_sim=50, n_obs=150, history=(), **changes):
    made = Given(
        sim=side(n_sim, 1, "s", stretch=stretch, history=history),
        obs=side(n_obs, 2, "o"),
        tools=tools(),
        seed=3,
    )
    return replace(made, **changes)


def rng():
    return np.random.default_rng(5)


def noise_check():
    """Return a fast check for the battery inside: the rms of the stamps' corners."""

    def run(pair, *, rng):
        del rng
        sides = [pair.sim.pixels(), pair.obs.pixels()]
        rms = [np.log(pixels[:, :, :6, :6].std(axis=(1, 2, 3))) for pixels in sides]
        assert pair.same_population
        asked = Asked(name="corner rms", limit=0.05, scale="ratio")
        return Found(readings=[offset(asked, *rms)])

    meta = CheckMeta(
        code="A3", title="Noise", question="?", cost="fast", names_cause=True, mend="match it"
    )
    return types.SimpleNamespace(META=meta, run=run)


@pytest.fixture(autouse=True)
def one_fast_check(monkeypatch):
    """The battery inside a check is not what is tested here."""
    monkeypatch.setattr("simreal.audit.battery.check_names", lambda: ("noise",))
    monkeypatch.setattr("simreal.audit.battery.load_check", lambda _: noise_check())


def verdict(found):
    return AuditCheck(
        name="x", code="A0", title="x", question="?", cost="full", names_cause=False, mend="",
        readings=tuple(found.readings),
    ).verdict  # fmt: skip


def rows(found, **wanted):
    return [row for row in found.controls if all(row[k] == v for k, v in wanted.items())]


ROW = {
    "name", "kind", "title", "variant", "metric", "value", "low", "high", "p_value", "n_sim",
    "n_obs", "floor_median", "floor_high", "must_exceed", "holds", "reason",
}  # fmt: skip


def a_comparison(value, *, low=None, high=None, floor=(0.0, 0.01, 0.02), p=0.01, metric="mmd"):
    return Comparison(
        metric=metric,
        estimate=Estimate(
            value=value,
            low=value - 0.005 if low is None else low,
            high=value + 0.005 if high is None else high,
            method="m",
            estimand="e",
            n_sim=50,
            n_obs=50,
        ),
        floor=Floor(low=floor[0], median=floor[1], high=floor[2], n=50, n_splits=50),
        p_value=p,
        n_permutations=99,
        seed=0,
        sim_digest="a",
        obs_digest="b",
    )


# --- controls --------------------------------------------------------------------------------


def test_controls_share_a_reference_that_none_of_them_is_made_of():
    here = given()
    sets = control_sets(here, here.tools)
    assert sets.n == 50
    assert len(sets.reference) == 100
    made = {one.key: one for one in sets.sets}
    assert list(made)[:2] == ["undamaged", "simulation"]
    for key in ("undamaged", "noiseless", "psf", "bands", "pixels", "stars"):
        assert not set(made[key].images.groups) & set(sets.reference.groups)
        assert len(made[key].images) == sets.n
    again = {one.key: one for one in control_sets(here, here.tools).sets}
    for key in made:
        assert made[key].images.digest == again[key].images.digest


def test_controls_need_groups():
    with pytest.raises(NotComputableError, match="needed are 60"):
        control_sets(given(n_obs=50), tools())


def test_a_bridge_is_a_row_and_an_unmade_control_says_why():
    other = side(100, 9, "b").stamps
    here = given(tools=tools(bridges={"deeper": other}, controls={"pixels": CONTROLS["pixels"]}))
    found = negative_controls.run(here, rng=rng())
    assert {row["kind"] for row in rows(found, title="deeper")} == {"bridge"}
    assert rows(found, name="stars")[0]["value"] is None
    assert "handed" in rows(found, name="stars")[0]["reason"]
    assert verdict(found) != "clean"  # five controls are missing


# --- A8 --------------------------------------------------------------------------------------


def test_an_encoder_that_sees_ranks_the_faults_behind_real_galaxies():
    found = negative_controls.run(given(), rng=rng())
    assert verdict(found) != "red"
    assert all(set(row) == ROW for row in found.controls)
    for key in ("pixels", "stars"):
        (row,) = rows(found, name=key, variant="luminance")
        assert row["must_exceed"] == "simulation"
        assert row["holds"] is True
        assert row["p_value"] == pytest.approx(0.01)
    (row,) = rows(found, name="undamaged", variant="luminance")
    assert row["low"] <= row["floor_high"]
    assert row["n_sim"] == 50
    (row,) = rows(found, name="bands", variant="luminance")
    assert row["value"] is None
    assert "mean of the bands" in row["reason"]
    (row,) = rows(found, name="bands", variant="colour")
    assert row["value"] > row["floor_high"]
    asked = {one.name: one for one in found.readings}
    assert asked["real galaxies, pixels shuffled: luminance, mmd"].verdict == "clean"
    assert not asked["the simulation against real galaxies, bands shuffled: colour, mmd"].vetoes


def test_a_blind_encoder_is_red():
    found = negative_controls.run(given(tools=tools(embed={"luminance": total})), rng=rng())
    assert verdict(found) == "red"
    asked = {one.name: one for one in found.readings}
    shuffled = asked["real galaxies, pixels shuffled: luminance, mmd"]
    assert shuffled.verdict == "red"
    assert shuffled.value == pytest.approx(1.0)
    # An encoder may be trained to ignore noise; that is no fault of the score.
    assert not asked["real galaxies, noise smoothed away: luminance, mmd"].vetoes


def test_a_constant_encoder_is_red():
    found = negative_controls.run(given(tools=tools(embed={"luminance": constant})), rng=rng())
    assert verdict(found) == "red"


def test_paired_differences_are_used_where_the_tools_can():
    def paired(obs, a, b):
        del obs, a, b
        return {
            "mmd": Estimate(
                value=0.0, low=-1e-6, high=1e-6, method="m", estimand="e", n_sim=9, n_obs=9
            )
        }

    found = negative_controls.run(given(tools=tools(paired=paired, embed=LEAD_ONLY)), rng=rng())
    assert verdict(found) == "red"
    assert "paired" in found.notes[0]


def test_negative_controls_say_when_they_cannot_be_made():
    for here in (given(tools=None), given(tools=tools(controls={}))):
        found = negative_controls.run(here, rng=rng())
        assert verdict(found) == "not computable"
        assert found.readings[0].reason


def test_a_simulation_with_its_sky_removed_is_a_row_of_its_own():
    here = given(history=(Step(name="sky"),), tools=tools(embed=LEAD_ONLY))
    found = negative_controls.run(here, rng=rng())
    (row,) = rows(found, name="sky removed", variant="luminance")
    assert row["value"] is not None
    plain = control_sets(given(), tools())
    assert "sky removed" not in {one.key for one in plain.sets}


@pytest.mark.parametrize(
    ("gain", "error", "expected"),
    [(0.03, 0.002, "clean"), (0.0, 0.001, "red"), (0.0, 0.02, "underpowered")],
)
def test_a_fault_is_seen_if_it_adds_two_half_widths_of_the_floor(gain, error, expected):
    # The floor's half-width is .01, so that .02 is required and .01 the limit.
    undamaged = a_comparison(0.01)
    found = gain_reading("x", undamaged, Difference(value=gain, error=error))
    assert found.verdict == expected
    assert found.value == pytest.approx(1 - gain / 0.02)


@pytest.mark.parametrize(("lead", "expected"), [(0.2, "clean"), (-0.2, "red")])
def test_nothing_of_a_galaxy_must_be_further_than_any_simulation(lead, expected):
    found = beyond_reading("x", a_comparison(0.41), Difference(value=lead, error=0.01), vetoes=True)
    assert found.verdict == expected
    assert found.value == pytest.approx(1 - lead / 0.4)


# --- A12 and A7 ------------------------------------------------------------------------------


def test_halves_share_no_group():
    images = side(40, 0, "o").stamps
    views = images.replace(groups=np.array([f"g{k // 2}" for k in range(40)]))
    with pytest.raises(NotComputableError, match="20 groups"):
        random_halves(views.rows(np.arange(40)), rng())
    first, second = random_halves(images, rng())
    assert not set(first.groups) & set(second.groups)
    assert len(first) + len(second) == 40


def test_one_set_split_in_two_is_one_set_and_a_leak_is_red():
    found = null_split.run(given(), rng=rng())
    assert verdict(found) in ("clean", "underpowered")
    assert {row["kind"] for row in found.controls} == {"positive"}
    assert all(set(row) == ROW for row in found.controls)
    broken = null_split.run(given(tools=tools(rematch=leaky)), rng=rng())
    assert verdict(broken) == "red"
    assert any("A3 Noise" in one.name for one in broken.readings)


def test_a_split_is_not_red_at_many_seeds():
    here = given(tools=tools(embed=LEAD_ONLY))
    # The limits leave each seed far less than 5 %; a fifth of them red would be a leak.
    verdicts = [verdict(null_split.run(here, rng=np.random.default_rng(seed))) for seed in range(4)]
    assert "red" not in verdicts


def test_both_sides_with_survey_sky_are_split_through_the_pipeline():
    found = positive_control.run(given(), rng=rng())
    assert verdict(found) in ("clean", "underpowered")
    assert found.controls[0]["title"] == "real galaxies through the simulation's pipeline"
    broken = positive_control.run(given(tools=tools(rematch=leaky)), rng=rng())
    assert verdict(broken) == "red"


def idealised(share, **changes):
    """Return an idealised comparison in which real galaxies bring `share` of the sky's noise."""
    here = given(history=(Step(name="sky"),), n_obs=190)
    known = here.obs.native.setup.replace(psf_fwhm=np.full((190, 3), 3.0))
    native = here.obs.native.replace(setup=known)
    made = tools(own_noise=lambda originals, stamps, sky: np.full(len(stamps), share), **changes)
    donors = native.rows(np.arange(70))
    return replace(here, obs=replace(here.obs, native=native), donors=donors, tools=made)


def test_real_galaxies_with_little_noise_stand_in_for_an_idealised_simulation():
    seen = []

    def watched(sim, obs, *, views, seed):
        seen.append((sim.setup.rendition, obs.setup.rendition, views[0].rendition, len(sim)))
        assert not set(sim.groups) & set(obs.groups)
        return straight(sim, obs, views=views, seed=seed)

    found = positive_control.run(idealised(0.02, rematch=watched), rng=rng())
    assert seen == [("idealised", "survey", "idealised", 70)]
    assert verdict(found) in ("clean", "underpowered")
    assert found.controls[0]["reason"] is None


def test_noise_that_would_count_twice_is_no_positive_control():
    found = positive_control.run(idealised(0.35), rng=rng())
    assert verdict(found) == "not computable"
    assert "median 35 %" in found.readings[0].reason
    assert found.readings[0].vetoes
    assert found.controls
    for row in found.controls:
        assert row["holds"] is None
        assert row["reason"] == "noise counted twice: for orientation only"
    assert any("AUC" in note for note in found.notes)


def test_a_leak_shows_in_an_idealised_positive_control():
    assert verdict(positive_control.run(idealised(0.02, rematch=leaky), rng=rng())) == "red"


@pytest.mark.parametrize("check", [positive_control, null_split])
def test_a_pair_that_cannot_be_made_says_why(check):
    here = given()
    for poor in (
        replace(here, tools=None),
        replace(here, obs=replace(here.obs, native=None)),
        replace(here, obs=replace(here.obs, view=None)),
    ):
        found = check.run(poor, rng=rng())
        assert verdict(found) == "not computable"
        assert found.readings[0].vetoes


def test_the_pipelines_distance_is_a_share_of_the_score_or_of_the_floor():
    own = a_comparison(0.21)  # .2 above the floor
    (found,) = distance_readings([a_comparison(0.03)], [own])
    assert found.value == pytest.approx(0.1)
    assert found.limit == pytest.approx(0.2)
    (found,) = distance_readings([a_comparison(0.15)], [own])
    assert found.value == pytest.approx(0.7)
    assert found.verdict == "red"
    (found,) = distance_readings([a_comparison(0.03)], [a_comparison(0.012)])
    assert found.value == pytest.approx(2.0)  # half-widths of .01
    assert found.limit == 1.0


# --- A9 --------------------------------------------------------------------------------------


def fake_steps(nuisance):
    """Return steps that take away a shift of which `nuisance` is the part that is no physics."""

    def equalise(pair, skies, generator):
        del skies, generator
        sim, obs = pair
        for name, kind, left in (
            ("as compared", "nothing", 1.0),
            ("sky level", "nuisance", 1.0 - nuisance),
            ("size", "physics", 0.0),
        ):
            shown = pixels_of(sim) + np.float32(0.06 * left)
            yield name, kind, sim.replace(images=ArraySource(shown)), obs

    return equalise


@pytest.mark.parametrize(("nuisance", "expected"), [(1.0, "red"), (0.0, "clean")])
def test_what_equal_nuisances_take_away_is_reported(nuisance, expected):
    here = given(stretch=1.0, n_sim=160, n_obs=320, tools=tools(equalise=fake_steps(nuisance)))
    found = ablation.run(here, rng=rng())
    (reading,) = found.readings
    assert reading.verdict == expected, reading
    assert not reading.vetoes
    assert [row["label"] for row in found.pictures["mmd"]["rows"]] == [
        "as compared", "+ sky level", "+ size",
    ]  # fmt: skip


def test_ablation_without_means_says_so():
    found = ablation.run(given(), rng=rng())
    assert found.readings[0].reason
    assert not found.readings[0].vetoes

    def nothing_known(pair, skies, generator):
        yield "as compared", "nothing", *pair

    found = ablation.run(given(tools=tools(equalise=nothing_known)), rng=rng())
    assert "neither the sky nor the PSF" in found.readings[0].reason


@pytest.mark.parametrize("check", [ablation, invariance, occlusion])
def test_checks_that_only_report_never_veto_also_where_they_cannot_be_made(check):
    def broken(images):
        raise NotComputableError("no embedding today")

    poor = tools(
        embed={"luminance": broken},
        equalise=fake_steps(0.5),
        transforms={"same": lambda images: images},
    )
    for here in (given(tools=poor), given(n_obs=30, n_sim=30, tools=poor), given(tools=None)):
        found = check.run(here, rng=rng())
        assert not any(one.vetoes for one in found.readings)
        assert all(one.reason for one in found.readings)


# --- A10 -------------------------------------------------------------------------------------


def test_a_turn_keeps_the_order_and_an_eraser_does_not():
    def erased(images):
        noise = np.random.default_rng(images.shape[0]).random(images.shape)
        return noise.astype(np.float32)

    changes = {"turned": lambda images: np.rot90(images, axes=(2, 3)), "erased": erased}
    found = invariance.run(given(tools=tools(transforms=changes)), rng=rng())
    turned, gone = found.readings
    assert turned.value < 0.3
    assert gone.value > 0.5
    assert gone.verdict == "red"
    assert not turned.vetoes
    assert "unchanged" in found.notes[0]


def test_an_order_needs_rows():
    changes = {"same": lambda images: images}
    found = invariance.run(given(tools=tools(transforms=changes, controls={})), rng=rng())
    assert "needed are 4" in found.readings[0].reason
    assert invariance.run(given(tools=None), rng=rng()).readings[0].reason


# --- A13 -------------------------------------------------------------------------------------


def planted(inner, outer, amount=0.06):
    """Return a comparison whose sides differ in one ring alone, radii in half sides."""
    here = given(stretch=1.0, n_sim=160, n_obs=200)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    radius = np.hypot(x, y) / (SIDE / 2)
    changed = here.sim.pixels() + amount * ((radius >= inner) & (radius < outer))
    stamps = here.sim.stamps.replace(images=ArraySource(changed.astype(np.float32)))
    return replace(here, sim=replace(here.sim, stamps=stamps))


@pytest.mark.parametrize(
    ("ring", "low", "high", "expected"),
    [((1.0, 1.5), 0.7, 1.01, "red"), ((0.0, 0.4), -0.01, 0.3, "clean")],
)
def test_evidence_is_found_where_it_was_put(ring, low, high, expected):
    found = occlusion.run(planted(*ring), rng=rng())
    (reading,) = found.readings
    assert low < reading.value < high, reading
    assert reading.verdict in (expected, "underpowered")
    assert not reading.vetoes
    tile = np.array(found.pictures["map"]["tiles"][0]["pixels"])
    assert tile.shape == (SIDE, SIDE)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    inside = np.hypot(x, y) < 0.4 * SIDE / 2
    assert (tile[0, 0] > tile[inside].mean()) == (ring[0] > 0.5)


def test_no_difference_has_no_place():
    found = occlusion.run(given(stretch=1.0), rng=rng())
    assert "nothing to locate" in found.readings[0].reason
    assert occlusion.run(given(tools=None), rng=rng()).readings[0].reason
    assert "needed are 20" in occlusion.run(given(n_sim=10), rng=rng()).readings[0].reason
