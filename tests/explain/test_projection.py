import sys
from types import SimpleNamespace

import numpy as np
import pytest

from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import Setup
from simreal.explain.clustering import Points, describe
from simreal.explain.projection import NeighbourMap, balanced_weights, neighbour_map, pca_map
from simreal.explain.projection_pictures import cluster_page


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


class TestNeighbourMap:
    def test_a_missing_library_names_the_extra(self, monkeypatch):
        for name in ("umap", "openTSNE"):
            monkeypatch.setitem(sys.modules, name, None)
        for method in ("umap", "tsne"):
            with pytest.raises(NotComputableError, match=r"install simreal\[pictures\]"):
                neighbour_map(cloud(40), method=method, seed=0)

    def test_what_cannot_be_drawn(self):
        with pytest.raises(UsageError, match="got 'umpa': did you mean 'umap'"):
            neighbour_map(cloud(40), method="umpa", seed=0)
        with pytest.raises(NotComputableError, match="got 19 points, needed are 20"):
            neighbour_map(cloud(19), seed=0)

    @pytest.mark.parametrize(("method", "module"), [("umap", "UMAP"), ("tsne", "TSNE")])
    def test_the_seed_and_one_thread_reach_the_library(self, monkeypatch, method, module):
        asked = {}

        class Model:
            def __init__(self, **given):
                asked.update(given)

            def fit(self, points):
                return points[:, :2]

            fit_transform = fit

        name = {"umap": "umap", "tsne": "openTSNE"}[method]
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**{module: Model}))
        points = cloud(40)
        found = neighbour_map(points, method=method, seed=7)
        np.testing.assert_array_equal(found.coordinates, points[:, :2])
        assert (asked["random_state"], asked["n_jobs"]) == (7, 1)
        # A perplexity must stay below a third of the points: 39 / 3 = 13.
        assert asked.get("perplexity", 13.0) == 13.0
        assert "seed 7" in found.settings

    @pytest.mark.slow
    @pytest.mark.parametrize(("method", "name"), [("umap", "umap"), ("tsne", "openTSNE")])
    def test_two_clouds_stay_apart_on_the_genuine_maps(self, method, name):
        pytest.importorskip(name, reason=f"{name} is not installed (extra 'pictures')")
        points = np.concatenate([cloud(60), cloud(60, seed=1) + 40.0])
        placed = neighbour_map(points, method=method, seed=0).coordinates
        centres = placed[:60].mean(axis=0), placed[60:].mean(axis=0)
        widths = placed[:60].std(axis=0).max(), placed[60:].std(axis=0).max()
        assert np.linalg.norm(np.subtract(*centres)) > 2 * max(widths)


class TestClusterPage:
    def page(self, n=60, **changes):
        points, rng = cloud(n), np.random.default_rng(0)
        given = Points(coordinates=points, rows=np.arange(n), explained=1.0)
        labels = np.repeat([0, 1, -1], [n // 2, n // 3, n - n // 2 - n // 3])
        ids = np.array([f"o{i}" for i in range(n)])
        partition = describe("by hand", given, labels, ids, rng=rng)
        placed = NeighbourMap(coordinates=points[:, :2], method="umap", settings="UMAP, by hand")
        drawn = {"pixels": rng.random((n, 3, 8, 8), dtype=np.float32), "ids": ids} | changes
        return partition, cluster_page(placed, partition, drawn["pixels"], drawn["ids"])

    def test_every_cluster_is_named_with_its_size_and_shown(self):
        partition, figure = self.page()
        left, right = figure.subfigs
        legend = [text.get_text() for text in left.axes[0].get_legend().get_texts()]
        assert legend == ["noise (10)", "0 (30)", "1 (20)"]
        titles = [axes.get_title(loc="left") for axes in right.axes]
        assert [t for t in titles if t] == ["0: 30 objects", "1: 20 objects"]
        images = sum(len(axes.images) for axes in right.axes)
        assert images == sum(map(len, partition.examples))
        assert "measures nothing" in figure.get_suptitle()

    def test_images_of_other_points_are_refused(self):
        with pytest.raises(UsageError, match="59 images"):
            self.page(pixels=np.zeros((59, 3, 8, 8), np.float32))
