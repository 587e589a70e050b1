"""Plant a nuisance: a fault of observing or of processing, of a stated size, on matched stamps.

A degradation (`simreal.match.degrade`) climbs from mild to gross and asks whether a distance
follows. A nuisance is as small as those that hide in real pairs, and asks whether an audit sees
it and calls it by its name. What is planted is only what would differ if one side had gone
through a faulty pipeline: faults of the telescope and of resampling come before the last
encoding, and the planted images are encoded again; traces of storage come after it. The side
that stays as it is gets the same treatment with size 0, so that nothing but the nuisance
differs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import scipy.fft
from scipy import ndimage

from simreal.core.arrays import AnyArray, Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.match import degrade
from simreal.match.degrade import PSF_FWHM
from simreal.match.psf import MOFFAT_BETA, convolve
from simreal.match.recipe import Recipe
from simreal.match.texture import NOISE_SIGMA
from simreal.measure.psf import FWHM_PER_SIGMA
from simreal.measure.sky import border_sky, clipped_statistics
from simreal.measure.stamps import QUANTISATION, luminance_of

Stage = Literal["before", "encoding", "after"]
Change = Callable[[Float32Array, degrade.Given], Float32Array]

#: Quality of the last encoding of a match that was asked for nothing else.
QUALITY = Recipe().jpeg_quality
#: In place of a quality: stamps that were never on the 8-bit grid are left off it.
AS_IT_IS = -1
_GREY = 1.0 / 255.0
#: [sky rms] Where the smoothed luminance rises from this to twice this above sky, light fades in.
LIGHT_SIGMA = 1.5
#: [pixel] Standard deviation of the smoothing that finds light.
LIGHT_WIDTH = 2.0
#: [pixel] Side of the square by which light reaches beyond that: what a PSF takes from a core it
#: gives to the rim.
LIGHT_REACH = 9
#: [cycle per FWHM of the PSF] From the first to the second of these a galaxy's power drowns in
#: the noise: finer structure is left as it is.
FINEST_LIGHT = (0.45, 0.75)
#: Peak of a planted neighbour in sky rms: on SDSS composites framed at six half-light radii it
#: then holds about 1 % of the light of the galaxy in the middle.
NEIGHBOUR_PEAK = 20.0
#: Neighbours lie between these distances from the centre, in sides of the stamp.
NEIGHBOUR_RING = (0.25, 0.45)
#: Detail this many times above the energy of its noise begins to be light.
DETAIL_ENERGY = 4.0
_BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conditions:
    """What a nuisance may use besides the images.

    Parameters
    ----------
    size : float
        Above 0, in the unit of the nuisance.
    rng : Generator
    psf_fwhm : array (n,)
        [pixel]
    rms : array (n, band, 1, 1)
        Sky rms of each image.
    sky : array (k, band, y, x) or None
        Galaxy-free sky of the survey.
    quality : int or None
        Of the last encoding as JPEG; None for 8 bits alone, `AS_IT_IS` for none at all.
    """

    size: float
    rng: np.random.Generator
    psf_fwhm: Float64Array
    rms: Float64Array
    sky: Float32Array | None = None
    quality: int | None = QUALITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Nuisance:
    """One kind of nuisance.

    Parameters
    ----------
    name : str
    meaning : str
        What size measures, and what the fault imitates.
    unit : str
    sizes : tuple of float
        Small, about the smallest that 300 objects a side show; middle; large.
    check : str
        The check of the audit that must name it.
    stage : {"before", "encoding", "after"}
        Whether it acts before the last encoding, is that encoding, or acts after it.
    change : callable(images, conditions) -> images
    maximum : float
        Largest size with a meaning.
    minimum_bands : int
    needs_sky : bool
    """

    name: str
    meaning: str
    unit: str
    sizes: tuple[float, float, float]
    check: str
    stage: Stage
    change: Callable[[Float32Array, Conditions], Float32Array]
    maximum: float = np.inf
    minimum_bands: int = 1
    needs_sky: bool = False


def plant(
    images: Float32Array,
    kind: str,
    size: float,
    *,
    rng: np.random.Generator,
    psf_fwhm: float | Float64Array = PSF_FWHM,
    noise: Float64Array | None = None,
    sky: Float32Array | None = None,
    quality: int | None = QUALITY,
) -> Float32Array:
    """Return images with one nuisance of a given size, encoded like the last step of a match.

    Stamps and empty sky take the same faults: what broadens or displaces light leaves empty
    sky as it is, what acts on pixels acts on both. Before a fault, 8-bit values are spread
    evenly over their grey level, or a pedestal of a tenth of a level would be rounded away.
    Random parts do not depend on the size: generators in the same state give the same spread,
    the same noise, the same directions and the same choice of images.

    Parameters
    ----------
    images : array (n, band, y, x)
        Matched stamps or empty sky, display values in [0, 1].
    kind : str
        A name in `NUISANCES`.
    size : float
        In the unit of the nuisance. 0 plants nothing, and still spreads and encodes: what the
        other side has to go through.
    rng : Generator
    psf_fwhm : float or array (n,)
        [pixel] PSF of the images, for what widens in proportion to it.
    noise : array (n, band), optional
        Sky rms of the images, for what is measured in it; by default that of their borders.
    sky : array (k, band, y, x), optional
        Galaxy-free sky of the survey, for noise that has its spectrum.
    quality : int or None
        Of the last encoding as JPEG; None for 8 bits alone, `AS_IT_IS` for none at all.

    Returns
    -------
    array of float32 (n, band, y, x)
        On the 8-bit grid, unless the nuisance is to leave it.

    Raises
    ------
    UsageError
        If the kind is unknown, the size outside what it allows, or the sky of another shape.
    NotComputableError
        If the nuisance does not exist for these bands or needs sky.

    Examples
    --------
    >>> stamps = np.full((2, 1, 32, 32), 0.2, "f4")
    >>> clipped = plant(stamps, "saturation", 0.9, rng=np.random.default_rng(0), quality=None)
    >>> round(float(clipped.max()), 2)
    0.1
    """
    nuisance = _checked(images, kind, size, sky)
    if not len(images):
        return images
    spread = rng.random(images.shape, dtype=np.float32)
    spread -= np.float32(0.5)
    spread *= np.float32(0.0 if quality == AS_IT_IS else _GREY)
    spread += images
    conditions = Conditions(
        size=size,
        rng=rng,
        psf_fwhm=np.broadcast_to(np.asarray(psf_fwhm, dtype=np.float64), (len(images),)),
        rms=_rms(images, noise),
        sky=sky,
        quality=quality,
    )
    return _through(spread, nuisance, conditions)


def _through(images: Float32Array, nuisance: Nuisance, conditions: Conditions) -> Float32Array:
    """Return images through the last steps of a match, the nuisance among them."""
    planted = conditions.size > 0
    if planted and nuisance.stage == "before":
        images = nuisance.change(images, conditions)
    if planted and nuisance.stage == "encoding":
        images = nuisance.change(images, conditions)
    else:
        images = encoded(images, conditions.quality)
    if planted and nuisance.stage == "after":
        images = np.clip(nuisance.change(images, conditions), 0.0, 1.0).astype(np.float32)
    return images


def encoded(images: Float32Array, quality: int | None) -> Float32Array:
    """Return images on the 8-bit grid, written and read as JPEG if `quality` is given."""
    if quality == AS_IT_IS:
        return np.clip(images, 0.0, 1.0)
    if quality is None:
        on_grid = np.rint(np.clip(images, 0.0, 1.0) * np.float32(255)) / np.float32(255)
        return np.asarray(on_grid, dtype=np.float32)
    return _degraded("jpeg", images, 100.0 - quality)


def _degraded(kind: str, images: Float32Array, severity: float) -> Float32Array:
    """Return images with a fault that is also a rung of a ladder, and random in no part."""
    # Severity 0 of the ladders is the image itself; that of JPEG is still an encoding.
    change = cast(Change, degrade.KINDS[kind].change)
    given = degrade.Given(severity=severity, rng=np.random.default_rng(0), psf_fwhm=PSF_FWHM)
    return change(images, given)


def _checked(images: Float32Array, kind: str, size: float, sky: Float32Array | None) -> Nuisance:
    if kind not in NUISANCES:
        raise UsageError(f"unknown nuisance {kind!r}: {did_you_mean(kind, NUISANCES)}")
    nuisance = NUISANCES[kind]
    if not 0 <= size <= nuisance.maximum:
        raise UsageError(
            f"nuisance {kind!r}: got size {size}, allowed is 0 to {nuisance.maximum:g} "
            f"[{nuisance.unit}]"
        )
    if images.shape[1] < nuisance.minimum_bands:
        raise NotComputableError(
            f"nuisance {kind!r} needs {nuisance.minimum_bands} bands or more, got "
            f"{images.shape[1]}; use stamps in colour or another kind"
        )
    if nuisance.needs_sky and (sky is None or not len(sky)):
        raise NotComputableError(
            f"nuisance {kind!r} needs galaxy-free sky of the survey; give its patches as sky"
        )
    if sky is not None and sky.shape[1:] != images.shape[1:]:
        raise UsageError(
            f"nuisance {kind!r}: got sky of shape {sky.shape[1:]}, allowed is that of the images, "
            f"{images.shape[1:]}"
        )
    return nuisance


def _rms(images: Float32Array, noise: Float64Array | None) -> Float64Array:
    rms = border_sky(images)[1] if noise is None else np.asarray(noise, dtype=np.float64)
    rms = np.broadcast_to(rms, images.shape[:2])
    return np.asarray(np.maximum(rms, QUANTISATION)[..., None, None])


def added_rms(growth: float) -> float:
    """Return the rms, in units of the rms there is, of noise that lets it grow by a part.

    Examples
    --------
    >>> round(added_rms(0.25), 3)
    0.75
    """
    return float(np.sqrt((1.0 + growth) ** 2 - 1.0))


def _noise(images: Float32Array, given: Conditions) -> Float32Array:
    """Add the survey's own sky residuals, turned, mirrored and rolled at random."""
    sky = cast(Float32Array, given.sky)  # held by needs_sky
    n, bands, height, width = images.shape
    pick = given.rng.integers(len(sky), size=(n,))
    turns = given.rng.integers(8, size=(n,))
    quarter = 1 if height == width else 2
    down, across = (given.rng.integers(side, size=(n,)) for side in (height, width))
    out = images.copy()
    for k in range(n):
        patch = sky[pick[k]]
        level, rms = clipped_statistics(patch.reshape(bands, -1))
        noise = patch - level[:, None, None].astype(np.float32)
        source = np.abs(noise).max(axis=0) > NOISE_SIGMA * rms.max()
        noise = np.where(source, np.float32(0), noise)
        _, rms = clipped_statistics(noise.reshape(bands, -1))
        gain = added_rms(given.size) * given.rms[k] / np.maximum(rms, QUANTISATION)[:, None, None]
        noise = gain.astype(np.float32) * noise
        noise = noise[..., ::-1] if turns[k] >= 4 else noise
        turned = np.rot90(noise, turns[k] % 4 * quarter, axes=(1, 2))
        out[k] += np.roll(turned, (down[k], across[k]), axis=(1, 2))
    return out


def _white_noise(images: Float32Array, given: Conditions) -> Float32Array:
    noise = given.rng.standard_normal(images.shape, dtype=np.float32)
    noise *= (added_rms(given.size) * given.rms).astype(np.float32)
    noise += images
    return noise


def _smoothing(images: Float32Array, given: Conditions) -> Float32Array:
    return convolve(images, np.full(len(images), given.size * FWHM_PER_SIGMA), beta=np.inf)


def _resampling(images: Float32Array, given: Conditions) -> Float32Array:
    """Shift bilinearly along both axes, forth or back at random: the mean position stays."""
    for axis in (2, 3):
        back = given.rng.random(len(images)) < 0.5
        moved = np.where(
            back[:, None, None, None], np.roll(images, -1, axis), np.roll(images, 1, axis)
        )
        images = images + np.float32(given.size) * (moved - images)
    return images


def _pedestal(images: Float32Array, given: Conditions) -> Float32Array:
    return images + (given.size * given.rms).astype(np.float32)


def _gradient(images: Float32Array, given: Conditions) -> Float32Array:
    """Tilt along x from minus half to plus half the size: a flat field that is off."""
    ramp = np.linspace(-0.5, 0.5, images.shape[3])
    return images + (given.size * given.rms * ramp).astype(np.float32)


def _psf(images: Float32Array, given: Conditions) -> Float32Array:
    return _broadened(images, given, (1.0, 1.0))


def _psf_ellipticity(images: Float32Array, given: Conditions) -> Float32Array:
    return _broadened(images, given, (0.0, 1.0))


def _broadened(images: Float32Array, given: Conditions, along: tuple[float, float]) -> Float32Array:
    """Broaden the light along y and x by what a PSF that is longer by the size lacks.

    Noise stays as it was: scales as coarse as the PSF change where there is light, finer ones
    only where they stand above the noise of their own, in cores and stars.
    """
    out = images.copy()
    for start in range(0, len(images), _BLOCK):
        rows = slice(start, start + _BLOCK)
        fwhm = given.psf_fwhm[rows, None, None]
        lost = _lost(images.shape[2:], fwhm * added_rms(given.size), along)
        coarse = _coarse(images.shape[2:], fwhm)
        # Cosine transforms mirror the edges.
        waves = scipy.fft.dctn(images[rows], axes=(2, 3), norm="ortho")
        waves *= lost[:, None].astype(np.float32)
        broad = waves * coarse[:, None].astype(np.float32)
        broad, fine = (
            scipy.fft.idctn(x, axes=(2, 3), norm="ortho") for x in (broad, waves - broad)
        )
        out[rows] -= light_weight(images[rows], given.rms[rows])[:, None] * broad
        out[rows] -= detail_weight(fine)[:, None] * fine
    return out


def _lost(shape: tuple[int, int], fwhm: Float64Array, along: tuple[float, float]) -> Float64Array:
    """Return the part of each wave's amplitude that a Gaussian takes away ``(n, y, x)``."""
    ky, kx = _wavenumbers(shape)
    sigma = fwhm / FWHM_PER_SIGMA
    return np.asarray(-np.expm1(-2 * (np.pi * sigma) ** 2 * (along[0] * ky**2 + along[1] * kx**2)))


def _coarse(shape: tuple[int, int], fwhm: Float64Array) -> Float64Array:
    """Return 1 for waves on which a galaxy drowns the noise, 0 where it is the other way."""
    ky, kx = _wavenumbers(shape)
    first, last = FINEST_LIGHT
    return np.clip((last - np.hypot(ky, kx) * fwhm) / (last - first), 0.0, 1.0)


def _wavenumbers(shape: tuple[int, int]) -> tuple[Float64Array, Float64Array]:
    """Return those of a cosine transform [cycle / pixel], along y and along x."""
    return np.arange(shape[0])[:, None] / (2 * shape[0]), np.arange(shape[1]) / (2 * shape[1])


def light_weight(images: Float32Array, rms: Float64Array) -> Float32Array:
    """Return 1 where a stamp shows light and 0 on its empty sky, with soft edges ``(n, y, x)``.

    A hard edge would print fine structure of its own on what is broadened.

    Parameters
    ----------
    images : array (n, band, y, x)
    rms : array (n, band, 1, 1)
        Of the sky.
    """
    luminance = luminance_of(images)
    level, _ = border_sky(luminance)
    above = _softened(luminance) - level[:, None, None]
    weight = np.clip(above / (LIGHT_SIGMA * rms.mean(axis=1)) - 1.0, 0.0, 1.0)
    return _softened(ndimage.maximum_filter(weight, (1, LIGHT_REACH, LIGHT_REACH), mode="mirror"))


def detail_weight(detail: Float32Array) -> Float32Array:
    """Return 1 where detail ``(n, band, y, x)`` is far above its noise, 0 where it is noise."""
    luminance = luminance_of(detail)
    noise = np.median(np.abs(luminance), axis=(1, 2), keepdims=True) / np.float32(0.6745)
    energy = np.maximum(_softened(luminance**2), np.float32(1e-30))
    return _softened(np.clip(1.0 - DETAIL_ENERGY * noise**2 / energy, 0.0, 1.0))


def _softened(planes: AnyArray) -> Float32Array:
    soft = (0.0, LIGHT_WIDTH, LIGHT_WIDTH)
    return np.asarray(ndimage.gaussian_filter(planes, soft, mode="mirror"), dtype=np.float32)


def whole_numbers(size: float, n: int, rng: np.random.Generator) -> IntArray:
    """Return a whole number for each of `n` images; their mean is `size`.

    Examples
    --------
    >>> whole_numbers(2.0, 3, np.random.default_rng(0)).tolist()
    [2, 2, 2]
    """
    base = int(np.floor(size))
    return base + (rng.random(n) < size - base).astype(np.int64)


def _centring(images: Float32Array, given: Conditions) -> Float32Array:
    shifts = whole_numbers(given.size, len(images), given.rng)
    return _rolled(images, shifts)


def _rolled(images: Float32Array, shifts: IntArray) -> Float32Array:
    """Return images rolled along x, each by its own number of pixels."""
    out = np.empty_like(images)
    for shift in np.unique(shifts):
        rows = shifts == shift
        out[rows] = np.roll(images[rows], shift, axis=3)
    return out


def _registration(images: Float32Array, given: Conditions) -> Float32Array:
    """Roll the last band against the others."""
    shifts = whole_numbers(given.size, len(images), given.rng)
    out = images.copy()
    out[:, -1:] = _rolled(images[:, -1:], shifts)
    return out


def _neighbours(images: Float32Array, given: Conditions) -> Float32Array:
    """Add white point sources with the image's PSF, each at a place of its own."""
    numbers = whole_numbers(given.size, len(images), given.rng)
    out = images.copy()
    for k in range(int(numbers.max())):
        out += _point_sources(images, given) * (numbers > k)[:, None, None, None]
    return out


def _point_sources(images: Float32Array, given: Conditions) -> Float32Array:
    """Return one source on each image ``(n, 1, y, x)``."""
    n, _, height, width = images.shape
    angle = 2 * np.pi * given.rng.random((n,))
    inner, outer = NEIGHBOUR_RING
    area = inner**2 + (outer**2 - inner**2) * given.rng.random((n,))
    distance = min(height, width) * np.sqrt(area)
    x = np.arange(width) - ((width - 1) / 2 + distance * np.cos(angle))[:, None]
    y = np.arange(height) - ((height - 1) / 2 + distance * np.sin(angle))[:, None]
    scale = given.psf_fwhm / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
    square = (y[:, :, None] ** 2 + x[:, None] ** 2) / scale[:, None, None] ** 2
    peak = NEIGHBOUR_PEAK * given.rms.mean(axis=1)
    return np.asarray(peak * (1 + square) ** -MOFFAT_BETA, dtype=np.float32)[:, None]


def _jpeg(images: Float32Array, given: Conditions) -> Float32Array:
    best = QUALITY if given.quality in (None, AS_IT_IS) else given.quality
    return encoded(images, max(1, round(best - given.size)))


def _quantisation(images: Float32Array, given: Conditions) -> Float32Array:
    return encoded(_degraded("quantisation", images, given.size), None)


def _border(images: Float32Array, given: Conditions) -> Float32Array:
    """Blacken the outermost rows and columns."""
    widths = whole_numbers(given.size, len(images), given.rng)
    height, width = images.shape[2:]
    y, x = np.arange(height)[:, None], np.arange(width)
    depth = np.minimum(np.minimum(y, height - 1 - y), np.minimum(x, width - 1 - x))
    return np.where(depth < widths[:, None, None, None], np.float32(0), images)


def _saturation(images: Float32Array, given: Conditions) -> Float32Array:
    return np.minimum(images, np.float32(np.rint((1.0 - given.size) * 255) * _GREY))


def _off_grid(images: Float32Array, given: Conditions) -> Float32Array:
    """Spread each pixel evenly about its grey level, as if it had never been rounded."""
    spread = given.rng.random(images.shape, dtype=np.float32) - np.float32(0.5)
    return np.asarray(images + np.float32(given.size * _GREY) * spread)


_ALL = (
    Nuisance(
        name="noise",
        meaning="noise with the spectrum of the survey's own sky lets the sky rms grow by this "
        "part: another depth",
        unit="part of the sky rms",
        sizes=(0.2, 0.3, 0.6),
        check="sky_statistics",
        stage="before",
        change=_noise,
        needs_sky=True,
    ),
    Nuisance(
        name="white_noise",
        meaning="white noise lets the sky rms grow by this part: noise drawn pixel by pixel",
        unit="part of the sky rms",
        sizes=(0.25, 0.4, 0.8),
        check="noise_power",
        stage="before",
        change=_white_noise,
    ),
    Nuisance(
        name="smoothing",
        meaning="the finished image is convolved with a Gaussian of this standard deviation",
        unit="pixel",
        sizes=(0.28, 0.45, 0.8),
        check="noise_power",
        stage="before",
        change=_smoothing,
    ),
    Nuisance(
        name="resampling",
        meaning="the finished image is shifted bilinearly by this much along both axes, forth "
        "or back at random: one interpolation too many",
        unit="pixel",
        sizes=(0.12, 0.25, 0.5),
        check="noise_power",
        stage="before",
        change=_resampling,
        maximum=0.5,
    ),
    Nuisance(
        name="pedestal",
        meaning="everything is brighter by this much: a background badly subtracted",
        unit="sky rms",
        sizes=(0.18, 0.4, 1.0),
        check="sky_statistics",
        stage="before",
        change=_pedestal,
    ),
    Nuisance(
        name="gradient",
        meaning="the background rises along x by this much from edge to edge: a flat field off",
        unit="sky rms",
        sizes=(0.08, 0.25, 0.8),
        check="sky_statistics",
        stage="before",
        change=_gradient,
    ),
    Nuisance(
        name="psf",
        meaning="the PSF is broader by this part of its FWHM, the noise as it was: a PSF "
        "mismatched",
        unit="part of the PSF's FWHM",
        sizes=(0.18, 0.3, 0.6),
        check="psf",
        stage="before",
        change=_psf,
    ),
    Nuisance(
        name="psf_ellipticity",
        meaning="the PSF is longer by this part along x on all images, the noise as it was: "
        "tracking or optics",
        unit="part of the PSF's FWHM",
        sizes=(0.15, 0.3, 0.8),
        check="psf",
        stage="before",
        change=_psf_ellipticity,
    ),
    Nuisance(
        name="centring",
        meaning="images are rolled along x by whole pixels, this many in the mean: another "
        "convention of the centre",
        unit="pixel",
        sizes=(0.4, 1.0, 3.0),
        check="nuisance_probes",
        stage="before",
        change=_centring,
    ),
    Nuisance(
        name="neighbours",
        meaning="images have this many point sources of 20 sky rms more, in the mean: crowding",
        unit="sources per image",
        sizes=(0.8, 1.5, 4.0),
        check="nuisance_probes",
        stage="before",
        change=_neighbours,
    ),
    Nuisance(
        name="registration",
        meaning="the last band is rolled against the others along x by whole pixels, this many "
        "in the mean: bands not registered",
        unit="pixel",
        sizes=(0.5, 1.0, 2.0),
        check="nuisance_probes",
        stage="before",
        change=_registration,
        minimum_bands=2,
    ),
    Nuisance(
        name="jpeg",
        meaning="the last encoding is a JPEG this far below the quality of the other side",
        unit="quality",
        sizes=(1.0, 5.0, 20.0),
        check="identity",
        stage="encoding",
        change=_jpeg,
        maximum=89.0,
    ),
    Nuisance(
        name="quantisation",
        meaning="this many of 8 bits are missing from the display values",
        unit="bit",
        sizes=(0.1, 0.5, 2.0),
        check="identity",
        stage="after",
        change=_quantisation,
        maximum=7.0,
    ),
    Nuisance(
        name="border",
        meaning="the outermost rows and columns are black, this many in the mean: padding",
        unit="pixel",
        sizes=(0.1, 0.5, 2.0),
        check="identity",
        stage="after",
        change=_border,
    ),
    Nuisance(
        name="saturation",
        meaning="values are cut this much below white: another saturation",
        unit="display value",
        sizes=(0.03, 0.1, 0.3),
        check="identity",
        stage="after",
        change=_saturation,
        maximum=1.0,
    ),
    Nuisance(
        name="off_grid",
        meaning="values are spread evenly over this part of their grey level: floating-point "
        "numbers where the other side has 8 bits",
        unit="grey level",
        sizes=(0.005, 0.1, 1.0),
        check="identity",
        stage="after",
        change=_off_grid,
        maximum=1.0,
    ),
)

#: Every kind of nuisance by name.
NUISANCES: Mapping[str, Nuisance] = {one.name: one for one in _ALL}
