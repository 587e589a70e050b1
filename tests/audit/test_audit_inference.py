"""Readings: intervals that cover, limits that follow the scatter, verdicts that need both."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from simreal.audit.inference import (
    AUC_LIMIT,
    FEWEST,
    SHIFT_LIMIT,
    Asked,
    auc_with_error,
    not_computable,
    offset,
    quantile_offset,
    reading,
    separation,
    statistic,
)
from simreal.audit.probe import cross_validated_auc, cross_validated_r2
from simreal.core.audit import Reading
from simreal.core.errors import UsageError

LEVEL = Asked(name="level")


def test_the_share_of_the_scatter_is_an_auc_of_point_55():
    # A normal variable shifted by d standard deviations separates with AUC Φ(d / √2).
    assert stats.norm.cdf(SHIFT_LIMIT / np.sqrt(2)) == pytest.approx(0.5 + AUC_LIMIT)


def test_the_interval_of_an_offset_covers():
    rng = np.random.default_rng(0)
    trials, inside = 600, 0
    for _ in range(trials):
        found = offset(LEVEL, rng.normal(0.3, 1, 60), rng.normal(0, 2, 90))
        inside += found.low <= 0.3 <= found.high
    # 99.9 % of 600 trials at 95 % lie in this band.
    assert stats.binom.ppf(0.0005, trials, 0.95) <= inside <= stats.binom.ppf(0.9995, trials, 0.95)


def test_a_few_wild_images_neither_make_nor_hide_a_difference():
    rng = np.random.default_rng(1)
    obs, sim = rng.normal(0, 1, 400), rng.normal(0.6, 1, 400)
    sim[:8] = -1e6
    found = offset(LEVEL, sim, obs)
    # Trimming at 5 % of a sample with 2 % of its objects gone to one end moves the mean a little.
    assert found.value == pytest.approx(0.6, abs=0.25)
    assert found.verdict == "red"


def test_the_limit_is_the_larger_of_the_fixed_one_and_the_scatter():
    rng = np.random.default_rng(2)
    tight, wide = rng.normal(0, 1e-3, (2, 300)), rng.normal(0, 1, (2, 300))
    asked = Asked(name="rms", limit=0.02)
    assert offset(asked, *tight).limit == 0.02
    assert offset(asked, *wide).limit == pytest.approx(SHIFT_LIMIT, rel=0.1)


def test_equal_constants_are_clean_and_unequal_ones_red():
    assert offset(LEVEL, np.ones(40), np.ones(40)).verdict == "clean"
    assert offset(LEVEL, np.ones(40), np.zeros(40)).verdict == "red"


@pytest.mark.parametrize("n", [0, 3, FEWEST - 1])
def test_too_few_objects_are_not_computable(n):
    few, many = np.zeros(n), np.random.default_rng(3).normal(size=100)
    rng = np.random.default_rng(4)
    table = np.zeros((n, 1)), many[:, None]
    for found in (
        offset(LEVEL, few, many),
        separation(LEVEL, many, few),
        quantile_offset(LEVEL, few, many, percentile=5, rng=rng),
        statistic(LEVEL, *table, lambda a, b: float(a.mean() - b.mean()), rng=rng),
    ):
        assert found.verdict == "not computable"
        assert str(n) in found.reason
        assert str(FEWEST) in found.reason


def test_non_finite_numbers_are_left_out_and_counted():
    values = np.r_[np.full(50, np.nan), np.random.default_rng(5).normal(size=60)]
    assert offset(LEVEL, values, values).n_sim == 60


def test_the_auc_is_sklearns_and_its_error_is_that_of_resampling():
    rng = np.random.default_rng(6)
    sim, obs = rng.normal(0.7, 1, 120), np.round(rng.normal(0, 1, 90), 1)
    auc, error = auc_with_error(sim, obs)
    labels = np.r_[np.ones(120), np.zeros(90)]
    assert auc == pytest.approx(roc_auc_score(labels, np.r_[sim, obs]))
    draws = [auc_with_error(rng.choice(sim, 120), rng.choice(obs, 90))[0] for _ in range(400)]
    assert error == pytest.approx(np.std(draws), rel=0.15)


def test_separation_sees_both_directions():
    rng = np.random.default_rng(7)
    a, b = rng.normal(0, 1, 300), rng.normal(1, 1, 300)
    assert separation(LEVEL, a, b).verdict == separation(LEVEL, b, a).verdict == "red"
    assert separation(LEVEL, a, b).value < 0.5 < separation(LEVEL, b, a).value


def test_a_percentile_moves_where_the_mean_does_not():
    rng = np.random.default_rng(8)
    sim, obs = rng.normal(0, 2, 600), rng.normal(0, 1, 600)
    low = quantile_offset(LEVEL, sim, obs, percentile=5, rng=rng)
    assert low.value == pytest.approx(-1.645, abs=4 * low.error)
    assert low.verdict == "red"
    assert offset(LEVEL, sim, obs).verdict != "red"


@pytest.mark.parametrize(
    ("value", "error", "verdict"),
    [(0.0, 0.01, "clean"), (0.0, 0.06, "underpowered"), (0.09, 0.01, "underpowered"),
     (0.2, 0.01, "red"), (0.2, 0.06, "underpowered")],
)  # fmt: skip
def test_verdicts_are_those_of_the_interval(value, error, verdict):
    found = reading(Asked(name="x", limit=0.1), value, error, n=(300, 300))
    assert found.verdict == verdict
    mirrored = reading(Asked(name="x", limit=0.1), -value, error, n=(300, 300))
    assert mirrored.verdict == verdict


def test_one_sided_scales_do_not_mind_small_values():
    found = reading(Asked(name="auc", limit=0.05, scale="auc"), 0.4, 0.01, n=(300, 300))
    assert found.verdict == "clean"
    both = reading(Asked(name="auc", limit=0.05, scale="separation"), 0.4, 0.01, n=(300, 300))
    assert both.verdict == "red"


def test_blind_means_that_even_a_gross_difference_is_not_ruled_out():
    at = Asked(name="x", limit=0.1)
    assert reading(at, 0.0, 0.2, n=(20, 20)).blind
    assert not reading(at, 0.0, 0.1, n=(60, 60)).blind
    assert not reading(at, 9.0, 0.2, n=(20, 20)).blind


def test_p_values_of_a_true_value_at_the_limit_are_uniform():
    rng = np.random.default_rng(9)
    asked = Asked(name="x", limit=0.1)
    p = [reading(asked, value, 0.02, n=(9, 9)).p_value for value in rng.normal(0.1, 0.02, 800)]
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_ratios_are_shown_as_ratios():
    found = reading(
        Asked(name="rms", limit=np.log(1.02), scale="ratio"), np.log(1.1), 0.01, n=(9, 9)
    )
    assert found.shown[0] == pytest.approx(1.1)
    assert found.shown_limits == (pytest.approx(1 / 1.02), pytest.approx(1.02))


def test_readings_refuse_what_means_nothing():
    with pytest.raises(UsageError, match="reason"):
        Reading(name="x", value=None)
    with pytest.raises(UsageError, match="finite"):
        Reading(name="x", value=1.0, low=0.0, high=float("nan"))
    with pytest.raises(UsageError, match="limit"):
        Reading(name="x", value=1.0, low=0.0, high=2.0, limit=0.0)
    assert not_computable("x", "no stars").verdict == "not computable"


def test_the_error_of_a_held_out_auc_is_its_scatter():
    rng = np.random.default_rng(10)
    is_sim = np.arange(300) < 150
    found = [
        cross_validated_auc(rng.normal(size=(300, 4)) + 0.6 * is_sim[:, None], is_sim, rng=rng)
        for _ in range(60)
    ]
    values = np.array([one.value for one in found])
    # The standard deviation of 60 draws is known to 9 %; folds of 60 add a little of their own.
    assert np.mean([one.error for one in found]) == pytest.approx(values.std(), rel=0.35)


def test_a_probe_of_nothing_reads_nothing():
    rng = np.random.default_rng(11)
    is_sim = np.arange(400) < 200
    noise = rng.normal(size=(400, 20))
    auc = cross_validated_auc(noise, is_sim, rng=rng)
    assert abs(auc.value - 0.5) < 4 * auc.error
    r2 = cross_validated_r2(noise, rng.normal(size=400), rng=rng)
    assert r2.value < 0.05
