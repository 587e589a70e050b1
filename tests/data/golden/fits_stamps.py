"""Stamps of one gzipped file per band, in MJy/sr and with a rotated WCS, as CEERS ones are."""

import numpy as np
from astropy.io import fits

from tests.data.golden.scene import make_card, planes

BANDS = ("nircam-f115w", "nircam-f200w")
FILTERS = {"nircam-f115w": "f115w", "nircam-f200w": "f200w"}
PIXEL_SCALE = 0.03
#: [nJy] of 1 MJy/sr in a pixel of 0.03 arcsec: 1e15 * (0.03 pi / 648000)^2.
PER_UNIT = 21.15398748


def card(*, options=None, view=None, **changes):
    calibration = {
        "unit": "MJy/sr",
        "pixel_scale_from": "wcs",
        "mask": "none",
        "already_dimmed": True,
    }
    options = {
        "path": "{filter}/stamp_{filter}_{id}.fits.gz", "filters": FILTERS, "missing_value": 0.0,
    } | (options or {})  # fmt: skip
    view = {"geometry": "sky", "rendition": "survey"} | (view or {})
    files = {"pattern": "**/*.fits.gz"}
    return make_card(
        "fits_stamps", BANDS, calibration | changes, options=options, view=view, files=files
    )


def pixels(seed):
    """Return what is written [MJy/sr]."""
    return planes(seed, 2)


def wcs(header, scale=PIXEL_SCALE, angle=0.7):
    """Put a rotated tangential WCS into a header."""
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 214.825, 52.825
    header["CRPIX1"], header["CRPIX2"] = 12.5, 10.5
    header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
    header["CDELT1"] = header["CDELT2"] = scale / 3600
    header["PC1_1"], header["PC1_2"] = -np.cos(angle), np.sin(angle)
    header["PC2_1"], header["PC2_2"] = np.sin(angle), np.cos(angle)
    return header


def write(folder, seed, *, bands=("f115w", "f200w"), dtype=">f8", ending=".fits.gz"):
    """Write one object; returns its paths."""
    paths = []
    for i, band in enumerate(("f115w", "f200w")):
        if band not in bands:
            continue
        hdu = fits.PrimaryHDU(pixels(seed)[i].astype(dtype))
        wcs(hdu.header)["XPOSURE"] = 45352.128
        path = folder / band / f"stamp_{band}_{seed}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        hdu.writeto(path, overwrite=True)
        paths.append(path)
    return paths
