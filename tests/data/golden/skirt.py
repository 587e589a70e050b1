"""Cubes of SKIRT 9 instruments: old and new headers, any unit, wavelength axis either way."""

import numpy as np
from astropy.io import fits

from tests.data.golden.scene import SIZE, make_card, planes

BANDS = ("sdss-g", "sdss-r")
DISTANCE = 10.0
PIXEL_SCALE = 0.5
#: [Angstrom]
WAVELENGTHS = np.linspace(3500, 7500, 61)


def card(bands=BANDS, *, options=None, view=None, **changes):
    calibration = {
        "unit": "header",
        "pixel_scale_from": "adapter",
        "mask": "none",
        "already_dimmed": False,
        "distance": DISTANCE,
    }
    calibration = {k: v for k, v in (calibration | changes).items() if v is not None}
    return make_card("skirt", bands, calibration, options=options, view=view)


def light(seed):
    """Return a picture [MJy/sr] that every plane shows: a spectrum flat in f_nu."""
    return planes(seed, 1)[0]


def write(
    folder, seed, *, name=None, cube=None, unit="MJy/sr", axis=None, axis_unit="micron", keys=None,
    new=True, table=True
):  # fmt: skip
    """Write instrument `seed`; `axis` are the values of the third axis in `axis_unit`."""
    folder.mkdir(parents=True, exist_ok=True)
    axis = WAVELENGTHS / 1e4 if axis is None else np.asarray(axis)
    cube = np.repeat(light(seed)[None], len(axis), axis=0) if cube is None else cube
    hdu = fits.PrimaryHDU(cube.astype(">f4"))
    header = hdu.header
    header["BSCALE"], header["BZERO"] = 1.0, 0.0
    header["DATE"], header["ORIGIN"] = "2024-06-01T00:00:00", "SKIRT simulation"
    header["BUNIT"] = (unit, "Physical unit of the array values")
    for i, side in ((1, SIZE[1]), (2, SIZE[0])):
        header[f"CRPIX{i}"], header[f"CRVAL{i}"] = (side + 1) / 2, 0.0
        header[f"CDELT{i}"], header[f"CUNIT{i}"] = PIXEL_SCALE, "arcsec"
        header[f"CTYPE{i}"] = " "
    header["CUNIT3"] = axis_unit
    if new:
        header["CROTA1"], header["CROTA2"], header["CROTA3"] = 88.0, 30.0, 45.0
        header["REDSHIFT"], header["DISTUNIT"] = 0.0, "Mpc"
        header["DISTLUMI"], header["DISTANGD"] = DISTANCE, DISTANCE
    for key, value in (keys or {}).items():
        if value is None:
            del header[key]
        else:
            header[key] = value
    units = [hdu]
    if table:
        points = fits.Column(name="GRID_POINTS", format="E16.9", unit=axis_unit, array=axis)
        units.append(fits.TableHDU.from_columns([points], name="Z-axis coordinate values"))
    path = folder / (name or f"gal{seed}_i88_total.fits")
    fits.HDUList(units).writeto(path, overwrite=True)
    return path
