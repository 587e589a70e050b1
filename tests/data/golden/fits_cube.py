"""A cube per object whose planes the header names, with masks and inverse variances behind it."""

import numpy as np
from astropy.io import fits

from tests.data.golden.scene import SIZE, make_card, planes

BANDS = ("decam-g", "decam-r", "decam-z")
FILTERS = {"decam-g": "DECam g", "decam-r": "DECam r", "decam-z": "DECam z"}
PIXEL_SCALE = 0.262
INVERSE_VARIANCE = 400.0


def card(*, options=None, **changes):
    calibration = {
        "unit": "header",
        "pixel_scale_from": "header PIXSCALE",
        "mask": "good",
        "already_dimmed": True,
    }
    options = {
        "plane_keys": "FILTER{}", "filters": FILTERS, "mask_hdu": "WEIGHT MASK", "hdu": 0,
        "variance_hdu": "INVVAR", "inverse_variance": True, "group_pattern": r"(\d+)_v\d",
    } | (options or {})  # fmt: skip
    return make_card("fits_cube", BANDS, calibration | changes, options=options)


def pixels(seed):
    """Return what is written [uJy / pixel]."""
    return planes(seed, 3)


def good(seed):
    """Return where a pixel may be used: all but one."""
    usable = np.ones(SIZE, np.uint8)
    usable[3, seed % SIZE[1]] = 0
    return usable


def write(folder, seed, *, order=(0, 1, 2), dtype=">f4", keys=None, first=0):
    """Write one object, its planes in the `order` given."""
    folder.mkdir(parents=True, exist_ok=True)
    image = fits.PrimaryHDU(pixels(seed)[list(order)].astype(dtype))
    image.header["PIXSCALE"], image.header["BUNIT"] = PIXEL_SCALE, "uJy"
    names = list(FILTERS.values())
    for place, plane in enumerate(order):
        image.header[f"FILTER{place + first}"] = names[plane]
    for key, value in (keys or {}).items():
        image.header[key] = value
    mask = fits.ImageHDU(good(seed), name="Weight Mask")
    inverse = fits.ImageHDU(np.full((3, *SIZE), INVERSE_VARIANCE, ">f4"), name="INVVAR")
    path = folder / f"galaxy{seed}_v0.fits"
    fits.HDUList([image, mask, inverse]).writeto(path, overwrite=True)
    return path
