import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist
from scipy.stats import chi2_contingency

from simreal.compare.cells import chi_squared, counts_by_cell
from simreal.compare.metrics import pqmass
from simreal.compare.metrics.pqmass import reference_count
from simreal.core.errors import NotComputableError
from simreal.stats.groups import permuted_labels, random_masks

counts = arrays(np.int64, 7, elements=st.integers(0, 40))


def cloud(n, d=10, seed=0, shift=0.0):
    points = np.random.default_rng([seed, n, d]).normal(size=(n, d))
    points[:, 0] += shift
    return points.astype(np.float32)


@given(counts, counts)
def test_chi_squared_is_scipys(x, y):
    used = (x + y) > 0
    if not x.any() or not y.any() or used.sum() < 2:
        assert np.isfinite(chi_squared(x, y))
        return
    expected = chi2_contingency(np.stack([x, y])[:, used], correction=False).statistic
    assert float(chi_squared(x, y)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_it_agrees_with_pqm():
    """Their counts around the same references, through their contingency test."""
    utils = pytest.importorskip("pqm.utils")
    obs, sim = cloud(400), cloud(300, seed=1, shift=0.4)
    points = np.concatenate([obs, sim])
    metric = pqmass.fit(points, rng=np.random.default_rng(0), n_references=20)
    references = metric.references
    x, y = (s[~(s[:, None] == references[None]).all(axis=2).any(axis=1)] for s in (sim, obs))
    assert len(x) + len(y) == 700 - 20
    theirs = utils._compute_counts_numpy(x, y, references, 20)
    expected = chi2_contingency(np.stack(theirs), correction=False).statistic
    is_sim = (np.arange(700) >= 400)[None]
    assert 19 * metric.values(points, is_sim, ~is_sim)[0] == pytest.approx(expected, rel=1e-6)


def drawn(n, rng, *, shift=0.0, uniform=False, m=None):
    obs = rng.normal(size=(n, 10))
    sim = rng.uniform(size=(m or n, 10)) if uniform else rng.normal(size=(m or n, 10))
    sim[:, 0] += shift
    return obs.astype(np.float32), sim.astype(np.float32)


def chi2_draws(n_draws, n, **options):
    rng = np.random.default_rng([n, n_draws])
    return 99 * np.array(
        [
            pqmass.statistic(*drawn(n, rng, **options), rng=rng, n_references=100)
            for _ in range(n_draws)
        ]
    )


def test_the_null_with_a_hundred_references():
    """χ² of 99 degrees of freedom: mean 99, sd 14.07. 60 draws know the mean to 1.8 and the spread
    to 9 %; sparse cells make the spread a little smaller at n = 2,000 (13.5 published)."""
    found = chi2_draws(60, 2000)
    assert found.mean() == pytest.approx(99, abs=3 * 1.82)
    assert found.std(ddof=1) == pytest.approx(14.07, rel=0.3)


@pytest.mark.parametrize(("shift", "expected"), [(0.25, 127), (0.5, 210), (1.0, 524)])
def test_shifts_with_a_hundred_references(shift, expected):
    """n = 2,000, d = 10. A noncentral χ² of mean E scatters by √(2 (2 E - 99)), and so does the
    published figure; re-drawn cells add as much again: 4 of these spreads over 8 draws."""
    found = chi2_draws(8, 2000, shift=shift)
    assert found.mean() == pytest.approx(expected, abs=2 * (2 * (2 * expected - 99)) ** 0.5)


def test_a_normal_against_a_uniform():
    """500 against 400 in 10 dimensions: 577 ± 26 published, for a χ² that is raised to make up
    for empty cells. Without that it is 9 lower; 60 draws know its mean to 3.5."""
    found = chi2_draws(60, 500, uniform=True, m=400)
    assert found.mean() == pytest.approx(577, abs=26)


@pytest.mark.parametrize("n", [100, 300, 1000])
def test_the_null_mean_is_one_whatever_n(n):
    """χ²/(R - 1) with R = n/25: its mean over 80 draws is known to √(2/(R - 1)/80)."""
    rng = np.random.default_rng(n)
    found = [pqmass.statistic(*drawn(n, rng), rng=rng) for _ in range(80)]
    degrees = reference_count(n) - 1
    assert np.mean(found) == pytest.approx(1, abs=3.5 * (2 / degrees / 80) ** 0.5)


@given(st.integers(100, 100_000))
def test_there_are_25_objects_to_a_reference(n):
    assert 4 <= reference_count(n) <= min(100, n / 25)


def test_many_assignments_equal_the_definition():
    points = np.concatenate([cloud(120, 4), cloud(120, 4, seed=1, shift=1)])
    metric = pqmass.fit(points, rng=np.random.default_rng(0), n_references=8)
    away = cdist(points.astype(float), metric.references.astype(float))
    nearest, counted = away.argmin(axis=1), away.min(axis=1) > 0
    assert (~counted).sum() == 8
    is_sim = np.arange(240) >= 120
    labels = permuted_labels(is_sim, 5, rng=np.random.default_rng(1))
    sim = random_masks(is_sim, 40, 5, rng=np.random.default_rng(2))
    obs = random_masks(~is_sim, 30, 5, rng=np.random.default_rng(3))
    for a, b in ((labels, ~labels), (sim, obs)):
        for value, one, two in zip(metric.values(points, a, b), a, b, strict=True):
            x, y = (np.bincount(nearest[m & counted], minlength=8) for m in (one, two))
            assert value == pytest.approx(float(chi_squared(x, y)) / 7, rel=1e-9)


def test_a_reference_is_taken_out_in_whatever_list_it_comes():
    pool, others = cloud(200, 3), cloud(50, 3, seed=5)
    metric = pqmass.fit(pool, rng=np.random.default_rng(0))
    listed = np.concatenate([others, metric.references[:2], metric.references[:1]])
    assert np.flatnonzero(metric._is_reference(listed)).tolist() == [50, 51, 52]


def test_references_do_not_know_the_order_of_the_pool():
    pool = cloud(200, 3)
    shuffled = pool[np.random.default_rng(1).permutation(200)]
    fits = [pqmass.fit(p, rng=np.random.default_rng(3)).references for p in (pool, shuffled)]
    np.testing.assert_array_equal(*fits)


def test_points_without_a_cell_are_not_counted():
    masks = np.array([[True, True, True]])
    assert counts_by_cell(np.array([-1, 0, 1]), 2, masks).tolist() == [[1.0, 1.0]]


def test_where_nothing_differs_between_objects_there_is_no_number():
    with pytest.raises(NotComputableError, match="1 distinct reference"):
        pqmass.statistic(np.ones((150, 2)), np.ones((150, 2)), rng=np.random.default_rng(0))
