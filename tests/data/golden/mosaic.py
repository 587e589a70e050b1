"""Mosaics with three planted galaxies, one of them at the edge, a file per band."""

import numpy as np
from astropy.io import fits

from tests.data.golden.fits_stamps import wcs
from tests.data.golden.scene import make_card

BANDS = ("acs-f606w", "acs-f814w")
FILTERS = {"acs-f606w": "f606w", "acs-f814w": "f814w"}
PIXEL_SCALE, SIZE, WIDTH = 0.05, (120, 140), 21
NOISE = {"f606w": 1.0, "f814w": 2.0}
#: (y, x) of the galaxies; the last is too near the edge for a whole stamp.
PLACES = ((30, 40), (80, 100), (60, 4))


def card(*, options=None, **changes):
    calibration = {
        "unit": "nJy",
        "pixel_scale_from": "wcs",
        "mask": "none",
        "already_dimmed": True,
    }
    options = {
        "path": "{id}_{filter}.fits", "filters": FILTERS, "width": WIDTH, "detect": "acs-f814w",
        "snr": 8.0, "tile": 70,
    } | (options or {})  # fmt: skip
    view = {"geometry": "sky", "rendition": "survey"}
    return make_card("mosaic", BANDS, calibration | changes, options=options, view=view)


def pixels(seed, band):
    """Return what is written [nJy]: noise and galaxies."""
    rng = np.random.default_rng([seed, list(NOISE).index(band)])
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    image = rng.normal(0.0, NOISE[band], SIZE)
    for cy, cx in PLACES:
        image += 400.0 * np.exp(-0.5 * ((y - cy) ** 2 + (x - cx) ** 2) / 2.5**2)
    return image


def write(folder, seed):
    """Write the mosaics of one field; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for band in NOISE:
        hdu = fits.PrimaryHDU(pixels(seed, band).astype(">f4"))
        wcs(hdu.header, PIXEL_SCALE, 0.0)
        path = folder / f"field{seed}_{band}.fits"
        hdu.writeto(path, overwrite=True)
        paths.append(path)
    return paths
