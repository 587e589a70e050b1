"""Which files of a folder hold the objects of a collection, and what they are called."""

from collections.abc import Mapping, Sequence

from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.data._files import FoundFile, existing_folder, found_files
from simreal.data._fits import FITS_SUFFIXES
from simreal.data._planes import file_names_of
from simreal.data._quarantine import normal, shown


def fits_files(card: Card) -> tuple[tuple[FoundFile, ...], list[str]]:
    """Return the FITS files of a card, and notes on files that were left out.

    The option ``exclude`` lists patterns of file names to leave out.

    Raises
    ------
    UsageError
        If the folder is absent or no file in it is FITS by name.
    """
    folder = existing_folder(card)
    exclude = card.files.options.get("exclude", ())
    patterns = [exclude] if isinstance(exclude, str) else [str(each) for each in exclude]
    everything = found_files(folder, card.files.pattern)
    wanted = found_files(folder, card.files.pattern, patterns)
    files = tuple(file for file in wanted if file.name.lower().endswith(FITS_SUFFIXES))
    others = [f.name for f in wanted if f not in files and f.path != card.table()]
    notes = []
    if len(everything) > len(wanted):
        left_out = len(everything) - len(wanted)
        notes.append(f"{left_out} files left out by the card ({', '.join(patterns)})")
    if others:
        notes.append(
            f"{len(others)} files are not FITS by name and were not read (first: "
            f"{shown(others[0])})"
        )
    if not files:
        raise UsageError(
            f"{card.name}: no FITS file matches {card.files.pattern!r} in {folder}; correct "
            "files.pattern or the folder"
        )
    return files, notes


def stem_of(file: FoundFile) -> str:
    """Return the name of a file inside its folder without its FITS ending.

    Examples
    --------
    >>> from pathlib import Path
    >>> stem_of(FoundFile(name="a/b_1.fits.gz", path=Path("b_1.fits.gz")))
    'a/b_1'
    """
    lower = file.name.lower()
    ending = max((end for end in FITS_SUFFIXES if lower.endswith(end)), key=len, default="")
    return normal(file.name[: len(file.name) - len(ending)])


def names_in_files(card: Card, usual: Mapping[str, str]) -> dict[str, str]:
    """Return what every band of the card is called in the files.

    Parameters
    ----------
    card : Card
        ``files.options.filters`` wins over `usual`.
    usual : mapping
        What the format calls a band of ours.
    """
    given = card.files.options.get("filters", {})
    named = file_names_of(card)
    return {band: name if band in given else usual.get(band, name) for band, name in named.items()}


def one_option(card: Card, name: str, allowed: Sequence[str], default: str) -> str:
    """Return an option that is one of several words.

    Raises
    ------
    UsageError
        If it is another.
    """
    value = card.files.options.get(name, default)
    if value not in allowed:
        raise UsageError(
            f"{card.name}: files.options.{name}: got {value!r}, allowed: {', '.join(allowed)}"
        )
    return str(value)
