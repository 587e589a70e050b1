import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from simreal.compare import gaussians as shared
from simreal.compare.gaussians import extrapolated, frechet, gaussians
from simreal.compare.metrics import frechet as metric
from simreal.compare.metrics import frechet_infinity as infinity
from simreal.stats.groups import permuted_labels, random_masks


def cloud(n, d=6, seed=0, shift=0.0):
    points = np.random.default_rng([seed, n, d]).normal(size=(n, d))
    points[:, 0] += shift
    return points


def by_matrix_root(a, b):
    """The definition, with scipy's general matrix root."""
    one, two = np.cov(a.T), np.cov(b.T)
    root = sqrtm(one @ two)
    return ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + np.trace(one + two - 2 * root.real)


def test_two_gaussians_of_known_distance():
    """In two dimensions tr (AB)^½ = √(tr AB + 2 √det AB): no eigenvalues needed."""
    one, two = np.array([[1, 0.5], [0.5, 2]]), np.array([[2, -0.3], [-0.3, 1]])
    shift = np.array([3.0, 4.0])
    product = one @ two
    root = (np.trace(product) + 2 * np.linalg.det(product) ** 0.5) ** 0.5
    expected = 25 + np.trace(one + two) - 2 * root
    found = float(frechet(np.zeros(2), one, shift, two))
    assert found == pytest.approx(expected, rel=1e-12)
    assert found == pytest.approx(25.575426, abs=5e-7)
    assert found**0.5 == pytest.approx(5.057215, abs=5e-7)


@given(st.integers(0, 10_000))
def test_population_inputs_agree_with_the_matrix_root(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 40, 5)) * rng.uniform(0.2, 3, size=(2, 1, 5))
    found = frechet(a.mean(axis=0), np.cov(a.T), b.mean(axis=0), np.cov(b.T))
    assert float(found) == pytest.approx(by_matrix_root(a, b), rel=1e-8)


@pytest.mark.parametrize(("n", "d"), [(200, 8), (300, 32)])
def test_it_agrees_with_scipy_and_torchmetrics(n, d):
    obs, sim = cloud(n, d), 1.3 * cloud(n, d, seed=1, shift=0.5)
    found = metric.statistic(obs, sim, rng=np.random.default_rng(0))
    assert found == pytest.approx(by_matrix_root(obs, sim), rel=1e-9)
    fid = pytest.importorskip("torchmetrics.image.fid")
    torch = pytest.importorskip("torch")
    theirs = fid._compute_fid(
        *(torch.from_numpy(f(x.T)) for x in (obs, sim) for f in (lambda y: y.mean(axis=1), np.cov))
    )
    assert found == pytest.approx(float(theirs), rel=1e-6)


def test_fewer_points_than_dimensions_leave_it_real():
    """The product has rank 49 of 128; the roots of zero eigenvalues, √(1e-16), are what errs."""
    obs, sim = cloud(50, 128), cloud(50, 128, seed=1)
    found = metric.statistic(obs, sim, rng=np.random.default_rng(0))
    # The nuclear norm of A'B for the centred data matrices: tr (AB)^½ without covariances.
    a, b = (x - x.mean(axis=0) for x in (obs, sim))
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum() / 49
    shift = ((obs.mean(axis=0) - sim.mean(axis=0)) ** 2).sum()
    expected = shift + (a**2).sum() / 49 + (b**2).sum() / 49 - 2 * overlap
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(40, 40), (40, 25)])
def test_many_assignments_equal_the_definition(monkeypatch, n, m):
    points = np.concatenate([cloud(n) + 50, cloud(m, seed=1, shift=1) + 50]).astype(np.float32)
    whole = permuted_labels(np.arange(n + m) >= n, 6, rng=np.random.default_rng(0))
    sim = random_masks(np.arange(n + m) >= n, 12, 5, rng=np.random.default_rng(1))
    obs = random_masks(np.arange(n + m) < n, 15, 5, rng=np.random.default_rng(2))
    fitted = metric.fit(points, rng=np.random.default_rng(3))
    for a, b in ((whole, ~whole), (sim, obs)):
        expected = [
            by_matrix_root(*(points[x].astype(float) for x in pair))
            for pair in zip(b, a, strict=True)
        ]
        np.testing.assert_allclose(fitted.values(points, a, b), expected, rtol=1e-9)
        monkeypatch.setattr(shared, "BLOCK_ELEMENTS", 100)
        np.testing.assert_allclose(fitted.values(points, a, b), expected, rtol=1e-9)
        monkeypatch.undo()


def test_moments_are_numpys():
    points = cloud(30, 3)
    masks = random_masks(np.ones(30, dtype=bool), 12, 4, rng=np.random.default_rng(0))
    mean, cov = gaussians(points, masks)
    for i, mask in enumerate(masks):
        np.testing.assert_allclose(mean[i], points[mask].mean(axis=0), atol=1e-14)
        np.testing.assert_allclose(cov[i], np.cov(points[mask].T), atol=1e-13)


def test_the_same_sample_is_at_zero():
    points = cloud(100)
    assert metric.statistic(points, points, rng=np.random.default_rng(0)) < 1e-12


@given(st.integers(0, 1000))
def test_laws(seed):
    """Symmetry, translation and rotation of both sides; a scale enters squared."""
    rng = np.random.default_rng(seed)
    obs, sim = rng.normal(size=(30, 3)), rng.normal(size=(20, 3)) + 1
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    value = metric.statistic(obs, sim, rng=rng)
    for a, b, factor in (
        (sim, obs, 1),
        (obs + 5, sim + 5, 1),
        (obs @ turn, sim @ turn, 1),
        (3 * obs, 3 * sim, 9),
    ):
        assert metric.statistic(a, b, rng=rng) == pytest.approx(factor * value, rel=1e-9)


@pytest.mark.parametrize(
    ("d", "n", "published"), [(16, 500, None), (64, 500, 4.34), (64, 5000, 0.46)]
)
def test_the_null_bias(d, n, published):
    """2d/n + d(d + 1)/2n within 5 % over 20 draws; a published single draw within 6 %.

    The formula stops at 1/n; the next term is of relative order d/n, 3 % for d = 64, n = 500.
    """
    rng = np.random.default_rng([d, n])
    found = []
    for _ in range(20 if n < 5000 else 4):
        obs, sim = rng.normal(size=(2, n, d))
        found.append(metric.statistic(obs, sim, rng=rng))
    assert np.mean(found) == pytest.approx(2 * d / n + d * (d + 1) / (2 * n), rel=0.05)
    if published:
        assert np.mean(found) == pytest.approx(published, rel=0.06)


def test_it_is_refused_below_two_and_noted_below_ten_per_dimension():
    assert metric.META.smallest_n(32) == 64
    assert metric.META.wanted_groups_per_dimension == 10


# ------------------------------------------------------------------ infinite n


@given(st.floats(-5, 5), st.floats(-50, 50))
def test_a_straight_line_is_extrapolated_exactly(limit, slope):
    sizes = np.array([20.0, 30.0, 50.0, 100.0])
    intercept, r_squared = extrapolated(sizes, limit + slope / sizes)
    assert float(intercept) == pytest.approx(limit, abs=1e-12 * (1 + abs(slope)))
    assert slope == 0 or abs(slope) < 1e-6 or float(r_squared) == pytest.approx(1)


def test_the_line_is_numpys():
    rng = np.random.default_rng(0)
    sizes, values = np.linspace(10, 90, 9), rng.normal(size=(4, 9))
    intercept, r_squared = extrapolated(sizes, values)
    for i, row in enumerate(values):
        expected = np.polyfit(1 / sizes, row, 1)[1]
        assert intercept[i] == pytest.approx(expected)
        assert r_squared[i] == pytest.approx(np.corrcoef(1 / sizes, row)[0, 1] ** 2)


@pytest.mark.parametrize(("n", "d"), [(1000, 32), (100, 16), (60, 32), (5, 3)])
def test_subsets_grow_to_the_whole_sample(n, d):
    sizes = infinity.subset_sizes(n, d)
    assert sizes[-1] == n
    assert (np.diff(sizes) > 0).all()
    assert len(sizes) <= infinity.N_SIZES
    if n >= 4 * d:
        assert sizes[0] >= 2 * d


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_limit_has_lost_the_bias(shift):
    """40 draws at n = 200, d = 8: the plain distance is biased by .26, the limit by O(1/n²).

    Of relative order d/n, that is 16 % of .26 at a quarter of n, where the line begins."""
    rng = np.random.default_rng(0)
    plain, limit = [], []
    for _ in range(40):
        obs, sim = rng.normal(size=(2, 200, 8))
        sim[:, 0] += shift
        plain.append(metric.statistic(obs, sim, rng=rng) - shift**2)
        limit.append(infinity.statistic(obs, sim, rng=rng) - shift**2)
    error = np.std(limit, ddof=1) / 40**0.5
    assert abs(np.mean(limit)) < 3 * error + 0.16 * 0.26
    assert np.mean(plain) > 0.15


def test_at_full_size_the_curve_is_the_plain_distance():
    points = np.concatenate([cloud(60), cloud(60, seed=1, shift=1)])
    labels = permuted_labels(np.arange(120) >= 60, 3, rng=np.random.default_rng(0))
    fitted = infinity.fit(points, rng=np.random.default_rng(1))
    sizes, values = fitted.curve.read(points, labels, ~labels)
    plain = metric.fit(points, rng=np.random.default_rng(1)).values(points, labels, ~labels)
    np.testing.assert_allclose(values[:, -1], plain, rtol=1e-12)
    assert sizes[-1] == 60
    assert "R² = " in fitted.note
