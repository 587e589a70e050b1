"""The PSF both sides of a match are brought to, and who cannot be brought there."""

import numpy as np

from simreal.core.arrays import Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.match.flux.donors import Lent
from simreal.match.flux.optics import (
    SHARPENING,
    Blur,
    blur,
    blur_like,
    common_widths,
    least_width,
    width_on_frame,
)
from simreal.match.job import Job
from simreal.match.sides import Party


def common_psf(
    sim: Party, obs: Party, lent: Lent | None, job: Job
) -> tuple[tuple[Blur, Blur], Party, Party, Lent | None]:
    """Return what brings either side to the common PSF, and who is left to be brought there.

    Where a PSF is not known on both sides nothing is done, which the match says.
    """
    own = width_on_frame(sim.images), width_on_frame(obs.images)
    if not all(np.isfinite(width).all() for width in own):
        idle = [Blur(target=width, sharp=np.zeros(len(width), np.bool_)) for width in own]
        return (idle[0], idle[1]), sim, obs, lent
    bare = _has_no_psf(sim)
    if lent is not None or (bare and obs.images.setup.psf is not None):
        return _lent_psf(sim, obs, lent, job)
    goals = common_widths(least_width(sim.images), least_width(obs.images), job.rng("psf"))
    return (blur(sim.images, goals[0]), blur(obs.images, goals[1])), sim, obs, lent


def _has_no_psf(party: Party) -> bool:
    setup = party.images.setup
    return setup.rendition == "idealised" and setup.psf is None and setup.psf_fwhm is None


def _lent_psf(
    sim: Party, obs: Party, lent: Lent | None, job: Job
) -> tuple[tuple[Blur, Blur], Party, Party, Lent | None]:
    """Give every simulated image the PSF of one observed image; leave the observed side alone."""
    lender = obs if lent is None else lent.party
    if lent is None:
        pick = job.rng("psf").permutation(np.arange(len(sim)) % len(lender))
    else:
        pick = lent.pick
    goal = width_on_frame(lender.images)[pick]
    sim, kept = _sharpest_out(sim, width_on_frame(sim.images), goal)
    if lent is not None:
        lent = lent.rows(kept)
    untouched = blur(obs.images, width_on_frame(obs.images))
    if _has_no_psf(sim) and lender.images.setup.psf is not None:
        return (blur_like(sim.images, lender.images, pick[kept]), untouched), sim, obs, lent
    return (blur(sim.images, goal[kept]), untouched), sim, obs, lent


def _sharpest_out(party: Party, own: Float64Array, goal: Float64Array) -> tuple[Party, IntArray]:
    """Leave out images that would have to be sharpened; return the rows that are left."""
    sharp = np.asarray((own > SHARPENING * goal).any(axis=1))
    if sharp.all():
        raise NotComputableError(
            f"PSF: all images of {party.images.name} have a PSF wider than the common one "
            f"({np.median(goal):.3g} arcsec); sharpening is refused"
        )
    reasons = [
        f"own PSF of {own[row].max():.3g} arcsec is wider than the common {goal[row].max():.3g}"
        for row in np.flatnonzero(sharp)
    ]
    left = party.without(sharp, step="psf", reasons=reasons) if sharp.any() else party
    return left, np.flatnonzero(~sharp)
