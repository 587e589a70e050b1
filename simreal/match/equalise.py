"""Match one more nuisance at a time on finished stamps, and see what the distance was made of.

Every step acts on both sides in the same way and adds to the steps before it: level of the sky,
width of the PSF, noise of the sky (after the PSF, because a blur takes noise away), then what
may be physics: size on the stamp, brightness, colours. A distribution is never invented: what
can only be taken away (light from the sharper, quiet from the cleaner image) is brought to the
worse of the two sides, rank by rank; what can be moved both ways is brought to their mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from simreal.core.arrays import Float32Array, Float64Array, IntArray
from simreal.core.images import ArraySource, ImageSet
from simreal.match.controls import encoded, rows_of
from simreal.match.psf import convolve, missing_width
from simreal.match.transforms import zoomed
from simreal.measure.sky import clipped_statistics
from simreal.measure.stamps import luminance_of, measure_stamps

#: Noise beyond this many sigma is a source and is not copied.
NOISE_SIGMA = 4.5
#: A field of noise is drawn from this many sky stamps whose rms is nearest to what is wanted.
NEAREST = 20
#: All stamps are magnified by this much at least, so that all are interpolated.
LEAST_ZOOM = 1.05
#: Sizes are brought together up to this magnification.
MOST_ZOOM = 2.5
#: Points of the common brightness distribution.
QUANTILES = 256
_BLOCK = 128


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _State:
    """One side on its way.

    Parameters
    ----------
    stamps : ImageSet
        As it came; says who is who.
    pixels : array (n, band, y, x)
    sky : array (k, band, y, x)
        Empty where none is known.
    own : array of int (n,)
        Row of each stamp's own sky, -1 where it has none.
    psf : array (n,)
        [pixel] Empty where it is not known.
    """

    stamps: ImageSet
    pixels: Float32Array
    sky: Float32Array
    own: IntArray
    psf: Float64Array

    def shown(self) -> ImageSet:
        return self.stamps.replace(
            images=ArraySource(encoded(self.pixels, track=self.stamps.setup.track))
        )

    def levels(self) -> tuple[Float64Array, Float64Array]:
        """Return level and rms ``(n, band)`` of the sky under each stamp."""
        level, rms = clipped_statistics(self.sky.reshape(*self.sky.shape[:2], -1))
        known = (self.own >= 0)[:, None]
        return (
            np.where(known, level[self.own], np.median(level, axis=0)),
            np.where(known, rms[self.own], np.median(rms, axis=0)),
        )


_Pair = tuple[_State, _State]


def equalised(
    pair: tuple[ImageSet, ImageSet],
    skies: tuple[ImageSet | None, ImageSet | None],
    rng: np.random.Generator,
) -> Iterator[tuple[str, str, ImageSet, ImageSet]]:
    """Yield both sides with one more nuisance equal at each step, encoded alike.

    A step for which something is not known (no empty sky, no PSF, one band) is left out.

    Parameters
    ----------
    pair : pair of ImageSet
        Matched stamps of the simulated and the observed side.
    skies : pair of ImageSet or None
        Their empty sky.
    rng : Generator

    Yields
    ------
    name : str
    kind : {"nothing", "nuisance", "physics"}
    sim, obs : ImageSet
    """
    one, other = (_state(images, sky) for images, sky in zip(pair, skies, strict=True))
    now: _Pair = (one, other)
    yield "as compared, encoded once more", "nothing", one.shown(), other.shown()
    sky = len(one.sky) > 0 and len(other.sky) > 0
    if sky:
        now = _sky_level(now)
        yield "sky level", "nuisance", now[0].shown(), now[1].shown()
    if len(one.psf) and len(other.psf):
        now = _psf(now)
        yield "PSF", "nuisance", now[0].shown(), now[1].shown()
    if sky:
        now = _sky_noise(now, rng)
        yield "sky noise", "nuisance", now[0].shown(), now[1].shown()
    now = _size(now)
    yield "size on the stamp", "physics", now[0].shown(), now[1].shown()
    now = _brightness(now)
    yield "brightness", "physics", now[0].shown(), now[1].shown()
    if one.pixels.shape[1] > 1:
        now = _colours(now)
        yield "colours", "physics", now[0].shown(), now[1].shown()


def _state(stamps: ImageSet, sky: ImageSet | None) -> _State:
    widths, pixels = stamps.setup.psf_fwhm, _pixels(stamps)
    psf = np.zeros(0)
    if widths is not None:
        psf = np.broadcast_to(widths, (len(stamps), widths.shape[-1])).mean(1)
    return _State(
        stamps=stamps,
        pixels=pixels,
        sky=np.zeros((0, *pixels.shape[1:]), np.float32) if sky is None else _pixels(sky),
        own=np.full(len(stamps), -1) if sky is None else rows_of(stamps, sky),
        psf=psf,
    )


def _pixels(images: ImageSet) -> Float32Array:
    return np.asarray(images.images.read(slice(None)), dtype=np.float32)


def ranks(values: Float64Array) -> Float64Array:
    """Return the rank of every value, between 0 and 1; equal values in the order of their rows.

    Examples
    --------
    >>> ranks(np.array([5.0, 1.0, 3.0, 9.0])).tolist()
    [0.625, 0.125, 0.375, 0.875]
    """
    return np.asarray((stats.rankdata(values, method="ordinal") - 0.5) / len(values))


def common_worse(sim: Float64Array, obs: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return what every value must become for both sides to have the larger of both quantiles.

    No value falls, and both sides end with one distribution.

    Parameters
    ----------
    sim, obs : arrays (n,), (m,)

    Examples
    --------
    >>> a, b = common_worse(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0]))
    >>> a.tolist(), b.tolist()
    ([2.0, 2.0, 3.0], [2.0, 2.0, 3.0])
    """
    out = []
    for mine, other in ((sim, obs), (obs, sim)):
        at = np.quantile(other, _plotting(ranks(mine), len(other)))
        out.append(np.maximum(mine, at))
    return out[0], out[1]


def common_mean(sim: Float64Array, obs: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return what every value must become for both sides to have the mean of both quantiles."""
    out = []
    for mine, other in ((sim, obs), (obs, sim)):
        at = np.quantile(other, _plotting(ranks(mine), len(other)))
        out.append((mine + at) / 2)
    return out[0], out[1]


def _plotting(rank: Float64Array, n: int) -> Float64Array:
    """Return the probability at which `numpy.quantile` gives the value of that rank."""
    return np.asarray(np.clip((rank * n - 0.5) / max(n - 1, 1), 0.0, 1.0))


def _per_band(sim: Float64Array, obs: Float64Array) -> tuple[Float64Array, Float64Array]:
    pairs = [common_mean(sim[:, band], obs[:, band]) for band in range(sim.shape[1])]
    return np.stack([a for a, _ in pairs], axis=1), np.stack([b for _, b in pairs], axis=1)


def _sky_level(pair: _Pair) -> _Pair:
    """Bring the level of the sky to the mean of both sides' distributions, band by band."""
    found = [state.levels()[0] for state in pair]
    out = []
    for state, level, wanted in zip(pair, found, _per_band(found[0], found[1]), strict=True):
        shift = (wanted - level)[..., None, None].astype(np.float32)
        sky, known = state.sky.copy(), state.own >= 0
        sky[state.own[known]] += shift[known]
        out.append(replace(state, pixels=state.pixels + shift, sky=sky))
    return out[0], out[1]


def _psf(pair: _Pair) -> _Pair:
    """Blur every image that is sharper than the other side's at its rank."""
    one, other = pair
    out = []
    for state, wanted in zip(pair, common_worse(one.psf, other.psf), strict=True):
        extra = np.nan_to_num(missing_width(state.psf, wanted))
        widths, known = np.full(len(state.sky), float(np.median(extra))), state.own >= 0
        widths[state.own[known]] = extra[known]
        sky = _blurred(state.sky, widths) if len(state.sky) else state.sky
        out.append(replace(state, pixels=_blurred(state.pixels, extra), sky=sky, psf=wanted))
    return out[0], out[1]


def _blurred(images: Float32Array, fwhm: Float64Array) -> Float32Array:
    """Convolve with Gaussians, also those of no width: all images see the same step."""
    return np.concatenate(
        [
            convolve(images[start : start + _BLOCK], fwhm[start : start + _BLOCK], beta=np.inf)
            for start in range(0, len(images), _BLOCK)
        ]
    )


def _sky_noise(pair: _Pair, rng: np.random.Generator) -> _Pair:
    """Add real noise to every image that has less than the other side at its rank.

    It is drawn from sky of the noisier side with about the wanted rms, so that its spectrum and
    its colours are those of real noise. All bands follow the luminance.
    """
    fields = [_noise_fields(state) for state in pair]
    rms = [
        np.where(state.own >= 0, field[1][state.own], np.median(field[1]))
        for state, field in zip(pair, fields, strict=True)
    ]
    wanted = common_worse(rms[0], rms[1])
    out = []
    for k, state in enumerate(pair):
        noise, strength = fields[1 - k]
        extra = np.sqrt(np.maximum(wanted[k] ** 2 - rms[k] ** 2, 0.0))
        drawn = _drawn(strength, wanted[k], rng)
        scale = extra / np.maximum(strength[drawn], 1e-9)
        added = _turned(noise[drawn], rng) * scale[:, None, None, None].astype(np.float32)
        out.append(replace(state, pixels=state.pixels + added))
    return out[0], out[1]


def _noise_fields(state: _State) -> tuple[Float32Array, Float64Array]:
    """Return the noise of every sky stamp, sources cut out, and the rms of its luminance."""
    level, rms = clipped_statistics(state.sky.reshape(*state.sky.shape[:2], -1))
    noise = state.sky - level[..., None, None]
    limit = NOISE_SIGMA * rms[..., None, None]
    sourceless: Float32Array = np.where(np.abs(noise) <= limit, noise, 0.0).astype(np.float32)
    _, strength = clipped_statistics(luminance_of(sourceless).reshape(len(noise), -1))
    return sourceless, strength


def _drawn(strength: Float64Array, wanted: Float64Array, rng: np.random.Generator) -> IntArray:
    order = np.argsort(strength)
    at = np.searchsorted(strength[order], wanted)
    near = min(NEAREST, len(order))
    low = np.clip(at - near // 2, 0, len(order) - near)
    return np.asarray(order[low + rng.integers(near, size=len(wanted))])


def _turned(noise: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Return every field in one of four orientations."""
    out = noise.copy()
    for axis in (-1, -2):
        rows = rng.random(len(noise)) < 0.5
        out[rows] = np.flip(out[rows], axis=axis)
    return out


def _size(pair: _Pair) -> _Pair:
    """Magnify every stamp whose galaxy is smaller than the other side's at its rank."""
    radii = [_radius(state) for state in pair]
    out = []
    for state, radius, wanted in zip(pair, radii, common_worse(radii[0], radii[1]), strict=True):
        zoom = np.clip(wanted / radius * LEAST_ZOOM, LEAST_ZOOM, MOST_ZOOM)
        out.append(replace(state, pixels=zoomed(state.pixels, zoom)))
    return out[0], out[1]


def _radius(state: _State) -> Float64Array:
    measured = measure_stamps(
        state.stamps.replace(images=ArraySource(np.clip(state.pixels, 0.0, 1.0))), stars=False
    )
    radius = np.where(measured.found, measured.radius, np.nan)
    usual = float(np.nanmedian(radius)) if np.isfinite(radius).any() else 1.0
    return np.asarray(np.where(np.isfinite(radius) & (radius > 0), radius, usual))


def _brightness(pair: _Pair) -> _Pair:
    """Map the luminance of each side's pixels to the mean of both sides' distributions.

    One monotone curve a side for all of its stamps, as another display mapping would be.
    """
    grid = (np.arange(QUANTILES) + 0.5) / QUANTILES
    luminance = [luminance_of(state.pixels) for state in pair]
    curves = [np.quantile(values, grid) for values in luminance]
    middle = (curves[0] + curves[1]) / 2
    out = []
    for state, values, curve in zip(pair, luminance, curves, strict=True):
        known, first = np.unique(curve, return_index=True)
        shift = np.interp(values, known, (middle - curve)[first])
        out.append(replace(state, pixels=state.pixels + shift[:, None].astype(np.float32)))
    return out[0], out[1]


def _colours(pair: _Pair) -> _Pair:
    """Give each band of each side the gain that brings its share of the light to the mean."""
    shares = []
    for state in pair:
        light = state.pixels - np.median(state.pixels, axis=(0, 2, 3))[:, None, None]
        total = np.maximum(light, 0.0).sum((0, 2, 3), dtype=np.float64)
        shares.append(np.log(np.maximum(total / total.mean(), 1e-6)))
    middle = (shares[0] + shares[1]) / 2
    out = []
    for state, share in zip(pair, shares, strict=True):
        gain = np.exp(middle - share).astype(np.float32)[:, None, None]
        level = np.median(state.pixels, axis=(0, 2, 3))[:, None, None]
        out.append(replace(state, pixels=level + gain * (state.pixels - level)))
    return out[0], out[1]
