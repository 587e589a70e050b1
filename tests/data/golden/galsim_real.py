"""A RealGalaxy catalogue: images and PSFs in many HDUs, a table that says which is whose."""

import numpy as np
from astropy.io import fits

from tests.data.golden.scene import make_card, planes

BANDS = ("acs-f814w",)
ZERO_POINT, PIXEL_SCALE = 25.94, 0.03
VARIANCE = 4.25e-6
CATALOGUE = "real_galaxy_catalog_golden.fits"
#: (y, x) of the two galaxies of a file.
SIZES = ((20, 24), (32, 18))


def card(*, options=None, **changes):
    calibration = {
        "unit": "counts/s",
        "zero_point": ZERO_POINT,
        "zero_point_source": "of the test",
        "pixel_scale_from": "adapter",
        "mask": "none",
        "already_dimmed": True,
    }
    options = {
        "catalogue": CATALOGUE, "tables": [CATALOGUE.replace(".fits", "_fits.fits")],
        "filters": {"acs-f814w": "F814W"},
    } | (options or {})  # fmt: skip
    view = {"geometry": "sky", "rendition": "survey"}
    return make_card("galsim_real", BANDS, calibration | changes, options=options, view=view)


def pixels(seed, which):
    """Return what is written [counts/s] of one of the galaxies of a file."""
    return planes(seed + which, 1, SIZES[which])[0]


def kernel(seed):
    """Return a PSF of 11 x 7 pixels that does not sum to 1."""
    y, x = np.mgrid[:11, :7]
    return 3.0 * np.exp(-0.5 * (((y - 5) / (1.5 + 0.01 * (seed % 7))) ** 2 + ((x - 3) / 1.2) ** 2))


def write(folder, seed):
    """Write the files of two galaxies and bring the catalogue up to date; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [pixels(seed, which).astype(">f8") for which in (0, 1)]
    psfs = [kernel(seed).astype(">f4")] * 2
    paths = []
    for kind, arrays in (("images", images), ("PSF_images", psfs)):
        path = folder / f"real_galaxy_{kind}_{seed:04d}.fits"
        first, second = arrays
        fits.HDUList([fits.PrimaryHDU(first), fits.ImageHDU(second)]).writeto(path, overwrite=True)
        paths.append(path)
    write_catalogue(folder)
    return paths


def write_catalogue(folder, **changes):
    """Write both tables for the image files that are there; `changes` replace columns."""
    seeds = sorted(int(p.stem[-4:]) for p in folder.glob("real_galaxy_images_*.fits"))
    rows = [(seed, which) for seed in seeds for which in (0, 1)]
    idents = np.array([1000 * seed + which for seed, which in rows], dtype=np.int32)
    flux = np.array([pixels(*row).sum() for row in rows])
    columns = {
        "IDENT": idents,
        "RA": 150.0 + 0.01 * np.arange(len(rows)),
        "DEC": 2.0 + 0.01 * np.arange(len(rows)),
        "MAG": ZERO_POINT - 2.5 * np.log10(flux),
        "BAND": np.array(["F814W"] * len(rows)),
        "WEIGHT": np.ones(len(rows)),
        "GAL_FILENAME": np.array([f"real_galaxy_images_{seed:04d}.fits" for seed, _ in rows]),
        "PSF_FILENAME": np.array([f"real_galaxy_PSF_images_{seed:04d}.fits" for seed, _ in rows]),
        "GAL_HDU": np.array([which for _, which in rows], dtype=np.int32),
        "PSF_HDU": np.array([which for _, which in rows], dtype=np.int32),
        # Single precision, as in the public catalogue.
        "PIXEL_SCALE": np.full(len(rows), np.float32(PIXEL_SCALE), dtype=np.float64),
        "NOISE_MEAN": np.zeros(len(rows)),
        "NOISE_VARIANCE": np.full(len(rows), VARIANCE),
        "NOISE_FILENAME": np.array(["acs_I_unrot_sci_20_cf.fits"] * len(rows)),
        "stamp_flux": flux,
    } | changes
    _table(columns).writeto(folder / CATALOGUE, overwrite=True)
    further = {"IDENT": idents[::-1], "zphot": 0.001 * idents[::-1], "hlr": np.ones((len(rows), 3))}
    _table(further).writeto(folder / CATALOGUE.replace(".fits", "_fits.fits"), overwrite=True)


def _table(columns):
    formats = {"i": "J", "f": "D"}
    made = []
    for name, values in columns.items():
        kind = values.dtype.kind
        size = values.shape[1] if values.ndim == 2 else ""
        form = f"{max(len(v) for v in values)}A" if kind == "U" else f"{size}{formats[kind]}"
        made.append(fits.Column(name=name, format=form, array=values))
    return fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(made)])
