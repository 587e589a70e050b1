"""``broadband_<id>.fits`` as the IllustrisTNG API serves it: every key of a real header."""

import numpy as np
from astropy.io import fits

from tests.data.golden.scene import make_card, planes

BANDS = ("sdss-g", "sdss-r", "sdss-i", "sdss-z")
ZERO_POINT = 22.5
PIXEL_SCALE, PARSEC, REDSHIFT = 0.396, 374.5511804883155, 0.0485236299818


def card(*, options=None, **changes):
    calibration = {
        "unit": "counts/s",
        "zero_point": ZERO_POINT,
        "zero_point_source": "made up",
        "pixel_scale_from": "header PIXSCALE",
        "mask": "none",
        "already_dimmed": True,
    }
    calibration = {k: v for k, v in (calibration | changes).items() if v is not None}
    return make_card("tng_skirt", BANDS, calibration, options=options)


def pixels(seed):
    """Return what is written [counts/s]."""
    return planes(seed, 4).astype(np.float32)


def write(folder, seed, *, name=None, cube=None, keys=None, order="griz"):
    """Write galaxy `seed`; `order` permutes planes and names alike."""
    folder.mkdir(parents=True, exist_ok=True)
    cube = pixels(seed) if cube is None else cube
    if cube.ndim == 3 and len(cube) == 4:
        cube = cube[["griz".index(band) for band in order]]
    hdu = fits.PrimaryHDU(cube.astype(">f4"))
    header = hdu.header
    header["BUNIT"] = ("counts/s/pixel", "Unit of the array values")
    for axis in (1, 2):
        header[f"CDELT{axis}"] = (PARSEC, "Coordinate increment")
        header[f"CTYPE{axis}"] = ("pc", "Physical units of the increment")
    header["PIXSCALE"] = (PIXEL_SCALE, "Pixel size in arcsec")
    header["USE_Z"] = (REDSHIFT, "Observed redshift of the source")
    for i, band in enumerate(order):
        header[f"FILTER{i}"] = (f"sloan/sdss_{band}", f"Broadband filter index = {i}")
    for key, value in (keys or {}).items():
        if value is None:
            del header[key]
        else:
            header[key] = value
    path = folder / (name or f"broadband_{seed}.fits")
    hdu.writeto(path, overwrite=True)
    return path
