"""Real images made wrong on purpose, and what real images bring to a sky they are put on.

A score must be able to see these faults: galaxies without noise, a PSF half as wide again,
bands exchanged, pixels shuffled, stars in the place of galaxies. All act on matched stamps and
go through the last encoding of a match again, so that the fault is the only difference.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy import ndimage

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSet, Track, property_values
from simreal.match.degrade import PSF_FWHM, degrade, pixel_permuted
from simreal.match.pixels import requantise, resample
from simreal.match.psf import convolve, missing_width, moffat_kernels
from simreal.match.recipe import Recipe
from simreal.measure.sky import clipped_statistics
from simreal.measure.stamps import luminance_of

QUALITY = Recipe().jpeg_quality
#: The wrong PSF is wider by this part of its width.
WIDER_PSF = 0.5
#: Wavelet coefficients below this many times their noise are taken for noise.
SHRINK_SIGMA = 4.0
SCALES = 4
ROUNDS = 3
#: rms of the wavelet coefficients of white unit noise, scale by scale (Starck & Murtagh 2006).
WHITE = np.array([0.889, 0.200, 0.086, 0.041])
#: Own noise is measured in the four corners of an original, each this part of its side.
CORNER = 0.22
#: Fewest and most pixels across a corner, on the matched stamp.
CORNER_PIXELS = (8, 32)
_CHUNK = 64
_B3 = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0


def encoded(pixels: Float32Array, *, track: Track = "rgb", quality: int = QUALITY) -> Float32Array:
    """Return stamps as the last step of a match leaves them.

    Display composites lie on the 8-bit grid, those of three bands by way of JPEG; calibrated
    images were never on any.

    Parameters
    ----------
    pixels : array (n, band, y, x)
    track : {"rgb", "flux", "xray"}

    Examples
    --------
    >>> grey = encoded(np.full((1, 1, 2, 2), 0.5, "f4")) * 255
    >>> round(grey[0, 0, 0, 0].item(), 3)
    128.0
    """
    if track != "rgb":
        return np.clip(pixels, 0.0, 1.0)
    if pixels.shape[1] == 3:
        return requantise(pixels, quality=quality)
    grid = np.rint(np.clip(pixels, 0.0, 1.0) * 255.0) / 255.0
    return np.asarray(grid, dtype=np.float32)


def starlet(images: Float32Array, scales: int = SCALES) -> tuple[list[Float32Array], Float32Array]:
    """Return the details of images scale by scale, fine to coarse, and what is left.

    The undecimated B3-spline wavelet of Starck & Murtagh (2006); details and rest add up to the
    images.

    Parameters
    ----------
    images : array (..., y, x)

    Examples
    --------
    >>> stamp = np.random.default_rng(0).random((1, 16, 16), dtype="f4")
    >>> details, rest = starlet(stamp, 2)
    >>> bool(np.allclose(sum(details) + rest, stamp, atol=1e-6))
    True
    """
    details, smooth = [], images
    for k in range(scales):
        kernel = np.zeros(4 * 2**k + 1)
        kernel[:: 2**k] = _B3
        next_ = ndimage.convolve1d(smooth, kernel, axis=-1, mode="mirror")
        next_ = ndimage.convolve1d(next_, kernel, axis=-2, mode="mirror")
        details.append(smooth - next_)
        smooth = next_
    return details, smooth


def shrunk(images: Float32Array, shape: Float64Array) -> Float32Array:
    """Return images without the wavelet details that do not rise above their noise.

    What was left out is looked through again with the same significant details, which gives
    back the light that a threshold cuts from the wings of a source (Starck & Murtagh 2006).

    Parameters
    ----------
    images : array (n, band, y, x)
    shape : array (scales,)
        Noise of the details at every scale, in units of that at the finest.
    """
    details, out = starlet(images, len(shape))
    finest = details[0].reshape(*images.shape[:2], -1)
    # The median does not see a galaxy, which is smooth at the finest scale.
    sigma = np.median(np.abs(finest), axis=-1) / 0.6745
    limits = SHRINK_SIGMA * shape[:, None, None] * sigma
    kept = [
        np.abs(detail) > limit[..., None, None]
        for detail, limit in zip(details, limits, strict=True)
    ]
    out = out + _kept(details, kept)
    for _ in range(ROUNDS):
        details, rest = starlet(images - out, len(shape))
        out += rest + _kept(details, kept)
    return np.asarray(out, dtype=np.float32)


def _kept(details: list[Float32Array], kept: list[BoolArray]) -> Float32Array:
    out = np.zeros_like(details[0])
    for detail, mask in zip(details, kept, strict=True):
        out += np.where(mask, detail, np.float32(0))
    return out


def _noiseless(stamps: ImageSet, sky: ImageSet | None, rng: np.random.Generator) -> Float32Array:
    """Remove what does not rise above the noise; its colour is measured on empty sky."""
    del rng
    shape = WHITE / WHITE[0]
    if sky is not None:
        pixels = _pixels(sky)
        details, _ = starlet(pixels[: 4 * _CHUNK])
        sigma = [np.median(clipped_statistics(d.reshape(-1, d[0, 0].size))[1]) for d in details]
        shape = np.array(sigma) / max(sigma[0], 1e-12)
    return encoded(shrunk(_pixels(stamps), shape), track=stamps.setup.track)


def _wider_psf(stamps: ImageSet, sky: ImageSet | None, rng: np.random.Generator) -> Float32Array:
    del sky
    wider = degrade(_pixels(stamps), "psf", WIDER_PSF, rng=rng, psf_fwhm=_widths(stamps))
    return encoded(wider.images, track=stamps.setup.track)


def _bands_shuffled(
    stamps: ImageSet, sky: ImageSet | None, rng: np.random.Generator
) -> Float32Array:
    """Move every band one place up, the first to the last: red galaxies come out blue."""
    del sky, rng
    if len(stamps.setup.bands) < 2:
        raise NotComputableError(f"{stamps.name} has one band; there is nothing to shuffle")
    return np.roll(_pixels(stamps), -1, axis=1)


def _pixels_permuted(
    stamps: ImageSet, sky: ImageSet | None, rng: np.random.Generator
) -> Float32Array:
    # Not encoded again: compressed, shuffled pixels would no longer be the same pixels.
    del sky
    return pixel_permuted(_pixels(stamps), rng)


def _stars(stamps: ImageSet, sky: ImageSet | None, rng: np.random.Generator) -> Float32Array:
    """Put a point source of each galaxy's own light on empty sky of its side."""
    if sky is None:
        raise NotComputableError(f"no empty sky of {stamps.name} to put stars on")
    pixels, empty = _pixels(stamps), _pixels(sky)
    rows = rows_of(stamps, sky)
    rows = np.where(rows >= 0, rows, rng.integers(len(empty), size=len(rows)))
    ground = empty[rows]
    level, _ = clipped_statistics(ground.reshape(*ground.shape[:2], -1))
    flux = (pixels - level[..., None, None]).sum((2, 3)).clip(min=0.0)
    psf = point_sources(_widths(stamps), pixels.shape[-2:])
    shown = (ground + flux[..., None, None] * psf[:, None]).astype(np.float32)
    return encoded(shown, track=stamps.setup.track)


def _without_sky(stamps: ImageSet, sky: ImageSet | None, rng: np.random.Generator) -> Float32Array:
    """Take the sky that a simulation was given away again; its mean level stays."""
    del rng
    rows = np.full(len(stamps), -1) if sky is None else rows_of(stamps, sky)
    if sky is None or (rows < 0).any():
        raise NotComputableError(f"{stamps.name}: not every stamp's own sky is known")
    ground = _pixels(sky)[rows]
    level, _ = clipped_statistics(ground.reshape(*ground.shape[:2], -1))
    bare = _pixels(stamps) - ground + level.mean(axis=0)[:, None, None]
    return encoded(bare.astype(np.float32), track=stamps.setup.track)


#: Every fault by name. ``sky removed`` acts on a simulation, the others on real galaxies.
CONTROLS: Mapping[str, Callable[[ImageSet, ImageSet | None, np.random.Generator], Float32Array]] = {
    "noiseless": _noiseless,
    "psf": _wider_psf,
    "bands": _bands_shuffled,
    "pixels": _pixels_permuted,
    "stars": _stars,
    "sky removed": _without_sky,
}


def point_sources(fwhm: Float64Array, shape: tuple[int, int]) -> Float64Array:
    """Return Moffat profiles of unit flux in the middle of stamps ``(n, y, x)``.

    Examples
    --------
    >>> round(float(point_sources(np.array([4.0]), (64, 64)).sum()), 6)
    1.0
    """
    height, width = shape
    odd = max(shape) // 2 * 2 + 1
    kernels = moffat_kernels(fwhm, odd)
    # An even stamp has no middle pixel: half a pixel by averaging over four positions.
    for axis, side in ((1, height), (2, width)):
        if side % 2 == 0:
            first = kernels.take(range(odd - 1), axis=axis)
            kernels = (first + kernels.take(range(1, odd), axis=axis)) / 2
    top, left = (kernels.shape[1] - height) // 2, (kernels.shape[2] - width) // 2
    cut = kernels[:, top : top + height, left : left + width]
    return np.asarray(cut / cut.sum((1, 2), keepdims=True))


def rows_of(stamps: ImageSet, sky: ImageSet) -> IntArray:
    """Return the row of each stamp's own sky, -1 where it has none ``(n,)``."""
    place = {name: row for row, name in enumerate(sky.ids.tolist())}
    return np.array([place.get(name, -1) for name in stamps.ids.tolist()], dtype=np.int64)


def _pixels(images: ImageSet) -> Float32Array:
    return np.asarray(images.images.read(slice(None)), dtype=np.float32)


def _widths(stamps: ImageSet) -> Float64Array:
    """Return the PSF width of each stamp [pixel], a usual one where it is not known."""
    known = stamps.setup.psf_fwhm
    if known is None:
        return np.full(len(stamps), PSF_FWHM)
    return np.asarray(np.broadcast_to(known, (len(stamps), known.shape[-1])).mean(1))


def own_noise_share(originals: ImageSet, stamps: ImageSet, sky: ImageSet) -> Float64Array:
    """Return what real images add to the variance of the sky they are put on.

    A real galaxy sent through the pipeline of an idealised simulation brings its own noise.
    The galaxy-free corners of its original go through the same steps (background, PSF, one
    resampling to the stamp's pixels), and what is left of their noise is read against the
    injected sky of the same stamp.

    Parameters
    ----------
    originals : ImageSet
        As delivered, one per stamp; their setup knows their PSF.
    stamps : ImageSet
        What the match made of them; their setup knows the PSF they were brought to.
    sky : ImageSet
        The injected sky, on stamps.

    Returns
    -------
    array (n,)
        Share of the luminance's variance; NaN where the corners are too small.

    Raises
    ------
    NotComputableError
        If a PSF is not known: then the frame's scale is not either.
    """
    target = property_values(stamps.properties, "measured_psf_fwhm")
    if stamps.setup.psf_fwhm is None or originals.setup.psf_fwhm is None or target is None:
        raise NotComputableError(f"{stamps.name}: the PSF of the stamps or originals is not known")
    step = target[0] / np.maximum(_widths(stamps), 1e-9)
    blur = np.nan_to_num(missing_width(_widths(originals), target[0]))
    side = int(CORNER * min(originals.images.shape[2:]))
    usual = float(np.nanpercentile(step, 95))
    across = int(np.clip((side - 1) / max(usual, 1e-9), *CORNER_PIXELS))
    own = np.full(len(stamps), np.nan)
    for rows, block in originals.chunks(_CHUNK):
        fits = rows.start + np.flatnonzero(across * step[rows] <= side)
        if len(fits):
            part = block[fits - rows.start]
            own[fits] = _corner_variance(part, blur[fits], step[fits], side=side, across=across)
    ground = _pixels(sky)
    _, rms = clipped_statistics(luminance_of(ground).reshape(len(ground), -1))
    place = rows_of(stamps, sky)
    injected = np.where(place >= 0, rms[place], np.median(rms)) ** 2
    return np.asarray(own / np.maximum(injected, 1e-12))


def _corner_variance(
    block: Float32Array, blur: Float64Array, step: Float64Array, *, side: int, across: int
) -> Float64Array:
    """Return the noise variance of originals' corners, seen as the match shows them ``(k,)``.

    Nothing is cut below zero here: under the galaxy's light, which fills most of a stamp,
    nothing is either, and cut noise has a third of its variance.
    """
    luminance = luminance_of(block)
    n = len(luminance)
    corners = np.stack(
        [luminance[:, ys, xs] for ys in (slice(side), slice(-side, None))
         for xs in (slice(side), slice(-side, None))],
        axis=1,
    ).reshape(4 * n, 1, side, side)  # fmt: skip
    middle = np.full(4 * n, (side - 1) / 2)
    shown = resample(
        convolve(corners, np.repeat(blur, 4)),
        x=middle,
        y=middle,
        width=np.repeat(across * step, 4),
        n_out=across,
    )
    _, rms = clipped_statistics(shown.reshape(4 * n, -1))
    # A neighbour fills at most one or two corners.
    return np.asarray(np.median(rms.reshape(n, 4) ** 2, axis=1))
