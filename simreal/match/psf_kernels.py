"""Kernels that turn one PSF into another, whole chunks at once.

For stamps: Wiener's filter, as in photutils' ``make_wiener_kernel``, for all objects and bands
in one transform. For widths: the same from analytic profiles. What the kernel leaves undone is
measured on the PSF itself and handed back: matching that nobody measured is a hope.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from simreal.core.arrays import Float64Array, IntArray, owned
from simreal.core.errors import UsageError
from simreal.match.psf import MOFFAT_BETA

FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
#: Share of the source's peak power below which a frequency is not divided any more. Small
#: because what is divided is a model or a stacked star, and a target that is wider holds the
#: result down by itself.
REGULARIZATION = 1e-6
#: A target may be sharper than its source by this fraction: widths are not known better.
WIDTH_TOLERANCE = 0.01
#: Frequencies at which the target passes at least `PASSED` may be amplified by this much before
#: it is called sharpening. Profiles of different kind cross by a few percent.
AMPLIFICATION = 1.15
PASSED = 0.2
#: [pixel] Below this FWHM a profile sampled at pixel centres is not one any more.
WELL_SAMPLED = 2.0
FINE = 5
_BLOCK = 1 << 20
_FINE_STEPS = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchedKernels:
    """Matching kernels and how well they match; n is 1 where all images share them.

    Parameters
    ----------
    kernels : array (n, band, k, k)
        Each sums to one.
    residual : array (n, band)
        Light in the wrong place, ``sum |source * kernel - target| / 2`` of one unit.
    encircled_energy_error : array (n, band)
        Largest difference of the light inside a circle, over all radii.
    fwhm_error : array (n, band)
        Relative, of the radial profile's FWHM.
    negative : array (n, band)
        Weight of the kernel's negative lobes; ringing shows here.
    amplification : array (n, band)
        Largest gain at any frequency that the target passes; above 1 noise is raised.
    """

    kernels: Float64Array
    residual: Float64Array
    encircled_energy_error: Float64Array
    fwhm_error: Float64Array
    negative: Float64Array
    amplification: Float64Array

    def __post_init__(self) -> None:
        for name in self.__slots__:
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))

    def worst(self) -> dict[str, float]:
        """Return the worst of every figure over objects and bands, for a history."""
        names = ("residual", "encircled_energy_error", "fwhm_error", "negative", "amplification")
        return {name: float(np.nanmax(np.abs(getattr(self, name)))) for name in names}


def profile_from_fwhm(fwhm: npt.ArrayLike, side: int, *, beta: float = MOFFAT_BETA) -> Float64Array:
    """Return round PSFs of given widths on pixels, each summing to one.

    The FWHM is that of the PSF as pixels show it, pixel included. Wide profiles are sampled at
    pixel centres; narrow ones are averaged over the pixel, from a profile that is narrower by
    as much as the pixel widens it.

    Parameters
    ----------
    fwhm : array (m,)
        [pixel] Zero for no PSF at all: all light in one pixel.
    side : int
        Odd.
    beta : float
        Moffat index; infinity for a Gaussian.

    Returns
    -------
    array (m, side, side)

    Examples
    --------
    >>> psf = profile_from_fwhm([4.0], 41, beta=np.inf)[0]
    >>> round(float(psf[20, 22] / psf[20, 20]), 6), round(float(psf.sum()), 9)
    (0.5, 1.0)
    """
    widths = np.atleast_1d(np.asarray(fwhm, dtype=np.float64))
    if side % 2 == 0 or side < 1:
        raise UsageError(f"PSF side: got {side}, allowed are odd numbers of pixels")
    _check_widths(widths)
    out = np.zeros((len(widths), side, side))
    # A box of one pixel has the variance of 1/12, of which FINE points miss 1/FINE^2.
    box = FWHM_PER_SIGMA**2 / 12 * (1 - FINE**-2)
    inner = np.sqrt(np.maximum(widths**2 - box, 0.1**2))
    wide = widths >= WELL_SAMPLED
    for rows in _blocks(np.flatnonzero(wide), side**2):
        out[rows] = _sampled(widths[rows], side, beta, points=1)
    for rows in _blocks(np.flatnonzero(~wide & (widths > 0)), (FINE * side) ** 2):
        out[rows] = _sampled(inner[rows], side, beta, points=FINE)
    out[widths == 0, side // 2, side // 2] = 1.0
    return out


def _blocks(rows: IntArray, size: int) -> list[IntArray]:
    """Return rows in portions that take some 8 MB in double precision at `size` values each."""
    step = max(1, _BLOCK // size)
    return [rows[start : start + step] for start in range(0, len(rows), step)]


def _sampled(fwhm: Float64Array, side: int, beta: float, *, points: int) -> Float64Array:
    fine = (np.arange(points * side) - (points * side - 1) / 2) / points
    if np.isinf(beta):
        row = np.exp(-0.5 * (fine * FWHM_PER_SIGMA / fwhm[:, None]) ** 2)
        row = row.reshape(len(fwhm), side, points).mean(2)
        profiles = row[:, :, None] * row[:, None, :]
    else:
        scale = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
        square = fine[:, None] ** 2 + fine**2
        profiles = (1 + square / scale[:, None, None] ** 2) ** -beta
        profiles = profiles.reshape(len(fwhm), side, points, side, points).mean((2, 4))
    return np.asarray(profiles / profiles.sum((1, 2), keepdims=True))


def width_kernels(
    fwhm_source: npt.ArrayLike,
    fwhm_target: npt.ArrayLike,
    side: int,
    beta: float = MOFFAT_BETA,
    *,
    tolerance: float = WIDTH_TOLERANCE,
) -> Float64Array:
    """Return kernels that bring PSFs of known width to another, both of the same kind.

    Parameters
    ----------
    fwhm_source, fwhm_target : float or array (m,)
        [pixel] A source of 0 has no PSF.
    side : int
        Odd; four times the target's FWHM holds 99 % of a Moffat's light.
    beta : float
        Moffat index of both; infinity for Gaussians.
    tolerance : float
        A source wider than its target by up to this fraction is left as it is.

    Returns
    -------
    array (m, side, side)

    Raises
    ------
    UsageError
        If a target is sharper than its source: sharpening is refused.

    Examples
    --------
    >>> kernel = width_kernels(3.0, 5.0, 31, np.inf)[0]
    >>> offset = np.arange(31) - 15
    >>> width = FWHM_PER_SIGMA * np.sqrt((kernel.sum(0) * offset**2).sum())
    >>> round(float(width), 4)
    4.0
    """
    source, target = np.broadcast_arrays(
        np.atleast_1d(np.asarray(fwhm_source, dtype=np.float64)),
        np.atleast_1d(np.asarray(fwhm_target, dtype=np.float64)),
    )
    _check_widths(source)
    _check_widths(target)
    refuse_sharpening(source, target, tolerance=tolerance)
    kernels = np.zeros((len(source), side, side))
    same = source >= target
    kernels[same, side // 2, side // 2] = 1.0
    bare = ~same & (source == 0)
    kernels[bare] = profile_from_fwhm(target[bare], side, beta=beta)
    for rows in _blocks(np.flatnonzero(~same & (source > 0)), 2 * side**2):
        own = profile_from_fwhm(source[rows], side, beta=beta)[:, None]
        goal = profile_from_fwhm(target[rows], side, beta=beta)[:, None]
        kernels[rows] = _wiener(own, goal, REGULARIZATION)[0][:, 0]
    return kernels


def refuse_sharpening(
    source: Float64Array, target: Float64Array, *, tolerance: float = WIDTH_TOLERANCE
) -> None:
    """Refuse targets narrower than their source by more than a fraction.

    Raises
    ------
    UsageError
        Naming the first object, both widths and what to do.
    """
    sharper = np.argwhere(target < source * (1 - tolerance))
    if len(sharper):
        first = tuple(int(i) for i in sharper[0])
        place = ", ".join(str(i) for i in first)
        raise UsageError(
            f"PSF: {len(sharper)} of {source.size} sources are wider than their target, the "
            f"first [{place}] with FWHM {source[first]:.3g} to {target[first]:.3g} pixel; "
            "sharpening is refused: choose a wider target, or leave these objects out"
        )


def matching_kernels(
    source: Float64Array,
    target: Float64Array,
    *,
    regularization: float = REGULARIZATION,
    lean: bool = True,
    tolerance: float = WIDTH_TOLERANCE,
    amplification: float = AMPLIFICATION,
) -> MatchedKernels:
    """Return the kernels that turn source PSFs into target PSFs, and their errors.

    Parameters
    ----------
    source, target : array (n or 1, band, k, k)
        Odd-sided, centred, on the same pixels; stamps of different side are padded with zeros
        to the larger one.
    regularization : float
        Share of the source's peak power at which Wiener's filter stops dividing.
    lean : bool
        Where the source passes nothing, lean towards the Gaussian of the missing width instead
        of towards zero, whose edge in frequency makes a kernel ring. False is photutils' filter.
    tolerance : float
        By which fraction a target may be narrower than its source.
    amplification : float
        The most that a frequency may be raised.

    Raises
    ------
    UsageError
        If a target is sharper than its source in width or along any direction.

    Notes
    -----
    The filter is that of Boucaud et al. (2016) with a constant penalty, as in photutils.

    Examples
    --------
    >>> narrow, wide = profile_from_fwhm([3.0, 5.0], 41)[:, None, None]
    >>> found = matching_kernels(narrow[None, 0], wide[None, 0])
    >>> found.kernels.shape, bool(found.encircled_energy_error.max() < 0.01)
    ((1, 1, 41, 41), True)
    """
    source, target = _same_side(_checked("source", source), _checked("target", target))
    objects = {len(source), len(target)}
    if source.shape[1] != target.shape[1] or (len(objects) > 1 and 1 not in objects):
        raise UsageError(
            f"PSF: got sources {source.shape} and targets {target.shape}, allowed are as many "
            "bands and as many objects, or one for all"
        )
    n = max(len(source), len(target))
    refuse_sharpening(*np.broadcast_arrays(fwhm_of(source), fwhm_of(target)), tolerance=tolerance)
    step = max(1, _BLOCK // (source.shape[1] * (2 * source.shape[-1]) ** 2))
    parts = []
    for start in range(0, n, step):
        rows = slice(start, start + step)
        own = source if len(source) == 1 else source[rows]
        goal = target if len(target) == 1 else target[rows]
        parts.append(_matched(own, goal, regularization, lean=lean))
    found = [np.concatenate(part) for part in zip(*parts, strict=True)]
    raised = found[5]
    if (raised > amplification).any():
        first = tuple(int(i) for i in np.argwhere(raised > amplification)[0])
        raise UsageError(
            f"PSF: object {first[0]}, band {first[1]}: the target passes a frequency "
            f"{raised[first]:.3g} times as well as the source, allowed is {amplification:g}; it is "
            "sharper in one direction: choose a wider or rounder target"
        )
    return MatchedKernels(
        kernels=found[0], residual=found[1], encircled_energy_error=found[2],
        fwhm_error=found[3], negative=found[4], amplification=raised,
    )  # fmt: skip


def _matched(
    source: Float64Array, target: Float64Array, regularization: float, *, lean: bool
) -> tuple[Float64Array, ...]:
    kernels, raised = _wiener(source, target, regularization, lean=lean)
    # Not around the edges of the stamp: what leaves it is an error too.
    made = convolved(np.broadcast_to(source, kernels.shape), kernels)
    goal = np.broadcast_to(target, made.shape)
    energy, wanted = encircled_energy(made), encircled_energy(goal)
    width, wide = fwhm_of(made), np.broadcast_to(fwhm_of(target), made.shape[:2])
    total = np.abs(kernels).sum((2, 3))
    return (
        kernels,
        np.abs(made - goal).sum((2, 3)) / 2,
        np.abs(energy - wanted).max(-1),
        width / wide - 1.0,
        -np.minimum(kernels, 0.0).sum((2, 3)) / total,
        raised,
    )


def _wiener(
    source: Float64Array, target: Float64Array, regularization: float, *, lean: bool = True
) -> tuple[Float64Array, Float64Array]:
    """Return kernels and their largest gain among the frequencies that the target passes."""
    side = source.shape[-1]
    own = scipy.fft.rfft2(scipy.fft.ifftshift(source, axes=(2, 3)))
    goal = scipy.fft.rfft2(scipy.fft.ifftshift(target, axes=(2, 3)))
    power = own.real**2 + own.imag**2
    penalty = regularization * power.max(axis=(2, 3), keepdims=True)
    wanted = goal * own.conj()
    if lean:
        missing = np.maximum(fwhm_of(target) ** 2 - fwhm_of(source) ** 2, 0.0)
        frequency = np.fft.fftfreq(side)[:, None] ** 2 + np.fft.rfftfreq(side) ** 2
        scale = 2 * (np.pi / FWHM_PER_SIGMA) ** 2
        wanted += penalty * np.exp(-scale * missing[..., None, None] * frequency)
    transfer = wanted / (power + penalty)
    passed = np.abs(goal) >= PASSED * np.abs(goal[..., :1, :1])
    raised = np.where(passed, np.abs(transfer), 0.0).max(axis=(2, 3))
    kernels = scipy.fft.fftshift(scipy.fft.irfft2(transfer, (side, side)), axes=(2, 3))
    return np.asarray(kernels / kernels.sum((2, 3), keepdims=True)), np.asarray(raised)


def pixel_response(step: float, side: int) -> Float64Array:
    """Return what resampling to larger pixels does to a point, as a PSF ``(side, side)``.

    A PSF measured on a survey's images has the survey's pixel in it. Where an image is convolved
    on fine pixels and resampled to the survey's afterwards, this box comes on top: convolve it
    with the source's PSF, and the matching kernel leaves room for it. The pixels to come lie
    anywhere on those of the image: averaged over that, the image's own pixel is in the box too.

    Parameters
    ----------
    step : float
        Side of the pixels to come, in those of the image.
    side : int
        Odd.

    Examples
    --------
    >>> box = pixel_response(3.0, 5)
    >>> (9 * box[2]).round(9).tolist()
    [0.0, 1.0, 1.0, 1.0, 0.0]
    """
    if not (np.isfinite(step) and step > 0):
        raise UsageError(f"pixel step: got {step}, allowed are finite values above 0")
    offset = np.abs(np.arange(side) - side // 2)
    row = np.clip(step / 2 + 0.5 - offset, 0.0, min(1.0, step))
    return np.asarray(np.outer(row, row) / row.sum() ** 2)


def without_pixel(fwhm: npt.ArrayLike, pixel: npt.ArrayLike) -> Float64Array:
    """Return the FWHM of PSFs without the pixel that is in them; 0 where none is left.

    A box has the variance of a twelfth of its side squared; variances subtract.

    Parameters
    ----------
    fwhm, pixel : float or array
        In the same unit.

    Examples
    --------
    >>> round(float(without_pixel(4.0, 1.0)), 3)
    3.942
    """
    box = np.asarray(pixel, dtype=np.float64) ** 2 * FWHM_PER_SIGMA**2 / 12
    square = np.asarray(fwhm, dtype=np.float64) ** 2 - box
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def on_pixels(psf: Float64Array, step: float, side: int) -> Float64Array:
    """Return PSF stamps read off at another pixel scale, each summing to one.

    A cubic spline through the pixels; beyond the stamp there is nothing. The pixel that is in
    the PSF stays the one it was measured with.

    Parameters
    ----------
    psf : array (..., k, k)
        Centred, odd-sided.
    step : float
        Side of the new pixels in old ones.
    side : int
        Odd side of the new stamps.

    Examples
    --------
    >>> wide, narrow = (profile_from_fwhm([w], 41, beta=np.inf) for w in (6.0, 3.0))
    >>> bool(np.allclose(on_pixels(wide, 2.0, 19), narrow[:, 11:30, 11:30], atol=1e-4))
    True
    """
    from scipy.interpolate import CubicSpline

    k = psf.shape[-1]
    where = (np.arange(side) - side // 2) * step + k // 2
    inside = (where >= 0) & (where <= k - 1)
    read = np.zeros((side, k))
    read[inside] = CubicSpline(np.arange(k), np.eye(k))(where[inside])
    out = read @ psf @ read.T
    return np.asarray(out / out.sum(axis=(-2, -1), keepdims=True))


def convolved(first: Float64Array, second: Float64Array) -> Float64Array:
    """Return PSF stamps convolved with others of the same side, cut to that side.

    Parameters
    ----------
    first, second : arrays (..., k, k)
        Centred, odd-sided; leading axes broadcast.

    Examples
    --------
    >>> point, box = profile_from_fwhm([0.0], 5)[0], pixel_response(3.0, 5)
    >>> bool(np.allclose(convolved(point, box), box))
    True
    """
    side = first.shape[-1]
    shape = (scipy.fft.next_fast_len(2 * side, real=True),) * 2
    product = scipy.fft.rfft2(first, shape) * scipy.fft.rfft2(second, shape)
    half = side // 2
    return np.asarray(scipy.fft.irfft2(product, shape)[..., half : half + side, half : half + side])


def encircled_energy(psf: Float64Array) -> Float64Array:
    """Return the light of centred PSFs inside circles of 1/2, 1, 3/2... pixels ``(..., r)``.

    Pixels count by the share of them inside, found on a finer grid near the rim.

    Parameters
    ----------
    psf : array (..., k, k)

    Examples
    --------
    >>> curve = encircled_energy(profile_from_fwhm([8.0], 41, beta=np.inf))[0]
    >>> round(float(curve[7]), 2)
    0.5
    """
    side = psf.shape[-1]
    return np.asarray(psf.reshape(*psf.shape[:-2], -1) @ _circles(side))


_CIRCLES: dict[int, Float64Array] = {}


def _circles(side: int) -> Float64Array:
    """Return the share of every pixel inside every circle ``(pixel, r)``."""
    if side not in _CIRCLES:
        fine = 5
        axis = (np.arange(side * fine) - (side * fine - 1) / 2) / fine
        distance = np.hypot(axis[:, None], axis)
        blocks = distance.reshape(side, fine, side, fine).swapaxes(1, 2).reshape(-1, fine**2)
        radii = np.arange(1, side) / 2
        _CIRCLES[side] = (blocks[:, :, None] <= radii).mean(1)
    return _CIRCLES[side]


def fwhm_of(psf: Float64Array) -> Float64Array:
    """Return the FWHM [pixel] of centred PSFs ``(...)``.

    The mean profile along the four half-axes is read off where it falls through half of the
    middle pixel's value, on a cubic spline.

    Parameters
    ----------
    psf : array (..., k, k)

    Examples
    --------
    >>> fwhm_of(profile_from_fwhm([3.0, 5.0], 41, beta=np.inf)).round(2).tolist()
    [3.0, 5.0]
    """
    from scipy.interpolate import CubicSpline

    half = psf.shape[-1] // 2
    flat = psf.reshape(-1, *psf.shape[-2:])
    row, column = flat[:, half], flat[:, :, half]
    arms = row[:, half:] + row[:, half::-1] + column[:, half:] + column[:, half::-1]
    if half == 0:
        return np.zeros(psf.shape[:-2])
    # The logarithm of a Gaussian is a parabola, which a cubic spline follows exactly.
    logs = np.log(np.maximum(arms, 1e-3 * arms[:, :1]))
    knots = np.arange(-half, half + 1)
    fine = np.arange(half * _FINE_STEPS + 1) / _FINE_STEPS
    line = np.exp(CubicSpline(knots, np.concatenate([logs[:, :0:-1], logs], axis=1), axis=1)(fine))
    below = line < line[:, :1] / 2
    first = np.where(below.any(axis=1), below.argmax(axis=1), len(fine) - 1)
    inner, outer = (np.take_along_axis(line, k[:, None], 1)[:, 0] for k in (first - 1, first))
    share = np.clip((inner - line[:, 0] / 2) / np.where(inner > outer, inner - outer, 1), 0, 1)
    return np.asarray(2 * (first - 1 + share) / _FINE_STEPS).reshape(psf.shape[:-2])


def _checked(name: str, psf: Float64Array) -> Float64Array:
    array = np.asarray(psf, dtype=np.float64)
    if array.ndim != 4 or array.shape[-1] != array.shape[-2] or array.shape[-1] % 2 == 0:
        raise UsageError(
            f"{name} PSF: got shape {array.shape}, allowed is (n or 1, band, k, k) with odd k"
        )
    total = array.sum(axis=(2, 3), keepdims=True)
    if not (np.isfinite(total).all() and (total > 0).all()):
        raise UsageError(f"{name} PSF: a stamp is not finite or has no light; leave it out")
    return np.asarray(array / total)


def _same_side(source: Float64Array, target: Float64Array) -> tuple[Float64Array, Float64Array]:
    side = max(source.shape[-1], target.shape[-1])
    return _padded(source, side), _padded(target, side)


def _padded(psf: Float64Array, side: int) -> Float64Array:
    margin = (side - psf.shape[-1]) // 2
    return np.pad(psf, ((0, 0), (0, 0), (margin, margin), (margin, margin)))


def _check_widths(fwhm: Float64Array) -> None:
    bad = ~np.isfinite(fwhm) | (fwhm < 0)
    if bad.any():
        raise UsageError(f"PSF FWHM: got {fwhm[bad][0]} pixel, allowed are finite widths from 0 up")
