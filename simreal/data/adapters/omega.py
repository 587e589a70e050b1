"""OMEGA: NIRCam and MIRI images of TNG50 galaxies (Costantin et al. 2023).

Three cubes ``(band, y, x)`` per view in MJy/sr, one per camera, each with its own pixels:
``<id>_i<inclination>_a<azimuth>_z<redshift>_<camera>.fits`` with the camera ``NIRCam_short``
(0.031 arcsec), ``NIRCam_long`` (0.063) or ``MIRI`` (0.11). ``EXTn`` names plane ``n`` and ``MAGn``
is its total magnitude, against which the light is checked. Options of the card
(``files.options``): ``camera`` (which of the three; required, since they cannot share pixels),
``filters`` (band = name in EXTn), ``cosmology`` (for the size of a pixel in kpc), ``exclude``.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.data._contract import AdapterMeta, Ingested
from simreal.data._cubes import chosen_planes, cube_of
from simreal.data._distances import both_scales, cosmology_of, kpc_per_arcsec, redshift_of
from simreal.data._fits import (
    FITS_SUFFIXES,
    Header,
    header_number,
    header_text,
    image_plane,
    opened_fits,
    peek_size,
)
from simreal.data._frames import Frames, Source, check_options, read_frames
from simreal.data._photometry import (
    calibration_of,
    check_plausible,
    check_total,
    to_nanojansky,
    unit_of_file,
)
from simreal.data._planes import PixelScale, header_properties, pixel_scale_of, wcs_scale
from simreal.data._quarantine import BadFileError
from simreal.data._sources import fits_files, names_in_files, stem_of

if TYPE_CHECKING:
    from astropy.cosmology import Cosmology

META = AdapterMeta(synthetic=False, version=1)
SUFFIXES = FITS_SUFFIXES
OPTIONS = ("camera", "filters", "cosmology", "exclude")

#: [arcsec] Pixels of the three cameras in this release.
CAMERAS = {"NIRCam_short": 0.031, "NIRCam_long": 0.063, "MIRI": 0.11}
#: [mag] Between the sum of a plane and its MAGn: a few hundredths of light fall off the frame.
TOLERANCE = 0.05


def read(card: Card, *, seed: int, store: Path) -> Ingested:  # noqa: ARG001
    """Read the cubes of one camera into the file `store`.

    Parameters
    ----------
    card : Card
    seed : int
        Not used: files are read as they are.
    store : Path

    Raises
    ------
    UsageError
        If the folder is absent or the card does not choose a camera.
    NothingUsableError
        If no file is left.
    """
    check_options(card, OPTIONS)
    camera = card.files.options.get("camera")
    if camera not in CAMERAS:
        raise UsageError(
            f"{card.name}: files.options.camera: got {camera!r}, allowed: {', '.join(CAMERAS)}; "
            "the three have different pixels, so that one card reads one of them"
        )
    # Without the instrument, 'F770W' in capitals: nircam-f115w is F115W.
    names = names_in_files(
        card, {band: band.rpartition("-")[2].upper() for band in card.view.bands}
    )
    cosmology = cosmology_of(card)
    files, notes = fits_files(card)
    own = [file for file in files if stem_of(file).endswith(f"_{camera}")]
    if len(own) < len(files):
        notes.append(f"{len(files) - len(own)} files of other cameras than {camera} were not read")
    sources = [Source(id=stem_of(file), file=file, size=peek_size(file.path)) for file in own]
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
        pixels, header = image_plane(hdus, 0)
    cube = cube_of(pixels)
    keys = [f"EXT{i + 1}" for i in range(len(cube))]
    planes = chosen_planes(header, names, keys=keys)
    cube = cube[planes]
    unit = unit_of_file(card, header_text(header, "BUNIT") or header.get("UNITS"))
    check_plausible(cube, unit)
    redshift = redshift_of(header, default=calibration_of(card).redshift)
    scale = _scale(card, header, redshift, cosmology)
    flux = to_nanojansky(cube, unit, pixel_scale=scale.arcsec)
    properties = header_properties(card, header)
    for band, plane, image in zip(names, planes, flux, strict=True):
        key = f"MAG{plane + 1}"
        if key in header:
            total = header_number(header, key)
            check_total(image, total, band=band, key=key, tolerance=TOLERANCE)
            properties[f"MAG_{names[band]}"] = total
    return Frames(
        pixels=flux,
        pixel_scale=scale.arcsec,
        physical_scale=scale.kpc,
        redshift=redshift,
        group=_group(header, redshift),
        properties=properties,
    )


def _scale(
    card: Card, header: Header, redshift: float, cosmology: "Cosmology | None"
) -> PixelScale:
    calibration = calibration_of(card)
    scale = (
        PixelScale(arcsec=wcs_scale(header))
        if calibration.pixel_scale_from == "adapter"
        else pixel_scale_of(calibration, header)
    )
    camera = str(card.files.options["camera"])
    if scale.arcsec is not None and abs(scale.arcsec / CAMERAS[camera] - 1) > 0.02:
        raise BadFileError(
            "E_SCALE",
            f"got pixels of {scale.arcsec:g} arcsec, allowed for {camera} are {CAMERAS[camera]}; "
            "correct files.options.camera or fetch the file again",
        )
    if cosmology is None or not redshift > 0:
        return scale
    return both_scales(scale, kpc_per_arcsec(cosmology, redshift))


def _group(header: Header, redshift: float) -> str:
    """Return the galaxy behind the views: ids of one snapshot mean nothing in another."""
    target = header.get("TARGET")
    return "" if target is None else f"{target} z{redshift:g}"
