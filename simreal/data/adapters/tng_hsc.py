"""HSC images of IllustrisTNG galaxies, idealised or in real HSC sky (Bottrell et al. 2024).

Realistic: ``shalo_<snap>-<subhalo>_v<camera>_HSC_GRIZY.fits`` in nanomaggies, per band the units
``SUBARU_HSC.G``, ``SUBARU_HSC.G MASK``, ``SUBARU_HSC.G VARIANCE`` and, in some releases,
``SUBARU_HSC.G PSF``; the pixel scale is ``FOVARC / NAXIS1`` (``CDELT1`` is in pc). Idealised:
``shalo_..._photo.fits`` in AB mag/arcsec2 with ``CDELT1`` in kpc and nothing but images
(``mask = "none"``, ``pixel_scale_from = "adapter"``). Options of the card (``files.options``):
``filters`` (band = name of its unit), ``cosmology`` (idealised: what a kpc is on the sky),
``exclude``.

Flags and variance are those of the sky before the galaxy was put in: the variance lacks its shot
noise, and DETECTED marks real neighbours only. The bits are those of the HSC pipeline, without
names in the header; the first nine are BAD, SAT, INTRP, CR, EDGE, DETECTED, DETECTED_NEGATIVE,
SUSPECT and NO_DATA.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from simreal.core.arrays import Float32Array
from simreal.core.cards import Card
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._cubes import kpc_per_pixel
from simreal.data._distances import (
    both_scales,
    cosmology_needed,
    cosmology_of,
    kpc_per_arcsec,
    redshift_of,
)
from simreal.data._fits import (
    FITS_SUFFIXES,
    Hdus,
    flag_plane,
    header_number,
    header_text,
    opened_fits,
    peek_size,
)
from simreal.data._frames import Frames, Source, check_options, read_frames
from simreal.data._photometry import calibration_of, card_unit
from simreal.data._planes import Part, PixelScale, assembled, image_of, pixel_scale_of
from simreal.data._quarantine import BadFileError
from simreal.data._sources import fits_files, names_in_files, stem_of

if TYPE_CHECKING:
    from astropy.cosmology import Cosmology

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = FITS_SUFFIXES
OPTIONS = ("filters", "cosmology", "exclude")

FILTERS = {f"hsc-{band}": f"SUBARU_HSC.{band.upper()}" for band in "grizy"}
#: Between the pixel scale and CDELT1: a cut-out whose header was not brought up to date.
TOLERANCE = 0.02


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read a folder of ``shalo_*.fits`` into the file `store`.

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
        If no file is left.
    """
    check_options(card, OPTIONS)
    card_unit(card)
    names = names_in_files(card, FILTERS)
    cosmology = cosmology_of(card)
    if calibration_of(card).pixel_scale_from == "adapter":
        cosmology = cosmology_needed(card)
    files, notes = fits_files(card)
    sources = [Source(id=stem_of(file), file=file, size=peek_size(file.path)) for file in files]
    return read_frames(
        card,
        store=store,
        sources=sources,
        load=partial(_load, card, names, cosmology),
        notes=notes,
    )


def _load(
    card: Card, names: Mapping[str, str], cosmology: "Cosmology | None", source: Source
) -> Frames:
    with opened_fits(source.file) as hdus:
        parts = {band: _part(card, hdus, name, cosmology) for band, name in names.items()}
    header = next(iter(parts.values())).header
    properties = {
        f"APMAG_{names[band].rpartition('.')[2]}": header_number(part.header, "APMAG")
        for band, part in parts.items()
        if "APMAG" in part.header
    }
    frames = assembled(card, parts, properties=properties, group=_group(header))
    redshift = redshift_of(header, default=calibration_of(card).redshift)
    return dataclasses.replace(frames, redshift=redshift)


def _part(card: Card, hdus: Hdus, name: str, cosmology: "Cosmology | None") -> Part:
    image, header = image_of(hdus, name, band=name)
    _check_filter(name, header)
    has_flags = calibration_of(card).mask != "none"
    return Part(
        pixels=image,
        header=header,
        flags=flag_plane(hdus, f"{name} MASK")[0] if has_flags else None,
        variance=_optional(hdus, f"{name} VARIANCE"),
        psf=_optional(hdus, f"{name} PSF"),
        scale=_scale(card, header, cosmology),
    )


def _optional(hdus: Hdus, name: str) -> Float32Array | None:
    return image_of(hdus, name, band=name)[0] if name in hdus else None


def _scale(card: Card, header: Mapping[str, object], cosmology: "Cosmology | None") -> PixelScale:
    calibration = calibration_of(card)
    size = None
    if "KPCARC" in header:
        size = header_number(header, "KPCARC")
        if not size > 0:
            raise BadFileError(
                "E_SCALE", f"key KPCARC reads {size:g}, allowed is above 0; correct the header"
            )
    elif cosmology is not None:
        redshift = redshift_of(header, default=calibration.redshift)
        size = kpc_per_arcsec(cosmology, redshift)
    physical = kpc_per_pixel(header)
    if calibration.pixel_scale_from == "adapter":
        if physical is None:
            raise BadFileError(
                "E_SCALE",
                "has no CDELT1 in pc or kpc (CTYPE1), allowed is one; state "
                "calibration.pixel_scale_from",
            )
        return both_scales(PixelScale(kpc=physical), size)
    scale = both_scales(pixel_scale_of(calibration, header), size)
    both_known = physical is not None and scale.kpc is not None
    if both_known and abs(physical / scale.kpc - 1) > TOLERANCE:  # type: ignore[operator]
        raise BadFileError(
            "E_SCALE",
            f"got pixels of {scale.kpc:.4g} kpc by {calibration.pixel_scale_from} and "
            f"{physical:.4g} kpc by CDELT1, allowed is a difference of {TOLERANCE:.0%}; the image "
            "was cut without its header, or calibration.pixel_scale_from is wrong",
        )
    return scale


def _check_filter(name: str, header: Mapping[str, object]) -> None:
    """Check that a unit holds the filter that its name says."""
    written, own = header_text(header, "FILTER"), name.rpartition(".")[2]
    if written and written.rpartition(".")[2].upper() != own.upper():
        raise BadFileError(
            "E_BANDS",
            f"{name} says FILTER = {written!r}, allowed is {own!r}; the bands were swapped: "
            "correct files.options.filters or fetch the file again",
        )


def _group(header: Mapping[str, object]) -> str:
    """Return the galaxy behind several cameras."""
    parts = [header.get(key) for key in ("SIMTAG", "SNAPNUM", "SUBHALO")]
    return "" if None in parts else "-".join(str(part) for part in parts)
