import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.compare.contract import PlainLoop
from simreal.compare.inference import (
    Subsampled,
    aggregate,
    floor_masks,
    oriented,
    p_value,
    permutation_statistics,
    proportional,
    subsample_masks,
    subsampling_interval,
    values,
    variance_of,
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
    sample = Sample.of(np.zeros((25, 2), np.float32), np.zeros((10, 2), np.float32))
    sim, obs = floor_masks(sample, 10, 30, rng=np.random.default_rng(0))
    assert (sim.sum(axis=1) == 10).all()
    assert (obs.sum(axis=1) == 10).all()
    assert not (sim & obs).any()
    assert len({row.tobytes() for row in sim}) == 30


def test_floor_sets_have_the_strata_of_the_tested_sample():
    rounds = np.zeros((1, 8, 2), np.float32)
    sample = Sample(
        rounds=rounds,
        is_sim=np.arange(8) < 4,
        obs_rounds=np.zeros((1, 40, 2), np.float32),
        strata=np.array([0, 0, 0, 1, 0, 0, 0, 1]),
        obs_strata=np.repeat([0, 1], 20),
    )
    for mask in floor_masks(sample, 4, 20, rng=np.random.default_rng(0)):
        assert (mask[:, :20].sum(axis=1) == 3).all()
        assert (mask[:, 20:].sum(axis=1) == 1).all()
    for mask in floor_masks(sample, 2, 20, rng=np.random.default_rng(0)):
        assert (mask.sum(axis=1) == 2).all()


@given(st.lists(st.integers(0, 40), min_size=1, max_size=9), st.data())
def test_parts_in_proportion_lose_nobody(counts, data):
    counts = np.array([*counts, 1])
    n = data.draw(st.integers(0, int(counts.sum())))
    parts = proportional(counts, n)
    assert parts.sum() == n
    assert (np.abs(parts - counts * n / counts.sum()) < 1).all()
    assert (parts <= counts).all()


def test_parts_of_the_sample_keep_to_their_side():
    sample = sample_of(np.zeros(9), np.zeros(8))
    masks = subsample_masks(sample.is_sim, 12, rng=np.random.default_rng(0))
    for part, size in ((2, 4), (4, 2)):
        assert (masks.sim[part].sum(axis=1) == size).all()
        assert (masks.obs[part].sum(axis=1) == size).all()
        assert not (masks.sim[part] & ~sample.is_sim).any()
        assert not (masks.obs[part] & sample.is_sim).any()


def parts_of(data, statistic, *, n_draws=5000, seed=1):
    rng = np.random.default_rng(seed)
    n = len(data)
    half, quarter = (
        np.array([statistic(rng.choice(data, b, replace=False)) for _ in range(n_draws)])
        for b in (n // 2, n // 4)
    )
    return Subsampled(half=half, quarter=quarter, n=n)


@pytest.mark.parametrize("n", [40, 41, 43])
def test_the_standard_error_of_a_mean_is_that_of_a_mean(n):
    """For a mean the delete-d jackknife is exact. 5,000 draws know either variance to 2 %, and
    the combination (twice the one less a third of the other) to 5 %: 2.5 % of the root."""
    data = np.random.default_rng(0).normal(size=n)
    found = variance_of(parts_of(data, np.mean)).standard_error
    assert found == pytest.approx(data.std(ddof=1) / n**0.5, rel=0.1)


def test_the_variance_of_a_square_at_the_null_is_quadratic():
    """The squared length of the mean of 8-dimensional noise has variance 16 / n², and halves taken
    as linear say three times that. 40 estimates, each good to a half, know their mean to 8 %;
    parts are not let below zero, which adds up to a quarter."""
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(40, 100, 8))
    found = [
        parts_of(data, lambda x: (x.mean(axis=0) ** 2).sum(), n_draws=400, seed=i)
        for i, data in enumerate(samples)
    ]
    total = np.mean([variance_of(one).standard_error ** 2 for one in found])
    assert total == pytest.approx(16 / 100**2, rel=0.35)
    assert np.mean([one.half.var() for one in found]) > 2 * total


def test_intervals_are_cut_at_the_bounds_and_hold_the_value():
    wide = Subsampled(half=np.array([0.0, 0.4, 0.5, 0.9]), quarter=np.arange(4.0), n=12)
    low, high = subsampling_interval(0.05, wide, level=0.9, bounds=(0.0, 0.3))
    assert (low, high) == (0.0, 0.3)
    still = Subsampled(half=np.full(5, 0.4), quarter=np.full(5, 0.7), n=12)
    assert subsampling_interval(0.2, still, level=0.9, bounds=(0, 1)) == (0.2, 0.2)


def test_the_interval_of_a_root_is_the_root_of_an_interval():
    rng = np.random.default_rng(0)
    squares = Subsampled(half=rng.uniform(1, 2, 99), quarter=rng.uniform(0, 3, 99), n=12)
    roots = Subsampled(half=squares.half**0.5, quarter=squares.quarter**0.5, n=12)
    np.testing.assert_allclose(
        np.square(subsampling_interval(1.5**0.5, roots, level=0.9, near_null="root")),
        subsampling_interval(1.5, squares, level=0.9, near_null="quadratic"),
    )


@pytest.mark.parametrize(("tail", "best"), [("upper", 2), ("lower", 0), ("both", 2)])
def test_the_tail_says_what_is_far(tail, best):
    assert np.argmax(oriented(np.array([1.0, 2.0, 4.0]), tail)) == best


def test_labels_are_shuffled_only_where_nothing_was_learned():
    """A metric that looks at its own training points would see the labels there."""

    class Learner:
        def values(self, points, sim, obs):
            raise AssertionError("the learner itself is not permuted")

        def held_out(self, points, is_sim):
            return Watch(), np.arange(len(points)) % 2 == 0

    class Watch:
        def values(self, points, sim, obs):
            assert points[:, 0].tolist() == [0, 2, 4, 6, 8]
            assert (sim ^ obs).all()
            return points[:, 0] @ (sim * 1.0 - obs * 1.0).T

    points = np.arange(10.0, dtype=np.float32)[:, None]
    sample = Sample(rounds=points[None], is_sim=np.arange(10) < 5, obs_rounds=points[None, :5])
    found = permutation_statistics(Learner(), sample, 50, rng=np.random.default_rng(0))
    assert found[0] == 0 + 2 + 4 - 6 - 8
    assert len(set(found.tolist())) > 5
