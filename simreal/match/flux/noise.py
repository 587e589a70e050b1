"""Give both sides the same noise: only ever by adding to it.

The noise of either side on the common frame is measured where nothing is seen. At every spatial
frequency the target is the noisier of the two; and image by image the target rms is the larger of
the two sides at the same rank, so that a deep image stays a deep one. What is missing is drawn with
the missing spectrum.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_cdt

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSet
from simreal.match.correlated_noise import (
    NoiseSpectrum,
    blank_regions,
    draw,
    measured,
    missing,
    on_grid,
    resampled,
    stamp_noise,
    through,
)
from simreal.match.flux.optics import Blur, at_rank, ranks
from simreal.match.frame import CommonFrame
from simreal.match.job import Job
from simreal.match.sides import Party

#: The rms of an image's noise is not known better than to this share.
KNOWN_RMS = 0.015
#: Normalised spectra that differ by less than this, as a natural logarithm, have one shape; power
#: below this share of the largest is not looked at.
ONE_SHAPE, FAINT = 0.06, 0.02
CHUNK = 64
#: [pixel] Blocks whose means show wings, how many it takes, and how far above the usual scatter
#: an image's noise is not measured.
BLOCK, FEWEST_BLOCKS, WINGS = 8, 6, 1.5
#: Images among which the usual scatter is known.
FEWEST_TO_JUDGE = 10
#: [pixel] Outskirts reach this much farther than what `blank_regions` leaves out; the sky is
#: measured beyond them where this many pixels are left.
OUTSKIRTS, ENOUGH = 12, 1000
#: Pixels from which a spectrum is measured.
MOST_PIXELS = 16_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SkyNoise:
    """The noise of one side on the common frame.

    Parameters
    ----------
    rms : array (n, band)
        Of every image; 0 where there is none.
    spectrum : NoiseSpectrum or None
        Shape of its power; None where there is no noise.
    """

    rms: Float64Array
    spectrum: NoiseSpectrum | None

    @property
    def silent(self) -> bool:
        """Whether the images carry no noise at all."""
        return self.spectrum is None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filling:
    """The noise that is added to one side.

    Parameters
    ----------
    missing : array (n, band)
        rms of what is added in the shape that the side lacks.
    rest : array (n, band)
        rms of what is added in the shape of the target.
    lack : NoiseSpectrum or None
    total : array (n, band)
        rms of each image afterwards.
    target : NoiseSpectrum
        Shape of the noise afterwards.
    """

    missing: Float64Array
    rest: Float64Array
    lack: NoiseSpectrum | None
    total: Float64Array
    target: NoiseSpectrum

    def field(self, rows: slice, shape: tuple[int, int], rng: np.random.Generator) -> Float32Array:
        """Return the noise that is added to the images of `rows`."""
        out = scaled_noise(self.target, self.rest[rows], shape, rng)
        if self.lack is not None and self.missing[rows].any():
            out += scaled_noise(self.lack, self.missing[rows], shape, rng)
        return out

    def cover(self, rows: slice, shape: tuple[int, int], rng: np.random.Generator) -> Float32Array:
        """Return noise like that of the images of `rows` afterwards."""
        return scaled_noise(self.target, self.total[rows], shape, rng)


def scaled_noise(
    spectrum: NoiseSpectrum, rms: Float64Array, shape: tuple[int, int], rng: np.random.Generator
) -> Float32Array:
    """Return noise of a shape with the rms ``(n, band)`` of every image."""
    if not rms.any():
        return np.zeros((*rms.shape, *shape), np.float32)
    unit = draw(spectrum, len(rms), shape, rng)
    factor = rms / np.where(spectrum.rms > 0, spectrum.rms, 1.0)
    return np.asarray(unit * factor[..., None, None], dtype=np.float32)


def noise_of(stamps: Float32Array, *, blank: BoolArray | None = None) -> SkyNoise:
    """Measure the noise of images on the common frame where they show nothing.

    Raises
    ------
    NotComputableError
        If there is too little blank sky.
    """
    free = blank_regions(stamps) if blank is None else blank
    _, found_rms, clean = stamp_noise(stamps, free)
    rms = np.where(clean, found_rms, np.nan)
    if np.isnan(rms).all(axis=0).any():
        raise NotComputableError(
            "noise: no image shows blank sky on the common frame; ask for a wider --frame-width"
        )
    found = measured(stamps, free, side=_side(stamps.shape[-1]))
    middle = np.nanmedian(rms, axis=0)
    return SkyNoise(rms=np.where(np.isfinite(rms), rms, middle), spectrum=found)


def noise_on_frame(party: Party, own: Blur, *, frame: CommonFrame, job: Job) -> SkyNoise:
    """Return the noise that images have on the common frame, from the sky of their native fields.

    Native fields are wider than frames, in which galaxies reach to the border. What blur and
    resampling make of the noise is calculated.

    Raises
    ------
    NotComputableError
        If there is too little blank sky.
    """
    images = party.images
    n, bands = images.images.shape[:2]
    rms = np.full((n, bands), np.nan)
    for start in range(0, n, CHUNK):
        rows = slice(start, min(start + CHUNK, n))
        rms[rows] = _blank_rms(images, np.arange(rows.start, rows.stop))
    if np.isnan(rms).all(axis=0).any():
        raise NotComputableError(
            f"noise: no image of {images.name} shows blank sky in its field; give larger stamps"
        )
    rms = np.where(np.isfinite(rms), rms, np.nanmedian(rms, axis=0))
    native = _native_spectrum(images)
    zoom = frame.width / job.scale(party) / job.recipe.stamp
    blurred, gain = _after_blur(native, own, n)
    found = resampled(blurred, float(np.median(zoom)))
    factor = gain * (found.rms / blurred.rms) / native.rms * (zoom / np.median(zoom))[:, None]
    return SkyNoise(rms=rms * factor, spectrum=found)


def _after_blur(native: NoiseSpectrum, own: Blur, n: int) -> tuple[NoiseSpectrum, Float64Array]:
    """Return the mean spectrum after the images' own kernels, and each rms ``(n, band)``."""
    if own.make is None:
        return native, np.repeat(native.rms[None], n, axis=0)
    total, rms = None, []
    for start in range(0, n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, n))
        kernels = own.kernels(rows)
        if kernels is None:
            continue
        each = [through(native, kernel) for kernel in kernels]
        if len(each) < len(rows):
            each *= len(rows)
        rms += [spectrum.rms for spectrum in each]
        power = np.sum([spectrum.power for spectrum in each], axis=0)
        total = power if total is None else total + power
    if total is None:
        return native, np.repeat(native.rms[None], n, axis=0)
    return NoiseSpectrum(power=total / n, n_pixels=native.n_pixels), np.array(rms)


def _blank_rms(images: ImageSet, rows: IntArray) -> Float64Array:
    """Return the rms of images' blank sky ``(k, band)``, NaN where it is not noise alone."""
    block = images.images.read(rows)
    mask = None if images.mask is None else images.mask[rows]
    _, rms, clean = stamp_noise(block, _empty(block, mask))
    return np.where(clean, rms, np.nan)


def _empty(block: Float32Array, mask: BoolArray | None) -> BoolArray:
    """Return blank sky, beyond the outskirts of sources in the images where enough is left."""
    near = blank_regions(block, mask=mask)
    far = far_from_sources(near)
    enough = far.sum(axis=(2, 3), keepdims=True) >= ENOUGH
    return np.where(enough, far, near)


def far_from_sources(blank: BoolArray) -> BoolArray:
    """Return the pixels of blank sky that lie well away from all that is not.

    The outskirts of galaxies reach past where they are seen: on JWST stamps, 4 pixels from what
    is seen, the rms was up to three times the noise.

    Parameters
    ----------
    blank : array of bool (n, band, y, x)
        From `blank_regions`.

    Examples
    --------
    >>> blank = np.ones((1, 1, 5, 40), bool)
    >>> blank[..., 0] = False
    >>> int(far_from_sources(blank).argmax(axis=-1)[0, 0, 2])
    13
    """
    out = np.empty_like(blank)
    for place in np.ndindex(*blank.shape[:2]):
        plane = blank[place]
        out[place] = plane if plane.all() else distance_transform_cdt(plane, "taxicab") > OUTSKIRTS
    return out


def _native_spectrum(images: ImageSet) -> NoiseSpectrum:
    """Return the spectrum of native noise from as many images as fit in memory with ease."""
    n, bands, height, width = images.images.shape
    most = max(8, MOST_PIXELS // (bands * height * width))
    rows = np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))
    block = images.images.read(rows)
    mask = None if images.mask is None else images.mask[rows]
    free = _empty(block, mask)
    quiet = _without_wings(block, free)
    return measured(block[quiet], free[quiet], side=_side(min(height, width)))


def _without_wings(images: Float32Array, free: BoolArray) -> BoolArray:
    """Return which images' blank sky is as flat at large scales as that of most ``(n,)``.

    Wings of a bright galaxy that nothing detects add power at scales where noise has little.
    """
    if len(images) < FEWEST_TO_JUDGE:
        return np.ones(len(images), np.bool_)
    scatter = np.stack([_large_scatter(*each) for each in zip(images, free, strict=True)])
    known = np.isfinite(scatter)
    middle = np.nanmedian(np.where(known, scatter, np.nan), axis=0)
    quiet = np.asarray((~known | (scatter <= WINGS * middle)).all(axis=1))
    return np.asarray(quiet if quiet.sum() >= len(quiet) // 2 else np.ones_like(quiet))


def _large_scatter(image: Float32Array, free: BoolArray) -> Float64Array:
    """Return the scatter of block means over that of pixels, band by band; NaN where unknown."""
    height, width = (side // BLOCK for side in image.shape[-2:])
    cut = (slice(None), slice(height * BLOCK), slice(width * BLOCK))
    shape = (len(image), height, BLOCK, width, BLOCK)
    blank = free[cut].reshape(shape)
    count = blank.sum(axis=(2, 4))
    total = np.where(blank, image[cut].reshape(shape), 0).sum(axis=(2, 4), dtype=np.float64)
    out = np.full(len(image), np.nan)
    for band in range(len(image)):
        full = count[band] >= BLOCK**2 // 2
        pixels = image[band][free[band]]
        if full.sum() >= FEWEST_BLOCKS and len(pixels) > 1 and pixels.std() > 0:
            means = total[band][full] / count[band][full]
            out[band] = means.std() / pixels.std()
    return out


def no_noise(n: int, bands: int) -> SkyNoise:
    """Return the noise of images without any."""
    return SkyNoise(rms=np.zeros((n, bands)), spectrum=None)


def _side(stamp: int) -> int:
    return int(min(64, 2 * (stamp // 2)))


def made_equal(sim: SkyNoise, obs: SkyNoise, rng: np.random.Generator) -> tuple[Filling, Filling]:
    """Return what is to be added to either side so that both have the same noise.

    Raises
    ------
    NotComputableError
        If neither side has any noise.

    Examples
    --------
    >>> from simreal.match.correlated_noise import white
    >>> obs = SkyNoise(rms=np.full((50, 1), 3.0), spectrum=white([3.0]))
    >>> ours, theirs = made_equal(no_noise(40, 1), obs, np.random.default_rng(0))
    >>> float(ours.rest.mean()), float(theirs.rest.max())
    (3.0, 0.0)
    """
    if sim.spectrum is None and obs.spectrum is None:
        raise NotComputableError("noise: neither side has any; name the survey to be like")
    shapes = [noise.spectrum for noise in (sim, obs) if noise.spectrum is not None]
    side = max(shape.side for shape in shapes)
    target = common_spectrum([on_grid(shape, side) for shape in shapes])
    placed = [ranks(noise.rms, rng) for noise in (sim, obs)]
    fillings = []
    for own, other, rank in zip((sim, obs), (obs, sim), placed, strict=True):
        total = _target_rms(own.rms, other.rms, rank, target, shapes)
        fillings.append(_filling(own, target, total))
    return fillings[0], fillings[1]


def common_spectrum(spectra: Sequence[NoiseSpectrum]) -> NoiseSpectrum:
    """Return the spectrum that both sides are brought to.

    Spectra of one shape, as far as can be measured, keep it at the larger variance: filling up
    what only scatters would give either side a noise of a shape of its own. Where shapes differ,
    the larger power at every frequency is the least that both can be brought to.

    Examples
    --------
    >>> from simreal.match.correlated_noise import white
    >>> common_spectrum([white([3.0]), white([4.0])]).rms.tolist()
    [4.0]
    """
    if len(spectra) == 1:
        return spectra[0]
    variance = [spectrum.power.mean(axis=(1, 2), keepdims=True) for spectrum in spectra]
    largest = np.maximum.reduce(variance)
    annuli = [
        spectrum.annuli()[1] / each[..., 0]
        for spectrum, each in zip(spectra, variance, strict=True)
    ]
    usable = np.minimum.reduce(annuli) > FAINT * np.maximum.reduce(annuli).max()
    apart = np.abs(np.log(np.where(usable, annuli[0] / annuli[1], 1.0)))
    same = (apart.max(axis=1) < ONE_SHAPE)[:, None, None]
    mean = np.mean([s.power / v for s, v in zip(spectra, variance, strict=True)], axis=0)
    raised = np.maximum.reduce([spectrum.power for spectrum in spectra])
    return NoiseSpectrum(power=np.where(same, mean * largest, raised))


def _target_rms(
    own: Float64Array,
    other: Float64Array,
    rank: Float64Array,
    target: NoiseSpectrum,
    shapes: Sequence[NoiseSpectrum],
) -> Float64Array:
    """Return the rms every image is brought to: the larger of both sides at its rank.

    A common spectrum that is the larger of two has more variance than either where they cross:
    all images are raised by what that asks for.
    """
    theirs = at_rank(other, rank)
    crossing = target.rms / np.max([shape.rms for shape in shapes], axis=0)
    return np.asarray(np.maximum(own, theirs) * np.maximum(crossing, 1.0))


def _filling(own: SkyNoise, target: NoiseSpectrum, total: Float64Array) -> Filling:
    """Return what brings every image to its rms: first the missing shape, then noise of the target.

    Images within the error of their rms are left as they are, unless the shape of their noise is
    another: a few frequencies may lack a lot and the rms little.
    """
    wanted = np.maximum(total**2 - own.rms**2, 0.0)
    if own.spectrum is None:
        none = np.zeros_like(wanted)
        return Filling(missing=none, rest=np.sqrt(wanted), lack=None, total=total, target=target)
    lack = missing(own.spectrum, target).spectrum
    (_, absent), (_, goal) = lack.annuli(), target.annuli()
    shaped = ((absent > ONE_SHAPE * goal) & (goal > FAINT * goal.max(axis=1, keepdims=True))).any(1)
    wanted[~(shaped | (own.rms < (1 - KNOWN_RMS) * total))] = 0.0
    middle = np.median(total, axis=0)
    share = np.minimum((lack.rms * total / np.where(middle > 0, middle, 1.0)) ** 2, wanted)
    return Filling(
        missing=np.sqrt(share),
        rest=np.sqrt(wanted - share),
        lack=lack,
        total=np.sqrt(own.rms**2 + wanted),
        target=target,
    )


def shot_noise_on(
    light: Float32Array,
    *,
    electrons: Float64Array,
    noise: Float64Array,
    spectrum: NoiseSpectrum,
    rng: np.random.Generator,
) -> Float32Array:
    """Return the noise of the light's own photons, correlated like that of the sky.

    On the survey's pixels photons arrive independently; what the frame did to the sky's noise
    it did to theirs.

    Parameters
    ----------
    light : array (n, band, y, x)
        [nJy / pixel] On the common frame.
    electrons : array (band,)
        Per nJy.
    noise : array (band,)
        Variance on the common frame per variance of independent pixels of that size.
    spectrum : NoiseSpectrum
        Shape of the sky's noise.
    """
    unit = draw(spectrum, len(light), (light.shape[-2], light.shape[-1]), rng)
    unit /= spectrum.rms[:, None, None].astype(np.float32)
    factor = (noise / electrons)[:, None, None].astype(np.float32)
    return np.asarray(unit * np.sqrt(np.maximum(light, 0) * factor), dtype=np.float32)
