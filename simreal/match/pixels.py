"""Resampling by overlapping areas, background removal and re-quantisation."""

import io

import numpy as np

from simreal.core.arrays import AnyArray, BoolArray, Float32Array, Float64Array
from simreal.measure.sky import border_sky

#: A resampled pixel is missing where good pixels cover less than this share of it.
LEAST_COVER = 0.5


def overlap_matrix(
    n_in: int, centre: Float64Array, width: Float64Array, n_out: int
) -> Float64Array:
    """Return how much of each input pixel falls into each output pixel along one axis.

    Parameters
    ----------
    n_in : int
        Input pixels; pixel j covers [j - 1/2, j + 1/2].
    centre, width : arrays (m,)
        Of the output frame, in input pixels.
    n_out : int
        Output pixels across the frame.

    Returns
    -------
    array (m, n_out, n_in)
        Overlaps in input pixels; a row inside the field sums to ``width / n_out``.

    Examples
    --------
    >>> overlap_matrix(4, np.array([1.5]), np.array([4.0]), 2)[0].tolist()
    [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
    """
    step = width / n_out
    low = (centre - width / 2)[:, None] + step[:, None] * np.arange(n_out)
    high = low + step[:, None]
    pixel = np.arange(n_in)
    right = np.minimum(high[:, :, None], pixel + 0.5)
    left = np.maximum(low[:, :, None], pixel - 0.5)
    return np.asarray(np.maximum(right - left, 0.0))


def resample(
    images: AnyArray,
    *,
    x: Float64Array,
    y: Float64Array,
    width: Float64Array,
    n_out: int,
    conserve: str = "brightness",
) -> AnyArray:
    """Cut a square frame out of each image and resample it by overlapping areas.

    ``A im A^T`` with the overlap matrices of both axes: exact for pixels that are squares,
    conserves flux, shifts by fractions of a pixel without a kernel of its own, and is the
    only interpolation a matched stamp ever sees.

    Parameters
    ----------
    images : array (m, band, y, x)
    x, y, width : arrays (m,)
        Frame centre and full width [input pixel].
    n_out : int
        Output pixels across.
    conserve : {"brightness", "flux"}
        Keep the value per area (display values) or the sum over the frame.

    Returns
    -------
    array (m, band, n_out, n_out)
        In the floating type of `images`.

    Examples
    --------
    >>> image = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> one = np.array([1.5])
    >>> resample(image, x=one, y=one, width=np.array([4.0]), n_out=2)[0, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    # Only the part of the images that any frame of the block touches is multiplied.
    rows = _span(y, width, images.shape[-2])
    columns = _span(x, width, images.shape[-1])
    part = images[:, :, rows, columns]
    down = overlap_matrix(part.shape[-2], y - rows.start, width, n_out)
    across = overlap_matrix(part.shape[-1], x - columns.start, width, n_out)
    if conserve == "brightness":
        down = down * (n_out / width)[:, None, None]
        across = across * (n_out / width)[:, None, None]
    down = down.astype(images.dtype)[:, None]
    across = across.astype(images.dtype)[:, None]
    return np.asarray(down @ part @ across.swapaxes(-1, -2))


def resample_masked(
    images: AnyArray,
    mask: BoolArray,
    *,
    x: Float64Array,
    y: Float64Array,
    width: Float64Array,
    n_out: int,
    conserve: str = "flux",
    least_cover: float = LEAST_COVER,
) -> tuple[AnyArray, BoolArray]:
    """Resample images with missing pixels; return them and what is missing afterwards.

    A new pixel takes the mean brightness of the good pixels under it, as much as its own area
    asks for. It is missing where they cover too little of it, beyond the field for instance.

    Parameters
    ----------
    images, x, y, width, n_out, conserve
        As in `resample`.
    mask : array of bool (m, band, y, x)
        True where a pixel must not be used.
    least_cover : float
        Smallest share of a new pixel's area that good pixels have to cover.

    Returns
    -------
    images : array (m, band, n_out, n_out)
        0 where missing.
    mask : array of bool (m, band, n_out, n_out)

    Examples
    --------
    >>> flat, hole = np.full((1, 1, 4, 4), 3.0), np.zeros((1, 1, 4, 4), bool)
    >>> hole[0, 0, 0, 0] = True
    >>> one = np.array([1.5])
    >>> args = {"x": one, "y": one, "width": np.array([4.0]), "n_out": 2}
    >>> resample_masked(flat, hole, **args)[0][0, 0].tolist()
    [[12.0, 12.0], [12.0, 12.0]]
    """
    frame = {"x": x, "y": y, "width": width}
    good = np.where(mask, images.dtype.type(0), images)
    light = resample(good, **frame, n_out=n_out, conserve="flux")
    area = resample((~mask).astype(images.dtype), **frame, n_out=n_out, conserve="flux")
    whole = ((width / n_out) ** 2)[:, None, None, None].astype(images.dtype)
    missing = area < least_cover * whole
    share = np.where(missing, 1, area)
    if conserve == "flux":
        share = share / whole
    return np.where(missing, 0, light / share).astype(images.dtype), missing


def _span(centre: Float64Array, width: Float64Array, n: int) -> slice:
    low = int(np.floor((centre - width / 2).min()))
    high = int(np.ceil((centre + width / 2).max())) + 1
    return slice(min(max(low, 0), n - 1), max(min(high, n), 1))


def remove_background(images: Float32Array, *, noisy: bool = False) -> Float32Array:
    """Subtract the level of each image's border and cut what falls below zero.

    A simulation's diffuse light fills its field where a survey's pipeline would have called
    it sky and taken it away.

    Parameters
    ----------
    images : array (n, band, y, x)
    noisy : bool
        Whether the images carry noise: then nothing is cut, which would leave the noise with
        a mean above zero.
    """
    level, _ = border_sky(images)
    flat = images - level[..., None, None].astype(np.float32)
    return flat if noisy else np.maximum(flat, np.float32(0))


def requantise(stamps: Float32Array, *, quality: int) -> Float32Array:
    """Return stamps clipped, written as 8-bit JPEG without chroma subsampling and read back.

    Both sides end with the same compression and the same 256 grey levels, whatever files
    they came in.

    Parameters
    ----------
    stamps : array (n, 3, y, x)
        Display values.
    quality : int
        Of the JPEG encoder.

    Examples
    --------
    >>> requantise(np.full((1, 3, 16, 16), 2.0, "f4"), quality=90).max().item()
    1.0
    """
    from PIL import Image

    eight_bit = np.rint(np.clip(stamps, 0.0, 1.0) * 255.0).astype(np.uint8)
    out = np.empty(stamps.shape, dtype=np.uint8)
    for k, planes in enumerate(eight_bit):
        buffer = io.BytesIO()
        picture = Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))
        picture.save(buffer, format="JPEG", quality=quality, subsampling=0)
        with Image.open(buffer, formats=("JPEG",)) as read:
            out[k] = np.asarray(read).transpose(2, 0, 1)
    return out.astype(np.float32) / np.float32(255)
