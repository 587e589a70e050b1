"""Encoders on disk: what was written comes back, what was changed does not."""

import json

import numpy as np
import pytest

from simreal.core.errors import SimrealError, StorageError, UsageError
from simreal.core.images import ArraySource
from simreal.core.provenance import json_digest
from simreal.encode.encoders import pca
from simreal.encode.run import load_encoder, save_encoder
from simreal.encode.settings import EncoderSettings
from simreal.encode.weights import CARD, WEIGHTS


@pytest.fixture
def folder(tmp_path):
    images = np.random.default_rng(0).random((10, 1, 8, 8), dtype=np.float32)
    encoder = pca.fit(
        ArraySource(images), np.arange(10), settings=EncoderSettings(dimension=3), seed=0
    )
    save_encoder(encoder, tmp_path / "encoder")
    return tmp_path / "encoder"


def rewrite(folder, *, reseal, **changes):
    card = json.loads((folder / CARD).read_text()) | changes
    if reseal:
        card.pop("seal")
        card["seal"] = json_digest(card)
    (folder / CARD).write_text(json.dumps(card))


def test_everything_comes_back(folder):
    encoder = load_encoder(folder)
    save_encoder(encoder, folder.parent / "again")
    again = load_encoder(folder.parent / "again")
    assert again.card == encoder.card
    assert again.digest == encoder.digest
    assert sorted(p.name for p in folder.iterdir()) == [CARD, WEIGHTS], "a partial file is left"


def test_writing_over_an_encoder_replaces_it(folder):
    encoder = load_encoder(folder)
    save_encoder(encoder, folder)
    assert load_encoder(folder).digest == encoder.digest


@pytest.mark.parametrize("position", [0, 9, 100, -1])
def test_a_flipped_bit_is_refused(folder, position):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[position] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(StorageError, match="weights were changed or cut; train it again"):
        load_encoder(folder)


def test_a_cut_file_is_refused(folder):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(StorageError, match="changed or cut"):
        load_encoder(folder)


def test_a_changed_card_is_refused(folder):
    rewrite(folder, reseal=False, seed=99)
    with pytest.raises(StorageError, match="the card was changed"):
        load_encoder(folder)


def test_a_recipe_that_is_not_the_weights_own_is_refused(folder):
    rewrite(folder, reseal=True, recipe={"encoder": "pca", "dimension": 4})
    with pytest.raises(StorageError, match="do not give the digest"):
        load_encoder(folder)


def test_another_format_is_refused(folder):
    rewrite(folder, reseal=True, format=2)
    with pytest.raises(StorageError, match="got encoder format 2, allowed is 1"):
        load_encoder(folder)


def test_an_unknown_encoder_is_refused(folder):
    rewrite(folder, reseal=True, encoder="pcaa")
    with pytest.raises(UsageError, match="unknown encoder 'pcaa': did you mean 'pca'"):
        load_encoder(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 1}'])
def test_a_broken_card_is_refused_in_one_line(folder, content):
    (folder / CARD).write_bytes(content)
    with pytest.raises(SimrealError) as caught:
        load_encoder(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(StorageError, match=name):
        load_encoder(folder)


def test_a_folder_that_cannot_be_written(folder, tmp_path):
    encoder = load_encoder(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="could not write the encoder"):
        save_encoder(encoder, tmp_path / "file")
