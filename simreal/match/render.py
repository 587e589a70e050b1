"""Make the matched stamps: PSF, frame, sky, and the same last encoding for both sides."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array, IntArray
from simreal.match.frame import CommonFrame
from simreal.match.job import Job
from simreal.match.noise import CLEARANCE, sky_patch
from simreal.match.pixels import remove_background, requantise, resample
from simreal.match.psf import REACH, convolve, missing_width
from simreal.match.sides import Donors, Party
from simreal.match.texture import NOISE_SIGMA, NoiseCurve, on_sky
from simreal.measure.sky import clipped_statistics

if TYPE_CHECKING:
    from simreal.match.own_sky import OwnSky

CHUNK = 32
#: The PSF is applied on a grid at least this much finer than the stamp's pixels.
PIXELS_PER_STAMP_PIXEL = 1.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rendered:
    """Matched stamps and, where sky was injected, the same sky on empty stamps.

    ``interpolations`` counts how often any pixel of them was resampled; ``sky_rows`` says whose
    sky is shown; ``own_noise`` is the share of the sky's variance that images brought along.
    """

    stamps: Float32Array
    interpolations: int
    sky: Float32Array | None = None
    sky_rows: IntArray | None = None
    own_noise: float = 0.0


def on_frame(
    block: Float32Array, party: Party, rows: slice | IntArray, *, frame: CommonFrame, job: Job
) -> Float32Array:
    """Return images resampled once onto the common frame, centred on their measured centre.

    Parameters
    ----------
    block : array (k, band, y, x)
        Images of `rows` of the party.
    """
    measured, size = party.measured, job.recipe.stamp
    x, y, width = measured.x[rows], measured.y[rows], frame.width / job.scale(party)[rows]
    if party.band_shift is None:
        return np.asarray(resample(block, x=x, y=y, width=width, n_out=size))
    # A band that lies to the right is looked at further right.
    planes = [
        resample(
            block[:, b : b + 1],
            x=x + across * width / size,
            y=y + along * width / size,
            width=width,
            n_out=size,
        )
        for b, (across, along) in enumerate(party.band_shift)
    ]
    return np.concatenate(planes, axis=1)


def render_survey(party: Party, frame: CommonFrame, job: Job) -> Rendered:
    """Return stamps of images that carry a telescope's PSF and sky already.

    One resampling onto the common frame, then the common encoding; nothing is added.
    """
    out = []
    for rows, block in party.images.chunks(CHUNK):
        cut = on_frame(block, party, rows, frame=frame, job=job)
        out.append(requantise(cut, quality=job.recipe.jpeg_quality))
        job.report(f"match {party.side}", rows.stop, len(party))
    return Rendered(stamps=np.concatenate(out), interpolations=1)


def added_psf(party: Party) -> Float64Array:
    """Return the FWHM [native pixel] that brings each image to the PSF of its donor."""
    target = np.nan_to_num(party.measured.psf_fwhm)
    return np.asarray(np.nan_to_num(missing_width(party.own_psf, target)))


def render_on_donors(
    party: Party,
    frame: CommonFrame,
    donors: Donors,
    curve: NoiseCurve,
    job: Job,
    *,
    own: "OwnSky | None" = None,
) -> Rendered:
    """Return stamps of images as their donors' frames would have shown them.

    From the original pixels: border background off, the donor's PSF, the common frame, the
    donor's sky (resampled once, by the same kernel as everything else), the common encoding.

    Parameters
    ----------
    own : OwnSky, optional
        What is left of the sky that the images brought along; the donor's noise makes up the
        difference.
    """
    stamps, skies, shares = [], [], []
    quality = job.recipe.jpeg_quality
    fwhm, repeats = added_psf(party), repeat_number(donors.pick)
    rng = job.rng("texture")
    shown = np.arange(len(party)) if own is None else own.rows
    for rows, block in party.images.chunks(CHUNK):
        flat = remove_background(block, noisy=party.noisy)
        if own is not None:
            flat = own.cleared(flat, party.measured, rows)
        light = _seen_light(flat, party, rows, fwhm=fwhm, frame=frame, job=job)
        sky = draw_sky(donors.party, donors.pick[rows], frame, job, repeats=repeats[rows])
        if own is not None:
            sky, share = _made_up(sky, own, rows)
            shares.append(share)
        stamps.append(requantise(on_sky(light, sky, curve, rng), quality=quality))
        local = np.flatnonzero((shown >= rows.start) & (shown < rows.stop))
        empty = sky[shown[local] - rows.start]
        if own is not None:
            empty = empty + own.stamps[local]
        skies.append(requantise(empty, quality=quality))
        job.report(f"match {party.side}", rows.stop, len(party))
    # The light once and the sky once; the PSF multiplies a spectrum and moves no pixel.
    return Rendered(
        stamps=np.concatenate(stamps),
        sky=np.concatenate(skies),
        sky_rows=np.asarray(shown, dtype=np.int64),
        interpolations=1,
        own_noise=float(np.median(np.concatenate(shares))) if shares else 0.0,
    )


def _made_up(sky: Float32Array, own: "OwnSky", rows: slice) -> tuple[Float32Array, Float64Array]:
    """Return a donor's sky with its noise lowered by what the images bring, and that share.

    Luminance and the bands' deviations from it are lowered each by its own share.
    """
    level, rms = clipped_statistics(sky.reshape(*sky.shape[:2], -1))
    share = np.clip(own.variance[rows] / np.maximum(noise_variance(sky), 1e-12), 0.0, 1.0)
    lost = (1.0 - np.sqrt(1.0 - share))[..., None, None]
    limit = (NOISE_SIGMA * rms)[..., None, None]
    noise = np.clip(sky - level[..., None, None], -limit, limit)
    common = noise.mean(axis=1, keepdims=True)
    lowered = sky - lost[:, :1] * common - lost[:, 1:] * (noise - common)
    return lowered.astype(np.float32), share[:, 0]


def noise_variance(sky: Float32Array) -> Float64Array:
    """Return the variance of the luminance and of each band's deviation ``(n, 1 + band)``."""
    luminance = sky.mean(axis=1, keepdims=True)
    parts = np.concatenate([luminance, sky - luminance], axis=1)
    _, rms = clipped_statistics(parts.reshape(*parts.shape[:2], -1))
    return np.asarray(rms**2)


def _seen_light(
    block: Float32Array,
    party: Party,
    rows: slice,
    *,
    fwhm: Float64Array,
    frame: CommonFrame,
    job: Job,
) -> Float32Array:
    """Return light through the PSF and on the frame.

    Where a stamp's pixels are finer than the image's, the image's square pixels are divided
    before the PSF is applied: afterwards they would stay visible as squares, which no
    telescope's image shows.
    """
    width = frame.width / job.scale(party)[rows]
    parts = np.ceil(PIXELS_PER_STAMP_PIXEL * job.recipe.stamp / width).astype(np.int64)
    light = on_frame(convolve(block, fwhm[rows]), party, rows, frame=frame, job=job)
    measured = party.measured
    for k in np.flatnonzero(parts > 1):
        x, y = float(measured.x[rows][k]), float(measured.y[rows][k])
        light[k] = _divided(block[k], (x, y), width[k], int(parts[k]), fwhm[rows][k], job)
    return light


def _divided(
    image: Float32Array,
    centre: tuple[float, float],
    width: float,
    parts: int,
    fwhm: float,
    job: Job,
) -> Float32Array:
    """Return one image on its frame by way of a grid of `parts` by `parts` finer pixels."""
    reach = width / 2 + REACH * fwhm + 1
    spans = []
    for middle, side in ((centre[1], image.shape[-2]), (centre[0], image.shape[-1])):
        spans.append(slice(max(int(middle - reach), 0), min(int(middle + reach) + 2, side)))
    part = image[:, spans[0], spans[1]].repeat(parts, axis=-2).repeat(parts, axis=-1)
    smooth = convolve(part[None], np.array([fwhm * parts]))
    x, y = ((c - s.start + 0.5) * parts - 0.5 for c, s in zip(centre, spans[::-1], strict=True))
    return np.asarray(
        resample(
            smooth,
            x=np.array([x]),
            y=np.array([y]),
            width=np.array([width * parts]),
            n_out=job.recipe.stamp,
        )[0]
    )


def repeat_number(pick: IntArray) -> IntArray:
    """Return how often each entry's donor came up before it.

    Examples
    --------
    >>> repeat_number(np.array([4, 7, 4, 4])).tolist()
    [0, 0, 1, 2]
    """
    seen: dict[int, int] = {}
    out = np.zeros(len(pick), dtype=np.int64)
    for k, donor in enumerate(pick.tolist()):
        out[k] = seen.get(donor, 0)
        seen[donor] = int(out[k]) + 1
    return out


def draw_sky(
    party: Party,
    rows: IntArray,
    frame: CommonFrame,
    job: Job,
    *,
    repeats: IntArray | None = None,
) -> Float32Array:
    """Return one galaxy-free sky stamp on the common frame for each of `rows` of `party`.

    A frame's patch depends on the seed and its id alone, so that the sky donors were chosen
    by is the sky that is injected.

    Parameters
    ----------
    party : Party
        Observed frames.
    rows : array of int (k,)
    repeats : array of int (k,), optional
        How often each frame lent before; another number is another patch of it.

    Returns
    -------
    array (k, band, stamp, stamp)
    """
    frames = party.images.images.read(np.asarray(rows, dtype=np.int64))
    size = job.recipe.stamp
    out = np.empty((len(rows), frames.shape[1], size, size), dtype=np.float32)
    measured, scale = party.measured, job.scale(party)
    for k, row in enumerate(rows):
        number = 0 if repeats is None else int(repeats[k])
        rng = job.rng("sky", str(party.images.ids[row]), str(number))
        width = frame.width / scale[row]
        # A pixel to spare on each side lets the frame fall at any phase of the pixel grid,
        # as the frames around galaxies do.
        half = int(np.ceil(width / 2 + 0.5))
        patch = sky_patch(
            frames[k],
            x=float(measured.x[row]),
            y=float(measured.y[row]),
            clearance=CLEARANCE * float(measured.radius[row]),
            half=half,
            rng=rng,
        )
        phase = rng.uniform(-0.5, 0.5, size=2)
        out[k] = resample(
            patch[None],
            x=half - 0.5 + phase[:1],
            y=half - 0.5 + phase[1:],
            width=np.array([width]),
            n_out=size,
        )[0]
    return out
