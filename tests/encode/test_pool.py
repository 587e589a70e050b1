"""The pool knows nothing of sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSet, Setup
from simreal.encode.pool import pixels_of, pool_sets

SETUP = Setup(track="rgb", bands=("red",), unit="display")


def stamps(name, pixels, groups, role="observed", **changes):
    n = len(pixels)
    return ImageSet(
        name=name,
        role=role,
        sampling="random",
        images=np.asarray(pixels, np.float32),
        ids=np.array([f"{name}-{i}" for i in range(n)]),
        groups=np.array(list(groups), dtype=str),
        setup=SETUP,
        **changes,
    )


def partition(groups):
    """Which rows are together, without the numbers of the groups."""
    return [np.flatnonzero(groups == g).tolist() for g in groups]


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=12),
)
def test_the_order_of_the_sides_changes_nothing(left, right):
    # Few grey levels, so that equal images meet within and across sides and groups.
    sets = [
        stamps(name, [np.full((1, 2, 2), grey) for grey, _ in rows], [g for _, g in rows])
        for name, rows in (("a", left), ("b", right))
    ]
    one, other = pool_sets(sets), pool_sets(sets[::-1])
    np.testing.assert_array_equal(one.read(slice(None)), other.read(slice(None)))
    assert partition(one.groups) == partition(other.groups)
    np.testing.assert_array_equal(one.groups, other.groups)


def test_names_ids_and_roles_change_nothing():
    rng = np.random.default_rng(0)
    pixels = rng.random((6, 1, 4, 4))
    one = pool_sets([stamps("a", pixels, "aabbcc")])
    other = pool_sets([stamps("z", pixels, "xxyyzz", role="simulated")])
    np.testing.assert_array_equal(one.order, other.order)
    np.testing.assert_array_equal(one.groups, other.groups)


def test_groups_of_one_name_on_two_sides_are_two_objects():
    rng = np.random.default_rng(0)
    sets = [stamps(name, rng.random((3, 1, 4, 4)), "aab") for name in "pq"]
    assert len(np.unique(pool_sets(sets).groups)) == 4


@given(st.permutations(range(7)))
def test_reading_rows_is_indexing(rows):
    rng = np.random.default_rng(1)
    pixels = rng.random((7, 1, 3, 3), dtype=np.float32)
    pool = pool_sets([stamps("a", pixels[:3], "abc"), stamps("b", pixels[3:], "abcd")])
    everything = pool.read(slice(None))
    np.testing.assert_array_equal(pool.read(np.array(rows)), everything[rows])
    assert {p.tobytes() for p in everything} == {p.tobytes() for p in pixels}


def test_masked_pixels_read_the_median_of_the_others_and_missing_bands_nothing():
    pixels = np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2)
    pixels[0, 0, 0, 0] = np.nan
    mask = np.isnan(pixels)
    mask[1] = True
    filled = pixels_of(stamps("a", pixels, "ab", mask=mask)).read(slice(None))
    assert filled[0, 0].ravel().tolist() == [2, 1, 2, 3]
    assert np.isnan(filled[1]).all()


def test_counts_stay_counts_where_they_are_masked():
    pixels = np.array([[5, 2, 3, 9], [5, 2.5, 3, 9]], np.float32).reshape(2, 1, 2, 2)
    mask = np.zeros(pixels.shape, bool)
    mask[:, 0, 1, 1] = True
    mask[:, 0, 0, 0] = True
    filled = pixels_of(stamps("a", pixels, "ab", mask=mask)).read(slice(None))
    # Between 2 and 3 lies 2.5, of 2.5 and 3 it is 2.75: the first image holds whole numbers.
    assert filled[:, 0, 0, 0].tolist() == [2.0, 2.75]


def test_sets_of_two_kinds_are_refused():
    one = stamps("a", np.zeros((2, 1, 4, 4)), "ab")
    other = stamps("b", np.zeros((2, 1, 5, 5)), "ab")
    with pytest.raises(NotComputableError, match=r"\(1, 4, 4\) in 'a' and \(1, 5, 5\) in 'b'"):
        pool_sets([one, other])
    with pytest.raises(NotComputableError, match="one or more"):
        pool_sets([])
