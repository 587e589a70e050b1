"""Cubes of SKIRT 9 instruments: ``<prefix>_<instrument>_total.fits``.

The first unit is a cube ``(wavelength, y, x)`` of surface brightness in any unit SKIRT writes, the
second a table ``GRID_POINTS`` with the wavelengths (or frequencies, or energies; in any order). A
plane is either the mean over a band already (SKIRT's band wavelength grids: name its wavelength
in ``planes``) or one sample of a spectrum, which is integrated through filter curves (``curves``).
``CROTA1`` and ``CROTA2`` of newer files are the angles of the view and no rotation of the sky.

The pixel scale (``pixel_scale_from = "adapter"``) is ``CDELT1`` in the unit ``CUNIT1`` names: an
angle, or a length at the object. The other of the two follows from ``DISTANGD`` in newer headers,
else from ``calibration.distance``, else from ``cosmology`` at the redshift. Options of the card
(``files.options``):

* ``planes``: band = wavelength of its plane [Angstrom];
* ``curves``: band = filter of speclite or a text file of the data folder; bands in neither are
  integrated through the usual curve of their name;
* ``filters_at_redshift``: for rest-frame cubes that will be placed at this redshift, the light
  of a band is what will have moved into it;
* ``grid``: wavelengths of the planes [Angstrom], for files without the table;
* ``component``: ``"total"`` (the default), ``"transparent"`` ... which of SKIRT's files are read;
* ``cosmology``, ``exclude``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array
from simreal.core.cards import Card
from simreal.core.errors import UsageError, did_you_mean
from simreal.data._bandpass import USUAL, Curve, band_weights, load_curve
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._cubes import cube_of
from simreal.data._distances import (
    ARCSEC_PER_RADIAN,
    both_scales,
    cosmology_of,
    kpc_per_arcsec,
    of_distance,
    redshift_of,
)
from simreal.data._fits import (
    FITS_SUFFIXES,
    Hdus,
    Header,
    header_number,
    header_text,
    image_plane,
    opened_fits,
    peek_size,
    table_columns,
)
from simreal.data._frames import Frames, Source, check_options, read_frames
from simreal.data._photometry import (
    calibration_of,
    card_unit,
    check_plausible,
    to_nanojansky,
    unit_of_file,
)
from simreal.data._planes import PixelScale, header_properties, pixel_scale_of
from simreal.data._quarantine import BadFileError
from simreal.data._sources import fits_files, one_option, stem_of

if TYPE_CHECKING:
    from astropy.cosmology import Cosmology

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = FITS_SUFFIXES
OPTIONS = (
    "planes",
    "curves",
    "filters_at_redshift",
    "grid",
    "component",
    "cosmology",
    "exclude",
)
COMPONENTS = (
    "total",
    "transparent",
    "primarydirect",
    "primaryscattered",
    "secondarytransparent",
    "secondarydirect",
    "secondaryscattered",
)

#: A plane stands for a band when its wavelength is the card's to this fraction.
PLANE_TOLERANCE = 0.02

#: [arcsec] and [kpc]
_ANGLES = {
    "arcsec": 1.0,
    "mas": 1e-3,
    "arcmin": 60.0,
    "deg": 3600.0,
    "rad": ARCSEC_PER_RADIAN,
}
_METRE = 1.0 / 3.0856775814913673e19
_LENGTHS = {
    "m": _METRE,
    "km": 1e3 * _METRE,
    "AU": 1.495978707e11 * _METRE,
    "pc": 1e-3,
    "kpc": 1.0,
    "Mpc": 1e3,
}
#: [Angstrom], [Hz] and [J]
_WAVELENGTHS = {"Angstrom": 1.0, "nm": 10.0, "micron": 1e4, "um": 1e4, "mm": 1e7, "m": 1e10}
_FREQUENCIES = {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9, "THz": 1e12}
_ENERGIES = {"J": 1.0, "eV": 1.602176634e-19, "keV": 1.602176634e-16}
_LIGHT_SPEED, _PLANCK = 299_792_458.0, 6.62607015e-34


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """How every file of a card is read."""

    bands: tuple[str, ...]
    planes: Mapping[str, float]
    curves: Mapping[str, Curve]
    stretch: float
    grid: Float64Array | None
    cosmology: "Cosmology | None"


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read the cubes of SKIRT instruments into the file `store`.

    Parameters
    ----------
    card : Card
    seed : int
        Not used: files are read as they are.
    store : Path

    Raises
    ------
    UsageError
        If the folder is absent, or the card does not say what the bands are.
    NothingUsableError
        If no file is left.
    """
    check_options(card, OPTIONS)
    card_unit(card)
    plan = _plan(card)
    component = one_option(card, "component", COMPONENTS, "total")
    files, notes = fits_files(card)
    own = [file for file in files if stem_of(file).endswith(f"_{component}")]
    if len(own) < len(files):
        notes.append(f"{len(files) - len(own)} files are not of the component {component!r}")
    sources = [
        Source(
            id=stem_of(file).removesuffix(f"_{component}"),
            file=file,
            size=peek_size(file.path),
        )
        for file in own
    ]
    return read_frames(
        card, store=store, sources=sources, load=partial(_load, card, plan), notes=notes
    )


def in_angstrom(values: Float64Array, unit: str) -> Float64Array:
    """Return the wavelengths of an axis in wavelength, frequency or photon energy [Angstrom].

    Raises
    ------
    BadFileError
        ``E_BANDS`` if the unit is none of these or a value is not above 0.

    Examples
    --------
    >>> in_angstrom(np.array([0.5]), "micron").tolist()
    [5000.0]
    >>> in_angstrom(np.array([599584.916]), "GHz").tolist()
    [5000.0]
    """
    if not (np.isfinite(values) & (values > 0)).all():
        raise BadFileError(
            "E_BANDS",
            f"has wavelengths from {values.min():g} to {values.max():g} {unit}, allowed are finite "
            "ones above 0; fetch the file again",
        )
    if unit in _WAVELENGTHS:
        return np.asarray(values * _WAVELENGTHS[unit])
    if unit in _FREQUENCIES:
        return np.asarray(_LIGHT_SPEED / (values * _FREQUENCIES[unit]) * 1e10)
    if unit in _ENERGIES:
        return np.asarray(_PLANCK * _LIGHT_SPEED / (values * _ENERGIES[unit]) * 1e10)
    allowed = ", ".join((*_WAVELENGTHS, *_FREQUENCIES, *_ENERGIES))
    raise BadFileError(
        "E_BANDS",
        f"has a third axis in {unit!r}, allowed: {allowed}; state files.options.grid [Angstrom]",
    )


def _plan(card: Card) -> _Plan:
    options, bands = card.files.options, card.view.bands
    planes, curves = options.get("planes", {}), options.get("curves", {})
    for option, given in (("planes", planes), ("curves", curves)):
        unknown = sorted(set(given) - set(bands))
        if unknown:
            raise UsageError(
                f"{card.name}: files.options.{option}: unknown band {unknown[0]!r}: "
                f"{did_you_mean(unknown[0], bands)}"
            )
    named = {band: curves.get(band, USUAL.get(band)) for band in bands if band not in planes}
    nameless = [band for band, name in named.items() if name is None]
    if nameless:
        raise UsageError(
            f"{card.name}: no filter is known for the band {nameless[0]!r}; name a curve in "
            "files.options.curves, or the wavelength of its plane in files.options.planes"
        )
    redshift = float(options.get("filters_at_redshift", 0.0))
    if redshift and calibration_of(card).already_dimmed:
        raise UsageError(
            f"{card.name}: files.options.filters_at_redshift is for light at rest, allowed with "
            "calibration.already_dimmed = false; drop one of them"
        )
    grid = options.get("grid")
    return _Plan(
        bands=bands,
        planes={band: float(value) for band, value in planes.items()},
        curves={band: load_curve(str(name)) for band, name in named.items()},
        stretch=1.0 + redshift,
        grid=None if grid is None else np.asarray(grid, dtype=np.float64),
        cosmology=cosmology_of(card),
    )


def _load(card: Card, plan: _Plan, source: Source) -> Frames:
    with opened_fits(source.file) as hdus:
        cube, header = image_plane(hdus, 0)
        cube = cube_of(cube[None] if cube.ndim == 2 else cube)
        wavelength = _wavelengths(plan, hdus, header, len(cube))
    unit = unit_of_file(card, header.get("BUNIT"))
    redshift = _redshift(card, header)
    scale = _scale(card, header, redshift, plan.cosmology)
    if unit.solid and scale.arcsec is None:
        raise BadFileError(
            "E_SCALE",
            "states pixels in kpc and no distance, allowed for a surface brightness is one; set "
            "calibration.distance [Mpc] in the card",
        )
    order = np.argsort(wavelength)
    weights = np.zeros((len(plan.bands), len(cube)))
    weights[:, order] = [_weights(plan, band, wavelength[order]) for band in plan.bands]
    used = np.flatnonzero(weights.any(axis=0))
    check_plausible(cube[used], unit)
    flux = to_nanojansky(cube[used], unit, pixel_scale=scale.arcsec, wavelength=wavelength[used])
    return Frames(
        pixels=_mixed(weights[:, used], flux),
        pixel_scale=scale.arcsec,
        physical_scale=scale.kpc,
        redshift=redshift if redshift > 0 else None,
        group=_group(card, source),
        properties=header_properties(card, header),
    )


def _mixed(weights: Float64Array, flux: Float32Array) -> Float32Array:
    """Return bands ``(band, y, x)`` from planes ``(n, y, x)``; a band never sees other planes."""
    bands = [np.tensordot(row[row > 0], flux[row > 0], axes=1) for row in weights]
    return np.asarray(np.stack(bands), dtype=np.float32)


def _weights(plan: _Plan, band: str, wavelength: Float64Array) -> Float64Array:
    if band in plan.curves:
        if (np.diff(wavelength) <= 0).any():
            raise BadFileError(
                "E_BANDS", "repeats a wavelength, allowed are different ones; fetch it again"
            )
        return band_weights(wavelength * plan.stretch, plan.curves[band])
    wanted = plan.planes[band]
    off = np.abs(wavelength * plan.stretch / wanted - 1)
    nearest = int(off.argmin())
    if off[nearest] > PLANE_TOLERANCE:
        listed = ", ".join(f"{value:.0f}" for value in wavelength[:12])
        raise BadFileError(
            "E_BANDS",
            f"has no plane at {wanted:.0f} Angstrom for {band}, allowed is one within "
            f"{PLANE_TOLERANCE:.0%}; it has {listed}{', ...' if len(wavelength) > 12 else ''}: "
            "correct files.options.planes",
        )
    weights = np.zeros(len(wavelength))
    weights[nearest] = 1.0
    return weights


def _wavelengths(plan: _Plan, hdus: Hdus, header: Header, n_planes: int) -> Float64Array:
    if plan.grid is not None:
        values = in_angstrom(plan.grid, "Angstrom")
    else:
        tables = [unit for unit in hdus if unit.kind == "table"]
        if not tables:
            raise BadFileError(
                "E_HDU",
                f"has no table of wavelengths ({hdus.listed}), allowed is one; state "
                "files.options.grid [Angstrom] in the card",
            )
        columns = table_columns(hdus, tables[0].index)
        points = columns.get("GRID_POINTS", next(iter(columns.values())))
        unit = header_text(tables[0].header, "TUNIT1") or header_text(header, "CUNIT3")
        values = in_angstrom(np.asarray(points, dtype=np.float64).ravel(), unit)
    if len(values) != n_planes:
        raise BadFileError(
            "E_BANDS",
            f"got {n_planes} planes and {len(values)} wavelengths, allowed is one for each; fetch "
            "the file again or correct files.options.grid",
        )
    return values


def _redshift(card: Card, header: Header) -> float:
    """Return the redshift of the light; a header that contradicts the card is refused."""
    calibration = calibration_of(card)
    redshift = redshift_of(header, default=calibration.redshift or 0.0)
    if calibration.already_dimmed != (redshift > 0):
        raise BadFileError(
            "E_SCALE",
            f"shows light at redshift {redshift:g} and calibration.already_dimmed is "
            f"{str(calibration.already_dimmed).lower()}, allowed is true with a redshift above 0 "
            "and false at 0; correct it, or set calibration.redshift where the files say nothing",
        )
    return redshift


def _scale(
    card: Card, header: Header, redshift: float, cosmology: "Cosmology | None"
) -> PixelScale:
    calibration = calibration_of(card)
    size = None
    if header_number(header, "DISTANGD", 0.0) > 0:
        unit = header_text(header, "DISTUNIT") or "Mpc"
        if unit not in _LENGTHS:
            raise BadFileError(
                "E_SCALE",
                f"key DISTUNIT reads {unit!r}, allowed: {', '.join(_LENGTHS)}; correct the header",
            )
        size = of_distance(header_number(header, "DISTANGD") * _LENGTHS[unit] / 1e3)
    elif calibration.distance is not None:
        size = of_distance(calibration.distance)
    elif cosmology is not None and redshift > 0:
        size = kpc_per_arcsec(cosmology, redshift)
    if calibration.pixel_scale_from != "adapter":
        return both_scales(pixel_scale_of(calibration, header), size)
    return both_scales(_step(header), size)


def _step(header: Header) -> PixelScale:
    units: Sequence[str] = [header_text(header, f"CUNIT{axis}") for axis in (1, 2)]
    steps = [abs(header_number(header, f"CDELT{axis}")) for axis in (1, 2)]
    if units[0] != units[1] or not steps[0] > 0 or abs(steps[1] / steps[0] - 1) > 0.01:
        raise BadFileError(
            "E_SCALE",
            f"got pixels of {steps[0]:g} {units[0]} x {steps[1]:g} {units[1]}, allowed are square "
            "ones; state calibration.pixel_scale",
        )
    if units[0] in _ANGLES:
        return PixelScale(arcsec=steps[0] * _ANGLES[units[0]])
    if units[0] in _LENGTHS:
        return PixelScale(kpc=steps[0] * _LENGTHS[units[0]])
    raise BadFileError(
        "E_SCALE",
        f"key CUNIT1 reads {units[0]!r}, allowed: {', '.join((*_ANGLES, *_LENGTHS))}; state "
        "calibration.pixel_scale",
    )


def _group(card: Card, source: Source) -> str:
    """Return the simulation behind several instruments; one view per object is its own."""
    return source.id.rpartition("_")[0] if card.view.views_per_object > 1 else ""
