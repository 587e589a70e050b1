"""One contract over every adapter and every shipped card."""

import pytest

from simreal.core.cards import catalogue_names, load_card
from simreal.core.plugins import available, load
from simreal.data._contract import AdapterMeta
from simreal.data.ingest import fingerprint


@pytest.mark.parametrize("name", sorted(available("simreal.data.adapters", "simreal.adapters")))
def test_an_adapter_says_what_it_is(name):
    module = load("simreal.data.adapters", "simreal.adapters", name)
    assert isinstance(module.META, AdapterMeta)
    assert module.META.version >= 1
    assert callable(module.read)


@pytest.mark.parametrize("name", catalogue_names())
def test_a_card_names_an_adapter_that_exists(name):
    card = load_card(name)
    module = load("simreal.data.adapters", "simreal.adapters", card.files.adapter)
    assert module.META.synthetic == (card.files.folder is None)
    assert (card.role == "simulated") or card.view.rendition == "survey"


@pytest.mark.parametrize("name", [n for n in catalogue_names() if n.startswith("toy")])
def test_a_synthetic_fingerprint_follows_card_and_seed(name):
    card = load_card(name)
    assert fingerprint(card, seed=1) == fingerprint(card, seed=1)
    assert fingerprint(card, seed=1) != fingerprint(card, seed=2)
