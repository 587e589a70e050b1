"""Embeddings computed elsewhere: files of ids and vectors, read as one table.

| suffix | ids | vectors | sets, where ids repeat between collections |
|---|---|---|---|
| ``.parquet`` | column ``id`` | one column of lists, or every numeric column | column ``set`` |
| ``.npz`` | array ``ids`` | array ``vectors`` | array ``sets`` |
| ``.npy`` | the lines of the ``.txt`` of that name beside it | the array | – |
| ``.h5``, ``.hdf5`` | dataset ``ids`` | dataset ``vectors`` | dataset ``sets`` |
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simreal.core.arrays import AnyArray, Float32Array, IntArray, StrArray
from simreal.core.errors import NotComputableError, StorageError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddingTable:
    """Rows of a file: whose vector, of which collection where the file says, and the vector.

    Parameters
    ----------
    path : Path
        For messages.
    ids : array of str (n,)
    sets : array of str (n,) or None
        Names of collections.
    vectors : array (n, d)
        Real numbers of any kind, not yet checked.

    Raises
    ------
    UsageError
        If the arrays do not fit together, or a row is there twice.
    """

    path: Path
    ids: StrArray
    sets: StrArray | None
    vectors: AnyArray

    def __post_init__(self) -> None:
        vectors = self.vectors
        if vectors.dtype.kind not in "fiu":
            raise UsageError(
                f"{self.path}: got vectors of the type {vectors.dtype}, allowed are real numbers"
            )
        if vectors.ndim != 2 or not vectors.shape[1]:
            raise UsageError(
                f"{self.path}: got vectors of shape {vectors.shape}, allowed is (n, d): one row "
                "per image"
            )
        for name, column in (("ids", self.ids), ("sets", self.sets)):
            if column is not None and column.shape != (len(vectors),):
                raise UsageError(
                    f"{self.path}: {name} of shape {column.shape} for {len(vectors)} vectors, "
                    "allowed is one for each"
                )
        whose = (
            self.ids if self.sets is None else np.char.add(self.sets, np.char.add(": ", self.ids))
        )
        found, counts = np.unique(whose, return_counts=True)
        if len(found) < len(whose):
            raise UsageError(
                f"{self.path}: {str(found[counts > 1][0])!r} stands in {int(counts.max())} rows "
                f"({int((counts > 1).sum())} such ids); leave one row of each, or add a column "
                "of the collections' names"
            )

    def rows_of(self, name: str, ids: StrArray) -> IntArray:
        """Return the row of every id of the collection `name`.

        Raises
        ------
        UsageError
            If the file does not know the collection, or an id.
        """
        known = np.arange(len(self.ids))
        if self.sets is not None:
            known = np.flatnonzero(self.sets == name)
            if not len(known):
                raise UsageError(
                    f"{self.path}: no row is of the collection {name!r}, the column names "
                    f"{', '.join(np.unique(self.sets).tolist()[:8])}; name it as simreal does"
                )
        place = dict(zip(self.ids[known].tolist(), known, strict=True))
        missing = [whose for whose in ids.tolist() if whose not in place]
        if missing:
            raise UsageError(
                f"{self.path}: no vector for {len(missing)} of the {len(ids)} images of {name!r}, "
                f"the first is {missing[0]!r} (ids in the file look like "
                f"{str(self.ids[known[0]])!r}); add them, or leave those images out"
            )
        return np.array([place[whose] for whose in ids.tolist()], dtype=np.int64)

    def single(self, rows: IntArray) -> Float32Array:
        """Return the vectors of `rows` in single precision.

        Raises
        ------
        UsageError
            If one is not finite there.
        """
        with np.errstate(over="ignore"):
            vectors = self.vectors[rows].astype(np.float32)
        bad = ~np.isfinite(vectors).all(axis=1)
        if bad.any():
            first = rows[int(bad.argmax())]
            wrong = self.vectors[first][~np.isfinite(vectors[int(bad.argmax())])][0]
            raise UsageError(
                f"{self.path}: the vector of {str(self.ids[first])!r} holds {wrong} "
                f"({int(bad.sum())} such rows), allowed are finite numbers of single precision; "
                "mend it, or leave that image out"
            )
        return vectors


def read_table(path: Path) -> EmbeddingTable:
    """Return ids and vectors of a file, by its suffix.

    Raises
    ------
    UsageError
        If there is no such file, its kind is unknown, or something is missing in it.
    StorageError
        If it cannot be read.
    NotComputableError
        If the library that reads it is not installed.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            f"{path}: got a file of the kind {path.suffix or 'without suffix'!r}, allowed are "
            f"{', '.join(_READERS)}"
        )
    if not path.is_file():
        raise UsageError(f"{path}: no such file of embeddings")
    try:
        return reader(path)
    # Readers of damaged files raise what they please, pyarrow a child of ValueError.
    except (OSError, ValueError, EOFError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise StorageError(f"{path}: cannot be read as {path.suffix} ({reason})") from None


def _npz(path: Path) -> EmbeddingTable:
    with np.load(path, allow_pickle=False) as arrays:
        return _table(path, {name: arrays[name] for name in _wanted(path, arrays.files)})


def _npy(path: Path) -> EmbeddingTable:
    beside = path.with_suffix(".txt")
    if not beside.is_file():
        raise UsageError(f"{beside}: no such file; the ids of {path.name} stand there, one a line")
    ids = np.array(beside.read_text(encoding="utf-8").splitlines(), dtype=np.str_)
    return _table(path, {"ids": ids, "vectors": np.load(path, allow_pickle=False)})


def _hdf5(path: Path) -> EmbeddingTable:
    import h5py

    with h5py.File(path, "r") as file:
        names = [name for name, item in file.items() if isinstance(item, h5py.Dataset)]
        return _table(path, {name: file[name][()] for name in _wanted(path, names)})


def _parquet(path: Path) -> EmbeddingTable:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
        types = importlib.import_module("pyarrow.types")
    except ImportError:
        raise NotComputableError(
            f"{path}: parquet files need pyarrow, which is not installed; pip install "
            "'simreal[parquet]', or give a .npz"
        ) from None
    table = parquet.read_table(path)
    if "id" not in table.column_names:
        raise UsageError(
            f"{path}: got the columns {', '.join(table.column_names[:8])}, allowed are an 'id', a "
            "'set' if ids repeat, and the vectors"
        )
    columns = {name: table.column(name) for name in table.column_names}
    arrays = {"ids": columns.pop("id").to_numpy()}
    if "set" in columns:
        arrays["sets"] = columns.pop("set").to_numpy()
    listed = {name: c for name, c in columns.items() if _is_list(types, c.type)}
    if len(listed) > 1:
        raise UsageError(
            f"{path}: got several columns of lists ({', '.join(listed)}), allowed is one with the "
            "vectors"
        )
    if listed:
        arrays["vectors"] = _of_lists(path, *listed.values())
    else:
        arrays["vectors"] = _of_columns(path, columns)
    return _table(path, arrays)


def _is_list(types: Any, kind: Any) -> bool:
    return bool(types.is_list(kind) or types.is_fixed_size_list(kind) or types.is_large_list(kind))


def _of_lists(path: Path, column: Any) -> AnyArray:
    rows = column.to_pylist()
    lengths = {None if row is None else len(row) for row in rows}
    if len(lengths) > 1 or None in lengths:
        raise UsageError(
            f"{path}: got vectors of the lengths {', '.join(map(str, lengths))}, allowed is one "
            "length for all"
        )
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(len(rows), -1)


def _of_columns(path: Path, columns: Mapping[str, Any]) -> AnyArray:
    arrays = {name: column.to_numpy() for name, column in columns.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise UsageError(
                f"{path}: got the column {name!r} of the type {array.dtype}, allowed beside 'id' "
                "and 'set' are one column of lists or columns of real numbers"
            )
    return np.stack(list(arrays.values()), axis=1) if arrays else np.empty((0, 0))


def _wanted(path: Path, names: list[str]) -> list[str]:
    for needed in ("ids", "vectors"):
        if needed not in names:
            raise UsageError(
                f"{path}: no {needed!r} among {', '.join(names[:8]) or 'nothing'}; allowed are "
                "'ids', 'vectors' and, if ids repeat between collections, 'sets'"
            )
    return [name for name in ("ids", "vectors", "sets") if name in names]


def _table(path: Path, arrays: Mapping[str, AnyArray]) -> EmbeddingTable:
    sets = arrays.get("sets")
    return EmbeddingTable(
        path=path,
        ids=_as_text(path, arrays["ids"]),
        sets=None if sets is None else _as_text(path, sets),
        vectors=np.asarray(arrays["vectors"]),
    )


def _as_text(path: Path, names: AnyArray) -> StrArray:
    """Return names as text; whole numbers read as they are written."""
    if names.dtype.kind in "fcbmM":
        raise UsageError(
            f"{path}: got ids of the type {names.dtype}, allowed are text and whole numbers"
        )
    texts = [name.decode() if isinstance(name, bytes) else str(name) for name in names.ravel()]
    return np.array(texts, dtype=np.str_).reshape(names.shape)


_READERS: Mapping[str, Callable[[Path], EmbeddingTable]] = {
    ".parquet": _parquet,
    ".npz": _npz,
    ".npy": _npy,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
}
