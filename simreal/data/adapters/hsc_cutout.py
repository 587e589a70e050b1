"""Cutouts of the Hyper Suprime-Cam survey as its archive serves them, one file per band.

HDU 1 is the image, HDU 2 the mask, whose header numbers the bits (``MP_BAD``, ...), HDU 3 the
variance; the PSF comes from the PSF picker as a file of its own. Options of the card
(``files.options``):

``path``, ``psf_path``
    Templates as for the adapter fits_stamps.
``filters``
    What each band is called in the path; by default the last word of its name.
``mask_planes``
    Names of the mask planes that make a pixel unusable, without ``MP_``: their bits differ from
    file to file. With ``calibration.mask = "bits"`` the card's ``mask_bits`` count as well.
``exclude``, ``missing_value``
    As for fits_stamps.

Where the header has ``FLUXMAG0`` it must agree with the card's zero point.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.data._band_files import find_sources, where_of
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._fits import FITS_SUFFIXES, Hdus, flag_plane, header_number, opened_fits
from simreal.data._frames import Frames, Source, check_options, read_frames
from simreal.data._photometry import calibration_of
from simreal.data._planes import Part, assembled, image_of, in_file
from simreal.data._quarantine import BadFileError

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = FITS_SUFFIXES
OPTIONS = ("exclude", "filters", "mask_planes", "missing_value", "path", "psf_path")

#: Magnitudes by which FLUXMAG0 may differ from the card's zero point.
ZERO_POINT_TOLERANCE = 1e-3


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read HSC cutouts into the file `store`.

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
    _check_mask(card)
    sources, rejected, notes = find_sources(card, short=True)
    return read_frames(
        card,
        store=store,
        sources=sources,
        load=lambda source: _load(card, source),
        rejected=rejected,
        notes=notes,
    )


def _check_mask(card: Card) -> None:
    mask, planes = calibration_of(card).mask, card.files.options.get("mask_planes")
    if mask == "good" or (mask == "bad") != bool(planes):
        raise UsageError(
            f"{card.name}: got calibration.mask = {mask!r} with files.options.mask_planes = "
            f"{planes!r}, allowed are 'bad' with mask_planes (such as BAD, SAT, CR, NO_DATA), "
            "'bits' with mask_bits, and 'none'; HSC masks flag every detected galaxy as well"
        )


def _load(card: Card, source: Source) -> Frames:
    return assembled(card, {band: _part(card, source, band) for band in card.view.bands})


def _part(card: Card, source: Source, band: str) -> Part:
    file = source.also[band]
    with in_file(file, of=source.file), opened_fits(file) as hdus:
        pixels, header = image_of(hdus, 1, band=band)
        _check_zero_point(card, hdus, header)
        flags, flag_header = flag_plane(hdus, 2)
        if planes := card.files.options.get("mask_planes"):
            flags = flags & _bits(flag_header, planes)
        variance, _ = image_of(hdus, 3, band=band)
    psf, psf_file = None, source.also.get(f"psf {band}")
    if psf_file is not None:
        with in_file(psf_file, of=source.file), opened_fits(psf_file) as hdus:
            psf, _ = image_of(hdus, None, band=band)
    return Part(
        pixels=pixels,
        header=header,
        flags=flags,
        variance=variance,
        psf=psf,
        where=where_of(file, source),
    )


def _bits(header: Mapping[str, object], planes: list[str]) -> np.int64:
    bits = [int(header_number(header, f"MP_{name.upper()}")) for name in planes]
    return np.int64(sum(1 << bit for bit in bits))


def _check_zero_point(card: Card, hdus: Hdus, header: Mapping[str, object]) -> None:
    stated = calibration_of(card).zero_point
    for each in (header, hdus[0].header):
        if "FLUXMAG0" in each and stated is not None:
            flux = header_number(each, "FLUXMAG0")
            written = 2.5 * math.log10(flux) if flux > 0 else math.nan
            if not abs(written - stated) <= ZERO_POINT_TOLERANCE:
                raise BadFileError(
                    "E_UNIT",
                    f"FLUXMAG0 = {flux:g} means the zero point {written:.4f}, allowed is "
                    f"{stated:g} as in calibration.zero_point; correct the card",
                )
            return
