"""Give idealised images the survey's sky and PSF: who lends, and what is measured on it."""

from dataclasses import dataclass, replace

import numpy as np

from simreal.core.arrays import BoolArray, IntArray
from simreal.core.images import Step
from simreal.match.donors import (
    SkyLibrary,
    assign_donors,
    choose_donors,
    n_donor_groups,
    sky_library,
    widest_sky,
)
from simreal.match.frame import CommonFrame, edge_distance, rounded_down, widest
from simreal.match.framing import widest_of
from simreal.match.job import Job
from simreal.match.noise import half_limit, serpentine_order, systematic
from simreal.match.render import CHUNK, draw_sky, on_frame
from simreal.match.rendition import measure_renditions
from simreal.match.sides import Donors, Party, with_source
from simreal.match.texture import NoiseCurve, noise_curve

#: The automatic frame leaves at least this share of the observed frames with free sky.
USABLE_SKY = 0.9
#: The pilot's radii are a percent or two off the final ones; the frame leaves room for that.
PILOT_ROOM = 0.985
#: Donors whose galaxies show how noise looks through light; more add time and nothing else.
CURVE_DONORS = 200


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
    """

    donors: Donors
    frame: CommonFrame
    sims: IntArray
    held_out: SkyLibrary
    observed: IntArray

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
    return with_source(replace(sim, measured=measured)).noted(step), obs.keep(~lent), injection


def _pilot(sim: Party, obs: Party, job: Job) -> tuple[CommonFrame, Party]:
    """Return the frame that donors must fill, and `sim` with better first radii."""
    ceiling = _ceiling(sim, obs, job)
    if job.kind != "radius":
        return CommonFrame(kind=job.kind, width=rounded_down(ceiling)), sim
    limit = half_limit(obs.measured, edge_distance(obs.measured, obs.field))
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
    limit = half_limit(obs.measured, edge_distance(obs.measured, obs.field))
    donors = Donors(
        party=obs.keep(rows), scale=job.scale(obs)[rows], half_limit=limit[rows], pick=pick
    )
    return donors, np.isin(groups, groups[rows])


def survey_noise_curve(injection: Injection, job: Job) -> NoiseCurve:
    """Return how the survey's noise shows through light, from donors alone.

    Donors whose own galaxy does not fill the frame are left out of the measurement.
    """
    party, frame = injection.donors.party, injection.frame
    limits = 2 * edge_distance(party.measured, party.field) * injection.donors.scale
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
