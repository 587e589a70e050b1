"""Ingest: a card in, an image set on the store out."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from simreal.core import plugins
from simreal.core.cards import Card, Credit, Files, View, catalogue_names, load_card
from simreal.core.errors import UsageError
from simreal.core.images import Role, Track
from simreal.core.provenance import file_digest, json_digest, versions
from simreal.data._contract import Adapter, Ingested
from simreal.data._files import IMAGE_SUFFIXES, existing_folder, existing_table, found_files

__all__ = ["Ingested", "card_for", "fingerprint", "in_track", "ingest"]

_ADAPTERS, _ENTRY_POINTS = "simreal.data.adapters", "simreal.adapters"

#: Libraries whose version can change a pixel.
_DECODERS = ("pillow", "galsim", "numpy", "astropy", "sep", "speclite")


def ingest(card: Card, *, seed: int, store: Path) -> Ingested:
    """Read the collection of `card` into the file `store`.

    Parameters
    ----------
    card : Card
    seed : int
        Root seed; only synthetic collections use it.
    store : Path
        HDF5 file, written whole or not at all.

    Returns
    -------
    Ingested
        The image set, read lazily from the store, and one row per rejected file.

    Raises
    ------
    UsageError
        If the files are absent or the card does not fit them.
    NothingUsableError
        If every file is broken.
    StorageError
        If the store cannot be written.
    """
    return _adapter(card).read(card, seed=seed, store=store)


def fingerprint(card: Card, *, seed: int) -> str:
    """Return the digest of everything that determines what `ingest` makes of a card.

    That is the card, the adapter's version and the decoders', and the bytes of every file
    and table; for synthetic collections the seed in place of the files. Equal fingerprints
    mean that a store can be used again.

    Raises
    ------
    UsageError
        If the files are absent.
    """
    adapter = _adapter(card)
    meta = adapter.META
    content: dict[str, object] = {
        "card": card.model_dump(mode="json"),
        "adapter": [card.files.adapter, meta.version],
        "versions": versions(_DECODERS),
    }
    if meta.synthetic:
        content["seed"] = seed
    else:
        content["files"] = list(_file_digests(card, adapter))
        table = existing_table(card)
        content["table"] = None if table is None else _readable_digest(table)
    return json_digest(content)


def card_for(name_or_path: str, *, role: Role) -> Card:
    """Return the card behind what a user typed: a catalogue, a card file or a folder.

    A folder of images needs no card: it is read as curated rgb composites of which nothing
    else is known.

    Parameters
    ----------
    name_or_path : str
        ``"sdss"``, ``"my-mocks.toml"`` or ``"path/to/images"``.
    role : {"simulated", "observed"}
        The side a bare folder stands on.

    Raises
    ------
    UsageError
        If it is none of these.

    Examples
    --------
    >>> card_for("sdss", role="observed").sampling
    'curated'
    """
    if name_or_path in catalogue_names() or name_or_path.endswith(".toml"):
        return load_card(name_or_path)
    path = Path(name_or_path).expanduser()
    if name_or_path and path.is_dir():
        return _folder_card(path.resolve(), role)
    if path.is_file():
        raise UsageError(
            f"{name_or_path}: got a file, allowed are a catalogue name, a .toml card and a folder "
            "of images; write a card or name the folder"
        )
    if os.sep in name_or_path or name_or_path.startswith(("~", ".")):
        raise UsageError(f"{name_or_path}: no such folder or card; check the path")
    return load_card(name_or_path)


def in_track(card: Card, track: Track) -> Card:
    """Return the card of the same objects in another track, where its adapter has them there.

    Raises
    ------
    UsageError
        If it has not.

    Examples
    --------
    >>> in_track(card_for("toy-survey", role="observed"), "flux").view.unit
    'nJy / pix'
    """
    if card.track == track:
        return card
    make = getattr(_adapter(card), "in_track", None)
    if make is None:
        raise UsageError(
            f"{card.name} has track {card.track!r} and cannot be read as {track!r}: only "
            "collections of one track can be compared"
        )
    return cast(Card, make(card, track))


def _adapter(card: Card) -> Adapter:
    module = plugins.load(_ADAPTERS, _ENTRY_POINTS, card.files.adapter)
    missing = [name for name in ("META", "read") if not hasattr(module, name)]
    if missing:
        raise UsageError(
            f"{card.name}: the adapter {card.files.adapter!r} has no {' and no '.join(missing)}; "
            "allowed is a module with META and read"
        )
    return cast(Adapter, module)


def _file_digests(card: Card, adapter: Adapter) -> Iterator[tuple[str, str]]:
    # Of files the adapter does not open only the name counts, however large they are.
    suffixes = getattr(adapter, "SUFFIXES", ("",))
    for file in found_files(existing_folder(card), card.files.pattern):
        is_read = file.name.lower().endswith(tuple(suffixes))
        yield ascii(file.name), _readable_digest(file.path) if is_read else "not opened"


def _readable_digest(path: Path) -> str:
    """Return a file's digest; what cannot be read is part of the state, not an error."""
    try:
        return file_digest(path) if path.is_file() else "not a file"
    except OSError as error:
        return f"unreadable {error.errno}"


def _folder_card(folder: Path, role: Role) -> Card:
    flat = any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())
    titled = folder.parent.name if folder.name == "images" else folder.name
    name = re.sub(r"[^a-z0-9]+", "-", titled.lower()).strip("-") or "folder"
    return Card(
        name=name,
        title=f"Images in the folder {titled}",
        role=role,
        track="rgb",
        sampling="curated",
        sampling_note="A folder without a card: how its images were chosen is not known.",
        files=Files(adapter="rgb_images", folder=str(folder), pattern="*" if flat else "**/*"),
        view=View(
            geometry="sky" if role == "observed" else "random",
            bands=("red", "green", "blue"),
            rendition="survey" if role == "observed" else "idealised",
            note=(
                "A folder without a card: viewing geometry, field of view, display mapping and "
                f"whether sky is in the pixels are not known; {role} images are taken "
                + ("to carry PSF and sky." if role == "observed" else "to carry neither.")
                + " Write a card to say otherwise."
            ),
        ),
        credit=Credit(
            citation=(),
            licence="not stated",
            fetch=f"The images were given as the folder {folder}.",
        ),
    )
