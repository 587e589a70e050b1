"""One FITS file per object with all its bands, described wholly by the card.

Where the bands are is said by one of three options, never by position alone:

``planes``
    Names of the planes of the cube in the order of the file, such as ``["g", "r", "i"]``.
``plane_keys``
    Header key that names each plane, such as ``"FILTER{}"`` (numbered from 0 or 1).
``hdus``
    HDU of each band, such as ``{decam-g = "G", decam-r = "R"}``.

With one band none of them is needed. Other options of the card (``files.options``):

``hdu``
    HDU of the cube, where the file has several images.
``mask_hdu``, ``variance_hdu``, ``psf_hdu``
    HDU of a cube, or of one plane for all bands, beside the images; with ``hdus`` a table per band.
``inverse_variance``
    True where the variance is an inverse one.
``filters``
    What each band is called in ``planes`` or in the header.
``missing_value``, ``zero_points``, ``wavelengths``, ``exclude``
    As for the adapter fits_stamps.
``group_pattern``
    Regular expression whose bracket finds the galaxy in the id, where it has several views.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simreal.core.arrays import AnyArray
from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._fits import (
    FITS_SUFFIXES,
    Hdus,
    Header,
    flag_plane,
    header_text,
    image_plane,
    opened_fits,
)
from simreal.data._frames import Frames, Source, check_options, read_frames
from simreal.data._photometry import calibration_of
from simreal.data._planes import Part, assembled, file_names_of, image_of
from simreal.data._quarantine import BadFileError
from simreal.data._single_files import group_of, one_file_each

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = FITS_SUFFIXES
OPTIONS = (
    "exclude", "filters", "group_pattern", "hdu", "hdus", "inverse_variance", "mask_hdu",
    "missing_value", "plane_keys", "planes", "psf_hdu", "variance_hdu", "wavelengths",
    "zero_points",
)  # fmt: skip


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read files with all bands of an object into the file `store`.

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
        If the folder is absent or the card does not say where the bands are.
    NothingUsableError
        If no object is left.
    """
    check_options(card, OPTIONS)
    _check_layout(card)
    sources, notes = one_file_each(card, SUFFIXES)
    return read_frames(
        card, store=store, sources=sources, load=lambda each: _load(card, each), notes=notes
    )


def _check_layout(card: Card) -> None:
    options = card.files.options
    ways = [name for name in ("planes", "plane_keys", "hdus") if name in options]
    if len(ways) > 1 or (not ways and len(card.view.bands) > 1):
        raise UsageError(
            f"{card.name}: got {' and '.join(ways) or 'nothing'} to say where the "
            f"{len(card.view.bands)} bands are, allowed is one of files.options.planes, plane_keys "
            "and hdus; state the order of the bands in the file"
        )
    if "hdus" in options and set(options["hdus"]) != set(card.view.bands):
        raise UsageError(
            f"{card.name}: files.options.hdus: got {sorted(options['hdus'])}, allowed are the "
            f"bands of the card: {', '.join(card.view.bands)}"
        )
    names = file_names_of(card)
    absent = [name for name in names.values() if name not in options.get("planes", [name])]
    if absent:
        raise UsageError(
            f"{card.name}: files.options.planes: got {options['planes']}, which lacks "
            f"{absent[0]!r}; allowed are the names of all planes in the file's order (see "
            "files.options.filters)"
        )
    if calibration_of(card).mask != "none" and "mask_hdu" not in options:
        raise UsageError(
            f"{card.name}: calibration.mask is {calibration_of(card).mask!r}, but no HDU with a "
            "mask is named; set files.options.mask_hdu, or mask = 'none'"
        )


def _load(card: Card, source: Source) -> Frames:
    with opened_fits(source.file) as hdus:
        parts = _parts_by_hdu(card, hdus) if "hdus" in card.files.options else _parts(card, hdus)
    return assembled(card, parts, group=group_of(card, source.id))


def _parts(card: Card, hdus: Hdus) -> dict[str, Part]:
    """Return the bands of a cube."""
    options = card.files.options
    cube, header = image_plane(hdus, options.get("hdu"))
    while cube.ndim > 3 and cube.shape[0] == 1:
        cube = cube[0]
    if cube.ndim == 2:
        cube = cube[None]
    if cube.ndim != 3:
        raise BadFileError(
            "E_BANDS",
            f"got an image with {cube.ndim} axes, allowed are 2 or 3; name another HDU in "
            "files.options.hdu",
        )
    order = _order(card, header, len(cube))
    flags = _extra(options, "mask_hdu", hdus)
    variance = _extra(options, "variance_hdu", hdus)
    psf = _extra(options, "psf_hdu", hdus)
    return {
        band: Part(
            pixels=cube[i],
            header=header,
            flags=_plane(flags, i, len(cube), "mask"),
            variance=_plane(variance, i, len(cube), "variance"),
            inverse=bool(options.get("inverse_variance", False)),
            psf=_plane(psf, i, len(cube), "PSF"),
        )
        for band, i in order.items()
    }


def _order(card: Card, header: Header, n_planes: int) -> dict[str, int]:
    """Return the number of each band's plane."""
    options = card.files.options
    if "planes" in options:
        listed = [str(name) for name in options["planes"]]
    elif "plane_keys" in options:
        listed = _named_planes(str(options["plane_keys"]), header, n_planes)
    else:
        listed = list(file_names_of(card).values())
    if len(listed) != n_planes:
        raise BadFileError(
            "E_BANDS",
            f"got {n_planes} planes, allowed are {len(listed)} ({', '.join(listed)}); correct "
            "files.options.planes or the file",
        )
    lower = [name.lower() for name in listed]
    wanted = {band: name.lower() for band, name in file_names_of(card).items()}
    absent = [name for name in wanted.values() if lower.count(name) != 1]
    if absent:
        raise BadFileError(
            "E_BANDS",
            f"has the planes {', '.join(listed)}, allowed is {absent[0]!r} once among them; "
            "correct files.options.filters or the header",
        )
    return {band: lower.index(name) for band, name in wanted.items()}


def _named_planes(keys: str, header: Header, n_planes: int) -> list[str]:
    first = 0 if keys.format(0) in header else 1
    names = [header_text(header, keys.format(first + i)) for i in range(n_planes)]
    if not all(names):
        raise BadFileError(
            "E_BANDS",
            f"has no {keys.format(first + names.index(''))} in its header, allowed is one for each "
            f"of {n_planes} planes; correct the header or state files.options.planes",
        )
    return names


def _extra(options: Mapping[str, Any], name: str, hdus: Hdus) -> AnyArray | None:
    if name not in options:
        return None
    read = flag_plane if name == "mask_hdu" else image_plane
    return read(hdus, options[name])[0]


def _plane(planes: AnyArray | None, i: int, n_planes: int, what: str) -> AnyArray | None:
    if planes is None or planes.ndim == 2:
        return planes
    if len(planes) != n_planes:
        raise BadFileError(
            "E_BANDS",
            f"got {len(planes)} planes of the {what}, allowed are {n_planes} as of the image, or "
            "one for all",
        )
    return np.asarray(planes[i])


def _parts_by_hdu(card: Card, hdus: Hdus) -> dict[str, Part]:
    """Return bands that have an HDU each."""
    options = card.files.options

    def further(name: str, band: str) -> AnyArray | None:
        if name not in options:
            return None
        where = options[name]
        hdu = where.get(band) if isinstance(where, Mapping) else where
        if hdu is None:
            return None
        return flag_plane(hdus, hdu)[0] if name == "mask_hdu" else image_of(hdus, hdu, band=band)[0]

    parts = {}
    for band, hdu in options["hdus"].items():
        pixels, header = image_of(hdus, hdu, band=band)
        parts[band] = Part(
            pixels=pixels,
            header=header,
            flags=further("mask_hdu", band),
            variance=further("variance_hdu", band),
            inverse=bool(options.get("inverse_variance", False)),
            psf=further("psf_hdu", band),
        )
    return parts
