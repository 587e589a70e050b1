import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.compare.metrics import max_sliced_wasserstein, sliced_wasserstein
from simreal.compare.metrics.max_sliced_wasserstein import (
    MaxSlicedWasserstein,
    _moves,
    fit,
    statistic,
)
from simreal.compare.metrics.sliced_wasserstein import directions, distance_along
from simreal.stats.groups import permuted_labels, random_masks


def cloud(n, d=6, seed=0, shift=0.0):
    points = np.random.default_rng([seed, n, d]).normal(size=(n, d))
    points[:, 0] += shift
    return points


def value(obs, sim, **options):
    points = np.concatenate([obs, sim])
    is_sim = (np.arange(len(points)) >= len(obs))[None]
    axes = directions(points.shape[1], 64, rng=np.random.default_rng(0))
    return MaxSlicedWasserstein(axes, **options).values(points, is_sim, ~is_sim)[0]


@pytest.mark.parametrize(("n", "m"), [(60, 60), (60, 35)])
def test_it_is_a_distance_along_one_direction_and_no_fine_grid_finds_a_larger_one(n, m):
    """In the plane half a degree apart is enough: the distance changes by less than 1e-3 between
    two neighbours (its slope is at most the width of a sample, about 1 per radian)."""
    obs, sim = cloud(n, d=2), 1.3 * cloud(m, d=2, seed=1, shift=0.4)
    angles = np.arange(0, np.pi, np.pi / 360)
    grid = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    largest = max(distance_along(obs, sim, axis[None]) for axis in grid)
    found = value(obs, sim, n_steps=40)
    assert largest - 1e-9 <= found <= largest + 0.005


@given(st.integers(0, 500), st.integers(8, 14))
def test_it_is_never_below_the_sliced_distance(seed, m):
    rng = np.random.default_rng(seed)
    obs, sim = rng.normal(size=(12, 3)), rng.normal(size=(m, 3))
    axes = directions(3, 24, rng=rng)
    points = np.concatenate([obs, sim])
    is_sim = (np.arange(12 + m) >= 12)[None]
    largest = MaxSlicedWasserstein(axes).values(points, is_sim, ~is_sim)[0]
    assert largest >= distance_along(obs, sim, axes)
    assert largest >= np.linalg.norm(obs.mean(axis=0) - sim.mean(axis=0)) - 1e-9


def test_never_below_by_default_either():
    obs, sim = cloud(60), cloud(60, seed=1)
    rng = np.random.default_rng
    largest = max_sliced_wasserstein.statistic(obs, sim, rng=rng(0))
    assert largest >= sliced_wasserstein.statistic(obs, sim, rng=rng(0))


@pytest.mark.parametrize("seed", range(4))
def test_steps_climb(seed):
    """More steps and more starts find more; a search fifty times as long finds little more."""
    obs, sim = cloud(80, d=12, seed=seed), cloud(80, d=12, seed=seed + 10)
    none, usual, long = (
        value(obs, sim, n_steps=steps, n_starts=starts)
        for steps, starts in ((0, 5), (20, 5), (80, 60))
    )
    assert 1.01 * none < usual <= long
    assert usual > 0.95 * long


@pytest.mark.parametrize(("n", "m"), [(20, 20), (20, 13)])
def test_many_assignments_equal_one_at_a_time(n, m):
    points = np.concatenate([cloud(n), cloud(m, seed=1)]).astype(np.float32)
    metric = fit(points, rng=np.random.default_rng(0))
    labels = permuted_labels(np.arange(n + m) >= n, 10, rng=np.random.default_rng(1))
    together = metric.values(points, labels, ~labels)
    apart = [metric.values(points, row[None], ~row[None])[0] for row in labels]
    np.testing.assert_allclose(together, apart, rtol=1e-5)
    alone = [statistic(points[~row], points[row], rng=np.random.default_rng(0)) for row in labels]
    # Single against double precision: a rounding may turn one step into another.
    np.testing.assert_allclose(together, alone, rtol=1e-2)


def test_masks_need_not_cover_the_pool():
    points = cloud(60).astype(np.float32)
    metric = fit(points, rng=np.random.default_rng(0))
    sim = random_masks(np.arange(60) < 25, 9, 5, rng=np.random.default_rng(1))
    obs = random_masks(np.arange(60) >= 25, 11, 5, rng=np.random.default_rng(2))
    found = metric.values(points, sim, obs)
    expected = [
        statistic(points[o], points[s], rng=np.random.default_rng(0))
        for s, o in zip(sim, obs, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-2)


@pytest.mark.parametrize(("n", "m"), [(5, 5), (5, 3), (4, 9)])
def test_every_point_goes_its_way(n, m):
    """The ways of all points of a side add up to the shift between the means; the squared distance
    is the mean of <way, gap>: for any θ, θ'Mθ."""
    rng = np.random.default_rng(0)
    a, b = np.sort(rng.normal(size=(1, 1, n))), np.sort(rng.normal(size=(1, 1, m)))
    squared, to_a, to_b = _moves(a, b)
    assert to_a.sum() == pytest.approx(a.mean() - b.mean())
    assert to_b.sum() == pytest.approx(a.mean() - b.mean())
    assert squared[0, 0] == pytest.approx(float((to_a * a).sum() - (to_b * b).sum()))


def test_the_same_sample_twice_is_at_no_distance():
    obs = cloud(30)
    assert statistic(obs, obs.copy(), rng=np.random.default_rng(0)) == 0
