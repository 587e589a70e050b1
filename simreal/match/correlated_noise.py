"""Noise with the power spectrum of a survey: measured on blank sky, carried along, drawn.

A spectrum lives on a periodic grid and is normalised so that white noise of unit variance
reads one everywhere: its mean is the variance. Only second moments are carried. Noise of real
stacks is close to normal where no source is; what is not (faint sources, cosmic rays) comes with
real blank sky and not from here. Bands are independent.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy import ndimage

from simreal.core.arrays import AnyArray, BoolArray, Float32Array, Float64Array, IntArray, owned
from simreal.core.errors import NotComputableError, UsageError
from simreal.measure.sky import clipped_statistics

#: [pixel] Side of the periodic grid; correlations reach less than half of it.
SIDE = 64
#: Blank sky: nothing this many sigma of the smoothed image, and not near such pixels.
SOURCE_SIGMA = 2.5
SMOOTHING = 1.5
GROWTH = 4
#: Fewest blank pixels, over all stamps of a band, that a spectrum is measured from.
FEWEST_BLANK = 2000
#: The same in one stamp, for its rms.
FEWEST_IN_STAMP = 100
#: Blank pixels whose rms is larger than their median deviation says by this factor are not blank.
CONTAMINATED = 1.15
#: A lag needs this share of the pairs that no lag would have.
FEWEST_PAIRS = 0.01
#: Correlations below this are taken for none when they are measured, and when noise is drawn.
CORRELATED, UNCORRELATED = 0.005, 0.001
BINS = 9
_BLOCK = 1 << 21


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoiseSpectrum:
    """Power of stationary noise in each band.

    Parameters
    ----------
    power : array (band, side, side)
        In the order of `numpy.fft.fftfreq` on both axes; its mean is the variance.
    n_pixels : int
        Blank pixels it was measured from, 0 for a model.
    """

    power: Float64Array
    n_pixels: int = 0

    def __post_init__(self) -> None:
        power = owned(self.power, np.float64)
        if power.ndim != 3 or power.shape[1] != power.shape[2]:
            raise UsageError(f"noise: got a spectrum {power.shape}, allowed is (band, side, side)")
        if not np.isfinite(power).all() or (power < 0).any():
            raise UsageError("noise: got a spectrum with negative or non-finite power")
        object.__setattr__(self, "power", power)

    @property
    def rms(self) -> Float64Array:
        """Standard deviation of a pixel in each band ``(band,)``."""
        return np.asarray(np.sqrt(self.power.mean(axis=(1, 2))))

    @property
    def side(self) -> int:
        """Side of the periodic grid [pixel]."""
        return int(self.power.shape[-1])

    def covariance(self) -> Float64Array:
        """Return the covariance at every lag ``(band, side, side)``, lag 0 first."""
        return np.asarray(scipy.fft.ifft2(self.power).real)

    def annuli(self, bins: int = BINS) -> tuple[Float64Array, Float64Array]:
        """Return frequencies [cycle / pixel] and mean power in annuli ``(band, bins)``."""
        frequency = np.fft.fftfreq(self.side)
        radius = np.hypot(frequency[:, None], frequency)
        edges = np.linspace(0.0, 0.5, bins + 1)
        inside = [(radius > a) & (radius <= b) for a, b in itertools.pairwise(edges)]
        power = np.stack([self.power[:, region].mean(1) for region in inside], axis=1)
        return (edges[1:] + edges[:-1]) / 2, power


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MissingNoise:
    """What must be added to have a target's noise, and where there is too much already.

    Parameters
    ----------
    spectrum : NoiseSpectrum
        To be drawn and added.
    frequency : array (bins,)
        [cycle / pixel]
    ratio : array (band, bins)
        Power after adding over the target's: 1, or more where the source is too noisy.
    excess : array (band,)
        Share of the target's variance that the source has too much.
    """

    spectrum: NoiseSpectrum
    frequency: Float64Array
    ratio: Float64Array
    excess: Float64Array


def white(rms: npt.ArrayLike, *, side: int = SIDE) -> NoiseSpectrum:
    """Return the spectrum of noise without correlation.

    Parameters
    ----------
    rms : array (band,)

    Examples
    --------
    >>> white([2.0, 3.0]).rms.tolist()
    [2.0, 3.0]
    """
    variance = np.atleast_1d(np.asarray(rms, dtype=np.float64)) ** 2
    return NoiseSpectrum(power=np.tile(variance[:, None, None], (1, side, side)))


def blank_regions(
    images: Float32Array,
    *,
    mask: BoolArray | None = None,
    threshold: float = SOURCE_SIGMA,
    growth: int = GROWTH,
) -> BoolArray:
    """Return True where no source is seen in any band and nothing is masked.

    Each band is smoothed, so that faint wings stand out, and cut at `threshold` of its own
    smoothed noise, above and below alike: cutting bright noise alone would leave the rest with
    less noise and a level that is too low. What touches three pixels or more is grown.

    Parameters
    ----------
    images : array (n, band, y, x)
    mask : array of bool (n, band, y, x), optional
        True where a pixel must not be used.
    growth : int
        [pixel]

    Returns
    -------
    array of bool (n, band, y, x)
        The same for all bands but for their masks.

    Examples
    --------
    >>> sky = np.random.default_rng(0).normal(size=(1, 1, 64, 64)).astype("f4")
    >>> sky[0, 0, 28:36, 28:36] += 20
    >>> blank = blank_regions(sky)
    >>> bool(blank[0, 0, 26:38, 26:38].any()), bool(blank.mean() > 0.8)
    (False, True)
    """
    good = np.ones(images.shape, bool) if mask is None else ~mask
    source = np.zeros((len(images), *images.shape[2:]), dtype=bool)
    for k, image in enumerate(images):
        for plane, valid in zip(image, good[k], strict=True):
            source[k] |= _sources(plane, valid, threshold)
    reach = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), growth)
    grown = ndimage.binary_dilation(source, reach[None]) if source.any() else source
    return np.asarray(good & ~grown[:, None])


def _sources(plane: Float32Array, valid: BoolArray, threshold: float) -> BoolArray:
    if np.count_nonzero(valid) < 16:
        return ~valid
    level, _ = clipped_statistics(plane[valid])
    flat = np.where(valid, plane - np.float32(level), np.float32(0))
    smooth = ndimage.gaussian_filter(flat, SMOOTHING, mode="reflect")
    middle, rms = clipped_statistics(smooth[valid])
    bright = smooth > middle + threshold * rms
    labels, count = ndimage.label(bright)
    if count == 0:
        return np.asarray(bright)
    size = np.bincount(labels.ravel())
    peak = ndimage.maximum(smooth, labels, np.arange(count + 1))
    # Small bumps of the noise stay, so that the noise keeps its tail; what is large or well
    # above the cut is a source.
    keep = (np.asarray(peak) > middle + 2 * threshold * rms) | (size >= 40)
    keep[0] = False
    return np.asarray(keep[labels])


def stamp_noise(
    images: Float32Array, blank_mask: BoolArray
) -> tuple[Float64Array, Float64Array, BoolArray]:
    """Return level and rms of each stamp's blank pixels, and whether they are only noise.

    A stamp whose rms is well above what the median deviation of the same pixels tells has light
    in it that was not found: the halo of a bright galaxy, a trail.

    Parameters
    ----------
    images : array (n, band, y, x)
    blank_mask : array of bool (n, band, y, x)
        True on pixels that are used.

    Returns
    -------
    level, rms : arrays (n, band)
        NaN where fewer than `FEWEST_IN_STAMP` pixels are blank.
    clean : array of bool (n, band)

    Examples
    --------
    >>> sky = np.random.default_rng(0).normal(1, 3, (1, 1, 64, 64)).astype("f4")
    >>> level, rms, clean = stamp_noise(sky, np.ones(sky.shape, bool))
    >>> level.round(1).item(), rms.round(1).item(), clean.item()
    (1.0, 3.0, True)
    """
    shape = images.shape[:2]
    level, rms, robust = (np.full(shape, np.nan) for _ in range(3))
    for k in np.ndindex(*shape):
        values = images[k][blank_mask[k]].astype(np.float64)
        if len(values) >= FEWEST_IN_STAMP:
            level[k], rms[k] = values.mean(), values.std(ddof=1)
            middle = np.median(values)
            robust[k] = 1.4826 * np.median(np.abs(values - middle))
    return level, rms, np.asarray(np.isfinite(rms) & (rms <= CONTAMINATED * robust))


def measured(
    images: Float32Array,
    blank_mask: BoolArray,
    *,
    side: int = SIDE,
    level: Literal["stamp", "zero"] = "stamp",
) -> NoiseSpectrum:
    """Return the power spectrum of the noise in blank regions of many stamps.

    The covariance is averaged over all pairs of blank pixels at each lag, whatever their
    shapes, tapered beyond the longest correlation and transformed. Each stamp counts in units
    of its own rms, and the rms of the result is the median of theirs: a few deep or shallow
    stamps have no say. Stamps with undetected light (`stamp_noise`) are left out where at least
    half remain. What subtracting a mean of few pixels takes from the covariance is put back.

    Parameters
    ----------
    images : array (n, band, y, x)
    blank_mask : array of bool (n, band, y, x)
        True on pixels that are used.
    side : int
        [pixel] Even side of the periodic grid; lags reach ``side / 2``, or less where stamps
        have no such pairs.
    level : {"stamp", "zero"}
        Subtract the mean of each stamp, or trust that the sky is zero.

    Raises
    ------
    NotComputableError
        If a band has too few blank pixels.

    Examples
    --------
    >>> sky = np.random.default_rng(0).normal(0, 3, (20, 1, 48, 48)).astype("f4")
    >>> found = measured(sky, np.ones(sky.shape, bool), side=16)
    >>> bool(abs(found.rms[0] / 3 - 1) < 0.01)
    True
    """
    if images.shape != blank_mask.shape:
        raise UsageError(f"noise: got images {images.shape} and blank mask {blank_mask.shape}")
    mean, rms, clean = stamp_noise(images, blank_mask)
    known = np.isfinite(rms) & (rms > 0)
    use = np.where(2 * clean.sum(0) >= known.sum(0), clean & known, known)
    counts = blank_mask.sum(axis=(2, 3)) * use
    total = counts.sum(0)
    if (total < FEWEST_BLANK).any():
        worst = int(total.argmin())
        raise NotComputableError(
            f"noise: band {worst} has {int(total[worst])} blank pixels with noise, needed are "
            f"{FEWEST_BLANK}; give more or larger stamps"
        )
    mean = np.where(use, mean, 0.0) if level == "stamp" else np.zeros(mean.shape)
    unit = np.where(use, rms, 1.0)
    lags = np.rint(np.fft.fftfreq(side, 1 / side)).astype(np.int64)
    covariance, enough = _covariance(images, blank_mask & use[..., None, None], mean, unit, lags)
    taper = _tapers(covariance, lags, total) * enough
    if level == "stamp":
        # A mean of m pixels has the variance P(0) / m, which is missing at every lag.
        share = (counts > 0).sum(0) / total
        power = (covariance * taper).sum(axis=(1, 2))
        offset = share * power / np.maximum(1 - share * taper.sum(axis=(1, 2)), 0.5)
        covariance = covariance + np.maximum(offset, 0.0)[:, None, None]
    typical = np.array([np.median(rms[use[:, k], k]) for k in range(rms.shape[1])])
    scaled = covariance * taper * (typical**2)[:, None, None]
    return _from_covariance(scaled, int(total.sum()))


def _covariance(
    images: Float32Array,
    free: BoolArray,
    mean: Float64Array,
    unit: Float64Array,
    lags: IntArray,
) -> tuple[Float64Array, BoolArray]:
    """Return the mean product of free pixels at all lags, and where there were pairs enough."""
    bands, height, width = images.shape[1:]
    shape = tuple(scipy.fft.next_fast_len(n + len(lags) // 2, real=True) for n in (height, width))
    products, pairs = np.zeros((bands, *shape)), np.zeros((bands, *shape))
    step = max(1, _BLOCK // (bands * shape[0] * shape[1]))
    for start in range(0, len(images), step):
        rows = slice(start, start + step)
        flat = (images[rows] - mean[rows, :, None, None]) / unit[rows, :, None, None]
        products += _autocorrelation(np.where(free[rows], flat, 0.0), shape)
        pairs += _autocorrelation(free[rows].astype(np.float64), shape)
    pick = np.ix_(np.arange(bands), lags % shape[0], lags % shape[1])
    number = np.rint(pairs[pick])
    least = np.maximum(FEWEST_PAIRS * free.sum(axis=(0, 2, 3))[:, None, None], 1)
    enough = number >= least
    return np.where(enough, products[pick] / np.maximum(number, 1), 0.0), enough


def _autocorrelation(values: Float64Array, shape: tuple[int, ...]) -> Float64Array:
    spectrum = scipy.fft.rfft2(values, shape)
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=0)
    return np.asarray(scipy.fft.irfft2(power, shape))


def _tapers(covariance: Float64Array, lags: IntArray, n_pixels: IntArray) -> Float64Array:
    """Return the weight of every lag in each band, no wider than the noise is correlated.

    Lags that carry nothing but sampling noise would spread it over all frequencies, and those
    of little power would drown in it.
    """
    distance = np.rint(np.hypot(lags[:, None], lags)).astype(np.int64)
    rings = np.maximum(np.bincount(distance.ravel()), 1)
    most = len(lags) // 2
    out = np.empty_like(covariance)
    for k, plane in enumerate(covariance):
        curve = np.bincount(distance.ravel(), plane.ravel())[:most] / rings[:most]
        least = max(CORRELATED, 3 / np.sqrt(n_pixels[k])) * max(float(plane[0, 0]), 0.0)
        last = int(np.flatnonzero(np.abs(curve) >= least).max(initial=0))
        out[k] = _taper(lags, int(np.clip(3 * last + 4, min(8, most), most)))
    return out


def _taper(lags: IntArray, reach: int) -> Float64Array:
    """Return 1 to a half of the reach and a cosine from there to 0."""
    distance = np.abs(lags) / reach
    row = np.where(distance <= 0.5, 1.0, np.cos(np.pi * (distance - 0.5)) ** 2)
    row[distance >= 1] = 0.0
    return np.asarray(row[:, None] * row)


def _from_covariance(covariance: Float64Array, n_pixels: int) -> NoiseSpectrum:
    power = scipy.fft.fft2(covariance).real
    positive = np.maximum(power, 0.0)
    # Cutting what a finite sample left below zero would raise the variance.
    total = positive.mean(axis=(1, 2), keepdims=True)
    variance = covariance[:, :1, :1]
    positive *= np.where(total > 0, variance / np.where(total > 0, total, 1.0), 0.0)
    return NoiseSpectrum(power=np.maximum(positive, 0.0), n_pixels=n_pixels)


def on_grid(spectrum: NoiseSpectrum, side: int) -> NoiseSpectrum:
    """Return the spectrum on a grid of another side; correlations beyond it are lost.

    Examples
    --------
    >>> on_grid(white([2.0]), 96).power.shape
    (1, 96, 96)
    """
    if side == spectrum.side:
        return spectrum
    covariance = np.fft.fftshift(spectrum.covariance(), axes=(1, 2))
    old, new = spectrum.side, np.zeros((len(covariance), side, side))
    reach = min((old - 1) // 2, (side - 1) // 2)
    near, far = (
        slice(old // 2 - reach, old // 2 + reach + 1),
        slice(side // 2 - reach, side // 2 + reach + 1),
    )
    new[:, far, far] = covariance[:, near, near]
    return _from_covariance(np.fft.ifftshift(new, axes=(1, 2)), spectrum.n_pixels)


def draw(
    spectrum: NoiseSpectrum, n: int, shape: tuple[int, int], rng: np.random.Generator
) -> Float32Array:
    """Draw noise with a given power spectrum.

    Drawn on a periodic grid that is larger than the stamp by the longest correlation, so that
    opposite edges know nothing of each other.

    Parameters
    ----------
    spectrum : NoiseSpectrum
    n : int
    shape : tuple of int
        ``(y, x)``.
    rng : Generator

    Returns
    -------
    array (n, band, y, x)

    Examples
    --------
    >>> noise = draw(white([2.0]), 4, (64, 64), np.random.default_rng(0))
    >>> noise.shape, bool(abs(noise.std() / 2 - 1) < 0.03)
    ((4, 1, 64, 64), True)
    """
    reach = _reach(spectrum)
    side = scipy.fft.next_fast_len(max(max(shape) + reach, 2 * reach + 1), real=True)
    power = on_grid(spectrum, side).power
    amplitude = np.sqrt(power[..., : side // 2 + 1]).astype(np.float32)
    out = np.empty((n, len(power), *shape), dtype=np.float32)
    step = max(1, _BLOCK // (len(power) * side**2))
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        noise = rng.standard_normal((rows.stop - start, len(power), side, side), dtype=np.float32)
        waves = scipy.fft.rfft2(noise, overwrite_x=True) * amplitude
        out[rows] = scipy.fft.irfft2(waves, (side, side))[..., : shape[0], : shape[1]]
    return out


def _reach(spectrum: NoiseSpectrum) -> int:
    """Return the longest lag [pixel] along either axis at which noise is still correlated."""
    covariance = np.abs(spectrum.covariance())
    far = np.any(covariance > UNCORRELATED * covariance[:, :1, :1], axis=0)
    lags = np.abs(np.rint(np.fft.fftfreq(spectrum.side, 1 / spectrum.side))).astype(np.int64)
    return int(max(lags[far.any(axis=1)].max(initial=0), lags[far.any(axis=0)].max(initial=0)))


def through(spectrum: NoiseSpectrum, kernel: AnyArray) -> NoiseSpectrum:
    """Return the spectrum of noise after convolution.

    Parameters
    ----------
    spectrum : NoiseSpectrum
    kernel : array (band or 1, k, k)
        Centred.

    Examples
    --------
    >>> smooth = through(white([3.0]), np.full((1, 3, 3), 1 / 9))
    >>> round(float(smooth.rms[0]), 6)
    1.0
    """
    k = kernel.shape[-1]
    # Noise of either correlation or both together must not run into itself around the grid.
    grid = on_grid(spectrum, max(spectrum.side, 2 * (k // 2 * 2) + 2))
    transfer = scipy.fft.fft2(np.asarray(kernel, dtype=np.float64), (grid.side, grid.side))
    power = grid.power * (transfer.real**2 + transfer.imag**2)
    return NoiseSpectrum(power=power, n_pixels=spectrum.n_pixels)


def missing(have: NoiseSpectrum, target: NoiseSpectrum) -> MissingNoise:
    """Return the noise to be added so that a source has its target's spectrum.

    Power adds up; where a source has more than its target already nothing can be taken away,
    and the ratio that is left says so.

    Parameters
    ----------
    have, target : NoiseSpectrum
        Of the source as it is after all other steps, and of the survey.

    Examples
    --------
    >>> found = missing(white([3.0]), white([5.0]))
    >>> round(float(found.spectrum.rms[0]), 6), round(float(found.ratio.max()), 6)
    (4.0, 1.0)
    >>> missing(white([5.0]), white([4.0])).excess.tolist()
    [0.5625]
    """
    if len(have.power) != len(target.power):
        raise UsageError(
            f"noise: got {len(have.power)} bands for {len(target.power)} of the target"
        )
    side = max(have.side, target.side)
    own, goal = on_grid(have, side), on_grid(target, side)
    added = NoiseSpectrum(power=np.maximum(goal.power - own.power, 0.0), n_pixels=target.n_pixels)
    frequency, wanted = goal.annuli()
    _, after = NoiseSpectrum(power=own.power + added.power).annuli()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(wanted > 0, after / wanted, np.where(after > 0, np.inf, 1.0))
    too_much = np.maximum(own.power - goal.power, 0.0).mean(axis=(1, 2))
    variance = goal.power.mean(axis=(1, 2))
    excess = np.where(variance > 0, too_much / np.where(variance > 0, variance, 1.0), np.inf)
    excess = np.where(too_much == 0, 0.0, excess)
    return MissingNoise(spectrum=added, frequency=frequency, ratio=ratio, excess=excess)


def resampled(spectrum: NoiseSpectrum, zoom: float) -> NoiseSpectrum:
    """Return the spectrum of noise after flux-conserving resampling by overlapping areas.

    The positions of the new pixels on the old ones are averaged over, as in a frame that is
    cut out around a galaxy anywhere: per axis the covariance at lag m becomes the sum of the
    old one at lags l with the weight of four boxes on top of each other, two of the old and two
    of the new pixel, at the distance ``m zoom - l``.

    Parameters
    ----------
    spectrum : NoiseSpectrum
    zoom : float
        Side of a new pixel in old ones; above 1 pixels get larger.

    Examples
    --------
    Four pixels of white noise in one have four times the variance where their borders agree;
    on average over positions, pixels cut in two share their noise with the neighbours and
    (5 / 3)^2 is left.

    >>> round(float(resampled(white([1.0]), 2.0).rms[0] ** 2), 4)
    2.7778
    """
    if not (np.isfinite(zoom) and zoom > 0):
        raise UsageError(f"zoom: got {zoom}, allowed are finite values above 0")
    old = np.fft.fftshift(spectrum.covariance(), axes=(1, 2))
    lags = np.arange(spectrum.side) - spectrum.side // 2
    side = max(16, 2 * int(np.ceil((spectrum.side / 2 + 1) / zoom + 1)))
    new = np.rint(np.fft.fftfreq(side, 1 / side))
    offset = np.asarray(new[:, None] * zoom - lags, dtype=np.float64)
    weight = four_boxes(offset, zoom)
    return _from_covariance(weight @ old @ weight.T, spectrum.n_pixels)


def four_boxes(offset: Float64Array, zoom: float) -> Float64Array:
    """Return the overlap of four boxes, two of side 1 and two of side `zoom`, at an offset.

    Examples
    --------
    >>> four_boxes(np.array([0.0, 1.0, 2.0]), 1.0).round(4).tolist()
    [0.6667, 0.1667, 0.0]
    """
    total = np.zeros(np.shape(offset))
    for i, a in zip((-1, 0, 1), (1, -2, 1), strict=True):
        for j, b in zip((-1, 0, 1), (1, -2, 1), strict=True):
            # Truncated cubes cancel far out; |u|^3 does the same and keeps the symmetry.
            total += a * b * np.abs(offset - i - j * zoom) ** 3 / 12
    return np.asarray(np.maximum(total, 0.0))


def shot_noise(flux: Float32Array, gain: npt.ArrayLike, rng: np.random.Generator) -> Float32Array:
    """Return flux with the Poisson noise of its own photo-electrons.

    Only what is above zero has any. The sky's own is part of the noise measured on the sky.

    Parameters
    ----------
    flux : array (n, band, y, x)
        [nJy / pixel] Without sky, after the PSF, on the final pixels.
    gain : float or array (band,) or (n, band)
        [electron / nJy]
    rng : Generator

    Examples
    --------
    >>> noisy = shot_noise(np.full((1, 1, 100, 100), 50, "f4"), 2.0, np.random.default_rng(0))
    >>> bool(abs(noisy.mean() / 50 - 1) < 0.01), bool(abs(noisy.var() / 25 - 1) < 0.05)
    (True, True)
    """
    per_band = np.asarray(gain, dtype=np.float64)
    if not (np.isfinite(per_band).all() and (per_band > 0).all()):
        raise UsageError(f"gain: got {gain!r}, allowed are finite electrons per nJy above 0")
    per_band = per_band[..., None, None] if per_band.ndim else per_band
    electrons = np.maximum(flux, 0).astype(np.float64) * per_band
    noise = (rng.poisson(electrons) - electrons) / per_band
    return np.asarray(flux + noise, dtype=np.float32)
