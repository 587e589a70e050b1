import json

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import Setup
from simreal.explain import analogues as module
from simreal.explain.analogues import analogues, both_ways, exact_nearest


def embedded(vectors, name, groups=None, encoder="e"):
    ids = np.array([f"{name}{i:04d}" for i in range(len(vectors))])
    return Embedding(
        name=name, sampling="random", vectors=vectors.astype(np.float32), ids=ids,
        groups=ids if groups is None else groups, encoder_digest=encoder, source_digest="s",
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
    )  # fmt: skip


class TestExactNearest:
    @pytest.mark.parametrize("k", [1, 5, 90, 100])
    def test_as_every_distance_says(self, k, monkeypatch):
        monkeypatch.setattr(module, "BLOCK_ELEMENTS", 300)
        rng = np.random.default_rng(0)
        points, reference = rng.normal(size=(2, 100, 6)).astype(np.float32)
        distances, rows = exact_nearest(points, reference, k)
        every = cdist(points.astype(float), reference.astype(float))
        expected = np.argsort(every, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_allclose(distances, np.take_along_axis(every, expected, axis=1))

    def test_far_from_the_origin_and_closer_than_single_precision_of_a_square(self):
        rng = np.random.default_rng(1)
        # Squares of lengths are 1e6 with a rounding of 0.06; the distances are 0.001 to 1.
        spread = np.geomspace(1e-3, 1, 200)[:, None] * np.eye(8)[0]
        cloud = 1000 * rng.choice([-1.0, 1.0], size=(200, 8))
        reference = np.concatenate([spread + 1000, cloud]).astype(np.float32)
        query = np.full((1, 8), 1000.0, dtype=np.float32)
        every = cdist(query.astype(float), reference.astype(float))[0]
        distances, rows = exact_nearest(query, reference, 12)
        np.testing.assert_allclose(distances[0], np.sort(every)[:12], rtol=1e-12)
        np.testing.assert_array_equal(every[rows[0]], distances[0])

    def test_ties_go_to_the_earlier_row(self):
        reference = np.zeros((50, 3), dtype=np.float32)
        assert exact_nearest(reference[:2], reference, 3)[1].tolist() == [[0, 1, 2]] * 2

    def test_too_few(self):
        points = np.zeros((3, 2), dtype=np.float32)
        with pytest.raises(NotComputableError, match="k = 4 with 3 points"):
            exact_nearest(points, points, 4)


class TestAnalogues:
    @pytest.mark.parametrize("n_sim", [60, 600])
    def test_shares_are_uniform_where_nothing_differs(self, n_sim):
        rng = np.random.default_rng(2)
        seen = []
        for _ in range(80):
            sim, obs = (embedded(rng.normal(size=(n, 3)), s) for n, s in ((n_sim, "s"), (90, "o")))
            query = embedded(rng.normal(size=(1, 3)), "q")
            found = analogues(query, sim, obs, k=2, rng=rng)
            assert found.n_reference == min(n_sim, 89)
            seen.append([found.simulated[0].nearer.value, found.real[1].nearer.value])
        # P(share <= 1/2) is 1/2: outside 26 to 54 of 80 once in 500.
        assert (np.abs((np.array(seen) <= 0.5).sum(axis=0) - 40) <= 14).all()
        assert (np.array(seen) <= 0.1).sum() <= 32

    def test_what_the_simulation_lacks_has_no_analogue(self):
        rng = np.random.default_rng(3)
        obs = embedded(np.concatenate([rng.normal(size=(100, 2)), rng.normal(8, 1, (40, 2))]), "o")
        sim = embedded(rng.normal(size=(100, 2)), "s")
        found = analogues(embedded(np.full((1, 2), 8.0), "q"), sim, obs, rng=rng)
        assert found.simulated[0].nearer.value > 0.95
        assert found.real[0].nearer.value < 0.7
        assert found.simulated[0].rank_back > 1
        assert not found.mutual

    def test_back_is_the_place_among_the_real_neighbours(self):
        obs = embedded(np.array([[0.0, 0], [10, 0], [11, 0], [20, 0], [30, 0], [40, 1]]), "o")
        sim = embedded(np.array([[10.4, 0], [19.0, 0], [33, 0], [60, 0], [70, 3]]), "s")
        query = embedded(np.array([[12.0, 0]]), "q")
        found = analogues(query, sim, obs, k=2, rng=np.random.default_rng(0))
        # 10.4 lies nearer to 10 (0.4) and 11 (0.6) than to the query (1.6); 19 nearer to 20 only.
        assert [each.id for each in found.simulated] == ["s0000", "s0001"]
        assert [each.rank_back for each in found.simulated] == [3, 2]
        # 11 is 1 from the query and 1 from 10: a tie is not nearer. 10 is 1 from 11, 2 from it.
        assert [each.rank_back for each in found.real] == [1, 2]

    def test_the_query_itself_and_its_views_are_left_out(self):
        rng = np.random.default_rng(4)
        vectors = rng.normal(size=(60, 3))
        obs = embedded(vectors, "o", groups=np.repeat([f"g{i:02d}" for i in range(30)], 2))
        query = embedded(vectors[7:8], "q")
        same = np.arange(60) == 7
        found = analogues(query, embedded(vectors + 0.1, "s"), obs, same=same, k=3, rng=rng)
        assert found.left_out == ("o0006", "o0007")
        assert found.n_obs == 29
        assert not {"o0006", "o0007"} & {each.id for each in found.real}
        assert found.real[0].distance > 0
        document = found.to_dict()
        assert json.loads(json.dumps(document, allow_nan=False)) == document
        assert "left out as the query itself: o0006, o0007" in str(found)

    def test_more_views_are_no_more_chances(self):
        rng = np.random.default_rng(5)
        base = rng.normal(size=(40, 3))
        views = np.repeat(base, 5, axis=0) + 1e-3 * rng.normal(size=(200, 3))
        sim = embedded(views, "s", groups=np.repeat([f"g{i:02d}" for i in range(40)], 5))
        obs = embedded(rng.normal(size=(50, 3)), "o")
        found = analogues(embedded(base[:1], "q"), sim, obs, k=5, rng=rng)
        assert found.n_sim == found.n_reference == 40
        assert len({int(each.id[1:]) // 5 for each in found.simulated}) == 5

    def test_bad_input(self):
        rng = np.random.default_rng(6)
        side, query = embedded(rng.normal(size=(12, 2)), "s"), embedded(np.zeros((1, 2)), "q")
        with pytest.raises(UsageError, match="got 12 images, allowed is one"):
            analogues(side, side, side, rng=rng)
        with pytest.raises(UsageError, match="different encoders"):
            analogues(query, side, embedded(side.vectors, "o", encoder="f"), rng=rng)
        with pytest.raises(NotComputableError, match="got 12 simulated and 12 observed objects"):
            analogues(query, side, side, k=11, rng=rng)


class TestBothWays:
    def test_each_side_names_what_the_other_lacks(self):
        rng = np.random.default_rng(7)
        obs = np.concatenate([rng.normal(size=(95, 2)), rng.normal(9, 0.5, (5, 2))])
        sim = np.concatenate([rng.normal(size=(95, 2)), rng.normal(-9, 0.5, (5, 2))])
        found = both_ways(embedded(obs, "o"), embedded(sim, "s"), rng=rng)
        assert {each.id for each in found.real["least"]} == {f"o{i:04d}" for i in range(95, 100)}
        assert {each.id for each in found.simulated["least"]} == {
            f"s{i:04d}" for i in range(95, 100)
        }
        assert found.simulated["least"][0].percentile == 100
        assert found.real["most"][0].percentile < 20
        assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()

    def test_mutual_neighbours_are_as_many_where_nothing_differs(self):
        rng = np.random.default_rng(8)
        obs, sim = (embedded(rng.normal(size=(n, 4)), s) for n, s in ((300, "o"), (200, "s")))
        found = both_ways(obs, sim, rng=rng)
        assert found.mutual.n == found.mutual_real.n == 150
        assert found.mutual.value == pytest.approx(found.mutual_real.value, abs=0.08)
        apart = both_ways(obs, embedded(rng.normal(size=(200, 4)) + 3, "s"), rng=rng)
        assert apart.mutual.high < apart.mutual_real.low
