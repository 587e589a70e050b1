"""Idealised images for RealSim (Bottrell et al. 2019): SKIRT photometry, one file per band.

``photo_<band>_<object>.fits`` in AB mag/arcsec2, +inf where no photon fell, as written by
``SpecToSDSS_gri`` of that suite. The brightness is already dimmed to ``REDSHIFT``; ``CDELT1`` is
in pc, so that the angle of a pixel needs the cosmology of the suite, flat with H0 = 70 and
Om0 = 0.3. Options of the card (``files.options``): ``filters`` (band = name in FILTER),
``cosmology`` (required), ``exclude``.
"""

import dataclasses
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from simreal.core.cards import Card
from simreal.core.results import Rejection
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._cubes import kpc_per_pixel
from simreal.data._distances import both_scales, cosmology_needed, kpc_per_arcsec, redshift_of
from simreal.data._files import FoundFile
from simreal.data._fits import FITS_SUFFIXES, header_text, opened_fits, peek_size
from simreal.data._frames import Frames, Source, check_options, object_rejection, read_frames
from simreal.data._photometry import calibration_of, card_unit
from simreal.data._planes import Part, PixelScale, assembled, image_of, in_file, pixel_scale_of
from simreal.data._quarantine import BadFileError, rejection
from simreal.data._sources import fits_files, names_in_files, stem_of

if TYPE_CHECKING:
    from astropy.cosmology import Cosmology

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = FITS_SUFFIXES
OPTIONS = ("filters", "cosmology", "exclude")

FILTERS = {f"sdss-{band}": f"{band}_SDSS.res" for band in "ugriz"}

_NAME = re.compile(r"photo_([A-Za-z0-9]+)_(.+)$")


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read a folder of ``photo_<band>_*.fits`` into the file `store`.

    Parameters
    ----------
    card : Card
    seed : int
        Not used: files are read as they are.
    store : Path

    Raises
    ------
    UsageError
        If the folder is absent, no cosmology is named or the card does not fit the files.
    NothingUsableError
        If no object is left.
    """
    check_options(card, OPTIONS)
    card_unit(card)
    names = names_in_files(card, FILTERS)
    cosmology = cosmology_needed(card)
    files, notes = fits_files(card)
    sources, rejected = _sources(card, files, names)
    return read_frames(
        card,
        store=store,
        sources=sources,
        load=partial(_load, card, names, cosmology),
        rejected=rejected,
        notes=notes,
    )


def _sources(
    card: Card, files: tuple[FoundFile, ...], names: Mapping[str, str]
) -> tuple[list[Source], list[Rejection]]:
    """Return the objects that have a file in every band, and the others as rejections."""
    rejected: list[Rejection] = []
    objects: dict[str, dict[str, FoundFile]] = {}
    for file in files:
        folder, name = PurePosixPath(stem_of(file)).parent, PurePosixPath(stem_of(file)).name
        found = _NAME.match(name)
        if found is None:
            error = BadFileError(
                "E_NAME",
                "is not called photo_<band>_<object>, allowed is that; rename it or list it in "
                "files.options.exclude",
            )
            rejected.append(rejection(card, file, error))
            continue
        objects.setdefault((folder / found[2]).as_posix(), {})[found[1]] = file
    sources = []
    for own_id, by_letter in objects.items():
        letters = {band: _letter(name) for band, name in names.items()}
        first = next(iter(by_letter.values()))
        missing = [band for band, letter in letters.items() if letter not in by_letter]
        if missing:
            error = BadFileError(
                "E_BANDS",
                f"has no file photo_{letters[missing[0]]}_... for {missing[0]}, allowed is one per "
                f"band; it has {', '.join(sorted(by_letter))}: fetch it or correct view.bands",
            )
            rejected.append(object_rejection(card, Source(id=own_id, file=first), error))
            continue
        also = {band: by_letter[letter] for band, letter in letters.items()}
        first = next(iter(also.values()))
        size = peek_size(first.path)
        sources.append(Source(id=own_id, file=first, size=size, also=also))
    return sources, rejected


def _letter(name: str) -> str:
    """Return what stands in a file name for a filter: the part before the survey's name."""
    return name.partition("_")[0]


def _load(card: Card, names: Mapping[str, str], cosmology: "Cosmology", source: Source) -> Frames:
    parts: dict[str, Part] = {}
    for band, file in source.also.items():
        with in_file(file, of=source.file), opened_fits(file) as hdus:
            pixels, header = image_of(hdus, None, band=band)
            _check_filter(names[band], header)
            parts[band] = Part(pixels=pixels, header=header, scale=_scale(card, header, cosmology))
    redshifts = {band: redshift_of(part.header) for band, part in parts.items()}
    if len(set(redshifts.values())) > 1:
        raise BadFileError(
            "E_HEADER",
            f"got REDSHIFT {redshifts} in its bands, allowed is one value; fetch them again",
        )
    frames = assembled(card, parts, group=_group(next(iter(parts.values())).header))
    return dataclasses.replace(frames, redshift=next(iter(redshifts.values())))


def _scale(card: Card, header: Mapping[str, object], cosmology: "Cosmology") -> PixelScale:
    calibration = calibration_of(card)
    redshift = redshift_of(header)
    if not redshift > 0:
        raise BadFileError(
            "E_HEADER", f"key REDSHIFT reads {redshift:g}, allowed is above 0; correct the header"
        )
    size = kpc_per_arcsec(cosmology, redshift)
    if calibration.pixel_scale_from != "adapter":
        return both_scales(pixel_scale_of(calibration, header), size)
    physical = kpc_per_pixel(header)
    if physical is None:
        raise BadFileError(
            "E_SCALE",
            "has no CDELT1 in pc or kpc (CTYPE1), allowed is one; state calibration.pixel_scale",
        )
    return both_scales(PixelScale(kpc=physical), size)


def _check_filter(name: str, header: Mapping[str, object]) -> None:
    written = header_text(header, "FILTER")
    if written != name:
        raise BadFileError(
            "E_BANDS",
            f"says FILTER = {written!r}, allowed is {name!r}; correct the file's name or "
            "files.options.filters",
        )


def _group(header: Mapping[str, object]) -> str:
    """Return the merger run: its snapshots and views are one object."""
    parts = [header_text(header, key) for key in ("SIMTAG", "SUBTAG")]
    return "-".join(parts) if all(parts) else ""
