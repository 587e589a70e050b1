"""From calibrated images of single objects to one set on the store.

An adapter says where its objects are (`Source`) and how one of them is read (`Frames`); what is
the same for every format happens here: quarantine, checks of the pixels, padding to one size,
repeats, the table of properties, the store.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.core.cards import Card
from simreal.core.conditions import Conditions, load_conditions
from simreal.core.errors import SimrealError, UsageError, did_you_mean
from simreal.core.images import Setup, Step
from simreal.core.results import Rejection
from simreal.data._contract import Ingested, setup_of
from simreal.data._files import FoundFile, existing_folder
from simreal.data._join import JoinedTable, check_required, read_joined_table, unused_rows
from simreal.data._outcome import nothing_usable, worry
from simreal.data._quarantine import BadFileError, identity, is_plain, rejection, shown
from simreal.data._repeats import merged_groups
from simreal.data.store import Description, StoreWriter
from simreal.data.tables import Properties, is_missing, typed_properties, typed_values

if TYPE_CHECKING:
    from astropy.table import QTable

#: The one unit of calibrated pixels: AB magnitudes are 31.4 - 2.5 log10(value).
UNIT = "nJy / pix"

#: [pixel] A larger image is a mosaic, to be cut up first.
MAX_SIDE = 4096
#: [pixel] A smaller one shows nothing.
LEAST_SIDE = 8
#: [arcsec / pixel] No camera has finer or coarser pixels.
SCALES = (0.001, 60.0)
#: Share of unusable pixels above which an image is rejected: in its central quarter, in all.
CENTRE_LOST, ALL_LOST = 0.05, 0.2

_GEOMETRY = ("pixel_scale", "physical_scale", "redshift", "distance", "exposure")
#: What the card says where no file does.
_ON_CARD = ("redshift", "distance")
_PER_BAND = ("psf_fwhm", "noise", "gain")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """One object that may be read: its id, and where it is.

    Parameters
    ----------
    id : str
    file : FoundFile
        What an error names; the first of the object's files.
    size : tuple of int, optional
        ``(y, x)`` where it is known without reading the pixels. Without it the object is read
        twice, since the store needs to know the largest before it takes the first.
    row : int, optional
        Row of a table or data set inside the file.
    also : mapping
        Other files of the same object, by band or role.
    """

    id: str
    file: FoundFile
    size: tuple[int, int] | None = None
    row: int | None = None
    also: Mapping[str, FoundFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """The calibrated images of one object.

    Parameters
    ----------
    pixels : array (band, y, x)
        [nJy / pixel], bands in the order of the card's view.
    mask : array of bool (band, y, x), optional
        True where a pixel must not be used.
    pixel_scale : float, optional
        [arcsec / pixel]
    physical_scale : float, optional
        [kpc / pixel]
    redshift : float, optional
        At which the light was seen.
    psf : array (band, k, k), optional
        Odd, each summing to 1.
    psf_fwhm : array (band,), optional
        [pixel]
    noise : array (band,), optional
        [nJy / pixel] rms of the sky.
    exposure : float, optional
        [s]
    distance : float, optional
        [Mpc] Of the instrument, where the light has no redshift.
    gain : array (band,), optional
        [electron / nJy]
    group : str
        Resampling unit; empty for the id.
    properties : mapping
        What headers or inner tables say, by the name that a card's ``properties.*.column`` uses.
    notes : tuple of str
    """

    pixels: Float32Array
    mask: BoolArray | None = None
    pixel_scale: float | None = None
    physical_scale: float | None = None
    redshift: float | None = None
    psf: Float64Array | None = None
    psf_fwhm: Float64Array | None = None
    noise: Float64Array | None = None
    exposure: float | None = None
    distance: float | None = None
    gain: Float64Array | None = None
    group: str = ""
    properties: Mapping[str, float | str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


Load = Callable[[Source], Frames]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kept:
    """What stays in memory of an image that is on the store."""

    source: Source
    row: int | None
    frames: Frames


@dataclass(slots=True, kw_only=True, eq=False)
class _Tally:
    """What was met while reading: the only thing here that grows."""

    kept: list[_Kept] = field(default_factory=list)
    masks: list[BoolArray | None] = field(default_factory=list)
    first_of: dict[bytes, int] = field(default_factory=dict)
    same_as: list[int] = field(default_factory=list)
    taken: dict[str, str] = field(default_factory=dict)


def check_options(card: Card, known: Sequence[str], *, tracks: Sequence[str] = ("flux",)) -> None:
    """Check that a card has a track an adapter serves and only options the adapter knows.

    Raises
    ------
    UsageError
        Naming the key, what was got and what is allowed.
    """
    unknown = sorted(set(card.files.options) - set(known))
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise UsageError(f"{card.name}: unknown option files.options.{unknown[0]}: {hint}")
    if card.track not in tracks:
        raise UsageError(
            f"{card.name}: got track {card.track!r}, allowed for the adapter "
            f"{card.files.adapter} is {' or '.join(map(repr, tracks))}"
        )


def read_frames(
    card: Card,
    *,
    store: Path,
    sources: Sequence[Source],
    load: Load,
    rejected: Sequence[Rejection] = (),
    notes: Sequence[str] = (),
) -> Ingested:
    """Read every object of a collection into the file `store`.

    A broken object is rejected with its reason and changes nothing about the others.

    Parameters
    ----------
    card : Card
    store : Path
    sources : sequence of Source
    load : callable
        ``(source) -> Frames``; raises `BadFileError` for a broken object.
    rejected : sequence of Rejection
        Files that were found broken before there was a source.
    notes : sequence of str

    Returns
    -------
    Ingested
        float32 images ``(n, band, y, x)`` [nJy / pixel]; smaller images are centred and padded,
        and what is padded is masked.

    Raises
    ------
    UsageError
        If the card does not fit the files.
    NothingUsableError
        If no object is left.
    """
    early = list(rejected)
    table, columns = _table(card)
    candidates = _joined(card, sources, table, early)
    sizes = {} if card.files.size else _sizes(candidates, load)
    while True:
        size = card.files.size or _largest(sizes.values())
        tally, bad = _Tally(), list(early)
        with StoreWriter(store, dtype="float32") as writer:
            for padded in _padded(card, candidates, load, size, tally, bad):
                writer.append(padded[None])
            if not tally.kept:
                raise _nothing(card, bad)
            ids = [each.source.id for each in tally.kept]
            sizes = {name: sizes[name] for name in ids if name in sizes}
            if card.files.size is None and _largest(sizes.values()) != size:
                # The largest turned out to be broken: it must not have widened the others.
                continue
            groups, repeats = merged_groups(ids, _groups(card, table, tally), tally.same_as)
            properties, odd = _properties(card, table, columns, tally.kept)
            said = [*notes, *repeats, *odd, *_own_notes(tally), *worry(len(sources), bad)]
            if table is not None:
                said += [
                    *table.table.notes,
                    *unused_rows(table, [s.file for s in sources], [s.id for s in sources]),
                ]
            about = Description(
                name=card.name,
                role=card.role,
                sampling=card.sampling,
                ids=np.array(ids, dtype=np.str_),
                groups=groups,
                setup=_setup(card, [each.frames for each in tally.kept]),
                mask=_masks(tally, (len(card.view.bands), *size)),
                properties=properties,
                history=(_step(card, sources, tally, bad, said),),
            )
            images = writer.finish(about)
        ordered = sorted(bad, key=lambda each: (each.path, each.id, each.code))
        return Ingested(images=images, rejected=tuple(ordered), notes=tuple(said))


def _nothing(card: Card, bad: Sequence[Rejection]) -> SimrealError:
    folder = existing_folder(card)
    if bad:
        return nothing_usable(card, folder, bad)
    return UsageError(f"{card.name}: no object in {folder}; correct files.pattern or the folder")


def _step(
    card: Card, sources: Sequence[Source], tally: _Tally, bad: list[Rejection], said: list[str]
) -> Step:
    about: dict[str, float | str | None] = {}
    if card.calibration is not None:
        given = card.calibration.model_dump()
        about = {
            key: value if isinstance(value, float | str) else str(value)
            for key, value in given.items()
            if value not in (None, "", ())
        }
    return Step(
        name="ingest",
        before={"objects": len(sources), **about},
        after={"images": len(tally.kept), "rejected": len(bad), "unit": UNIT},
        note="; ".join(said),
    )


def _table(card: Card) -> tuple[JoinedTable | None, frozenset[str]]:
    """Return the card's table, and its columns; other properties come from the files."""
    if card.files.table is None:
        if card.files.join is not None:
            raise UsageError(f"{card.name}: files.join needs files.table; name a table")
        return None, frozenset()
    if card.files.join is None:
        raise UsageError(
            f"{card.name}: files.table needs files.join, the column with the file name or id"
        )
    # Properties may stand in the table or in the files themselves.
    table = read_joined_table(card.model_copy(update={"properties": {}}))
    return table, frozenset(() if table is None else table.table.names)


def _joined(
    card: Card, sources: Sequence[Source], table: JoinedTable | None, bad: list[Rejection]
) -> list[tuple[Source, int | None]]:
    found: list[tuple[Source, int | None]] = []
    for source in sources:
        try:
            found.append((source, _row_of(card, source, table)))
        except BadFileError as error:
            bad.append(object_rejection(card, source, error))
    return found


def _row_of(card: Card, source: Source, table: JoinedTable | None) -> int | None:
    if not is_plain(source.file.name):
        raise BadFileError(
            "E_NAME", "has control characters or broken UTF-8 in its name; rename it"
        )
    if table is None:
        return None
    row = table.row_of(source.file, source.id)
    known = table.table.names
    in_table = {name: about for name, about in card.properties.items() if about.column in known}
    check_required(card.model_copy(update={"properties": in_table}), table.table, row)
    return row


def object_rejection(card: Card, source: Source, error: BadFileError) -> Rejection:
    """Return the row of ``rejected.csv`` for one object, which may share its file with others."""
    row = rejection(card, source.file, error)
    if source.id == identity(source.file):
        return row
    name = shown(source.file.name)
    return dataclasses.replace(
        row, id=shown(source.id), reason=f"{name}, object {shown(source.id)}: {error.reason}"
    )


def _sizes(
    candidates: Sequence[tuple[Source, int | None]], load: Load
) -> dict[str, tuple[int, int]]:
    """Return the size of every image that has one; what cannot be read is met again later."""
    found = {}
    for source, _ in candidates:
        try:
            height, width = source.size or load(source).pixels.shape[-2:]
        except BadFileError:
            continue
        if max(height, width) <= MAX_SIDE:
            found[source.id] = (int(height), int(width))
    return found


def _largest(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    heights, widths = zip((1, 1), *sizes, strict=True)
    return max(heights), max(widths)


def _padded(
    card: Card,
    candidates: Sequence[tuple[Source, int | None]],
    load: Load,
    size: tuple[int, int],
    tally: _Tally,
    bad: list[Rejection],
) -> Iterator[Float32Array]:
    for source, row in candidates:
        try:
            _check_id(source, tally)
            frames = load(source)
            _check(card, frames)
        except BadFileError as error:
            bad.append(object_rejection(card, source, error))
            continue
        pixels, mask = _on_canvas(frames, size)
        tally.taken[source.id] = shown(source.file.name)
        print_of = hashlib.blake2b(frames.pixels.tobytes(), digest_size=16).digest()
        tally.same_as.append(tally.first_of.setdefault(print_of, len(tally.kept)))
        tally.masks.append(mask)
        bare = dataclasses.replace(frames, pixels=np.empty((0, 0, 0), np.float32), mask=None)
        tally.kept.append(_Kept(source=source, row=row, frames=bare))
        yield pixels


def _check_id(source: Source, tally: _Tally) -> None:
    if source.id in tally.taken:
        raise BadFileError(
            "E_DUPID",
            f"has the id {source.id!r} of {tally.taken[source.id]}, allowed are unique ids; "
            "rename or remove one",
        )


def _check(card: Card, frames: Frames) -> None:
    pixels, bands = frames.pixels, len(card.view.bands)
    if max(pixels.shape[-2:]) > MAX_SIDE:
        raise BadFileError(
            "E_SIZE",
            f"got {pixels.shape[-2]} x {pixels.shape[-1]} pixels, allowed are {MAX_SIDE} a side; "
            "cut it up (adapter mosaic)",
        )
    if min(pixels.shape[-2:]) < LEAST_SIDE:
        raise BadFileError(
            "E_SIZE",
            f"got {pixels.shape[-2]} x {pixels.shape[-1]} pixels, allowed are {LEAST_SIDE} a side "
            "or more; fetch it again or remove it",
        )
    if pixels.ndim != 3 or len(pixels) != bands:
        raise BadFileError(
            "E_BANDS",
            f"got {len(pixels)} planes, allowed are the {bands} bands of the card "
            f"({', '.join(card.view.bands)}); correct view.bands or the file",
        )
    bad = ~np.isfinite(pixels) if frames.mask is None else frames.mask | ~np.isfinite(pixels)
    for band, name in enumerate(card.view.bands):
        good = pixels[band][~bad[band]]
        if good.size == 0 or not good.any():
            what = "no usable pixel" if good.size == 0 else "nothing but zeros"
            raise BadFileError("E_EMPTY", f"has {what} in band {name}; fetch it again or remove it")
        if good.min() == good.max():
            raise BadFileError(
                "E_CONST", f"has the value {good[0]:g} in every pixel of band {name}; remove it"
            )
        _check_lost(bad[band], name)
    _check_scale(frames)


def _check_scale(frames: Frames) -> None:
    scale = frames.pixel_scale
    if scale is None and frames.physical_scale is None:
        raise BadFileError(
            "E_SCALE", "has no pixel scale; state calibration.pixel_scale or pixel_scale_from"
        )
    if scale is not None and not SCALES[0] <= scale <= SCALES[1]:
        raise BadFileError(
            "E_SCALE",
            f"got a pixel scale of {scale:g} arcsec, allowed is {SCALES[0]} to {SCALES[1]}; "
            "correct calibration.pixel_scale and its unit, or the header",
        )


def _check_lost(bad: BoolArray, band: str) -> None:
    height, width = bad.shape
    # What is missing along whole rows and columns of the border is padding or the edge of a
    # mosaic: it is masked, and the frame will keep clear of it.
    ys, xs = np.flatnonzero(~bad.all(axis=1)), np.flatnonzero(~bad.all(axis=0))
    inside = bad[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    quarter = (slice(height // 4, height - height // 4), slice(width // 4, width - width // 4))
    for share, limit, where in (
        (bad[quarter].mean(), CENTRE_LOST, "the central quarter"),
        (inside.mean(), ALL_LOST, "its field"),
    ):
        if share > limit:
            raise BadFileError(
                "E_NAN",
                f"has {100 * share:.0f} % unusable pixels in {where} of band {band}, allowed are "
                f"{100 * limit:.0f} %; check calibration.mask or remove it",
            )


def _on_canvas(frames: Frames, size: tuple[int, int]) -> tuple[Float32Array, BoolArray | None]:
    """Return pixels and mask centred on a canvas of `size`, cut or padded alike on both sides."""
    pixels = np.asarray(frames.pixels, dtype=np.float32)
    lost = ~np.isfinite(pixels)
    if frames.mask is not None:
        lost |= frames.mask
    shape = pixels.shape[-2:]
    if shape == size and not lost.any():
        return pixels, None
    out = np.zeros((len(pixels), *size), np.float32)
    mask = np.ones(out.shape, np.bool_)
    (ours_y, theirs_y), (ours_x, theirs_x) = (
        _overlap(canvas, own) for canvas, own in zip(size, shape, strict=True)
    )
    part, gone = pixels[:, theirs_y, theirs_x], lost[:, theirs_y, theirs_x]
    out[:, ours_y, ours_x] = np.where(gone, np.float32(0), part)
    mask[:, ours_y, ours_x] = gone
    return out, mask


def _overlap(canvas: int, own: int) -> tuple[slice, slice]:
    start = (canvas - own) // 2
    ours = slice(max(start, 0), max(start, 0) + min(canvas, own))
    theirs = slice(max(-start, 0), max(-start, 0) + min(canvas, own))
    return ours, theirs


def _masks(tally: _Tally, shape: tuple[int, int, int]) -> BoolArray | None:
    if all(mask is None for mask in tally.masks):
        return None
    out = np.zeros((len(tally.masks), *shape), np.bool_)
    for row, mask in enumerate(tally.masks):
        if mask is not None:
            out[row] = mask
    return out


def _groups(card: Card, table: JoinedTable | None, tally: _Tally) -> list[str]:
    named = [each.frames.group or each.source.id for each in tally.kept]
    if table is None or card.files.group is None:
        return named
    cells = table.table.column(card.files.group)
    listed = [cells[each.row] if each.row is not None else "" for each in tally.kept]
    return [own if is_missing(cell) else cell for own, cell in zip(named, listed, strict=True)]


def _properties(
    card: Card, table: JoinedTable | None, columns: frozenset[str], kept: Sequence[_Kept]
) -> tuple["QTable | None", list[str]]:
    if not card.properties:
        return None, []
    in_table = {k: about for k, about in card.properties.items() if about.column in columns}
    notes: list[str] = []
    typed = Properties(table=_empty())
    if table is not None and in_table:
        rows = [each.row for each in kept if each.row is not None]
        typed = typed_properties(table.table, rows, in_table)
        if typed.odd:
            cells = ", ".join(f"line {c.line} {c.column} {shown(c.text)}" for c in typed.odd[:5])
            notes.append(
                f"{len(typed.odd)} cells of {table.table.path.name} are no finite numbers and "
                f"count as missing ({cells}{', ...' if len(typed.odd) > 5 else ''})"
            )
    out = _empty()
    for name, about in card.properties.items():
        if name in in_table:
            out[name] = typed.table[name]
        else:
            out[name] = typed_values(
                name, [each.frames.properties.get(about.column) for each in kept], about
            )
        out[name].info.description = about.description
    return out, notes


def _empty() -> Any:
    from astropy.table import QTable

    return QTable()


def _own_notes(tally: _Tally) -> list[str]:
    said: dict[str, int] = {}
    for each in tally.kept:
        for note in each.frames.notes:
            said[note] = said.get(note, 0) + 1
    return [note if n == 1 else f"{note} ({n} images)" for note, n in said.items()]


def _setup(card: Card, kept: Sequence[Frames]) -> Setup:
    """Return the conditions of the set; what is known of every image, and of no other."""
    changes: dict[str, Any] = {"unit": UNIT, "display": "linear", "pixel_scale": None}
    for name in _GEOMETRY:
        values = [getattr(each, name) for each in kept]
        if all(value is not None and value > 0 for value in values):
            changes[name] = values[0] if len(set(values)) == 1 else np.array(values, np.float64)
        elif name in _ON_CARD and all(value is None for value in values):
            changes[name] = getattr(card.calibration, name, None)
    for name in _PER_BAND:
        rows = [getattr(each, name) for each in kept]
        if all(row is not None for row in rows):
            changes[name] = _shared(np.array(rows, np.float64))
    kernels = [each.psf for each in kept if each.psf is not None]
    if len(kernels) == len(kept):
        side = max(kernel.shape[-1] for kernel in kernels)
        changes["psf"] = _shared(np.stack([_widened(kernel, side) for kernel in kernels]))
    return with_survey(card, setup_of(card).replace(**changes))


def with_survey(card: Card, setup: Setup) -> Setup:
    """Return the setup with what the card's survey states and the files do not: PSF and gain."""
    if card.view.survey is None or setup.rendition != "survey":
        return setup
    survey = load_conditions(card.view.survey)
    changes: dict[str, Any] = {}
    if setup.psf is None and setup.psf_fwhm is None and setup.pixel_scale is not None:
        widths = _stated(survey, setup.bands, lambda band: survey.number(band, "psf_fwhm"))
        if widths is not None:
            scale = np.asarray(setup.pixel_scale)
            changes["psf_fwhm"] = widths / (scale[:, None] if scale.ndim else scale)
    if setup.gain is None:
        changes["gain"] = _stated(survey, setup.bands, survey.electrons)
    return setup.replace(**changes)


def _stated(
    survey: Conditions, bands: Sequence[str], of: Callable[[str], float]
) -> Float64Array | None:
    """Return a number of every band, or None where the survey's card lacks it in one."""
    try:
        return np.array([of(band) for band in bands if survey.band(band)], np.float64)
    except SimrealError:
        return None


def _shared(rows: Float64Array) -> Float64Array:
    """Return the one row where all images have the same, else all rows."""
    return rows[0] if (rows == rows[:1]).all() else rows


def _widened(kernel: Float64Array, side: int) -> Float64Array:
    pad = (side - kernel.shape[-1]) // 2
    return np.pad(kernel, ((0, 0), (pad, pad), (pad, pad)))
