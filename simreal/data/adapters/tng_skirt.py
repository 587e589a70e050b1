"""SKIRT images of Illustris and IllustrisTNG galaxies: ``broadband_<id>.fits``.

One cube ``(band, y, x)`` per galaxy in counts/s/pixel, as distributed with Rodriguez-Gomez et al.
(2019). ``FILTERn`` names the planes, ``PIXSCALE`` is the angular scale and ``CDELT1`` the physical
one; there are no sky coordinates, no PSF, no noise, and no zero point. Options of the card
(``files.options``): ``filters`` (band = name in FILTERn), ``exclude``, and one of

* ``zero_points`` (band = AB magnitude of one count/s) with ``zero_points_source``, where
  ``calibration.zero_point`` is not the same for all bands;
* ``magnitudes`` (band = column of ``files.table``): every plane is scaled so that its light adds
  up to the AB magnitude that the table lists.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array
from simreal.core.cards import Card
from simreal.core.errors import UsageError, did_you_mean
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._cubes import chosen_planes, cube_of, kpc_per_pixel
from simreal.data._distances import redshift_of
from simreal.data._fits import (
    FITS_SUFFIXES,
    Header,
    image_plane,
    opened_fits,
    peek_size,
)
from simreal.data._frames import Frames, Source, check_options, read_frames
from simreal.data._join import JoinedTable, read_joined_table
from simreal.data._photometry import (
    AB_ZERO_POINT,
    calibration_of,
    card_unit,
    check_plausible,
    to_nanojansky,
    unit_of_file,
)
from simreal.data._planes import PixelScale, header_properties, pixel_scale_of
from simreal.data._quarantine import BadFileError
from simreal.data._sources import fits_files, names_in_files, stem_of
from simreal.data.tables import number

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = FITS_SUFFIXES
OPTIONS = ("filters", "zero_points", "zero_points_source", "magnitudes", "exclude")

#: What FILTERn calls a band where the card does not say; other surveys are named in the card.
FILTERS = {f"sdss-{band}": f"sloan/sdss_{band}" for band in "ugriz"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Catalogue:
    """The magnitudes of a table: a column per band."""

    table: JoinedTable
    columns: Mapping[str, str]


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read a folder of ``broadband_*.fits`` cubes into the file `store`.

    Parameters
    ----------
    card : Card
    seed : int
        Not used: files are read as they are.
    store : Path

    Raises
    ------
    UsageError
        If the folder is absent, or the card leaves the zero point open.
    NothingUsableError
        If no file is left.
    """
    check_options(card, OPTIONS)
    names = names_in_files(card, FILTERS)
    zero_points = _zero_points(card)
    catalogue = _catalogue(card)
    _check_calibrated(card, zero_points, catalogue)
    files, notes = fits_files(card)
    sources = [Source(id=stem_of(file), file=file, size=peek_size(file.path)) for file in files]
    return read_frames(
        card,
        store=store,
        sources=sources,
        load=partial(_load, card, names, zero_points, catalogue),
        notes=[*notes, *_calibration_notes(card, catalogue)],
    )


def _load(
    card: Card,
    names: Mapping[str, str],
    zero_points: Sequence[float] | None,
    catalogue: _Catalogue | None,
    source: Source,
) -> Frames:
    calibration = calibration_of(card)
    with opened_fits(source.file) as hdus:
        pixels, header = image_plane(hdus, 0)
    cube = cube_of(pixels)
    keys = [f"FILTER{i}" for i in range(len(cube))]
    cube = cube[chosen_planes(header, names, keys=keys)]
    unit = unit_of_file(card, header.get("BUNIT"))
    check_plausible(cube, unit)
    scale = _scale(card, header)
    if catalogue is not None:
        flux = _scaled(cube, _magnitudes(catalogue, source))
    else:
        flux = to_nanojansky(cube, unit, pixel_scale=scale.arcsec, zero_point=zero_points)
    redshift = calibration.redshift
    if "USE_Z" in header:
        redshift = redshift_of(header, "USE_Z")
    return Frames(
        pixels=flux,
        pixel_scale=scale.arcsec,
        physical_scale=kpc_per_pixel(header) or scale.kpc,
        redshift=redshift,
        properties=header_properties(card, header),
    )


def _scale(card: Card, header: Header) -> PixelScale:
    calibration = calibration_of(card)
    if calibration.pixel_scale_from != "adapter":
        return pixel_scale_of(calibration, header)
    return pixel_scale_of(
        calibration.model_copy(
            update={"pixel_scale_from": "header PIXSCALE", "pixel_scale_unit": "arcsec"}
        ),
        header,
    )


def _zero_points(card: Card) -> list[float] | None:
    given = card.files.options.get("zero_points")
    calibration = calibration_of(card)
    if given is None:
        zero_point = calibration.zero_point
        return None if zero_point is None else [zero_point] * len(card.view.bands)
    if calibration.zero_point is not None:
        raise UsageError(
            f"{card.name}: got calibration.zero_point and files.options.zero_points, allowed is "
            "one of them; drop the other"
        )
    _check_bands(card, "zero_points", given)
    if not card.files.options.get("zero_points_source"):
        raise UsageError(
            f"{card.name}: files.options.zero_points needs files.options.zero_points_source; say "
            "where they come from, or that they are assumed"
        )
    return [float(given[band]) for band in card.view.bands]


def _check_bands(card: Card, option: str, given: object) -> None:
    bands = card.view.bands
    if not isinstance(given, Mapping) or not set(bands) <= set(given):
        raise UsageError(
            f"{card.name}: files.options.{option}: got {given!r}, allowed is a value for each of "
            f"{', '.join(bands)}"
        )
    unknown = sorted(set(given) - set(bands))
    if unknown:
        raise UsageError(
            f"{card.name}: files.options.{option}: unknown band {unknown[0]!r}: "
            f"{did_you_mean(unknown[0], bands)}"
        )


def _catalogue(card: Card) -> _Catalogue | None:
    given = card.files.options.get("magnitudes")
    if given is None:
        return None
    _check_bands(card, "magnitudes", given)
    if card.files.table is None or card.files.join is None:
        raise UsageError(
            f"{card.name}: files.options.magnitudes names columns, allowed with files.table and "
            "files.join; name the table"
        )
    table = read_joined_table(card.model_copy(update={"properties": {}}))
    if table is None:
        raise UsageError(f"{card.name}: files.options.magnitudes needs files.table")
    for column in given.values():
        table.table.column(str(column))
    return _Catalogue(table=table, columns={band: str(given[band]) for band in card.view.bands})


def _check_calibrated(
    card: Card, zero_points: Sequence[float] | None, catalogue: _Catalogue | None
) -> None:
    unit = card_unit(card)
    if catalogue is not None and zero_points is not None:
        raise UsageError(
            f"{card.name}: got a zero point and files.options.magnitudes, allowed is one of them; "
            "drop the other"
        )
    if unit is not None and unit.instrumental and zero_points is None and catalogue is None:
        raise UsageError(
            f"{card.name}: got pixels in {unit.name} and no zero point, which these files do not "
            "have; set calibration.zero_point with zero_point_source, or files.options.zero_points "
            "(per band), or files.options.magnitudes (columns of files.table)"
        )


def _calibration_notes(card: Card, catalogue: _Catalogue | None) -> list[str]:
    options = card.files.options
    if catalogue is not None:
        columns = ", ".join(f"{band} = {name}" for band, name in catalogue.columns.items())
        table = catalogue.table.table.path.name
        return [f"fluxes scaled to the AB magnitudes of {table}: {columns}"]
    if "zero_points" in options:
        values = ", ".join(f"{band} {value}" for band, value in options["zero_points"].items())
        return [f"zero points [AB mag]: {values} ({options['zero_points_source']})"]
    return []


def _magnitudes(catalogue: _Catalogue, source: Source) -> list[float]:
    row = catalogue.table.row_of(source.file, source.id)
    table = catalogue.table.table
    values = []
    for band, column in catalogue.columns.items():
        cell = table.rows[row][table.names.index(column)]
        value = number(cell)
        if value is None:
            raise BadFileError(
                "E_MISSING",
                f"has {cell!r} in line {table.lines[row]} of {table.path.name} for the magnitude "
                f"{column!r} of {band}, allowed is a number; fill it in or remove the file",
            )
        values.append(value)
    return values


def _scaled(cube: Float32Array, magnitudes: Sequence[float]) -> Float32Array:
    """Return planes scaled so that each adds up to its AB magnitude [nJy]."""
    light: Float64Array = np.asarray(np.nansum(cube, axis=(1, 2), dtype=np.float64))
    if not (light > 0).all():
        sums = ", ".join(f"{value:g}" for value in light.tolist())
        raise BadFileError(
            "E_EMPTY",
            f"the planes add up to {sums}, allowed is above 0 where they are scaled to "
            "magnitudes; remove the file",
        )
    flux = np.power(10.0, 0.4 * (AB_ZERO_POINT - np.asarray(magnitudes, dtype=np.float64)))
    return np.asarray(cube * (flux / light)[:, None, None], dtype=np.float32)
