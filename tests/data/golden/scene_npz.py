"""Scenes with a catalogue as users of scarlet keep them."""

import numpy as np

from tests.data.golden.scene import make_card, planes

BANDS = ("hsc-g", "hsc-r")
SIZE, WIDTH = (40, 50), 15
PLACES = ((20.0, 25.0), (12.0, 30.0))
VARIANCE = np.array([1e-4, 4e-4])


def card(*, options=None, **changes):
    calibration = {
        "unit": "counts",
        "zero_point": 27.0,
        "zero_point_source": "of the test",
        "pixel_scale": 0.168,
        "mask": "bits",
        "mask_bits": (0, 1, 8),
        "already_dimmed": True,
    }
    options = {"width": WIDTH} | (options or {})
    view = {"geometry": "sky", "rendition": "survey"}
    return make_card("scene_npz", BANDS, calibration | changes, options=options, view=view)


def pixels(seed):
    """Return what is written [counts], bands g and r."""
    return planes(seed, 2, SIZE)


def write(folder, seed, *, order=(0, 1), changes=None):
    """Write one scene; `changes` replace arrays or, being None, drop them."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:7, :7]
    order = list(order)
    mask = np.zeros((2, *SIZE), np.int32)
    mask[:, 18:22, 20:30] = 1 << 5
    mask[0, 25, 25] |= 1 << 8
    arrays = {
        "images": pixels(seed)[order].astype("<f4"),
        "mask": mask[order],
        "variance": np.broadcast_to(VARIANCE[:, None, None], (2, *SIZE))[order].astype("<f4"),
        "filters": np.array(["g", "r"])[order],
        "psfs": np.stack([np.exp(-0.5 * ((y - 3) ** 2 + (x - 3) ** 2))] * 2),
        "catalog": np.array([(px, py) for py, px in PLACES], dtype=[("x", "f8"), ("y", "f8")]),
    } | (changes or {})
    path = folder / f"scene_{seed}.npz"
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    return path
