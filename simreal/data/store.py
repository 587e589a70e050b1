"""The store: one HDF5 file holds one image set or one embedding.

Pixels lie in uncompressed blocks of about one megabyte, so that the bytes of any image are
found without HDF5 and a random batch costs one read per image. Every image carries a CRC-32
and everything else one sha256, so that a damaged file is refused and never half read.
Nothing is followed out of the file: no soft, external or virtual links, no Python objects.
"""

import hashlib
import json
import math
import os
import secrets
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import h5py
import numpy as np

from simreal.core.arrays import AnyArray, BoolArray, Float32Array, IntArray, StrArray, owned
from simreal.core.embedding import Embedding
from simreal.core.errors import SimrealError, StorageError, UsageError
from simreal.core.images import (
    ArraySource,
    ImageSet,
    ImageSource,
    Role,
    RowsOf,
    Sampling,
    Setup,
    Step,
)
from simreal.data import _record

if TYPE_CHECKING:
    from astropy.table import QTable

PixelType = Literal["uint8", "float32"]

VERSION = 1
_BLOCK_BYTES = 1 << 20
_SET, _EMBEDDING = "simreal image set", "simreal embedding"
_REMAKE = "delete it and run again to remake it"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Description:
    """Everything of an `ImageSet` but its pixels; the fields mean the same."""

    name: str
    role: Role
    sampling: Sampling
    ids: StrArray
    groups: StrArray
    setup: Setup
    mask: BoolArray | None = None
    properties: "QTable | None" = None
    history: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class StoreSource:
    """An `ImageSource` over the pixels of a store.

    It keeps a path and offsets but no open file, so that it can be pickled, sent to another
    process and forgotten. Bytes become ``value / 255``.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        ``(n, band, y, x)``
    dtype : {"uint8", "float32"}
        How the pixels are stored.
    offsets : array of int (n,)
        Where each image starts in the file [byte].
    checksums : array of uint32 (n,)
        CRC-32 of each image.
    """

    path: Path
    shape: tuple[int, int, int, int]
    dtype: PixelType
    offsets: IntArray
    checksums: AnyArray = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "offsets", owned(self.offsets, np.int64))
        object.__setattr__(self, "checksums", owned(self.checksums, np.uint32))

    def read(self, rows: slice | IntArray) -> Float32Array:
        """Return the images of `rows` as float32 ``(k, band, y, x)``.

        Raises
        ------
        StorageError
            If the file is gone, shorter than it was, or an image fails its checksum.
        """
        stored = self.read_stored(rows)
        if self.dtype == "float32":
            return stored
        return np.divide(stored, np.float32(255), dtype=np.float32)

    def read_stored(self, rows: slice | IntArray) -> AnyArray:
        """Return the images of `rows` as they are stored (uint8 stays uint8)."""
        index = np.arange(self.shape[0])[rows]
        out = np.empty((len(index), *self.shape[1:]), dtype=self.dtype)
        if out.size:
            with _reading(self.path) as handle:
                self._fill(handle, out.reshape(len(index), -1).view(np.uint8), index)
        return out

    def _fill(self, handle: BinaryIO, lines: AnyArray, index: IntArray) -> None:
        # In file order the disk's head and the read-ahead move one way only.
        starts = self.offsets[index]
        for i in np.argsort(starts, kind="stable").tolist():
            handle.seek(int(starts[i]))
            line = memoryview(lines[i])
            if handle.readinto(line) != len(line) or zlib.crc32(line) != self.checksums[index[i]]:  # type: ignore[attr-defined]
                raise StorageError(
                    f"{self.path}: image {int(index[i])} is damaged (its checksum does not match); "
                    f"{_REMAKE}"
                )


class StoreWriter:
    """Write an image set block by block; the file appears only when it is complete.

    Parameters
    ----------
    path : Path
        Final file. Until `finish` there is only a hidden temporary file beside it, removed
        if the ``with`` block ends early.
    dtype : {"uint8", "float32"}
        uint8 for 8-bit display images (read back as value / 255), float32 for the rest.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "two.h5"
    >>> with StoreWriter(path, dtype="uint8") as writer:
    ...     writer.append(np.full((2, 1, 4, 4), 51, np.uint8))
    ...     two = writer.finish(
    ...         Description(
    ...             name="two",
    ...             role="observed",
    ...             sampling="random",
    ...             ids=np.array(["a", "b"]),
    ...             groups=np.array(["a", "b"]),
    ...             setup=Setup(track="rgb", bands=("grey",), unit="display"),
    ...         )
    ...     )
    >>> float(two.images.read(slice(0, 1))[0, 0, 0, 0])
    0.20000000298023224
    """

    def __init__(self, path: Path, *, dtype: PixelType) -> None:
        if dtype not in ("uint8", "float32"):
            raise UsageError(f"store: got pixels of type {dtype}, allowed are uint8 and float32")
        self.path = Path(path)
        self.dtype: PixelType = dtype
        self._temporary = _temporary_beside(self.path)
        self._file: h5py.File | None = None
        self._pending: list[AnyArray] = []
        self._shape: tuple[int, int, int] | None = None
        self._written = 0
        self._checksums: list[int] = []

    def __enter__(self) -> "StoreWriter":
        with _storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _create(self._temporary)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except (OSError, RuntimeError, ValueError):
                # The disk is full or gone; the temporary file is dropped either way.
                pass
            finally:
                self._file = None
        self._temporary.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._checksums)

    def append(self, block: AnyArray) -> None:
        """Append images ``(k, band, y, x)`` of the writer's type.

        Raises
        ------
        UsageError
            If the block has another type or shape than the images before it.
        StorageError
            If the disk is in the way.
        """
        images = self._checked(np.asarray(block))
        for image in images:
            self._checksums.append(zlib.crc32(memoryview(image.reshape(-1)).cast("B")))
            self._pending.append(image)
        if len(self._pending) >= self._per_block:
            self._flush(whole=False)

    def finish(self, about: Description) -> ImageSet:
        """Complete the file, move it into place and return the set that reads from it."""
        if self._shape is None:
            raise UsageError(f"{about.name}: no images to store")
        if len(about.ids) != len(self):
            raise UsageError(f"{about.name}: {len(about.ids)} ids for {len(self)} images")
        self._flush(whole=True)
        text, arrays = _pack_description(about)
        text["images"] = {"shape": [len(self), *self._shape], "dtype": self.dtype}
        arrays["checksums"] = np.array(self._checksums, dtype=np.uint32)
        with _storage_errors(self.path):
            _write_record(self._open_file(), _SET, text, arrays)
            self._open_file().close()
            self._file = None
            _move_into_place(self._temporary, self.path)
        return read_set(self.path)

    def _open_file(self) -> h5py.File:
        if self._file is None:
            raise UsageError(f"{self.path.name}: the writer is used outside its 'with' block")
        return self._file

    @property
    def _per_block(self) -> int:
        row_bytes = math.prod(self._shape or (1,)) * np.dtype(self.dtype).itemsize
        return max(1, _BLOCK_BYTES // row_bytes)

    def _checked(self, block: AnyArray) -> AnyArray:
        if block.ndim != 4 or block.dtype != np.dtype(self.dtype):
            raise UsageError(
                f"{self.path.name}: got a block of {block.dtype} with shape {block.shape}, allowed "
                f"is {self.dtype} (k, band, y, x)"
            )
        if self._shape is None:
            if 0 in block.shape[1:]:
                raise UsageError(f"{self.path.name}: got images of shape {block.shape[1:]}")
            self._shape = (int(block.shape[1]), int(block.shape[2]), int(block.shape[3]))
        if block.shape[1:] != self._shape:
            raise UsageError(
                f"{self.path.name}: got images of shape {block.shape[1:]} after {self._shape}; one "
                "set has one shape"
            )
        # A copy: the caller may reuse its buffer before the block is full.
        return np.array(block, dtype=self.dtype, order="C", copy=True)

    def _flush(self, *, whole: bool) -> None:
        per_block = self._per_block
        with _storage_errors(self.path):
            while len(self._pending) >= per_block or (whole and self._pending):
                block, self._pending = self._pending[:per_block], self._pending[per_block:]
                self._write(np.stack(block), per_block)

    def _write(self, block: AnyArray, per_block: int) -> None:
        file, shape = self._open_file(), block.shape[1:]
        if "images" not in file:
            file.create_dataset(
                "images",
                shape=(0, *shape),
                maxshape=(None, *shape),
                chunks=(per_block, *shape),
                dtype=self.dtype,
            )
        dataset = file["images"]
        used = len(block)
        dataset.resize(self._written + used, axis=0)
        padded = np.zeros((per_block, *shape), dtype=self.dtype)
        padded[:used] = block
        dataset.id.write_direct_chunk((self._written, 0, 0, 0), padded.tobytes())
        self._written += used


def write_set(path: Path, images: ImageSet) -> ImageSet:
    """Write an image set to `path` and return the set that reads from it.

    Images that come from an 8-bit store stay 8-bit, so nothing grows by rewriting.

    Raises
    ------
    UsageError
        If the set is empty, or an unmasked pixel is not finite.
    StorageError
        If the disk is in the way.
    """
    stored = _stored(images.images)
    with StoreWriter(path, dtype="float32" if stored is None else stored[0].dtype) as writer:
        for rows, block in images.chunks(64):
            if stored is None:
                _check_finite(images, rows, block)
                writer.append(block)
            else:
                writer.append(stored[0].read_stored(stored[1][rows]))
        about = Description(
            name=images.name,
            role=images.role,
            sampling=images.sampling,
            ids=images.ids,
            groups=images.groups,
            setup=images.setup,
            mask=images.mask,
            properties=images.properties,
            history=images.history,
        )
        return writer.finish(about)


def read_set(path: Path) -> ImageSet:
    """Return the image set stored in `path`; pixels stay on disk until they are read.

    Raises
    ------
    StorageError
        If the file is missing, damaged, truncated or not a simreal image set.
    """
    path = Path(path)
    with _opened(path, _SET) as (file, text, arrays):
        source = _source(path, file, text["images"], arrays["checksums"])
        n = source.shape[0]
        mask = None
        if "mask" in arrays:
            bits = np.unpackbits(arrays["mask"], axis=1, count=int(np.prod(source.shape[1:])))
            mask = bits.astype(np.bool_).reshape(source.shape)
        return ImageSet(
            name=text["name"],
            role=text["role"],
            sampling=text["sampling"],
            images=source,
            mask=mask,
            ids=_record.unpack_names(text["ids"]),
            groups=_record.unpack_names(text["groups"]),
            setup=_record.unpack_setup(text["setup"], arrays),
            properties=_record.unpack_properties(text["properties"], arrays, n=n),
            history=_record.unpack_history(text["history"]),
        )


def write_embedding(path: Path, embedding: Embedding) -> Embedding:
    """Write an embedding to `path` and return what reads back.

    Raises
    ------
    StorageError
        If the disk is in the way.
    """
    path = Path(path)
    setup, arrays = _record.pack_setup(embedding.setup)
    columns, more = _record.pack_properties(embedding.properties)
    text = {
        "name": embedding.name,
        "sampling": embedding.sampling,
        "ids": _record.pack_names(embedding.ids),
        "groups": _record.pack_names(embedding.groups),
        "setup": setup,
        "properties": columns,
        "encoder_digest": embedding.encoder_digest,
        "source_digest": embedding.source_digest,
    }
    temporary = _temporary_beside(path)
    try:
        with _storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _create(temporary) as file:
                _write_record(
                    file, _EMBEDDING, text, {**arrays, **more, "vectors": embedding.vectors}
                )
            _move_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return read_embedding(path)


def read_embedding(path: Path) -> Embedding:
    """Return the embedding stored in `path`.

    Raises
    ------
    StorageError
        If the file is missing, damaged, truncated or not a simreal embedding.
    """
    with _opened(Path(path), _EMBEDDING) as (_, text, arrays):
        n = len(text["ids"])
        return Embedding(
            name=text["name"],
            sampling=text["sampling"],
            vectors=arrays["vectors"],
            ids=_record.unpack_names(text["ids"]),
            groups=_record.unpack_names(text["groups"]),
            setup=_record.unpack_setup(text["setup"], arrays),
            properties=_record.unpack_properties(text["properties"], arrays, n=n),
            encoder_digest=text["encoder_digest"],
            source_digest=text["source_digest"],
        )


def _pack_description(about: Description) -> _record.Packed:
    setup, arrays = _record.pack_setup(about.setup)
    columns, more = _record.pack_properties(about.properties)
    arrays = {**arrays, **more}
    if about.mask is not None:
        arrays["mask"] = np.packbits(about.mask.reshape(len(about.mask), -1), axis=1)
    text = {
        "name": about.name,
        "role": about.role,
        "sampling": about.sampling,
        "ids": _record.pack_names(about.ids),
        "groups": _record.pack_names(about.groups),
        "setup": setup,
        "properties": columns,
        "history": _record.pack_history(about.history),
    }
    return text, arrays


def _stored(source: ImageSource) -> tuple[StoreSource, IntArray] | None:
    """Return the store and the rows behind a source, or None for images in memory."""
    if isinstance(source, StoreSource):
        return source, np.arange(source.shape[0])
    if isinstance(source, RowsOf) and isinstance(source.source, StoreSource):
        return source.source, source.rows
    return None


def _check_finite(images: ImageSet, rows: slice, block: Float32Array) -> None:
    if isinstance(images.images, ArraySource):
        return  # an image set checks what it holds in memory
    bad = ~np.isfinite(block)
    if images.mask is not None:
        bad &= ~images.mask[rows]
    if bad.any():
        first = str(images.ids[rows.start + int(np.argwhere(bad)[0][0])])
        raise UsageError(f"{images.name}: image {first!r} has a non-finite pixel; mask it")


def _create(path: Path) -> h5py.File:
    # Version 1.10 is the first in which HDF5 checks sums of its own structures.
    return h5py.File(path, "x", libver=("v110", "v110"), locking="best-effort")


def _write_record(
    file: h5py.File, kind: str, text: Mapping[str, Any], arrays: Mapping[str, AnyArray]
) -> None:
    plain = {name: _storable(array) for name, array in sorted(arrays.items())}
    kept = {name: arrays[name].dtype.kind == "b" for name in plain}
    content = {"kind": kind, "version": VERSION, "truth": kept, **text}
    record = json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")
    file.create_dataset("record", data=np.frombuffer(record, dtype=np.uint8))
    for name, array in plain.items():
        file.create_dataset(f"arrays/{name}", data=array)
    file.attrs["digest"] = np.frombuffer(_digest(record, plain), dtype=np.uint8)


def _storable(array: AnyArray) -> AnyArray:
    plain = np.ascontiguousarray(array)
    if plain.dtype.kind == "b":
        return plain.astype(np.uint8)
    return plain.astype(plain.dtype.newbyteorder("<"), copy=False)


def _digest(record: bytes, arrays: Mapping[str, AnyArray]) -> bytes:
    sha = hashlib.sha256(record)
    for name in sorted(arrays):
        array = arrays[name]
        sha.update(f"\x1f{name}\x1f{array.dtype.str}\x1f{array.shape}".encode())
        sha.update(array.tobytes())
    return sha.digest()


@contextmanager
def _opened(
    path: Path, kind: str
) -> Iterator[tuple[h5py.File, dict[str, Any], dict[str, AnyArray]]]:
    """Open a store for reading, with everything but the pixels read and checked."""
    try:
        size = path.stat().st_size
        with h5py.File(path, "r", locking="best-effort") as file:
            record = _dataset(file, "record", size).tobytes()
            names = list(_group(file, "arrays"))
            arrays = {name: _dataset(file, f"arrays/{name}", size) for name in names}
            if bytes(np.asarray(file.attrs["digest"], dtype=np.uint8)) != _digest(record, arrays):
                raise StorageError(f"{path}: damaged (its digest does not match); {_REMAKE}")
            text = json.loads(record)
            if (text.get("kind"), text.get("version")) != (kind, VERSION):
                raise StorageError(
                    f"{path}: got {text.get('kind')!r} version {text.get('version')}, allowed is "
                    f"{kind!r} version {VERSION}; {_REMAKE}"
                )
            for name, truth in text["truth"].items():
                if truth:
                    arrays[name] = arrays[name].astype(np.bool_)
            yield file, text, arrays
    except SimrealError:
        raise
    except FileNotFoundError:
        raise StorageError(f"{path}: no such stored file; run the stage that makes it") from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise StorageError(
            f"{path}: cannot be read as {kind} ({_one_line(error)}); {_REMAKE}"
        ) from None


def _group(file: h5py.File, name: str) -> h5py.Group:
    group = file[name] if _is_inside(file, name) else None
    if isinstance(group, h5py.Group):
        return group
    raise TypeError(f"'{name}' is not a group inside this file")


def _is_inside(file: h5py.File, name: str) -> bool:
    return isinstance(file.get(name, getlink=True), h5py.HardLink)


def _checked_dataset(file: h5py.File, name: str, size: int) -> h5py.Dataset:
    dataset = file[name] if _is_inside(file, name) else None
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise TypeError(f"'{name}' is not a dataset inside this file")
    if dataset.dtype.kind not in "fiu" or dataset.nbytes > size:
        raise ValueError(f"'{name}' declares {dataset.nbytes} bytes of {dataset.dtype}")
    if any((dataset.compression, dataset.scaleoffset, dataset.shuffle, dataset.fletcher32)):
        raise ValueError(f"'{name}' goes through a filter")
    return dataset


def _dataset(file: h5py.File, name: str, size: int) -> AnyArray:
    return np.asarray(_checked_dataset(file, name, size)[()])


def _source(
    path: Path, file: h5py.File, about: Mapping[str, Any], checksums: AnyArray
) -> StoreSource:
    size = path.stat().st_size
    dataset = _checked_dataset(file, "images", size)
    n, band, y, x = (int(length) for length in about["shape"])
    if dataset.shape != (n, band, y, x) or str(dataset.dtype) != about["dtype"]:
        raise ValueError(f"'images' holds {dataset.dtype} {dataset.shape}, not what it should")
    offsets = _offsets(dataset, n)
    if len(checksums) != n or (offsets + dataset.dtype.itemsize * band * y * x > size).any():
        raise ValueError("the pixels end before the last image")
    return StoreSource(path, (n, band, y, x), about["dtype"], offsets, checksums)


def _offsets(dataset: h5py.Dataset, n: int) -> IntArray:
    per_block = int(dataset.chunks[0])
    row_bytes = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))
    starts = np.full(-(-n // per_block), -1, dtype=np.int64)

    def note(chunk: Any) -> None:
        starts[chunk.chunk_offset[0] // per_block] = chunk.byte_offset

    dataset.id.chunk_iter(note)
    if (starts < 0).any():
        raise ValueError("a block of pixels was never written")
    rows: IntArray = np.arange(n, dtype=np.int64)
    return np.asarray(starts[rows // per_block] + (rows % per_block) * row_bytes, dtype=np.int64)


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb", buffering=0) as handle:
            yield handle
    except FileNotFoundError:
        raise StorageError(f"{path}: the store is gone; run again to remake it") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({_one_line(error)})") from None


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except SimrealError:
        raise
    except (OSError, RuntimeError) as error:
        raise StorageError(
            f"{path}: cannot be written ({_one_line(error)}); check the free space and the "
            "permissions of its folder"
        ) from None


def _temporary_beside(path: Path) -> Path:
    path = Path(path)
    return path.with_name(f".{path.name[:100]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def _move_into_place(temporary: Path, path: Path) -> None:
    """Rename only after the bytes are on the disk, so that a crash leaves old or new."""
    with open(temporary, "rb") as handle:
        os.fsync(handle.fileno())
    os.replace(temporary, path)  # noqa: PTH105
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
