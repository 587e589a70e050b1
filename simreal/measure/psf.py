"""PSF widths from the compact sources of a frame, and how noise is correlated."""

import numpy as np
import scipy.fft

from simreal.core.arrays import AnyArray, BoolArray, Float32Array, Float64Array
from simreal.measure.sky import clipped_statistics
from simreal.measure.sources import Detection

FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
#: Star candidates: peak at least this many sky rms, and at most this display value, above
#: which a stretched and clipped composite broadens a star.
STAR_SIGNIFICANCE = 15.0
STAR_BRIGHTEST = 0.6
STAR_AXIS_RATIO = 0.75
STAR_BOX = 14


def adaptive_width(
    boxes: Float64Array, *, start: float = 3.0, rounds: int = 20
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return FWHM, ellipticity and distance from the box centre by adaptive moments.

    The Gaussian weight follows the source (Bernstein & Jarvis 2002), so that noise far
    from it does not count, and its own width is taken out again.

    Parameters
    ----------
    boxes : array (k, side, side)
        Sky-subtracted, odd-sided, roughly centred.

    Returns
    -------
    fwhm, ellipticity, offset : arrays (k,)
        Pixels; NaN where the moments do not converge.

    Examples
    --------
    >>> grid = np.arange(-14, 15)
    >>> star = np.exp(-0.5 * (grid[:, None] ** 2 + grid**2) / 2.0**2)
    >>> round(float(adaptive_width(star[None])[0][0] / FWHM_PER_SIGMA), 3)
    2.0
    """
    count, side, _ = boxes.shape
    grid = np.arange(side) - side // 2
    x, y = np.zeros(count), np.zeros(count)
    sigma, shear = np.full(count, start), np.zeros(count)
    with np.errstate(all="ignore"):
        for _ in range(rounds):
            gx, gy = grid - x[:, None], grid - y[:, None]
            wx = np.exp(-0.5 * (gx / sigma[:, None]) ** 2)
            wy = np.exp(-0.5 * (gy / sigma[:, None]) ** 2)
            rows = np.einsum("kyx,kx->ky", boxes, wx) * wy
            columns = np.einsum("kyx,ky->kx", boxes, wy) * wx
            total = rows.sum(1)
            dx, dy = (columns * gx).sum(1) / total, (rows * gy).sum(1) / total
            xx = (columns * gx**2).sum(1) / total - dx**2
            yy = (rows * gy**2).sum(1) / total - dy**2
            cross = np.einsum("kyx,kx,ky->k", boxes, wx * gx, wy * gy) / total - dx * dy
            shear = np.hypot(xx - yy, 2 * cross) / (xx + yy)
            measured = np.maximum((xx + yy) / 2, 0.05)
            # A Gaussian source of variance s^2 under a Gaussian weight w^2 has the moment
            # s^2 w^2 / (s^2 + w^2).
            free = 1.0 / np.maximum(1.0 / measured - 1.0 / sigma**2, 1e-3)
            sigma = np.sqrt(np.clip(free, 0.3, (side / 3) ** 2))
            x, y = x + 1.5 * dx, y + 1.5 * dy
    fwhm = np.where(np.isfinite(x + y + sigma), sigma * FWHM_PER_SIGMA, np.nan)
    return fwhm, shear, np.hypot(x, y)


def _boxes(plane: Float32Array, x: AnyArray, y: AnyArray) -> Float64Array:
    half = STAR_BOX
    cut = [
        plane[j - half : j + half + 1, i - half : i + half + 1] for i, j in zip(x, y, strict=True)
    ]
    return np.stack(cut).astype(np.float64)


def star_widths(
    image: Float32Array, detection: Detection, *, rms: float, binning: int = 1
) -> Float64Array:
    """Return the FWHM [pixel] of the compact, round, isolated sources of one image.

    A source that is only there in one band is a noise blob, a cosmic ray or an asteroid,
    not a star; it is dropped by asking for the middle band's light too.

    Parameters
    ----------
    image : array (band, y, x)
    detection : Detection
        Made on the luminance binned by `binning`.
    rms : float
        Sky rms of the binned luminance.
    """
    sources = detection.sources
    keep = (
        (sources["peak"] > STAR_SIGNIFICANCE * rms)
        & (sources["peak"] < STAR_BRIGHTEST)
        & (sources["flag"] == 0)
        & (sources["b"] > STAR_AXIS_RATIO * sources["a"])
    )
    if detection.central is not None:
        keep[detection.central] = False
    x = np.rint((sources["x"][keep] + 0.5) * binning - 0.5).astype(int)
    y = np.rint((sources["y"][keep] + 0.5) * binning - 0.5).astype(int)
    height, width = image.shape[-2:]
    inside = (x >= STAR_BOX) & (y >= STAR_BOX) & (x < width - STAR_BOX) & (y < height - STAR_BOX)
    x, y = x[inside], y[inside]
    if len(x) == 0:
        return np.zeros(0)
    planes = np.stack([_boxes(band, x, y) for band in image])
    boxes = planes.mean(0)
    boxes -= np.median(_rim(boxes), axis=1)[:, None, None]
    fwhm, shear, offset = adaptive_width(boxes)
    good = np.isfinite(fwhm) & (shear < 0.2) & (offset < 3) & (fwhm < STAR_BOX * 1.7)
    if image.shape[0] >= 3:
        good &= _in_most_bands(planes, boxes)
    return fwhm[good]


def _rim(boxes: Float64Array) -> Float64Array:
    return np.concatenate([boxes[:, 0], boxes[:, -1], boxes[:, :, 0], boxes[:, :, -1]], axis=1)


def _in_most_bands(planes: Float64Array, boxes: Float64Array) -> BoolArray:
    core = slice(STAR_BOX - 2, STAR_BOX + 3)
    rims = np.stack([np.median(_rim(plane), axis=1) for plane in planes])
    light = planes[:, :, core, core].mean((2, 3)) - rims
    return np.asarray(np.median(light, axis=0) > 0.5 * boxes[:, core, core].mean((1, 2)))


def correlation_length(luminance: Float32Array, *, block: int | None = None) -> float:
    """Return the lag [pixel] at which the sky's autocorrelation falls to one half.

    Taken in the four corners with sources masked. A frame that was resampled from the
    detector's pixels carries their size in its noise, and with it the width of its PSF.

    Parameters
    ----------
    luminance : array (y, x)
    block : int, optional
        Side of the corner blocks; a fifth of the image by default, at most 48.
    """
    side = block or min(48, luminance.shape[-1] // 5)
    corners = np.stack(
        [luminance[ys, xs] for ys in (slice(side), slice(-side, None))
         for xs in (slice(side), slice(-side, None))]
    )  # fmt: skip
    level, rms = clipped_statistics(corners.reshape(4, -1))
    centred = corners - level[:, None, None].astype(np.float32)
    valid = (np.abs(centred) < 3.5 * rms[:, None, None]).astype(np.float32)
    shape = (2 * side, 2 * side)
    power = (np.abs(scipy.fft.rfft2(centred * valid, shape)) ** 2).sum(0)
    pairs = (np.abs(scipy.fft.rfft2(valid, shape)) ** 2).sum(0)
    covariance = scipy.fft.irfft2(power, shape) / np.maximum(scipy.fft.irfft2(pairs, shape), 1.0)
    lags = side // 3
    curve = (covariance[0, :lags] + covariance[:lags, 0]) / 2
    if not curve[0] > 0:
        return float("nan")
    curve = curve / curve[0]
    below = np.flatnonzero(curve < 0.5)
    if len(below) == 0:
        return float(lags)
    k = int(below[0])
    return float(k - 1 + (curve[k - 1] - 0.5) / (curve[k - 1] - curve[k]))


def fill_widths(widths: Float64Array, correlation: Float64Array) -> tuple[Float64Array, float]:
    """Return widths with the missing ones predicted from the noise, and the slope used.

    Frames without stars take the survey's power law between PSF width and noise
    correlation, where at least 20 frames show one; otherwise the survey's median.

    Parameters
    ----------
    widths, correlation : arrays (n,)
        NaN where unknown.

    Examples
    --------
    >>> fill_widths(np.array([2.0, np.nan, 4.0]), np.full(3, np.nan))[0].tolist()
    [2.0, 3.0, 4.0]
    """
    known = np.isfinite(widths)
    if known.all() or not known.any():
        return widths, 0.0
    middle = float(np.median(widths[known]))
    usable = known & np.isfinite(correlation) & (correlation > 0)
    if usable.sum() < 20:
        return np.where(known, widths, middle), 0.0
    x, y = np.log(correlation[usable]), np.log(widths[usable])
    spread = float(np.std(x))
    related = spread > 0.05 and float(np.corrcoef(x, y)[0, 1]) > 0.3
    slope = float(np.polyfit(x, y, 1)[0]) if related else 0.0
    offset = float(np.median(y - slope * x))
    safe = np.where(np.isfinite(correlation) & (correlation > 0), correlation, np.exp(np.median(x)))
    low, high = np.percentile(widths[known], [2, 98])
    predicted = np.clip(np.exp(offset + slope * np.log(safe)), low, high)
    return np.where(known, widths, predicted), slope
