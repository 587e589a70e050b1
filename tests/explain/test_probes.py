import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable
from scipy.stats import norm

from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import Setup
from simreal.explain.label_counts import few_shot, label_sweep, proportional
from simreal.explain.probes import (
    SHARED,
    KnnLearner,
    cross_validated,
    group_folds,
    knn_probe,
    learn_linear,
    linear_probe,
)
from simreal.explain.targets import Sample, labelled, target_of


def embedded(vectors, groups=None, **columns):
    n = len(vectors)
    ids = np.array([f"g{i:04d}" for i in range(n)])
    return Embedding(
        name="mine", sampling="random", vectors=vectors, ids=ids,
        groups=ids if groups is None else groups, encoder_digest="e", source_digest="s",
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
        properties=QTable(columns) if columns else None,
    )  # fmt: skip


def shifted(n=400, d=4, shift=2.0, seed=0):
    """Return two equal classes whose means are `shift` standard deviations apart."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    vectors = rng.normal(size=(n, d))
    vectors[:, 0] += shift * y
    return embedded(vectors.astype(np.float32), kind=np.where(y == 1, "spiral", "smooth"))


class TestKnownAnswers:
    @pytest.mark.parametrize("probe", [linear_probe, knn_probe])
    def test_classes_are_told_apart_as_theory_has_it(self, probe):
        found = probe(*with_target(shifted(1500)), rng=np.random.default_rng(0))
        accuracy, auc = found.scores["accuracy"], found.scores["auc"]
        # Bayes: the chance of a normal number below half the shift, and below shift over root 2.
        assert accuracy.low < norm.cdf(1.0) < accuracy.high + 0.02
        assert accuracy.value <= norm.cdf(1.0) + 0.02
        assert auc.value == pytest.approx(norm.cdf(2 / np.sqrt(2)), abs=0.03)
        assert accuracy.n == found.n_groups == 1500
        assert found.baseline == 0.5
        assert found.n_train == 1200
        mean = np.mean([recall.value for recall in found.recalls.values()])
        assert found.scores["balanced_accuracy"].value == pytest.approx(mean)

    def test_a_line_is_found_and_its_share_of_variance(self):
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(1500, 5)).astype(np.float32)
        mass = 3 * vectors[:, 0] + 3 * rng.normal(size=1500) + 100
        found = linear_probe(*with_target(embedded(vectors, mass=mass), "mass"), rng=rng)
        r2, rmse = found.scores["r2"], found.scores["rmse"]
        assert r2.low < 0.5 < r2.high
        assert rmse.low < 3.0 < rmse.high
        near = knn_probe(*with_target(embedded(vectors, mass=mass), "mass"), rng=rng)
        assert 0.3 < near.scores["r2"].value < r2.value

    def test_noise_is_at_chance(self):
        noise = shifted(400, shift=0.0)
        for probe in (linear_probe, knn_probe):
            scores = probe(*with_target(noise), rng=np.random.default_rng(1)).scores
            assert scores["accuracy"].low < 0.5 < scores["accuracy"].high
            assert scores["auc"].low < 0.5 < scores["auc"].high

    def test_three_classes_have_no_auc_but_three_recalls(self):
        rng = np.random.default_rng(0)
        y = np.arange(300) % 3
        vectors = (np.eye(3)[y] * 8 + rng.normal(size=(300, 3))).astype(np.float32)
        found = linear_probe(
            *with_target(embedded(vectors, kind=np.array(list("abc"))[y])), rng=rng
        )
        assert set(found.scores) == {"accuracy", "balanced_accuracy"}
        assert set(found.recalls) == {"a", "b", "c"}
        assert found.scores["accuracy"].value > 0.98
        assert found.scores["accuracy"].high == 1.0

    def test_the_scale_of_an_axis_changes_no_linear_probe(self):
        one = shifted(200)
        scaled = one.replace(vectors=one.vectors * np.array([1e-4, 1, 1e4, 1], dtype=np.float32))
        found = [
            linear_probe(*with_target(each), rng=np.random.default_rng(0)).scores["accuracy"].value
            for each in (one, scaled)
        ]
        assert found[0] == pytest.approx(found[1], abs=0.011)

    def test_an_axis_without_variance_is_no_trouble(self):
        one = shifted(100)
        flat = one.replace(vectors=np.column_stack([one.vectors, np.full(100, 7, np.float32)]))
        rng = np.random.default_rng(0)
        assert linear_probe(*with_target(flat), rng=rng).scores["accuracy"].value > 0.7

    def test_the_same_seed_gives_the_same_numbers(self):
        found = [
            linear_probe(*with_target(shifted()), rng=np.random.default_rng(3)).scores
            for _ in range(2)
        ]
        assert found[0] == found[1]


def with_target(embedding, name="kind", **options):
    return embedding, target_of(embedding, name, **options)


class TestGroups:
    def test_no_fold_splits_a_group(self):
        """Every learner is handed whole groups, and tested on the others."""
        rng = np.random.default_rng(0)
        codes = np.repeat(np.arange(60), rng.integers(1, 5, 60))
        # The point of a row is the number of its group: what was learned from is written in it.
        points = codes[:, None].astype(float)
        y = (codes % 2).astype(float)
        sample = Sample(points=points, y=y, codes=codes, strata=np.arange(60) % 2, n_classes=2)
        seen_by_test = []

        def spy(train, rng):
            learned = set(train.points[:, 0].tolist())

            def predict(rows):
                held = set(rows[:, 0].tolist())
                assert not (learned & held)
                assert learned | held == set(range(60))
                seen_by_test.append(held)
                return np.full((len(rows), 2), 0.5)

            return predict

        cross_validated(sample, spy, method="spy", classes=("a", "b"), rng=rng)
        assert sum(map(len, seen_by_test)) == 60

    def test_views_of_one_object_are_not_rewarded(self):
        """Labels without any relation to the vectors, copied four times with a little noise."""
        rng = np.random.default_rng(0)
        codes = np.repeat(np.arange(100), 4)
        vectors = rng.normal(size=(100, 8))[codes] + 0.01 * rng.normal(size=(400, 8))
        kind = np.where(rng.permutation(100) < 50, "a", "b")[codes]
        groups = np.array([f"object {code}" for code in codes])
        grouped = embedded(vectors.astype(np.float32), groups, kind=kind)
        leaking = embedded(vectors.astype(np.float32), kind=kind)
        for probe in (knn_probe, linear_probe):
            options = {"k": 3} if probe is knn_probe else {}
            honest = probe(*with_target(grouped), rng=rng, **options).scores["accuracy"]
            assert honest.low < 0.5 < honest.high
            assert honest.n == 100
        # The control: the same rows as objects of their own are recognised.
        assert knn_probe(*with_target(leaking), k=3, rng=rng).scores["accuracy"].value > 0.95

    def test_many_views_of_one_object_count_once(self):
        one = shifted(100, seed=5)
        rows = np.repeat(np.arange(100), np.where(np.arange(100) == 7, 50, 1))
        many = embedded(one.vectors[rows], one.groups[rows], kind=one.properties["kind"][rows])
        single, heavy = (labelled(*with_target(each))[0] for each in (one, many))
        assert heavy.n_groups == single.n_groups == 100
        assert heavy.weights.sum() == pytest.approx(100)
        # One and the same line through both: copies of one object pull no harder than it.
        lines = [
            learn_linear(each, np.random.default_rng(0))(one.vectors) for each in (single, heavy)
        ]
        np.testing.assert_allclose(lines[0], lines[1], atol=2e-3)

    def test_folds_hold_every_class_alike(self):
        strata = np.repeat([0, 1, 2], [50, 15, 5])
        fold = group_folds(strata, 5, rng=np.random.default_rng(0))
        for stratum, each in ((0, 10), (1, 3), (2, 1)):
            assert np.bincount(fold[strata == stratum], minlength=5).tolist() == [each] * 5


class TestTargets:
    def test_missing_labels_are_left_out(self):
        one = shifted(60)
        kind = MaskedColumn(one.properties["kind"], mask=np.arange(60) < 10)
        masked = one.replace(properties=QTable({"kind": kind}))
        found = linear_probe(*with_target(masked), rng=np.random.default_rng(0))
        assert found.n_groups == 50

    def test_a_rare_class_is_left_out_by_name(self):
        one = shifted(60)
        kind = np.array(one.properties["kind"]).astype("U8")
        kind[:4] = "ring"
        sample, clean, left_out = labelled(
            *with_target(one.replace(properties=QTable({"kind": kind})))
        )
        assert dict(left_out) == {"ring": 4}
        assert clean.classes == ("smooth", "spiral")
        assert sample.n_groups == 56
        names = np.array(clean.classes)[clean.values[clean.known].astype(int)]
        np.testing.assert_array_equal(names, kind[4:])

    def test_logarithms_leave_out_what_is_not_positive(self):
        one = embedded(np.eye(4, dtype=np.float32), sfr=np.array([10.0, 0.0, -1.0, 1000.0]))
        target = target_of(one, "sfr", log=True)
        assert target.known.tolist() == [True, False, False, True]
        assert target.values[[0, 3]].tolist() == [1.0, 3.0]

    def test_truth_values_are_classes_and_numbers_can_be(self):
        one = embedded(
            np.eye(4, dtype=np.float32),
            merger=np.array([True, False] * 2),
            bar=np.array([0, 1] * 2),
        )
        assert target_of(one, "merger").classes == ("False", "True")
        assert target_of(one, "bar").kind == "number"
        assert target_of(one, "bar", kind="class").classes == ("0", "1")

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            (np.full(40, "a"), "two classes of 5"),
            (np.where(np.arange(40) < 4, "b", "a"), "b 4"),
            (np.full(40, 2.5), "40 objects with 1 different values"),
            (np.full(40, np.nan), "got 0 objects"),
            (np.full(40, ""), "no labels"),
        ],
    )
    def test_what_cannot_be_learned_says_why(self, kind, words):
        one = embedded(np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32), kind=kind)
        for probe in (linear_probe, knn_probe, label_sweep):
            with pytest.raises(NotComputableError, match=words) as caught:
                probe(*with_target(one), rng=np.random.default_rng(0))
            assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "options", "words"),
        [
            ("knd", {}, "did you mean 'kind'"),
            ("kind", {"kind": "number"}, "it holds text"),
            ("kind", {"kind": "clas"}, "allowed: class, number"),
            ("kind", {"log": True}, "it holds classes"),
        ],
    )
    def test_wrong_words_get_one_line(self, name, options, words):
        with pytest.raises(UsageError, match=words):
            target_of(shifted(20), name, **options)

    def test_no_properties_at_all(self):
        with pytest.raises(UsageError, match="no properties at all"):
            target_of(embedded(np.eye(3, dtype=np.float32)), "kind")

    def test_no_neighbours_are_refused(self):
        with pytest.raises(UsageError, match="neighbours: got 0"):
            knn_probe(*with_target(shifted(40)), k=0, rng=np.random.default_rng(0))


class TestLabelCounts:
    def test_more_labels_do_better_up_to_the_bayes_limit(self):
        rows = label_sweep(
            *with_target(shifted(600, d=30)), counts=(25, 100, 999), draws=8,
            rng=np.random.default_rng(0),
        )  # fmt: skip
        assert [row.n_labels for row in rows] == [25, 100, 480]
        assert [row.is_all for row in rows] == [False, False, True]
        values = [row.score.value for row in rows]
        assert values[0] < values[1] < values[2] < norm.cdf(1.0) + 0.02
        for row in rows:
            assert row.score.low < row.score.value < row.score.high
            assert row.draw_low <= row.score.value + 0.02
            assert row.n_draws == 8

    def test_numbers_are_swept_in_r2(self):
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(300, 5)).astype(np.float32)
        one = embedded(vectors, mass=vectors[:, 0] + rng.normal(size=300))
        few, everything = label_sweep(*with_target(one, "mass"), counts=(25,), draws=10, rng=rng)
        assert few.score.value < everything.score.value < 0.65
        assert everything.score.low < 0.5 < everything.score.high

    def test_draws_are_of_whole_groups(self):
        rng = np.random.default_rng(0)
        codes = np.repeat(np.arange(100), 4)
        vectors = rng.normal(size=(100, 8))[codes] + 0.01 * rng.normal(size=(400, 8))
        kind = np.where(rng.permutation(100) < 50, "a", "b")[codes]
        groups = np.array([f"object {code}" for code in codes])
        one = embedded(vectors.astype(np.float32), groups, kind=kind)
        rows = label_sweep(
            *with_target(one), counts=(50,), draws=10, learn=KnnLearner(k=3), rng=rng
        )
        assert rows[0].score.low < 0.5 < rows[0].score.high
        assert rows[0].score.n == 100

    @pytest.mark.parametrize("n", [2, 5, 20, 37, 90])
    def test_draws_keep_the_proportions_and_the_number(self, n):
        strata = np.repeat([0, 1], [95, 5])
        chosen = proportional(strata, n, rng=np.random.default_rng(0))
        assert chosen.sum() == n
        assert 1 <= chosen[strata == 1].sum() <= max(1, np.ceil(0.05 * n))

    def test_few_shots_of_well_separated_classes_suffice(self):
        rows = few_shot(
            *with_target(shifted(200, shift=20.0)), shots=(1, 5), draws=10,
            rng=np.random.default_rng(0),
        )  # fmt: skip
        assert [row.n_labels for row in rows] == [2, 10]
        assert all(row.score.value > 0.99 for row in rows)

    def test_too_few_to_test_on_is_null_with_a_reason(self):
        rows = label_sweep(
            *with_target(shifted(40)), counts=(25,), draws=4, rng=np.random.default_rng(0)
        )
        assert rows[-1].score.value is None
        assert "objects to test on" in rows[-1].score.reason

    @pytest.mark.parametrize(
        ("options", "words"),
        [({"counts": (1,)}, "labels: got 1"), ({"draws": 1}, "draws: got 1")],
    )
    def test_wrong_numbers_get_one_line(self, options, words):
        with pytest.raises(UsageError, match=words):
            label_sweep(*with_target(shifted(60)), rng=np.random.default_rng(0), **options)

    def test_few_shot_needs_classes(self):
        one = embedded(np.eye(40, dtype=np.float32), mass=np.arange(40.0))
        with pytest.raises(UsageError, match="few-shot needs classes"):
            few_shot(*with_target(one, "mass"), rng=np.random.default_rng(0))


@pytest.mark.slow
def test_the_interval_of_cross_validation_covers_where_there_is_little_to_learn():
    """Folds share what they learn: without the factor for it 82 % are covered, not 95."""
    n, ends = 100, []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        points = rng.normal(size=(n, 16))
        y = 0.8 * points[:, 0] + rng.normal(size=n)
        sample = Sample(
            points=points, y=y, codes=np.arange(n), strata=np.zeros(n, int), n_classes=0
        )
        r2 = cross_validated(sample, learn_linear, method="", rng=rng).scores["r2"]
        ends.append([r2.value, r2.low, r2.high])
    value, low, high = np.array(ends).T
    covered = (low <= value.mean()) & (high >= value.mean())
    assert covered.mean() >= 0.88
    narrow = np.abs(value - value.mean()) <= (high - low) / 2 / SHARED
    assert narrow.mean() < covered.mean() - 0.03
