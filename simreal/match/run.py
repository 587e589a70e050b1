"""Match a simulated and an observed set: the order of the steps, and what each one cost."""

from dataclasses import replace

import numpy as np

from simreal.core.arrays import Float64Array, IntArray
from simreal.core.cards import View
from simreal.core.errors import NotComputableError, NothingUsableError, UsageError
from simreal.core.images import ImageSet, Step
from simreal.match.cautions import match_cautions
from simreal.match.checks import (
    closure_checks,
    frame_checks,
    psf_checks,
    sky_checks,
    sky_numbers,
)
from simreal.match.donors import SkyLibrary, sky_library, stamp_noise
from simreal.match.frame import CommonFrame, choose_kind
from simreal.match.framing import common_frame, framed, overshoot
from simreal.match.injection import Injection, on_donated_sky, rebalanced_sky, survey_noise_curve
from simreal.match.job import Job
from simreal.match.own_sky import left_of_own_sky, sharper, with_own_psf
from simreal.match.psf import MOFFAT_BETA
from simreal.match.recipe import Recipe, Side
from simreal.match.register import registered
from simreal.match.render import Rendered, added_psf, render_on_donors, render_survey
from simreal.match.result import MatchCheck, Matched
from simreal.match.selection import apply_cuts, balance_table, check_cuts, draw_groups, table_cuts
from simreal.match.selection_step import with_matched_selection
from simreal.match.sides import Party, with_source
from simreal.match.stamps import knows_psf, matched_set, matched_setup, sky_set, stamp_psf
from simreal.measure.stamps import Progress, measure_stamps


def match_pair(
    sim: ImageSet,
    obs: ImageSet,
    *,
    views: tuple[View, View],
    recipe: Recipe,
    seed: int,
    progress: Progress | None = None,
) -> Matched:
    """Bring two sets to the same observing conditions.

    Order: measure (an idealised side on a throw-away view with a donor's sky and PSF),
    cuts, common frame, draw of n, then the original pixels through PSF, frame, sky and the
    last encoding. Every image left out is listed.

    Parameters
    ----------
    sim, obs : ImageSet
        rgb composites, display values in [0, 1].
    views : pair of View
        How each side was seen, from its card.
    recipe : Recipe
    seed : int
    progress : callable, optional
        ``(label, done, total)``.

    Returns
    -------
    Matched

    Raises
    ------
    UsageError
        Wrong track, unknown property in a cut, a frame whose scale is not known.
    NothingUsableError, NotComputableError
        Nothing left to match, or no frame that fits.
    """
    for images in (sim, obs):
        _check_given(images)
    kind = choose_kind(recipe.frame, (sim, obs), views)
    check_cuts(recipe.cuts, {"sim": sim, "obs": obs})
    job = Job(recipe=recipe, seed=seed, kind=kind, progress=progress)
    simulated = _measured("sim", sim, views[0], job)
    observed = apply_cuts(_measured("obs", obs, views[1], job), recipe.cuts)
    early = table_cuts(recipe.cuts, sim)
    simulated = apply_cuts(simulated, early)
    injection = None
    if obs.setup.rendition == "survey" and _needs_sky(simulated, observed, job):
        if simulated.noisy:
            simulated = with_own_psf(simulated)
        simulated, observed, injection = on_donated_sky(simulated, observed, job)
    simulated = apply_cuts(simulated, [cut for cut in recipe.cuts if cut not in early])
    simulated, observed, selection = with_matched_selection(simulated, observed, job)
    matched = _matched(simulated, observed, injection, job)
    return replace(matched, selection=selection)


def _needs_sky(sim: Party, obs: Party, job: Job) -> bool:
    """Return whether the simulated side is to be given the observed PSF and sky.

    Idealised images are; so are images on a sky of their own that are clearly sharper, because
    bringing them to the observed PSF smooths their noise away.
    """
    if not sim.noisy:
        return True
    return knows_psf(sim) and knows_psf(obs) and sharper(sim, obs, job)


def _check_given(images: ImageSet) -> None:
    if images.setup.track != "rgb":
        raise UsageError(
            f"{images.name}: got track {images.setup.track!r}, allowed for matching is 'rgb'"
        )
    if len(images) == 0:
        raise NothingUsableError(f"{images.name}: no image to match")
    if images.images.shape[1] != 3:
        raise UsageError(
            f"{images.name}: got {images.images.shape[1]} bands, allowed on the rgb track is 3"
        )


def _measured(side: Side, images: ImageSet, view: View, job: Job) -> Party:
    """Measure a set as it is and leave out what has no source in the centre."""
    survey = images.setup.rendition == "survey"
    measured = measure_stamps(images, stars=survey, label=f"measure {side}", progress=job.progress)
    original = np.arange(len(images), dtype=np.int64)
    return with_source(
        Party(side=side, images=images, view=view, measured=measured, original=original)
    )


def _matched(sim: Party, obs: Party, injection: Injection | None, job: Job) -> Matched:
    ceiling = None if injection is None else injection.frame.width
    frame = common_frame(sim, obs, ceiling=ceiling, job=job)
    (sim, loss_sim), (obs, loss_obs) = framed(sim, frame, job), framed(obs, frame, job)
    # Donors are not lost: they were never meant to be scored.
    fraction = {str(p.side): len(p) / (len(p) + len(p.exclusions)) for p in (sim, obs)}
    sim, obs = _drawn(sim, 1, job), _drawn(obs, 2, job)
    if injection is not None:
        sim, injection = rebalanced_sky(sim, obs, frame, injection, job)
    sim, obs = registered(sim, frame, job), registered(obs, frame, job)
    rendered_sim, rendered_obs = (
        _rendered(sim, frame, injection, job),
        _rendered(obs, frame, None, job),
    )
    skies = (
        _sky_of(sim, rendered_sim, frame, injection, job),
        _sky_of(obs, rendered_obs, frame, injection, job),
    )
    noise_sim, noise_obs = _noises((sim, obs), skies)
    # Injected PSFs are the donors': as well known as the observed ones.
    psf_known = knows_psf(obs) and (injection is not None or knows_psf(sim))
    sim_set = _as_set(sim, frame, rendered_sim, noise=noise_sim, psf_known=psf_known, job=job)
    obs_set = _as_set(obs, frame, rendered_obs, noise=noise_obs, psf_known=psf_known, job=job)
    shapes = measure_stamps(sim_set, stars=False), measure_stamps(obs_set, stars=False)
    balance = balance_table(sim, obs, stamps=shapes, radius=job.kind != "radius")
    residual = sim_set.setup.differs_from(obs_set.setup)
    checks = [
        *_sky_checks(skies, injected=injection is not None, job=job),
        *frame_checks(
            losses={"sim": loss_sim, "obs": loss_obs},
            loss_limit=job.recipe.loss_limit,
            overshoot={"sim": overshoot(sim, frame, job), "obs": overshoot(obs, frame, job)},
            interpolations={
                "sim": rendered_sim.interpolations,
                "obs": rendered_obs.interpolations,
            },
        ),
        *closure_checks(*shapes),
        *psf_checks(sim_set.setup, obs_set.setup),
    ]
    return Matched(
        sim=sim_set,
        obs=obs_set,
        sky_sim=sky_set(sim_set, skies[0]),
        sky_obs=sky_set(obs_set, skies[1]),
        donors=_donor_rows(injection),
        exclusions=sim.exclusions + obs.exclusions,
        checks=tuple(checks),
        balance=balance,
        warnings=match_cautions(
            sim,
            obs,
            frame=frame,
            balance=balance,
            residual=residual,
            injected=injection is not None,
            sky_known=noise_sim is not None,
            psf_known=psf_known,
        ),
        matched_fraction=fraction,
        residual_differences=residual,
    )


def _drawn(party: Party, times: int, job: Job) -> Party:
    """Draw `times` n groups: the observed side needs twice n for a floor at n."""
    if job.recipe.n is None:
        return party
    n = times * job.recipe.n
    left = party.keep(draw_groups(party.images.groups, n, job.rng("draw", party.side)))
    step = Step(
        name="draw",
        before={"groups": party.images.n_groups},
        after={"groups": left.images.n_groups},
        note=f"{n} groups asked for",
    )
    return left.noted(step)


def _rendered(party: Party, frame: CommonFrame, injection: Injection | None, job: Job) -> Rendered:
    if injection is None:
        return render_survey(party, frame, job)
    curve = survey_noise_curve(injection, job)
    own = left_of_own_sky(party, frame, added_psf(party), job)
    return render_on_donors(party, frame, injection.donors_of(party), curve, job, own=own)


def _noises(
    parties: tuple[Party, Party], skies: tuple[SkyLibrary | None, SkyLibrary | None]
) -> tuple[Float64Array | None, Float64Array | None]:
    """Return the sky rms of both sides' stamps; neither, where one side's is not known."""
    sim, obs = skies
    if sim is None or obs is None:
        return None, None
    return stamp_noise(parties[0], sim), stamp_noise(parties[1], obs)


def _sky_checks(
    skies: tuple[SkyLibrary | None, SkyLibrary | None], *, injected: bool, job: Job
) -> list[MatchCheck]:
    sim, obs = skies
    if sim is None or obs is None or len(sim.rows) == 0 or len(obs.rows) == 0:
        return []
    return sky_checks(sim.stamps, obs.stamps, injected=injected, rng=job.rng("sky checks"))


def _as_set(
    party: Party,
    frame: CommonFrame,
    rendered: Rendered,
    *,
    noise: Float64Array | None,
    psf_known: bool,
    job: Job,
) -> ImageSet:
    stamp = job.recipe.stamp
    widths = stamp_psf(party, frame, scale=job.scale(party), stamp=stamp)
    psf = widths if psf_known and np.isfinite(widths).all() else None
    survey = rendered.sky is not None or party.images.setup.rendition == "survey"
    setup = matched_setup(party, frame, psf=psf, noise=noise, stamp=stamp, survey=survey)
    steps = (*party.steps, *_rendering_steps(party, rendered, widths, noise, job))
    return matched_set(party, rendered.stamps, setup, steps=steps)


def _rendering_steps(
    party: Party, rendered: Rendered, psf: Float64Array, noise: Float64Array | None, job: Job
) -> tuple[Step, ...]:
    """Return what was done to the pixels, with the numbers before and after."""
    before, after = party.images.setup, float(np.nanmedian(psf)) if np.isfinite(psf).any() else None
    steps = []
    if rendered.sky is not None:
        removed = float(np.median(party.measured.sky))
        steps = [
            Step(
                name="background",
                before={"median border level": removed},
                after={"median border level": 0.0},
                note="diffuse light at the border of the field is taken for sky",
            ),
            Step(
                name="psf",
                before={"fwhm [native pixel]": float(np.median(party.own_psf))},
                after={"fwhm [native pixel]": float(np.nanmedian(party.measured.psf_fwhm))},
                note=f"Moffat of the donor's width, index {MOFFAT_BETA:g}",
            ),
        ]
    steps.append(
        Step(
            name="resample",
            before={"pixels": float(min(party.field))},
            after={"pixels": float(job.recipe.stamp), "psf fwhm [stamp pixel]": after},
            note="one area-overlap resampling, centred on the measured centre",
        )
    )
    if rendered.sky is not None:
        shown = float(np.median(sky_numbers(rendered.sky)[1])) if len(rendered.sky) else None
        note = "real galaxy-free sky of the donor, with its neighbours"
        if party.noisy:
            note += "; its noise lowered by what was left of the images' own"
        steps.append(
            Step(
                name="sky",
                before={
                    "sky rms": 0.0 if before.noise is None else float(np.median(before.noise)),
                    "share of the variance brought along": rendered.own_noise,
                },
                after={"sky rms": shown},
                note=note,
            )
        )
    steps.append(
        Step(
            name="encode",
            after={"noise": None if noise is None else float(np.median(noise))},
            note=f"8-bit JPEG, quality {job.recipe.jpeg_quality}, 4:4:4; stretch left as it is",
        )
    )
    return tuple(steps)


def _sky_of(
    party: Party, rendered: Rendered, frame: CommonFrame, injection: Injection | None, job: Job
) -> SkyLibrary | None:
    """Return the empty sky of a side's matched stamps, or None where it has none to show."""
    if rendered.sky is not None and rendered.sky_rows is not None:
        rows = rendered.sky_rows
        if len(rows) == 0:
            return None
        return SkyLibrary(rows=rows, stamps=rendered.sky, features=np.zeros((len(rows), 0)))
    if party.images.setup.rendition == "idealised":
        return None
    if injection is not None and frame.width == injection.frame.width:
        return injection.held_out.among(np.isin(injection.observed, party.original))
    try:
        return sky_library(party, frame, job)
    except NotComputableError:
        return None  # the frame is too wide for galaxy-free sky; nothing is claimed about it


def _donor_rows(injection: Injection | None) -> IntArray:
    if injection is None:
        return np.zeros(0, dtype=np.int64)
    return np.sort(injection.donors.party.original)
