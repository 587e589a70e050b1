"""HDF5 of no known convention: bands last, ids as text, units in an attribute."""

import h5py
import numpy as np

from tests.data.golden.scene import SIZE, make_card, planes

BANDS = ("lsst-g", "lsst-r")
ROWS = 2


def card(*, options=None, **changes):
    calibration = {
        "unit": "header",
        "pixel_scale_from": "header arcsec_per_pixel",
        "mask": "bad",
        "already_dimmed": True,
    }
    options = {
        "images": "stamps/flux", "axes": "object y x band", "planes": ["r", "g"],
        "filters": {"lsst-g": "g", "lsst-r": "r"}, "ids": "stamps/name", "mask": "stamps/flag",
        "group_pattern": r"(halo\d+)",
    } | (options or {})  # fmt: skip
    return make_card("hdf5_keys", BANDS, calibration | changes, options=options)


def pixels(seed, row):
    """Return what is written [nJy] of one object, bands g and r."""
    return planes(10 * seed + row, 2)


def write(folder, seed, *, dtype=">f4", changes=None, group=None):
    """Write a file with two views of one halo; `changes` replace datasets or drop them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"stamps_{seed}.h5"
    flag = np.zeros((ROWS, *SIZE), np.uint8)
    flag[:, 2, 3] = 7
    stack = np.stack([pixels(seed, row)[::-1] for row in range(ROWS)])
    datasets = {
        "flux": np.moveaxis(stack, 1, -1).astype(dtype),
        "flag": flag,
        "name": np.array([f"halo{seed}_view{row}" for row in range(ROWS)], dtype=object),
        "stellar_mass": np.array([1e10 + seed, np.nan]),
        "arcsec_per_pixel": np.array([0.2, 0.2]),
    } | (changes or {})
    with h5py.File(path, "w") as file:
        inside = file.create_group("stamps")
        for name, values in datasets.items():
            if values is None:
                continue
            text = {"dtype": h5py.string_dtype()} if np.asarray(values).dtype == object else {}
            node = inside.create_dataset(name, data=values, **text)
            if name == "flux":
                node.attrs["unit"] = "nJy"
                node.attrs["arcsec_per_pixel"] = 0.2
    return path
