"""Match two calibrated sets: the order of the steps, and what each one cost.

Every step is physical and acts on the original pixels: bands, distance, cuts, frame, PSF, noise;
then one fixed stretch, whose only parameter is the observed noise, turns flux into what the
encoder sees.
"""

from dataclasses import replace

import numpy as np

from simreal.core.arrays import Float64Array
from simreal.core.cards import View
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSet, Step
from simreal.match.checks import closure_checks, frame_checks, psf_checks, sky_checks
from simreal.match.donors import widest_sky
from simreal.match.flux.cautions import blown_up_caution, flux_cautions
from simreal.match.flux.common_psf import common_psf
from simreal.match.flux.donors import Lent, chosen_donors, still, wants_donors
from simreal.match.flux.given import check_given, in_common_bands, own_fields, placed
from simreal.match.flux.measure import measure_as_seen, measure_flux, sky_noise
from simreal.match.flux.optics import own_width
from simreal.match.flux.render import lost_in_frame
from simreal.match.flux.skies import rendered
from simreal.match.flux.stamps import stretched_set, stretched_sky
from simreal.match.frame import CommonFrame, choose_kind, rounded_down, widest
from simreal.match.framing import framed, overshoot, widest_of
from simreal.match.job import Job
from simreal.match.recipe import Recipe, Side
from simreal.match.result import MatchCheck, Matched
from simreal.match.selection import apply_cuts, balance_table, check_cuts, draw_groups
from simreal.match.selection_step import with_matched_selection
from simreal.match.sides import Party, with_source
from simreal.measure.stamps import Measured, Progress, measure_stamps

#: Frames of which more than this share is masked are left out.
MOST_MASKED = 0.05
#: An automatic frame holds at least this many native pixels of the coarser side.
FEWEST_NATIVE = 16
#: [pixel] Stamps are never smaller than this, however few native pixels the frame holds.
LEAST_STAMP = 32
#: Softening of the stretch in units of the observed noise.
SOFTENING = 3.0
#: The automatic frame leaves at least this share of the observed frames with free sky.
USABLE_SKY = 0.9


def match_flux(
    sim: ImageSet,
    obs: ImageSet,
    *,
    views: tuple[View, View],
    recipe: Recipe,
    seed: int,
    progress: Progress | None = None,
) -> Matched:
    """Bring two calibrated sets to the same observing conditions.

    Parameters
    ----------
    sim, obs : ImageSet
        nJy per pixel.
    views : pair of View
    recipe : Recipe
    seed : int
    progress : callable, optional
        ``(label, done, total)``.

    Returns
    -------
    Matched
        Stamps are display values of one fixed asinh stretch; the setup names its softening.

    Raises
    ------
    UsageError
        Wrong track or unit, no band in common, no redshift to place images at, an unknown
        property in a cut.
    NothingUsableError, NotComputableError
        Nothing left to match, or no frame that fits.
    """
    for images in (sim, obs):
        check_given(images)
    sim, obs, different = in_common_bands(sim, obs, recipe)
    job = Job(recipe=recipe, seed=seed, kind="angular", progress=progress)
    sim = placed(sim, like=obs, recipe=recipe, rng=job.rng("placement"))
    obs = placed(obs, like=obs, recipe=recipe, rng=job.rng("placement obs"))
    job = replace(job, kind=choose_kind(recipe.frame, (sim, obs), views))
    check_cuts(recipe.cuts, {"sim": sim, "obs": obs})
    observed = _measured("obs", obs, views[1], job)
    simulated = _measured("sim", sim, views[0], job, like=observed)
    observed = apply_cuts(observed, recipe.cuts)
    simulated = apply_cuts(simulated, recipe.cuts)
    simulated, observed, selection = with_matched_selection(simulated, observed, job)
    lent = None
    frame = _frame(simulated, observed, job, sky=wants_donors(simulated, observed))
    native = _native_pixels(simulated, observed, frame, job)
    job = replace(job, recipe=recipe.replace(stamp=_stamp(native, job)))
    if wants_donors(simulated, observed):
        simulated, observed, lent = chosen_donors(simulated, observed, frame, job)
    matched = _matched(simulated, observed, lent, frame, different, job)
    blown_up = blown_up_caution(native, job.recipe.stamp)
    return replace(matched, selection=selection, warnings=(*matched.warnings, *blown_up))


def _measured(
    side: Side, images: ImageSet, view: View, job: Job, like: Party | None = None
) -> Party:
    """Measure a set, an idealised one as the survey `like` would show it."""
    box = own_fields(images)
    if images.setup.rendition == "idealised" and like is not None:
        noise, fwhm = _survey_depth(images, like)
        measured = measure_as_seen(
            images, box=box, noise=noise, fwhm=fwhm, rng=job.rng("as seen"),
            label=f"measure {side}", progress=job.progress,
        )  # fmt: skip
    else:
        measured = measure_flux(
            images,
            box=box,
            noise=sky_noise(images, box),
            stars=images.setup.psf_fwhm is None and images.setup.psf is None,
            label=f"measure {side}",
            progress=job.progress,
        )
    party = Party(
        side=side,
        images=images,
        view=view,
        measured=_with_psf(images, measured),
        original=np.arange(len(images), dtype=np.int64),
        box=box,
    )
    return with_source(party)


def _with_psf(images: ImageSet, measured: Measured) -> Measured:
    """Return the measurements with the PSF widths [native pixel] that the setup states."""
    scale = np.broadcast_to(np.asarray(images.setup.pixel_scale, np.float64), (len(images),))
    widths = own_width(images).mean(axis=1) / scale
    return measured.replace(psf_fwhm=np.where(np.isfinite(widths), widths, measured.psf_fwhm))


def _survey_depth(images: ImageSet, like: Party) -> tuple[Float64Array, Float64Array]:
    """Return the rms that the survey has on pixels of this size, and its PSF width on them."""
    n = len(images)
    scale = np.broadcast_to(np.asarray(images.setup.pixel_scale, np.float64), (n,))
    theirs = np.broadcast_to(np.asarray(like.images.setup.pixel_scale, np.float64), (len(like),))
    depth = np.median(like.measured.sky_rms / theirs[:, None], axis=0)
    fwhm = float(np.nan_to_num(np.nanmedian(like.measured.psf_fwhm * theirs)))
    return depth * scale[:, None], fwhm / scale


def _frame(sim: Party, obs: Party, job: Job, *, sky: bool) -> CommonFrame:
    """Return the widest frame both sides can fill, and that donors can fill with sky."""
    if job.recipe.frame_width is not None:
        return CommonFrame(kind=job.kind, width=job.recipe.frame_width)
    limits = [widest_of(sim, job), widest_of(obs, job)]
    if sky:
        limits.append(widest(widest_sky(obs, job.scale(obs)), 1 - USABLE_SKY))
    if job.kind == "radius":
        limits.append(job.recipe.widest_radius_frame)
    return CommonFrame(kind=job.kind, width=rounded_down(min(limits)))


def _native_pixels(sim: Party, obs: Party, frame: CommonFrame, job: Job) -> float:
    """Return how many native pixels of the coarser side the frame holds.

    Raises
    ------
    NotComputableError
        If an automatic frame holds so few that nothing but the pixels would be compared.
    """
    held = {p: float(np.median(frame.width / job.scale(p))) for p in (sim, obs)}
    coarse = min(held, key=lambda party: held[party])
    if job.recipe.frame_width is None and held[coarse] < FEWEST_NATIVE:
        tight = min((sim, obs), key=lambda party: widest_of(party, job))
        raise NotComputableError(
            f"frame: the widest that both sides fill is {frame.width:g} [{frame.unit}], which is "
            f"{held[coarse]:.3g} pixels of {coarse.images.name}, needed are {FEWEST_NATIVE}; the "
            f"fields of {tight.images.name} are too small: give larger stamps, or ask for a wider "
            "--frame-width and lose the smallest"
        )
    return held[coarse]


def _stamp(native: float, job: Job) -> int:
    """Return the side of the stamps [pixel]: finer pixels than the coarser side's show nothing."""
    return int(min(job.recipe.stamp, max(2 * (int(native) // 2), LEAST_STAMP)))


def _matched(
    sim: Party, obs: Party, lent: Lent | None, frame: CommonFrame, different: tuple[str, ...],
    job: Job,
) -> Matched:  # fmt: skip
    before = sim.original
    (sim, loss_sim), (obs, loss_obs) = framed(sim, frame, job), framed(obs, frame, job)
    sim, obs = _unmasked(sim, frame, job), _unmasked(obs, frame, job)
    lent = still(lent, before, sim)
    blurs, sim, obs, lent = common_psf(sim, obs, lent, job)
    fraction = {str(p.side): len(p) / (len(p) + len(p.exclusions)) for p in (sim, obs)}
    before = sim.original
    drawn_sim, drawn_obs = _drawn(sim, 1, job), _drawn(obs, 2, job)
    blurs = (
        blurs[0].of_rows(np.flatnonzero(np.isin(sim.original, drawn_sim.original))),
        blurs[1].of_rows(np.flatnonzero(np.isin(obs.original, drawn_obs.original))),
    )
    sim, obs = drawn_sim, drawn_obs
    lent = still(lent, before, sim)
    made = rendered((sim, obs), blurs, lent, frame, job)
    softening = SOFTENING * np.median(made[1].noise, axis=0)
    sets, skies, shapes = [], [], []
    for party, own, drawn in zip((sim, obs), blurs, made, strict=True):
        images = stretched_set(party, own, drawn, frame, softening, job)
        sets.append(images)
        skies.append(stretched_sky(images, drawn, softening))
        shapes.append(measure_stamps(images, stars=False))
    residual = sets[0].setup.differs_from(sets[1].setup)
    balance = balance_table(sim, obs, stamps=(shapes[0], shapes[1]), radius=job.kind != "radius")
    checks = [
        *_sky_checks(skies, injected=lent is not None, job=job),
        *frame_checks(
            losses={"sim": loss_sim, "obs": loss_obs},
            loss_limit=job.recipe.loss_limit if job.recipe.frame_width is None else None,
            overshoot={"sim": overshoot(sim, frame, job), "obs": overshoot(obs, frame, job)},
            interpolations={"sim": 1, "obs": 1},
        ),
        *made[0].checks,
        *made[1].checks,
        *closure_checks(*shapes),
        *psf_checks(sets[0].setup, sets[1].setup),
    ]
    if different:
        residual = (*residual, "bands")
    return Matched(
        sim=sets[0],
        obs=sets[1],
        sky_sim=skies[0],
        sky_obs=skies[1],
        donors=np.empty(0, np.int64) if lent is None else lent.party.original,
        exclusions=sim.exclusions + obs.exclusions,
        checks=tuple(checks),
        balance=balance,
        warnings=flux_cautions(
            sim, obs, frame=frame, balance=balance, residual=residual, different=different,
            replaced={"sim": made[0].replaced, "obs": made[1].replaced},
            psf_known=all(np.isfinite(own.target).all() for own in blurs),
        ),
        matched_fraction=fraction,
        residual_differences=residual,
    )  # fmt: skip


def _unmasked(party: Party, frame: CommonFrame, job: Job) -> Party:
    """Leave out images whose frame is masked for more than a small part."""
    lost, _ = lost_in_frame(party, frame=frame, job=job)
    gone = lost > MOST_MASKED
    if not gone.any():
        return party
    if gone.all():
        raise NotComputableError(
            f"mask: every frame of {party.images.name} is masked by more than "
            f"{100 * MOST_MASKED:.0f} %; check calibration.mask (bad, good or bits)"
        )
    reasons = [f"{100 * lost[row]:.0f} % of the frame is masked" for row in np.flatnonzero(gone)]
    return party.without(gone, step="mask", reasons=reasons)


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


def _sky_checks(skies: list[ImageSet | None], *, injected: bool, job: Job) -> list[MatchCheck]:
    sim, obs = skies
    if sim is None or obs is None:
        return []
    pixels = [images.images.read(slice(None)) for images in (sim, obs)]
    return sky_checks(*pixels, injected=injected, rng=job.rng("sky checks"))
