"""How wide and how long the PSF is, from the light of galaxies alone.

A PSF takes power from fine scales and leaves coarse ones, and takes it along its own direction.
Galaxies differ more than PSFs do, so power is weighed: features of each stamp's power spectrum
are combined into the one number that answers to a PSF most and to the galaxies' own scatter
least (the matched filter, response over covariance). The response is that of the stamps' own
light to a PSF wider by a few per cent, with the noise left as it is, so the number is in units
of ln PSF width.

Two things help to tell a galaxy's own smoothness from a PSF's: how bright it is, which a PSF
hardly changes; and its middle, seen through a narrower window. A side that is brighter as a whole
must not be taken for one that is sharper, so the weights are such that all light times a factor,
with the noise left as it is, changes nothing.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from simreal.audit.probe import folds
from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.measure.psf import FWHM_PER_SIGMA

#: Edges of the annuli [cycle / pixel].
EDGES = np.array(
    [0.016, 0.03, 0.047, 0.0625, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.225, 0.25, 0.3, 0.36,
     0.43, 0.5]
)  # fmt: skip
#: No galaxy's light is left beyond: the noise is read there [cycle / pixel].
NOISE_FROM = 0.2
#: Power below this multiple of the noise may be noise alone: an annulus has a few dozen waves.
CLEARLY = 1.4
#: Trial change of PSF width and ellipticity.
STEP = 0.03
#: Share of a PSF's power transfer below which no light is left.
DARK_TRANSFER = 0.003
#: Finer scales show noise alone, and a number with noise in it would follow it [cycle / pixel].
LIGHT_UP_TO = 0.25
#: Part of the stamp's side on either side of its middle.
OUTSIDE = 3 / 16
#: Scales that no PSF changes much [cycle / pixel].
REFERENCE_UP_TO = 0.05
#: Multiple of the features' variance added to each. Less of it trusts small differences of
#: annuli that vary together, and follows the noise; with 3, light that was convolved with PSFs
#: wider by 10, 25 and 50 % before real sky was added reads 10, 26 and 49 %.
RIDGE = 3.0
#: The same for what is known of each image, or as good as known.
KNOWN_RIDGE = 0.05
#: Features beyond these percentiles are set to them: a star on a stamp is no PSF.
WINSOR = 1.0
#: Share trimmed from either end of a mean, as in `simreal.audit.inference`.
TRIM = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectra:
    """Power of stamps in annuli of spatial frequency, and how it is spread over directions.

    Parameters
    ----------
    frequency : array (k,)
        [cycle / pixel]
    power : array (n, k)
    elongation : array (n, 2, k)
        Mean of cos 2φ and of sin 2φ over an annulus, weighted by power; light that is longer
        along x has less power along x.
    width_response, elongation_response : array (n, k)
        Change of ln power for a PSF wider by `STEP`, and of the first elongation for a PSF
        with `STEP` more ellipticity along x, as far as the power is light.
    flux_response : array (n, k)
        Change of ln power per change of ln flux.
    """

    frequency: Float64Array
    power: Float64Array
    elongation: Float64Array
    width_response: Float64Array
    elongation_response: Float64Array
    flux_response: Float64Array

    @property
    def log_power(self) -> Float64Array:
        """Natural logarithm of the power; the smallest positive one where there is none."""
        floor = self.power[self.power > 0].min(initial=1.0)
        return np.asarray(np.log(np.maximum(self.power, floor)))


def hann_window(height: int, width: int) -> Float64Array:
    """Return a window ``(y, x)`` over the whole stamp."""
    return np.asarray(np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1])


def middle_window(height: int, width: int) -> Float64Array:
    """Return a window ``(y, x)`` over the stamp's middle, zero around it.

    Examples
    --------
    >>> window = middle_window(64, 48)
    >>> window.shape, int(window.any(axis=0).sum())
    ((64, 48), 30)
    """
    pads = [round(OUTSIDE * side) for side in (height, width)]
    inner = hann_window(height - 2 * pads[0], width - 2 * pads[1])
    return np.pad(inner, [(pad, pad) for pad in pads])


def spectra(
    luminance: Float32Array,
    sky: Float32Array | None,
    *,
    fwhm: Float64Array,
    window: Float64Array,
) -> Spectra:
    """Return the spectra of stamps and their response to a PSF.

    Parameters
    ----------
    luminance : array (n, y, x)
    sky : array (m, y, x) or None
        Empty sky, whose spectrum is that of the noise; white noise without it.
    fwhm : array (n,)
        [pixel] PSF of each stamp.
    window : array (y, x)
    """
    grid = _grid(*luminance.shape[1:])
    flat = _power(luminance, window)
    annuli = grid.annuli
    weight = annuli.sum(axis=0)
    total = flat @ annuli
    power = total / weight
    noise = _noise(power, None if sky is None else _power(sky, window) @ annuli / weight, grid)
    spread = np.exp(-grid.square * _transfer_rate(fwhm)[:, None])  # of power, by the PSF
    lit = np.clip(1.0 + np.log(np.maximum(spread, 1e-300) / DARK_TRANSFER) / 3.0, 0.0, 1.0)
    share = 1.0 - noise / np.where(power > 0, power, np.inf)
    share = np.where(power > CLEARLY * noise, share, 0.0)
    light = share[:, grid.which] * lit * flat
    rate = _transfer_rate(fwhm)[:, None]
    wider = light * np.expm1(-rate * ((1 + STEP) ** 2 - 1) * grid.square)
    longer = light * np.expm1(-rate * STEP * grid.square * grid.cosine)
    safe = np.where(total > 0, total, 1.0)
    cosine = (flat * grid.cosine) @ annuli / safe
    sine = (flat * grid.sine) @ annuli / safe
    changed = flat + longer
    after = (changed * grid.cosine) @ annuli / np.where(total > 0, changed @ annuli, 1.0)
    return Spectra(
        frequency=grid.centres,
        power=power,
        elongation=np.stack([cosine, sine], axis=1),
        width_response=(wider @ annuli) / safe,
        elongation_response=after - cosine,
        flux_response=2.0 * (light @ annuli) / safe,
    )


def _transfer_rate(fwhm: Float64Array) -> Float64Array:
    """Return the rate at which a Gaussian PSF takes power with the squared frequency."""
    return np.asarray(4.0 * np.pi**2 * (fwhm / FWHM_PER_SIGMA) ** 2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Grid:
    """Annuli of a real Fourier transform, flattened."""

    centres: Float64Array
    annuli: Float64Array  # (wave, annulus), counting both halves of the plane
    which: IntArray  # (wave,), index of the annulus, the nearest one outside of all
    square: Float64Array
    cosine: Float64Array
    sine: Float64Array


def _grid(height: int, width: int) -> _Grid:
    y, x = scipy.fft.fftfreq(height)[:, None], scipy.fft.rfftfreq(width)
    square = (y**2 + x**2).ravel()
    which = np.digitize(np.sqrt(square), EDGES) - 1
    inside = (which >= 0) & (which < len(EDGES) - 1)
    filled = np.unique(which[inside])
    centres = (EDGES[filled] + EDGES[filled + 1]) / 2
    nearest = np.abs(np.sqrt(square)[:, None] - centres).argmin(axis=1)
    column = np.searchsorted(filled, np.clip(which, filled[0], filled[-1]))
    column = np.where(inside, np.minimum(column, len(filled) - 1), nearest)
    twice = np.where(np.broadcast_to(x == 0, (height, len(x))).ravel(), 1.0, 2.0)
    annuli = np.zeros((len(square), len(filled)))
    annuli[np.flatnonzero(inside), column[inside]] = twice[inside]
    angle = 2 * np.arctan2(*np.broadcast_arrays(y, x)).ravel()
    return _Grid(
        centres=centres,
        annuli=annuli,
        which=column,
        square=square,
        cosine=np.cos(angle),
        sine=np.sin(angle),
    )


def _power(images: Float32Array, window: Float64Array) -> Float64Array:
    level = np.median(images, axis=(1, 2), keepdims=True)
    waves = scipy.fft.rfft2((images - level) * window.astype(np.float32))
    return np.asarray(
        (np.abs(waves) ** 2).reshape(len(images), -1).astype(np.float64) / (window**2).sum()
    )


def _noise(power: Float64Array, sky: Float64Array | None, grid: _Grid) -> Float64Array:
    """Return the power of each stamp's noise: the sky's, scaled to what fine scales show."""
    shape = np.ones(power.shape[1]) if sky is None else np.median(sky, axis=0)
    shape = np.maximum(shape, 1e-12 * max(float(shape.max()), 1e-300))
    fine = grid.centres >= NOISE_FROM
    if not fine.any():
        fine = grid.centres >= grid.centres[-1]
    gain = np.median(power[:, fine] / shape[fine], axis=1)
    return np.asarray(gain[:, None] * shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filter:
    """A weighted sum of features that is in units of what was asked.

    Parameters
    ----------
    low, high, weights : array (k,)
        Features are set between `low` and `high` and multiplied by `weights`.
    """

    low: Float64Array
    high: Float64Array
    weights: Float64Array

    def apply(self, features: Float64Array) -> Float64Array:
        """Return one number per row ``(n,)``."""
        return np.asarray(np.clip(features, self.low, self.high) @ self.weights)


def matched_filter(
    features: Float64Array,
    response: Float64Array,
    *,
    is_sim: BoolArray,
    step: float,
    n_known: int = 0,
    nothing: Float64Array | None = None,
) -> Filter | None:
    """Return the filter that answers to `response` most and to the features' scatter least.

    The scatter is that within a side. With a difference between the sides in it, the filter
    would turn away from the very thing it is to measure.

    Parameters
    ----------
    features : array (n, k)
    response : array (n, k)
        Change of each row's features; that of the observed side counts.
    is_sim : array of bool (n,)
    step : float
        What `response` amounts to.
    n_known : int
        How many of the features, the last ones, are known of each image and respond to little
        or nothing; they explain some of the scatter of the others.
    nothing : array (n, k), optional
        A change of each row's features to which the filter must not answer.

    Returns
    -------
    Filter or None
        None where nothing responds.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(500, 2)) * [1.0, 3.0]
    >>> found = matched_filter(
    ...     x, np.tile([0.1, 0.1], (500, 1)), is_sim=np.arange(500) < 250, step=0.05
    ... )
    >>> bool(abs(found.apply(x + [1.0, 1.0]).mean() - found.apply(x).mean() - 0.5) < 0.05)
    True
    """
    low, high = np.percentile(features, [WINSOR, 100 - WINSOR], axis=0)
    table = np.clip(features, low, high)
    for side in (is_sim, ~is_sim):
        table[side] -= table[side].mean(axis=0)
    scale = table.std(axis=0)
    known = scale > 1e-9 * max(float(scale.max(initial=0.0)), 1e-300)
    scale = np.where(known, scale, np.inf)
    table /= scale
    ridge = np.full(table.shape[1], RIDGE)
    ridge[len(ridge) - n_known :] = KNOWN_RIDGE
    scatter = table.T @ table / len(table) + np.diag(ridge)
    asked = response[~is_sim]
    weights = np.linalg.solve(scatter, asked.mean(axis=0) / scale)
    if nothing is not None:
        mute = nothing[~is_sim].mean(axis=0) / scale
        against = np.linalg.solve(scatter, mute)
        if mute @ against > 0:
            weights = weights - against * (mute @ weights) / (mute @ against)
    weights = weights / scale
    answer = _trimmed_mean(asked @ weights)
    if not answer > 1e-12:
        return None
    return Filter(low=low, high=high, weights=weights * (step / answer))


def filtered(
    features: Float64Array,
    response: Float64Array,
    *,
    is_sim: BoolArray,
    step: float,
    rng: np.random.Generator,
    n_known: int = 0,
    nothing: Float64Array | None = None,
) -> Float64Array | None:
    """Return each row's number ``(n,)`` by a filter made without it, or None without response.

    Weights fitted to a row would lessen its scatter, and with it the error of the mean.
    """
    fold = folds(len(features), rng, labels=is_sim)
    out = np.empty(len(features))
    for k in range(int(fold.max()) + 1):
        rest, held = fold != k, fold == k
        found = matched_filter(
            features[rest],
            response[rest],
            is_sim=is_sim[rest],
            step=step,
            n_known=n_known,
            nothing=None if nothing is None else nothing[rest],
        )
        if found is None:
            return None
        # Every fold's filter has a zero point of its own.
        out[held] = found.apply(features[held]) - found.apply(features[rest]).mean()
    return out


def _trimmed_mean(values: Float64Array) -> float:
    cut = int(TRIM * len(values))
    return float(np.sort(values)[cut : len(values) - cut].mean())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seeing:
    """The PSF of each stamp relative to a typical one, from its light.

    Parameters
    ----------
    log_width : array (n,) or None
        [ln FWHM]
    along_x, along_diagonal : array (n,) or None
        Ellipticity.
    """

    log_width: Float64Array | None
    along_x: Float64Array | None
    along_diagonal: Float64Array | None


def seeing(
    luminance: Float32Array,
    sky: Float32Array | None,
    *,
    fwhm: Float64Array,
    usable: BoolArray,
    is_sim: BoolArray,
    rng: np.random.Generator,
) -> tuple[Seeing, Spectra]:
    """Return what the light of stamps says of their PSFs, and their spectra.

    Parameters
    ----------
    luminance : array (n, y, x)
        Of both sides.
    sky : array (m, y, x) or None
    fwhm : array (n,)
        [pixel]
    usable, is_sim : array of bool (n,)
    """
    size = luminance.shape[1:]
    used, own, declared = luminance[usable], is_sim[usable], fwhm[usable]
    whole, middle = (
        spectra(used, sky, fwhm=declared, window=window)
        for window in (hann_window(*size), middle_window(*size))
    )
    coarse = whole.frequency < LIGHT_UP_TO
    features, response, brighter = _width_features(whole, middle, declared)
    width = filtered(
        features,
        response,
        is_sim=own,
        step=float(np.log1p(STEP)),
        rng=rng,
        n_known=2,
        nothing=brighter,
    )
    along = [
        filtered(
            whole.elongation[:, k, coarse],
            whole.elongation_response[:, coarse],
            is_sim=own,
            step=STEP,
            rng=rng,
        )
        for k in (0, 1)
    ]
    found = Seeing(
        log_width=None if width is None else _spread(width, usable),
        along_x=None if along[0] is None else _spread(along[0], usable),
        along_diagonal=None if along[1] is None else _spread(along[1], usable),
    )
    return found, whole


def _width_features(
    whole: Spectra, middle: Spectra, fwhm: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return what tells of a PSF's width, its response to one, and its response to flux.

    The last two columns are known of each image, or as good as known.
    """
    coarse = whole.frequency < LIGHT_UP_TO

    def columns(
        of_whole: Float64Array, of_middle: Float64Array, last: Float64Array
    ) -> Float64Array:
        # Against the coarsest scales, so that fainter galaxies are not taken for blurred ones.
        steep = [_steepness(one, whole.frequency)[:, coarse] for one in (of_whole, of_middle)]
        return np.column_stack([*steep, _brightness(of_whole, whole.frequency), last])

    nil = np.zeros_like(fwhm)
    return (
        # Where a PSF is declared to be wide, a galaxy that looks smooth is no surprise.
        columns(whole.log_power, middle.log_power, np.log(fwhm)),
        columns(whole.width_response, middle.width_response, nil),
        columns(whole.flux_response, middle.flux_response, nil),
    )


def _steepness(table: Float64Array, frequency: Float64Array) -> Float64Array:
    """Return a table over annuli less its mean over the coarsest ones."""
    return np.asarray(table - _brightness(table, frequency)[:, None])


def _brightness(table: Float64Array, frequency: Float64Array) -> Float64Array:
    """Return the mean ``(n,)`` of a table over its coarsest annuli."""
    coarsest = frequency < max(REFERENCE_UP_TO, float(frequency[0]) + 1e-9)
    return np.asarray(table[:, coarsest].mean(axis=1))


def _spread(numbers: Float64Array, usable: BoolArray) -> Float64Array:
    """Return numbers of usable stamps in their places, NaN elsewhere."""
    out = np.full(len(usable), np.nan)
    out[usable] = numbers
    return out
