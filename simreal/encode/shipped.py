"""Encoders with a model card: those shipped with simreal and those that `simreal train` makes.

A folder holds one stored encoder per variant and beside them ``card.json``: what they were
trained on, image by image as hashes of pixels, what was held out, and how. The card is sealed
and knows the digests of the encoders, so that neither can be exchanged for another.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simreal.core.arrays import BoolArray, StrArray
from simreal.core.errors import StorageError, UsageError, did_you_mean
from simreal.core.provenance import json_digest
from simreal.encode.encoder import Encoder
from simreal.encode.weights import CARD, write_atomically

#: What a model card calls itself, and the version of its layout.
KIND, FORMAT = "simreal frozen encoder", 1

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_names() -> list[str]:
    """Return the names of the encoders that come with simreal.

    Examples
    --------
    >>> "toy-rgb-v1" in shipped_names()
    True
    """
    return sorted(path.parent.name for path in _shelf().glob(f"*/{CARD}"))


def shipped_folder(name: str) -> Path:
    """Return the folder of the shipped encoder `name`.

    Raises
    ------
    UsageError
        If there is none, with the nearest name.
    """
    names = shipped_names()
    if name not in names:
        raise UsageError(f"unknown shipped encoder {name!r}: {did_you_mean(name, names)}")
    return _shelf() / name


def encoder_folder(name_or_folder: str) -> Path:
    """Return the folder behind what a user typed: a shipped name or a folder.

    Raises
    ------
    UsageError
        If it is neither.

    Examples
    --------
    >>> encoder_folder("toy-rgb-v1").name
    'toy-rgb-v1'
    """
    if name_or_folder in shipped_names():
        return shipped_folder(name_or_folder)
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    raise UsageError(
        f"encoder_from {name_or_folder}: neither a folder nor a shipped encoder: "
        f"{did_you_mean(name_or_folder, shipped_names())}"
    )


def write_model_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write the sealed `card` into `folder`, last of all: it makes the folder a whole.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    sealed = dict(card) | {"kind": KIND, "format": FORMAT}
    sealed["seal"] = json_digest(sealed)
    try:
        write_atomically(
            folder / CARD, (json.dumps(sealed, indent=1, sort_keys=True) + "\n").encode()
        )
    except OSError as error:
        raise StorageError(
            f"{folder}: could not write the model card ({error.strerror or error}); free space or "
            "choose another folder"
        ) from error


def read_model_card(folder: Path) -> dict[str, Any] | None:
    """Return the checked model card in `folder`, or None where there is none.

    Raises
    ------
    StorageError
        One line: not JSON, another layout, or changed since it was written.
    """
    path = folder / CARD
    try:
        card = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: not readable as JSON ({error}); train it again") from None
    if not isinstance(card, dict) or (card.get("kind"), card.get("format")) != (KIND, FORMAT):
        raise StorageError(
            f"{path}: not the model card of a {KIND}, format {FORMAT}; name a folder that "
            "'simreal train' made"
        )
    if card.pop("seal", None) != json_digest(card):
        raise StorageError(f"{path}: the card was changed after it was written; train it again")
    return card


def load_variant(folder: Path) -> Encoder:
    """Return the encoder of one variant, held against the model card in the folder above.

    Raises
    ------
    StorageError
        If either is damaged, or the encoder is not the one its card speaks of.
    """
    from simreal.encode.run import load_encoder

    encoder, card = load_encoder(folder), read_model_card(folder.parent)
    if card is None:
        return encoder
    known = str(card["variants"].get(folder.name, {}).get("digest", "none"))
    if encoder.digest != known:
        raise StorageError(
            f"{folder}: the model card beside it speaks of the encoder {known[:12]}, this one is "
            f"{encoder.digest[:12]}; get both again"
        )
    return encoder


def trained_on(
    card: Mapping[str, Any], hashes: StrArray, groups: StrArray, *, ids: StrArray | None = None
) -> BoolArray:
    """Return which images the encoder of a model card was trained on, or a view of them ``(n,)``.

    Parameters
    ----------
    card : mapping
        A model card.
    hashes : array of str (n,)
        `pixel_hashes` of the images as they were read.
    groups : array of str (n,)
        One image that was seen gives away every view of its object.
    ids : array of str (n,), optional
        Where these are the names of the collection trained on: another decoder may make other
        pixels of the same file.

    Examples
    --------
    >>> card = {"training": {"hashes": ["aa"]}}
    >>> trained_on(card, np.array(["bb", "aa", "cc"]), np.array(["x", "x", "y"])).tolist()
    [True, True, False]
    """
    known = card["training"]
    seen = np.isin(hashes, np.array(known["hashes"], dtype=np.str_))
    if ids is not None:
        seen |= np.isin(ids, np.array(known["ids"], dtype=np.str_))
    return np.asarray(np.isin(groups, groups[seen]))


def _shelf() -> Path:
    """Return the folder of shipped encoders, in an installed wheel or in a checkout."""
    installed = _PACKAGE / "shipped_encoders"
    return installed if installed.is_dir() else _PACKAGE.parent / "encoders"
