"""Pan-STARRS stacks: asinh-scaled 16-bit integers with BSCALE, BZERO and BLANK."""

import numpy as np
from astropy.io import fits

from tests.data.golden.fits_stamps import wcs
from tests.data.golden.scene import SIZE, make_card, planes

BANDS = ("ps1-g", "ps1-r")
PIXEL_SCALE = 0.25
OFFSET, SOFTENING, EXPOSURE = 0.12, 40.0, 860.0
#: Step of the 16-bit scale, in asinh magnitudes.
STEP, ZERO = 1e-4, 1.0
BLANK = -32768


def card(*, options=None, **changes):
    calibration = {
        "unit": "counts/s",
        "zero_point": 25.0,
        "zero_point_source": "of the stacks",
        "pixel_scale_from": "wcs",
        "mask": "none",
        "already_dimmed": True,
    }
    options = {"path": "rings.v3.skycell.{id}.stk.{filter}.unconv.fits"} | (options or {})
    view = {"geometry": "sky", "rendition": "survey"}
    return make_card("panstarrs", BANDS, calibration | changes, options=options, view=view)


def stored(seed):
    """Return the integers that are written; one pixel is blank."""
    counts = 1000.0 * planes(seed, 2)
    magnitudes = 1.085736 * np.arcsinh((counts - OFFSET) / (2 * SOFTENING))
    integers = np.rint((magnitudes - ZERO) / STEP).astype(np.int16)
    integers[:, 0, 0] = BLANK
    return integers


def write(folder, seed, *, bands="gr", keys=None):
    """Write one object; returns its paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, band in enumerate("gr"):
        if band not in bands:
            continue
        hdu = fits.PrimaryHDU(np.zeros(SIZE, ">i2"))
        hdu.data = stored(seed)[i].astype(">i2")
        wcs(hdu.header, PIXEL_SCALE, 0.0)
        given = {"BOFFSET": OFFSET, "BSOFTEN": SOFTENING, "EXPTIME": EXPOSURE} | (keys or {})
        for key, value in given.items():
            if value is not None:
                hdu.header[key] = value
        path = folder / f"rings.v3.skycell.{seed}.stk.{band}.unconv.fits"
        hdu.writeto(path, overwrite=True)
        # astropy would scale the integers itself: these keys are put in afterwards.
        with fits.open(path, mode="update", do_not_scale_image_data=True) as opened:
            opened[0].header["BZERO"], opened[0].header["BSCALE"] = ZERO, STEP
            opened[0].header["BLANK"] = BLANK
        paths.append(path)
    return paths
