import numpy as np
import pytest

from simreal.core.embedding import Embedding
from simreal.core.images import Setup
from simreal.explain.projection import balanced_weights, pca_map


def embedding(name, vectors, groups=None):
    ids = np.array([f"{name}{i}" for i in range(len(vectors))])
    return Embedding(
        name=name,
        sampling="random",
        vectors=vectors,
        ids=ids,
        groups=ids if groups is None else groups,
        setup=Setup(track="rgb", bands=("luminance",), unit="display"),
        encoder_digest="e",
        source_digest=name,
    )


def cloud(n, d=6, seed=0):
    return np.random.default_rng([seed, n]).normal(size=(n, d)) * np.linspace(3, 0.5, d)


def test_both_sides_lie_on_one_map():
    obs, sim = cloud(50), cloud(30, seed=1)
    found = pca_map(embedding("o", obs), embedding("s", sim))
    assert found.coordinates_obs.shape == (50, 2)
    assert found.coordinates_sim.shape == (30, 2)
    assert found.explained_variance[0] >= found.explained_variance[1] > 0
    assert found.explained_variance.sum() <= 1
    same = pca_map(embedding("o", obs), embedding("s", obs[:30]))
    np.testing.assert_allclose(same.coordinates_obs[:30], same.coordinates_sim, atol=1e-6)


def test_groups_of_a_side_weigh_alike_and_so_do_the_sides():
    groups = np.array(["a", "a", "a", "b"])
    weights = balanced_weights(embedding("o", cloud(4), groups))
    np.testing.assert_allclose(weights, [1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_more_views_of_everything_leave_the_map_where_it_is():
    obs, sim = cloud(40), cloud(30, seed=1)
    one = pca_map(embedding("o", obs), embedding("s", sim))
    groups = np.tile([f"g{i}" for i in range(40)], 3)
    three = pca_map(embedding("o", np.tile(obs, (3, 1)), groups), embedding("s", sim))
    np.testing.assert_allclose(three.coordinates_sim, one.coordinates_sim, atol=1e-5)


def test_one_dimension_leaves_the_second_axis_empty():
    found = pca_map(embedding("o", cloud(10, d=1)), embedding("s", cloud(5, d=1)))
    assert found.coordinates_obs.shape == (10, 2)
    assert (found.coordinates_sim[:, 1] == 0).all()
    assert found.explained_variance.tolist() == pytest.approx([1, 0])
