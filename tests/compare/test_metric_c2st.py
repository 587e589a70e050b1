import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from simreal.compare.classifier import (
    HeldOutClassifier,
    MlpLearner,
    accuracy,
    auc,
    learn_logistic,
)
from simreal.compare.contract import HeldOut
from simreal.compare.inference import p_value, permutation_statistics
from simreal.compare.metrics import c2st, c2st_auc, c2st_mlp
from simreal.compare.sample import Sample
from simreal.core.errors import NotComputableError
from simreal.stats.groups import permuted_labels, random_masks
from simreal.stats.logistic import fit_logistic


def cloud(n, d=4, seed=0, shift=0.0):
    points = np.random.default_rng([seed, n, d]).normal(size=(n, d))
    points[:, 0] += shift
    return points


@pytest.mark.parametrize(("n", "m"), [(60, 60), (80, 30)])
@pytest.mark.parametrize("shift", [0.0, 1.0, 50.0])
def test_the_fit_is_sklearns(n, m, shift):
    x = np.concatenate([cloud(n), cloud(m, seed=1, shift=shift)])
    is_sim = np.arange(n + m) >= n
    theirs = LogisticRegression(class_weight="balanced", tol=1e-12, max_iter=10_000)
    theirs.fit(x, is_sim)
    weights, intercept = fit_logistic(x, is_sim)
    np.testing.assert_allclose(weights, theirs.coef_[0], rtol=1e-6, atol=1e-6)
    assert intercept == pytest.approx(theirs.intercept_[0], rel=1e-6, abs=1e-6)


@given(st.integers(0, 10_000))
def test_verdicts_are_sklearns(seed):
    """With ties: scores are whole numbers."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 4, 40).astype(float) + 0.5
    sim = random_masks(np.arange(40) < 25, 12, 3, rng=rng)
    obs = random_masks(np.arange(40) >= 25, 9, 3, rng=rng)
    for i, found in enumerate(auc(scores, sim, obs)):
        used = sim[i] | obs[i]
        assert found == pytest.approx(roc_auc_score(sim[i][used], scores[used]), rel=1e-12)
    for i, found in enumerate(accuracy(scores, sim, obs)):
        used = sim[i] | obs[i]
        expected = balanced_accuracy_score(sim[i][used], scores[used] > 0)
        assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("shift", "best_accuracy", "best_auc"),
    [(0.5, 0.599, 0.638), (1, 0.691, 0.760), (2, 0.841, 0.921), (3, 0.933, 0.983)],
)
def test_the_best_possible_accuracy_and_auc_of_a_shift(shift, best_accuracy, best_auc):
    """Φ(δ/2) and Φ(δ/√2). 10,000 objects a side are held out: the accuracy is known to
    √(.25/20,000) = .0035, the AUC to .004 or better; fitting 5 numbers to 20,000 costs less."""
    assert best_accuracy == pytest.approx(ndtr(shift / 2), abs=6e-4)
    assert best_auc == pytest.approx(ndtr(shift / 2**0.5), abs=6e-4)
    obs, sim = cloud(20_000), cloud(20_000, seed=1, shift=shift)
    rng = np.random.default_rng(0)
    assert c2st.statistic(obs, sim, rng=rng) == pytest.approx(best_accuracy, abs=0.012)
    assert c2st_auc.statistic(obs, sim, rng=rng) == pytest.approx(best_auc, abs=0.013)


def test_accuracy_and_auc_judge_the_same_fit():
    points = np.concatenate([cloud(60), cloud(60, seed=1, shift=1)])
    is_sim = np.arange(120) >= 60
    fixed = [
        module.fit(points, rng=np.random.default_rng(3)).held_out(points, is_sim)
        for module in (c2st, c2st_auc)
    ]
    np.testing.assert_array_equal(fixed[0][1], fixed[1][1])
    np.testing.assert_array_equal(fixed[0][0].score(points), fixed[1][0].score(points))
    assert "c2st_auc" in c2st.NOTE
    assert "c2st is" in c2st_auc.NOTE


@pytest.mark.parametrize("module", [c2st, c2st_auc, c2st_mlp])
def test_the_value_is_the_verdict_on_the_held_out_half(module):
    points = np.concatenate([cloud(40), cloud(40, seed=1, shift=1)]).astype(np.float32)
    is_sim = np.arange(80) >= 40
    metric = module.fit(points, rng=np.random.default_rng(0))
    assert isinstance(metric, HeldOut)
    fixed, rest = metric.held_out(points, is_sim)
    assert (rest & is_sim).sum() == (rest & ~is_sim).sum() == 20
    verdict = fixed.values(points[rest], is_sim[None, rest], ~is_sim[None, rest])
    assert metric.values(points, is_sim[None], ~is_sim[None])[0] == verdict[0]


def test_what_is_held_out_is_the_same_for_every_view():
    points = np.concatenate([cloud(40), cloud(30, seed=1)])
    is_sim = np.arange(70) >= 40
    metric = c2st.fit(points, rng=np.random.default_rng(0))
    other_view = points + np.random.default_rng(1).normal(size=points.shape)
    _, one = metric.held_out(points, is_sim)
    _, two = metric.held_out(other_view, is_sim)
    np.testing.assert_array_equal(one, two)
    assert (~one & is_sim).sum() == 15
    assert (~one & ~is_sim).sum() == 20


def test_it_learns_from_no_label_it_is_tested_on():
    """Labels of the held-out half do not move the scores; those of the other half do."""
    points = np.concatenate([cloud(40), cloud(40, seed=1)])
    is_sim = np.arange(80) >= 40
    metric = c2st.fit(points, rng=np.random.default_rng(0))
    fixed, rest = metric.held_out(points, is_sim)
    trained = np.flatnonzero(~rest)
    again = learn_logistic(points[trained], is_sim[trained])
    np.testing.assert_allclose(fixed.score(points), again(points), rtol=1e-9, atol=1e-12)
    swapped = learn_logistic(points[trained], ~is_sim[trained])
    np.testing.assert_allclose(swapped(points), -again(points), rtol=1e-6, atol=1e-9)


def test_reusing_the_training_half_is_caught():
    """Judged on what it learned, a classifier tells identical populations apart."""
    rng = np.random.default_rng(0)
    honest, cheating = [], []
    for _ in range(40):
        points = rng.normal(size=(120, 16))
        is_sim = np.arange(120) >= 60
        fixed, rest = c2st_auc.fit(points, rng=rng).held_out(points, is_sim)
        for found, used in ((honest, rest), (cheating, ~rest)):
            labels = permuted_labels(is_sim[used], 99, rng=rng)
            found.append(p_value(fixed.values(points[used], labels, ~labels)) <= 0.05)
    # 40 trials at 5 %: more than 7 rejections with probability 1 %.
    assert np.sum(honest) <= 7
    assert np.mean(cheating) > 0.9


def test_the_test_sees_a_shift():
    sample = Sample.of(
        cloud(100, 16).astype(np.float32), cloud(100, 16, seed=1, shift=1.5).astype(np.float32)
    )
    for module in (c2st, c2st_auc):
        metric = module.fit(sample.pooled, rng=np.random.default_rng(0))
        statistics = permutation_statistics(metric, sample, 199, rng=np.random.default_rng(1))
        assert p_value(statistics) <= 0.01


def test_only_the_network_sees_a_width():
    """Twice the width in 4 dimensions: no plane separates it, a sphere does (AUC .88)."""
    obs, sim = cloud(400), 2 * cloud(400, seed=1)
    rng = np.random.default_rng(0)
    assert c2st_auc.statistic(obs, sim, rng=rng) == pytest.approx(0.5, abs=0.1)
    assert c2st_mlp.statistic(obs, sim, rng=rng) > 0.75


def test_each_side_weighs_the_same_whatever_its_number():
    """Called all observed, the ten times more numerous side would give .91."""
    value = c2st.statistic(cloud(1000), cloud(100, seed=1), rng=np.random.default_rng(0))
    assert value == pytest.approx(0.5, abs=4 * (0.25 / 50 + 0.25 / 500) ** 0.5 / 2)


def test_constant_axes_and_separated_sides_are_no_obstacle():
    obs, sim = cloud(40), cloud(40, seed=1, shift=1e4)
    obs[:, 1] = sim[:, 1] = 3.0
    for module in (c2st, c2st_auc, c2st_mlp):
        assert module.statistic(obs, sim, rng=np.random.default_rng(0)) == 1.0
    same = np.ones((40, 3))
    assert c2st.statistic(same, same, rng=np.random.default_rng(0)) == 0.5
    assert c2st_auc.statistic(same, same, rng=np.random.default_rng(0)) == 0.5


def test_one_object_cannot_be_learned_from_and_tested_on():
    points = cloud(5)
    metric = HeldOutClassifier.of(
        points, learn=MlpLearner(), judge=auc, note="", rng=np.random.default_rng(0)
    )
    with pytest.raises(NotComputableError, match="1 simulated and 4 observed"):
        metric.held_out(points, np.arange(5) < 1)
