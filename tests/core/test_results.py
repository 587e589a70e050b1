"""Numbers that never travel without their n, interval and floor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.embedding import Embedding
from simreal.core.errors import NothingUsableError, UsageError
from simreal.core.images import Setup
from simreal.core.results import Comparison, Estimate, Floor


def estimate(**changes):
    fields = {
        "value": 1.0,
        "low": 0.5,
        "high": 1.5,
        "method": "subsampling",
        "estimand": "population value",
        "n_sim": 10,
        "n_obs": 10,
    }
    return Estimate(**{**fields, **changes})


def comparison(**changes):
    fields = {
        "metric": "mmd",
        "estimate": estimate(),
        "floor": Floor(median=0.1, low=0.0, high=0.2, n=10, n_splits=50),
        "p_value": 0.01,
        "seed": 0,
        "sim_digest": "a",
        "obs_digest": "b",
    }
    return Comparison(**{**fields, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"value": None},
        {"low": 2.0},
        {"high": float("nan")},
        {"value": float("inf")},
        {"level": 95.0},
        {"method": ""},
        {"estimand": ""},
    ],
)
def test_an_estimate_without_its_interval_is_refused(changes):
    with pytest.raises(UsageError):
        estimate(**changes)


def test_a_null_estimate_says_why():
    assert estimate(value=None, low=None, high=None, reason="3 groups").reason == "3 groups"


@pytest.mark.parametrize(
    "changes",
    [
        {"p_value": 0.0},
        {"p_value": 1.1},
        {"p_adjusted": -0.1},
        {"excess": 0.5},
        {"floor": Floor(median=0.1, low=0.0, high=0.2, n=9, n_splits=50)},
    ],
)
def test_a_comparison_that_misleads_is_refused(changes):
    with pytest.raises(UsageError):
        comparison(**changes)


@given(median=st.floats(-1, 1), width=st.floats(0, 1))
def test_a_floor_is_ordered(median, width):
    assert Floor(median=median, low=median - width, high=median + width, n=5, n_splits=50)
    with pytest.raises(UsageError):
        Floor(median=median, low=median + width + 0.1, high=median, n=5, n_splits=50)


def embedding(vectors, **changes):
    n = len(vectors)
    fields = {
        "name": "set",
        "sampling": "random",
        "vectors": vectors,
        "ids": np.array([f"g{i}" for i in range(n)]),
        "groups": np.array([f"g{i}" for i in range(n)]),
        "setup": Setup(track="rgb", bands=("red",), unit="display"),
        "encoder_digest": "e",
        "source_digest": "s",
    }
    return Embedding(**{**fields, **changes})


def test_an_embedding_is_finite_and_names_the_first_object_that_is_not():
    vectors = np.zeros((3, 2))
    vectors[1, 0] = np.nan
    with pytest.raises(NothingUsableError, match="the vector of 'g1' is not finite"):
        embedding(vectors)


@given(n=st.integers(1, 6), d=st.integers(1, 5))
def test_an_embedding_subset_keeps_rows_together(n, d):
    whole = embedding(np.arange(n * d, dtype=float).reshape(n, d))
    part = whole.rows(np.arange(n)[::-1])
    assert part.ids.tolist() == whole.ids.tolist()[::-1]
    np.testing.assert_array_equal(part.vectors, whole.vectors[::-1])
    assert whole.digest == whole.rows(np.arange(n)).digest
    if n > 1:
        assert whole.digest != part.digest
