"""Images of the Multimodal Universe: HDF5 files by HEALPix cell, columns side by side.

``image_array`` (or ``image_flux``) has the images, ``image_band`` the name of every plane,
``image_mask`` is **True where a pixel is good**, ``image_ivar`` the inverse variance,
``image_psf_fwhm`` [arcsec] is 0 where it is not known, ``image_scale`` [arcsec / pixel]. All
columns beside them can be properties. Options of the card (``files.options``):

``filters``
    What each band is called in ``image_band``; by default the band's name (``hsc-g``).
``missing_value``, ``zero_points``, ``exclude``
    As for the adapter fits_cube.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from simreal.core.arrays import AnyArray
from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._frames import Frames, Source, check_options, read_frames
from simreal.data._hdf5 import HDF5_SUFFIXES, Hdf5, opened_hdf5
from simreal.data._hdf5_rows import Layout, cells_of, row_of, rows_as_sources
from simreal.data._open_files import kept_open
from simreal.data._photometry import calibration_of
from simreal.data._planes import Part, PixelScale, assembled, file_names_of, pixel_scale_of
from simreal.data._quarantine import BadFileError

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = HDF5_SUFFIXES
OPTIONS = ("exclude", "filters", "missing_value", "zero_points")

_IMAGES = ("image_array", "image_flux")


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read files of the Multimodal Universe into the file `store`.

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
        If the folder is absent or the card does not fit the files.
    NothingUsableError
        If no object is left.
    """
    check_options(card, OPTIONS)
    if calibration_of(card).mask not in ("good", "none"):
        raise UsageError(
            f"{card.name}: got calibration.mask = {calibration_of(card).mask!r}, allowed for the "
            "Multimodal Universe are 'good' (image_mask is True where a pixel is good) and 'none'"
        )
    with kept_open(opened_hdf5) as get:
        sources, rejected, notes = rows_as_sources(card, SUFFIXES, get, _layout)
        return read_frames(
            card,
            store=store,
            sources=sources,
            load=lambda source: _load(card, source, get(source.file)),
            rejected=rejected,
            notes=notes,
        )


def _layout(hdf5: Hdf5) -> Layout:
    return Layout(images=_images(hdf5), axes=("object", "band", "y", "x"), ids="object_id")


def _images(hdf5: Hdf5) -> str:
    names = hdf5.names
    found = [key for key in _IMAGES if key in names]
    if len(found) != 1:
        raise BadFileError(
            "E_KEY",
            f"has the datasets {', '.join(names[:12])}, allowed is one of {' and '.join(_IMAGES)}; "
            "fetch the file again",
        )
    return found[0]


def _load(card: Card, source: Source, hdf5: Hdf5) -> Frames:
    row, key = source.row or 0, _images(hdf5)
    image = row_of(hdf5, key, row)
    names = _names(hdf5, row)
    if len(names) != len(image):
        raise BadFileError(
            "E_BANDS",
            f"row {row} got {len(image)} planes and {len(names)} names in image_band, allowed is "
            "one for each; fetch the file again",
        )
    n_rows = hdf5.numbers(key).shape[0]
    good = _per_plane(hdf5, "image_mask", row, len(image))
    inverse = _per_plane(hdf5, "image_ivar", row, len(image))
    if good is None and calibration_of(card).mask != "none":
        raise BadFileError(
            "E_KEY", "has no image_mask, allowed is one; set calibration.mask = 'none'"
        )
    cells = cells_of(hdf5, row, n_rows)
    parts = {}
    for band, name in file_names_of(card).items():
        if name.lower() in names:
            i = names.index(name.lower())
            scale = _scale(card, hdf5, cells, row, i)
            parts[band] = Part(
                pixels=image[i],
                header=cells,
                flags=None if good is None else good[i],
                variance=None if inverse is None else inverse[i],
                inverse=True,
                psf_fwhm=_fwhm(hdf5, row, i, scale),
                scale=scale,
            )
    return assembled(card, parts, properties=dict(cells))


def _names(hdf5: Hdf5, row: int) -> list[str]:
    """Return the names of the planes; some files have them once, others for every object."""
    shared = len(hdf5.dataset("image_band").shape) == 1
    column = hdf5.column("image_band", None if shared else row)
    return [
        (name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)).strip().lower()
        for name in column.tolist()
    ]


def _per_plane(hdf5: Hdf5, key: str, row: int, n_planes: int) -> AnyArray | None:
    """Return the planes of a column; HSC has one for each band, Legacy one for all."""
    if key not in hdf5:
        return None
    planes = row_of(hdf5, key, row)
    if planes.ndim == 2:
        return np.broadcast_to(planes, (n_planes, *planes.shape))
    if len(planes) != n_planes:
        raise BadFileError(
            "E_BANDS", f"row {row} got {len(planes)} planes of {key}, allowed are {n_planes} or one"
        )
    return planes


def _scale(card: Card, hdf5: Hdf5, cells: Mapping[str, object], row: int, plane: int) -> PixelScale:
    """Return the pixel scale: the file's where the card says that the format has it."""
    if calibration_of(card).pixel_scale_from != "adapter":
        return pixel_scale_of(calibration_of(card), cells)
    values = np.atleast_1d(row_of(hdf5, "image_scale", row))
    # Single precision: 0.168 reads 0.16799999773.
    return PixelScale(arcsec=float(f"{float(values[min(plane, len(values) - 1)]):.6g}"))


def _fwhm(hdf5: Hdf5, row: int, plane: int, scale: PixelScale) -> float | None:
    if "image_psf_fwhm" not in hdf5 or not scale.arcsec:
        return None
    value = float(np.atleast_1d(row_of(hdf5, "image_psf_fwhm", row))[plane])
    return value / scale.arcsec if np.isfinite(value) and value > 0 else None
