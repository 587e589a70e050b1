import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from simreal.stats import clusters
from simreal.stats.clusters import assign, density_clusters, fit_centres


def islands(sizes=(60, 30, 10), seed=0):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    places = np.eye(len(sizes)) * 50
    return (places[truth] + rng.normal(size=(len(truth), len(sizes)))).astype(np.float32), truth


def test_islands_are_found_the_most_populous_first():
    points, truth = islands()
    labels = assign(points, fit_centres(points, 3, seed=0))
    np.testing.assert_array_equal(labels, truth)


def test_the_order_of_the_points_changes_nothing():
    points = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)
    shuffled = points[np.random.default_rng(1).permutation(80)]
    np.testing.assert_array_equal(fit_centres(points, 5, seed=3), fit_centres(shuffled, 5, seed=3))


def test_no_more_centres_than_distinct_points():
    points = np.repeat(np.array([[0.0], [1.0]], dtype=np.float32), 5, axis=0)
    assert len(fit_centres(points, 4, seed=0)) == 2


@given(st.integers(0, 10_000))
def test_every_point_goes_to_its_nearest_centre(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(40, 3)).astype(np.float32)
    centres = rng.normal(size=(6, 3)).astype(np.float32)
    away = cdist(points, centres)
    chosen = away[np.arange(40), assign(points, centres)]
    np.testing.assert_allclose(chosen, away.min(axis=1), atol=1e-6)


def test_blocks_change_nothing(monkeypatch):
    points, _ = islands()
    centres = points[::10]
    whole = assign(points, centres)
    monkeypatch.setattr(clusters, "BLOCK_ELEMENTS", 64)
    np.testing.assert_array_equal(assign(points, centres), whole)


def test_dense_clumps_are_found_and_the_rest_is_noise():
    points, truth = islands((60, 30, 12))
    lone = np.array([[500.0, 0, 0], [0, 500.0, 0], [0, 0, -500.0]], dtype=np.float32)
    labels = density_clusters(np.concatenate([points, lone]), min_cluster_size=10)
    assert (labels[-3:] == -1).all()
    # A clump may be seen as several, but none reaches over two islands.
    for found in range(labels.max() + 1):
        assert len(set(truth[labels[:-3] == found])) == 1
    sizes = np.bincount(labels[labels >= 0])
    assert (np.diff(sizes) <= 0).all()
    assert sizes.min() >= 10


def test_clumps_do_not_depend_on_the_order_of_the_points():
    points, _ = islands((60, 30, 12), seed=3)
    order = np.random.default_rng(1).permutation(len(points))
    np.testing.assert_array_equal(
        density_clusters(points, min_cluster_size=5)[order],
        density_clusters(points[order], min_cluster_size=5),
    )


def test_all_noise_is_minus_one_everywhere():
    far = (4.0 ** np.arange(30))[:, None].astype(np.float32)
    assert (density_clusters(far, min_cluster_size=10) == -1).all()
