"""FITS files that others wrote: read right, or refused with the one line that says why.

Structure is checked before anything is allocated: what the headers declare against the bytes
that are there. Plain images are read here, which takes a fraction of the time of a general
reader; scaled and compressed images and tables go through astropy, one HDU at a time.
"""

import bz2
import gzip
import lzma
import math
import mmap
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias, cast

import numpy as np

from simreal.core.arrays import AnyArray, Float32Array, IntArray
from simreal.data._files import FoundFile
from simreal.data._fits_header import BLOCK, CARD, Header, header_number, header_text
from simreal.data._quarantine import MAX_BYTES, BadFileError, opened, shown

__all__ = [
    "FITS_SUFFIXES",
    "Hdu",
    "Hdus",
    "Header",
    "flag_plane",
    "header_number",
    "header_text",
    "image_plane",
    "opened_fits",
    "peek_size",
    "table_columns",
]

#: Endings of the files opened as FITS; what is inside is told by the first bytes.
FITS_SUFFIXES = (
    ".fits",
    ".fit",
    ".fts",
    ".fits.gz",
    ".fit.gz",
    ".fits.bz2",
    ".fits.fz",
    ".fits.xz",
)

Kind = Literal["image", "compressed image", "table", "empty"]
Buffer: TypeAlias = bytes | mmap.mmap

_TYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_MAX_HEADER = 4_000_000
#: What no header has, and hardly any block of pixels is without.
_CONTROL = bytes(range(32)) + b"\x7f"
#: Read in one go up to here; larger files are mapped.
_SMALL = 64 << 20
#: A file that unpacks to more than this and so much larger than it was is made to do harm.
_BOMB_BYTES, _BOMB_RATIO = 64 << 20, 300
_FORMAT_ERRORS = (
    OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError,
    EOFError, MemoryError, zlib.error,
)  # fmt: skip
_PRIMARY = b"".join(
    card.ljust(CARD).encode()
    for card in ("SIMPLE  =                    T", "BITPIX  =                    8",
                 "NAXIS   =                    0", "EXTEND  =                    T", "END")
).ljust(BLOCK)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hdu:
    """One header and data unit.

    ``shape`` is that of the image in numpy's order, also of a compressed one, and empty for
    tables. ``start``, ``data`` and ``end`` are offsets in the file [byte].
    """

    index: int
    name: str
    header: Header
    kind: Kind
    shape: tuple[int, ...]
    start: int
    data: int
    end: int

    @property
    def is_image(self) -> bool:
        """Whether it holds an image."""
        return self.kind in ("image", "compressed image")

    @property
    def title(self) -> str:
        """What messages call it, such as ``HDU 2 (MASK, image 5 x 4)``."""
        size = " x ".join(str(side) for side in self.shape)
        what = f"{self.kind} {size}".strip()
        return f"HDU {self.index} ({shown(self.name)}, {what})" if self.name else (
            f"HDU {self.index} ({what})"
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Hdus:
    """The units of an open FITS file; ``hdus[0]``, ``hdus["MASK"]`` (in any case)."""

    buffer: Buffer
    units: tuple[Hdu, ...]

    def __len__(self) -> int:
        return len(self.units)

    def __iter__(self) -> Iterator[Hdu]:
        return iter(self.units)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and any(_same(unit.name, key) for unit in self.units)

    def __getitem__(self, key: int | str) -> Hdu:
        """Return a unit by number or name.

        Raises
        ------
        BadFileError
            If there is none, or several of that name, with what there is.
        """
        if isinstance(key, int):
            found = [unit for unit in self.units if unit.index == key]
        else:
            found = [unit for unit in self.units if _same(unit.name, key)]
        if len(found) != 1:
            count = "no" if not found else str(len(found))
            raise BadFileError(
                "E_HDU",
                f"has {count} HDU {key!r}, allowed is exactly one of {self.listed}; name another "
                "in the card or fetch the file again",
            )
        return found[0]

    @property
    def listed(self) -> str:
        """What there is, on one line."""
        titles = [unit.title for unit in self.units]
        return ", ".join(titles[:12]) + (f" and {len(titles) - 12} more" if titles[12:] else "")

    def only_image(self) -> Hdu:
        """Return the one unit that holds an image.

        Raises
        ------
        BadFileError
            If there is none or several: which one is meant is for the card to say.
        """
        images = [unit for unit in self.units if unit.is_image]
        if len(images) != 1:
            fix = "name one in the card" if images else "fetch the file again"
            raise BadFileError(
                "E_HDU",
                f"has {len(images) or 'no'} HDUs with an image ({self.listed}), allowed is one; "
                f"{fix}",
            )
        return images[0]


@contextmanager
def opened_fits(file: FoundFile) -> Iterator[Hdus]:
    """Open a FITS file, plain or packed with gzip, bzip2 or xz, with its structure checked.

    Raises
    ------
    BadFileError
        ``E_READ``, ``E_BIG``, ``E_EMPTYFILE``, ``E_HTML``, ``E_FITS``, ``E_TRUNC``, ``E_NAXIS``,
        ``E_BOMB`` or ``E_CHECKSUM``.
    """
    with opened(file) as handle:
        packed = handle.read(6)
        handle.seek(0)
        size = file.path.stat().st_size
        if size > _SMALL and packed.startswith(b"SIMPLE"):
            with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                yield _walked(mapped)
        else:
            yield _walked(_unpacked(handle, packed, size))


def image_plane(hdus: Hdus, hdu: int | str | None = None) -> tuple[Float32Array, Header]:
    """Return the image of a unit as native float32, and its header.

    ``BSCALE`` and ``BZERO`` are applied and ``BLANK`` becomes NaN.

    Parameters
    ----------
    hdus : Hdus
    hdu : int, str or None
        Number or name; None where there is only one image.

    Raises
    ------
    BadFileError
        If the unit is absent, no image, ambiguous or damaged.
    """
    unit = hdus.only_image() if hdu is None else hdus[hdu]
    with np.errstate(over="ignore", invalid="ignore"):
        # A fresh array in any case: the buffer of the file is closed behind the caller.
        return np.array(_pixels(hdus, unit), dtype=np.float32, order="C"), unit.header


def flag_plane(hdus: Hdus, hdu: int | str) -> tuple[IntArray, Header]:
    """Return a unit of integer flags as native int64, and its header.

    float32 would lose the bits above the 24th.

    Raises
    ------
    BadFileError
        If the unit is absent, no image or holds fractions.
    """
    unit = hdus[hdu]
    pixels = _pixels(hdus, unit)
    if pixels.dtype.kind == "f":
        whole = np.where(np.isfinite(pixels), pixels, 0)
        if (whole != np.rint(whole)).any():
            raise BadFileError(
                "E_MASK",
                f"{unit.title} holds fractions, allowed for a mask are integers; name another HDU",
            )
        # A flag that is not a number cannot vouch for its pixel.
        pixels = np.where(np.isfinite(pixels), pixels, -1)
    return pixels.astype(np.int64), unit.header


def table_columns(hdus: Hdus, hdu: int | str) -> dict[str, AnyArray]:
    """Return the columns of a binary or text table as native arrays; text comes as ``str``.

    Raises
    ------
    BadFileError
        If the unit is absent, no table or damaged.
    """
    unit = hdus[hdu]
    if unit.kind != "table":
        raise BadFileError(
            "E_HDU", f"{unit.title} is no table, allowed is one of {hdus.listed}; name another"
        )
    with _through_astropy(hdus, unit) as content:
        data = cast(AnyArray, content)
        try:
            # Text tables are decoded only here.
            return {str(name): _native(np.asarray(data[name])) for name in data.dtype.names or ()}
        except (*_FORMAT_ERRORS, AssertionError) as error:
            first = shown(str(error).partition("\n")[0]) or type(error).__name__
            raise BadFileError(
                "E_FITS", f"{unit.title} does not decode ({first}); fetch or write it again"
            ) from None


def peek_size(path: Path) -> tuple[int, int] | None:
    """Return ``(y, x)`` of the first image from the headers alone, or None where unknown.

    Nothing is checked: `opened_fits` does that when the pixels are read.
    """
    try:
        if not path.is_file():
            return None  # A pipe would wait for ever.
        with _sniffed(path) as handle:
            while raw := _next_header(handle):
                header = Header(raw)
                kind, shape = _kind(header)
                if kind in ("image", "compressed image"):
                    return (shape[-2], shape[-1]) if len(shape) >= 2 else None
                handle.seek(_padded(_data_bytes(header)), 1)
    except (*_FORMAT_ERRORS, BadFileError):
        pass
    return None


def _same(name: str, key: str) -> bool:
    return name.strip().upper() == key.strip().upper()


# ---- from bytes to units ---------------------------------------------------------------------


def _unpacked(handle: BinaryIO, magic: bytes, size: int) -> bytes:
    if not size:
        raise BadFileError(
            "E_EMPTYFILE", "got 0 bytes, allowed is a FITS file; the download failed: fetch again"
        )
    unpacker = _unpacker(magic, handle)
    if unpacker is None:
        return handle.read()
    chunks: list[bytes] = []
    total = 0
    try:
        while chunk := unpacker.read(1 << 20):
            chunks.append(chunk)
            total += len(chunk)
            _refuse_bomb(total, size, chunks[0])
    except EOFError:
        raise BadFileError(
            "E_TRUNC",
            f"the packed file ends early: got {size:,} bytes that unpack to {total:,} and more; "
            "allowed is a whole file: fetch again",
        ) from None
    except (OSError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise BadFileError(
            "E_CHECKSUM",
            f"cannot be unpacked ({error}), allowed is an undamaged file; fetch again",
        ) from None
    return b"".join(chunks)


def _unpacker(magic: bytes, handle: BinaryIO) -> BinaryIO | None:
    if magic.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=handle, mode="rb"))
    if magic.startswith(b"BZh"):
        return cast(BinaryIO, bz2.BZ2File(handle))
    if magic.startswith(b"\xfd7zXZ"):
        return cast(BinaryIO, lzma.LZMAFile(handle))
    return None


def _refuse_bomb(total: int, packed: int, first: bytes) -> None:
    declared = 0
    if total == len(first) and (end := _header_end(first, 0)):
        declared = _data_bytes(Header(first[:end]))
    bomb = total > _BOMB_BYTES and total > _BOMB_RATIO * packed
    if bomb or max(total, declared) > MAX_BYTES:
        raise BadFileError(
            "E_BOMB",
            f"{packed:,} bytes unpack to {max(total, declared):,} or more, allowed are "
            f"{MAX_BYTES:,} and {_BOMB_RATIO} times the packed size; cut it up or remove it",
        )


def _walked(buffer: Buffer) -> Hdus:
    """Return the units of a file, everything they declare held against the bytes there are."""
    _check_start(buffer[:BLOCK])
    units: list[Hdu] = []
    at, size = 0, len(buffer)
    while at < size and (not units or buffer[at : at + 8] == b"XTENSION"):
        units.append(_unit(buffer, at, len(units)))
        at = units[-1].end
    # Zeros and spaces behind the end are padding that many writers leave.
    if at < size and bytes(buffer[at:]).strip(b"\0 "):
        raise BadFileError(
            "E_FITS",
            f"{size - at:,} bytes behind {units[-1].title} are no HDU, allowed is one that begins "
            "with XTENSION; the file is damaged: fetch again",
        )
    return Hdus(buffer, tuple(units))


def _check_start(first: bytes) -> None:
    if first.startswith(b"SIMPLE  ="):
        if first[10:CARD].partition(b"/")[0].strip() != b"T":
            raise BadFileError(
                "E_FITS", "says SIMPLE = F, allowed is T: a file that keeps to the FITS standard"
            )
        return
    start = first.lstrip()[:200].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")):
        raise BadFileError(
            "E_HTML", "looks like a web page, allowed is FITS; the download failed: fetch again"
        )
    if start.startswith(b"version https://git-lfs"):
        raise BadFileError(
            "E_FITS", "is a Git LFS pointer, allowed is the file itself; run 'git lfs pull'"
        )
    if not first.strip(b"\0"):
        raise BadFileError("E_FITS", "holds only zeros, allowed is FITS; fetch again")
    got = shown(first[:9].decode("latin-1"))
    raise BadFileError(
        "E_FITS",
        f"begins with {got!r}, allowed is 'SIMPLE  =': not FITS, or its header is damaged; fetch "
        "or write it again",
    )


def _unit(buffer: Buffer, start: int, index: int) -> Hdu:
    end_of_header = _header_end(buffer, start)
    if not end_of_header:
        raise BadFileError(
            "E_TRUNC",
            f"HDU {index} has no END card in {len(buffer) - start:,} bytes: truncated in the "
            "header, allowed is a whole file; fetch again",
        )
    header = Header(bytes(buffer[start:end_of_header]))
    try:
        n_bytes = _data_bytes(header)
        kind, shape = _kind(header)
        _check_bomb(header, kind, shape, n_bytes)
    except BadFileError as error:
        raise BadFileError(error.code, f"HDU {index}: {error.reason}") from None
    unit = Hdu(
        index=index,
        name=header_text(header, "EXTNAME"),
        header=header,
        kind=kind,
        shape=shape,
        start=start,
        data=end_of_header,
        end=min(end_of_header + _padded(n_bytes), len(buffer)),
    )
    there = len(buffer) - end_of_header
    if there < n_bytes:
        raise BadFileError(
            "E_TRUNC",
            f"{unit.title} is truncated: got {there:,} of {n_bytes:,} bytes of data, allowed is a "
            "whole file; fetch again",
        )
    _check_sums(buffer, unit)
    return unit


def _header_end(buffer: Buffer, start: int) -> int:
    """Return the offset behind the header that begins at `start`, or 0 where it has no end.

    The search stops where the text does: a header whose END card is damaged would else go on
    through its own data to the END of the next, and swallow both.
    """
    for at in range(start, min(len(buffer), start + _MAX_HEADER), BLOCK):
        block = bytes(buffer[at : at + BLOCK])
        where = block.find(b"END     ")
        while where >= 0 and (where % CARD or block[where : where + CARD].strip() != b"END"):
            where = block.find(b"END     ", where + 1)
        if where >= 0:
            return at + BLOCK if len(block) == BLOCK else 0
        follows = at > start and block.startswith(b"XTENSION")
        if follows or block.translate(None, _CONTROL) != block:
            return 0
    return 0


def _axes(header: Header, prefix: str = "") -> tuple[int, ...]:
    """Return the axes in numpy's order."""
    n_axes = header.get(f"{prefix}NAXIS")
    if isinstance(n_axes, bool) or not isinstance(n_axes, int) or not 0 <= n_axes <= 32:
        raise BadFileError(
            "E_NAXIS", f"{prefix}NAXIS reads {n_axes!r}, allowed is 0 to 32; fetch again"
        )
    axes = []
    for axis in range(n_axes, 0, -1):
        side = header.get(f"{prefix}NAXIS{axis}")
        if isinstance(side, bool) or not isinstance(side, int) or side < 0:
            raise BadFileError(
                "E_NAXIS",
                f"{prefix}NAXIS{axis} reads {side!r}, allowed is an integer from 0; fetch again",
            )
        axes.append(side)
    return tuple(axes)


def _data_bytes(header: Header) -> int:
    bitpix = header.get("BITPIX")
    if isinstance(bitpix, bool) or bitpix not in _TYPES:
        raise BadFileError(
            "E_NAXIS", f"BITPIX reads {bitpix!r}, allowed: {', '.join(map(str, _TYPES))}"
        )
    axes = _axes(header)
    if not axes:
        return 0
    if header.get("GROUPS") is True and axes[-1] == 0:
        raise BadFileError("E_FITS", "holds random groups, allowed are images and tables")
    extra, groups = header.get("PCOUNT", 0), header.get("GCOUNT", 1)
    if not (isinstance(extra, int) and isinstance(groups, int) and extra >= 0 and groups >= 0):
        raise BadFileError("E_NAXIS", f"PCOUNT, GCOUNT read {extra!r}, {groups!r}; fetch again")
    return abs(int(bitpix)) // 8 * groups * (extra + math.prod(axes))


def _kind(header: Header) -> tuple[Kind, tuple[int, ...]]:
    extension = header_text(header, "XTENSION")
    if extension == "BINTABLE" and header.get("ZIMAGE") is True:
        return "compressed image", _axes(header, "Z")
    if extension in ("BINTABLE", "TABLE", "A3DTABLE"):
        return "table", ()
    axes = _axes(header)
    return ("image", axes) if axes and 0 not in axes else ("empty", ())


def _check_bomb(header: Header, kind: Kind, shape: tuple[int, ...], n_bytes: int) -> None:
    declared = n_bytes
    if kind == "compressed image":
        bits = header.get("ZBITPIX")
        declared = math.prod(shape) * (abs(bits) // 8 if isinstance(bits, int) else 8)
    if declared > MAX_BYTES:
        raise BadFileError(
            "E_BOMB",
            f"the header declares {declared:,} bytes, allowed are {MAX_BYTES:,}; correct the "
            "header or cut the image up",
        )


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // BLOCK) * BLOCK


# ---- checksums -------------------------------------------------------------------------------


def _check_sums(buffer: Buffer, unit: Hdu) -> None:
    """Check DATASUM and CHECKSUM where a writer left them: a flipped bit reads as a number."""
    wanted = unit.header.get("DATASUM")
    text = str(wanted).strip() if wanted is not None else ""
    if text.isdigit():
        got = _ones_complement(bytes(buffer[unit.data : unit.end]))
        if got != int(text):
            raise BadFileError(
                "E_CHECKSUM",
                f"{unit.title}: DATASUM got {got}, allowed is {text} of the header: the data are "
                "damaged; fetch again",
            )
    if header_text(unit.header, "CHECKSUM").strip("0 "):
        total = _ones_complement(bytes(buffer[unit.start : unit.end]))
        if total not in (0, 0xFFFFFFFF):
            raise BadFileError(
                "E_CHECKSUM",
                f"{unit.title}: the sum of all words got {total}, allowed is 0 by CHECKSUM: header "
                "or data are damaged; fetch again",
            )


def _ones_complement(data: bytes) -> int:
    """Return the 32-bit ones'-complement sum of big-endian words."""
    data = data.ljust(-(-len(data) // 4) * 4, b"\0")
    total = int(np.frombuffer(data, dtype=">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


# ---- from units to arrays --------------------------------------------------------------------


def _pixels(hdus: Hdus, unit: Hdu) -> AnyArray:
    if not unit.is_image:
        raise BadFileError(
            "E_HDU",
            f"{unit.title} holds no image, allowed is one of {hdus.listed}; name another in the "
            "card",
        )
    scaled = any(key in unit.header for key in ("BSCALE", "BZERO", "BLANK"))
    if unit.kind == "image" and (not scaled or _scales_nothing(unit.header)):
        dtype = np.dtype(_TYPES[cast(int, unit.header["BITPIX"])])
        count = math.prod(unit.shape)
        return np.frombuffer(
            hdus.buffer[unit.data : unit.data + count * dtype.itemsize], dtype=dtype
        ).reshape(unit.shape)
    with _through_astropy(hdus, unit) as content:
        if not isinstance(content, np.ndarray) or content.shape != unit.shape:
            raise BadFileError("E_FITS", f"{unit.title} does not decode; fetch again")
        return np.array(content)


def _scales_nothing(header: Mapping[str, object]) -> bool:
    blank_matters = "BLANK" in header and cast(int, header["BITPIX"]) > 0
    return header.get("BSCALE", 1) == 1 and header.get("BZERO", 0) == 0 and not blank_matters


@contextmanager
def _through_astropy(hdus: Hdus, unit: Hdu) -> Iterator[object]:
    """Yield the data of one unit as astropy reads it, from a file that holds nothing else."""
    from astropy.io import fits

    own = bytes(hdus.buffer[unit.start : unit.end])
    own = own.ljust(_padded(len(own)), b"\0")
    alone = own if unit.index == 0 else _PRIMARY + own
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(BytesIO(alone), memmap=False) as opened_alone:
                data = opened_alone[0 if unit.index == 0 else 1].data
    except (*_FORMAT_ERRORS, AssertionError, fits.VerifyError) as error:
        first = shown(str(error).partition("\n")[0]) or type(error).__name__
        raise BadFileError(
            "E_FITS", f"{unit.title} does not decode ({first}); fetch or write it again"
        ) from None
    yield data


def _native(values: AnyArray) -> AnyArray:
    if values.dtype.kind == "S":
        return np.char.rstrip(np.char.decode(values, "latin-1"))
    if values.dtype.kind == "U":
        return np.char.rstrip(values)
    return np.array(values, dtype=values.dtype.newbyteorder("="))


# ---- headers alone ---------------------------------------------------------------------------


@contextmanager
def _sniffed(path: Path) -> Iterator[BinaryIO]:
    with open(path, "rb") as handle:
        magic = handle.read(6)
        handle.seek(0)
        yield _unpacker(magic, handle) or handle


def _next_header(handle: BinaryIO) -> bytes:
    raw = b""
    while len(raw) < _MAX_HEADER:
        block = handle.read(BLOCK)
        raw += block
        if len(block) < BLOCK or not raw.startswith((b"SIMPLE", b"XTENSION")):
            return b""
        if end := _header_end(raw, 0):
            return raw[:end]
    return b""
