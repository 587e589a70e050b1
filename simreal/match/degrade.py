"""Degrade matched stamps on purpose: the rungs of a ladder that a distance must climb.

Real images made worse by a known amount, one kind of fault at a time. A distance that does
not grow with the severity is blind to that fault; how fast it grows says how much of a
difference between a simulation and the sky such a fault would account for. Every fault acts
on display values and returns display values.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from simreal.core.arrays import Float32Array, Float64Array, IntArray, owned
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.match.psf import convolve
from simreal.measure.sky import border_sky
from simreal.measure.stamps import QUANTISATION, luminance_of

#: [pixel] PSF of stamps whose own is not known; on SDSS composites framed for comparison, half
#: of the stamps have between 3.7 and 5.7.
PSF_FWHM = 4.5
_BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Degraded:
    """Degraded stamps, and which of the given ones each was made from.

    Parameters
    ----------
    images : array of float32 (n, band, y, x)
        In [0, 1].
    rows : array of int (n,)
        Counts up from 0, unless the kind draws other objects: ids and groups follow it.
    """

    images: Float32Array
    rows: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", owned(self.images, np.float32))
        object.__setattr__(self, "rows", owned(self.rows, np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a degradation may use besides the stamps.

    Parameters
    ----------
    severity : float
        Above 0, in the unit of the kind.
    rng : Generator
    psf_fwhm : float or array (n,)
        [pixel]
    """

    severity: float
    rng: np.random.Generator
    psf_fwhm: float | Float64Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """One kind of fault and its rungs.

    Parameters
    ----------
    name : str
    meaning : str
        What severity measures, and what the fault imitates.
    unit : str
    levels : tuple of float
        From 0, nothing, over mild to gross.
    maximum : float
        Largest severity with a meaning.
    minimum_bands : int
    change : callable(images, given) -> images
        For kinds that act on each stamp alone; None for those that act on the set.
    draw : callable(images, given) -> rows
        For kinds that replace objects by others.
    """

    name: str
    meaning: str
    unit: str
    levels: tuple[float, ...]
    maximum: float = np.inf
    minimum_bands: int = 1
    change: Callable[[Float32Array, Given], Float32Array] | None = None
    draw: Callable[[Float32Array, Given], IntArray] | None = None

    def applies_to(self, images: Float32Array) -> bool:
        """Return whether stamps with these bands can have this fault."""
        return bool(images.shape[1] >= self.minimum_bands)


def degrade(
    images: Float32Array,
    kind: str,
    severity: float,
    *,
    rng: np.random.Generator,
    psf_fwhm: float | Float64Array = PSF_FWHM,
) -> Degraded:
    """Return stamps with one fault of a given severity; the given ones are not changed.

    Random parts do not depend on the severity: generators in the same state give the same
    noise, the same directions and the same order of objects on every rung.

    Parameters
    ----------
    images : array (n, band, y, x)
        Matched stamps, display values in [0, 1].
    kind : str
        A name in `KINDS`.
    severity : float
        In the unit of the kind; 0 gives back the stamps.
    rng : Generator
    psf_fwhm : float or array (n,)
        [pixel] PSF of the stamps, for the kind that broadens it.

    Returns
    -------
    Degraded

    Raises
    ------
    UsageError
        If the kind is unknown or the severity outside what it allows.
    NotComputableError
        If the fault does not exist for stamps with so few bands.

    Examples
    --------
    >>> stamps = np.zeros((1, 1, 32, 32), "f4")
    >>> stamps[0, 0, 16, 16] = 1
    >>> blurred = degrade(stamps, "psf", 1.0, rng=np.random.default_rng(0)).images
    >>> bool(blurred.max() < 0.2), round(float(blurred.sum()), 3)
    (True, 1.0)
    """
    if kind not in KINDS:
        raise UsageError(f"unknown degradation {kind!r}: {did_you_mean(kind, KINDS)}")
    fault, rows = KINDS[kind], np.arange(len(images))
    if not 0 <= severity <= fault.maximum:
        raise UsageError(
            f"degradation {kind!r}: got severity {severity}, allowed is 0 to {fault.maximum:g} "
            f"[{fault.unit}]"
        )
    if not fault.applies_to(images):
        raise NotComputableError(
            f"degradation {kind!r} needs {fault.minimum_bands} bands or more, got "
            f"{images.shape[1]}; use stamps in colour or another kind"
        )
    if severity == 0 or not len(images):
        return Degraded(images=images, rows=rows)
    given = Given(severity=severity, rng=rng, psf_fwhm=psf_fwhm)
    if fault.draw is not None:
        rows = fault.draw(images, given)
        images = images[rows]
    if fault.change is not None:
        images = np.clip(fault.change(images, given), 0.0, 1.0)
    return Degraded(images=images, rows=rows)


def pixel_permuted(images: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Return stamps whose pixels are shuffled: each keeps its histogram and has no structure.

    All bands of a stamp are shuffled alike, so that its pixels keep their colours. A
    declared bad mock, for the far end of a scale of distances.

    Parameters
    ----------
    images : array (n, band, y, x)
    rng : Generator

    Examples
    --------
    >>> ramp = np.arange(16, dtype="f4").reshape(1, 1, 4, 4)
    >>> shuffled = pixel_permuted(ramp, np.random.default_rng(0))
    >>> bool((np.sort(shuffled, axis=None) == ramp.ravel()).all())
    True
    """
    n, bands, height, width = images.shape
    flat, out = images.reshape(n, bands, -1), np.empty((n, bands, height * width), images.dtype)
    for start in range(0, n, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n))
        order = np.tile(np.arange(height * width), (rows.stop - start, 1))
        order = rng.permuted(order, axis=1)
        out[rows] = np.take_along_axis(flat[rows], order[:, None], axis=2)
    return out.reshape(images.shape)


def _psf(images: Float32Array, given: Given) -> Float32Array:
    """Convolve by the Gaussian that broadens the PSF, widths adding in quadrature."""
    own = np.broadcast_to(np.asarray(given.psf_fwhm, dtype=np.float64), (len(images),))
    extra = own * np.sqrt((1.0 + given.severity) ** 2 - 1.0)
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(images), _BLOCK)]
    return np.concatenate([convolve(images[rows], extra[rows], beta=np.inf) for rows in blocks])


def _noise(images: Float32Array, given: Given) -> Float32Array:
    _, rms = _sky(images)
    noise = given.rng.standard_normal(images.shape, dtype=np.float32)
    noise *= (given.severity * rms).astype(np.float32)
    noise += images
    return noise


def _sky(images: Float32Array) -> tuple[Float64Array, Float64Array]:
    """Return level and rms ``(n, band, 1, 1)``, the rms no less than a grey level's noise."""
    level, rms = border_sky(images)
    return level[..., None, None], np.maximum(rms, QUANTISATION)[..., None, None]


def _pixelation(images: Float32Array, given: Given) -> Float32Array:
    """Average over cells of 1 + severity pixels and show each cell as one flat patch."""
    down, across = (_cells(side, 1.0 + given.severity) for side in images.shape[2:])
    return np.asarray(down @ images @ across.T)


def _cells(side: int, size: float) -> Float32Array:
    """Return the ``(side, side)`` matrix that replaces pixels by the mean of their cell.

    A pixel on the border of two cells belongs to both in proportion.
    """
    n_cells = max(1, round(side / size))
    edges, pixel = np.arange(n_cells + 1) * side / n_cells, np.arange(side)
    low = np.maximum(edges[:-1, None], pixel)
    overlap = np.clip(np.minimum(edges[1:, None], pixel + 1) - low, 0.0, None)
    return np.asarray(overlap.T @ overlap * (n_cells / side), dtype=np.float32)


def _quantisation(images: Float32Array, given: Given) -> Float32Array:
    steps = np.float32(2.0 ** (8.0 - given.severity) - 1.0)
    return np.asarray(np.rint(images * steps) / steps)


def _jpeg(images: Float32Array, given: Given) -> Float32Array:
    """Write and read every stamp as JPEG; three bands as one colour image, others apart."""
    from PIL import Image

    quality = max(1, round(100.0 - given.severity))
    bands = images.shape[1]
    bytes_ = np.rint(np.clip(images, 0.0, 1.0) * 255).astype(np.uint8)
    planes = bytes_.transpose(0, 2, 3, 1) if bands == 3 else bytes_.reshape(-1, *images.shape[2:])
    out = np.empty_like(planes)
    for i, plane in enumerate(planes):
        buffer = io.BytesIO()
        # Full colour resolution: what grows along the ladder is the quantisation alone.
        Image.fromarray(plane).save(buffer, "jpeg", quality=quality, subsampling=0)
        with Image.open(buffer) as decoded:
            out[i] = np.asarray(decoded)
    shown = out.transpose(0, 3, 1, 2) if bands == 3 else out.reshape(images.shape)
    return shown.astype(np.float32) / np.float32(255)


def _dimming(images: Float32Array, given: Given) -> Float32Array:
    level, _ = _sky(images)
    gain = 10.0 ** (-0.4 * given.severity)
    return np.asarray(level + gain * (images - level), dtype=np.float32)


def _background(images: Float32Array, given: Given) -> Float32Array:
    _, rms = _sky(images)
    return np.asarray(images + given.severity * rms, dtype=np.float32)


def _colour(images: Float32Array, given: Given) -> Float32Array:
    """Brighten the last band and dim the first, the ones between in proportion."""
    level, _ = _sky(images)
    tilt = np.linspace(-0.5, 0.5, images.shape[1])[:, None, None]
    gain = 10.0 ** (0.4 * given.severity * tilt)
    return np.asarray(level + gain * (images - level), dtype=np.float32)


def _stretch(images: Float32Array, given: Given) -> Float32Array:
    """Stretch along a random direction about the centre, by cubic splines.

    Nothing is squeezed across it: that would show what lies beyond the frame.
    """
    angles = given.rng.uniform(0.0, np.pi, len(images))
    centre = (np.array(images.shape[2:]) - 1) / 2
    out = np.empty_like(images)
    for stamp, angle, changed in zip(images, angles, out, strict=True):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.diag([1.0 / (1.0 + given.severity), 1.0]) @ turn.T
        for plane, into in zip(stamp, changed, strict=True):
            ndimage.affine_transform(
                plane, matrix, offset=centre - matrix @ centre, output=into, mode="mirror"
            )
    return out


def _brightest_dropped(images: Float32Array, given: Given) -> IntArray:
    """Return rows in which the brightest objects give way to others, drawn at random."""
    level, _ = _sky(luminance_of(images)[:, None])
    light = (luminance_of(images) - level[:, 0]).sum((1, 2))
    return dropped_rows(light, given.severity, rng=given.rng)


def dropped_rows(key: Float64Array, share: float, *, rng: np.random.Generator) -> IntArray:
    """Return rows in which the `share` with the largest `key` is replaced by others.

    Parameters
    ----------
    key : array (n,)
        Brightness, size, or 1 for a class and 0 for the rest.
    share : float
        Below 1.
    rng : Generator

    Returns
    -------
    array of int (n,)
        Rows that stay keep their place.

    Examples
    --------
    >>> dropped_rows(np.array([1.0, 9.0, 2.0]), 0.4, rng=np.random.default_rng(0)).tolist()
    [0, 2, 2]
    """
    n = len(key)
    kept_number = max(1, n - round(share * n))
    # Ties are broken at random, or a class would go in the order of its rows.
    order = np.lexsort((rng.random(n), key))
    kept, gone = order[:kept_number], order[kept_number:]
    rows = np.arange(n)
    rows[gone] = kept[(rng.random(n)[gone] * kept_number).astype(np.int64)]
    return rows


def _contamination(images: Float32Array, given: Given) -> Float32Array:
    """Replace a share of the objects by their own shuffled pixels."""
    n = len(images)
    chosen = given.rng.permutation(n)[: round(given.severity * n)]
    out = images.copy()
    out[chosen] = pixel_permuted(images[chosen], given.rng)
    return out


_ALL = (
    Degradation(
        name="psf",
        meaning="the PSF is broader by this part of its FWHM: worse seeing, coarse resolution",
        unit="part of the PSF's FWHM",
        levels=(0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0),
        change=_psf,
    ),
    Degradation(
        name="noise",
        meaning="white Gaussian noise of this many sky rms is added: a shallower survey",
        unit="sky rms",
        levels=(0.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0),
        change=_noise,
    ),
    Degradation(
        name="pixelation",
        meaning="square cells wider than a pixel by this much are flat: too few particles",
        unit="pixel",
        levels=(0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 15.0),
        change=_pixelation,
    ),
    Degradation(
        name="quantisation",
        meaning="this many of 8 bits are missing from the display values",
        unit="bit",
        levels=(0.0, 3.0, 4.0, 4.5, 5.0, 5.5, 6.0),
        maximum=7.0,
        change=_quantisation,
    ),
    Degradation(
        name="jpeg",
        meaning="the stamp is written as a JPEG this far below quality 100",
        unit="quality",
        levels=(0.0, 85.0, 92.0, 94.0, 95.0, 96.0, 97.0),
        maximum=99.0,
        change=_jpeg,
    ),
    Degradation(
        name="dimming",
        meaning="everything above sky is fainter by this much on the display: a wrong zero point",
        unit="mag",
        levels=(0.0, 0.1, 0.2, 0.4, 0.8, 1.5, 2.5),
        change=_dimming,
    ),
    Degradation(
        name="background",
        meaning="the sky is brighter by this many sky rms: a background badly subtracted",
        unit="sky rms",
        levels=(0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
        change=_background,
    ),
    Degradation(
        name="colour",
        meaning="the last band gains this much on the first, half of it each: wrong dust or ages",
        unit="mag",
        levels=(0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
        minimum_bands=2,
        change=_colour,
    ),
    Degradation(
        name="stretch",
        meaning="every object is longer by this part in a random direction: wrong axis ratios",
        unit="part of the length",
        levels=(0.0, 0.15, 0.3, 0.6, 1.0, 1.6, 2.5),
        change=_stretch,
    ),
    Degradation(
        name="mode_drop",
        meaning="this share of the objects, the brightest, is missing and others stand in twice",
        unit="share of objects",
        levels=(0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9),
        maximum=0.95,
        draw=_brightest_dropped,
    ),
    Degradation(
        name="contamination",
        meaning="this share of the objects is their own pixels shuffled: failures left in a sample",
        unit="share of objects",
        levels=(0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8),
        maximum=1.0,
        change=_contamination,
    ),
)

#: Every kind of fault by name.
KINDS: Mapping[str, Degradation] = {kind.name: kind for kind in _ALL}
