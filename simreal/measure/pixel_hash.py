"""Hashes of decoded pixels: whether two images are the same picture, whatever they are called."""

import hashlib

import numpy as np

from simreal.core.arrays import StrArray
from simreal.core.images import ImageSource

#: 64 bits: among a million images two different ones collide with a chance of 3e-8.
LENGTH = 16

_BLOCK = 256


def pixel_digests(source: ImageSource) -> list[str]:
    """Return the sha256 of every image's float32 pixels, streamed.

    Parameters
    ----------
    source : ImageSource
        In memory or on the store; the same pixels give the same hash on either.
    """
    found: list[str] = []
    n = source.shape[0]
    for start in range(0, n, _BLOCK):
        block = np.ascontiguousarray(source.read(slice(start, min(start + _BLOCK, n))), "<f4")
        found.extend(hashlib.sha256(image.data).hexdigest() for image in block)
    return found


def pixel_hashes(source: ImageSource) -> StrArray:
    """Return the first 16 hex digits of every image's `pixel_digests`, array ``(n,)``.

    Examples
    --------
    >>> from simreal.core.images import ArraySource
    >>> images = np.zeros((3, 1, 2, 2))
    >>> images[1] = 0.5
    >>> first, second, third = pixel_hashes(ArraySource(images))
    >>> bool(first == third), bool(first == second), len(first)
    (True, False, 16)
    """
    return np.array([digest[:LENGTH] for digest in pixel_digests(source)], dtype=f"U{LENGTH}")
