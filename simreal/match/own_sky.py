"""Images that carry sky of their own and are given another: how much noise they bring along.

Simulations on real sky, and surveys sharper than the observed one, are brought to the observed
PSF by a convolution, which smooths their own noise almost away. What is left of it is measured
on their own empty sky, and the donor's noise is lowered until both together have the donor's
variance. Left as it is, noise would count twice.
"""

from dataclasses import dataclass, replace

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array, IntArray
from simreal.match.donors import widest_sky
from simreal.match.frame import CommonFrame
from simreal.match.job import Job
from simreal.match.psf import convolve
from simreal.match.render import CHUNK, draw_sky
from simreal.match.sides import Party
from simreal.measure.sky import clipped_statistics

#: A PSF narrower than this part of the observed one, in the median, is brought to it. Widths
#: of two halves of one survey with a few hundred stars scatter by 5 %.
SHARPER = 0.85


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnSky:
    """What is left of the sky that images brought along, after the observed PSF.

    Parameters
    ----------
    rows : array of int (k,)
        Images with enough galaxy-free sky to show it.
    stamps : array (k, band, stamp, stamp)
        Their own sky through the PSF that the galaxies go through, level removed.
    variance : array (n, band)
        Noise variance of every image; the median of those measured for the others.
    """

    rows: IntArray
    stamps: Float32Array
    variance: Float64Array


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
        return OwnSky(rows=rows, stamps=nothing, variance=np.zeros((len(party), bands)))
    on_stamp = fwhm * scale * size / frame.width
    smooth = []
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        sky = draw_sky(party, part, frame, job)
        level, _ = clipped_statistics(sky.reshape(len(part), bands, -1))
        flat = sky - level[..., None, None].astype(np.float32)
        smooth.append(convolve(flat, on_stamp[part], edges="wrap"))
    stamps = np.concatenate(smooth)
    _, rms = clipped_statistics(stamps.reshape(len(rows), bands, -1))
    variance = np.tile(np.median(rms**2, axis=0), (len(party), 1))
    variance[rows] = rms**2
    return OwnSky(rows=rows, stamps=stamps, variance=variance)


def sharper(sim: Party, obs: Party, job: Job) -> bool:
    """Return whether the simulated images are clearly sharper than the observed ones."""
    widths = [
        float(np.nanmedian(party.measured.psf_fwhm * job.scale(party)))
        if np.isfinite(party.measured.psf_fwhm).any()
        else np.nan
        for party in (sim, obs)
    ]
    return bool(np.isfinite(widths).all() and widths[0] < SHARPER * widths[1])


def with_own_psf(party: Party) -> Party:
    """Return the party with the PSF that was measured in its images as their own."""
    bands = len(party.images.setup.bands)
    widths = np.repeat(np.nan_to_num(party.measured.psf_fwhm)[:, None], bands, axis=1)
    setup = party.images.setup.replace(psf_fwhm=widths)
    return replace(party, images=party.images.replace(setup=setup))
