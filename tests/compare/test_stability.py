"""How far a result hangs on the encoder."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from simreal.compare.stability import agreement, rank_stability, spread_over_seeds
from simreal.core.errors import UsageError


def test_the_spread_is_in_units_of_the_floor():
    found = spread_over_seeds("mmd", [0.1, 0.2, 0.3], floor=(0.0, 0.4))
    assert (found.mean, found.sd) == (pytest.approx(0.2), pytest.approx(0.1))
    assert found.in_floor_units == pytest.approx(1.0)
    assert spread_over_seeds("mmd", [1, 2]).in_floor_units is None


def test_one_seed_has_no_spread():
    with pytest.raises(UsageError, match="got 1 encoder seeds"):
        spread_over_seeds("mmd", [1.0])


def test_tau_is_the_mean_over_pairs_of_seeds():
    table = np.random.default_rng(0).normal(size=(4, 6))
    found = rank_stability(table, list("abcdef"))
    pairs = [kendalltau(table[i], table[j]).statistic for i in range(4) for j in range(i)]
    assert found.kendall_tau == pytest.approx(np.mean(pairs))
    assert sum(found.probability_rank_1.values()) == pytest.approx(1)


def test_seeds_that_agree_make_a_stable_ranking():
    found = rank_stability([[1, 2, 3], [10, 20, 30], [4, 5, 6]], ["a", "b", "c"])
    assert (found.kendall_tau, found.stable) == (1.0, True)
    assert found.probability_rank_1 == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert not rank_stability([[1, 2, 3], [3, 2, 1]], ["a", "b", "c"]).stable


def test_ties_share_the_first_rank():
    found = rank_stability([[1, 1, 2], [1, 1, 2]], ["a", "b", "c"])
    assert found.probability_rank_1 == {"a": 0.5, "b": 0.5, "c": 0.0}


@pytest.mark.parametrize("table", [[[1, 2]], [[1], [2]], [[1, 2, 3], [1, 2, 3]]])
def test_a_table_that_ranks_nothing_is_refused(table):
    with pytest.raises(UsageError, match="two or more draws"):
        rank_stability(table, ["a", "b"])


def test_encoders_that_disagree_are_flagged():
    assert not agreement("mmd", {"simclr": 0.01, "pca": 0.02}).encoder_dependent
    assert agreement("mmd", {"simclr": 0.01, "pca": 0.2}).encoder_dependent
