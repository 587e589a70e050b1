"""SUNRISE ``broadband_<id>.fits``: cameras, a table of filters, absolute magnitudes."""

import numpy as np
from astropy.io import fits

from tests.data.golden.scene import make_card, planes

BANDS = ("sdss-g", "sdss-r")
NAMES = ("u_SDSS.res", "g_SDSS.res", "r_SDSS.res")
#: [m]
EFFECTIVE = np.array([3.56e-7, 4.72e-7, 6.19e-7])
FIELD, CAMERA_DISTANCE, SIDE = 120.0, 50_000.0, 24
PARSEC, LIGHT_SPEED = 3.0856775814913673e16, 299_792_458.0


def card(*, options=None, **changes):
    calibration = {
        "unit": "W/m/m2/sr",
        "pixel_scale_from": "adapter",
        "mask": "none",
        "already_dimmed": False,
    }
    options = {"cameras": [0]} if options is None else options
    return make_card(
        "sunrise", BANDS, calibration | changes, options=options, view={"views_per_object": 2}
    )


def pixels(seed, camera):
    """Return what is written [W/m/m2/sr]."""
    return (1e-2 * planes(10 * seed + camera, 3, (SIDE, SIDE))).astype(np.float32)


def magnitudes(seed, camera):
    """Return absolute AB magnitudes by hand: the light of all pixels at 10 pc."""
    area = (FIELD / SIDE * 1e3 * PARSEC) ** 2 / (10 * PARSEC) ** 2
    per_metre = pixels(seed, camera).sum((1, 2), dtype=float) * area
    return -2.5 * np.log10(per_metre * EFFECTIVE**2 / LIGHT_SPEED / 3.6308e-23)


def write(folder, seed, *, name=None, cameras=(0, 1), magnitude_error=0.0, redshift=0.0):
    """Write galaxy `seed`."""
    folder.mkdir(parents=True, exist_ok=True)
    broadband = fits.ImageHDU(name="BROADBAND")
    broadband.header["REDSHIFT"] = redshift
    # Equivalent widths whose ratio is that of the effective wavelengths.
    width = np.full(3, 1e-7)
    columns = [
        fits.Column(name="filter", format="20A", array=np.array(NAMES)),
        fits.Column(name="lambda_eff", format="D", array=EFFECTIVE),
        fits.Column(name="ewidth_lambda", format="D", array=width),
        fits.Column(name="ewidth_nu", format="D", array=width * LIGHT_SPEED / EFFECTIVE**2),
    ]
    units = [fits.PrimaryHDU(), broadband]
    for camera in cameras:
        image = fits.ImageHDU(
            pixels(seed, camera).astype(">f4"), name=f"CAMERA{camera}-BROADBAND-NONSCATTER"
        )
        image.header["IMUNIT"] = "W/m/m^2/sr"
        image.header["CD1_1"] = FIELD / SIDE
        parameters = fits.ImageHDU(name=f"CAMERA{camera}-PARAMETERS")
        parameters.header["HIERARCH linear_fov"] = FIELD
        parameters.header["HIERARCH cameradist"] = CAMERA_DISTANCE
        auxiliary = fits.ImageHDU(np.ones((2, SIDE, SIDE), ">f4"), name=f"CAMERA{camera}-AUX")
        units += [parameters, image, auxiliary]
        total = magnitudes(seed, camera) + magnitude_error
        columns.append(fits.Column(name=f"AB_mag_nonscatter{camera}", format="D", array=total))
    units.append(fits.BinTableHDU.from_columns(columns, name="FILTERS"))
    path = folder / (name or f"broadband_{seed}.fits")
    fits.HDUList(units).writeto(path, overwrite=True)
    return path
