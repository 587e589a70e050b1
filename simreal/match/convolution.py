"""Convolve whole chunks of images with stamps of kernels, one per set, image or band.

Everything goes through real FFTs in blocks that fit a processor's cache. Light is neither made
nor lost inside the field, and missing pixels are left out of the sums and of the weights.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import scipy.fft

from simreal.core.arrays import AnyArray, BoolArray, Float64Array
from simreal.core.errors import UsageError

Edges = Literal["reflect", "zero", "wrap"]
#: Ways to extend a field, and numpy's name of each. A mirror at the outer face of the last pixel
#: gives back to the frame exactly what a symmetric kernel takes out of it.
EDGES: dict[Edges, Literal["symmetric", "constant", "wrap"]] = {
    "reflect": "symmetric",
    "zero": "constant",
    "wrap": "wrap",
}
#: A pixel whose kernel sees less than this share of good pixels is missing afterwards.
LEAST_WEIGHT = 0.5
#: Padded pixels that are transformed at once.
BLOCK_PIXELS = 1 << 18
#: Kernels whose halves differ by less than this, as a fraction of their peak, are even.
EVEN = 1e-9


def convolve_each(
    images: AnyArray,
    kernels: AnyArray,
    *,
    edges: Edges = "reflect",
    mask: BoolArray | None = None,
) -> AnyArray:
    """Convolve images, each with its own kernel or all with one.

    Parameters
    ----------
    images : array (n, band, y, x)
        float32 or float64; the result has the same type.
    kernels : array (n or 1, band or 1, k, k)
        Odd-sided, centred. A kernel that sums to one conserves flux: exactly with
        ``edges="reflect"`` if it is symmetric and with ``"wrap"`` always, except for what
        leaves the field with ``"zero"``.
    edges : {"reflect", "zero", "wrap"}
        What lies beyond the field. ``wrap`` for noise on a periodic grid.
    mask : array of bool (n, band, y, x), optional
        True where a pixel must not be used. The others are averaged with the weights of the
        kernel that fall on good pixels; pixels missing before or afterwards
        (`convolve_masked` says which) are 0.

    Returns
    -------
    array (n, band, y, x)

    Raises
    ------
    UsageError
        If shapes do not fit.

    Examples
    --------
    >>> point = np.zeros((1, 1, 9, 9), "f4"); point[0, 0, 4, 4] = 1
    >>> out = convolve_each(point, np.full((1, 1, 3, 3), 1 / 9))
    >>> round(float(out.sum()), 6), round(float(out.max()), 4)
    (1.0, 0.1111)
    """
    if mask is not None and mask.any():
        return convolve_masked(images, kernels, mask=mask, edges=edges)[0]
    return _convolved(images, kernels, edges)


def convolve_masked(
    images: AnyArray,
    kernels: AnyArray,
    *,
    mask: BoolArray,
    edges: Edges = "reflect",
    least_weight: float = LEAST_WEIGHT,
) -> tuple[AnyArray, BoolArray]:
    """Convolve images with missing pixels; return them and what is missing afterwards.

    Normalised convolution (Knutsson & Westin 1993): the kernel's weight that falls on missing
    pixels is shared out among the good ones. A constant image stays constant.

    Parameters
    ----------
    images, kernels, edges
        As in `convolve_each`.
    mask : array of bool (n, band, y, x)
        True where a pixel must not be used.
    least_weight : float
        Pixels are missing afterwards if they were before, or if less than this share of
        their kernel falls on good pixels.

    Returns
    -------
    images : array (n, band, y, x)
        0 where missing.
    mask : array of bool (n, band, y, x)

    Examples
    --------
    >>> hole = np.zeros((1, 1, 9, 9), bool); hole[0, 0, 4, 4] = True
    >>> flat = np.where(hole, 0, 5).astype("f4")
    >>> out, missing = convolve_masked(flat, np.full((1, 1, 3, 3), 1 / 9), mask=hole)
    >>> bool(np.allclose(out[~missing], 5)), int(missing.sum())
    (True, 1)
    """
    if mask.shape != images.shape:
        raise UsageError(f"mask: got shape {mask.shape} for images of shape {images.shape}")
    good = np.where(mask, images.dtype.type(0), images)
    smooth = _convolved(good, kernels, edges)
    touched = np.flatnonzero(mask.any(axis=(1, 2, 3)))
    missing = mask.copy()
    if len(touched) == 0:
        return smooth, missing
    own = kernels if len(kernels) == 1 else kernels[touched]
    total = own.sum(axis=(2, 3))[..., None, None]
    # Negative lobes of a matching kernel count with their size: a weight is never negative.
    weight = _convolved((~mask[touched]).astype(images.dtype), np.abs(own), edges)
    weight /= np.abs(own).sum(axis=(2, 3))[..., None, None].astype(images.dtype)
    signed = weight
    if (own < 0).any():
        signed = _convolved((~mask[touched]).astype(images.dtype), own / total, edges)
    bad = mask[touched] | (weight < least_weight) | (signed < least_weight / 2)
    missing[touched] = bad
    smooth[touched] = np.where(bad, 0, smooth[touched] / np.where(bad, 1, signed))
    return smooth, missing


def _convolved(images: AnyArray, kernels: AnyArray, edges: Edges) -> AnyArray:
    _check(images, kernels, edges)
    kind = np.dtype(np.float64 if images.dtype == np.float64 else np.float32)
    even = _is_even(kernels)
    if edges == "reflect" and even:
        work: Work = _mirrored
        sides = images.shape[-2:]
    else:
        margin = {"wrap": 0, "zero": 1, "reflect": 2}[edges] * (kernels.shape[-1] // 2)
        work = _extended_work(edges)
        lengths = (scipy.fft.next_fast_len(n + margin, real=True) for n in images.shape[-2:])
        sides = images.shape[-2:] if edges == "wrap" else tuple(lengths)
    out = np.empty(images.shape, dtype=kind)
    how = {"mirrored": work is _mirrored, "even": even}
    shared = _transfer(kernels, sides, kind, **how) if len(kernels) == 1 else None
    step = max(1, BLOCK_PIXELS // (images.shape[1] * sides[0] * sides[1]))
    for start in range(0, len(images), step):
        rows = slice(start, start + step)
        transfer = shared
        if transfer is None:
            transfer = _transfer(kernels[rows], sides, kind, **how)
        block = images[rows].astype(kind, copy=False)
        out[rows] = work(block, transfer, sides, kernels.shape[-1] // 2)
    return out


Work = Callable[[AnyArray, AnyArray, tuple[int, ...], int], AnyArray]


def _mirrored(block: AnyArray, transfer: AnyArray, sides: tuple[int, ...], half: int) -> AnyArray:
    """Convolve with an even kernel and mirrors at the edges: cosines alone, without a margin."""
    del sides, half
    waves = scipy.fft.dctn(block, axes=(-2, -1))
    waves *= transfer
    return np.asarray(scipy.fft.idctn(waves, axes=(-2, -1), overwrite_x=True))


def _extended_work(edges: Edges) -> Work:
    def work(block: AnyArray, transfer: AnyArray, sides: tuple[int, ...], half: int) -> AnyArray:
        height, width = block.shape[-2:]
        if edges == "reflect":
            block, first = extended(block, half), half
        else:
            # Zeros need a margin on one side only, which the other side's light runs into.
            first = 0
        # Axis by axis: rows of nothing but zeros are not transformed, nor those cut off again.
        waves = scipy.fft.rfft(block, sides[1], axis=-1)
        waves = scipy.fft.fft(waves, sides[0], axis=-2, overwrite_x=True)
        waves *= transfer
        waves = scipy.fft.ifft(waves, axis=-2, overwrite_x=True)[..., first : first + height, :]
        smooth = scipy.fft.irfft(waves, sides[1], axis=-1)
        return np.asarray(smooth[..., first : first + width])

    return work


def _is_even(kernels: AnyArray) -> bool:
    """Return whether kernels are mirror images of themselves along both axes, to rounding."""
    least = EVEN * np.abs(kernels).max(initial=0.0)
    return all(bool(np.abs(kernels - np.flip(kernels, axis)).max() <= least) for axis in (2, 3))


def extended(images: AnyArray, margin: int, edges: Edges = "reflect") -> AnyArray:
    """Return images with a margin all around, filled as `edges` says.

    Examples
    --------
    >>> extended(np.array([[[[1.0, 2.0]]]]), 1)[0, 0, 0].tolist()
    [1.0, 1.0, 2.0, 2.0]
    """
    margins = ((0, 0), (0, 0), (margin, margin), (margin, margin))
    return np.pad(images, margins, mode=EDGES[edges])


def _transfer(
    kernels: AnyArray, sides: tuple[int, ...], kind: np.dtype[Any], *, mirrored: bool, even: bool
) -> AnyArray:
    """Return the transforms of centred kernels at the frequencies of a grid.

    Kernels are small: two products with small matrices are quicker than the transform of a
    padded stamp, and for even kernels cosines are enough.
    """
    half = kernels.shape[-1] // 2
    if mirrored:
        turns: list[AnyArray] = [np.arange(n) / (2 * n) for n in sides]
    else:
        turns = [np.fft.fftfreq(sides[0]), np.fft.rfftfreq(sides[1])]
    if even:
        part = kernels[..., half:, half:].astype(kind)
        offset = np.arange(half + 1)
        weight = np.where(offset == 0, 1.0, 2.0)
        down, across = (
            (weight * np.cos(2 * np.pi * t[:, None] * offset)).astype(kind) for t in turns
        )
    else:
        part = kernels.astype(kind)
        offset = np.arange(-half, half + 1)
        complex_kind = np.result_type(kind, np.complex64)
        down, across = (
            np.exp(-2j * np.pi * t[:, None] * offset).astype(complex_kind) for t in turns
        )
    return np.asarray(down @ (part @ across.T))


def _check(images: AnyArray, kernels: AnyArray, edges: Edges) -> None:
    if images.ndim != 4 or kernels.ndim != 4:
        raise UsageError(
            f"convolution: got images {images.shape} and kernels {kernels.shape}, allowed are "
            "(n, band, y, x) and (n or 1, band or 1, k, k)"
        )
    fits = all(k in (1, i) for k, i in zip(kernels.shape[:2], images.shape[:2], strict=True))
    if not fits or kernels.shape[2] != kernels.shape[3] or kernels.shape[2] % 2 == 0:
        raise UsageError(
            f"convolution: got kernels {kernels.shape} for images {images.shape}, allowed is one "
            "square, odd-sided kernel per image or for all, per band or for all"
        )
    if edges not in EDGES:
        raise UsageError(f"edges: got {edges!r}, allowed: {', '.join(EDGES)}")


def white_gain(kernels: AnyArray) -> Float64Array:
    """Return by how much kernels change the rms of white noise, ``sqrt(sum k^2)``.

    Parameters
    ----------
    kernels : array (..., k, k)

    Examples
    --------
    >>> round(float(white_gain(np.full((1, 1, 3, 3), 1 / 9))[0, 0]), 6)
    0.333333
    """
    return np.asarray(np.sqrt((kernels.astype(np.float64) ** 2).sum(axis=(-2, -1))))
