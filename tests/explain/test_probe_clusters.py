import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable
from scipy.stats import kstest
from sklearn import metrics

from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import Setup
from simreal.explain.agreement import (
    adjusted_rand,
    cluster_means,
    contingency,
    explained_share,
    label_agreement,
    normalised_information,
    number_agreement,
)
from simreal.explain.clustering import (
    ClusterSettings,
    cluster_points,
    clusters,
    hdbscan,
    label_report,
    partition_scores,
)
from simreal.explain.targets import Target, target_of


def embedded(vectors, groups=None, **columns):
    n = len(vectors)
    ids = np.array([f"g{i:04d}" for i in range(n)])
    return Embedding(
        name="mine", sampling="random", vectors=vectors, ids=ids,
        groups=ids if groups is None else groups, encoder_digest="e", source_digest="s",
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
        properties=QTable(columns) if columns else None,
    )  # fmt: skip


def islands(sizes=(120, 60, 30), seed=0, **columns):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    vectors = np.eye(len(sizes), 5)[truth] * 30 + rng.normal(size=(len(truth), 5))
    return embedded(vectors.astype(np.float32), kind=np.array(list("abcdef"))[truth]), truth


class TestAgreement:
    @pytest.mark.parametrize("seed", range(5))
    def test_it_is_scikit_learns(self, seed):
        rng = np.random.default_rng(seed)
        one, two = rng.integers(0, 4, 60), rng.integers(0, 3, 60)
        two[:20] = one[:20] % 3
        table = contingency(one, two)
        assert float(adjusted_rand(table)) == pytest.approx(
            metrics.adjusted_rand_score(one, two), abs=1e-12
        )
        assert float(normalised_information(table)) == pytest.approx(
            metrics.normalized_mutual_info_score(one, two), abs=1e-12
        )

    def test_edges(self):
        same = np.zeros(10, int)
        assert float(adjusted_rand(contingency(same, same))) == 1.0
        assert float(adjusted_rand(contingency(same, np.arange(10)))) == 0.0
        assert float(normalised_information(contingency(same, same))) == 1.0

    def test_explained_share_by_hand(self):
        # Means 1 and 4 of two each, overall 2.5: 4 * 1.5^2 = 9 between, 10 in all.
        values = np.array([0.5, 1.5, 3.5, 4.5])
        assert explained_share(np.array([0, 0, 1, 1]), values) == pytest.approx(0.9)

    def test_the_null_is_uniform(self):
        """Labels that know nothing of the clusters: p is uniform, up to its steps."""
        p_values = {"rand": [], "information": [], "number": [], "mean": []}
        for seed in range(300):
            rng = np.random.default_rng(seed)
            cut, classes = rng.integers(0, 3, 80), rng.integers(0, 4, 80)
            values = rng.normal(size=80)
            rand, information = label_agreement(cut, classes, n_permutations=99, rng=rng)
            number = number_agreement(cut, values, n_permutations=99, rng=rng)
            means = cluster_means(cut, values[None], n_clusters=3, n_permutations=99, rng=rng)
            for name, p in zip(
                p_values,
                (rand.p_value, information.p_value, number.p_value, float(means.p_values[0, 0])),
                strict=True,
            ):
                p_values[name].append(p)
        for name, found in p_values.items():
            steps = np.array(found) - np.random.default_rng(0).random(300) / 100
            assert kstest(steps, "uniform").pvalue > 0.01, name
            # Exact at 5 %: 300 tries have 99 % of their mass below 26.
            assert (np.array(found) <= 0.05).sum() <= 26

    def test_p_is_never_zero_and_ties_count_against(self):
        cut = np.repeat([0, 1], 50)
        rand, _ = label_agreement(cut, cut, n_permutations=99, rng=np.random.default_rng(0))
        assert (rand.value, rand.p_value) == (1.0, 0.01)
        assert rand.null_mean == pytest.approx(0.0, abs=0.01)
        # Of the six ways to put two labels on four objects, two agree perfectly.
        few = np.array([0, 0, 1, 1])
        tied, _ = label_agreement(few, few, n_permutations=999, rng=np.random.default_rng(0))
        assert tied.p_value == pytest.approx(1 / 3, abs=0.05)
        flat = cluster_means(
            cut, np.ones((1, 100)), n_clusters=2, n_permutations=99, rng=np.random.default_rng(0)
        )
        assert flat.p_values.tolist() == [[1.0, 1.0]]


class TestScores:
    def test_they_are_scikit_learns(self):
        rng = np.random.default_rng(0)
        points = rng.normal(size=(150, 3)).astype(np.float32)
        labels = rng.integers(0, 3, 150)
        points[labels == 1] += 2
        labels[:20] = -1
        found = partition_scores(points, labels, rng=rng)
        exact, inside = points.astype(np.float64), labels >= 0
        expected = {
            "silhouette": metrics.silhouette_score(exact[inside], labels[inside]),
            "silhouette_with_noise": metrics.silhouette_score(exact, labels),
            "calinski_harabasz": metrics.calinski_harabasz_score(exact[inside], labels[inside]),
            "davies_bouldin": metrics.davies_bouldin_score(exact[inside], labels[inside]),
        }
        for name, value in expected.items():
            assert found[name].value == pytest.approx(value)
            assert found[name].low < value < found[name].high
        assert found["silhouette"].n == 130
        assert found["silhouette_with_noise"].n == 150

    @pytest.mark.slow
    def test_intervals_are_as_wide_as_scores_scatter(self):
        """Fresh points of the same clusters scatter as the interval says."""
        values, errors = {}, {}
        for seed in range(60):
            rng = np.random.default_rng(seed)
            labels = np.repeat([0, 1], 100)
            points = (rng.normal(size=(200, 2)) + 4 * labels[:, None]).astype(np.float32)
            for name, score in partition_scores(points, labels, rng=rng).items():
                values.setdefault(name, []).append(score.value)
                errors.setdefault(name, []).append((score.high - score.low) / 3.92)
        for name in values:
            assert np.mean(errors[name]) == pytest.approx(np.std(values[name]), rel=0.3), name

    def test_one_cluster_has_no_score_but_a_reason(self):
        points = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
        for labels in (np.zeros(40, int), np.full(40, -1)):
            for score in partition_scores(points, labels, rng=np.random.default_rng(0)).values():
                assert score.value is None
                assert "needed are 2 or more" in score.reason

    def test_a_lone_object_allows_no_interval(self):
        points = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
        labels = np.r_[1, np.zeros(39, int)]
        score = partition_scores(points, labels, rng=np.random.default_rng(1))["silhouette"]
        assert score.value is None or score.low <= score.value <= score.high


class TestClusters:
    def test_islands_are_found_and_named(self):
        one, truth = islands()
        points, found = clusters(
            one, target_of(one, "kind"), settings=ClusterSettings(k=(3,), n_permutations=99),
            rng=np.random.default_rng(0),
        )  # fmt: skip
        assert len(points.rows) == 210
        for partition in found:
            assert partition.sizes[0] >= partition.sizes[-1]
            kept = partition.labels >= 0
            assert (
                metrics.adjusted_rand_score(truth[points.rows][kept], partition.labels[kept]) > 0.99
            )
        by_density, by_means = found
        assert by_means.sizes == (120, 60, 30)
        assert by_means.noise_fraction.value == 0.0
        assert by_means.scores["silhouette"].value > 0.8
        assert by_density.noise_fraction.value < 0.1
        rand = by_means.label.agreement["adjusted_rand"]
        assert (rand.value, rand.p_value) == (pytest.approx(1.0), 0.01)
        shares = {(row.cluster, row.label): row for row in by_means.label.per_cluster}
        assert shares[0, "a"].score.value == 1.0
        assert shares[0, "a"].score.low == pytest.approx(0.025 ** (1 / 120))
        assert shares[0, "b"].score.value == 0.0
        assert shares[0, "a"].p_adjusted <= 0.02
        for cluster, ids in enumerate(by_means.examples):
            rows = np.flatnonzero(np.isin(one.ids, ids))
            assert set(truth[rows]) == {cluster}
            assert len(ids) == 6

    def test_noise_is_kept_as_noise(self):
        one, _ = islands((60, 60))
        lone = np.eye(5, dtype=np.float32)[2:] * 400
        far = one.replace(
            vectors=np.concatenate([one.vectors, lone]), properties=None,
            ids=np.r_[one.ids, ["x", "y", "z"]], groups=np.r_[one.groups, ["x", "y", "z"]],
        )  # fmt: skip
        labels = hdbscan(far.vectors, 20)
        assert (labels[-3:] == -1).all()
        assert labels.max() == 1

    def test_the_order_of_the_rows_changes_no_density_cluster(self):
        one, _ = islands()
        order = np.random.default_rng(1).permutation(len(one))
        np.testing.assert_array_equal(
            hdbscan(one.vectors, 20)[order], hdbscan(one.vectors[order], 20)
        )

    def test_one_image_of_every_object(self):
        rng = np.random.default_rng(0)
        groups = np.array([f"o{i // 3}" for i in range(90)])
        one = embedded(rng.normal(size=(90, 4)).astype(np.float32), groups)
        points = cluster_points(one, rng=rng)
        assert sorted(one.groups[points.rows].tolist()) == sorted(set(groups.tolist()))

    def test_vote_fractions_have_means_with_intervals(self):
        one, truth = islands()
        rng = np.random.default_rng(0)
        votes = np.array([0.2, 0.5, 0.8])[truth] + rng.normal(0, 0.1, len(truth))
        masked = MaskedColumn(votes, mask=np.arange(len(truth)) % 5 == 0)
        one = one.replace(properties=QTable({"featured": masked}))
        target = target_of(one, "featured")
        report = label_report(truth, target, np.arange(len(truth)), n_permutations=99, rng=rng)
        means = {row.cluster: row.score for row in report.per_cluster}
        for cluster, expected in enumerate((0.2, 0.5, 0.8)):
            assert means[cluster].low < expected < means[cluster].high
        assert report.n_labelled == 168
        assert means[0].n == 96
        assert report.agreement["explained_share"].p_value == 0.01
        assert report.intervals["explained_share"].low > 0.5
        assert 0.3 < report.overall < 0.5

    @pytest.mark.parametrize(
        ("values", "known", "labels", "words"),
        [
            (np.zeros(60), np.ones(60, bool), np.arange(60) % 2, "is the same for all 60"),
            (np.arange(60) % 2, np.arange(60) < 9, np.arange(60) % 2, "got 9 objects with kind"),
            (np.arange(60) % 2, np.ones(60, bool), np.full(60, -1), "in one cluster"),
        ],
    )
    def test_no_agreement_says_why(self, values, known, labels, words):
        target = Target(name="kind", kind="class", values=values, known=known, classes=("a", "b"))
        report = label_report(labels, target, np.arange(60), rng=np.random.default_rng(0))
        assert words in report.reason
        assert report.agreement == {}

    def test_bad_input_gets_one_line(self):
        rng = np.random.default_rng(0)
        with pytest.raises(NotComputableError, match="got 19 objects"):
            clusters(embedded(rng.normal(size=(19, 3)).astype(np.float32)), rng=rng)
        with pytest.raises(NotComputableError, match="are the same"):
            clusters(embedded(np.ones((30, 3), dtype=np.float32)), rng=rng)
        for wrong in (
            {"k": (1,)}, {"n_components": 0}, {"min_cluster_size": 0}, {"density_neighbours": 0},
            {"n_permutations": 0},
        ):  # fmt: skip
            with pytest.raises(UsageError, match=f"clusters.{next(iter(wrong))}"):
                ClusterSettings(**wrong)
