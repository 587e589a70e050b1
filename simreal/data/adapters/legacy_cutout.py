"""Cutouts of the DESI Legacy Surveys viewer, resampled or as ``subimage``.

The usual cutout is one cube whose planes the header names (``BANDS``, ``BAND0``, ...), with HDUs of
inverse variance (``IMAGETYP = INVVAR``) and of mask bits (``MASKBITS``) behind it where they were
asked for. It is resampled, which correlates the noise of neighbouring pixels. A ``subimage`` has an
empty first HDU and one HDU per band and brick with the survey's own pixels; where an object lies
on several bricks the one with the largest piece is taken. Options of the card (``files.options``):

``filters``
    What each band is called in the header; by default the last word of its name (``g``).
``exclude``, ``missing_value``, ``group_pattern``
    As for the adapter fits_cube.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simreal.core.arrays import AnyArray
from simreal.core.cards import Card
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._fits import (
    FITS_SUFFIXES,
    Hdu,
    Hdus,
    flag_plane,
    header_text,
    image_plane,
    opened_fits,
)
from simreal.data._frames import Frames, Source, check_options, read_frames
from simreal.data._photometry import calibration_of
from simreal.data._planes import Part, assembled, file_names_of
from simreal.data._quarantine import BadFileError
from simreal.data._single_files import group_of, one_file_each

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = FITS_SUFFIXES
OPTIONS = ("exclude", "filters", "group_pattern", "missing_value")


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read cutouts of the Legacy Surveys viewer into the file `store`.

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
    sources, notes = one_file_each(card, SUFFIXES)
    return read_frames(
        card, store=store, sources=sources, load=lambda each: _load(card, each), notes=notes
    )


def _load(card: Card, source: Source) -> Frames:
    group = group_of(card, source.id)
    with opened_fits(source.file) as hdus:
        first = hdus[0]
        if first.header.get("OVERLAP") is False or (len(hdus) == 1 and not first.is_image):
            raise BadFileError(
                "E_EMPTY", "lies outside the survey (no image), allowed is inside; remove it"
            )
        if first.is_image:
            return assembled(card, _resampled(card, hdus), group=group)
        parts, brick, bricks = _subimage(card, hdus)
    notes = () if len(bricks) == 1 else ("lies on several bricks; the largest piece was taken",)
    properties: dict[str, float | str] = {"BRICK": brick}
    return assembled(card, parts, group=group, notes=notes, properties=properties)


def _kind(unit: Hdu) -> str:
    return header_text(unit.header, "IMAGETYP").upper()


def _resampled(card: Card, hdus: Hdus) -> dict[str, Part]:
    cube, header = image_plane(hdus, 0)
    cube = cube if cube.ndim == 3 else cube[None]
    names = [header_text(header, f"BAND{i}") for i in range(len(cube))]
    names = names if all(names) else list(header_text(header, "BANDS"))
    if len(names) != len(cube):
        raise BadFileError(
            "E_BANDS",
            f"got {len(cube)} planes and the bands {''.join(names)!r} in the header, allowed is "
            "BAND0, BAND1, ... or BANDS for each; fetch it again",
        )
    inverse = _beside(hdus, "INVVAR", len(cube))
    flags = _beside(hdus, "MASKBITS", len(cube))
    if flags is None and calibration_of(card).mask != "none":
        raise BadFileError(
            "E_HDU",
            f"has no MASKBITS ({hdus.listed}), allowed is one; fetch it with &maskbits or set "
            "calibration.mask = 'none'",
        )
    parts = {}
    for band, name in file_names_of(card, short=True).items():
        if name in names:
            i = names.index(name)
            parts[band] = Part(
                pixels=cube[i],
                header=header,
                flags=None if flags is None else flags[i],
                variance=None if inverse is None else inverse[i],
                inverse=True,
            )
    return parts


def _beside(hdus: Hdus, kind: str, n_planes: int) -> AnyArray | None:
    """Return the planes of an HDU of a kind: one for each band, or one for all of them."""
    found = [unit.index for unit in hdus if _kind(unit) == kind]
    if not found:
        return None
    read = flag_plane if kind == "MASKBITS" else image_plane
    planes = read(hdus, found[0])[0]
    if planes.ndim == 2:
        return np.broadcast_to(planes, (n_planes, *planes.shape))
    if len(planes) != n_planes:
        raise BadFileError(
            "E_BANDS", f"got {len(planes)} planes of {kind}, allowed are {n_planes} or one"
        )
    return planes


def _subimage(card: Card, hdus: Hdus) -> tuple[dict[str, Part], str, Sequence[str]]:
    """Return the bands on the brick with the largest piece of the object."""
    images = [unit for unit in hdus if _kind(unit) == "IMAGE" and unit.is_image]
    area: dict[str, int] = {}
    for unit in images:
        brick = header_text(unit.header, "BRICK")
        area[brick] = max(area.get(brick, 0), int(np.prod(unit.shape)))
    if not area:
        raise BadFileError(
            "E_HDU", f"has no HDU with IMAGETYP = 'image' ({hdus.listed}); fetch it again"
        )
    chosen = max(sorted(area), key=lambda brick: area[brick])
    parts = {}
    for band, name in file_names_of(card, short=True).items():
        pixels = _piece(images, chosen, name)
        if pixels is not None:
            weights = [unit for unit in hdus if _kind(unit) == "INVVAR" and unit.is_image]
            inverse = _piece(weights, chosen, name)
            parts[band] = Part(
                pixels=image_plane(hdus, pixels.index)[0],
                header=pixels.header,
                variance=None if inverse is None else image_plane(hdus, inverse.index)[0],
                inverse=True,
            )
    return parts, chosen, sorted(area)


def _piece(units: Sequence[Hdu], brick: str, band: str) -> Hdu | None:
    of = [
        unit
        for unit in units
        if header_text(unit.header, "BRICK") == brick and header_text(unit.header, "BAND") == band
    ]
    return of[0] if of else None
