"""Images in ``.npy`` arrays beside a table, described wholly by the card.

Every ``.npy`` file of the collection is an array of images. Options of the card
(``files.options``):

``axes``
    What the axes are, such as ``"object band y x"``; with one image per file ``"band y x"``.
``planes``
    Names of the planes in the order of the file; needed with more than one band.
``rows``
    ``"table"``: the rows of the card's table are the images in order, all files one after the
    other by name, and ``files.join`` is the column of the ids. Without it images are numbered
    within their file, and the table, if any, is joined by these ids (``maps-000012``).
``mask``, ``variance``, ``psf``
    Files beside the images, ``{name}`` standing for the name of theirs: ``"{name}_mask.npy"``;
    with the axes of the images, or without their band axis. Keep them out of ``files.pattern``
    with ``exclude``.
``inverse_variance``
    True where the variance is an inverse one.
``filters``, ``missing_value``, ``zero_points``, ``wavelengths``, ``group_pattern``, ``exclude``
    As for the adapter fits_cube.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from simreal.core.arrays import AnyArray
from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.core.results import Rejection
from simreal.data._axes import axes_of, check_axes, check_planes, image_of_row, planes_of
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._files import FoundFile, existing_table
from simreal.data._frames import Frames, Source, check_options, object_rejection, read_frames
from simreal.data._numpy_files import load_npy, sibling
from simreal.data._open_files import kept_open
from simreal.data._photometry import calibration_of
from simreal.data._planes import Part, assembled, in_file
from simreal.data._quarantine import BadFileError
from simreal.data._single_files import files_of, group_of, own_id
from simreal.data.tables import read_text_table

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = (".npy",)
OPTIONS = (
    "axes", "exclude", "filters", "group_pattern", "inverse_variance", "mask", "missing_value",
    "planes", "psf", "rows", "variance", "wavelengths", "zero_points",
)  # fmt: skip

Opened = Callable[[FoundFile], AnyArray]


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read arrays of images into the file `store`.

    Parameters
    ----------
    card : Card
    seed : int
        Not used: files are read as they are.
    store : Path

    Returns
    -------
    Ingested

    Raises
    ------
    UsageError
        If the folder is absent or the card does not describe the arrays.
    NothingUsableError
        If no object is left.
    """
    check_options(card, OPTIONS)
    axes, options = axes_of(card), card.files.options
    planes_of(card)
    if (calibration_of(card).mask == "none") != ("mask" not in options):
        raise UsageError(
            f"{card.name}: calibration.mask is {calibration_of(card).mask!r} and "
            f"files.options.mask {options.get('mask')!r}, allowed are both or neither; state what "
            "the mask means"
        )
    files, notes = files_of(card, SUFFIXES)
    with kept_open(_mapped) as get:
        sources, rejected = _sources(card, files, get, axes)
        return read_frames(
            card,
            store=store,
            sources=sources,
            load=lambda source: _load(card, source, get, axes),
            rejected=rejected,
            notes=notes,
        )


@contextmanager
def _mapped(file: FoundFile) -> Iterator[AnyArray]:
    yield load_npy(file)


def _sources(
    card: Card, files: Sequence[FoundFile], get: Opened, axes: Sequence[str]
) -> tuple[list[Source], list[Rejection]]:
    sources: list[Source] = []
    rejected: list[Rejection] = []
    by_table = card.files.options.get("rows") == "table"
    for file in files:
        stem = own_id(file, SUFFIXES)
        try:
            array = get(file)
            check_axes(array.shape, axes, "the array")
        except BadFileError as error:
            if by_table:
                # Which rows of the table were this file's cannot be known.
                raise UsageError(
                    f"{card.name}: {file.name}: {error.reason}; with files.options.rows = 'table' "
                    "every file must be whole, since rows are counted"
                ) from None
            rejected.append(object_rejection(card, Source(id=stem, file=file), error))
            continue
        size = (int(array.shape[axes.index("y")]), int(array.shape[axes.index("x")]))
        if "object" not in axes:
            sources.append(Source(id=stem, file=file, size=size))
            continue
        sources += [
            Source(id=f"{stem}-{row:06d}", file=file, size=size, row=row)
            for row in range(array.shape[0])
        ]
    return (_named_by_table(card, sources) if by_table else sources), rejected


def _named_by_table(card: Card, sources: Sequence[Source]) -> list[Source]:
    path = existing_table(card)
    if path is None or card.files.join is None:
        raise UsageError(
            f"{card.name}: files.options.rows = 'table' needs files.table and files.join, the "
            "column of the ids"
        )
    table = read_text_table(path)
    ids = table.column(card.files.join)
    if len(ids) != len(sources):
        raise UsageError(
            f"{card.name}: {path.name} has {len(ids)} rows for {len(sources)} images, allowed is "
            "one for each; rows are counted, so a missing one would shift all others"
        )
    return [
        Source(id=name, file=each.file, size=each.size, row=each.row)
        for name, each in zip(ids, sources, strict=True)
    ]


def _load(card: Card, source: Source, get: Opened, axes: Sequence[str]) -> Frames:
    options = card.files.options
    image = image_of_row(get(source.file), source.row or 0, axes)
    check_planes(card, len(image))
    mask, variance, psf = (
        _beside(card, name, source, get, axes, len(image)) for name in ("mask", "variance", "psf")
    )
    parts = {
        band: Part(
            pixels=image[i],
            flags=None if mask is None else mask[i],
            variance=None if variance is None else variance[i],
            inverse=bool(options.get("inverse_variance", False)),
            psf=None if psf is None else psf[i],
        )
        for band, i in planes_of(card).items()
    }
    return assembled(card, parts, group=group_of(card, source.id))


def _beside(
    card: Card, name: str, source: Source, get: Opened, axes: Sequence[str], n_planes: int
) -> AnyArray | None:
    """Return the mask, variance or PSF of an object, with one plane per plane of its image."""
    pattern = card.files.options.get(name)
    if pattern is None:
        return None
    file = sibling(source.file, str(pattern))
    with in_file(file, of=source.file):
        array = get(file)
        own = axes if array.ndim == len(axes) else [each for each in axes if each != "band"]
        check_axes(array.shape, own, f"the {name}")
        if "object" in own and len(array) != len(get(source.file)):
            raise BadFileError(
                "E_SHAPE",
                f"got {len(array)} rows of the {name}, allowed are {len(get(source.file))} as of "
                "the images; write it again",
            )
        planes = image_of_row(array, source.row or 0, own)
        if len(planes) == 1:
            return np.broadcast_to(planes, (n_planes, *planes.shape[1:]))
        if len(planes) != n_planes:
            raise BadFileError(
                "E_BANDS", f"got {len(planes)} planes of the {name}, allowed are {n_planes} or one"
            )
    return planes
