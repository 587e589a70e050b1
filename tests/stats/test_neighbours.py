import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from simreal.core.errors import NotComputableError
from simreal.stats import neighbours
from simreal.stats.neighbours import nearest, nearest_by_city_block


def cloud(n, d=5, seed=0):
    return np.random.default_rng([seed, n]).normal(size=(n, d)).astype(np.float32)


def test_it_agrees_with_sklearn():
    queries, reference = cloud(40), cloud(300, seed=1)
    distances, rows = nearest(queries, reference, 4)
    theirs = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(reference.astype(float))
    expected, expected_rows = theirs.kneighbors(queries.astype(float))
    np.testing.assert_allclose(distances, expected, atol=1e-6)
    np.testing.assert_array_equal(rows, expected_rows)


def test_blocks_change_nothing(monkeypatch):
    queries, reference = cloud(40), cloud(300, seed=1)
    whole = nearest(queries, reference, 4)
    monkeypatch.setattr(neighbours, "BLOCK_ELEMENTS", 1000)
    blocked = nearest(queries, reference, 4)
    np.testing.assert_allclose(blocked[0], whole[0], rtol=1e-12)
    np.testing.assert_array_equal(blocked[1], whole[1])


@given(st.integers(0, 10_000))
def test_own_group_is_never_a_neighbour(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(30, 3)).astype(np.float32)
    codes = rng.integers(0, 6, 30)
    fewest = 30 - np.bincount(codes).max()
    k = int(min(3, fewest))
    distances, rows = nearest(points, points, k, query_codes=codes, reference_codes=codes)
    assert (codes[rows] != codes[:, None]).all()
    full = cdist(points.astype(float), points.astype(float))
    full[codes[:, None] == codes[None, :]] = np.inf
    np.testing.assert_allclose(distances, np.sort(full, axis=1)[:, :k], atol=1e-6)


def test_far_from_the_origin_close_pairs_keep_their_digits():
    """|x|² + |y|² - 2xy loses 1e-4 here; the kept pairs are measured from differences."""
    reference = (cloud(50) + 1e4).astype(np.float32)
    queries = reference + np.float32(0.0078125)
    distances, _ = nearest(queries, reference, 1)
    expected = cdist(queries.astype(float), reference.astype(float)).min(axis=1)
    np.testing.assert_allclose(distances[:, 0], expected, rtol=1e-7)


def test_negative_codes_skip_nothing():
    points = cloud(5)
    codes = np.arange(5)
    distances, _ = nearest(points, points, 1, query_codes=np.full(5, -1), reference_codes=codes)
    np.testing.assert_allclose(distances, 0)


@pytest.mark.parametrize("k", [0, 4])
def test_too_few_others_are_refused(k):
    points, codes = cloud(5), np.array([0, 0, 1, 2, 3])
    with pytest.raises(NotComputableError, match="3 reference objects of other groups"):
        nearest(points, points, k, query_codes=codes, reference_codes=codes)


def test_city_block_distances_are_sklearns():
    queries, reference = cloud(40), cloud(300, seed=1)
    theirs = NearestNeighbors(n_neighbors=4, algorithm="brute", metric="manhattan")
    expected, _ = theirs.fit(reference.astype(float)).kneighbors(queries.astype(float))
    np.testing.assert_allclose(nearest_by_city_block(queries, reference, 4), expected, rtol=1e-12)


def test_city_blocks_in_pieces_and_without_the_own_group(monkeypatch):
    points, codes = cloud(90), np.arange(90) // 3
    whole = nearest_by_city_block(points, points, 5, query_codes=codes, reference_codes=codes)
    full = cdist(points.astype(float), points.astype(float), "cityblock")
    full[codes[:, None] == codes[None, :]] = np.inf
    np.testing.assert_allclose(whole, np.sort(full, axis=1)[:, :5], rtol=1e-12)
    monkeypatch.setattr(neighbours, "CITY_BLOCK_ELEMENTS", 500)
    pieces = nearest_by_city_block(points, points, 5, query_codes=codes, reference_codes=codes)
    np.testing.assert_array_equal(pieces, whole)


def test_too_few_others_in_the_city_are_refused():
    points, codes = cloud(5), np.array([0, 0, 1, 2, 3])
    with pytest.raises(NotComputableError, match="3 reference objects of other groups"):
        nearest_by_city_block(points, points, 4, query_codes=codes, reference_codes=codes)
