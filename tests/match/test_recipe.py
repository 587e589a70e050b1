"""Cuts and recipes are parsed once, with errors that say what is allowed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.errors import UsageError
from simreal.match.recipe import Cut, Recipe


@given(
    st.sampled_from(["", "sim:", "obs:"]),
    st.from_regex(r"[a-z][a-z_]{0,10}", fullmatch=True),
    st.floats(-1e6, 1e6), st.floats(0, 1e6),
)  # fmt: skip
def test_cuts_round_trip(side, name, low, width):
    cut = Cut.parse(f"{side}{name}={low!r}:{low + width!r}")
    assert (cut.side or "") + (":" if cut.side else "") == side
    assert cut.property == name
    assert (cut.low, cut.high) == (low, low + width)
    assert Cut.parse(str(cut)).property == name


def test_open_intervals():
    assert Cut.parse("axis_ratio=:0.5").low == -np.inf
    assert Cut.parse("axis_ratio=0.5:").high == np.inf


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("axis_ratio", "PROPERTY=LO:HI"),
        ("axis_ratio=0.5", "PROPERTY=LO:HI"),
        ("axis_ratio=a:1", "'a' is not a number"),
        ("obz:axis_ratio=0:1", "did you mean 'obs'"),
        ("axis_ratio=1:0", "not above HI"),
        ("axis_ratio=nan:1", "not above HI"),
    ],
)
def test_bad_cuts_say_what_is_allowed(text, says):
    with pytest.raises(UsageError, match=says):
        Cut.parse(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"frame": "angulr"}, {"stamp": 4}, {"n": 0}, {"frame_width": -1.0},
        {"jpeg_quality": 101}, {"donor_fraction": 0.99}, {"loss_limit": 0.9},
    ],
)  # fmt: skip
def test_bad_recipes_are_refused(changes):
    with pytest.raises(UsageError):
        Recipe(**changes)
    assert Recipe().replace(n=5).n == 5
