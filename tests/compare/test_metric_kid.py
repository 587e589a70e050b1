import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import polynomial_kernel

from simreal.compare.metrics.kid import KernelDistance, statistic
from simreal.stats.groups import permuted_labels, random_masks


def cloud(n, d=6, seed=0, shift=0.0):
    points = np.random.default_rng([seed, n, d]).normal(size=(n, d))
    points[:, 0] += shift
    return points


def from_sklearn(obs, sim):
    """The definition, with sklearn's kernel: degree 3, gamma 1/d, constant 1."""
    n, m = len(obs), len(sim)
    within = [polynomial_kernel(x, degree=3) for x in (obs, sim)]
    across = polynomial_kernel(obs, sim, degree=3)
    return (
        (within[0].sum() - np.trace(within[0])) / (n * (n - 1))
        + (within[1].sum() - np.trace(within[1])) / (m * (m - 1))
        - 2 * across.mean()
    )


@pytest.mark.parametrize(("n", "m", "shift"), [(60, 60, 0.5), (60, 35, 0.5), (40, 40, 30.0)])
def test_it_agrees_with_sklearns_kernel(n, m, shift):
    obs, sim = cloud(n), cloud(m, seed=1, shift=shift)
    expected = from_sklearn(obs, sim)
    assert statistic(obs, sim, rng=np.random.default_rng(0)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow  # torchmetrics takes 7 s to import
def test_it_agrees_with_torchmetrics():
    """Their polynomial MMD², the estimator that their subsets average."""
    torch = pytest.importorskip("torch")
    kid = pytest.importorskip("torchmetrics.image.kid")
    obs, sim = cloud(50), cloud(50, seed=1, shift=0.5)
    expected = float(kid.poly_mmd(torch.from_numpy(obs), torch.from_numpy(sim)))
    assert statistic(obs, sim, rng=np.random.default_rng(0)) == pytest.approx(expected, rel=1e-6)


def test_subsets_scatter_about_it():
    """Random subsets, the usual way to estimate it, have the same expectation. They are dependent
    given the sample, so their mean is off by its own scatter: 400 subsets of 30 of 200."""
    obs, sim = cloud(200), cloud(200, seed=1, shift=0.5)
    rng = np.random.default_rng(0)
    subsets = [
        from_sklearn(*(x[rng.choice(200, 30, replace=False)] for x in (obs, sim)))
        for _ in range(400)
    ]
    off = np.mean(subsets) - statistic(obs, sim, rng=rng)
    assert abs(off) < 3 * np.std(subsets) / 400**0.5


@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 25)])
def test_complementary_and_partial_masks_say_what_the_definition_says(n, m):
    points = np.concatenate([cloud(n), cloud(m, seed=1, shift=1)])
    labels = permuted_labels(np.arange(n + m) >= n, 6, rng=np.random.default_rng(0))
    expected = [from_sklearn(points[~row], points[row]) for row in labels]
    np.testing.assert_allclose(KernelDistance().values(points, labels, ~labels), expected)
    sim = random_masks(np.arange(n + m) >= n, 9, 5, rng=np.random.default_rng(1))
    obs = random_masks(np.arange(n + m) < n, 11, 5, rng=np.random.default_rng(2))
    expected = [from_sklearn(points[o], points[s]) for s, o in zip(sim, obs, strict=True)]
    np.testing.assert_allclose(KernelDistance().values(points, sim, obs), expected)


@pytest.mark.parametrize("d", [1, 32])
def test_single_precision_errs_less_than_a_thousandth_of_the_null_spread(d):
    points = cloud(1200, d=d)
    labels = permuted_labels(np.arange(1200) < 600, 40, rng=np.random.default_rng(0))
    exact = KernelDistance().values(points, labels, ~labels)
    single = KernelDistance().values(points.astype(np.float32), labels, ~labels)
    assert np.abs(single - exact).max() < 1e-3 * exact.std()


@given(st.integers(0, 1000))
def test_laws(seed):
    """Symmetry, rows in any order, rotation of both sides; no translation: <x, y> has an origin."""
    rng = np.random.default_rng(seed)
    obs, sim = rng.normal(size=(12, 3)), rng.normal(size=(9, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    value = statistic(obs, sim, rng=rng)
    for a, b in (
        (sim, obs),
        (rng.permutation(obs), rng.permutation(sim)),
        (obs @ turn, sim @ turn),
    ):
        assert statistic(a, b, rng=rng) == pytest.approx(value, abs=1e-10)
    assert statistic(obs + 5, sim + 5, rng=rng) != pytest.approx(value, rel=1e-3)
