"""Take the neighbours out of calibrated stamps, on both sides alike."""

import numpy as np
from scipy import ndimage

from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.match.flux.measure import DETECTION_RMS, detection_images
from simreal.measure.sources import detect

#: [pixel] Segments of neighbours are grown by this: their light fades into the sky.
GROWTH = 2


def neighbour_mask(stamps: Float32Array, noise: Float64Array) -> BoolArray:
    """Return where sources other than the central one lie ``(n, y, x)``.

    Parameters
    ----------
    stamps : array (n, band, y, x)
    noise : array (n, band)
        Sky rms.
    """
    out = np.zeros((len(stamps), *stamps.shape[-2:]), np.bool_)
    disk = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), GROWTH)
    for k, image in enumerate(detection_images(stamps, noise)[:, 0]):
        found = detect(image, DETECTION_RMS)
        if found.central is None:
            continue
        others = (found.segments > 0) & (found.segments != found.central + 1)
        if others.any():
            grown = ndimage.binary_dilation(others, disk)
            out[k] = grown & (found.segments != found.central + 1)
    return out


def filled(stamps: Float32Array, where: BoolArray, noise: Float32Array) -> Float32Array:
    """Return stamps ``(n, band, y, x)`` whose pixels in `where` ``(n, y, x)`` show `noise`."""
    return np.asarray(np.where(where[:, None], noise, stamps), dtype=np.float32)
