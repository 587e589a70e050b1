"""Benchmark cards: strict, sealed, and one name for one card."""

import numpy as np
import pytest

from simreal.core import benchmark_cards
from simreal.core.benchmark_cards import (
    ObservedList,
    load_benchmark,
    observed_list_text,
    read_benchmark,
    read_observed_list,
)
from simreal.core.errors import UsageError

CARD = """
name = "mine-v1"
version = 1
title = "t"
description = "d"
track = "rgb"
rank_by = "mmd"
n = 20
seed = 0
expected_minutes = 1

[observed]
collection = "toy-survey"
list = "mine-v1.observed.csv"
sha256 = "{sha}"
n = 8

[encoder]
name = "toy-rgb-v1"
plugin = "simclr"
digests = {{ luminance = "{sha}", colour = "{sha}" }}

[metrics]
mmd = {{ reads = 0.1 }}

[[rows]]
name = "one"
kind = "simulation"
sim = "toy-sim"
"""


@pytest.fixture
def card(tmp_path, monkeypatch):
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    monkeypatch.setattr(benchmark_cards, "benchmark_folder", lambda: shipped)
    path = tmp_path / "mine-v1.toml"
    path.write_text(CARD.format(sha="0" * 64))
    return path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seed = 0", "seed = 0\ncolour = 1", "key 'colour'"),
        ("seed = 0", "seed = -1", "key 'seed'"),
        ("n = 20", "n = 2", "key 'n'"),
        ('name = "mine-v1"', 'name = "mine"', "key 'name'"),
        ("version = 1", "version = 2", "do not agree"),
        ('rank_by = "mmd"', 'rank_by = "kid"', "is not one of the metrics"),
        ('kind = "simulation"', 'kind = "negative control"', "'fault' and 'of'"),
        ('sim = "toy-sim"', 'sim = "toy-sim"\nfault = "stars"', "'fault' and 'of'"),
        ('sim = "toy-sim"', "", "'sim' goes with"),
        ("title", "tilte", "key 'title'"),
        ("reads = 0.1", "reads = 0.1, level = 2", "metrics.mmd.level"),
    ],
)
def test_a_wrong_card_gets_one_line_that_names_the_key(card, old, new, words):
    card.write_text(card.read_text().replace(old, new, 1))
    with pytest.raises(UsageError) as error:
        read_benchmark(card)
    assert words in str(error.value)
    assert str(card) in str(error.value)
    assert "\n" not in str(error.value)


def test_rows_and_what_they_name_must_exist(card):
    text = card.read_text()
    card.write_text(text + '\n[[rows]]\nname = "one"\nkind = "simulation"\nsim = "toy-twin"\n')
    with pytest.raises(UsageError, match="two rows are called 'one'"):
        read_benchmark(card)
    card.write_text(text + '\n[weak_convergence]\nfine = "one"\ncoarse = "two"\n')
    with pytest.raises(UsageError, match="no row with a collection is called 'two'"):
        read_benchmark(card)


def test_a_changed_card_is_refused_and_a_comment_is_no_change(card):
    text = card.read_text()
    card.write_text(f'seal = "{read_benchmark(card).digest}"\n' + text)
    assert read_benchmark(card).seal is not None
    sealed = card.read_text()
    card.write_text(sealed.replace("seed = 0", "# the seed\nseed   = 0"))
    read_benchmark(card)
    card.write_text(
        sealed.replace("expected_minutes = 1", 'expected_minutes = 1\nsuperseded_by = "mine-v2"')
    )
    assert read_benchmark(card).superseded_by == "mine-v2"
    card.write_text(sealed.replace("seed = 0", "seed = 1"))
    with pytest.raises(UsageError, match="changed after it was sealed"):
        read_benchmark(card)


def test_two_cards_with_one_name_are_refused_unless_they_say_the_same(card):
    other = card.with_name("copy.toml")
    other.write_text(card.read_text())
    assert load_benchmark(str(card))[0].name == "mine-v1"
    other.write_text(card.read_text().replace("seed = 0", "seed = 5"))
    with pytest.raises(UsageError, match="two cards are called 'mine-v1'"):
        load_benchmark(str(card))
    other.unlink()
    shipped = benchmark_cards.benchmark_folder() / "mine-v1.toml"
    shipped.write_text(card.read_text().replace("n = 20", "n = 30"))
    with pytest.raises(UsageError, match="two cards are called 'mine-v1'"):
        load_benchmark(str(card))


def test_an_unknown_benchmark_says_which_there_are(card):
    (benchmark_cards.benchmark_folder() / "mine-v1.toml").write_text(card.read_text())
    with pytest.raises(UsageError, match="did you mean 'mine-v1'"):
        load_benchmark("mien-v1")
    with pytest.raises(UsageError, match="no such card"):
        load_benchmark(str(card.with_name("absent.toml")))


def some_list():
    names = [f"g{i}, x" for i in range(8)]
    return ObservedList(ids=names, groups=names[::-1], pixel_hashes=[f"{i:016x}" for i in range(8)])


def test_the_observed_list_is_read_back_and_held_against_its_sha256(card):
    import hashlib

    text = observed_list_text(some_list())
    beside = card.with_name("mine-v1.observed.csv")
    beside.write_text(text)
    with pytest.raises(UsageError, match="another observed list"):
        read_observed_list(read_benchmark(card), card.parent)
    sha = hashlib.sha256(text.encode()).hexdigest()
    card.write_text(card.read_text().replace("0" * 64, sha, 1))
    found = read_observed_list(read_benchmark(card), card.parent)
    assert found.ids.tolist() == some_list().ids.tolist()
    assert found.groups.tolist() == some_list().groups.tolist()
    assert found.pixel_hashes.tolist() == some_list().pixel_hashes.tolist()
    beside.unlink()
    with pytest.raises(UsageError, match="belongs beside the card"):
        read_observed_list(read_benchmark(card), card.parent)


def test_what_is_scored_must_be_on_the_list_with_its_pixels():
    known = some_list()
    assert known.differences(known.ids[:3], known.pixel_hashes[:3]) == ""
    other = np.array(["g0, x", "new"]), np.array(["f" * 16, "0" * 16])
    said = known.differences(*other)
    assert "1 object not on it, the first is 'new'" in said
    assert "1 object with other pixels, the first is 'g0, x'" in said
