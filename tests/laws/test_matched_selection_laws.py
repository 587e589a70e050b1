"""Selection matching takes a difference in mixture away, and leaves a difference in looks."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from simreal.match.matched_selection import Criterion, SelectionSettings, select

N, N_TRIALS = 300, 100


def rejected(*, method, difference, matched, seed):
    """Return how often a 5 % test of looks that follow mass rejects; masses differ by 0.7."""
    random = np.random.default_rng(seed)
    settings = SelectionSettings(
        method=method, criteria=(Criterion(property="mass", tolerance=0.1),), factors=()
    )
    names = np.arange(N).astype(str)
    count = 0
    for _ in range(N_TRIALS):
        sides = [{"mass": random.normal(shift, 1, N)} for shift in (0.7, 0.0)]
        looks = [side["mass"] + random.normal(0, 1, N) for side in sides]
        looks[0] += difference
        if matched:
            found = select(*sides, (names, names), settings=settings, rng=random)
            looks = [looks[0][found.sim_rows], looks[1][found.obs_rows]]
        count += ttest_ind(*looks).pvalue < 0.05
    return count / N_TRIALS


@pytest.mark.parametrize("method", ["strata", "nearest"])
def test_equal_looks_of_unequal_mixtures_are_equal_after_matching(method):
    # Before: 0.7 / sqrt(2) sigma at n = 300 is 6 standard errors. After: at most nominal (masses
    # are alike by design, which makes the test conservative); 100 trials at 5 % give 14 or more
    # once in 2,000 times.
    assert rejected(method=method, difference=0.0, matched=False, seed=1) > 0.99
    assert rejected(method=method, difference=0.0, matched=True, seed=1) <= 0.13


@pytest.mark.parametrize("method", ["strata", "nearest"])
def test_different_looks_are_still_seen_after_matching(method):
    assert rejected(method=method, difference=0.7, matched=True, seed=2) > 0.9
