"""Where the light of a stamp lies: its centre, its bands against each other, its neighbours.

All of it on band-passed images, a narrow Gaussian's smoothing minus a wide one's, to which a
pedestal and a tilt of the background are nothing. Edges are mirrored.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSet
from simreal.measure.psf import FWHM_PER_SIGMA, adaptive_width
from simreal.measure.registration import band_passed, distance_from_centre
from simreal.measure.sky import border_mask

#: Smaller stamps show neither a centre nor a neighbour apart from it.
SMALLEST_SIDE = 24
#: A stamp of which less is free of masks has no numbers.
FEWEST_FREE = 0.5
#: Band pass for the centre and reach of its search, in sides of the stamp.
CENTRE_BAND = (1 / 16, 3 / 16)
CENTRE_REACH = 1 / 8
#: Sources stand this many times above the scatter of the band-passed background; lower, the
#: knots of spiral arms outnumber them.
SOURCE_SIGMA = 8.0
#: The scatter of stamps is taken outside this distance from the centre, in sides.
BACKGROUND_FROM = 0.375
#: [pixel] Sources nearer to the edge than this are not counted.
MARGIN = 3
#: [pixel] PSF, as a standard deviation, where none is declared.
PSF_SIGMA = 1.5
#: Stars to measure a width on: significance, half side of their box [pixel], largest
#: ellipticity and offset from the box's centre [pixel].
STAR_SIGMA, STAR_BOX, STAR_SHEAR, STAR_OFFSET = 15.0, 9, 0.5, 2.0


def free_pixels(stamps: ImageSet) -> tuple[Float32Array, BoolArray]:
    """Return pixels with the masked ones filled, and which stamps can be used.

    Masked pixels take the median of their band. Flat stamps and those with more than half of
    their pixels masked cannot be used.

    Raises
    ------
    NotComputableError
        If the stamps are smaller than `SMALLEST_SIDE`.
    """
    pixels = np.asarray(stamps.images.read(slice(None)), dtype=np.float32)
    side = min(pixels.shape[-2:])
    if side < SMALLEST_SIDE:
        raise NotComputableError(
            f"{stamps.name}: got stamps of {side} pixels, needed are {SMALLEST_SIDE}"
        )
    if stamps.mask is None:
        flat = np.ptp(pixels.reshape(len(pixels), -1), axis=1) == 0
        return pixels, ~flat
    return filled(pixels, stamps.mask)


def filled(pixels: Float32Array, mask: BoolArray) -> tuple[Float32Array, BoolArray]:
    """Return pixels with masked ones replaced by their band's median, and usable stamps.

    Examples
    --------
    >>> stamp = np.array([[[[1, 2], [3, np.nan]]]], "f4")
    >>> filled(stamp, ~np.isfinite(stamp))[0].ravel().tolist()
    [1.0, 2.0, 3.0, 2.0]
    """
    n, bands = pixels.shape[:2]
    out = pixels.copy()
    for k in np.flatnonzero(mask.reshape(n, -1).any(axis=1)):
        for b in range(bands):
            hidden = mask[k, b]
            out[k, b][hidden] = 0.0 if hidden.all() else np.median(pixels[k, b][~hidden])
    free = 1.0 - mask.reshape(n, -1).mean(axis=1)
    flat = np.ptp(out.reshape(n, -1), axis=1) == 0
    return out, np.asarray((free >= FEWEST_FREE) & ~flat)


def blanked(numbers: Float64Array, usable: BoolArray) -> Float64Array:
    """Return per-image numbers ``(n, ...)`` with NaN where a stamp cannot be used."""
    out = np.array(numbers, dtype=np.float64)
    out[~usable] = np.nan
    return out


def light_centre(luminance: Float32Array) -> Float64Array:
    """Return x and y ``(n, 2)`` of the brightest place from the stamp's middle [pixel].

    Examples
    --------
    >>> x = np.arange(64) - 33.0
    >>> galaxy = 0.2 + 0.01 * x + np.exp(-0.5 * (x**2 + (x[:, None] + 2) ** 2) / 25)
    >>> light_centre(galaxy[None].astype("f4"))[0].round(1).tolist()
    [1.5, -0.5]
    """
    n, height, width = luminance.shape
    side = min(height, width)
    narrow, wide = (part * side for part in CENTRE_BAND)
    smooth = band_passed(luminance, narrow, wide)
    near = distance_from_centre(height, width) <= CENTRE_REACH * side
    place = np.where(near, smooth, -np.inf).reshape(n, -1).argmax(axis=1)
    y, x = np.divmod(place, width)
    row = np.arange(n)
    across = _vertex(smooth[row, y, x - 1], smooth[row, y, x], smooth[row, y, x + 1])
    along = _vertex(smooth[row, y - 1, x], smooth[row, y, x], smooth[row, y + 1, x])
    return np.column_stack([x + across - (width - 1) / 2, y + along - (height - 1) / 2])


def _vertex(before: Float32Array, at: Float32Array, after: Float32Array) -> Float64Array:
    """Return where the parabola through three neighbours has its maximum; 0 where it has none."""
    bend = before - 2.0 * at + after
    shift = (before - after) / (2.0 * np.where(bend < 0, bend, np.inf))
    return np.asarray(np.clip(shift, -1.0, 1.0), dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompactSources:
    """Point-like sources away from the middle of stamps.

    Parameters
    ----------
    count : array (n,)
    share : array (n,)
        Of the stamp's light above its border that is theirs; NaN where there is no light.
    row, y, x : array of int (k,)
        Of each source.
    significance : array (k,)
    """

    count: Float64Array
    share: Float64Array
    row: IntArray
    y: IntArray
    x: IntArray
    significance: Float64Array


def compact_sources(
    luminance: Float32Array, *, inner: float = 0.0, sigma: float = PSF_SIGMA
) -> CompactSources:
    """Find compact sources outside a circle about the middle.

    Parameters
    ----------
    luminance : array (n, y, x)
    inner : float
        [pixel] Radius of the circle; 0 for empty sky.
    sigma : float
        [pixel] Standard deviation of the PSF.
    """
    n, height, width = luminance.shape
    narrow, wide = 0.9 * sigma, 1.8 * sigma
    smooth = band_passed(luminance, narrow, wide)
    far = distance_from_centre(height, width)
    background = smooth[:, far > BACKGROUND_FROM * min(height, width)] if inner else (
        smooth.reshape(n, -1)
    )  # fmt: skip
    middle = np.median(background, axis=1, keepdims=True)
    scatter = 1.4826 * np.median(np.abs(background - middle), axis=1)
    peak = ndimage.maximum_filter(smooth, size=(1, 5, 5)) == smooth
    peak &= far > inner
    peak[:, :MARGIN], peak[:, -MARGIN:] = False, False
    peak[:, :, :MARGIN], peak[:, :, -MARGIN:] = False, False
    peak &= (smooth > SOURCE_SIGMA * scatter[:, None, None]) & (scatter[:, None, None] > 0)
    row, y, x = np.nonzero(peak)
    # What the band pass leaves in the peak of a Gaussian source of unit flux.
    kept = (1 / (sigma**2 + narrow**2) - 1 / (sigma**2 + wide**2)) / (2 * np.pi)
    flux = np.bincount(row, smooth[row, y, x] / kept, minlength=n)
    rim = border_mask((height, width))
    light = (luminance - np.median(luminance[:, rim], axis=1)[:, None, None]).sum((1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(light > 0, flux / light, np.nan)
    return CompactSources(
        count=np.bincount(row, minlength=n).astype(np.float64),
        share=np.asarray(np.clip(share, 0.0, 1.0), dtype=np.float64),
        row=row,
        y=y,
        x=x,
        significance=np.asarray(smooth[row, y, x] / scatter[row], dtype=np.float64),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stars:
    """The narrowest bright source of each patch of sky; NaN where there is none.

    Parameters
    ----------
    fwhm : array (n,)
        [pixel]
    along_x, along_diagonal : array (n,)
        Ellipticity.
    """

    fwhm: Float64Array
    along_x: Float64Array
    along_diagonal: Float64Array


def stars(luminance: Float32Array, *, sigma: float = PSF_SIGMA) -> Stars:
    """Return the narrowest bright, compact source of each patch of sky.

    Parameters
    ----------
    luminance : array (n, y, x)
    sigma : float
        [pixel] Standard deviation that the PSF is expected to have.
    """
    n, height, width = luminance.shape
    found = compact_sources(luminance, sigma=sigma)
    inside = (np.minimum(found.y, height - 1 - found.y) >= STAR_BOX) & (
        np.minimum(found.x, width - 1 - found.x) >= STAR_BOX
    )
    keep = inside & (found.significance > STAR_SIGMA)
    row, y, x = found.row[keep], found.y[keep], found.x[keep]
    shapes = np.full((3, n), np.nan)
    if len(row):
        span = np.arange(-STAR_BOX, STAR_BOX + 1)
        columns = x[:, None, None] + span
        boxes = luminance[row[:, None, None], y[:, None, None] + span[:, None], columns]
        boxes = boxes.astype(np.float64)
        rim = border_mask((boxes.shape[1], boxes.shape[2]))
        boxes -= np.median(boxes[:, rim], axis=1)[:, None, None]
        fwhm, shear, offset = adaptive_width(boxes, start=2 * sigma)
        good = np.isfinite(fwhm) & (shear < STAR_SHEAR) & (offset < STAR_OFFSET)
        each = np.stack([fwhm, *elongations(boxes, fwhm / FWHM_PER_SIGMA)])
        # Written from the widest to the narrowest: the narrowest stays.
        order = np.flatnonzero(good)[np.argsort(-fwhm[good], kind="stable")]
        shapes[:, row[order]] = each[:, order]
    return Stars(fwhm=shapes[0], along_x=shapes[1], along_diagonal=shapes[2])


def elongations(boxes: Float64Array, sigma: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return ellipticity along x and along the diagonal of sources in boxes, each ``(k,)``.

    Moments under a round Gaussian weight of the source's own size, about the centroid under
    that weight; the weight's part is taken out again.

    Parameters
    ----------
    boxes : array (k, side, side)
        Sky-subtracted.
    sigma : array (k,)
        [pixel]

    Examples
    --------
    >>> grid = np.arange(-12, 13)
    >>> long = np.exp(-0.5 * (grid[:, None] ** 2 / 4.0 + grid**2 / 6.0))
    >>> [abs(round(float(e[0]), 3)) for e in elongations(long[None], np.array([2.2]))]
    [0.2, 0.0]
    """
    grid = np.arange(boxes.shape[1]) - boxes.shape[1] // 2
    square = np.where(np.isfinite(sigma), sigma, 1.0) ** 2
    weight = np.exp(-0.5 * (grid[:, None] ** 2 + grid**2) / square[:, None, None])
    light = boxes * weight
    with np.errstate(divide="ignore", invalid="ignore"):
        total = light.sum(axis=(1, 2))
        x, y = (light.sum(axis=axis) @ grid / total for axis in (1, 2))
        xx, yy = (light.sum(axis=axis) @ grid**2 / total for axis in (1, 2))
        xx, yy, xy = xx - x**2, yy - y**2, (light @ grid) @ grid / total - x * y
        # The inverse of the moments less that of the weight is the inverse of the source's own.
        determinant = xx * yy - xy**2
        own_xx = yy / determinant - 1 / square
        own_yy = xx / determinant - 1 / square
        size = own_xx + own_yy
        along_x, along_diagonal = (own_yy - own_xx) / size, 2 * xy / determinant / size
    known = np.isfinite(along_x + along_diagonal) & (np.hypot(along_x, along_diagonal) < 1)
    return np.where(known, along_x, np.nan), np.where(known, along_diagonal, np.nan)


def declared_widths(stamps: ImageSet) -> Float64Array | None:
    """Return the PSF's FWHM ``(n,)`` [pixel] that the setup declares, mean over bands, or None."""
    setup, n = stamps.setup, len(stamps)
    if setup.psf_fwhm is not None:
        return np.array(np.broadcast_to(setup.psf_fwhm, (n, setup.psf_fwhm.shape[-1])).mean(axis=1))
    if setup.psf is None:
        return None
    kernels = setup.psf.reshape(-1, *setup.psf.shape[-2:])
    widths = adaptive_width(kernels)[0].reshape(-1, len(setup.bands))
    return np.array(np.broadcast_to(widths, (n, widths.shape[-1])).mean(axis=1))


def psf_sigma(*sets: ImageSet) -> float:
    """Return the typical standard deviation [pixel] of the PSF of sets, a usual one if unknown."""
    known = [widths for widths in map(declared_widths, sets) if widths is not None]
    if not known:
        return PSF_SIGMA
    side = min(min(one.images.shape[-2:]) for one in sets)
    middle = float(np.nanmedian(np.concatenate(known))) / FWHM_PER_SIGMA
    return float(np.clip(middle, 0.8, side / 16)) if np.isfinite(middle) else PSF_SIGMA


def light_radius(stamps: ImageSet, luminance: Float32Array) -> float | None:
    """Return the typical half-light radius [stamp pixel], or None where there is no light.

    Known exactly where the frame is in units of the radius; else that of the median stamp.
    """
    side = min(luminance.shape[-2:])
    setup = stamps.setup
    if setup.frame == "radius" and setup.frame_width is not None:
        return float(side / setup.frame_width)
    middle = np.median(luminance, axis=0)
    rim = border_mask((middle.shape[0], middle.shape[1]))
    middle = np.maximum(middle - np.median(middle[rim]), 0.0)
    order = np.argsort(distance_from_centre(*middle.shape), axis=None)
    growth = np.cumsum(middle.ravel()[order])
    if not growth[-1] > 0:
        return None
    half = int(np.searchsorted(growth, growth[-1] / 2))
    return float(np.sort(distance_from_centre(*middle.shape), axis=None)[half])
