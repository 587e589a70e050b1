"""Calibration: bands, verdicts, repetitions, and a plug-in from outside."""

import importlib.metadata
import json
import sys
import types

import numpy as np
import pytest
from scipy import stats

from simreal.compare.calibrate import Calibration, calibrate
from simreal.compare.calibration.coverage import measure_coverage, target_value
from simreal.compare.calibration.effort import Effort, load_metric, repetitions_for
from simreal.compare.calibration.ladder import (
    ladder_floor,
    ladder_row,
    ladder_scores,
    ladder_unknown,
    rank_correlation,
)
from simreal.compare.calibration.level import LevelTrials, measure_levels
from simreal.compare.calibration.populations import (
    GaussianPair,
    SplitEmbedding,
    correlated_views,
    pooled_sample,
)
from simreal.compare.calibration.power import Alternative, measure_power
from simreal.compare.calibration.repeat import repeated
from simreal.compare.calibration.verdicts import (
    highest_rate,
    judge_levels,
    lowest_rate,
    rejection_band,
    uniformity_p,
)
from simreal.compare.contract import MetricMeta
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.plugins import load

SMALL = Effort(repetitions=20, n=20, n_permutations=19, n_subsamples=50, planted_repetitions=20)


def plugin(monkeypatch, name, **parts):
    """Install a metric of an outside package under `name`."""
    module = types.ModuleType(f"outsider_{name}")
    parts.setdefault("META", meta())
    for key, value in parts.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entry = importlib.metadata.EntryPoint(name=name, value=module.__name__, group="simreal.metrics")
    installed = importlib.metadata.entry_points

    def entry_points(**wanted):
        if wanted.get("group") == "simreal.metrics":
            return (*installed(**wanted), entry)
        return installed(**wanted)

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    load_metric.cache_clear()
    return name


def meta(**changes):
    given = {"summary": "s", "zero_point": "0", "minimum_groups": 2, "citation": "c"}
    return MetricMeta(**{**given, "estimand": "population value", **changes})


def mean_distance(obs, sim, *, rng):
    return float(np.linalg.norm(obs.mean(axis=0) - sim.mean(axis=0)))


# ------------------------------------------------------------------ bands and verdicts


@pytest.mark.parametrize(
    ("repetitions", "n_cells", "band"),
    [(500, 1, (0.026, 0.076)), (1000, 1, (0.033, 0.069)), (2000, 1, (0.038, 0.063))],
)
def test_the_band_of_one_cell_is_the_binomial_99_percent_interval(repetitions, n_cells, band):
    """To one count: of two ranges that hold 99 % the shorter is taken."""
    assert rejection_band(repetitions, n_cells) == pytest.approx(band, abs=1.1 / repetitions)


@pytest.mark.parametrize("repetitions", [20, 100, 500])
@pytest.mark.parametrize("n_cells", [1, 5, 40])
def test_a_family_of_exact_tests_keeps_to_its_band(repetitions, n_cells):
    """The chance of any of them leaving is at most 1 %, and the band is no wider than needed."""
    counts = np.rint(np.array(rejection_band(repetitions, n_cells)) * repetitions).astype(int)

    def leaves(low, high):
        inside = stats.binom.cdf(high, repetitions, 0.05) - stats.binom.cdf(
            low - 1, repetitions, 0.05
        )
        return n_cells * (1 - inside)

    low, high = counts
    assert leaves(low, high) <= 0.01 + 1e-12
    assert leaves(low, high - 1) > 0.01
    assert leaves(low + 1, high) > 0.01


def test_bands_widen_with_the_family_and_narrow_with_repetitions():
    widths = [np.ptp(rejection_band(500, n)) for n in (1, 10, 100)]
    assert widths == sorted(widths)
    assert np.ptp(rejection_band(2000, 10)) < np.ptp(rejection_band(500, 10))
    with pytest.raises(UsageError, match="got 0 repetitions"):
        rejection_band(0, 1)


def test_verdicts_flag_what_rejects_too_often_too_rarely_or_not_uniformly():
    rng = np.random.default_rng(0)
    fair = rng.random(500)
    liberal, conservative = fair**2, fair**0.5  # P(p <= .05) = .22 and .0025
    uneven = np.where(fair > 0.05, 0.5 + fair / 2, fair)  # right at 5 %, wrong elsewhere
    verdicts = judge_levels([fair, liberal, conservative, uneven])
    assert [verdict.passed for verdict in verdicts] == [True, False, False, False]
    assert verdicts[0].rejection == np.mean(fair <= 0.05)
    assert verdicts[3].band[0] <= verdicts[3].rejection <= verdicts[3].band[1]
    assert judge_levels([]) == ()


def test_uniformity_is_judged_over_the_family():
    """A p of .003 for uniformity fails a test that stands alone, not one of a hundred."""
    p = (np.arange(200) + 0.5) / 200
    bent = p ** (1 / 1.4)
    assert 0.0005 < uniformity_p(bent) < 0.01
    assert not judge_levels([bent])[0].passed
    assert judge_levels([bent], n_cells=100)[0].passed


def test_rates_are_lowered_only_where_repetitions_are_few():
    assert lowest_rate(0.48, 500) == 0.48
    assert highest_rate(0.97, 1000) == 0.97
    assert stats.binom.cdf(lowest_rate(0.48, 60) * 60 - 1, 60, 0.48) <= 0.01
    assert lowest_rate(0.92, 100) < 0.92 < 0.97 < highest_rate(0.97, 100)


# ------------------------------------------------------------------ repetitions


def test_results_do_not_depend_on_the_number_of_processes():
    task = LevelTrials(
        population=GaussianPair(n=20),
        repetitions={"mmd": 4, "occupancy": 2},
        seed=3,
        n_permutations=19,
    )
    told = []
    apart = repeated(
        task, range(4), workers=2, label="here", progress=lambda *step: told.append(step)
    )
    assert apart == repeated(task, range(4))
    assert told == [("here", i, 4) for i in (1, 2, 3, 4)]
    assert [sorted(one) for one in apart] == [["mmd", "occupancy"]] * 2 + [["mmd"]] * 2


def test_another_metric_changes_no_number():
    """Every metric has streams of its own."""
    alone = measure_levels([(GaussianPair(n=20), 20)], ["mmd"], effort=SMALL)
    both = measure_levels([(GaussianPair(n=20), 20)], ["occupancy", "mmd"], effort=SMALL)
    assert alone[0].ks_p == both[1].ks_p
    assert alone[0].rejection == both[1].rejection


def test_an_error_in_a_process_arrives_here():
    with pytest.raises(NotComputableError, match="needs 100 groups"):
        repeated(_refusing, range(3), workers=2)


def _refusing(i):
    raise NotComputableError("needs 100 groups")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, 500), ({"cost": "heavy"}, 100), ({"cost": "heavy", "on_request": True}, 50)],
)
def test_costly_metrics_are_repeated_less_often(changes, expected):
    assert repetitions_for(meta(**changes), 500) == expected
    assert repetitions_for(meta(**changes), 20) == 20


@pytest.mark.parametrize("changes", [{"repetitions": 1}, {"n": 2}, {"workers": 0}])
def test_efforts_that_mean_nothing_are_refused(changes):
    with pytest.raises(UsageError, match="allowed is"):
        Effort(**changes)


# ------------------------------------------------------------------ populations


def test_a_population_is_what_it_says():
    sample = GaussianPair(n=4000, shift=2.0).draw(np.random.default_rng(0))
    assert sample.n_sim == sample.n_obs == 4000
    assert abs(np.mean(np.diff(np.flatnonzero(sample.is_sim)) == 1) - 0.5) < 0.05  # shuffled
    apart = sample.pooled[sample.is_sim].mean(axis=0) - sample.pooled[~sample.is_sim].mean(axis=0)
    # One scale: the pool has 15 axes of width 1 and one of 1 + 2²/4.
    assert np.linalg.norm(apart) == pytest.approx(2 / np.sqrt((15 + 2) / 16), rel=0.05)
    dirty = GaussianPair(n=4000, contamination=0.1, displacement=30.0)
    sample = dirty.draw(np.random.default_rng(1))
    far = np.linalg.norm(sample.pooled - np.median(sample.pooled, axis=0), axis=1)
    assert np.mean(far[sample.is_sim] > 5 * np.median(far)) == pytest.approx(0.1, abs=0.02)
    assert np.mean(far[~sample.is_sim] > 5 * np.median(far)) == 0


def test_a_split_holds_one_image_of_each_group_and_none_twice():
    vectors = np.arange(60, dtype=np.float32)[:, None] * [1.0, 0.0]
    groups = np.repeat([f"g{i:02d}" for i in range(20)], 3)
    split = SplitEmbedding(vectors=vectors, groups=groups, n=10)
    sample = split.draw(np.random.default_rng(0))
    scale = np.ptp(sample.pooled) and np.sort(sample.pooled[:, 0])
    assert len(np.unique(scale)) == 20
    order = np.rint((scale - scale[0]) / (scale[-1] - scale[0]) * 19).astype(int)
    assert (np.diff(order) >= 0).all()
    with pytest.raises(NotComputableError, match="need 22 groups, there are 20"):
        SplitEmbedding(vectors=vectors, groups=groups, n=11)


def test_views_of_a_group_are_as_correlated_as_asked():
    views = correlated_views(4000, 2, 3, correlation=0.8, rng=np.random.default_rng(0))
    found = [np.corrcoef(views[:, 0, k], views[:, 1, k])[0, 1] for k in range(3)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.02)


# ------------------------------------------------------------------ metrics from outside


def test_a_metric_from_outside_is_calibrated_by_name(monkeypatch):
    name = plugin(monkeypatch, "outsider", statistic=mean_distance)
    found = calibrate(
        ("level", "power"),
        metrics={"level": [name], "power": [name]},
        populations=[(GaussianPair(n=20), 40)],
        alternatives=[Alternative(name="far", pair=GaussianPair(n=20, shift=3.0, name="far"),
                                  goals={name: 0.9})],
        effort=SMALL,
    )  # fmt: skip
    assert found.level[0].passed
    assert found.level[0].repetitions == 40
    assert found.power[0].power == 1.0
    assert found.power[0].passed
    assert found.passed
    assert [verdict.part for verdict in found.verdicts] == ["level", "power"]


def test_a_metric_that_cheats_is_flagged_and_rerun_once(monkeypatch):
    """It remembers the labels it is asked about first, which are the observed ones."""

    class Cheat:
        def values(self, points, sim, obs):
            return (sim == sim[0]).mean(axis=1).astype(float)

    name = plugin(monkeypatch, "cheat", statistic=mean_distance, fit=lambda pooled, *, rng: Cheat())
    found = Calibration(level=measure_levels([(GaussianPair(n=20), 20)], [name], effort=SMALL))
    row = found.level[0]
    assert row.rejection == 1.0
    assert row.passed is False
    assert row.repetitions == 20
    assert row.rerun.repetitions == 80
    assert row.rerun.rejection == 1.0
    assert not found.passed
    assert "at R = 80: 1.000" in found.verdicts[0].value


def test_the_rerun_stands(monkeypatch):
    """A fair metric whose first round is spoiled passes by its rerun; both are reported."""
    first = set(range(20))

    class Unlucky:
        def __init__(self, spoiled):
            self.spoiled = spoiled

        def values(self, points, sim, obs):
            rng = np.random.default_rng(int(abs(points).sum() * 1e4) % 2**32)
            found = rng.random(len(sim))
            found[0] += self.spoiled
            return found

    def fit(pooled, *, rng):
        return Unlucky(bool(first) and first.pop() is not None)

    name = plugin(monkeypatch, "unlucky", statistic=mean_distance, fit=fit)
    row = measure_levels([(GaussianPair(n=20), 20)], [name], effort=SMALL)[0]
    assert row.rejection == 1.0
    assert row.rerun.passed
    assert row.passed


def test_few_distinct_values_do_not_look_like_a_wrong_level(monkeypatch):
    """Ties are broken at random in calibration; as reported they make a test cautious."""

    def coarse(obs, sim, *, rng):
        return float(round(3 * mean_distance(obs, sim, rng=rng)))

    name = plugin(monkeypatch, "coarse", statistic=coarse)
    row = measure_levels([(GaussianPair(n=20), 60)], [name], effort=SMALL)[0]
    assert row.passed
    assert row.rejection_reported <= row.rejection


def test_what_cannot_be_computed_is_a_reason_and_no_verdict(monkeypatch):
    needy = meta(minimum_groups=8, groups_per_dimension=2)
    name = plugin(monkeypatch, "needy", statistic=mean_distance, META=needy)
    nulls = [(GaussianPair(n=20), 20)]
    level = measure_levels(nulls, [name, "mmd"], effort=SMALL)
    assert level[0].rejection is None
    assert level[0].passed is None
    dimension = nulls[0][0].draw(np.random.default_rng(0)).pooled.shape[1]
    assert f"needs {2 * dimension} groups per side or more in {dimension} d" in level[0].reason
    assert level[1].rejection is not None
    far = Alternative(name="far", pair=GaussianPair(n=20, shift=3.0), goals={name: 0.9})
    power = measure_power([name], alternatives=[far], effort=SMALL)
    assert (power[0].power, power[0].passed) == (None, None)
    coverage = measure_coverage([name], effects=[1.0], effort=SMALL)
    assert (coverage[0].coverage, coverage[0].passed) == (None, None)
    found = Calibration(level=level, power=power, coverage=coverage)
    assert found.passed
    assert [v.value for v in found.verdicts].count("not computable") == 3


# ------------------------------------------------------------------ power and coverage


def test_power_below_its_goal_fails(monkeypatch):
    blind = plugin(monkeypatch, "blind", statistic=lambda obs, sim, *, rng: float(rng.random()))
    far = Alternative(name="far", pair=GaussianPair(n=20, shift=3.0), goals={blind: 0.9})
    row = measure_power([blind], alternatives=[far], effort=SMALL)[0]
    assert row.power < 0.5
    assert row.passed is False
    assert not Calibration(power=(row,)).passed


def test_the_population_value_of_mmd_is_the_closed_form():
    """At the bandwidth of an infinite pool: half the median of |x - y|², which in 16 dimensions
    is 2 chi²_16 for three pairs in four, give or take the shift; 100 draws at n = 2,000 know the
    value to sd(2,000) / 10, about 2 %."""
    d, shift = 16, 1.0
    found = target_value("mmd", GaussianPair(n=100, shift=shift), 100, effort=Effort())
    rng = np.random.default_rng(0)
    apart = np.sqrt(2) * rng.standard_normal((200_000, d))
    apart[::2, 0] += shift  # half of the pairs of a pool are of different sides
    s2 = np.median((apart**2).sum(axis=1)) / 2
    truth = 2 * (s2 / (s2 + 2)) ** (d / 2) * (1 - np.exp(-(shift**2) / (2 * (s2 + 2))))
    assert found == pytest.approx(truth, rel=0.06)


def test_coverage_of_a_known_interval(monkeypatch):
    """The mean difference is linear, so its interval covers; a third of its width does not."""

    def difference(obs, sim, *, rng):
        return float(sim.mean() - obs.mean())

    effort = Effort(repetitions=60, n=40, n_subsamples=50)
    name = plugin(monkeypatch, "difference", statistic=difference)
    row = measure_coverage([name], effects=[0.5], effort=effort)[0]
    assert row.coverage > 0.85
    assert row.missed_below + row.missed_above == pytest.approx(1 - row.coverage)

    import simreal.compare.calibration.coverage as module

    right = module.interval_of

    def narrow(*given, **named):
        value, low, high = right(*given, **named)
        return value, value - (value - low) / 3, value + (high - value) / 3

    monkeypatch.setattr(module, "interval_of", narrow)
    row = measure_coverage([name], effects=[0.5], effort=effort)[0]
    assert row.coverage < 0.7
    assert row.passed is False


# ------------------------------------------------------------------ ladder


def test_rank_correlation_is_spearmans():
    for seed in range(5):
        values = np.random.default_rng(seed).normal(size=6)
        expected = stats.spearmanr(np.arange(6), values).statistic
        assert rank_correlation(values) == pytest.approx(expected, abs=1e-9)
    assert rank_correlation(np.arange(6.0)) == 1.0
    assert rank_correlation(np.zeros(6)) == 0.0


def rung(means, metric="mmd", kind="blur"):
    scores = np.array([means, means], dtype=float)
    return ladder_row(
        metric, kind, severities=range(len(means)), n=10, scores=scores, floor=np.array([0.0, 1.0])
    )


def test_a_ladder_passes_on_seven_kinds_of_eight_and_fails_on_six():
    up, down = rung([0.5, 2, 3]), rung([0.5, 3, 2])
    for wrong, passed in ((1, True), (2, False)):
        rows = (up,) * (8 - wrong) + (down,) * wrong
        found = Calibration(ladder=rows, judged=frozenset({"mmd"}))
        assert found.verdicts[0].passed is passed
    assert Calibration(ladder=(down,) * 8).verdicts[0].passed is None  # reported, not judged


def test_a_ladder_must_start_at_the_floor():
    high = rung([5.0, 6, 7])
    assert high.monotone
    assert not high.starts_at_floor
    assert not Calibration(ladder=(high,) * 8, judged=frozenset({"mmd"})).passed


def test_a_ladder_without_numbers_is_said_to_be_one():
    unknown = ladder_unknown("mmd", "blur", severities=(0, 1), n=3, why="too few")
    verdict = Calibration(ladder=(unknown,), judged=frozenset({"mmd"})).verdicts[0]
    assert (verdict.value, verdict.note, verdict.passed) == ("not computable", "too few", None)


def halves(n=150, d=4):
    return tuple(np.random.default_rng(0).normal(size=(2, n, d)).astype("f4"))


def moved(points, away):
    return tuple(half + np.float32(away) for half in points)


def test_scores_of_a_ladder_grow_with_the_damage_and_start_in_the_floor():
    intact, names = halves(), ["mmd", "sliced_wasserstein"]
    scores = [
        ladder_scores(intact, moved(intact, x), names, seed=0, repetition=0)
        for x in (0, 0.01, 0.1, 0.5, 1)
    ]
    floor = ladder_floor(intact, names, seed=0, repetition=0)
    for name in names:
        steps = [score[name] for score in scores]
        # Far below what one comparison sees: chance cancels between the two ways round.
        assert (np.diff(steps) > 0).all(), steps
        assert floor[name].min() <= steps[0] <= floor[name].max()
        assert steps[-1] > floor[name].max()


def test_a_metric_that_falls_with_distance_is_turned_round(monkeypatch):
    def likeness(obs, sim, *, rng):
        return float(np.exp(-mean_distance(obs, sim, rng=rng)))

    name = plugin(monkeypatch, "likeness", statistic=likeness, META=meta(tail="lower"))
    intact = halves(50, 2)
    near, far = (
        ladder_scores(intact, moved(intact, x), [name], seed=0, repetition=0)[name] for x in (1, 2)
    )
    assert far > near > ladder_floor(intact, [name], seed=0, repetition=0)[name].max()


def test_pooled_sample_goes_through_the_transform_of_a_comparison():
    rng = np.random.default_rng(0)
    obs, sim = rng.normal(size=(2, 50, 40)).astype("f4")
    sample = pooled_sample(obs, sim, rng=rng)
    assert sample.pooled.shape == (100, 32)
    assert sample.pooled.std(axis=0).mean() == pytest.approx(1, abs=0.1)


def test_calibration_metrics_are_found_by_name():
    with pytest.raises(UsageError, match="did you mean 'mmd'"):
        measure_levels([(GaussianPair(n=20), 20)], ["mdm"], effort=SMALL)
    assert load("simreal.compare.metrics", "simreal.metrics", "mmd").META


def test_verdicts_are_plain_words():
    found = Calibration(ladder=(rung([0.5, 2, 3]),), judged=frozenset({"mmd"}))
    assert json.dumps([verdict.bar for verdict in found.verdicts])
