"""Splits never put one object on two sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import ImageSet, Setup
from simreal.data.split import halves, split_by_group

VIEWS = st.lists(st.integers(1, 4), min_size=8, max_size=20)


@given(VIEWS, st.lists(st.integers(2, 4), min_size=1, max_size=4), st.integers(0, 99))
def test_parts_share_no_group_and_use_every_row(views, weights, seed):
    groups = [f"g{i}" for i, n in enumerate(views) for _ in range(n)]
    fractions = np.array(weights) / sum(weights)
    parts = split_by_group(groups, fractions, rng=np.random.default_rng(seed))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(groups)))
    sides = [{groups[i] for i in part} for part in parts]
    assert sum(len(side) for side in sides) == len(set(groups))
    for side, fraction in zip(sides, fractions, strict=True):
        # Edges are rounded, so a part is off by less than one group.
        assert abs(len(side) - fraction * len(set(groups))) <= 1


def test_part_of_the_groups_can_be_left_out():
    parts = split_by_group(np.arange(100).astype(str), [0.2, 0.3], rng=np.random.default_rng(0))
    assert [len(part) for part in parts] == [20, 30]


def test_every_group_is_as_likely_on_either_side():
    # Binomial: 2,000 draws at 1/2 have sigma 22; 5 sigma is 112.
    groups = np.arange(6).astype(str)
    rng = np.random.default_rng(4)
    counts = np.zeros(6)
    for _ in range(2000):
        counts[split_by_group(groups, [0.5, 0.5], rng=rng)[0]] += 1
    assert np.abs(counts - 1000).max() < 112


@pytest.mark.parametrize("fractions", [[], [0.0, 1.0], [0.7, 0.7], [-0.1], [np.nan]])
def test_odd_fractions_are_refused(fractions):
    with pytest.raises(UsageError, match="fractions"):
        split_by_group(["a", "b"], fractions, rng=np.random.default_rng(0))


def test_too_few_groups_are_refused():
    with pytest.raises(NotComputableError, match="2 groups"):
        split_by_group(["a", "b"], [0.4, 0.3, 0.3], rng=np.random.default_rng(0))


def image_set(groups):
    n = len(groups)
    return ImageSet(
        name="sky",
        role="observed",
        sampling="random",
        images=np.random.default_rng(0).random((n, 1, 2, 2), dtype=np.float32),
        ids=np.arange(n).astype(str),
        groups=np.array(groups),
        setup=Setup(track="rgb", bands=("a",), unit="display"),
    )


def test_halves_are_disjoint_named_and_repeatable():
    whole = image_set([f"g{i // 3}" for i in range(30)])
    a, b = halves(whole, seed=5)
    assert (a.name, b.name) == ("sky half A", "sky half B")
    assert not set(a.groups) & set(b.groups)
    assert a.n_groups == b.n_groups == 5
    assert sorted([*a.ids, *b.ids]) == sorted(whole.ids)
    assert a.history[-1].name == "split"
    again, _ = halves(whole, seed=5)
    assert again.digest == a.digest
    assert halves(whole, seed=6)[0].digest != a.digest


def test_one_group_has_no_halves():
    with pytest.raises(NotComputableError, match="1 groups"):
        halves(image_set(["a", "a"]), seed=0)
