"""Which files of a folder belong to a collection: found the same way every time."""

import fnmatch
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from simreal.core.cards import Card, data_folder
from simreal.core.errors import UsageError

#: Endings of the images `simreal.data._decode` reads.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

_ANY_DEPTH = "**/"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file of a collection: ``name`` is its path inside the folder, with ``/``."""

    name: str
    path: Path


def existing_folder(card: Card) -> Path:
    """Return the folder of a collection.

    Raises
    ------
    UsageError
        If it is absent: where it was looked for, how to get the files, and what runs
        without any.
    """
    folder = card.folder()
    if folder is None:
        raise UsageError(
            f"{card.name}: the card names no folder; set files.folder to the folder of the images"
        )
    if not folder.is_dir():
        raise UsageError(
            f"{card.name}: no folder {folder} ({_where_from()}); {card.credit.fetch.rstrip('.')}; "
            "or run the built-in collections: simreal compare --sim toy-sim --obs toy-survey"
        )
    return folder


def existing_table(card: Card) -> Path | None:
    """Return the table of a collection, or None where its card names none.

    Raises
    ------
    UsageError
        If the card names a table that is absent.
    """
    table = card.table()
    if table is not None and not table.is_file():
        raise UsageError(
            f"{card.name}: no table {table} ({_where_from()}); {card.credit.fetch.rstrip('.')}"
        )
    return table


def _where_from() -> str:
    named = os.environ.get("SIMREAL_DATA")
    if named:
        return f"SIMREAL_DATA is {named!r}"
    return f"SIMREAL_DATA is not set, so {data_folder()} was searched"


def found_files(folder: Path, pattern: str, exclude: Sequence[str] = ()) -> tuple[FoundFile, ...]:
    """Return the files of `folder` whose name matches, sorted by name.

    Hidden files and folders are left out, and links to folders are not followed, so that a
    loop of links ends.

    Parameters
    ----------
    folder : Path
    pattern : str
        Shell pattern of the file name, such as ``"*.png"``; ``"**/*.png"`` looks in all
        folders below, too.
    exclude : sequence of str
        Shell patterns of file names to leave out.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("b.png", "a.png", ".a.png", "table.csv"):
    ...     _ = (folder / name).write_bytes(b"")
    >>> [file.name for file in found_files(folder, "*.png")]
    ['a.png', 'b.png']
    """
    deep = pattern.startswith(_ANY_DEPTH)
    wanted = _normal(pattern.removeprefix(_ANY_DEPTH))
    if "/" in wanted:
        raise UsageError(
            f"files.pattern: got {pattern!r}, allowed is a file name pattern such as '*.png' or "
            "'**/*.png'; put folders into files.folder"
        )
    unwanted = [_normal(each) for each in exclude]
    found = [
        FoundFile(name=path.relative_to(folder).as_posix(), path=path)
        for path in _walk(folder, deep=deep)
        if fnmatch.fnmatchcase(_normal(path.name), wanted)
        and not any(fnmatch.fnmatchcase(_normal(path.name), each) for each in unwanted)
    ]
    return tuple(sorted(found, key=lambda file: file.name))


def _walk(folder: Path, *, deep: bool) -> Iterator[Path]:
    for root, folders, names in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if deep and not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield Path(root) / name


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)
