import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.errors import UsageError
from simreal.stats.groups import (
    choose,
    group_rows,
    permuted_labels,
    random_masks,
    smallest_group,
    thin_views,
)

group_names = st.lists(st.sampled_from(["a", "b", "c", "dd", "e"]), min_size=1, max_size=30)
seeds = st.integers(0, 2**32 - 1)


@given(group_names)
def test_groups_partition_the_rows(names):
    groups = np.array(names)
    rows_of = group_rows(groups)
    assert sorted(np.concatenate(rows_of).tolist()) == list(range(len(groups)))
    assert [groups[rows[0]] for rows in rows_of] == sorted(set(names))
    assert all(len(set(groups[rows])) == 1 for rows in rows_of)


@given(group_names, seeds)
def test_with_ids_the_order_of_the_table_does_not_matter(names, seed):
    groups = np.array(names)
    ids = np.array([f"id{i:02d}" for i in range(len(groups))])
    order = np.random.default_rng(seed).permutation(len(groups))
    before = [ids[rows].tolist() for rows in group_rows(groups, ids)]
    after = [ids[order][rows].tolist() for rows in group_rows(groups[order], ids[order])]
    assert before == after


def test_no_rows_no_groups():
    assert group_rows(np.array([], dtype=str)) == ()
    assert smallest_group(()) == 0


@given(group_names, seeds)
def test_each_round_has_one_view_of_every_group_and_no_view_twice(names, seed):
    rows_of = group_rows(np.array(names))
    m = smallest_group(rows_of)
    rounds = thin_views(rows_of, m, rng=np.random.default_rng(seed))
    assert rounds.shape == (m, len(rows_of))
    assert len(set(rounds.ravel().tolist())) == rounds.size
    for column, rows in zip(rounds.T, rows_of, strict=True):
        assert set(column.tolist()) <= set(rows.tolist())


def test_every_view_is_as_likely_as_another():
    rows_of = group_rows(np.array(["a"] * 4 + ["b"]))
    rng = np.random.default_rng(0)
    first = [thin_views(rows_of, 1, rng=rng)[0, 0] for _ in range(2000)]
    counts = np.bincount(first, minlength=4)
    # Binomial(2000, 1/4): standard deviation 19.4; five of them.
    assert np.abs(counts - 500).max() < 97


def test_more_views_than_there_are_is_refused():
    rows_of = group_rows(np.array(["a", "a", "b"]))
    with pytest.raises(UsageError, match="got 2, allowed are 1 to 1"):
        thin_views(rows_of, 2, rng=np.random.default_rng(0))


@given(st.integers(1, 40), seeds)
def test_chosen_groups_are_distinct_and_in_order(n_groups, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, n_groups + 1))
    chosen = choose(n_groups, n, rng=rng)
    assert len(chosen) == n
    assert (np.diff(chosen) > 0).all()
    assert 0 <= chosen[0] <= chosen[-1] < n_groups


@given(st.lists(st.booleans(), min_size=2, max_size=30), seeds)
def test_permuted_labels_keep_their_numbers_and_start_with_the_truth(labels, seed):
    labels = np.array(labels)
    many = permuted_labels(labels, 7, rng=np.random.default_rng(seed))
    assert many.shape == (8, len(labels))
    assert (many[0] == labels).all()
    assert (many.sum(axis=1) == labels.sum()).all()


@given(st.lists(st.booleans(), min_size=1, max_size=30), seeds)
def test_masks_hold_members_only(members, seed):
    members = np.array(members)
    size = int(members.sum()) // 2
    masks = random_masks(members, size, 5, rng=np.random.default_rng(seed))
    assert (masks.sum(axis=1) == size).all()
    assert not (masks & ~members).any()
