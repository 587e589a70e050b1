"""Strata: the same numbers in every stratum, labels shuffled inside, and honest errors."""

import numpy as np
import pytest
from astropy.table import QTable

from simreal.compare.run import compare_embeddings
from simreal.compare.sample import draw_sample, usable_n
from simreal.compare.settings import InferenceSettings
from simreal.compare.strata import make_strata
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import Setup
from simreal.stats.groups import kish_effective_size, permuted_labels

SETUP = Setup(track="rgb", bands=("luminance",), unit="display")


def embedding(name, mass, *, seed=0, d=4, views=1, **columns):
    rng = np.random.default_rng(seed)
    mass = np.repeat(np.asarray(mass, dtype=float), views)
    vectors = rng.normal(size=(len(mass), d))
    vectors[:, 0] += mass
    ids = np.array([f"{name}{i}" for i in range(len(mass))])
    return Embedding(
        name=name,
        sampling="random",
        vectors=vectors.astype(np.float32),
        ids=ids,
        groups=np.repeat(ids[::views], views),
        setup=SETUP,
        encoder_digest="e",
        source_digest=name,
        properties=QTable({"mass": mass, **columns}),
    )


def masses(n, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(size=n) + shift


def test_both_sides_have_the_same_numbers_in_every_stratum():
    obs, sim = embedding("o", masses(400, seed=1)), embedding("s", masses(150, 0.7, seed=2))
    strata = make_strata(obs, sim, names=["mass"])
    n = usable_n(obs, sim, strata=strata)
    sample, _, record = draw_sample(obs, sim, n=n, seed=0, strata=strata)
    np.testing.assert_array_equal(
        np.bincount(sample.strata[sample.is_sim]), np.bincount(sample.strata[~sample.is_sim])
    )
    balance = record["strata"]["balance"][0]
    assert balance["before"] > 0.5
    # 15 strata leave at most the width of one: a tenth of a deviation is the usual limit.
    assert abs(balance["after"]) < 0.1
    assert record["strata"]["effective_size_sim"] < 150


def test_labels_are_shuffled_inside_strata():
    labels = np.array([True] * 5 + [False] * 5 + [True] * 2 + [False] * 8)
    strata = np.repeat([0, 1], 10)
    shuffled = permuted_labels(labels, 200, rng=np.random.default_rng(0), strata=strata)
    assert (shuffled[:, :10].sum(axis=1) == 5).all()
    assert (shuffled[:, 10:].sum(axis=1) == 2).all()
    assert len(np.unique(shuffled, axis=0)) > 150


def test_a_group_counts_once_with_the_mean_of_its_views():
    obs, sim = embedding("o", masses(80, seed=1), views=2), embedding("s", masses(40, seed=2))
    strata = make_strata(obs, sim, names=["mass"], bins=4)
    assert (len(strata.obs), len(strata.sim)) == (80, 40)


def test_a_group_without_a_value_is_in_no_stratum():
    sim = embedding("s", masses(40, seed=2))
    table = QTable({"mass": np.where(np.arange(40) < 5, np.nan, sim.properties["mass"])})
    obs = embedding("o", masses(80))
    strata = make_strata(obs, sim.replace(properties=table), names=["mass"], bins=4)
    assert (strata.sim == -1).sum() == 5
    assert strata.usable(floor=True).sum() <= 35


def test_several_properties_make_joint_strata():
    size = {"size": np.arange(200.0)}
    obs = embedding("o", masses(200, seed=1), **size)
    sim = embedding("s", masses(200, seed=2), **size)
    strata = make_strata(obs, sim, names=["mass", "size"])
    assert strata.bins == 4
    assert set(np.unique(strata.obs)) == set(range(16))


@pytest.mark.parametrize(
    ("names", "bins", "words"),
    [(["masss"], 4, r"no numeric property 'masss'.*mass"), (["mass"], 1, "1 bins")],
)
def test_a_wrong_stratum_is_one_line(names, bins, words):
    obs, sim = embedding("o", masses(40)), embedding("s", masses(40))
    with pytest.raises(UsageError, match=words) as found:
        make_strata(obs, sim, names=names, bins=bins)
    assert "\n" not in str(found.value)


def test_no_common_stratum_is_not_computable():
    obs, sim = embedding("o", masses(50)), embedding("s", masses(50, 100.0))
    with pytest.raises(NotComputableError, match="no stratum in common"):
        make_strata(obs, sim, names=["mass"], bins=2)


def test_zero_weights_are_refused_and_equal_ones_are_worth_their_number():
    assert kish_effective_size(np.full(7, 0.3)) == pytest.approx(7)
    for bad, words in (
        (np.zeros(5), "all 5 are zero"),
        ([1, -1], "negative"),
        ([np.nan], "finite"),
    ):
        with pytest.raises(NotComputableError, match=words):
            kish_effective_size(bad)


def test_a_difference_at_fixed_mass_is_still_found():
    obs, sim = embedding("o", masses(600, seed=1)), embedding("s", masses(250, 0.7, seed=2))
    vectors = sim.vectors.copy()
    vectors[:, 1] += 1
    found = compare_embeddings(
        obs,
        sim.replace(vectors=vectors),
        metrics=["mmd"],
        seed=0,
        settings=InferenceSettings(
            n_permutations=99, n_floor_splits=50, n_subsamples=50, strata=("mass",), power=False
        ),
    )
    assert found.comparisons[0].p_value == 0.01
    assert found.transform["strata"]["properties"] == ["mass"]
