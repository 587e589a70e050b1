"""Arrays in ``.npy`` and ``.npz`` files: never a pickled object, never more than was declared."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from simreal.core.arrays import AnyArray
from simreal.data._files import FoundFile
from simreal.data._hdf5 import opened_large
from simreal.data._quarantine import MAX_BYTES, BadFileError, opened, shown

NUMPY_SUFFIXES = (".npy", ".npz")

_ERRORS = (
    OSError, ValueError, TypeError, KeyError, EOFError, MemoryError, OverflowError, SyntaxError,
    zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
)  # fmt: skip
_BOMB_BYTES, _BOMB_RATIO = 64 << 20, 300


def load_npy(file: FoundFile) -> AnyArray:
    """Return the array of an ``.npy`` file, mapped into memory and not read yet.

    Raises
    ------
    BadFileError
        ``E_EMPTYFILE``, ``E_HTML``, ``E_TRUNC``, ``E_DTYPE`` or ``E_NPY``.
    """
    with opened_large(file) as start:
        _check_start(start, b"\x93NUMPY", "npy")
    try:
        array = np.load(file.path, mmap_mode="r", allow_pickle=False)
    except _ERRORS as error:
        raise _as_bad_file(error) from None
    return _numbers(array, file.name)


def load_npz(file: FoundFile) -> Mapping[str, AnyArray]:
    """Return the arrays of an ``.npz`` file by name.

    Raises
    ------
    BadFileError
        As for `load_npy`, and ``E_BOMB`` for one that unpacks to far more than it is.
    """
    with opened(file) as handle:
        _check_start(handle.read(512), b"PK", "npz")
    try:
        packed = file.path.stat().st_size
        with zipfile.ZipFile(file.path) as archive:
            total = sum(member.file_size for member in archive.infolist())
        if total > MAX_BYTES or (total > _BOMB_BYTES and total > _BOMB_RATIO * packed):
            raise BadFileError(
                "E_BOMB",
                f"{packed:,} bytes unpack to {total:,}, allowed are {MAX_BYTES:,} and "
                f"{_BOMB_RATIO} times the packed size; cut it up",
            )
        with np.load(file.path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except _ERRORS as error:
        raise _as_bad_file(error) from None


def sibling(file: FoundFile, pattern: str) -> FoundFile:
    """Return the file beside `file` that `pattern` names, ``{name}`` being its own stem.

    Raises
    ------
    BadFileError
        ``E_NOFILE`` if there is none.
    """
    name = pattern.format(name=Path(file.name).stem)
    path = file.path.parent / Path(name).name
    if not path.is_file():
        raise BadFileError(
            "E_NOFILE", f"has no {shown(path.name)} beside it, allowed is one; add it"
        )
    folder = file.name.rpartition("/")[0]
    return FoundFile(name=f"{folder}/{path.name}" if folder else path.name, path=path)


def _numbers(array: AnyArray, name: str) -> AnyArray:
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise BadFileError(
            "E_DTYPE", f"{shown(name)} has type {array.dtype}, allowed are numbers; convert it"
        )
    return array


def _check_start(start: bytes, magic: bytes, kind: str) -> None:
    if not start:
        raise BadFileError(
            "E_EMPTYFILE", f"got 0 bytes, allowed is an {kind} file; the download failed"
        )
    if start.lstrip()[:14].lower().startswith((b"<!doctype", b"<html")):
        raise BadFileError(
            "E_HTML", f"looks like a web page, allowed is {kind}; the download failed: fetch again"
        )
    if not start.startswith(magic):
        raise BadFileError(
            "E_NPY", f"begins with {shown(repr(start[:8]))}, allowed is an {kind} file; write it "
            "with numpy.save"
        )  # fmt: skip


def _as_bad_file(error: BaseException) -> BadFileError:
    text = shown(str(error).partition("\n")[0]) or type(error).__name__
    if "pickle" in text or "bject" in text:
        return BadFileError(
            "E_DTYPE", "holds Python objects, which are never loaded; save plain numbers"
        )
    short = "mmap length" in text or "cannot reshape" in text or "EOF" in text
    return BadFileError(
        "E_TRUNC" if short else "E_NPY",
        f"cannot be read ({text}), allowed is a whole file; fetch or write it again",
    )
