import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable
from scipy.stats import binomtest

from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import Setup
from simreal.explain.search import precision_at, random_handfuls, rows_of, similar
from simreal.explain.targets import target_of


def embedded(vectors, groups=None, **columns):
    n = len(vectors)
    ids = np.array([f"g{i:04d}" for i in range(n)])
    return Embedding(
        name="mine", sampling="random", vectors=vectors, ids=ids,
        groups=ids if groups is None else groups, encoder_digest="e", source_digest="s",
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
        properties=QTable(columns) if columns else None,
    )  # fmt: skip


def island(shift=6.0, n=400, rare=40, d=6, noise_axis=1.0, seed=0):
    """Return a rare class that lies `shift` away on one axis; another axis may be very wide."""
    rng = np.random.default_rng(seed)
    is_rare = np.arange(n) < rare
    vectors = rng.normal(size=(n, d))
    vectors[:, 0] += shift * is_rare
    vectors[:, 1] *= noise_axis
    return embedded(vectors.astype(np.float32), kind=np.where(is_rare, "quasar", "star"))


@pytest.mark.parametrize("rank_by", ["direction", "distance"])
def test_an_island_is_found_from_five(rank_by):
    one = island()
    target = target_of(one, "kind")
    found = similar(one, one.ids[:5].tolist(), rank_by=rank_by)
    precision = precision_at(found, target, "quasar", k=25)
    assert precision.n_right == 25
    assert precision.score.high == 1.0
    assert precision.score.low == pytest.approx(0.025 ** (1 / 25))
    assert precision.n_candidates == 395
    assert precision.baseline == pytest.approx(35 / 395)


def test_a_wide_axis_hides_the_island_from_distance_and_not_from_direction():
    one = island(noise_axis=50.0)
    target = target_of(one, "kind")
    found = {
        by: precision_at(similar(one, one.ids[:5].tolist(), rank_by=by), target, "quasar").n_right
        for by in ("direction", "distance")
    }
    assert found["direction"] >= 20 > found["distance"]


def test_precision_has_the_exact_interval():
    one = island(shift=1.0)
    target = target_of(one, "kind")
    precision = precision_at(similar(one, one.ids[:5].tolist()), target, "quasar", k=25)
    expected = binomtest(precision.n_right, 25).proportion_ci(0.95, method="exact")
    assert precision.score.low == pytest.approx(expected.low)
    assert precision.score.high == pytest.approx(expected.high)


def test_nearest_first_by_hand():
    one = embedded(np.array([[0.0], [1.0], [3.0], [-1.5]], dtype=np.float32))
    found = similar(one, ["g0000"], rank_by="distance")
    assert one.ids[found.rows].tolist() == ["g0001", "g0003", "g0002"]
    np.testing.assert_allclose(found.likeness, [-1.0, -1.5, -3.0], rtol=1e-6)


def test_other_views_of_an_example_are_not_found_and_each_object_once():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(50), 3)
    vectors = (rng.normal(size=(50, 4))[codes] + 0.01 * rng.normal(size=(150, 4))).astype("f4")
    one = embedded(vectors, np.array([f"object {code}" for code in codes]))
    for by in ("direction", "distance"):
        found = similar(one, ["g0000", "g0003"], rank_by=by)
        groups = one.groups[found.rows].tolist()
        assert len(groups) == len(set(groups)) == 48
        assert not {"object 0", "object 1"} & set(groups)
        assert (np.diff(found.likeness) <= 0).all()


def test_objects_without_a_label_are_passed_over():
    one = island()
    kind = MaskedColumn(one.properties["kind"], mask=np.arange(400) % 2 == 1)
    masked = one.replace(properties=QTable({"kind": kind}))
    found = similar(masked, masked.ids[[0, 2, 4]].tolist())
    precision = precision_at(found, target_of(masked, "kind"), "quasar", k=10)
    assert precision.n_candidates == 197
    assert precision.n_right == 10


def test_noise_finds_what_chance_finds():
    one = island(shift=0.0, rare=120)
    handfuls, first = random_handfuls(
        one, target_of(one, "kind"), "quasar", handfuls=200, rng=np.random.default_rng(0)
    )
    assert handfuls.mean == pytest.approx(handfuls.baseline, abs=0.05)
    assert handfuls.draw_low < handfuls.baseline < handfuls.draw_high
    assert first.k == handfuls.k == 25


def test_examples_of_a_handful_are_of_the_class_and_of_different_objects():
    codes = np.repeat(np.arange(60), 2)
    vectors = (np.where(codes < 8, 10.0, 0.0)[:, None] + 0.1 * np.eye(60)[codes]).astype("f4")
    one = embedded(
        vectors, np.array([f"o{code}" for code in codes]), kind=np.where(codes < 8, "a", "b")
    )
    handfuls, _ = random_handfuls(
        one, target_of(one, "kind"), "a", n_examples=5, k=3, handfuls=20, rank_by="distance",
        rng=np.random.default_rng(0),
    )  # fmt: skip
    # Eight objects, five of them asked with: the other three are all found.
    assert handfuls.mean == 1.0
    assert handfuls.n_candidates == 55


def test_the_sides_of_an_axis_do_not_matter_to_direction():
    one = island()
    mirrored = one.replace(vectors=-3 * one.vectors + 5)
    found = [similar(each, each.ids[:5].tolist()).rows[:20].tolist() for each in (one, mirrored)]
    assert found[0] == found[1]


class TestBadInput:
    def test_unknown_ids_are_named_with_the_nearest(self):
        one = island()
        with pytest.raises(UsageError, match=r"'g00001'.*did you mean 'g0001'") as caught:
            rows_of(one, ["g00001"])
        assert "allowed" not in str(caught.value)
        with pytest.raises(UsageError, match="no id is like it"):
            rows_of(one, ["quite another"])

    def test_wrong_words_and_numbers(self):
        one = island()
        target = target_of(one, "kind")
        found = similar(one, ["g0001"])
        with pytest.raises(UsageError, match="allowed: direction, distance"):
            similar(one, ["g0001"], rank_by="distanc")
        with pytest.raises(UsageError, match="got no examples"):
            similar(one, [])
        with pytest.raises(UsageError, match="did you mean 'quasar'"):
            precision_at(found, target, "quasars")
        with pytest.raises(UsageError, match="at k: got 0"):
            precision_at(found, target, "quasar", k=0)
        with pytest.raises(NotComputableError, match="precision at 400: got 399"):
            precision_at(found, target, "quasar", k=400)
        with pytest.raises(UsageError, match="got 0 examples"):
            random_handfuls(one, target, "quasar", n_examples=0, rng=np.random.default_rng(0))
        with pytest.raises(NotComputableError, match="more than the 40 examples"):
            random_handfuls(one, target, "quasar", n_examples=40, rng=np.random.default_rng(0))

    def test_nothing_is_left_or_all_are_the_same(self):
        one = embedded(np.ones((3, 2), dtype=np.float32))
        with pytest.raises(NotComputableError, match="all 3 objects"):
            similar(one, one.ids.tolist(), rank_by="distance")
        with pytest.raises(NotComputableError, match="all 3 vectors are the same"):
            similar(one, ["g0001"])
