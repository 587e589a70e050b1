"""Arrays of images saved by numpy, a mask beside each, numbered rows."""

import numpy as np

from tests.data.golden.scene import SIZE, make_card, planes

BANDS = ("lsst-g", "lsst-r", "lsst-i")
ROWS = 2


def card(*, options=None, files=None, **changes):
    calibration = {
        "unit": "AB mag",
        "pixel_scale": 0.2,
        "mask": "bad",
        "already_dimmed": True,
    }
    options = {
        "axes": "object band y x", "planes": ["i", "r", "g"], "mask": "{name}_mask.npy",
        "filters": {"lsst-g": "g", "lsst-r": "r", "lsst-i": "i"}, "exclude": ["*_mask.npy"],
    } | (options or {})  # fmt: skip
    return make_card("npy_table", BANDS, calibration | changes, options=options, files=files)


def pixels(seed, row):
    """Return the light [nJy] of one object, bands g, r and i."""
    return planes(10 * seed + row, 3)


def write(folder, seed, *, dtype=">f8"):
    """Write an array of AB magnitudes per pixel of two objects, and its mask."""
    folder.mkdir(parents=True, exist_ok=True)
    light = np.stack([pixels(seed, row)[::-1] for row in range(ROWS)])
    path = folder / f"maps_{seed}.npy"
    np.save(path, (31.4 - 2.5 * np.log10(light)).astype(dtype))
    mask = np.zeros((ROWS, *SIZE), bool)
    mask[:, 1, 2] = True
    np.save(folder / f"maps_{seed}_mask.npy", mask)
    return [path, folder / f"maps_{seed}_mask.npy"]
