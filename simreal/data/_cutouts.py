"""Stamps cut out of larger images, whole or over the edge."""

import warnings
from collections.abc import Sequence

import numpy as np

from simreal.core.arrays import AnyArray, Float32Array, Float64Array
from simreal.data._fits import Header
from simreal.data._quarantine import BadFileError

#: Standard deviation of a Gaussian in units of its median absolute deviation.
_MAD = 1.4826


def corner(position: float, width: int) -> int:
    """Return the first pixel of a stamp that has `position` nearest to its middle.

    Examples
    --------
    >>> corner(10.0, 5), corner(10.4, 4)
    (8, 9)
    """
    return int(np.floor(position - (width - 1) / 2 + 0.5))


def cut(plane: AnyArray, y: float, x: float, width: int) -> Float32Array:
    """Return a stamp of `width` pixels around ``(y, x)``; what is outside the image is NaN.

    Raises
    ------
    BadFileError
        ``E_EDGE`` if the middle itself is outside.

    Examples
    --------
    >>> cut(np.arange(9.0).reshape(3, 3), 0.0, 1.0, 3).tolist()
    [[nan, nan, nan], [0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    """
    height, length = plane.shape
    if not (-0.5 <= y < height - 0.5 and -0.5 <= x < length - 0.5):
        raise BadFileError(
            "E_EDGE",
            f"got the position x = {x:.1f}, y = {y:.1f}, allowed is inside the image of "
            f"{length} x {height} pixels; correct the position or the field",
        )
    out = np.full((width, width), np.nan, dtype=np.float32)
    top, left = corner(y, width), corner(x, width)
    ys = slice(max(top, 0), min(top + width, height))
    xs = slice(max(left, 0), min(left + width, length))
    out[ys.start - top : ys.stop - top, xs.start - left : xs.stop - left] = plane[ys, xs]
    return out


def scatter(plane: AnyArray) -> float:
    """Return the robust scatter of an image, most of which is sky: 1.4826 times the MAD.

    Raises
    ------
    BadFileError
        ``E_EMPTY`` if no pixel is finite.
    """
    # A tenth of a frame says it to a few parts in a thousand.
    sample = plane.ravel()[:: max(1, plane.size // 300_000)]
    sample = sample[np.isfinite(sample)].astype(np.float64)
    if sample.size == 0:
        raise BadFileError("E_EMPTY", "has no finite pixel; fetch it again or remove it")
    return float(_MAD * np.median(np.abs(sample - np.median(sample))))


def pixel_positions(
    header: Header, right_ascension: Sequence[float], declination: Sequence[float]
) -> Float64Array:
    """Return positions ``(n, 2)`` as ``(y, x)``, from 0 in the middle of the first pixel.

    Parameters
    ----------
    header : Header
    right_ascension, declination : sequence of float
        [deg]

    Raises
    ------
    BadFileError
        ``E_WCS`` if the header has no usable celestial coordinates.
    """
    from astropy.io import fits
    from astropy.wcs import WCS

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = fits.Header.fromstring(header.raw.decode("latin-1"))
            system = WCS(whole, naxis=2).celestial
            x, y = system.all_world2pix(np.asarray(right_ascension), np.asarray(declination), 0)
    except Exception as error:  # noqa: BLE001 - wcslib raises classes of its own by the dozen
        first = str(error).strip().partition("\n")[0]
        raise BadFileError(
            "E_WCS", f"has no usable celestial coordinates ({first}), allowed is a WCS; correct it"
        ) from None
    return np.stack([np.atleast_1d(y), np.atleast_1d(x)], axis=1)
