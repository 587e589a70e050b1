"""OMEGA cubes (release TNG50 v1): NIRCam short and long, MIRI, each with its own pixels."""

import numpy as np
from astropy.io import fits

from tests.data.golden.scene import make_card, planes

CAMERAS = {
    "NIRCam_short": (0.031, ("F115W", "F150W", "F200W")),
    "NIRCam_long": (0.063, ("F277W", "F356W", "F444W")),
    "MIRI": (0.11, ("F560W", "F770W")),
}
ARCSEC2 = (np.pi / 648_000) ** 2


def card(camera="NIRCam_short", *, bands=None, options=None, **changes):
    prefix = "miri" if camera == "MIRI" else "nircam"
    own = tuple(f"{prefix}-{name.lower()}" for name in CAMERAS[camera][1])
    calibration = {
        "unit": "MJy/sr",
        "pixel_scale_from": "wcs",
        "mask": "none",
        "already_dimmed": True,
    }
    options = {"camera": camera, "cosmology": "Planck15"} if options is None else options
    return make_card("omega", bands or own, calibration | changes, options=options)


def pixels(seed, camera="NIRCam_short"):
    """Return what is written [MJy/sr]."""
    return (0.02 * planes(seed, len(CAMERAS[camera][1]), (21, 21))).astype(np.float32)


def magnitudes(seed, camera="NIRCam_short"):
    """Return the total AB magnitudes by hand: 1 MJy/sr is 1e6 Jy per steradian."""
    janskys = pixels(seed, camera).sum((1, 2), dtype=float) * 1e6
    return 8.90 - 2.5 * np.log10(janskys * CAMERAS[camera][0] ** 2 * ARCSEC2)


def write(folder, seed, *, camera="NIRCam_short", name=None, cube=None, keys=None):
    """Write one view of galaxy `seed`."""
    folder.mkdir(parents=True, exist_ok=True)
    scale, filters = CAMERAS[camera]
    hdu = fits.PrimaryHDU((pixels(seed, camera) if cube is None else cube).astype(">f4"))
    header = hdu.header
    header["DATE"], header["ORIGIN"] = "2021-08-14T01:58:20", "SKIRT simulation"
    header["TARGET"], header["REDSHIFT"] = 188916 + seed, 3
    header["AZIMUTH"], header["INCLIN"] = 0, 0
    for i, (label, total) in enumerate(zip(filters, magnitudes(seed, camera), strict=True)):
        header[f"EXT{i + 1}"] = (label, f"Filter of extension {i + 1}")
        header[f"MAG{i + 1}"] = (total + 0.015, f"AB magnitude {label}")
    header["RA"], header["DEC"], header["EQUINOX"] = 214.8776542, 52.8556111, 2000.0
    header["BUNIT"], header["UNITS"] = "MJy / sr", "MJy / sr"
    for axis, kind, sign in ((1, "RA---TAN", -1), (2, "DEC--TAN", 1)):
        header[f"CRPIX{axis}"], header[f"CRVAL{axis}"] = 11.0, (214.8776542, 52.8556111)[axis - 1]
        header[f"CDELT{axis}"], header[f"CTYPE{axis}"] = sign * scale / 3600, kind
        header[f"CUNIT{axis}"] = "deg"
    for key, value in (keys or {}).items():
        if value is None:
            del header[key]
        else:
            header[key] = value
    path = folder / (name or f"{188916 + seed}_i0_a0_z3_{camera}.fits")
    hdu.writeto(path, overwrite=True)
    return path
