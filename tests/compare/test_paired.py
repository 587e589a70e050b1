"""Simulation A against B on the same observed objects."""

import numpy as np
import pytest

from simreal.compare.paired import compare_paired
from simreal.compare.settings import InferenceSettings
from simreal.core.embedding import Embedding
from simreal.core.errors import FootingError, NotComputableError
from simreal.core.images import Setup

SETUP = Setup(track="rgb", bands=("luminance",), unit="display")
QUICK = InferenceSettings(n_subsamples=100)


def embedding(name, n, *, shift=0.0, seed=0, d=6, digest="e"):
    vectors = np.random.default_rng([seed, n]).normal(size=(n, d))
    vectors[:, 0] += shift
    ids = np.array([f"{name}{i}" for i in range(n)])
    return Embedding(
        name=name,
        sampling="random",
        vectors=vectors.astype(np.float32),
        ids=ids,
        groups=ids,
        setup=SETUP,
        encoder_digest=digest,
        source_digest=name,
    )


OBS = embedding("o", 150, seed=1)
METRICS = ("mmd", "sliced_wasserstein", "coverage")


def paired(shift_a, shift_b, *, seeds=(2, 3), metrics=METRICS):
    a = embedding("a", 120, shift=shift_a, seed=seeds[0])
    b = embedding("b", 120, shift=shift_b, seed=seeds[1])
    return compare_paired(OBS, a, b, metrics=metrics, settings=QUICK, seed=0)


def test_the_closer_simulation_is_named_whichever_tail_is_far():
    for one in paired(0.2, 2.5):
        assert one.closer == "a", one.metric
        assert one.p_adjusted < 0.05
    assert {one.closer for one in paired(2.5, 0.2)} == {"b"}


def test_swapping_the_two_swaps_the_sign():
    a, b = embedding("a", 100, shift=0.5, seed=2), embedding("b", 100, shift=1.5, seed=3)
    one, other = (
        compare_paired(OBS, *pair, metrics=["mmd"], settings=QUICK, seed=0)[0]
        for pair in ((a, b), (b, a))
    )
    # The groups drawn of each are named by role, so that values agree to sampling error only.
    assert np.sign(one.difference.value) == -np.sign(other.difference.value)


def test_equal_simulations_tie_as_often_as_they_should():
    """40 pairs that are equally far: 95 % intervals leave out zero in 2 on average, and in 7 or
    more with a probability of 0.003."""
    wrong = sum(
        paired(1.0, 1.0, seeds=(10 + 2 * s, 11 + 2 * s), metrics=["mmd"])[0].closer is not None
        for s in range(40)
    )
    assert wrong <= 6


def test_a_metric_that_cannot_be_computed_says_why():
    few = compare_paired(
        embedding("o", 12), embedding("a", 12), embedding("b", 12),
        metrics=["occupancy", "mmd"], settings=QUICK, seed=0,
    )  # fmt: skip
    assert few[0].difference.value is None
    assert "needs 20 groups" in few[0].difference.reason
    assert few[1].difference.value is not None


def test_other_encoders_and_too_few_groups_are_refused():
    a, b = embedding("a", 50), embedding("b", 50, digest="other")
    with pytest.raises(FootingError):
        compare_paired(OBS, a, b, metrics=["mmd"], seed=0)
    with pytest.raises(NotComputableError, match="3 groups each"):
        compare_paired(OBS, a, embedding("b", 3), metrics=["mmd"], seed=0)
