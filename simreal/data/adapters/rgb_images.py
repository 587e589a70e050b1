"""A folder of PNG, JPEG or TIFF composites, with an optional table of properties.

One file is one image and its id is the file's name without the ending. Options of the card
(``files.options``): ``exclude`` (file name patterns to leave out) and ``missing`` (further
table cells that mean "no value", such as ``"-99"``).
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simreal.core.arrays import AnyArray, StrArray
from simreal.core.cards import Card
from simreal.core.errors import NothingUsableError, UsageError, did_you_mean
from simreal.core.images import Step
from simreal.core.results import Rejection
from simreal.data._contract import AdapterMeta, Ingested, setup_of
from simreal.data._decode import Decoded, decode, is_blank, look
from simreal.data._files import IMAGE_SUFFIXES, FoundFile, existing_folder, found_files
from simreal.data._join import JoinedTable, check_required, read_joined_table, unused_rows
from simreal.data._outcome import nothing_usable, worry
from simreal.data._quarantine import BadFileError, identity, is_plain, opened, rejection, shown
from simreal.data._repeats import merged_groups
from simreal.data.store import Description, PixelType, StoreWriter
from simreal.data.tables import is_missing, typed_properties

if TYPE_CHECKING:
    from astropy.table import QTable

META = AdapterMeta(synthetic=False, version=1)

#: Files with other endings are noted by name and not read.
SUFFIXES = IMAGE_SUFFIXES
OPTIONS = ("exclude", "missing")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A file that may become an image: what its header says and which table row is its."""

    id: str
    file: FoundFile
    size: tuple[int, int]
    deep: bool
    row: int | None


@dataclass(slots=True, kw_only=True, eq=False)
class _Tally:
    """What was met while decoding: the only thing here that grows."""

    kept: list[Candidate] = field(default_factory=list)
    first_of: dict[bytes, int] = field(default_factory=dict)
    same_as: list[int] = field(default_factory=list)
    transparent: int = 0
    rounded: int = 0


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read a folder of composites into the file `store`.

    A broken file is rejected with its reason and changes nothing about the good ones.

    Parameters
    ----------
    card : Card
    seed : int
        Not used: files are read as they are.
    store : Path

    Returns
    -------
    Ingested
        float32 images ``(n, band, y, x)`` in [0, 1], read lazily from the store.

    Raises
    ------
    UsageError
        If the folder or table is absent or the card does not fit them.
    NothingUsableError
        If no file is left.
    """
    folder = existing_folder(card)
    _check_card(card)
    files, notes = _image_files(card, folder)
    table = read_joined_table(card)
    candidates, rejected = _candidates(card, files, table)
    if table is not None:
        notes += [*table.table.notes, *unused_rows(table, files)]
    size = card.files.size or _majority_size(candidates)
    candidates, wrong = _of_size(card, candidates, size)
    rejected += wrong
    tally = _Tally()
    # One 16-bit image makes the whole store float32; 8-bit values stay value / 255 exactly.
    dtype: PixelType = "float32" if any(each.deep for each in candidates) else "uint8"
    with StoreWriter(store, dtype=dtype) as writer:
        for pixels in _decoded(card, candidates, tally, rejected):
            writer.append(_as_stored(pixels, dtype)[None])
        if not tally.kept:
            raise nothing_usable(card, folder, rejected)
        groups, repeats = _groups(card, table, tally)
        properties, odd = _properties(card, table, tally.kept)
        notes += [*repeats, *odd, *_pixel_notes(tally), *worry(len(files), rejected)]
        step = Step(
            name="ingest",
            before={"files": len(files)},
            after={"images": len(tally.kept), "rejected": len(rejected)},
            note="; ".join(notes),
        )
        images = writer.finish(
            Description(
                name=card.name,
                role=card.role,
                sampling=card.sampling,
                ids=np.array([each.id for each in tally.kept], dtype=np.str_),
                groups=groups,
                setup=setup_of(card),
                properties=properties,
                history=(step,),
            )
        )
    ordered = sorted(rejected, key=lambda each: (each.path, each.code))
    return Ingested(images=images, rejected=tuple(ordered), notes=tuple(notes))


def _check_card(card: Card) -> None:
    unknown = sorted(set(card.files.options) - set(OPTIONS))
    if unknown:
        hint = did_you_mean(unknown[0], OPTIONS)
        raise UsageError(f"{card.name}: unknown option files.options.{unknown[0]}: {hint}")
    if card.track != "rgb" or len(card.view.bands) not in (1, 3):
        raise UsageError(
            f"{card.name}: got track {card.track!r} with {len(card.view.bands)} bands, allowed for "
            "the adapter rgb_images are track 'rgb' and 1 or 3 bands"
        )
    if (card.properties or card.files.group) and not card.files.table:
        raise UsageError(f"{card.name}: properties and files.group need files.table; name a table")
    if card.files.table and not card.files.join:
        raise UsageError(
            f"{card.name}: files.table needs files.join, the column with the file name or id"
        )


def _image_files(card: Card, folder: Path) -> tuple[tuple[FoundFile, ...], list[str]]:
    exclude = tuple(str(each) for each in card.files.options.get("exclude", ()))
    everything = found_files(folder, card.files.pattern)
    wanted = found_files(folder, card.files.pattern, exclude)
    images = tuple(file for file in wanted if file.path.suffix.lower() in SUFFIXES)
    others = [
        file.name
        for file in wanted
        if file.path.suffix.lower() not in SUFFIXES and file.path != card.table()
    ]
    notes = []
    if len(everything) > len(wanted):
        left_out = len(everything) - len(wanted)
        notes.append(f"{left_out} files left out by the card ({', '.join(exclude)})")
    if others:
        notes.append(
            f"{len(others)} files are not PNG, JPEG or TIFF by name and were not read (first: "
            f"{shown(others[0])})"
        )
    if not images:
        raise NothingUsableError(
            f"{card.name}: no PNG, JPEG or TIFF file matches {card.files.pattern!r} in {folder}; "
            "correct files.pattern or the folder"
        )
    return images, notes


def _candidates(
    card: Card, files: Sequence[FoundFile], joined: JoinedTable | None
) -> tuple[list[Candidate], list[Rejection]]:
    good: list[Candidate] = []
    rejected: list[Rejection] = []
    for file in files:
        try:
            good.append(_candidate(card, file, joined))
        except BadFileError as error:
            rejected.append(rejection(card, file, error))
    return good, rejected


def _candidate(card: Card, file: FoundFile, joined: JoinedTable | None) -> Candidate:
    own_id = identity(file)
    if not is_plain(file.name):
        raise BadFileError(
            "E_NAME", "has control characters or broken UTF-8 in its name; rename it"
        )
    with opened(file) as handle:
        seen = look(handle)
    row = None
    if joined is not None:
        row = joined.row_of(file, own_id)
        check_required(card, joined.table, row)
    return Candidate(id=own_id, file=file, size=seen.size, deep=seen.deep, row=row)


def _majority_size(candidates: Sequence[Candidate]) -> tuple[int, int] | None:
    counts = Counter(each.size for each in candidates)
    return max(counts, key=lambda size: (counts[size], size)) if counts else None


def _of_size(
    card: Card, candidates: Sequence[Candidate], size: tuple[int, int] | None
) -> tuple[list[Candidate], list[Rejection]]:
    good = [each for each in candidates if each.size == size]
    whose = "the card's files.size" if card.files.size else "what most files here have"
    rejected = [
        rejection(
            card,
            each.file,
            BadFileError(
                "E_SIZE",
                f"got {each.size[0]} x {each.size[1]} pixels, allowed is {size[0]} x {size[1]} "
                f"({whose}); cut or remove it",
            ),
        )
        for each in candidates
        if size is not None and each.size != size
    ]
    return good, rejected


def _decoded(
    card: Card, candidates: Sequence[Candidate], tally: _Tally, rejected: list[Rejection]
) -> Iterator[AnyArray]:
    taken: dict[str, str] = {}
    for each in candidates:
        try:
            image = _decode_one(card, each, taken)
        except BadFileError as error:
            rejected.append(rejection(card, each.file, error))
            continue
        taken[each.id] = each.file.name
        print_of = hashlib.sha256(image.pixels.tobytes()).digest()
        tally.same_as.append(tally.first_of.setdefault(print_of, len(tally.kept)))
        tally.kept.append(each)
        tally.transparent += image.transparent
        tally.rounded += image.rounded
        yield image.pixels


def _decode_one(card: Card, each: Candidate, taken: Mapping[str, str]) -> Decoded:
    with opened(each.file) as handle:
        data = handle.read()
    image = decode(data, planes=len(card.view.bands))
    if image.pixels.shape[1:] != each.size:
        raise BadFileError("E_SIZE", "changed its size while it was read; run again")
    if is_blank(image.pixels):
        value = [round(float(v), 4) for v in image.pixels[:, 0, 0]]
        raise BadFileError(
            "E_BLANK", f"has the same value {value} in every pixel, allowed is a picture; remove it"
        )
    if each.id in taken:
        raise BadFileError(
            "E_DUPID",
            f"has the same id {each.id!r} as {shown(taken[each.id])}, allowed is one file per id; "
            "rename or remove one",
        )
    return image


def _as_stored(pixels: AnyArray, dtype: PixelType) -> AnyArray:
    if dtype == "float32" and pixels.dtype == np.uint8:
        return np.divide(pixels, np.float32(255), dtype=np.float32)
    return pixels


def _groups(card: Card, joined: JoinedTable | None, tally: _Tally) -> tuple[StrArray, list[str]]:
    """Return the group of every image: the table's, joined where pixels are the same."""
    groups = [each.id for each in tally.kept]
    if joined is not None and card.files.group is not None:
        cells = joined.table.column(card.files.group)
        named = [cells[each.row] if each.row is not None else "" for each in tally.kept]
        groups = [
            own if is_missing(cell) else cell for own, cell in zip(groups, named, strict=True)
        ]
    return merged_groups([each.id for each in tally.kept], groups, tally.same_as)


def _properties(
    card: Card, joined: JoinedTable | None, kept: Sequence[Candidate]
) -> tuple["QTable | None", list[str]]:
    if joined is None or not card.properties:
        return None, []
    rows = [each.row for each in kept if each.row is not None]
    typed = typed_properties(joined.table, rows, card.properties)
    if not typed.odd:
        return typed.table, []
    cells = ", ".join(f"line {c.line} {c.column} {shown(c.text)}" for c in typed.odd[:5])
    more = ", ..." if len(typed.odd) > 5 else ""
    note = (
        f"{len(typed.odd)} cells of {joined.table.path.name} are no finite numbers and count as "
        f"missing ({cells}{more})"
    )
    return typed.table, [note]


def _pixel_notes(tally: _Tally) -> list[str]:
    notes = []
    if tally.transparent:
        notes.append(f"{tally.transparent} images have transparent pixels, laid over black")
    if tally.rounded:
        notes.append(f"{tally.rounded} images have 16 bits per colour, read at 8 bits")
    return notes
