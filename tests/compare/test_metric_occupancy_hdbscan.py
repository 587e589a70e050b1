import numpy as np
import pytest
from scipy.spatial.distance import cdist, jensenshannon

from simreal.compare.inference import p_value, permutation_statistics
from simreal.compare.metrics import occupancy_hdbscan
from simreal.compare.metrics.occupancy_hdbscan import smallest_cluster
from simreal.compare.sample import Sample
from simreal.core.errors import NotComputableError
from simreal.stats.groups import permuted_labels, random_masks


def islands(n, share, seed=0, d=3):
    """Two clumps far apart, `share` of the objects in the first, and a thin fog."""
    rng = np.random.default_rng([seed, n, d])
    points = rng.normal(size=(n, d))
    points[:, 0] += np.where(np.arange(n) < share * n, 0.0, 30.0)
    fog = n // 10
    points[-fog:] = rng.uniform(-60, 90, size=(fog, d))
    return points.astype(np.float32)


def fitted(pool):
    return occupancy_hdbscan.fit(pool, rng=np.random.default_rng(0))


def test_noise_is_a_cell_of_its_own():
    pool = np.concatenate([islands(120, 0.5), islands(120, 0.5, seed=1)])
    metric = fitted(pool)
    cells = metric.cells(pool)
    assert (cells[metric.labels < 0] == metric.n_clusters).all()
    np.testing.assert_array_equal(cells[metric.labels >= 0], metric.labels[metric.labels >= 0])
    assert metric.noise == np.mean(metric.labels < 0) > 0
    assert f"{100 * metric.noise:.0f} % noise" in metric.note
    assert f"{metric.n_clusters} HDBSCAN clusters" in metric.note


def test_a_point_outside_the_pool_goes_where_its_nearest_pooled_object_is():
    pool = np.concatenate([islands(120, 0.5), islands(120, 0.5, seed=1)])
    metric = fitted(pool)
    others = islands(60, 0.3, seed=2)
    nearest = cdist(others.astype(float), pool.astype(float)).argmin(axis=1)
    np.testing.assert_array_equal(metric.cells(others), metric.cells(pool)[nearest])
    listed = pool[::-1].copy()
    np.testing.assert_array_equal(metric.cells(listed), metric.cells(pool)[::-1])


def test_many_assignments_equal_the_definition():
    pool = np.concatenate([islands(100, 0.5), islands(100, 0.8, seed=1)])
    metric = fitted(pool)
    cells, k = metric.cells(pool), metric.n_clusters + 1
    is_sim = np.arange(200) >= 100
    labels = permuted_labels(is_sim, 4, rng=np.random.default_rng(1))
    sim = random_masks(is_sim, 40, 4, rng=np.random.default_rng(2))
    obs = random_masks(~is_sim, 55, 4, rng=np.random.default_rng(3))
    for a, b in ((labels, ~labels), (sim, obs)):
        for value, one, two in zip(metric.values(pool, a, b), a, b, strict=True):
            counts = [np.bincount(cells[mask], minlength=k) for mask in (one, two)]
            assert value == pytest.approx(jensenshannon(*counts, base=2) ** 2, abs=1e-9)


def test_a_clump_that_one_side_lacks_is_found():
    sample = Sample.of(islands(100, 0.9), islands(100, 0.5, seed=1))
    metric = fitted(sample.pooled)
    statistics = permutation_statistics(metric, sample, 199, rng=np.random.default_rng(1))
    assert p_value(statistics) <= 0.01


def test_clumps_do_not_know_the_order_of_the_pool():
    pool = np.concatenate([islands(100, 0.5), islands(100, 0.5, seed=1)])
    order = np.random.default_rng(1).permutation(200)
    np.testing.assert_array_equal(fitted(pool).labels[order], fitted(pool[order]).labels)


def test_all_noise_is_not_informative():
    rng = np.random.default_rng(0)
    lone = (rng.permutation(200)[:, None] ** 2 * np.ones(3)).astype(np.float32)
    wide = rng.normal(size=(1500, 32)).astype(np.float32)
    found = []
    for pool in (lone, wide):
        try:
            fitted(pool)
        except NotComputableError as error:
            found.append(str(error))
    assert found
    assert all(text.startswith("occupancy not informative: ") for text in found)
    assert all("\n" not in text for text in found)


def test_the_two_ways_to_say_nothing(monkeypatch):
    pool = islands(60, 0.5)
    for label, reason in ((-1, "all are noise"), (0, "all are in one cluster")):
        monkeypatch.setattr(
            occupancy_hdbscan,
            "density_clusters",
            lambda points, label=label, **_: np.full(len(points), label),
        )
        with pytest.raises(NotComputableError, match=f"not informative: .*{reason}"):
            fitted(pool)
    monkeypatch.setattr(
        occupancy_hdbscan, "density_clusters", lambda points, **_: np.arange(len(points)) % 2 - 1
    )
    assert fitted(pool).n_clusters == 1  # one cluster and its noise are two cells


def test_the_smallest_cluster_is_stated():
    assert smallest_cluster(100) == 5
    assert smallest_cluster(10_000) == 25
    pool = np.concatenate([islands(100, 0.5), islands(100, 0.5, seed=1)])
    assert "5 members or more" in fitted(pool).note
