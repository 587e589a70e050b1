"""Take the neighbours out of calibrated stamps, where one side has none of its own.

Only what lies clear of the galaxy: an arm, a knot or a merging companion is part of what is
compared, and a hole where it was would be worse than a neighbour.
"""

import numpy as np
from scipy import ndimage

from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.match.flux.measure import DETECTION_RMS, detection_images
from simreal.measure.sources import detect

#: [pixel] Segments of neighbours are grown by this: their light fades into the sky.
GROWTH = 2
#: Sources whose centre is nearer than this many radii of 90 % of the light belong to the galaxy.
CLEAR = 1.5


def neighbour_mask(stamps: Float32Array, noise: Float64Array, radius90: Float64Array) -> BoolArray:
    """Return where sources lie that are clear of the central one ``(n, y, x)``.

    Parameters
    ----------
    stamps : array (n, band, y, x)
    noise : array (n, band)
        Sky rms.
    radius90 : array (n,)
        [pixel] Of the central source.
    """
    out = np.zeros((len(stamps), *stamps.shape[-2:]), np.bool_)
    disk = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), GROWTH)
    for k, image in enumerate(detection_images(stamps, noise)[:, 0]):
        found = detect(image, DETECTION_RMS)
        if found.central is None:
            continue
        middle = found.sources[found.central]
        apart = np.hypot(found.sources["x"] - middle["x"], found.sources["y"] - middle["y"])
        far = np.flatnonzero(apart > CLEAR * radius90[k]) + 1
        others = np.isin(found.segments, far[far != found.central + 1])
        if others.any():
            grown = ndimage.binary_dilation(others, disk)
            out[k] = grown & (found.segments != found.central + 1)
    return out


def filled(stamps: Float32Array, where: BoolArray, noise: Float32Array) -> Float32Array:
    """Return stamps ``(n, band, y, x)`` whose pixels in `where` ``(n, y, x)`` show `noise`."""
    return np.asarray(np.where(where[:, None], noise, stamps), dtype=np.float32)
