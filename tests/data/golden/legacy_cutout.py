"""Cutouts of the Legacy Surveys viewer: a resampled cube, or the bricks' own pixels."""

import numpy as np
from astropy.io import fits

from tests.data.golden.fits_stamps import wcs
from tests.data.golden.scene import SIZE, make_card, planes

BANDS = ("decam-g", "decam-r", "decam-z")
PIXEL_SCALE = 0.262
INVERSE_VARIANCE = 625.0


def card(*, options=None, **changes):
    calibration = {
        "unit": "nanomaggy",
        "pixel_scale_from": "wcs",
        "mask": "bits",
        "mask_bits": (1, 5),
        "already_dimmed": True,
    }
    view = {"geometry": "sky", "rendition": "survey"}
    return make_card(
        "legacy_cutout", BANDS, calibration | changes, options=options or {}, view=view
    )


def pixels(seed):
    """Return what is written [nanomaggy]."""
    return planes(seed, 3)


def flags(seed):
    """Return mask bits: 1 (bright star) in one pixel, 3, which does not matter, in another."""
    bits = np.zeros(SIZE, np.int16)
    bits[1, seed % SIZE[1]] = 1 << 1
    bits[2, seed % SIZE[1]] = 1 << 3
    return bits


def write(folder, seed, *, bands="grz", maskbits=True):
    """Write the usual cutout."""
    folder.mkdir(parents=True, exist_ok=True)
    cube = fits.PrimaryHDU(pixels(seed)[["grz".index(band) for band in bands]].astype(">f4"))
    wcs(cube.header, PIXEL_SCALE, 0.0)
    cube.header["SURVEY"], cube.header["VERSION"] = "LegacySurvey", "DR10"
    cube.header["IMAGETYP"], cube.header["BANDS"] = "IMAGE", bands
    for i, band in enumerate(bands):
        cube.header[f"BAND{i}"] = band
    inverse = fits.ImageHDU(np.full((len(bands), *SIZE), INVERSE_VARIANCE, ">f4"))
    inverse.header["IMAGETYP"] = "INVVAR"
    bits = fits.ImageHDU(flags(seed).astype(">i2"))
    bits.header["IMAGETYP"] = "MASKBITS"
    path = folder / f"cutout_{seed}.fits"
    units = [cube, inverse, bits] if maskbits else [cube, inverse]
    fits.HDUList(units).writeto(path, overwrite=True)
    return path


def write_subimage(folder, seed, *, bricks=("1498p020", "1501p020")):
    """Write a cutout of the bricks' own pixels; the second brick has only a corner of it."""
    folder.mkdir(parents=True, exist_ok=True)
    units = [fits.PrimaryHDU()]
    for number, brick in enumerate(bricks):
        side = (slice(None), slice(None)) if number == 0 else (slice(0, 5), slice(0, 6))
        for i, band in enumerate("grz"):
            for kind, plane in (
                ("image", pixels(seed)[i][side]),
                ("invvar", np.full(SIZE, INVERSE_VARIANCE)[side]),
            ):
                hdu = fits.ImageHDU(plane.astype(">f4"))
                wcs(hdu.header, PIXEL_SCALE, 0.0)
                hdu.header["IMAGETYP"], hdu.header["BRICK"] = kind, brick
                hdu.header["BRICK_X0"], hdu.header["BRICK_Y0"] = 100 * number, 5
                hdu.header["BAND"] = band
                units.append(hdu)
    path = folder / f"cutout_{seed}.fits"
    fits.HDUList(units).writeto(path, overwrite=True)
    return path
