"""Which PSF either side is brought to, and the kernels that do it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array, IntArray
from simreal.core.errors import UsageError
from simreal.core.images import ImageSet
from simreal.match.psf_kernels import (
    PASSED,
    MatchedKernels,
    fwhm_of,
    matching_kernels,
    on_pixels,
    profile_from_fwhm,
    width_kernels,
)

#: A PSF this much wider than its target's is within the error of either.
SHARPENING = 1.02
#: The round PSF that a measured one is brought to is at least this much wider, and never passes a
#: frequency more than this much better: stamps are not Moffats, and no kernel may sharpen them.
ROOM, BETTER = 1.05, 1.1
#: Measured PSFs are given up to this much room, found in so many steps.
MOST_ROOM, ROOM_STEPS = 4.0, 8
#: FWHM of a Gaussian with the variance of a square pixel, in pixels.
PIXEL_FWHM = float(np.sqrt(8 * np.log(2) / 12))
#: Kernels are judged on about this many objects.
SAMPLED = 64
#: Kernels reach this many FWHM of the target from the centre.
REACH = 2.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blur:
    """What is done to the PSF of one side, image by image.

    Kernels are made for the images at hand: those of a whole survey would fill the memory.

    Parameters
    ----------
    target : array (n, band)
        [arcsec] FWHM afterwards, as `width_on_frame`; NaN where it is not known.
    sharp : array of bool (n,)
        Images whose own PSF is wider than their target's: they are left out.
    make : callable or None
        From rows to kernels ``(k or 1, band, y, x)`` on native pixels; None where nothing is done.
    worst : dict
        What the kernels leave undone, at worst over a sample.
    """

    target: Float64Array
    sharp: BoolArray
    make: Callable[[IntArray], Float64Array] | None = None
    worst: Mapping[str, float] = field(default_factory=dict)

    def kernels(self, rows: slice | IntArray) -> Float64Array | None:
        """Return the kernels of the images `rows`, one for all where they share it."""
        if self.make is None:
            return None
        index = np.arange(len(self.target))[rows] if isinstance(rows, slice) else rows
        return self.make(index)

    def of_rows(self, rows: IntArray) -> "Blur":
        """Return what is done to the images `rows` alone."""
        make = self.make
        return replace(
            self,
            target=self.target[rows],
            sharp=self.sharp[rows],
            make=None if make is None else lambda index: make(rows[index]),
        )


def own_width(images: ImageSet) -> Float64Array:
    """Return the FWHM of every image and band [arcsec] ``(n, band)``; NaN where unknown.

    Widths are those of the images as recorded, their pixels included; an idealised image has the
    PSF of its own pixel.
    """
    n, bands = images.images.shape[:2]
    setup = images.setup
    scale = np.broadcast_to(np.asarray(setup.pixel_scale, np.float64), (n,))[:, None]
    if setup.psf is not None:
        psf = setup.psf if setup.psf.ndim == 4 else setup.psf[None]
        return np.array(np.broadcast_to(fwhm_of(psf), (n, bands)) * scale)
    if setup.psf_fwhm is not None:
        return np.array(np.broadcast_to(setup.psf_fwhm, (n, bands)) * scale)
    if setup.rendition == "idealised":
        return np.repeat(PIXEL_FWHM * scale, bands, axis=1)
    return np.full((n, bands), np.nan)


def pixel_width(images: ImageSet) -> Float64Array:
    """Return the FWHM [arcsec] of a Gaussian with the variance of each image's pixel ``(n, 1)``."""
    scale = np.asarray(images.setup.pixel_scale, np.float64)
    return PIXEL_FWHM * np.array(np.broadcast_to(scale, (len(images),)))[:, None]


def width_on_frame(images: ImageSet) -> Float64Array:
    """Return the FWHM [arcsec] that images have once resampled ``(n, band)``; NaN where unknown.

    Resampling takes an image's pixels for the squares that they are, so that they widen the PSF
    once more: coarse pixels more than fine ones. The pixels of the frame, which are the same for
    both sides, are not in it.
    """
    return np.hypot(own_width(images), pixel_width(images))


def least_width(images: ImageSet) -> Float64Array:
    """Return the FWHM [arcsec] of the narrowest round PSF each image can show ``(n, band)``.

    As `width_on_frame`. Its own, where only the width is known; where the PSF is, a round one has
    to be wider by as much as the PSF is elongated and as its wings are heavier, or it would
    sharpen somewhere.
    """
    psf = images.setup.psf
    if psf is None:
        return width_on_frame(images)
    stamps = psf if psf.ndim == 4 else psf[None]
    flat = stamps.reshape(-1, *stamps.shape[-2:])
    kinds, which = np.unique(flat.reshape(len(flat), -1), axis=0, return_inverse=True)
    room = least_room(kinds.reshape(-1, *flat.shape[1:]))[which].reshape(stamps.shape[:2])
    return np.hypot(own_width(images) * room, pixel_width(images))


def least_room(psf: Float64Array) -> Float64Array:
    """Return by which factor a Moffat must be wider than each PSF to be sharper nowhere ``(m,)``.

    Examples
    --------
    >>> round_one = profile_from_fwhm([4.0], 41)
    >>> least_room(round_one).round(2).tolist()
    [1.05]
    >>> heavy = 0.5 * round_one + 0.5 * profile_from_fwhm([12.0], 41)
    >>> bool(least_room(heavy)[0] > 1.3)
    True
    """
    side, width = psf.shape[-1], fwhm_of(psf)
    own = np.abs(np.fft.rfft2(psf))
    low, high = np.full(len(psf), ROOM), np.full(len(psf), MOST_ROOM)
    for step in range(ROOM_STEPS + 1):
        tried = low if step == 0 else np.sqrt(low * high)
        goal = np.abs(np.fft.rfft2(profile_from_fwhm(tried * width, side)))
        passed = goal >= PASSED * goal[:, :1, :1]
        gain = np.where(passed, goal / np.maximum(own, 1e-12), 0.0).max(axis=(1, 2))
        high = np.where(gain <= BETTER, tried, high)
        low = np.where(gain <= BETTER, low, tried)
    return high


def common_widths(
    sim: Float64Array, obs: Float64Array, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    """Return the FWHM that every image of either side is brought to.

    Image by image the larger of its own and of the other side's at the same rank: afterwards
    both sides have the same distribution, a sharp image stays a sharp one, and nothing is
    sharpened.

    Parameters
    ----------
    sim, obs : array (n, band)
        [arcsec] The narrowest that every image can show.
    rng : numpy.random.Generator
        Breaks ties.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ours, theirs = common_widths(np.full((2, 1), 0.5), np.array([[1.0], [2.0]]), rng)
    >>> sorted(ours.ravel().tolist()), theirs.ravel().tolist()
    ([1.0, 2.0], [1.0, 2.0])
    """
    out = []
    for own, other in ((sim, obs), (obs, sim)):
        out.append(np.maximum(own, at_rank(other, ranks(own, rng))))
    return out[0], out[1]


def at_rank(values: Float64Array, rank: Float64Array) -> Float64Array:
    """Return what stands at each rank among `values` ``(n, band)``, band by band ``(m, band)``.

    Examples
    --------
    >>> values = np.array([[3.0], [1.0], [2.0]])
    >>> at_rank(values, ranks(values, np.random.default_rng(0))).ravel().tolist()
    [3.0, 1.0, 2.0]
    """
    found = [np.quantile(column, rank, method="hazen") for column in values.T]
    return np.stack(found, axis=1)


def ranks(values: Float64Array, rng: np.random.Generator) -> Float64Array:
    """Return the rank of each row from 0 to 1, ties at random, bands together ``(n,)``."""
    n = len(values)
    middle = np.median(values, axis=0)
    key = (values / np.where(middle > 0, middle, 1.0)).mean(axis=1)
    order = np.lexsort([rng.random(n), key])
    rank = np.empty(n)
    rank[order] = (np.arange(n) + 0.5) / n
    return rank


def blur(images: ImageSet, target: Float64Array) -> Blur:
    """Return the kernels that bring each image to a round PSF of the width `target`.

    Parameters
    ----------
    target : array (n, band)
        [arcsec] As `width_on_frame`; equal to the image's own where nothing is to be done.
    """
    n = len(images)
    scale = np.broadcast_to(np.asarray(images.setup.pixel_scale, np.float64), (n,))[:, None]
    own, framed = own_width(images), width_on_frame(images)
    sharp = np.asarray((framed > SHARPENING * target).any(axis=1))
    reached = np.maximum(target, framed)
    if not (reached > framed * 1.001).any():
        return Blur(target=framed, sharp=sharp)
    # What resampling does to the PSF later is not done by the kernel.
    goal = np.sqrt(reached**2 - pixel_width(images) ** 2)
    side = _odd(2 * REACH * float((goal / scale).max()) + 1, images)
    goal_px, own_px = goal / scale, own / scale
    if images.setup.psf is not None:
        return _from_stamps(images.setup.psf, reached, goal_px, side, sharp)
    shared = _one(goal_px) and _one(own_px)

    def make(index: IntArray) -> Float64Array:
        # Where all images share everything, one kernel serves.
        rows = index[:1] if shared else index
        flat = width_kernels(own_px[rows].ravel(), goal_px[rows].ravel(), side)
        return flat.reshape(len(rows), -1, side, side)

    return Blur(target=reached, sharp=sharp, make=make)


def blur_like(images: ImageSet, lender: ImageSet, pick: IntArray) -> Blur:
    """Return the kernels that give idealised images the very PSFs of some observed ones.

    Parameters
    ----------
    images : ImageSet
        Without a PSF of their own.
    lender : ImageSet
        With PSF stamps.
    pick : array of int (n,)
        Row of the lender for each image.
    """
    psf = lender.setup.psf
    if psf is None:
        raise UsageError(f"{lender.name}: no PSF stamps to lend")
    n, theirs = len(images), width_on_frame(lender)
    scale = np.broadcast_to(np.asarray(images.setup.pixel_scale, np.float64), (n,))
    scale_obs = np.broadcast_to(np.asarray(lender.setup.pixel_scale, np.float64), (len(lender),))
    step = scale / scale_obs[pick]
    side = _odd(psf.shape[-1] / float(step.min()), images)
    # The lender's pixel will widen its PSF once more; those of the images are in them and will
    # widen them too. In units of an image's pixel.
    lacking = np.maximum((PIXEL_FWHM / step) ** 2 - 2 * PIXEL_FWHM**2, 0.0)

    def make(index: IntArray) -> Float64Array:
        own = [psf if psf.ndim == 3 else psf[pick[i]] for i in index]
        stamps = np.stack(
            [on_pixels(stamp, float(step[i]), side) for stamp, i in zip(own, index, strict=True)]
        )
        return widened(stamps, np.sqrt(lacking[index]))

    return Blur(target=theirs[pick], sharp=np.zeros(n, np.bool_), make=make)


def widened(psf: Float64Array, fwhm: Float64Array) -> Float64Array:
    """Return PSF stamps ``(n, band, k, k)`` convolved each with a Gaussian of its own width.

    Parameters
    ----------
    fwhm : array (n,)
        [pixel] May be a fraction of a pixel; 0 changes nothing.

    Examples
    --------
    >>> psf = profile_from_fwhm([3.0], 41, beta=np.inf)[None]
    >>> fwhm_of(widened(psf, np.array([4.0]))).round(2).item()
    5.0
    """
    if not fwhm.any():
        return psf
    side = psf.shape[-1]
    square = np.fft.fftfreq(side)[:, None] ** 2 + np.fft.rfftfreq(side) ** 2
    passed = np.exp(-((np.pi * fwhm[:, None, None]) ** 2) * square / (4 * np.log(2)))
    waves = np.fft.rfft2(psf) * passed[:, None]
    return np.asarray(np.fft.irfft2(waves, psf.shape[-2:]))


def _from_stamps(
    psf: Float64Array, goal: Float64Array, goal_px: Float64Array, side: int, sharp: BoolArray
) -> Blur:
    own = psf if psf.ndim == 4 else psf[None]
    shared = len(own) == 1 and _one(goal_px)
    wide = max(side, own.shape[-1])

    def matched(index: IntArray) -> MatchedKernels:
        rows = index[:1] if shared else index
        wanted = profile_from_fwhm(goal_px[rows].ravel(), wide)
        return matching_kernels(
            own if len(own) == 1 else own[rows], wanted.reshape(len(rows), -1, wide, wide)
        )

    usable = np.flatnonzero(~sharp)
    some = usable[:: max(1, len(usable) // SAMPLED)]
    return Blur(
        target=goal,
        sharp=sharp,
        make=lambda index: matched(index).kernels,
        worst=matched(some).worst() if len(some) else {},
    )


def _odd(side: float, images: ImageSet) -> int:
    most = min(images.images.shape[-2:])
    whole = int(min(np.ceil(side), most))
    return whole if whole % 2 else whole - 1


def _one(values: Float64Array) -> bool:
    return bool((values == values[:1]).all())
