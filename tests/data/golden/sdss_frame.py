"""SDSS frames, small ones: nanomaggies, calibration vector, sky and astrometry, and a table."""

import numpy as np
from astropy.io import fits

from tests.data.golden.scene import make_card

BANDS = ("sdss-g", "sdss-r")
PIXEL_SCALE, SIZE, WIDTH = 0.396, (60, 80), 21
NOISE = {"g": 0.02, "r": 0.03}
#: (y, x) of the galaxy on the frame of each band: bands are shifted against each other.
PLACES = {"g": (30, 40), "r": (28, 43)}
COLUMNS = ("name", "ra", "dec", "field")


def card(*, options=None, files=None, **changes):
    calibration = {
        "unit": "nanomaggy",
        "pixel_scale_from": "wcs",
        "mask": "none",
        "already_dimmed": True,
    }
    options = {"path": "frame-{filter}-{id}.fits.bz2", "width": WIDTH} | (options or {})
    files = {"table": "files/galaxies.csv", "join": "name", "pattern": "*.bz2"} | (files or {})
    view = {"geometry": "sky", "rendition": "survey"}
    return make_card(
        "sdss_frame", BANDS, calibration | changes, options=options, view=view, files=files
    )


def position(seed):
    """Return where the galaxy of a field is [deg]."""
    return 150.0 + 0.2 * (seed % 97), 2.0 + 0.1 * (seed // 97)


def frame(seed, band):
    """Return what is written [nanomaggy]: sky noise and one galaxy."""
    rng = np.random.default_rng([seed, "gr".index(band)])
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    cy, cx = PLACES[band]
    galaxy = 5.0 * np.exp(-0.5 * (((y - cy) / 2.0) ** 2 + ((x - cx) / 3.0) ** 2))
    return galaxy + rng.normal(0.0, NOISE[band], SIZE)


def write(folder, seed, *, bands="gr"):
    """Write the frames of one field and bring the table up to date; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for band in "gr":
        if band not in bands:
            continue
        hdu = fits.PrimaryHDU(frame(seed, band).astype(">f4"))
        header = hdu.header
        header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
        header["CRVAL1"], header["CRVAL2"] = position(seed)
        # FITS counts from 1, and the frames have declination along x.
        header["CRPIX1"], header["CRPIX2"] = PLACES[band][1] + 1.0, PLACES[band][0] + 1.0
        header["CD1_1"], header["CD1_2"] = 0.0, PIXEL_SCALE / 3600
        header["CD2_1"], header["CD2_2"] = PIXEL_SCALE / 3600, 0.0
        header["BUNIT"] = "nanomaggy"
        vector = fits.ImageHDU(np.full(SIZE[1], 0.005, ">f4"))
        sky = fits.BinTableHDU.from_columns(
            [fits.Column(name="ALLSKY", format="12E", dim="(4,3)", array=np.ones((1, 3, 4)))]
        )
        path = folder / f"frame-{band}-{seed:06d}-1-0001.fits.bz2"
        fits.HDUList([hdu, vector, sky]).writeto(path, overwrite=True)
        paths.append(path)
    write_table(folder)
    return paths


def write_table(folder, extra=()):
    """Write a row for every field that has frames here, and `extra` rows."""
    fields = sorted({p.name.partition("-")[2][2:].split(".")[0] for p in folder.glob("*.bz2")})
    rows = [COLUMNS]
    for field in fields:
        ra, dec = position(int(field[:6]))
        rows.append((f"J{field[:6]}", repr(ra), repr(dec), field))
    text = "\n".join(",".join(map(str, row)) for row in (*rows, *extra))
    (folder / "galaxies.csv").write_text(text + "\n")
