"""Sky for both sides: real blank sky under the light of one, or drawn noise on both."""

from dataclasses import dataclass, replace

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.match.checks import resolved
from simreal.match.correlated_noise import blank_regions, stamp_noise
from simreal.match.donors import widest_sky
from simreal.match.flux.donors import Lent
from simreal.match.flux.neighbours import filled, neighbour_mask
from simreal.match.flux.noise import (
    Filling,
    SkyNoise,
    made_equal,
    no_noise,
    noise_of,
    noise_on_frame,
    shot_noise_on,
)
from simreal.match.flux.optics import Blur
from simreal.match.flux.render import donated_sky, light, lost_in_frame
from simreal.match.frame import CommonFrame
from simreal.match.job import Job
from simreal.match.render import CHUNK, repeat_number
from simreal.match.result import MatchCheck
from simreal.match.sides import Party

#: Largest deviations of the noise of both sides.
RMS_LIMIT, POWER_LIMIT = 0.02, 0.05
#: Finished stamps show their noise where at least this share of them is blank, on so many.
MOSTLY_BLANK, FEWEST_STAMPS = 0.3, 20
#: [cycle / pixel] Of the noise that is compared on finished stamps.
LOWEST_FREQUENCY = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rendered:
    """Flux of one side on the common frame, and of empty sky that went the same way."""

    flux: Float32Array
    sky: Float32Array | None
    sky_rows: IntArray
    noise: Float64Array
    checks: tuple[MatchCheck, ...] = ()
    replaced: float = 0.0


def rendered(
    parties: tuple[Party, Party],
    blurs: tuple[Blur, Blur],
    lent: Lent | None,
    frame: CommonFrame,
    job: Job,
) -> tuple[Rendered, Rendered]:
    """Return the flux of both sides on the common frame, with the same sky and noise."""
    lights = [_light(party, own, frame, job) for party, own in zip(parties, blurs, strict=True)]
    if lent is not None:
        return _on_donated_sky(parties, lights, lent, frame, job)
    return _on_drawn_noise(parties, lights, blurs, frame, job)


def _light(party: Party, own: Blur, frame: CommonFrame, job: Job) -> Float32Array:
    """Return the flux of one side on the common frame, in an array that may be written to."""
    size, bands = job.recipe.stamp, len(party.images.setup.bands)
    out = np.empty((len(party), bands, size, size), np.float32)
    for rows, block in light(party, own, frame=frame, job=job):
        out[rows] = block
    return out


def _on_donated_sky(
    parties: tuple[Party, Party],
    lights: list[Float32Array],
    lent: Lent,
    frame: CommonFrame,
    job: Job,
) -> tuple[Rendered, Rendered]:
    """Lay the simulated light on real sky; the observed side is left as it is."""
    sim, obs = parties
    repeats = repeat_number(lent.pick)
    sky = np.concatenate(
        [
            donated_sky(
                lent.party,
                lent.pick[start : start + CHUNK],
                frame=frame,
                repeats=repeats[start : start + CHUNK],
                job=job,
            )
            for start in range(0, len(sim), CHUNK)
        ]
    )
    scale = job.scale(obs)
    rows = np.flatnonzero(widest_sky(obs, scale) >= frame.width)
    empty = np.concatenate(
        [
            donated_sky(obs, rows[start : start + CHUNK], frame=frame, repeats=None, job=job)
            for start in range(0, len(rows), CHUNK)
        ]
    )
    theirs = _noise_from_sky(empty, rows, obs, frame, job)
    ours = noise_of(sky)
    flux = lights[0]
    _add_shot_noise(flux, obs, theirs, frame, job)
    flux += sky
    return (
        Rendered(flux=flux, sky=sky, sky_rows=np.arange(len(sim)), noise=ours.rms),
        Rendered(
            flux=lights[1],
            sky=empty,
            sky_rows=rows,
            noise=theirs.rms,
        ),
    )


def _noise_from_sky(
    empty: Float32Array, rows: IntArray, obs: Party, frame: CommonFrame, job: Job
) -> SkyNoise:
    """Return the noise of observed stamps by their own empty sky: galaxies reach the border.

    Where a frame has no free sky, its native rms times the survey's usual ratio stands in.
    """
    found = noise_of(empty)
    native = obs.measured.sky_rms * (frame.width / job.scale(obs) / job.recipe.stamp)[:, None]
    rms = native * np.median(found.rms / native[rows], axis=0)
    rms[rows] = found.rms
    return replace(found, rms=rms)


def _add_shot_noise(
    flux: Float32Array, obs: Party, theirs: SkyNoise, frame: CommonFrame, job: Job
) -> None:
    """Add the noise of the simulated photons as the survey would have counted them, in place."""
    gain = obs.images.setup.gain
    if gain is None or theirs.spectrum is None:
        return
    area = np.median((frame.width / job.scale(obs) / job.recipe.stamp) ** 2)
    # Independent native pixels, as many as make one of the frame.
    independent = np.median(obs.measured.sky_rms, axis=0) ** 2 * area
    seen = np.median(theirs.rms, axis=0) ** 2
    rng = job.rng("shot noise")
    for start in range(0, len(flux), CHUNK):
        part = flux[start : start + CHUNK]
        part += shot_noise_on(
            part,
            electrons=np.median(np.atleast_2d(gain), axis=0),
            noise=seen / independent,
            spectrum=theirs.spectrum,
            rng=rng,
        )


def _on_drawn_noise(
    parties: tuple[Party, Party],
    lights: list[Float32Array],
    blurs: tuple[Blur, Blur],
    frame: CommonFrame,
    job: Job,
) -> tuple[Rendered, Rendered]:
    """Add to both sides the noise that either lacks; fill neighbours with it on both."""
    noises = [
        no_noise(len(party), len(party.images.setup.bands))
        if party.images.setup.rendition == "idealised"
        else noise_on_frame(party, own, frame=frame, job=job)
        for party, own in zip(parties, blurs, strict=True)
    ]
    fillings = made_equal(noises[0], noises[1], job.rng("ranks"))
    out = []
    obs_noise = noises[1] if noises[1].spectrum is not None else noises[0]
    for party, flux, own, filling in zip(parties, lights, noises, fillings, strict=True):
        rng = job.rng("noise", party.side)
        if own.silent:
            _add_shot_noise(flux, parties[1], obs_noise, frame, job)
        out.append(_with_noise(party, flux, filling, rng, frame, job))
    checks = noise_checks(out[0].flux, out[1].flux)
    return replace(out[0], checks=checks), out[1]


def noise_checks(sim: Float32Array, obs: Float32Array) -> tuple[MatchCheck, ...]:
    """Compare the noise of both sides as it is on the finished stamps, where nothing is seen.

    Parameters
    ----------
    sim, obs : arrays (n, band, y, x)
        [nJy / pixel]
    """
    blank = [blank_regions(stamps) for stamps in (sim, obs)]
    free = [
        np.asarray(each.mean(axis=(1, 2, 3)) >= MOSTLY_BLANK)
        & stamp_noise(stamps, each)[2].all(axis=1)
        for each, stamps in zip(blank, (sim, obs), strict=True)
    ]
    if min(int(each.sum()) for each in free) < FEWEST_STAMPS:
        # Galaxies fill the frames: nothing on them is noise alone.
        return ()
    try:
        found = [
            noise_of(stamps[rows], blank=each[rows])
            for stamps, each, rows in zip((sim, obs), blank, free, strict=True)
        ]
    except NotComputableError:
        return ()
    rms = [np.median(noise.rms, axis=0) for noise in found]
    # The scatter of one image's rms over the root of their number, of both sides.
    errors = [
        noise.rms.std(axis=0) / middle / np.sqrt(len(noise.rms))
        for noise, middle in zip(found, rms, strict=True)
    ]
    error = float(np.hypot(*errors).max())
    ratio = rms[0] / rms[1]
    annuli = [noise.spectrum.annuli() for noise in found if noise.spectrum is not None]
    # Below this the wings of galaxies, which differ, outweigh the noise.
    usable = annuli[0][0] >= LOWEST_FREQUENCY
    power = (annuli[0][1] / annuli[1][1])[:, usable]
    worst = (
        float(ratio[np.abs(ratio - 1).argmax()]),
        float(power.flat[np.abs(power - 1).argmax()]),
    )
    note = f"{len(sim)} simulated stamps against {len(obs)} observed, sources left out"
    return (
        resolved("sky rms, sim over obs", worst[0] - 1, RMS_LIMIT, error, unit="", note=note),
        resolved(
            "noise power, sim over obs, worst bin", worst[1] - 1, POWER_LIMIT, 2 * error,
            unit="", note=note,
        ),
    )  # fmt: skip


def _with_noise(
    party: Party,
    flux: Float32Array,
    filling: Filling,
    rng: np.random.Generator,
    frame: CommonFrame,
    job: Job,
) -> Rendered:
    size = (flux.shape[-2], flux.shape[-1])
    for start in range(0, len(flux), CHUNK):
        rows = slice(start, min(start + CHUNK, len(flux)))
        flux[rows] += filling.field(rows, size, rng)
    where = neighbour_mask(flux, filling.total)
    _, masked = lost_in_frame(party, frame=frame, job=job)
    where |= masked
    for start in range(0, len(flux), CHUNK):
        rows = slice(start, min(start + CHUNK, len(flux)))
        flux[rows] = filled(flux[rows], where[rows], filling.cover(rows, size, rng))
    return Rendered(
        flux=flux,
        sky=None,
        sky_rows=np.empty(0, np.int64),
        noise=filling.total,
        replaced=float(where.mean()),
    )
