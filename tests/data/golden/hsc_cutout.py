"""HSC cutouts of one file per band: image, mask with its numbered planes, variance, and a PSF."""

import numpy as np
from astropy.io import fits

from tests.data.golden.fits_stamps import wcs
from tests.data.golden.scene import SIZE, make_card, planes

BANDS = ("hsc-g", "hsc-i")
PIXEL_SCALE = 0.168
VARIANCE = {"g": 0.0004, "i": 0.0009}
#: As in the headers of the survey; SAT and NO_DATA make a pixel unusable here.
PLANES = {"BAD": 0, "SAT": 1, "INTRP": 2, "CR": 3, "EDGE": 4, "DETECTED": 5, "NO_DATA": 8}


def card(*, options=None, **changes):
    calibration = {
        "unit": "counts",
        "zero_point": 27.0,
        "zero_point_source": "FLUXMAG0 of the headers",
        "pixel_scale_from": "wcs",
        "mask": "bad",
        "already_dimmed": True,
    }
    options = {
        "path": "cutout-{filter}-{id}.fits", "psf_path": "psf-{filter}-{id}.fits",
        "mask_planes": ["SAT", "NO_DATA"],
    } | (options or {})  # fmt: skip
    view = {"geometry": "sky", "rendition": "survey"}
    return make_card("hsc_cutout", BANDS, calibration | changes, options=options, view=view)


def pixels(seed):
    """Return what is written [counts]."""
    return planes(seed, 2)


def flags(seed):
    """Return a plane of flags: the galaxy detected, one saturated pixel."""
    found = np.zeros(SIZE, np.int32)
    found[5:15, 5:18] |= 1 << PLANES["DETECTED"]
    found[0, seed % SIZE[1]] |= 1 << PLANES["SAT"]
    return found


def kernel(seed):
    """Return a PSF; the picker's stamps vary in size, some being even."""
    side = 9 + seed % 2
    y, x = np.mgrid[:side, :side]
    return np.exp(-0.5 * ((y - side // 2) ** 2 + (x - side // 2) ** 2) / 2.0)


def write(folder, seed, *, bands="gi", flux_of_zero=63095734448.0194):
    """Write one object; returns its paths, images first."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, band in enumerate("gi"):
        if band not in bands:
            continue
        primary = fits.PrimaryHDU()
        primary.header["FLUXMAG0"] = flux_of_zero
        image = fits.ImageHDU(pixels(seed)[i].astype(">f4"))
        wcs(image.header, PIXEL_SCALE, 0.0)
        mask = fits.ImageHDU(flags(seed).astype(">i4"))
        for name, bit in PLANES.items():
            mask.header[f"HIERARCH MP_{name}"] = bit
        variance = fits.ImageHDU(np.full(SIZE, VARIANCE[band], ">f4"))
        path = folder / f"cutout-{band}-{seed}.fits"
        fits.HDUList([primary, image, mask, variance]).writeto(path, overwrite=True)
        paths.append(path)
    for band in "gi":
        path = folder / f"psf-{band}-{seed}.fits"
        fits.PrimaryHDU(kernel(seed).astype(">f8")).writeto(path, overwrite=True)
        paths.append(path)
    return paths
