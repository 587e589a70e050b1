import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance

from simreal.compare.metrics.energy import Energy, fit, statistic
from simreal.stats.groups import permuted_labels, random_masks


def cloud(n, d=6, seed=0, shift=0.0):
    points = np.random.default_rng([seed, n, d]).normal(size=(n, d))
    points[:, 0] += shift
    return points


def from_scipy(obs, sim):
    """The definition, over distinct pairs, with scipy's distances."""
    n, m = len(obs), len(sim)
    return (
        2 * cdist(obs, sim).mean()
        - cdist(obs, obs).sum() / (n * (n - 1))
        - cdist(sim, sim).sum() / (m * (m - 1))
    )


@pytest.mark.parametrize(("n", "m", "shift"), [(60, 60, 0.5), (60, 35, 0.5), (40, 40, 30.0)])
def test_it_agrees_with_scipys_distances(n, m, shift):
    obs, sim = cloud(n), cloud(m, seed=1, shift=shift)
    expected = from_scipy(obs, sim)
    assert statistic(obs, sim, rng=np.random.default_rng(0)) == pytest.approx(expected, abs=1e-10)


def test_it_is_scipys_energy_distance_but_for_the_diagonal():
    """scipy takes the root of 2 E|X - Y| - ... with |X - X| = 0 counted among the pairs."""
    obs, sim = cloud(50, d=1), cloud(40, d=1, seed=1, shift=0.5)
    n, m = len(obs), len(sim)
    inside = [cdist(x, x).mean() for x in (obs, sim)]
    plug_in = statistic(obs, sim, rng=np.random.default_rng(0)) + (
        inside[0] / (n - 1) + inside[1] / (m - 1)
    )
    assert plug_in == pytest.approx(energy_distance(obs[:, 0], sim[:, 0]) ** 2, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 25)])
def test_complementary_and_partial_masks_say_what_the_definition_says(n, m):
    points = np.concatenate([cloud(n), cloud(m, seed=1, shift=1)]).astype(np.float32)
    metric = fit(points, rng=np.random.default_rng(0))
    labels = permuted_labels(np.arange(n + m) >= n, 6, rng=np.random.default_rng(0))
    expected = [from_scipy(points[~row], points[row]) for row in labels]
    np.testing.assert_allclose(metric.values(points, labels, ~labels), expected, atol=2e-6)
    sim = random_masks(np.arange(n + m) >= n, 9, 5, rng=np.random.default_rng(1))
    obs = random_masks(np.arange(n + m) < n, 11, 5, rng=np.random.default_rng(2))
    expected = [from_scipy(points[o], points[s]) for s, o in zip(sim, obs, strict=True)]
    np.testing.assert_allclose(metric.values(points, sim, obs), expected, atol=2e-6)


@pytest.mark.parametrize("d", [1, 32])
def test_single_precision_errs_less_than_a_hundredth_of_the_null_spread(d):
    """Squared distances lose digits where points nearly coincide (d = 1), roots lose half of what
    is left: still a hundredth, the goal for every kernel."""
    points = cloud(1200, d=d)
    labels = permuted_labels(np.arange(1200) < 600, 40, rng=np.random.default_rng(0))
    single = Energy(points.mean(axis=0)).values(points.astype(np.float32), labels, ~labels)
    exact = np.array([from_scipy(points[~row], points[row]) for row in labels])
    assert np.abs(single - exact).max() < 1e-2 * exact.std()


@given(st.integers(0, 1000))
def test_laws(seed):
    """Symmetry, rows in any order, translation and rotation of both, scale as a length."""
    rng = np.random.default_rng(seed)
    obs, sim = rng.normal(size=(12, 3)), rng.normal(size=(9, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    value = statistic(obs, sim, rng=rng)
    for a, b in (
        (sim, obs),
        (rng.permutation(obs), rng.permutation(sim)),
        (obs + 5, sim + 5),
        (obs @ turn, sim @ turn),
    ):
        assert statistic(a, b, rng=rng) == pytest.approx(value, abs=1e-10)
    assert statistic(3 * obs, 3 * sim, rng=rng) == pytest.approx(3 * value, abs=1e-10)
