"""Images that carry sky of their own and are given another: how much noise they bring along.

Simulations on real sky, and surveys sharper than the observed one, are brought to the observed
PSF by a convolution, which smooths their own noise almost away. What is left of it is measured
on their own empty sky, and the donor's noise is lowered until both together have the donor's
variance. Left as it is, noise would count twice.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter, label, maximum_filter

from simreal.core.arrays import Float32Array, Float64Array, IntArray
from simreal.match.donors import widest_sky
from simreal.match.frame import CommonFrame
from simreal.match.job import Job
from simreal.match.noise import CLEARANCE
from simreal.match.psf import convolve
from simreal.match.render import CHUNK, draw_sky, noise_variance
from simreal.match.sides import Party
from simreal.match.texture import NOISE_SIGMA
from simreal.measure.sky import border_sky, clipped_statistics
from simreal.measure.stamps import Measured

#: A PSF narrower than this part of the observed one, in the median, is brought to it. Widths
#: of two halves of one survey with a few hundred stars scatter by 5 %.
SHARPER = 0.85
#: [pixel] Sources are looked for after smoothing by this, and painted over this much wider.
SOURCE_SMOOTHING = 2.0
SOURCE_SIGMA = 4.0
SOURCE_GROWTH = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnSky:
    """What is left of the sky that images brought along, after the observed PSF.

    Parameters
    ----------
    rows : array of int (k,)
        Images with enough galaxy-free sky to show it.
    stamps : array (k, band, stamp, stamp)
        Their own sky through the PSF that the galaxies go through, level removed.
    variance : array (n, 1 + band)
        Noise variance of every image, of its luminance and of each band's deviation from it; the
        median of those measured for the others. Kept apart, because a composite's noise is
        far more alike between bands than that of its parts.
    """

    rows: IntArray
    stamps: Float32Array
    variance: Float64Array

    def cleared(self, flat: Float32Array, measured: Measured, rows: slice) -> Float32Array:
        """Return images without the neighbours they brought; see `without_neighbours`."""
        return without_neighbours(flat, measured, rows)


def left_of_own_sky(
    party: Party, frame: CommonFrame, fwhm: Float64Array, job: Job
) -> OwnSky | None:
    """Return what is left of a side's own sky, or None where it has none to begin with.

    Parameters
    ----------
    party : Party
    frame : CommonFrame
    fwhm : array (n,)
        [native pixel] Of the convolution that brings each image to its target's PSF.
    """
    if not party.noisy:
        return None
    scale = job.scale(party)
    rows = np.flatnonzero(widest_sky(party, scale) >= frame.width)
    bands, size = party.images.images.shape[1], job.recipe.stamp
    if len(rows) == 0:
        nothing = np.zeros((0, bands, size, size), dtype=np.float32)
        return OwnSky(rows=rows, stamps=nothing, variance=np.zeros((len(party), 1 + bands)))
    on_stamp = fwhm * scale * size / frame.width
    smooth = []
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        flat = _sourceless(_without_halo(draw_sky(party, part, frame, job)))
        smooth.append(convolve(flat, on_stamp[part], edges="wrap"))
    stamps = np.concatenate(smooth)
    measured = noise_variance(stamps)
    variance = np.tile(np.median(measured, axis=0), (len(party), 1))
    variance[rows] = measured
    return OwnSky(rows=rows, stamps=stamps, variance=variance)


def _without_halo(sky: Float32Array) -> Float32Array:
    """Return sky without the quadratic surface that fits each plane best.

    Patches of free sky begin at two half-light radii, where the galaxy's own halo still shines:
    on empty sky it would be taken for noise, on the stamp it is where it belongs.
    """
    n, bands, height, width = sky.shape
    planes = sky.reshape(n * bands, -1)
    level, rms = clipped_statistics(planes)
    # A star must not bend the surface.
    limit = NOISE_SIGMA * rms[:, None]
    calm = np.clip(planes - level[:, None], -limit, limit)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].reshape(2, -1)
    modes, _ = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))
    flat = planes - level[:, None] - (calm @ modes) @ modes.T
    return np.asarray(flat.reshape(sky.shape), dtype=np.float32)


def _sourceless(flat: Float32Array) -> Float32Array:
    """Return sky on a level of zero with its sources set to it, as on the stamps."""
    _, rms = clipped_statistics(flat.reshape(*flat.shape[:2], -1))
    return np.where(np.abs(flat) <= (NOISE_SIGMA * rms)[..., None, None], flat, np.float32(0))


def sharper(sim: Party, obs: Party, job: Job) -> bool:
    """Return whether the simulated images are clearly sharper than the observed ones."""
    widths = [
        float(np.nanmedian(party.measured.psf_fwhm * job.scale(party)))
        if np.isfinite(party.measured.psf_fwhm).any()
        else np.nan
        for party in (sim, obs)
    ]
    return bool(np.isfinite(widths).all() and widths[0] < SHARPER * widths[1])


def without_neighbours(block: Float32Array, measured: Measured, rows: slice) -> Float32Array:
    """Return images on a level of zero whose sources on free sky are painted over with zero.

    The sky that is given to them brings neighbours at the survey's own rate; those on the sky
    that they came with would be there twice. Sources nearer than free sky begins stay, and so
    does all that is connected to the galaxy: what belongs to it is not for a match to decide.

    Parameters
    ----------
    block : array (k, band, y, x)
    measured : Measured
        Of the whole side.
    rows : slice
        Rows of `block` in it.
    """
    out = block.copy()
    luminance = block.mean(axis=1)
    _, rms = border_sky(luminance)
    smooth = gaussian_filter(luminance, (0, SOURCE_SMOOTHING, SOURCE_SMOOTHING))
    y, x = np.indices(luminance.shape[1:])
    for k in range(len(block)):
        row = rows.start + k
        # Smoothed noise is quieter than noise; correlated noise less so. This errs to the faint.
        bright = smooth[k] > SOURCE_SIGMA * rms[k] / SOURCE_SMOOTHING
        labels, count = label(bright)
        reach = CLEARANCE * measured.radius[row]
        near = np.hypot(y - measured.y[row], x - measured.x[row]) < reach
        kept = np.zeros(count + 1, dtype=np.bool_)
        kept[np.unique(labels[near])] = True
        kept[0] = True
        gone = maximum_filter(~kept[labels], size=2 * SOURCE_GROWTH + 1) & ~near
        out[k][:, gone] = 0.0
    return out


def with_own_psf(party: Party) -> Party:
    """Return the party with the PSF that was measured in its images as their own."""
    bands = len(party.images.setup.bands)
    widths = np.repeat(np.nan_to_num(party.measured.psf_fwhm)[:, None], bands, axis=1)
    setup = party.images.setup.replace(psf_fwhm=widths)
    return replace(party, images=party.images.replace(setup=setup))
