"""Order, ties and the chance of every rank, of simulations on the same observed objects."""

import numpy as np
import pytest

from simreal.compare.ranking import Entry, chance_of_ranks, rank_entries
from simreal.compare.settings import InferenceSettings
from simreal.core.embedding import Embedding
from simreal.core.errors import FootingError, NotComputableError
from simreal.core.images import Setup

SETUP = Setup(track="rgb", bands=("r",), unit="display")
SETTINGS = InferenceSettings(n=40, n_subsamples=100)


def embedding(name, vectors, *, encoder="e", groups=None):
    ids = np.array([f"{name}-{i:03d}" for i in range(len(vectors))])
    return Embedding(
        name=name, sampling="random", vectors=vectors, ids=ids,
        groups=ids if groups is None else groups, setup=SETUP, encoder_digest=encoder,
        source_digest=name,
    )  # fmt: skip


def entries(shifts, seed=0, n=45):
    rng = np.random.default_rng(seed)
    obs = embedding("obs", rng.normal(size=(90, 3)))
    return [
        Entry(name=name, obs=obs, sim=embedding(name, rng.normal(size=(n, 3)) + shift))
        for name, shift in shifts.items()
    ]


def test_a_simulation_further_from_the_sky_has_a_later_rank():
    found = rank_entries(
        entries({"far": 2.0, "near": 0.0, "middle": 0.8}), metrics=["mmd", "coverage"],
        settings=SETTINGS, seed=0,
    )  # fmt: skip
    for one in found:
        # Coverage is larger where populations agree: its order must not come out reversed.
        assert one.reason == ""
        rank = dict(zip(one.names, one.ranks, strict=True))
        assert (rank["near"], rank["far"]) == (1, 3)
        assert one.metric == "coverage" or rank["middle"] == 2
        assert one.p_rank[1, 0] > (0.95 if one.metric == "mmd" else 0.4)
        assert one.p_rank[0, 2] > 0.95
        assert one.p_rank.sum(axis=0) == pytest.approx(np.ones(3))
        assert one.p_rank.sum(axis=1) == pytest.approx(np.ones(3))


def test_the_same_galaxies_under_two_names_differ_by_nothing():
    first = entries({"a": 0.5})[0]
    twin = Entry(name="b", obs=first.obs, sim=first.sim.replace(name="b"))
    (found,) = rank_entries([first, twin], metrics=["mmd"], settings=SETTINGS, seed=0)
    (pair,) = found.differences
    assert (pair.estimate.value, pair.estimate.low, pair.estimate.high) == (0.0, 0.0, 0.0)
    assert (pair.closer, pair.p_value, found.ranks) == (None, 1.0, (1, 1))
    assert pair.linked == 40


def test_linked_galaxies_make_a_difference_sharper():
    rng = np.random.default_rng(3)
    one = entries({"a": 0.5})[0]
    moved = one.sim.vectors + 0.25
    linked = Entry(name="b", obs=one.obs, sim=one.sim.replace(name="b", vectors=moved))
    names = np.array([f"other-{i:03d}" for i in range(len(moved))])
    loose = Entry(
        name="b", obs=one.obs,
        sim=one.sim.replace(name="b", vectors=moved[rng.permutation(45)], ids=names, groups=names),
    )  # fmt: skip
    widths = []
    for other in (linked, loose):
        (found,) = rank_entries([one, other], metrics=["mmd"], settings=SETTINGS, seed=0)
        estimate = found.differences[0].estimate
        widths.append(estimate.high - estimate.low)
    assert widths[0] < 0.7 * widths[1]


@pytest.mark.slow  # 60 trials: half a minute; pytest -m slow tests/compare/test_ranking.py
def test_two_samples_of_one_population_are_rarely_told_apart():
    """Level: of 60 trials at 5 % more than 8 are seen with a chance of 0.3 %."""
    told_apart = 0
    for seed in range(60):
        (found,) = rank_entries(
            entries({"a": 0.4, "b": 0.4}, seed=seed), metrics=["mmd"],
            settings=InferenceSettings(n=40, n_subsamples=50), seed=seed,
        )  # fmt: skip
        told_apart += found.differences[0].closer is not None
    assert told_apart <= 8


def test_more_pairs_ask_for_more():
    two = rank_entries(entries({"a": 0.0, "b": 0.5}), metrics=["mmd"], settings=SETTINGS, seed=0)
    four = rank_entries(
        entries({"a": 0.0, "b": 0.5, "c": 0.5, "d": 0.5}), metrics=["mmd"], settings=SETTINGS,
        seed=0,
    )  # fmt: skip
    assert two[0].differences[0].p_adjusted == two[0].differences[0].p_value
    assert all(one.p_adjusted >= one.p_value for one in four[0].differences)
    assert any(one.p_adjusted > one.p_value for one in four[0].differences)


def test_the_chance_of_ranks_follows_errors_and_keeps_what_is_shared():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=4000)
    # Both move together: the order is certain although either alone moves much more.
    draws = np.stack([shared, shared + 0.01 * rng.normal(size=4000)])
    chances = chance_of_ranks(np.array([0.0, 0.1]), draws, np.ones(2))
    assert chances[0, 0] > 0.99
    # Alone, the difference of two has standard error sqrt(2): P = Phi(0.1 / sqrt(2)) = 0.528.
    apart = np.stack([shared, rng.normal(size=4000)])
    chances = chance_of_ranks(np.array([0.0, 0.1]), apart, np.ones(2))
    assert chances[0, 0] == pytest.approx(0.528, abs=0.03)


def test_what_cannot_be_ranked_is_refused_or_says_why():
    a, b = entries({"a": 0.0, "b": 0.5})
    with pytest.raises(NotComputableError, match="2 or more"):
        rank_entries([a], metrics=["mmd"], settings=SETTINGS, seed=0)
    other = Entry(
        name="b", obs=b.obs.replace(encoder_digest="f"), sim=b.sim.replace(encoder_digest="f")
    )
    with pytest.raises(FootingError, match="different encoders"):
        rank_entries([a, other], metrics=["mmd"], settings=SETTINGS, seed=0)
    elsewhere = b.obs.replace(groups=np.char.add("x", b.obs.groups))
    with pytest.raises(NotComputableError, match="0 observed groups in common"):
        rank_entries(
            [a, Entry(name="b", obs=elsewhere, sim=b.sim)], metrics=["mmd"], settings=SETTINGS,
            seed=0,
        )  # fmt: skip
    (found,) = rank_entries([a, b], metrics=["density"], settings=SETTINGS, seed=0)
    assert "does not say which of two" in found.reason
    assert found.ranks == ()


def test_observed_stamps_may_differ_between_entries_but_not_their_objects():
    a, b = entries({"a": 0.0, "b": 1.0})
    fewer = b.obs.rows(np.arange(10, 90))
    redone = Entry(name="b", obs=fewer.replace(vectors=fewer.vectors + 0.01), sim=b.sim)
    (found,) = rank_entries([a, redone], metrics=["mmd"], settings=SETTINGS, seed=0)
    assert (found.ranks, found.n) == ((1, 2), 40)
