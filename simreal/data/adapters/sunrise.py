"""SUNRISE images of Illustris-1 galaxies: ``broadband_<id>.fits`` (Torrey et al. 2015).

One file holds some cameras; ``CAMERA<c>-BROADBAND-NONSCATTER`` is a cube ``(filter, y, x)`` of
surface brightness in W/m/m2/sr, ``FILTERS`` names its planes and gives their absolute AB
magnitudes, against which the light is checked, and ``CAMERA<c>-PARAMETERS`` has the field
``linear_fov`` and the distance ``cameradist`` [kpc]. Every camera becomes one image, all of a file
one group. Options of the card (``files.options``): ``cameras`` (default ``[0, 1, 2, 3]``),
``light`` (``"nonscatter"``, the default, or ``"full"``, with dust), ``filters`` (band = name in
FILTERS), ``cosmology`` (for images at a redshift), ``exclude``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.arrays import AnyArray, Float64Array
from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._cubes import cube_of
from simreal.data._distances import (
    both_scales,
    cosmology_of,
    kpc_per_arcsec,
    of_distance,
    redshift_of,
)
from simreal.data._files import FoundFile
from simreal.data._fits import (
    FITS_SUFFIXES,
    Hdus,
    header_number,
    header_text,
    image_plane,
    opened_fits,
    table_columns,
)
from simreal.data._frames import Frames, Source, check_options, read_frames
from simreal.data._photometry import (
    calibration_of,
    card_unit,
    check_total,
    pixel_unit,
    to_nanojansky,
)
from simreal.data._planes import PixelScale, header_properties
from simreal.data._quarantine import BadFileError
from simreal.data._sources import fits_files, names_in_files, one_option, stem_of

if TYPE_CHECKING:
    from astropy.cosmology import Cosmology

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = FITS_SUFFIXES
OPTIONS = ("cameras", "light", "filters", "cosmology", "exclude")

FILTERS = {f"sdss-{band}": f"{band}_SDSS.res" for band in "ugriz"}
UNIT = pixel_unit("W/m/m2/sr")
#: [mag] Between the light of a plane and the magnitude in FILTERS.
TOLERANCE = 0.05

_LIGHT_SPEED = 299_792_458.0
_PLANES = {"nonscatter": "-NONSCATTER", "full": ""}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Filters:
    """The rows of FILTERS that the card wants, in its order."""

    rows: list[int]
    wavelength: Float64Array
    magnitude: Float64Array | None


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read the cameras of ``broadband_*.fits`` into the file `store`.

    Parameters
    ----------
    card : Card
    seed : int
        Not used: files are read as they are.
    store : Path

    Raises
    ------
    UsageError
        If the folder is absent or the card does not fit the files.
    NothingUsableError
        If no camera is left.
    """
    check_options(card, OPTIONS)
    calibration = calibration_of(card)
    if card_unit(card) not in (None, UNIT) or calibration.pixel_scale_from != "adapter":
        raise UsageError(
            f"{card.name}: got calibration.unit {calibration.unit!r} and pixel_scale_from "
            f"{calibration.pixel_scale_from!r}, allowed for SUNRISE are {UNIT.name!r} and "
            "'adapter': the format defines both"
        )
    cameras = _cameras(card)
    light = one_option(card, "light", tuple(_PLANES), "nonscatter")
    names = names_in_files(card, FILTERS)
    files, notes = fits_files(card)
    sources = [
        Source(id=f"{stem_of(file)}_c{camera}", file=file, row=camera, size=size)
        for file in files
        for camera, size in zip(cameras, _sizes(file, cameras, light), strict=True)
    ]
    return read_frames(
        card,
        store=store,
        sources=sources,
        load=partial(_load, card, names, light, cosmology_of(card)),
        notes=notes,
    )


def _cameras(card: Card) -> list[int]:
    given: Any = card.files.options.get("cameras", [0, 1, 2, 3])
    whole = isinstance(given, list | tuple) and given and all(type(c) is int for c in given)
    if not whole or len(set(given)) < len(given) or min(given) < 0:
        raise UsageError(
            f"{card.name}: files.options.cameras: got {given!r}, allowed is a list of numbers such "
            "as [0, 1, 2, 3]"
        )
    return list(given)


def _sizes(file: FoundFile, cameras: list[int], light: str) -> list[tuple[int, int] | None]:
    """Return the size of every camera's image; what is wrong is met again when it is read."""
    try:
        with opened_fits(file) as hdus:
            titles = [f"CAMERA{camera}-BROADBAND{_PLANES[light]}" for camera in cameras]
            shapes = [hdus[title].shape if title in hdus else () for title in titles]
    except BadFileError:
        return [None] * len(cameras)
    return [(shape[-2], shape[-1]) if len(shape) == 3 else None for shape in shapes]


def _load(
    card: Card,
    names: Mapping[str, str],
    light: str,
    cosmology: "Cosmology | None",
    source: Source,
) -> Frames:
    camera = source.row or 0
    with opened_fits(source.file) as hdus:
        filters = _filters(hdus, names, camera, light)
        pixels, header = image_plane(hdus, f"CAMERA{camera}-BROADBAND{_PLANES[light]}")
        parameters = hdus[f"CAMERA{camera}-PARAMETERS"].header
        broadband = hdus["BROADBAND"].header
    cube = cube_of(pixels)
    _check_unit(header_text(header, "IMUNIT") or header_text(header, "BUNIT"))
    if len(cube) <= max(filters.rows):
        raise BadFileError(
            "E_BANDS",
            f"got {len(cube)} planes and {max(filters.rows) + 1} or more filters, allowed is one "
            "plane for each; fetch the file again",
        )
    redshift = redshift_of(broadband, default=calibration_of(card).redshift or 0.0)
    kpc = header_number(parameters, "linear_fov") / cube.shape[-1]
    distance = header_number(parameters, "cameradist", 1e3 * (calibration_of(card).distance or 0))
    scale = _scale(card, kpc, redshift, distance / 1e3, cosmology)
    flux = to_nanojansky(
        cube[filters.rows], UNIT, pixel_scale=scale.arcsec, wavelength=filters.wavelength
    )
    if filters.magnitude is not None and not redshift > 0:
        modulus = 5 * np.log10(distance * 1e3 / 10)
        for band, image, absolute in zip(names, flux, filters.magnitude, strict=True):
            expected = float(absolute + modulus)
            check_total(image, expected, band=band, key="FILTERS", tolerance=TOLERANCE)
    return Frames(
        pixels=flux,
        pixel_scale=scale.arcsec,
        physical_scale=scale.kpc,
        redshift=redshift if redshift > 0 else None,
        group=stem_of(source.file),
        properties={
            **header_properties(card, broadband),
            **header_properties(card, parameters),
            "CAMERA": float(camera),
        },
    )


def _filters(hdus: Hdus, names: Mapping[str, str], camera: int, light: str) -> _Filters:
    columns = table_columns(hdus, "FILTERS")
    if not columns:
        raise BadFileError("E_HDU", "FILTERS has no columns, allowed is a table; fetch it again")
    written = [PurePosixPath(str(name).strip()).name for name in next(iter(columns.values()))]
    rows = []
    for band, name in names.items():
        wanted = PurePosixPath(name).name
        if written.count(wanted) != 1:
            raise BadFileError(
                "E_BANDS",
                f"has {written.count(wanted) or 'no'} filters called {wanted!r} for {band}, "
                f"allowed is one; it holds {', '.join(written)}: correct files.options.filters",
            )
        rows.append(written.index(wanted))
    suffix = "_nonscatter" if light == "nonscatter" else ""
    magnitude = columns.get(f"AB_mag{suffix}{camera}")
    return _Filters(
        rows=rows,
        wavelength=_pivots(columns, rows),
        magnitude=None if magnitude is None else np.asarray(magnitude, np.float64)[rows],
    )


def _pivots(columns: Mapping[str, AnyArray], rows: list[int]) -> Float64Array:
    """Return the wavelength at which flux per wavelength becomes flux per frequency [Angstrom].

    The widths of a filter in wavelength and in frequency say it exactly; without them the
    effective wavelength has to do.
    """
    if {"ewidth_lambda", "ewidth_nu"} <= set(columns):
        widths = [np.asarray(columns[f"ewidth_{axis}"], np.float64) for axis in ("lambda", "nu")]
        return np.asarray(np.sqrt(_LIGHT_SPEED * widths[0] / widths[1])[rows] * 1e10)
    if "lambda_eff" in columns:
        return np.asarray(np.asarray(columns["lambda_eff"], np.float64)[rows] * 1e10)
    raise BadFileError(
        "E_BANDS", "FILTERS has no lambda_eff, allowed is a wavelength per filter; fetch it again"
    )


def _check_unit(written: str) -> None:
    if written and pixel_unit(written) != UNIT:
        raise BadFileError(
            "E_UNIT", f"got pixels in {written!r}, allowed for SUNRISE is {UNIT.name}; fetch again"
        )


def _scale(
    card: Card, kpc: float, redshift: float, distance: float, cosmology: "Cosmology | None"
) -> PixelScale:
    if calibration_of(card).already_dimmed != (redshift > 0):
        raise BadFileError(
            "E_SCALE",
            f"shows light at redshift {redshift:g}, allowed with calibration.already_dimmed = true "
            "is above 0 and with false 0; correct it",
        )
    if not kpc > 0:
        raise BadFileError("E_SCALE", f"got a field of {kpc:g} kpc per pixel, allowed is above 0")
    if redshift > 0:
        if cosmology is None:
            raise BadFileError(
                "E_SCALE",
                "states its field in kpc at a redshift, allowed with a cosmology; set "
                "files.options.cosmology in the card",
            )
        return both_scales(PixelScale(kpc=kpc), kpc_per_arcsec(cosmology, redshift))
    if not distance > 0:
        raise BadFileError(
            "E_SCALE",
            "has no cameradist, allowed is the distance of the camera; set calibration.distance",
        )
    return both_scales(PixelScale(kpc=kpc), of_distance(distance))
