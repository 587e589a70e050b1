"""RealSim inputs: one gzipped file per band in AB mag/arcsec2, +inf where it is empty."""

import numpy as np
from astropy.io import fits

from tests.data.golden.scene import make_card, planes

BANDS = ("sdss-g", "sdss-r", "sdss-i")
REDSHIFT, PARSEC = 0.046, 97.65625
SIZE = (22, 22)


def card(*, options=None, **changes):
    calibration = {
        "unit": "mag/arcsec2",
        "pixel_scale_from": "adapter",
        "mask": "none",
        "already_dimmed": True,
    }
    options = {"cosmology": {"H0": 70.0, "Om0": 0.3}} if options is None else options
    return make_card("realsim", BANDS, calibration | changes, options=options)


def brightness(seed):
    """Return what is written [AB mag/arcsec2]: infinite in one corner."""
    light = planes(seed, 3, SIZE)
    light[:, :3, :3] = 0.0
    with np.errstate(divide="ignore"):
        return 21.0 - 2.5 * np.log10(light)


def write(folder, seed, *, bands="gri", keys=None, values=None, ending=".fits.gz"):
    """Write the bands of snapshot `seed`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, band in enumerate("gri"):
        if band not in bands:
            continue
        plane = brightness(seed)[i] if values is None else values
        hdu = fits.PrimaryHDU(plane.astype(">f8"))
        header = hdu.header
        header["BSCALE"], header["BZERO"] = 1.0, 0.0
        header["ORIGIN"], header["BUNIT"] = "SKIRT simulation", "AB mag/arcsec2"
        for axis in (1, 2):
            header[f"CRPIX{axis}"], header[f"CRVAL{axis}"] = 11.5, 0.0
            header[f"CDELT{axis}"], header[f"CTYPE{axis}"] = PARSEC, "pc"
        header["SIMTAG"], header["SUBTAG"], header["ISNAP"] = "G2G3_e", "orbit_1", seed
        header["CAMERA"], header["FILTER"] = "i0", f"{band}_SDSS.res"
        header["WLEFF"], header["REDSHIFT"] = 4706.6, REDSHIFT
        for key, value in (keys or {}).items():
            if value is None:
                del header[key]
            else:
                header[key] = value
        path = folder / f"photo_{band}_CNN_G2G3_e-orbit_1_{seed}_i0_total{ending}"
        hdu.writeto(path, overwrite=True)
        paths.append(path)
    return paths
