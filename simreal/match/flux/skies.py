"""Sky for both sides: real blank sky under the light of one, or drawn noise on both."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.match.checks import OPEN_SIGMA, resolved
from simreal.match.correlated_noise import blank_regions, stamp_noise
from simreal.match.donors import widest_sky
from simreal.match.flux.donors import Lent
from simreal.match.flux.neighbours import filled, neighbour_mask
from simreal.match.flux.noise import (
    Filling,
    SkyNoise,
    far_from_sources,
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
#: The noise is checked on so many stamps, in so many blocks for its error.
FEWEST_STAMPS, CHECKED, BLOCKS = 20, 100, 10
#: [per cent] Of the levels of all stamps, the one that is taken for the sky's.
EMPTIEST = 10.0
#: [cycle / pixel] Of the noise that is compared on finished stamps.
LOWEST_FREQUENCY = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rendered:
    """Flux of one side on the common frame, and of empty sky that went the same way.

    ``hidden`` says where noise is shown in place of neighbours ``(n, y, x)``, ``level`` by how
    much the sky of all images was above the other side's ``(band,)`` [nJy / pixel].
    """

    flux: Float32Array
    sky: Float32Array | None
    sky_rows: IntArray
    noise: Float64Array
    checks: tuple[MatchCheck, ...] = ()
    replaced: float = 0.0
    hidden: BoolArray | None = None
    level: Float64Array | None = None


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
    """Add to both sides the noise that either lacks.

    Two surveys each have neighbours of their own. Where one side has none, those of the other
    are filled with noise, by a rule that is applied to both.
    """
    noises = [
        no_noise(len(party), len(party.images.setup.bands))
        if party.images.setup.rendition == "idealised"
        else noise_on_frame(party, own, frame=frame, job=job)
        for party, own in zip(parties, blurs, strict=True)
    ]
    fillings = made_equal(noises[0], noises[1], job.rng("ranks"))
    lone = any(party.images.setup.rendition == "idealised" for party in parties)
    obs_noise = noises[1] if noises[1].spectrum is not None else noises[0]
    for party, flux, own, filling in zip(parties, lights, noises, fillings, strict=True):
        if own.silent:
            _add_shot_noise(flux, parties[1], obs_noise, frame, job)
        _add_noise(flux, filling, job.rng("noise", party.side))
    level = _bring_to_level(lights, fillings)
    out = [
        _without_neighbours(party, flux, filling, frame, job, fill=lone)
        for party, flux, filling in zip(parties, lights, fillings, strict=True)
    ]
    checks = noise_checks(out[0], out[1])
    return replace(out[0], checks=checks, level=level), out[1]


def _add_noise(flux: Float32Array, filling: Filling, rng: np.random.Generator) -> None:
    """Add what a side lacks, in place."""
    for start in range(0, len(flux), CHUNK):
        rows = slice(start, min(start + CHUNK, len(flux)))
        flux[rows] += filling.field(rows, (flux.shape[-2], flux.shape[-1]), rng)


def _bring_to_level(
    lights: list[Float32Array], fillings: tuple[Filling, Filling]
) -> Float64Array | None:
    """Give the simulated side the sky level of the observed one, in place; return what was off.

    A pipeline that leaves a pedestal leaves it on all images, so that one number per band is
    taken off: image by image it would take halos away. It is measured alike on the finished
    stamps of both sides, or on neither.
    """
    sim, obs = (
        sky_level(flux, filling.total) for flux, filling in zip(lights, fillings, strict=True)
    )
    if sim is None or obs is None:
        return None
    lights[0] -= (sim - obs)[:, None, None].astype(np.float32)
    return sim - obs


def sky_level(stamps: Float32Array, noise: Float64Array) -> Float64Array | None:
    """Return the level of the emptiest stamps far from sources ``(band,)``, or None for too few.

    Halos raise the level of most stamps where frames are tight; a pedestal raises that of all.

    Parameters
    ----------
    stamps : array (n, band, y, x)
    noise : array (n, band)
        Sky rms.

    Examples
    --------
    >>> sky = np.random.default_rng(0).normal(0.5, 1.0, (40, 1, 48, 48)).astype("f4")
    >>> level = sky_level(sky, np.ones((40, 1)))
    >>> bool(abs(level[0] - 0.5) < 0.05)
    True
    """
    rows = _spread(len(stamps))
    block = stamps[rows]
    far = far_from_sources(blank_regions(block))
    level, _, clean = stamp_noise((block / noise[rows][..., None, None]).astype(np.float32), far)
    free = clean.all(axis=1)
    if free.sum() < FEWEST_STAMPS:
        return None
    return np.asarray(np.percentile(level[free], EMPTIEST, axis=0) * np.median(noise, axis=0))


def _spread(n: int) -> IntArray:
    """Return rows spread over all, no more than are needed to know the noise."""
    return np.unique(np.linspace(0, n - 1, min(n, CHECKED)).astype(np.int64))


def noise_checks(sim: Rendered, obs: Rendered) -> tuple[MatchCheck, ...]:
    """Compare the noise of both sides as it is on the finished stamps, far from any source.

    Every stamp counts in units of the rms that the match gave it: whether images are deep or
    shallow is the survey's, and few images would compare their depths instead of their noise.
    What shows noise in place of neighbours would agree with itself and is left out. Nothing is
    said where galaxies fill the frames, since their outskirts are not noise.

    Parameters
    ----------
    sim, obs : Rendered
        Finished.
    """
    seen = [_far_from_sources(made) for made in (sim, obs)]
    if any(each is None for each in seen):
        return ()
    try:
        found = [_log_noise(each) for each in seen if each is not None]
    except NotComputableError:
        return ()
    given = np.log(np.median(sim.noise, axis=0) / np.median(obs.noise, axis=0))[:, None]
    offset = (
        found[0][0] - found[1][0] + given * np.array([1.0] + [2.0] * (found[0][0].shape[1] - 1))
    )
    error = np.hypot(found[0][1], found[1][1])
    n = [len(each[0]) for each in seen if each is not None]
    note = f"{n[0]} simulated stamps against {n[1]} observed, far from sources"
    return (
        _worst("sky rms, sim over obs", offset[:, :1], error[:, :1], RMS_LIMIT, note),
        _worst(
            "noise power, sim over obs, worst bin", offset[:, 1:], error[:, 1:], POWER_LIMIT, note
        ),
    )


def _far_from_sources(made: Rendered) -> tuple[Float32Array, BoolArray] | None:
    """Return stamps in units of their noise and where nothing is near, or None for too few."""
    rows = _spread(len(made.flux))
    stamps = made.flux[rows]
    blank = far_from_sources(blank_regions(stamps))
    if made.hidden is not None:
        blank &= ~made.hidden[rows][:, None]
    unit = (stamps / made.noise[rows][..., None, None]).astype(np.float32)
    free = stamp_noise(unit, blank)[2].all(axis=1)
    return (unit[free], blank[free]) if free.sum() >= FEWEST_STAMPS else None


def _log_noise(seen: tuple[Float32Array, BoolArray]) -> tuple[Float64Array, Float64Array]:
    """Return logarithms of the rms and of the power in annuli ``(band, 1 + bins)``, and errors.

    Errors are from leaving out one block of stamps after the other.
    """
    unit, blank = seen
    block = np.arange(len(unit)) % BLOCKS
    whole = _rms_and_power(unit, blank)
    parts = np.array([_rms_and_power(unit[block != k], blank[block != k]) for k in range(BLOCKS)])
    spread = ((parts - parts.mean(axis=0)) ** 2).sum(axis=0)
    return whole, np.sqrt((BLOCKS - 1) / BLOCKS * spread)


def _rms_and_power(unit: Float32Array, blank: BoolArray) -> Float64Array:
    noise = noise_of(unit, blank=blank)
    if noise.spectrum is None:
        raise NotComputableError("noise: no stamp shows any")
    frequency, power = noise.spectrum.annuli()
    # Below this the wings of galaxies, which differ, outweigh the noise.
    power = power[:, frequency >= LOWEST_FREQUENCY]
    return np.log(np.column_stack([np.median(noise.rms, axis=0), power]))


def _worst(
    name: str, offset: Float64Array, error: Float64Array, limit: float, note: str
) -> MatchCheck:
    """Return the check of the one number that is farthest beyond its limit for its error.

    The worst of many is far off by chance: its error is widened by as much as their number asks.
    """
    ratio = np.exp(offset) - 1
    k = int(((np.abs(ratio) - limit) / np.maximum(error, 1e-9)).argmax())
    many = float(norm.isf(norm.sf(OPEN_SIGMA) / ratio.size)) / OPEN_SIGMA
    told = f"{note}; the worst of {ratio.size}"
    return resolved(
        name, float(ratio.flat[k]), limit, many * float(error.flat[k]), unit="", note=told
    )


def _without_neighbours(
    party: Party,
    flux: Float32Array,
    filling: Filling,
    frame: CommonFrame,
    job: Job,
    *,
    fill: bool,
) -> Rendered:
    """Show noise, in place, where pixels are masked and, if `fill`, where neighbours are."""
    size = (flux.shape[-2], flux.shape[-1])
    rng = job.rng("neighbours", party.side)
    _, where = lost_in_frame(party, frame=frame, job=job)
    if fill:
        radius = party.measured.radius90 * job.scale(party) * size[0] / frame.width
        where = where | neighbour_mask(flux, filling.total, radius)
    for start in range(0, len(flux), CHUNK):
        rows = slice(start, min(start + CHUNK, len(flux)))
        flux[rows] = filled(flux[rows], where[rows], filling.cover(rows, size, rng))
    return Rendered(
        flux=flux,
        sky=None,
        sky_rows=np.empty(0, np.int64),
        noise=filling.total,
        replaced=float(where.mean()),
        hidden=where,
    )
