import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import rbf_kernel

from simreal.compare import kernels
from simreal.compare.kernels import gaussian, quadratic_forms, squared_distances
from simreal.compare.metrics.mmd import Mmd, median_bandwidth, statistic, unbiased_mmd
from simreal.stats.groups import permuted_labels, random_masks


def cloud(n, d=6, seed=0, shift=0.0):
    points = np.random.default_rng([seed, n, d]).normal(size=(n, d))
    points[:, 0] += shift
    return points


def from_sklearn(obs, sim, bandwidth):
    """The definition, with sklearn's kernel."""
    kernels = [
        rbf_kernel(a, b, gamma=0.5 / bandwidth**2) for a, b in ((obs, obs), (sim, sim), (obs, sim))
    ]
    n, m = len(obs), len(sim)
    return (
        (kernels[0].sum() - n) / (n * (n - 1))
        + (kernels[1].sum() - m) / (m * (m - 1))
        - 2 * kernels[2].mean()
    )


@pytest.mark.parametrize(("n", "m"), [(60, 60), (60, 35)])
@pytest.mark.parametrize("bandwidth", [0.5, 2.0, 10.0])
def test_it_agrees_with_sklearns_kernel(n, m, bandwidth):
    obs, sim = cloud(n), cloud(m, seed=1, shift=0.5)
    rng = np.random.default_rng(0)
    expected = from_sklearn(obs, sim, bandwidth)
    assert statistic(obs, sim, rng=rng, bandwidth=bandwidth) == pytest.approx(expected, abs=1e-12)
    points = np.concatenate([obs, sim]).astype(np.float32)
    is_sim = (np.arange(n + m) >= n)[None]
    single = unbiased_mmd(points, is_sim, ~is_sim, np.array([bandwidth]))
    assert single[0, 0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 25)])
def test_complementary_and_partial_masks_say_what_the_definition_says(n, m):
    points = np.concatenate([cloud(n), cloud(m, seed=1, shift=1)])
    labels = permuted_labels(np.arange(n + m) >= n, 6, rng=np.random.default_rng(0))
    scales = np.array([1.0, 3.0])
    whole = unbiased_mmd(points, labels, ~labels, scales)
    expected = [[from_sklearn(points[~row], points[row], s) for s in scales] for row in labels]
    np.testing.assert_allclose(whole, expected, atol=1e-12)
    sim = random_masks(np.arange(n + m) >= n, 9, 5, rng=np.random.default_rng(1))
    obs = random_masks(np.arange(n + m) < n, 11, 5, rng=np.random.default_rng(2))
    part = unbiased_mmd(points, sim, obs, scales)
    expected = [
        [from_sklearn(points[o], points[s], scale) for scale in scales]
        for s, o in zip(sim, obs, strict=True)
    ]
    np.testing.assert_allclose(part, expected, atol=1e-12)


def test_blocks_change_only_the_order_of_sums(monkeypatch):
    points = cloud(50)
    labels = permuted_labels(np.arange(50) < 25, 3, rng=np.random.default_rng(0))
    whole = unbiased_mmd(points, labels, ~labels, np.array([2.0]))
    monkeypatch.setattr(kernels, "BLOCK", 16)
    blocked = unbiased_mmd(points, labels, ~labels, np.array([2.0]))
    np.testing.assert_allclose(blocked, whole, atol=1e-13)


def test_quadratic_forms_of_a_kernel_less_a_constant():
    """The constant is the same for every pair off the diagonal, which stays zero."""
    points = cloud(20)
    weights = np.random.default_rng(0).normal(size=(3, 20))
    forms, row_sums = quadratic_forms(points, weights, gaussian(np.array([1.5])))
    kernel = rbf_kernel(points, gamma=0.5 / 1.5**2)
    constant = ((kernel.sum(axis=1) - 1 - row_sums[0]) / 19)[0]
    expected = (kernel - constant) * (1 - np.eye(20))
    np.testing.assert_allclose(row_sums[0], expected.sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(forms[:, 0], np.einsum("bi,ij,bj->b", weights, expected, weights))


@pytest.mark.parametrize("bandwidth", [0.5, 1.0, 4.0])
def test_single_precision_errs_less_than_a_thousandth_of_the_null_spread(bandwidth):
    """Row sums in float32 shift a permuted statistic by a good part of its null spread."""
    points = cloud(1600, d=32)
    labels = permuted_labels(np.arange(1600) < 800, 40, rng=np.random.default_rng(0))
    scales = np.array([bandwidth * 32**0.5])
    exact = unbiased_mmd(points, labels, ~labels, scales)
    single = unbiased_mmd(points.astype(np.float32), labels, ~labels, scales)
    assert np.abs(single - exact).max() < 1e-3 * exact.std()


@given(st.integers(0, 1000))
def test_laws(seed):
    """Symmetry, rows in any order, translation and rotation of both sides."""
    rng = np.random.default_rng(seed)
    obs, sim = rng.normal(size=(12, 3)), rng.normal(size=(9, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    value = statistic(obs, sim, rng=rng, bandwidth=1.0)
    for a, b in (
        (sim, obs),
        (rng.permutation(obs), rng.permutation(sim)),
        (obs + 5, sim + 5),
        (obs @ turn, sim @ turn),
    ):
        assert statistic(a, b, rng=rng, bandwidth=1.0) == pytest.approx(value, abs=1e-10)


def test_the_median_bandwidth_of_a_normal_is_the_root_of_its_dimension():
    """|x - y|² is 2 χ²_d, of median near 2 d (1 - 2/9d)³."""
    points = cloud(3000, d=50).astype(np.float32)
    expected = (50 * (1 - 2 / 450) ** 3) ** 0.5
    found = median_bandwidth(points, rng=np.random.default_rng(0))
    # 1,000 points: the median of pairwise distances has a relative error near 1 %.
    assert found == pytest.approx(expected, rel=0.02)


def test_a_bandwidth_exists_for_repeated_points():
    rng = np.random.default_rng(0)
    mostly = np.zeros((10, 2), dtype=np.float32)
    assert median_bandwidth(mostly, rng=rng) == 1.0
    mostly[0] = 3.0
    assert median_bandwidth(mostly, rng=rng) == pytest.approx(3.0)  # |x - y|² is 18


def test_squared_distances_are_never_negative():
    points = (cloud(100) * 1e-3 + 1).astype(np.float32)
    assert squared_distances(points, points).min() >= 0


def test_the_value_is_the_rung_of_the_ladder_that_is_the_median():
    points = cloud(60).astype(np.float32)
    metric = Mmd(centre=points.mean(axis=0), bandwidth=2.0)
    labels = (np.arange(60) < 30)[None]
    value = metric.values(points, labels, ~labels)
    ladder = metric.components(points, labels, ~labels)
    assert ladder.shape == (1, 5)
    assert value[0] == pytest.approx(ladder[0, 2], rel=1e-12)
