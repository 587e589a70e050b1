"""One HEALPix cell of the Multimodal Universe; HSC has a mask per band, Legacy one for all."""

import h5py
import numpy as np

from tests.data.golden.scene import SIZE, make_card, planes

BANDS = ("hsc-g", "hsc-i")
PIXEL_SCALE = 0.168
FWHM = (0.79, 0.62)
INVERSE_VARIANCE = 2500.0
ROWS = 2


def card(*, options=None, **changes):
    calibration = {
        "unit": "counts",
        "zero_point": 27.0,
        "zero_point_source": "of the coadds",
        "pixel_scale_from": "adapter",
        "mask": "good",
        "already_dimmed": True,
    }
    view = {"geometry": "sky", "rendition": "survey"}
    files = {"pattern": "**/*.hdf5"}
    return make_card(
        "multimodal_universe",
        BANDS,
        calibration | changes,
        options=options or {},
        view=view,
        files=files,
    )


def pixels(seed, row):
    """Return what is written [counts] of one object, planes g, r and i."""
    return planes(10 * seed + row, 3)


def good(row):
    """Return where a pixel may be used: all but one."""
    usable = np.ones((3, *SIZE), bool)
    usable[:, 4, row] = False
    return usable


def write(folder, seed, *, order=(0, 1, 2), images="image_array", layout="hsc", changes=None):
    """Write a cell with two objects; `changes` replace datasets or, being None, drop them."""
    path = folder / f"healpix={seed}" / "001-of-001.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [b"hsc-g", b"hsc-r", b"hsc-i"]
    order, rows = list(order), range(ROWS)
    mask = np.stack([good(row)[order] for row in rows])
    datasets = {
        "object_id": np.array([f"{seed}{row:04d}".encode() for row in rows]),
        "healpix": np.full(ROWS, seed),
        "ra": 150.0 + np.arange(ROWS),
        "dec": np.array([2.0, np.nan]),
        "image_band": np.array([[names[i] for i in order]] * ROWS),
        images: np.stack([pixels(seed, row)[order] for row in rows]).astype("<f4"),
        "image_ivar": np.full((ROWS, 3, *SIZE), INVERSE_VARIANCE, "<f4"),
        "image_mask": mask if layout == "hsc" else mask[:, 0],
        "image_psf_fwhm": np.array([[(FWHM[0], 0.7, FWHM[1])[i] for i in order]] * ROWS, "<f4"),
        "image_scale": np.full((ROWS, 3), PIXEL_SCALE, "<f4"),
    } | (changes or {})
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            if values is not None:
                packed = {"compression": "gzip"} if np.ndim(values) > 2 else {}
                file.create_dataset(name, data=values, **packed)
    return path
