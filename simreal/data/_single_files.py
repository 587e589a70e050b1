"""One file per object: found, named, and grouped."""

import re
from collections.abc import Sequence

from simreal.core.cards import Card
from simreal.core.errors import NothingUsableError, UsageError
from simreal.data._files import FoundFile, existing_folder, found_files
from simreal.data._fits import peek_size
from simreal.data._frames import Source
from simreal.data._quarantine import normal, shown


def files_of(card: Card, suffixes: Sequence[str]) -> tuple[list[FoundFile], list[str]]:
    """Return the files of the collection by their ending, and notes on those not read.

    Raises
    ------
    NothingUsableError
        If no file has a name that fits.
    """
    folder = existing_folder(card)
    exclude = tuple(str(each) for each in card.files.options.get("exclude", ()))
    found = found_files(folder, card.files.pattern, exclude)
    files = [file for file in found if file.name.lower().endswith(tuple(suffixes))]
    others = [file for file in found if file not in files and file.path != card.table()]
    notes = []
    if others:
        notes.append(
            f"{len(others)} files do not end in {', '.join(suffixes)} and were not read (first: "
            f"{shown(others[0].name)})"
        )
    if not files:
        raise NothingUsableError(
            f"{card.name}: no file ending in {', '.join(suffixes)} matches {card.files.pattern!r} "
            f"in {folder}; correct files.pattern or the folder"
        )
    return files, notes


def one_file_each(card: Card, suffixes: Sequence[str]) -> tuple[list[Source], list[str]]:
    """Return one source per file of the collection, and notes on files that were not read.

    The id is the path inside the folder without the ending.

    Raises
    ------
    NothingUsableError
        If no file has a name that fits.
    """
    files, notes = files_of(card, suffixes)
    return [
        Source(id=own_id(file, suffixes), file=file, size=peek_size(file.path)) for file in files
    ], notes


def own_id(file: FoundFile, suffixes: Sequence[str]) -> str:
    """Return the id of a file: its path inside the folder without the ending.

    Examples
    --------
    >>> from pathlib import Path
    >>> own_id(FoundFile(name="a/b.fits.gz", path=Path("b.fits.gz")), (".fits", ".fits.gz"))
    'a/b'
    """
    # The longest ending first: .fits.gz before .gz.
    ending = max((s for s in suffixes if file.name.lower().endswith(s)), key=len)
    return normal(file.name[: -len(ending)])


def group_of(card: Card, source_id: str) -> str:
    r"""Return the group of an object by the option ``group_pattern``: its first bracket.

    Several views of one galaxy are one group: ``(\d+)_v\d`` makes ``188916_v0`` and
    ``188916_v1`` the group ``188916``.

    Raises
    ------
    UsageError
        If the pattern is none, or has no bracket.
    """
    pattern = card.files.options.get("group_pattern")
    if pattern is None:
        return ""
    try:
        compiled = re.compile(str(pattern))
    except re.error as error:
        raise UsageError(
            f"{card.name}: files.options.group_pattern: got {pattern!r} ({error}), allowed is a "
            "regular expression"
        ) from None
    if compiled.groups < 1:
        raise UsageError(
            f"{card.name}: files.options.group_pattern: got {pattern!r}, allowed is a regular "
            "expression with one bracket around what names the galaxy"
        )
    found = compiled.search(source_id)
    return found[1] if found and found[1] else ""
