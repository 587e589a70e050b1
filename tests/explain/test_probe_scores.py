import numpy as np
import pytest
from scipy.stats import binomtest

from simreal.core.errors import UsageError
from simreal.explain.scores import Score, clopper_pearson, from_error, mean_share, no_score, share


@pytest.mark.parametrize(
    ("k", "n"), [(0, 1), (1, 1), (0, 25), (25, 25), (23, 25), (10, 11), (3, 7)]
)
def test_clopper_pearson_is_scipys(k, n):
    expected = binomtest(k, n).proportion_ci(0.95, method="exact")
    np.testing.assert_allclose(clopper_pearson(k, n), (expected.low, expected.high), atol=1e-10)


def test_clopper_pearson_by_hand():
    # No success in n: the upper end is where n failures have a chance of 2.5 %.
    assert clopper_pearson(0, 10) == (0.0, pytest.approx(1 - 0.025 ** (1 / 10)))
    # 23 of 25, as published with an interval of .74 to .99.
    assert [round(end, 2) for end in clopper_pearson(23, 25)] == [0.74, 0.99]


def test_the_exact_interval_covers_at_least_its_level():
    rng = np.random.default_rng(0)
    for chance in (0.05, 0.5, 0.9):
        ends = np.array([clopper_pearson(k, 20) for k in range(21)])
        k = rng.binomial(20, chance, 20_000)
        covered = (ends[k, 0] <= chance) & (chance <= ends[k, 1])
        assert covered.mean() >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 20_000)


def test_means_over_views_scatter_less_than_the_interval_allows():
    # Four views that agree half of the time: fractional successes.
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(400):
        views = rng.random((30, 4)) < rng.beta(2, 1, (30, 1))
        low, high = clopper_pearson(views.mean(axis=1).sum(), 30)
        covered.append(low <= 2 / 3 <= high)
    assert np.mean(covered) >= 0.95


def test_a_mean_of_perfect_shares_still_has_a_width():
    both = mean_share([share(10, 10), share(10, 10)])
    assert (both.value, both.high) == (1.0, 1.0)
    assert 0.7 < both.low < 0.85


def test_a_single_share_keeps_its_interval():
    one = share(7, 9)
    both = mean_share([one])
    assert both.low == pytest.approx(one.low)
    assert both.high == pytest.approx(one.high)


def test_what_is_not_finite_is_null_with_a_reason():
    assert from_error(np.nan, 1.0, n=3, method="x").reason
    assert share(0, 0).reason == "no objects"


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": None, "n": 3},
        {"value": 1.0, "n": 3, "method": "x"},
        {"value": 1.0, "low": 0.0, "high": 2.0, "n": 3},
        {"value": 1.0, "low": 1.5, "high": 2.0, "n": 3, "method": "x"},
        {"value": None, "low": 1.0, "n": 3, "reason": "x"},
    ],
)
def test_no_value_without_interval_and_no_null_without_reason(wrong):
    with pytest.raises(UsageError):
        Score(**wrong)


def test_shares_outside_are_refused():
    with pytest.raises(UsageError, match="got 4 of 3"):
        clopper_pearson(4, 3)
    assert no_score("why", n=2).value is None
