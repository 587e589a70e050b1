"""Give idealised images the survey's sky and PSF: who lends, and what is measured on it."""

from dataclasses import dataclass, replace

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.core.images import Step
from simreal.match.donors import (
    SkyLibrary,
    assign_donors,
    choose_donors,
    n_donor_groups,
    rebalanced,
    sky_library,
    widest_sky,
)
from simreal.match.frame import CommonFrame, inside, rounded_down, widest
from simreal.match.framing import field_limits, widest_of
from simreal.match.job import Job
from simreal.match.noise import half_limit, serpentine_order, systematic
from simreal.match.render import CHUNK, draw_sky, on_frame
from simreal.match.rendition import measure_renditions
from simreal.match.sides import Donors, Party, with_source
from simreal.match.texture import NoiseCurve, noise_curve

#: The automatic frame leaves at least this share of the observed frames with free sky.
USABLE_SKY = 0.9
#: The pilot's radii are a percent or two off the final ones; the frame leaves room for that.
PILOT_ROOM = 0.97
#: Donors whose galaxies show how noise looks through light; more add time and nothing else.
CURVE_DONORS = 200
#: A PSF this much wider than its target's is within the error of either.
SHARPENING = 1.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Injection:
    """The sky that idealised images are given.

    Parameters
    ----------
    donors : Donors
    frame : CommonFrame
        Frame that the donated sky fills.
    sims : array of int
        Row in the simulated set of each entry of ``donors.pick``, ascending.
    held_out : SkyLibrary
        The sky of observed frames that are not donors, on `frame`; its rows count in
        `observed`.
    observed : array of int
        Rows of the observed set that are not donors.
    lent : array (n_donors, f)
        Features of the donors' sky.
    """

    donors: Donors
    frame: CommonFrame
    sims: IntArray
    held_out: SkyLibrary
    observed: IntArray
    lent: Float64Array

    def donors_of(self, party: Party) -> Donors:
        """Return the donors of the simulated images that are still in."""
        return self.donors.for_rows(np.searchsorted(self.sims, party.original))


def on_donated_sky(sim: Party, obs: Party, job: Job) -> tuple[Party, Party, Injection]:
    """Choose donors, take them out of the observed side and measure `sim` on their sky.

    The frame decides how much sky a donor must have free, and radii measured on donated sky
    decide the frame; a pilot measurement on sky from all over the survey breaks the circle.
    """
    frame, sim = _pilot(sim, obs, job)
    library = sky_library(obs, frame, job)
    donors, lent = _chosen(sim, obs, library, job)
    lenders = np.isin(obs.original[library.rows], donors.party.original)
    fixed = None if job.kind == "radius" else job.scale(sim)
    measured = measure_renditions(
        sim, donors, scale=fixed, rng=job.rng("rendition"), progress=job.progress
    )
    injection = Injection(
        donors=donors,
        frame=frame,
        sims=sim.original,
        held_out=library.among(~lent),
        observed=obs.original[~lent],
        lent=library.features[lenders],
    )
    step = Step(
        name="measure on donated sky",
        before={"images": len(sim), "median radius [pixel]": float(np.median(sim.measured.radius))},
        after={
            "images": int(measured.found.sum()),
            "median radius [pixel]": float(np.nanmedian(measured.radius)),
        },
        note="a radius measured without sky counts diffuse light that no survey would see",
    )
    seen = with_source(replace(sim, measured=measured)).noted(step)
    return _blurrable(seen), obs.keep(~lent), injection


def _blurrable(sim: Party) -> Party:
    """Leave out images whose own PSF is wider than their donor's: sharpening is refused."""
    own, target = sim.own_psf, np.nan_to_num(sim.measured.psf_fwhm)
    lost = own > SHARPENING * target
    if not lost.any() or not target.any():
        return sim
    if lost.all():
        raise NotComputableError(
            f"matching: the PSF of {sim.images.name} (median FWHM {np.median(own):.2f} pixel) is "
            f"wider than the observed one ({np.median(target):.2f}); it would have to be "
            "sharpened, which is refused"
        )
    reasons = [
        f"own PSF of {own[row]:.2f} pixel is wider than its donor's {target[row]:.2f}"
        for row in np.flatnonzero(lost)
    ]
    return sim.without(lost, step="psf", reasons=reasons)


def rebalanced_sky(
    sim: Party, obs: Party, frame: CommonFrame, injection: Injection, job: Job
) -> tuple[Party, Injection]:
    """Exchange a few donors so that the sky of the images that are left is balanced again.

    Cuts, frame and draw take images away, and a part of a balanced whole need not be
    balanced. An image with a new donor is measured anew on its sky; where it would not fit
    the frame any more, it keeps the old one.
    """
    if frame.width != injection.frame.width:
        return sim, injection
    held_out = injection.held_out.among(np.isin(injection.observed, obs.original))
    if len(held_out.rows) == 0:
        return sim, injection
    pick = injection.donors_of(sim).pick
    wanted = rebalanced(pick, injection.lent, held_out.features, job.rng("rebalance"))
    changed = np.flatnonzero(wanted != pick)
    if len(changed) == 0:
        return sim, injection
    part = sim.keep(changed)
    donors = replace(injection.donors, pick=wanted[changed])
    scale = None if job.kind == "radius" else job.scale(part)
    again = measure_renditions(part, donors, scale=scale, rng=job.rng("again"), progress=None)
    fits = again.found & inside(field_limits(replace(part, measured=again), job), frame.width)
    measured = sim.measured.updated(changed[fits], again.rows(np.flatnonzero(fits)))
    full = injection.donors.pick.copy()
    full[np.searchsorted(injection.sims, sim.original[changed[fits]])] = wanted[changed[fits]]
    donors = replace(injection.donors, pick=full)
    return replace(sim, measured=measured), replace(injection, donors=donors)


def _pilot(sim: Party, obs: Party, job: Job) -> tuple[CommonFrame, Party]:
    """Return the frame that donors must fill, and `sim` with better first radii."""
    ceiling = _ceiling(sim, obs, job)
    if job.kind != "radius":
        return CommonFrame(kind=job.kind, width=rounded_down(ceiling)), sim
    limit = half_limit(obs.measured, obs.edge)
    free = np.flatnonzero(limit >= np.median(limit) / 2)
    noise = obs.measured.luminance_rms[free][:, None]
    pick = free[serpentine_order(noise)[systematic(len(free), len(sim), job.rng("pilot"))]]
    lenders = Donors(party=obs, scale=job.scale(obs), half_limit=limit, pick=pick)
    measured = measure_renditions(
        sim, lenders, scale=None, rng=job.rng("pilot sky"), rounds=1, progress=job.progress
    )
    radius = np.where(measured.found, measured.radius, sim.measured.radius)
    better = replace(sim, measured=sim.measured.replace(radius=radius))
    if job.recipe.frame_width is None:
        ceiling = min(ceiling, PILOT_ROOM * widest_of(better, job))
    return CommonFrame(kind=job.kind, width=rounded_down(ceiling)), better


def _ceiling(sim: Party, obs: Party, job: Job) -> float:
    """Return the widest frame that the observed side, its free sky and known scales allow."""
    if job.recipe.frame_width is not None:
        return job.recipe.frame_width
    limits = [widest_of(obs, job), widest(widest_sky(obs, job.scale(obs)), 1 - USABLE_SKY)]
    limits.append(job.recipe.widest_radius_frame if job.kind == "radius" else widest_of(sim, job))
    return min(limits)


def _chosen(sim: Party, obs: Party, library: SkyLibrary, job: Job) -> tuple[Donors, BoolArray]:
    """Return the donors of every simulated image, and which observed rows they take away."""
    groups = obs.images.groups
    n_sim = min(sim.images.n_groups, job.recipe.n or sim.images.n_groups)
    n = n_donor_groups(obs.images.n_groups, n_sim, job.recipe.donor_fraction)
    features = library.features
    picked = choose_donors(groups[library.rows], features, n, job.rng("donors"))
    pick = assign_donors(features[picked], features[~picked], len(sim), job.rng("assign"))
    rows = library.rows[picked]
    scale = job.scale(obs)[rows]
    pick = wide_enough(
        pick,
        own=sim.own_psf * job.scale(sim),
        given=np.nan_to_num(obs.measured.psf_fwhm[rows]) * scale,
        rng=job.rng("wide enough"),
    )
    limit = half_limit(obs.measured, obs.edge)
    donors = Donors(party=obs.keep(rows), scale=scale, half_limit=limit[rows], pick=pick)
    return donors, np.isin(groups, groups[rows])


def wide_enough(
    pick: IntArray, *, own: Float64Array, given: Float64Array, rng: np.random.Generator
) -> IntArray:
    """Return `pick` with donors exchanged between images until none has to be sharpened.

    The same donors are drawn as often as before, so that the balance of their sky stays; an
    image for which no exchange helps keeps its donor.

    Parameters
    ----------
    pick : array of int (n,)
        Donor of each image.
    own : array (n,)
        PSF width of each image.
    given : array (n_donors,)
        PSF width of each donor, in the same unit.

    Examples
    --------
    >>> wide_enough(
    ...     np.array([0, 1]), own=np.array([3.0, 1.0]), given=np.array([2.0, 4.0]),
    ...     rng=np.random.default_rng(0),
    ... ).tolist()
    [1, 0]
    """
    pick = pick.copy()
    for image in np.argsort(-own, kind="stable"):
        if own[image] <= given[pick[image]]:
            continue
        helps = (given[pick] >= own[image]) & (own <= given[pick[image]])
        if helps.any():
            other = rng.choice(np.flatnonzero(helps))
            pick[image], pick[other] = pick[other], pick[image]
    return pick


def survey_noise_curve(injection: Injection, job: Job) -> NoiseCurve:
    """Return how the survey's noise shows through light, from donors alone.

    Donors whose own galaxy does not fill the frame are left out of the measurement.
    """
    party, frame = injection.donors.party, injection.frame
    limits = 2 * party.edge * injection.donors.scale
    rows = np.flatnonzero(limits >= frame.width)[:CURVE_DONORS]
    if len(rows) == 0:
        bands = party.images.images.shape[1]
        return NoiseCurve(brightness=np.zeros(1), ratio=np.ones((bands, 1)))
    stamps, skies = [], []
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        block = party.images.images.read(part)
        stamps.append(on_frame(block, party, part, frame=frame, job=job))
        skies.append(draw_sky(party, part, frame, job))
    return noise_curve(np.concatenate(stamps), np.concatenate(skies))
