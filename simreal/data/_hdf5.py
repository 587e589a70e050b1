"""HDF5 files that others wrote: nothing is followed out of the file, and no object is revived.

External, soft and virtual data would read other files of this machine into an image; an object
type would run code. A file that declares far more than it stores is refused before it is read.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from simreal.core.arrays import AnyArray
from simreal.core.errors import did_you_mean
from simreal.data._files import FoundFile
from simreal.data._quarantine import MAX_BYTES, BadFileError, opened, shown

HDF5_SUFFIXES = (".hdf5", ".h5", ".hdf")

_BOMB_BYTES, _BOMB_RATIO = 64 << 20, 1000
#: A chunk with many rows is unpacked once, not once per row.
_CACHE_BYTES = 64 << 20
_ERRORS = (OSError, ValueError, TypeError, KeyError, RuntimeError, MemoryError, OverflowError)


@dataclass(frozen=True, slots=True, eq=False)
class Hdf5:
    """An open HDF5 file whose datasets are checked when they are asked for."""

    file: h5py.File
    names: tuple[str, ...]

    def __contains__(self, key: object) -> bool:
        return key in self.names

    def dataset(self, key: str) -> h5py.Dataset:
        """Return a checked dataset.

        Raises
        ------
        BadFileError
            ``E_KEY`` with the keys there are, ``E_LINK``, ``E_DTYPE`` or ``E_BOMB``.
        """
        self._refuse_links(key)
        node = self.file[key]
        if not isinstance(node, h5py.Dataset):
            raise BadFileError("E_KEY", f"{key!r} is no dataset; {self._hint(key)}")
        if node.is_virtual or node.external:
            raise BadFileError(
                "E_LINK",
                f"dataset {key!r} lies in other files, allowed is one inside this file; copy it in",
            )
        declared = math.prod(node.shape or (0,)) * node.dtype.itemsize
        stored = max(1, node.id.get_storage_size())
        if declared > _BOMB_BYTES and declared > _BOMB_RATIO * stored:
            raise BadFileError(
                "E_BOMB",
                f"dataset {key!r} declares {declared:,} bytes and stores {stored:,}, allowed are "
                f"{_BOMB_RATIO} times as many; write it again",
            )
        return node

    def numbers(self, key: str) -> h5py.Dataset:
        """Return a dataset of numbers or truth values."""
        node = self.dataset(key)
        if node.dtype.kind not in "fiub" or node.dtype.itemsize > 8:
            raise BadFileError(
                "E_DTYPE",
                f"dataset {key!r} has type {node.dtype}, allowed are numbers; convert it",
            )
        return node

    def column(self, key: str, row: int | None = None) -> AnyArray:
        """Return a column of numbers or text, or one row of it; text comes as ``str``."""
        node = self.dataset(key)
        if row is None and math.prod(node.shape or (0,)) * node.dtype.itemsize > MAX_BYTES:
            raise BadFileError("E_BIG", f"dataset {key!r} is too large for a column; name another")
        rows = () if row is None else row
        with reading(key):
            if h5py.check_string_dtype(node.dtype) is not None:
                return np.asarray(node.asstr(errors="replace")[rows], dtype=np.str_)
            if node.dtype.kind == "O":
                raise BadFileError(
                    "E_DTYPE", f"dataset {key!r} holds objects, allowed are numbers and text"
                )
            return np.asarray(node[rows])

    def attributes(self, key: str = "/") -> dict[str, object]:
        """Return the attributes of a dataset or of the file that are numbers or text."""
        found: dict[str, object] = {}
        for name, value in self.file[key].attrs.items():
            plain = value.item() if isinstance(value, np.generic) else value
            if isinstance(plain, bytes):
                plain = plain.decode("utf-8", "replace")
            if isinstance(plain, str | int | float):
                found[name] = plain
        return found

    def _refuse_links(self, key: str) -> None:
        path = ""
        for part in key.strip("/").split("/"):
            path = f"{path}/{part}"
            link = self.file.get(path, getlink=True)
            if link is None:
                raise BadFileError("E_KEY", f"has no dataset {key!r}; {self._hint(key)}")
            if not isinstance(link, h5py.HardLink):
                raise BadFileError(
                    "E_LINK",
                    f"{key!r} is a link ({type(link).__name__}), allowed is a dataset inside this "
                    "file; copy it in",
                )

    def _hint(self, key: str) -> str:
        return f"{did_you_mean(key, self.names)}; correct the key in files.options"


@contextmanager
def opened_hdf5(file: FoundFile) -> Iterator[Hdf5]:
    """Open an HDF5 file.

    Raises
    ------
    BadFileError
        ``E_READ``, ``E_EMPTYFILE``, ``E_HTML``, ``E_TRUNC`` or ``E_HDF5``.
    """
    with opened_large(file) as start:
        _check_start(start)
    try:
        handle = h5py.File(file.path, "r", rdcc_nbytes=_CACHE_BYTES)
    except _ERRORS as error:
        text = shown(str(error).partition("\n")[0])
        cut = "truncated" in text or "eof" in text
        raise BadFileError(
            "E_TRUNC" if cut else "E_HDF5",
            f"cannot be opened as HDF5 ({text}), allowed is a whole file; fetch it again",
        ) from None
    with handle:
        with reading("/"):
            names = _dataset_names(handle)
        yield Hdf5(handle, names)


def _dataset_names(file: h5py.File) -> tuple[str, ...]:
    # visititems follows no soft and no external link.
    found: list[str] = []
    file.visititems(
        lambda name, node: found.append(name) if isinstance(node, h5py.Dataset) else None
    )
    return tuple(sorted(found))


@contextmanager
def opened_large(file: FoundFile) -> Iterator[bytes]:
    """Yield the first bytes of a regular file of any size; its rows are read one by one."""
    try:
        with opened(file) as handle:
            yield handle.read(512)
    except BadFileError as error:
        if error.code != "E_BIG":
            raise
        with open(file.path, "rb") as handle:
            yield handle.read(512)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn what goes wrong while a dataset is read into a `BadFileError`."""
    try:
        yield
    except _ERRORS as error:
        text = shown(str(error).partition("\n")[0])
        raise BadFileError(
            "E_HDF5", f"dataset {what!r} cannot be read ({text}); fetch or write it again"
        ) from None


def plain(values: AnyArray) -> float | str:
    """Return one cell of a column as a Python number or text."""
    value: Any = values.item() if isinstance(values, np.ndarray | np.generic) else values
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else float(value)


def _check_start(start: bytes) -> None:
    if not start:
        raise BadFileError(
            "E_EMPTYFILE", "got 0 bytes, allowed is an HDF5 file; the download failed: fetch again"
        )
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return
    if start.lstrip()[:14].lower().startswith((b"<!doctype", b"<html")):
        raise BadFileError(
            "E_HTML", "looks like a web page, allowed is HDF5; the download failed: fetch again"
        )
    if not any(start[at : at + 4] == b"\x89HDF" for at in (0, 512)):
        raise BadFileError(
            "E_HDF5", f"begins with {shown(repr(start[:8]))}, allowed is the HDF5 signature"
        )
