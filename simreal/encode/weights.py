"""Weights on disk: safetensors beside a JSON card that knows their sha256."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simreal.core.arrays import AnyArray
from simreal.core.errors import StorageError
from simreal.core.provenance import file_digest, json_digest

#: Raised when a reader of yesterday would misread what is written today.
FORMAT = 1

CARD, WEIGHTS = "card.json", "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """What every built-in encoder is besides its `encode`: a card and named arrays."""

    card: Mapping[str, Any]
    weights: Mapping[str, AnyArray]

    @property
    def digest(self) -> str:
        """sha256 of weights and recipe."""
        return str(self.card["digest"])

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.card["dimension"])

    def save(self, folder: Path) -> None:
        """Write weights and card into `folder`."""
        write_weights(folder, self.card, self.weights)


def weights_digest(recipe: Mapping[str, Any], weights: Mapping[str, AnyArray]) -> str:
    """Return the sha256 of a recipe and named arrays: the identity of an encoder.

    Examples
    --------
    >>> a = weights_digest({"dimension": 1}, {"mean": np.zeros(1)})
    >>> a == weights_digest({"dimension": 2}, {"mean": np.zeros(1)})
    False
    """
    sha = hashlib.sha256(json_digest(recipe).encode())
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        sha.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def write_weights(folder: Path, card: Mapping[str, Any], weights: Mapping[str, AnyArray]) -> None:
    """Write `weights` and `card` into `folder`; the card comes last and seals both.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CARD).unlink(missing_ok=True)
        write_atomically(folder / WEIGHTS, save(arrays))
        sealed = dict(card) | {"format": FORMAT, "sha256": file_digest(folder / WEIGHTS)}
        sealed["seal"] = json_digest(sealed)
        write_atomically(folder / CARD, json.dumps(sealed, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise StorageError(
            f"{folder}: could not write the encoder ({error.strerror or error}); free space or "
            "choose another folder"
        ) from error


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of a stored encoder after checking it and the weights beside it.

    Raises
    ------
    StorageError
        One line: what is missing, of another format, or changed since it was written.
    """
    path = folder / CARD
    try:
        card = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise StorageError(
            f"{path}: no such file; {folder} holds no finished encoder, train it again"
        ) from None
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: not readable as JSON ({error}); train it again") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        got = card.get("format") if isinstance(card, dict) else type(card).__name__
        raise StorageError(
            f"{path}: got encoder format {got!r}, allowed is {FORMAT}; train it again with this "
            "version of simreal"
        )
    if card.pop("seal", None) != json_digest(card):
        raise StorageError(f"{path}: the card was changed after it was written; train it again")
    return card


def read_weights(folder: Path, card: Mapping[str, Any]) -> dict[str, AnyArray]:
    """Return the named arrays of a stored encoder after checking them against `card`.

    Raises
    ------
    StorageError
        If they are missing, truncated or changed.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / WEIGHTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}; train it again") from None
    if hashlib.sha256(content).hexdigest() != card["sha256"]:
        raise StorageError(
            f"{path}: the sha256 is not the one in {CARD}, the weights were changed or cut; "
            "train it again"
        )
    try:
        weights: dict[str, AnyArray] = load(content)
    except SafetensorError as error:
        raise StorageError(f"{path}: not safetensors ({error}); train it again") from None
    if weights_digest(card["recipe"], weights) != card["digest"]:
        raise StorageError(f"{path}: weights and recipe do not give the digest in {CARD}")
    return weights


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that `path` is either the old file or the whole new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
