"""The scale a value is read on: ceiling and excess; and what a comparison could have seen."""

import numpy as np
import pytest

from simreal.compare.contract import fit_metric
from simreal.compare.metrics import mmd, sliced_wasserstein
from simreal.compare.power import detectable_shift, smallest_seen
from simreal.compare.run import compare_embeddings
from simreal.compare.sample import Sample
from simreal.compare.settings import InferenceSettings
from simreal.core.embedding import Embedding
from simreal.core.errors import FootingError, NotComputableError
from simreal.core.images import Setup

SETUP = Setup(track="rgb", bands=("luminance",), unit="display")
QUICK = InferenceSettings(n_permutations=99, n_floor_splits=50, n_subsamples=60, power=False)
METRICS = ("mmd", "sliced_wasserstein", "occupancy")


def embedding(name, n, *, shift=0.0, seed=0, d=8, **changes):
    vectors = np.random.default_rng([seed, n]).normal(size=(n, d))
    vectors[:, 0] += shift
    ids = np.array([f"{name}{i}" for i in range(n)])
    fields = {
        "name": name, "sampling": "random", "vectors": vectors.astype(np.float32), "ids": ids,
        "groups": ids, "setup": SETUP, "encoder_digest": "e", "source_digest": name,
    }  # fmt: skip
    return Embedding(**(fields | changes))


OBS = embedding("o", 200, seed=1)
MOCK = embedding("bad", 120, shift=4.0, seed=3)


def excesses(sim, **changes):
    found = compare_embeddings(
        OBS, sim, metrics=METRICS, seed=0, settings=QUICK, ceiling=MOCK, **changes
    )
    return {one.metric: one for one in found.comparisons}


def test_the_excess_is_zero_at_the_floor():
    """18 intervals at 95 %: more than 4 that leave out zero have a probability of 0.002."""
    found = [
        one.excess for seed in range(6) for one in excesses(embedding("s", 100, seed=seed)).values()
    ]
    assert sum(not one.low <= 0 <= one.high for one in found) <= 4


def test_the_excess_is_one_at_the_ceiling():
    for one in excesses(embedding("s", 100, shift=4.0, seed=2)).values():
        assert one.ceiling > one.floor.high
        assert one.excess.low <= 1 <= one.excess.high


def test_the_excess_grows_with_the_defect():
    found = [excesses(embedding("s", 100, shift=x, seed=2))["mmd"].excess.value for x in (0, 1, 2)]
    assert found == sorted(found)


def test_a_ceiling_that_is_no_worse_than_the_sky_gives_no_excess():
    found = compare_embeddings(
        OBS,
        embedding("s", 100, seed=2),
        metrics=["mmd"],
        seed=0,
        settings=QUICK,
        ceiling=embedding("good", 120, seed=5),
    ).comparisons[0]
    assert found.excess.value is None
    assert "ceiling" in found.excess.reason


def test_a_mock_made_of_the_observed_objects_is_not_compared_with_itself():
    mock = OBS.replace(name="mock", vectors=OBS.vectors + np.float32(4))
    found = excesses(embedding("s", 100, seed=2))
    made = compare_embeddings(
        OBS, embedding("s", 100, seed=2), metrics=METRICS, seed=0, settings=QUICK, ceiling=mock
    )
    assert made.comparisons[0].excess is not None
    assert [one.estimate.value for one in made.comparisons] == [
        found[name].estimate.value for name in METRICS
    ]


def test_too_small_a_mock_is_one_line():
    with pytest.raises(NotComputableError, match=r"ceiling tiny: 30 groups.*100 are needed"):
        compare_embeddings(
            OBS,
            embedding("s", 100, seed=2),
            metrics=["mmd"],
            seed=0,
            settings=QUICK,
            ceiling=embedding("tiny", 30, shift=4.0),
        )


def test_a_mock_of_another_encoder_is_refused():
    with pytest.raises(FootingError, match="different encoders"):
        compare_embeddings(
            OBS,
            embedding("s", 100),
            metrics=["mmd"],
            seed=0,
            settings=QUICK,
            ceiling=embedding("bad", 120, encoder_digest="other"),
        )


def test_bisection_finds_the_step_or_nothing():
    for step in (0.05, 0.4, 3.0):
        # Six halvings of log(4 / .03) leave a factor of 1.08.
        assert smallest_seen(lambda x, s=step: float(x >= s)) == pytest.approx(step, rel=0.08)
    assert smallest_seen(lambda _: 0.0) is None


@pytest.mark.parametrize("module", [mmd, sliced_wasserstein])
def test_the_stated_shift_is_seen_and_a_third_of_it_is_not(module):
    """New data, the stated shift on one axis: 80 % of 60 trials, give or take three standard
    errors (16 %) and as much again for the 40 pairs the shift was found with."""
    rng = np.random.default_rng(0)
    n, d = 60, 6
    obs = rng.normal(size=(4 * n, d)).astype(np.float32)
    sample = Sample.of(obs, obs[:n] + 0)
    metric = fit_metric(module, sample.pooled, rng=rng)
    found = detectable_shift(metric, module.META, sample, rng=rng)
    assert found.n == n

    def values(shift, trials):
        draws = []
        for _ in range(trials):
            points = rng.normal(size=(2 * n, d)).astype(np.float32)
            points[:n, 0] += shift
            sim = (np.arange(2 * n) < n)[None]
            draws.append(metric.values(points, sim, ~sim)[0])
        return np.array(draws)

    critical = np.quantile(values(0.0, 400), 0.95)
    assert 0.5 < np.mean(values(found.shift, 60) > critical) <= 1
    assert np.mean(values(found.shift / 3, 60) > critical) < 0.5
    assert f"n = {n}" in found.sentence


def test_more_objects_see_less():
    rng = np.random.default_rng(1)

    def stated(n):
        sample = Sample.of(
            rng.normal(size=(2 * n, 6)).astype(np.float32),
            rng.normal(size=(n, 6)).astype(np.float32),
        )
        metric = fit_metric(mmd, sample.pooled, rng=rng)
        return detectable_shift(metric, mmd.META, sample, rng=np.random.default_rng(0)).shift

    few, many = stated(40), stated(360)
    # The shift falls with the root of n: a third, within the factor that 40 pairs leave open.
    assert 0.2 < many / few < 0.5


def test_no_floor_no_statement():
    points = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
    sample = Sample.of(points, points[:10])
    metric = fit_metric(mmd, sample.pooled, rng=np.random.default_rng(0))
    assert detectable_shift(metric, mmd.META, sample, rng=np.random.default_rng(0)) is None
