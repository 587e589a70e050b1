"""Make the matched stamps: PSF, frame, sky, and the same last encoding for both sides."""

from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import Float32Array, IntArray
from simreal.match.frame import CommonFrame
from simreal.match.job import Job
from simreal.match.noise import CLEARANCE, sky_patch
from simreal.match.pixels import remove_background, requantise, resample
from simreal.match.psf import convolve, missing_width
from simreal.match.sides import Donors, Party
from simreal.match.texture import NoiseCurve, on_sky

CHUNK = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rendered:
    """Matched stamps and, where sky was injected, the same sky on empty stamps.

    ``interpolations`` counts how often any pixel of them was resampled.
    """

    stamps: Float32Array
    interpolations: int
    sky: Float32Array | None = None


def on_frame(
    block: Float32Array, party: Party, rows: slice | IntArray, *, frame: CommonFrame, job: Job
) -> Float32Array:
    """Return images resampled once onto the common frame, centred on their measured centre.

    Parameters
    ----------
    block : array (k, band, y, x)
        Images of `rows` of the party.
    """
    measured = party.measured
    return np.asarray(
        resample(
            block,
            x=measured.x[rows],
            y=measured.y[rows],
            width=frame.width / job.scale(party)[rows],
            n_out=job.recipe.stamp,
        )
    )


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


def render_idealised(
    party: Party, frame: CommonFrame, donors: Donors, curve: NoiseCurve, job: Job
) -> Rendered:
    """Return stamps of idealised images as their donors' frames would have shown them.

    From the original pixels: border background off, the donor's PSF, the common frame, the
    donor's sky (resampled once, by the same kernel as everything else), the common encoding.
    """
    stamps, skies = [], []
    quality = job.recipe.jpeg_quality
    fwhm = np.nan_to_num(missing_width(party.own_psf, np.nan_to_num(party.measured.psf_fwhm)))
    repeats = repeat_number(donors.pick)
    rng = job.rng("texture")
    for rows, block in party.images.chunks(CHUNK):
        smooth = convolve(remove_background(block), fwhm[rows])
        light = on_frame(smooth, party, rows, frame=frame, job=job)
        sky = draw_sky(donors.party, donors.pick[rows], frame, job, repeats=repeats[rows])
        stamps.append(requantise(on_sky(light, sky, curve, rng), quality=quality))
        skies.append(requantise(sky, quality=quality))
        job.report(f"match {party.side}", rows.stop, len(party))
    # The light once and the sky once; the PSF multiplies a spectrum and moves no pixel.
    return Rendered(stamps=np.concatenate(stamps), sky=np.concatenate(skies), interpolations=1)


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
