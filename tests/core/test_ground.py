"""Seeds, arrays, plug-ins and cards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.arrays import owned
from simreal.core.cards import catalogue_names, data_folder, load_card, read_card
from simreal.core.errors import UsageError
from simreal.core.plugins import available, load
from simreal.core.provenance import json_digest
from simreal.core.seeding import integer_seed, stream

CARD = """
name = "mine"
title = "My mocks"
role = "simulated"
track = "rgb"
sampling = "random"
sampling_note = "every galaxy above a mass"
[files]
adapter = "rgb_images"
folder = "mine"
[view]
geometry = "random"
bands = ["red", "green", "blue"]
[credit]
citation = ["Me 2026"]
licence = "CC BY 4.0"
fetch = "ask me"
"""


@given(seed=st.integers(0, 2**40), names=st.lists(st.text(max_size=5), max_size=3))
def test_a_stream_depends_on_its_name_alone(seed, names):
    assert stream(seed, *names).integers(2**62) == stream(seed, *names).integers(2**62)
    assert stream(seed, *names).integers(2**62) != stream(seed, *names, "x").integers(2**62)
    assert 0 <= integer_seed(seed, *names) < 2**31


def test_streams_of_neighbouring_seeds_are_unrelated():
    # |r| of 4,000 independent pairs exceeds 5 / sqrt(4000) = 0.079 once in 1.7 million.
    a, b = stream(1, "x").normal(size=4000), stream(2, "x").normal(size=4000)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.079


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_owned_arrays_are_nobody_elses(values):
    theirs = np.array(values)
    mine = owned(theirs, np.float64)
    theirs += 1
    assert not mine.flags.writeable
    assert mine.base is None
    assert mine.tolist() == values
    assert owned(mine, np.float64) is mine


def test_a_read_only_view_is_copied():
    theirs = np.arange(4.0)
    view = theirs[1:]
    view.flags.writeable = False
    mine = owned(view, np.float64)
    theirs[:] = 9
    assert mine.tolist() == [1.0, 2.0, 3.0]


@given(st.dictionaries(st.text(max_size=4), st.integers(), max_size=4))
def test_a_digest_does_not_depend_on_key_order(values):
    assert json_digest(values) == json_digest(dict(reversed(values.items())))


def test_every_shipped_card_can_be_read_and_says_whom_to_cite():
    names = catalogue_names()
    assert {"eagle", "sdss", "illustris", "toy-sim", "toy-survey", "toy-twin"} <= set(names)
    for name in names:
        card = load_card(name)
        assert card.name == name
        assert card.credit.citation
        assert card.credit.licence
        assert card.sampling_note


def test_an_unknown_catalogue_gets_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean 'eagle'"):
        load_card("egale")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (("adapter =", "adaptor ="), "files.ada"),
        (('track = "rgb"', 'track = "radio"'), "'track'.*got 'radio'"),
        (('geometry = "random"', 'geometry = "sideways"'), "view.geometry"),
        (('geometry = "random"', 'geometry = "random"\nfield_of_view = -1.0'), "field_of_view"),
        (("[files]", "[files"), "not a TOML card"),
    ],
)
def test_a_wrong_card_is_refused_in_one_line(tmp_path, edit, words):
    path = tmp_path / "mine.toml"
    path.write_text(CARD.replace(*edit))
    with pytest.raises(UsageError, match=words) as caught:
        read_card(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_card_of_ones_own_is_read(tmp_path, monkeypatch):
    path = tmp_path / "mine.toml"
    path.write_text(CARD)
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    card = load_card(str(path))
    assert card.folder() == tmp_path / "mine"
    assert data_folder() == tmp_path
    with pytest.raises(UsageError, match="no such card"):
        load_card(str(tmp_path / "absent.toml"))


def test_plugins_are_listed_without_import():
    found = available("simreal.compare.metrics", "simreal.metrics")
    assert {"mmd", "occupancy", "sliced_wasserstein"} <= set(found)
    assert all(plugin.summary for plugin in found.values() if plugin.builtin)


def test_an_unknown_plugin_gets_the_nearest_name():
    with pytest.raises(UsageError, match="unknown metric 'mdm': did you mean 'mmd'"):
        load("simreal.compare.metrics", "simreal.metrics", "mdm")
