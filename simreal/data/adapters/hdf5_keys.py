"""Images in HDF5 files, described wholly by the card.

Options of the card (``files.options``):

``images``
    Key of the images.
``axes``
    What its axes are, such as ``"object band y x"``, ``"object y x band"`` or, with one object
    per file, ``"band y x"``.
``planes``
    Names of the planes in the order of the file; needed with more than one band.
``ids``
    Key of the ids; without it objects are numbered within their file.
``mask``, ``variance``
    Keys of arrays with the axes of the images, or without their band axis.
``inverse_variance``
    True where the variance is an inverse one.
``psf``
    Key of kernels with the axes of the images.
``filters``, ``missing_value``, ``zero_points``, ``wavelengths``, ``group_pattern``, ``exclude``
    As for the adapter fits_cube.

Attributes of the images and of the file, and every dataset with one value per object, stand in for
header keys: properties, ``pixel_scale_from = "header KEY"``, and BUNIT or ``unit`` of the images.
"""

from pathlib import Path

import numpy as np

from simreal.core.arrays import AnyArray
from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.data._axes import axes_of, check_planes, image_of_row, planes_of
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._frames import Frames, Source, check_options, read_frames
from simreal.data._hdf5 import HDF5_SUFFIXES, Hdf5, opened_hdf5, reading
from simreal.data._hdf5_rows import Layout, cells_of, rows_as_sources
from simreal.data._open_files import kept_open
from simreal.data._photometry import calibration_of
from simreal.data._planes import Part, assembled
from simreal.data._quarantine import BadFileError
from simreal.data._single_files import group_of

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = HDF5_SUFFIXES
OPTIONS = (
    "axes", "exclude", "filters", "group_pattern", "ids", "images", "inverse_variance", "mask",
    "missing_value", "planes", "psf", "variance", "wavelengths", "zero_points",
)  # fmt: skip


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read the images of HDF5 files into the file `store`.

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
    options, axes = card.files.options, axes_of(card)
    if "images" not in options:
        raise UsageError(f"{card.name}: the adapter hdf5_keys needs files.options.images, a key")
    if (calibration_of(card).mask == "none") != ("mask" not in options):
        raise UsageError(
            f"{card.name}: calibration.mask is {calibration_of(card).mask!r} and "
            f"files.options.mask {options.get('mask')!r}, allowed are both or neither; "
            "state what the mask means"
        )
    planes_of(card)
    layout = Layout(images=str(options["images"]), axes=axes, ids=options.get("ids"))
    with kept_open(opened_hdf5) as get:
        sources, rejected, notes = rows_as_sources(card, SUFFIXES, get, lambda _: layout)
        return read_frames(
            card,
            store=store,
            sources=sources,
            load=lambda source: _load(card, source, get(source.file), layout),
            rejected=rejected,
            notes=notes,
        )


def _load(card: Card, source: Source, hdf5: Hdf5, layout: Layout) -> Frames:
    options, row = card.files.options, source.row
    images = hdf5.numbers(layout.images)
    with reading(layout.images):
        image = image_of_row(images, row or 0, layout.axes)
    check_planes(card, len(image))
    header: dict[str, object] = {**hdf5.attributes(), **hdf5.attributes(layout.images)}
    for name in ("unit", "units", "UNIT", "UNITS"):
        if isinstance(header.get(name), str):
            header.setdefault("BUNIT", header[name])
    header |= cells_of(hdf5, row, None if row is None else images.shape[0])
    mask = _beside(hdf5, options.get("mask"), source, layout, image)
    variance = _beside(hdf5, options.get("variance"), source, layout, image)
    psf = _beside(hdf5, options.get("psf"), source, layout, image)
    parts = {
        band: Part(
            pixels=image[i],
            header=header,
            flags=None if mask is None else mask[i],
            variance=None if variance is None else variance[i],
            inverse=bool(options.get("inverse_variance", False)),
            psf=None if psf is None else psf[i],
        )
        for band, i in planes_of(card).items()
    }
    return assembled(card, parts, group=group_of(card, source.id))


def _beside(
    hdf5: Hdf5, key: str | None, source: Source, layout: Layout, image: AnyArray
) -> AnyArray | None:
    """Return the mask, variance or PSF of an object, with one plane per plane of its image."""
    if key is None:
        return None
    node = hdf5.numbers(key)
    bandless = tuple(name for name in layout.axes if name != "band")
    axes = layout.axes if len(node.shape) == len(layout.axes) else bandless
    expected = hdf5.numbers(layout.images).shape[0]
    rows_fit = "object" not in axes or node.shape[:1] == (expected,)
    if len(node.shape) != len(axes) or not rows_fit:
        raise BadFileError(
            "E_SHAPE",
            f"got {node.shape} for {key!r}, allowed is one axis each for {', '.join(axes)} and as "
            "many objects as images; write the file again",
        )
    with reading(key):
        planes = image_of_row(node, source.row or 0, axes)
    if len(planes) == 1:
        return np.broadcast_to(planes, (len(image), *planes.shape[1:]))
    if len(planes) != len(image):
        raise BadFileError(
            "E_BANDS", f"got {len(planes)} planes of {key!r}, allowed are {len(image)} or one"
        )
    return planes
