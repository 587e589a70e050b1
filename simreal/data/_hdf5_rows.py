"""Rows of HDF5 files as objects: listed once, read one by one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from simreal.core.arrays import AnyArray
from simreal.core.cards import Card
from simreal.core.results import Rejection
from simreal.data._files import FoundFile
from simreal.data._frames import Source, object_rejection
from simreal.data._hdf5 import Hdf5, plain, reading
from simreal.data._quarantine import BadFileError
from simreal.data._single_files import files_of, own_id

Opened = Callable[[FoundFile], Hdf5]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which dataset of a file has the images, what their axes are, and which has the ids."""

    images: str
    axes: tuple[str, ...]
    ids: str | None = None


def rows_as_sources(
    card: Card,
    suffixes: Sequence[str],
    get: Opened,
    layout_of: Callable[[Hdf5], Layout],
) -> tuple[list[Source], list[Rejection], list[str]]:
    """Return the objects of all files, files that cannot be read, and notes."""
    files, notes = files_of(card, suffixes)
    sources: list[Source] = []
    rejected: list[Rejection] = []
    for file in files:
        try:
            sources += _rows(file, suffixes, get, layout_of)
        except BadFileError as error:
            whole = Source(id=own_id(file, suffixes), file=file)
            rejected.append(object_rejection(card, whole, error))
    return sources, rejected, notes


def _rows(
    file: FoundFile,
    suffixes: Sequence[str],
    get: Opened,
    layout_of: Callable[[Hdf5], Layout],
) -> list[Source]:
    hdf5 = get(file)
    layout = layout_of(hdf5)
    shape = hdf5.numbers(layout.images).shape
    if len(shape) != len(layout.axes) or 0 in shape:
        got = " x ".join(str(side) for side in shape) or "nothing"
        raise BadFileError(
            "E_SHAPE",
            f"got {got} for dataset {layout.images!r}, allowed is one axis each for "
            f"{', '.join(layout.axes)}; correct files.options.axes or the file",
        )
    size = (int(shape[layout.axes.index("y")]), int(shape[layout.axes.index("x")]))
    stem = own_id(file, suffixes)
    if "object" not in layout.axes:
        return [Source(id=stem, file=file, size=size)]
    ids = [f"{stem}-{row:06d}" for row in range(shape[0])]
    if layout.ids is not None:
        column = hdf5.column(layout.ids)
        if column.shape != (shape[0],):
            raise BadFileError(
                "E_SHAPE",
                f"got {column.shape} for the ids in {layout.ids!r}, allowed is one for each of "
                f"{shape[0]} images; write the file again",
            )
        ids = [_text(value) for value in column.tolist()]
    return [Source(id=name, file=file, size=size, row=row) for row, name in enumerate(ids)]


def row_of(hdf5: Hdf5, key: str, row: int | None) -> AnyArray:
    """Return one row of a dataset of numbers, or all of it where `row` is None."""
    node = hdf5.numbers(key)
    with reading(key):
        return np.asarray(node[()] if row is None else node[row])


def cells_of(hdf5: Hdf5, row: int | None, n_rows: int | None) -> Mapping[str, float | str]:
    """Return what the columns beside the images say of one object, by their name."""
    found: dict[str, float | str] = {}
    for name in hdf5.names:
        node = hdf5.file.get(name)
        is_text = isinstance(node, h5py.Dataset) and h5py.check_string_dtype(node.dtype) is not None
        if not is_text and (not isinstance(node, h5py.Dataset) or node.dtype.kind not in "fiub"):
            continue
        shape = () if row is None else (n_rows,)
        if node.shape == shape and not node.is_virtual and not node.external:
            with reading(name):
                source = node.asstr(errors="replace") if is_text else node
                found[name] = plain(source[()] if row is None else source[row])
    return found


def _text(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.strip()
