"""Galaxies cut out of the calibrated frames of SDSS ("corrected frames").

A frame is one field in one band, 2048 x 1489 pixels of sky-subtracted nanomaggies. The card's
table lists the galaxies: ``files.join`` is the column with their id; the columns ``ra`` and ``dec``
[deg] say where they are and ``field`` says on which frames. Each band is cut on its own pixels
around the nearest pixel, so that bands agree to half a pixel. The noise is the robust scatter of
the frame, most of which is sky. Options of the card (``files.options``):

``path``
    Template of the frames' path as for the adapter fits_stamps, ``{id}`` being the field, such as
    ``"frame-{filter}-{id}.fits.bz2"``.
``filters``
    What each band is called in the path; by default the last word of its name.
``width``
    Width of the stamps [pixel].
``exclude``
    As for fits_stamps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.core.results import Rejection
from simreal.data._band_files import find_sources, where_of
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._cutouts import cut, pixel_positions, scatter
from simreal.data._files import FoundFile, existing_table
from simreal.data._fits import FITS_SUFFIXES, Hdus, opened_fits
from simreal.data._frames import Frames, Source, check_options, object_rejection, read_frames
from simreal.data._open_files import kept_open
from simreal.data._planes import Part, assembled, image_of, in_file
from simreal.data._quarantine import BadFileError
from simreal.data.tables import number, read_text_table

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = FITS_SUFFIXES
OPTIONS = ("exclude", "filters", "path", "width")

_NAMES = ("ra", "dec", "field")


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Cut the galaxies of the card's table out of SDSS frames into the file `store`.

    Parameters
    ----------
    card : Card
    seed : int
        Not used: files are read as they are.
    store : Path

    Returns
    -------
    Ingested
        Galaxies of one field share a group: they share its sky.

    Raises
    ------
    UsageError
        If the folder or table is absent or the card does not fit the files.
    NothingUsableError
        If no galaxy is left.
    """
    check_options(card, OPTIONS)
    width = card.files.options.get("width")
    if not isinstance(width, int) or width < 1:
        raise UsageError(
            f"{card.name}: files.options.width: got {width!r}, allowed is a number of pixels"
        )
    fields, rejected, notes = find_sources(card, short=True)
    sources, absent = _galaxies(card, fields, width)
    # Bands of one field, and the next one's.
    with kept_open(opened_fits, limit=2 * len(card.view.bands)) as get:
        return read_frames(
            card,
            store=store,
            sources=sources,
            load=lambda source: _load(card, source, width, get),
            rejected=[*rejected, *absent],
            notes=notes,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Galaxy(Source):
    """A galaxy of the table: where it is [deg], and on which field."""

    ra: float
    dec: float
    field: str


def _galaxies(
    card: Card, fields: Sequence[Source], width: int
) -> tuple[list["_Galaxy"], list[Rejection]]:
    path = existing_table(card)
    if path is None or card.files.join is None:
        raise UsageError(
            f"{card.name}: the adapter sdss_frame needs files.table and files.join: a table of "
            "galaxies with the columns ra, dec and field"
        )
    table = read_text_table(path)
    ids = table.column(card.files.join)
    columns = [table.column(name) for name in _NAMES]
    known = {field.id: field for field in fields}
    found, rejected = [], []
    for own, line, ra, dec, name in zip(ids, table.lines, *columns, strict=True):
        where = Source(id=own, file=FoundFile(name=path.name, path=path))
        position = number(ra), number(dec)
        if name not in known:
            reason = f"line {line} names the field {name!r}, allowed is one with all frames here"
            error = BadFileError("E_NOFILE", f"{reason}; fetch them")
            rejected.append(object_rejection(card, where, error))
        elif position[0] is None or position[1] is None:
            reason = f"line {line} has ra, dec = {ra!r}, {dec!r}, allowed are degrees"
            error = BadFileError("E_MISSING", f"{reason}; correct the table")
            rejected.append(object_rejection(card, where, error))
        else:
            field = known[name]
            galaxy = _Galaxy(
                id=own, file=field.file, size=(width, width), also=field.also,
                ra=position[0], dec=position[1], field=name,
            )  # fmt: skip
            found.append(galaxy)
    return sorted(found, key=lambda each: (each.field, each.id)), rejected


def _load(card: Card, source: Source, width: int, get: Callable[[FoundFile], Hdus]) -> Frames:
    assert isinstance(source, _Galaxy)  # noqa: S101 - they are made above
    parts = {}
    for band in card.view.bands:
        file = source.also[band]
        with in_file(file, of=source.file):
            frame, header = image_of(get(file), 0, band=band)
            (y, x), *_ = pixel_positions(header, [source.ra], [source.dec]).tolist()
            parts[band] = Part(
                pixels=cut(frame, y, x, width),
                header=header,
                noise=scatter(frame),
                where=where_of(file, source),
            )
    return assembled(card, parts, group=source.field)
