import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA

from simreal.core.errors import NotComputableError
from simreal.stats import pca
from simreal.stats.pca import fit_pca

shapes = st.sampled_from([(60, 5), (8, 30), (20, 20), (5, 1)])


def cloud(shape, seed=0):
    rng = np.random.default_rng([seed, *shape])
    widths = np.linspace(3, 0.5, shape[1])
    return (rng.normal(size=shape) * widths + 2).astype(np.float32)


@pytest.mark.parametrize("shape", [(60, 5), (12, 30)])
def test_it_agrees_with_sklearn(shape):
    points = cloud(shape)
    mine = fit_pca(points, max_components=4, keep=1.0)
    theirs = PCA(4, svd_solver="full").fit(points.astype(float))
    np.testing.assert_allclose(np.abs(mine.components @ theirs.components_.T), np.eye(4), atol=1e-6)
    np.testing.assert_allclose(mine.explained, theirs.explained_variance_ratio_, rtol=1e-6)


@given(shapes, st.integers(0, 100))
def test_axes_are_orthonormal_and_fall_in_variance(shape, seed):
    fitted = fit_pca(cloud(shape, seed), keep=1.0)
    k = len(fitted.components)
    np.testing.assert_allclose(fitted.components @ fitted.components.T, np.eye(k), atol=1e-8)
    assert (np.diff(fitted.variance) <= 1e-12).all()
    assert fitted.explained.sum() <= 1 + 1e-9


@given(shapes, st.integers(0, 100))
def test_the_scale_makes_a_random_projection_of_unit_width(shape, seed):
    """E over directions of var(θ·x) is the total variance over the number of axes: 1."""
    points = cloud(shape, seed)
    mapped = fit_pca(points, keep=1.0, max_components=100).apply(points)
    assert mapped.var(axis=0, dtype=float).mean() == pytest.approx(1, rel=1e-5)


def test_a_rotation_and_a_unit_change_nothing():
    points = cloud((50, 6))
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))
    turned = (7.0 * points.astype(float) @ turn).astype(np.float32)
    a, b = (pdist(fit_pca(x, keep=1.0).apply(x).astype(float)) for x in (points, turned))
    np.testing.assert_allclose(a, b, rtol=1e-5)


def test_signs_are_fixed():
    points = cloud((50, 6))
    axes = fit_pca(points).components
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    assert (largest > 0).all()


def test_enough_components_for_the_variance_asked_for():
    points = cloud((300, 40))
    fitted = fit_pca(points, max_components=40, keep=0.9)
    assert fitted.explained.sum() >= 0.9
    assert fitted.explained[:-1].sum() < 0.9
    assert len(fit_pca(points, max_components=3, keep=0.9).components) == 3


def test_a_weight_of_two_is_a_point_given_twice():
    points = cloud((20, 4))
    weights = np.ones(20)
    weights[:5] = 2
    weighted = fit_pca(points, weights=weights)
    repeated = fit_pca(np.concatenate([points, points[:5]]))
    np.testing.assert_allclose(weighted.components, repeated.components, atol=1e-8)
    np.testing.assert_allclose(weighted.mean, repeated.mean, rtol=1e-12)


def test_blocks_change_only_rounding(monkeypatch):
    points = cloud((60, 5))
    whole = fit_pca(points)
    monkeypatch.setattr(pca, "BLOCK_ELEMENTS", 35)
    blocked = fit_pca(points)
    np.testing.assert_allclose(blocked.components, whole.components, atol=1e-9)
    np.testing.assert_allclose(blocked.apply(points), whole.apply(points), atol=1e-6)


def test_a_large_pool_is_fitted_on_a_part_that_is_said(monkeypatch):
    monkeypatch.setattr(pca, "LARGEST_PROBLEM", 30)
    fitted = fit_pca(cloud((60, 40)), rng=np.random.default_rng(0))
    assert fitted.n == 30
    assert fit_pca(cloud((60, 20))).n == 60


@pytest.mark.parametrize("value", [0.0, 3.7, 1e8])
def test_one_and_the_same_vector_is_refused(value):
    with pytest.raises(NotComputableError, match="all 10 vectors of the pool are the same"):
        fit_pca(np.full((10, 3), value, dtype=np.float32))
