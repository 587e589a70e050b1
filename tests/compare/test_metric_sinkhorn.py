import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simreal.compare.metrics import sinkhorn
from simreal.compare.metrics.sinkhorn import Sinkhorn, fit, fixed_regularisation, statistic
from simreal.stats.groups import permuted_labels, random_masks

for _backend in ("PYTORCH", "JAX", "CUPY", "TENSORFLOW"):
    os.environ[f"POT_BACKEND_DISABLE_{_backend}"] = "1"


def cloud(n, d=6, seed=0, shift=0.0):
    points = np.random.default_rng([seed, n, d]).normal(size=(n, d))
    points[:, 0] += shift
    return points


def from_pot(obs, sim, regularisation):
    """The definition, with POT's plans (logarithmic form) in double precision."""
    import ot

    def cost(a, b):
        costs, p, q = ot.dist(a, b), ot.unif(len(a)), ot.unif(len(b))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it stops at 3,000 steps, and says so
            plan = ot.bregman.sinkhorn_log(p, q, costs, regularisation, 3000, stopThr=1e-11)
        ratio = np.log(np.maximum(plan, 1e-300) / (p[:, None] * q))
        return (plan * costs).sum() + regularisation * (plan * ratio).sum()

    return (cost(obs, sim) - (cost(obs, obs) + cost(sim, sim)) / 2) ** 0.5


@pytest.mark.parametrize(("n", "m", "d"), [(40, 40, 6), (40, 25, 6), (30, 40, 1)])
@pytest.mark.parametrize("shift", [0.0, 0.5, 30.0])
def test_it_agrees_with_pot(n, m, d, shift):
    obs, sim = cloud(n, d=d), cloud(m, d=d, seed=1, shift=shift)
    points = np.concatenate([obs, sim])
    expected = from_pot(obs, sim, fixed_regularisation(points))
    assert statistic(obs, sim, rng=np.random.default_rng(0)) == pytest.approx(expected, rel=1e-6)
    is_sim = (np.arange(n + m) >= n)[None]
    single = points.astype(np.float32)
    fast = fit(single, rng=np.random.default_rng(0)).values(single, is_sim, ~is_sim)
    # At a root of 0.5 and ε near 2, plans good to 1e-4 give S to ε 1e-8 and more of it where
    # convergence is slow.
    assert fast[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("fraction", [0.02, 0.2])
def test_far_apart_it_stays_a_number_whatever_the_regularisation_was_fixed_on(fraction):
    """30 widths away at an ε fixed on one side: exponents of thousands, taken off first."""
    obs = cloud(40)
    sim = obs[::-1] + 30 * np.eye(6)[0]
    points = np.concatenate([obs, sim]).astype(np.float32)
    is_sim = (np.arange(80) >= 40)[None]
    metric = Sinkhorn(fraction * 2 * obs.var(axis=0).sum())
    assert 30**2 / metric.regularisation > sinkhorn.REACH_SINGLE
    assert metric.values(points, is_sim, ~is_sim)[0] == pytest.approx(30, rel=1e-5)


def test_an_outlier_is_no_trouble():
    """One object 300 widths away: exponents beyond what the kernel can hold."""
    obs, sim = cloud(40, d=2), cloud(40, d=2, seed=1)
    sim[0] = 300
    points = np.concatenate([obs, sim])
    metric = Sinkhorn(1.0)
    is_sim = (np.arange(80) >= 40)[None]
    found = metric.values(points, is_sim, ~is_sim)[0]
    assert np.isfinite(found)
    # A fortieth of the mass goes about 300 √2 away.
    assert found == pytest.approx(300 * (2 / 40) ** 0.5, rel=0.02)


@pytest.mark.parametrize(("n", "m"), [(20, 20), (20, 13)])
@pytest.mark.parametrize("fraction", [0.05, 0.5])
def test_many_assignments_equal_one_at_a_time_and_the_form_for_far_pairs(n, m, fraction):
    points = np.concatenate([cloud(n), cloud(m, seed=1)])
    metric = Sinkhorn(fraction * 12, tolerance=1e-7)
    labels = permuted_labels(np.arange(n + m) >= n, 10, rng=np.random.default_rng(1))
    together = metric.values(points, labels, ~labels)
    apart = np.concatenate([metric.values(points, row[None], ~row[None]) for row in labels])
    np.testing.assert_allclose(together, apart, rtol=1e-9)
    np.testing.assert_allclose(together, metric._one_by_one(points, labels, ~labels), rtol=1e-6)


def test_masks_need_not_cover_the_pool():
    """With many idle points the samples are taken out; with few they have no mass."""
    points = cloud(60)
    metric = Sinkhorn(2.0, tolerance=1e-7)
    for sizes in ((9, 11), (22, 30)):
        sim = random_masks(np.arange(60) < 25, sizes[0], 4, rng=np.random.default_rng(1))
        obs = random_masks(np.arange(60) >= 25, sizes[1], 4, rng=np.random.default_rng(2))
        found = metric.values(points, sim, obs)
        expected = [
            statistic(points[o], points[s], rng=np.random.default_rng(0), regularisation=2.0)
            for s, o in zip(sim, obs, strict=True)
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert metric.values(points, sim[:0], obs[:0]).shape == (0,)


def test_batches_change_nothing(monkeypatch):
    points = cloud(40).astype(np.float32)
    labels = permuted_labels(np.arange(40) >= 20, 7, rng=np.random.default_rng(1))
    whole = Sinkhorn(2.0).values(points, labels, ~labels)
    monkeypatch.setattr(sinkhorn, "BATCH_ELEMENTS", 100)
    np.testing.assert_allclose(Sinkhorn(2.0).values(points, labels, ~labels), whole, rtol=1e-6)


def test_single_precision_and_tolerance_err_less_than_a_thousandth_of_the_null_spread():
    points = cloud(600, d=16)
    labels = permuted_labels(np.arange(600) < 300, 20, rng=np.random.default_rng(0))
    fast = fit(points.astype(np.float32), rng=np.random.default_rng(0))
    exact = Sinkhorn(fast.regularisation, tolerance=1e-8).values(points, labels, ~labels)
    single = fast.values(points.astype(np.float32), labels, ~labels)
    assert np.abs(single - exact).max() < 1e-3 * exact.std()


@settings(max_examples=30)
@given(st.integers(0, 300), st.integers(5, 12))
def test_laws(seed, m):
    """Symmetry, identity, rows in any order, translation and rotation of both, scale: to the
    root of the rounding of S, about 1e-7."""
    rng = np.random.default_rng(seed)
    obs, sim = rng.normal(size=(12, 3)), rng.normal(size=(m, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    d = statistic(obs, sim, rng=rng)
    assert statistic(obs, obs[::-1], rng=rng) == pytest.approx(0, abs=1e-5)
    for a, b in (
        (sim, obs),
        (rng.permutation(obs), rng.permutation(sim)),
        (obs + 5, sim + 5),
        (obs @ turn, sim @ turn),
    ):
        assert statistic(a, b, rng=rng) == pytest.approx(d, rel=1e-6)
    assert statistic(3 * obs, 3 * sim, rng=rng) == pytest.approx(3 * d, rel=1e-6)


def test_one_point_many_times():
    assert fixed_regularisation(np.ones((5, 2))) == 1.0
    assert statistic(np.ones((5, 2)), np.ones((5, 2)), rng=np.random.default_rng(0)) == 0
