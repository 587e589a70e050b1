import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from simreal.compare import manifold
from simreal.compare.manifold import Bounds, balls, neighbour_table, null_coverage, readings
from simreal.compare.metrics import coverage, density, precision, recall
from simreal.core.errors import NotComputableError
from simreal.stats.groups import permuted_labels, random_masks

METRICS = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}


def cloud(n, d=5, seed=0, shift=0.0):
    points = np.random.default_rng([seed, n, d]).normal(size=(n, d))
    points[:, 0] += shift
    return points.astype(np.float32)


def by_definition(obs, sim, k=5):
    """All distances at once, from differences; a point on the surface is inside."""
    obs, sim = obs.astype(float), sim.astype(float)
    across = cdist(obs, sim, "sqeuclidean")
    of_obs = np.sort(cdist(obs, obs, "sqeuclidean"), axis=1)[:, k]
    of_sim = np.sort(cdist(sim, sim, "sqeuclidean"), axis=1)[:, k]
    in_obs, in_sim = across <= of_obs[:, None], across <= of_sim[None]
    return {
        "precision": in_obs.any(axis=0).mean(),
        "recall": in_sim.any(axis=1).mean(),
        "density": in_obs.sum() / (k * len(sim)),
        "coverage": in_obs.any(axis=1).mean(),
    }


def read_all(points, sim, obs):
    return {
        name: module.fit(points, rng=np.random.default_rng(0)).values(points, sim, obs)
        for name, module in METRICS.items()
    }


def pools():
    """Generic, narrow in broad, on a lattice, far from the origin, duplicated, an outlier."""
    rng = np.random.default_rng(0)
    broad, narrow = cloud(120, 8), 0.3 * cloud(90, 8, seed=1)
    outlier = cloud(200, 4, seed=3)
    outlier[0] += 1e4
    return {
        "generic": np.concatenate([cloud(100), cloud(100, seed=1)]),
        "narrow": np.concatenate([broad, narrow]),
        "lattice": rng.integers(0, 4, size=(160, 3)).astype(np.float32),
        "far": cloud(150, 6) + np.float32(1000),
        "copies": np.repeat(cloud(25, 3), 6, axis=0),
        "outlier": outlier,
    }


@pytest.mark.parametrize("name", pools())
def test_many_assignments_equal_the_definition(name):
    points = pools()[name]
    n = len(points)
    is_sim = np.arange(n) >= n - n * 3 // 7
    labels = permuted_labels(is_sim, 7, rng=np.random.default_rng(1))
    sim = random_masks(is_sim, 20, 5, rng=np.random.default_rng(2))
    obs = random_masks(~is_sim, 33, 5, rng=np.random.default_rng(3))
    few = [random_masks(side, 9, 4, rng=np.random.default_rng(4)) for side in (is_sim, ~is_sim)]
    for a, b in ((labels, ~labels), (sim, obs), few):
        found = read_all(points, a, b)
        for i, (one, two) in enumerate(zip(a, b, strict=True)):
            expected = by_definition(points[two], points[one])
            for reading, value in expected.items():
                assert found[reading][i] == pytest.approx(value, rel=1e-12), (reading, i)
            together = readings(points, one, two)
            assert {key: getattr(together, key) for key in expected} == pytest.approx(expected)


@given(st.integers(0, 10_000))
def test_lists_and_direct_measurement_agree_on_ties(seed):
    """On a lattice nearly every distance is tied; short lists fall back for some balls."""
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 3, size=(60, 2)).astype(np.float32)
    labels = permuted_labels(np.arange(60) < 25, 3, rng=rng)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifold, "LIST_LENGTH", int(rng.integers(6, 60)))
        patch.setattr(manifold, "FIRST_LOOK", 7)
        patch.setattr(manifold, "SPARE", int(rng.integers(1, 8)))
        listed = list(balls(points, labels, ~labels))
        patch.setattr(manifold, "FEWEST_FOR_TABLE", 99)
        direct = list(balls(points, labels, ~labels))
    for one, two in zip(listed, direct, strict=True):
        np.testing.assert_array_equal(one.counts, two.counts)
        np.testing.assert_array_equal(one.inside, two.inside)


def test_blocks_change_nothing(monkeypatch):
    points = pools()["narrow"]
    labels = permuted_labels(np.arange(len(points)) < 120, 4, rng=np.random.default_rng(0))
    whole = read_all(points, labels, ~labels)
    monkeypatch.setattr(manifold, "BLOCK_ELEMENTS", 700)
    manifold._table.cache_clear()
    blocked = read_all(points, labels, ~labels)
    for name, values in whole.items():
        np.testing.assert_array_equal(blocked[name], values)


@pytest.mark.parametrize(("n", "m", "d"), [(300, 300, 8), (300, 180, 32)])
def test_it_agrees_with_prdc(n, m, d):
    prdc = pytest.importorskip("prdc")
    obs, sim = cloud(n, d), 0.9 * cloud(m, d, seed=1, shift=0.3)
    with contextlib.redirect_stdout(io.StringIO()):
        expected = prdc.compute_prdc(obs.astype(float), sim.astype(float), nearest_k=5)
    for name, module in METRICS.items():
        found = module.statistic(obs, sim, rng=np.random.default_rng(0))
        assert found == pytest.approx(float(expected[name]), rel=1e-6), name


@given(st.integers(0, 10_000), st.sampled_from([1.0, 1e3, 1e5]))
def test_bounds_are_below_and_their_margins_above(seed, offset):
    rng = np.random.default_rng(seed)
    points = (rng.normal(size=(30, 7)) * rng.choice([1e-3, 1, 1e3], size=(30, 1))).astype("f4")
    points += np.float32(offset)
    bounds, rows = Bounds.of(points), np.arange(30)
    low = bounds.between(rows, bounds.towards(rows)).astype(float)
    exact = cdist(points.astype(float), points.astype(float), "sqeuclidean")
    assert (low <= exact).all()
    assert (exact <= low + bounds.margin[:, None] + bounds.margin[None]).all()


def test_identical_samples_are_inside_each_other():
    """Every duplicate lies in a ball, and each ball holds its own centre's duplicate at least."""
    points = cloud(80)
    for name in ("precision", "recall", "coverage"):
        assert METRICS[name].statistic(points, points, rng=np.random.default_rng(0)) == 1.0
    assert density.statistic(points, points, rng=np.random.default_rng(0)) == pytest.approx(1.2)


def test_separated_samples_hold_nothing_of_each_other():
    for module in METRICS.values():
        assert module.statistic(cloud(50), cloud(50, shift=99), rng=np.random.default_rng(0)) == 0.0


def test_sides_are_not_interchangeable_but_mirror_each_other():
    obs, sim = cloud(90), 0.5 * cloud(60, seed=1)
    rng = np.random.default_rng(0)
    assert precision.statistic(obs, sim, rng=rng) == recall.statistic(sim, obs, rng=rng)
    assert precision.statistic(obs, sim, rng=rng) != precision.statistic(sim, obs, rng=rng)


def test_a_table_never_outlives_a_change_of_the_points():
    points = cloud(100)
    labels = permuted_labels(np.arange(100) < 50, 5, rng=np.random.default_rng(0))
    before = read_all(points, labels, ~labels)
    points[:, 0] *= 7
    after = read_all(points, labels, ~labels)
    expected = [by_definition(points[~row], points[row])["density"] for row in labels]
    np.testing.assert_allclose(after["density"], expected, rtol=1e-12)
    assert (before["density"] != after["density"]).any()


def test_the_four_metrics_share_one_table():
    points = cloud(64)
    manifold._table.cache_clear()
    labels = permuted_labels(np.arange(64) < 32, 5, rng=np.random.default_rng(0))
    read_all(points, labels, ~labels)
    info = manifold._table.cache_info()
    assert (info.misses, info.hits) == (1, 3)


def test_a_table_lists_the_nearest_in_order():
    points = cloud(70)
    table = neighbour_table(points, length=12)
    exact = cdist(points.astype(float), points.astype(float))
    np.fill_diagonal(exact, np.inf)
    np.testing.assert_array_equal(table.rows.T, np.argsort(exact, axis=1)[:, :12])
    assert (table.complete == 12).all()


@pytest.mark.parametrize(("n", "m"), [(5, 20), (20, 0)])
def test_too_few_are_refused_in_one_line(n, m):
    points = cloud(n + m)
    obs = np.arange(n + m) < n
    with pytest.raises(NotComputableError, match="allowed are more than k") as caught:
        readings(points, ~obs, obs)
    assert "\n" not in str(caught.value)
    with pytest.raises(NotComputableError, match=f"got {n} objects"):
        list(balls(points, obs[None], ~obs[None]))


def test_tails():
    assert [module.META.tail for module in METRICS.values()] == ["lower", "lower", "both", "lower"]
    assert "0.9690" in coverage.fit(cloud(2000), rng=np.random.default_rng(0)).note
    assert null_coverage(1000, 1000, k=3) == pytest.approx(0.8754, abs=5e-5)
