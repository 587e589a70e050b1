import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.compare.contract import PlainLoop
from simreal.compare.inference import (
    aggregate,
    floor_values,
    p_value,
    permutation_statistics,
    subsample_values,
    subsampling_interval,
    values,
)
from simreal.compare.sample import Sample

numbers = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)


def mean_gap(obs, sim, *, rng):
    return float(abs(obs.mean() - sim.mean()))


GAP = PlainLoop(mean_gap, 0)


def sample_of(sim, obs):
    points = np.concatenate([sim, obs])[None, :, None].astype(np.float32)
    is_sim = np.arange(len(sim) + len(obs)) < len(sim)
    return Sample(rounds=points, is_sim=is_sim, obs_rounds=points[:, ~is_sim])


@given(numbers)
def test_p_is_the_rank_of_the_observed_and_never_zero(statistics):
    p = p_value(np.array(statistics))
    assert 1 / len(statistics) <= p <= 1
    tolerance = 1e-6 * np.abs(statistics).max()
    assert p == np.mean(np.array(statistics) >= statistics[0] - tolerance)


def test_the_smallest_p_value():
    """1 / (B + 1): 4.9975e-4 for 2,000 permutations."""
    far = np.concatenate([[9.0], np.zeros(2000)])
    assert p_value(far) == pytest.approx(4.9975e-4, rel=1e-5)


def test_equal_partitions_that_differ_by_rounding_are_ties():
    assert p_value(np.array([1.0, 1.0 - 1e-8, 0.0, 0.0])) == 0.5


def test_the_exact_permutation_distribution_of_a_small_sample():
    """3 against 3, the three largest on one side: 2 of the 20 partitions are as extreme.

    4,000 random relabellings estimate 2/20 with a standard deviation of 0.0047."""
    sample = sample_of(np.array([4, 5, 6.0]), np.array([1, 2, 3.0]))
    p = p_value(permutation_statistics(GAP, sample, 4000, rng=np.random.default_rng(0)))
    assert p == pytest.approx(0.1, abs=0.02)


@given(st.integers(0, 1000))
def test_the_aggregate_is_a_symmetric_function_of_the_labellings(seed):
    rng = np.random.default_rng(seed)
    components = rng.normal(size=(20, 3)) * [1, 100, 1e-3]
    order = rng.permutation(20)
    np.testing.assert_allclose(
        aggregate(components[order]), aggregate(components)[order], rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(
        aggregate(components * [5, 0.1, 7]), aggregate(components), rtol=1e-9, atol=1e-12
    )


def test_a_component_that_never_varies_says_nothing():
    components = np.column_stack([np.arange(4.0), np.full(4, 7.0)])
    assert np.argmax(aggregate(components)) == 3


def test_rounds_are_averaged():
    rounds = np.array([[[0.0], [1.0]], [[0.0], [3.0]]], dtype=np.float32)
    sim = np.array([[True, False]])
    assert values(GAP, rounds, sim, ~sim).tolist() == [2.0]


def test_floor_sets_are_disjoint_and_of_size_n():
    seen = []

    class Watch:
        def values(self, points, sim, obs):
            seen.append((sim, obs))
            return np.zeros(len(sim))

    obs_rounds = np.zeros((1, 25, 2), dtype=np.float32)
    floor_values(Watch(), obs_rounds, 10, 30, rng=np.random.default_rng(0))
    sim, obs = seen[0]
    assert (sim.sum(axis=1) == 10).all()
    assert (obs.sum(axis=1) == 10).all()
    assert not (sim & obs).any()
    assert len({row.tobytes() for row in sim}) == 30


def test_half_samples_keep_to_their_side():
    seen = []

    class Watch:
        def values(self, points, sim, obs):
            seen.append((sim, obs))
            return np.zeros(len(sim))

    sample = sample_of(np.zeros(9), np.zeros(8))
    subsample_values(Watch(), sample, 12, rng=np.random.default_rng(0))
    sim, obs = seen[0]
    assert (sim.sum(axis=1) == 4).all()
    assert (obs.sum(axis=1) == 4).all()
    assert not (sim & ~sample.is_sim).any()
    assert not (obs & sample.is_sim).any()


@pytest.mark.parametrize("n", [40, 41])
def test_the_spread_of_half_samples_is_the_standard_error_of_a_mean(n):
    """For a mean the delete-d jackknife is exact: sd of c (T_b - mean T_b) is s / sqrt(n).

    5,000 draws know it to 1 %; a 95.45 % interval is then 4 standard errors wide."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=n)
    b = n // 2
    halves = np.array([rng.choice(data, b, replace=False).mean() for _ in range(5000)])
    low, high = subsampling_interval(
        data.mean(), halves, n=n, level=0.9545, bounds=(-np.inf, np.inf)
    )
    assert (high - low) / 4 == pytest.approx(data.std(ddof=1) / n**0.5, rel=0.04)


def test_intervals_are_cut_at_the_bounds_and_hold_the_value():
    halves = np.array([0.0, 0.4, 0.5, 0.9])
    low, high = subsampling_interval(0.05, halves, n=10, level=0.9, bounds=(0.0, 0.3))
    assert (low, high) == (0.0, 0.3)
    assert subsampling_interval(0.2, np.full(5, 0.4), n=10, level=0.9, bounds=(0, 1)) == (0.2, 0.2)
