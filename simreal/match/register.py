"""Bring the bands of a survey's composites onto one another.

A composite may show one band a fraction of a pixel beside the others, in every image alike. No
galaxy does that, and a simulation's images do not: the offset alone would tell the sides apart.
It is taken out in the one resampling that every image goes through anyway.
"""

from dataclasses import replace

import numpy as np
from scipy import stats

from simreal.core.arrays import Float64Array, IntArray
from simreal.core.images import Step
from simreal.match.frame import CommonFrame
from simreal.match.job import Job
from simreal.match.render import CHUNK, on_frame
from simreal.match.sides import Party
from simreal.measure.registration import band_offsets

#: Images that are looked at; more add time and nothing else.
MOST_IMAGES = 1000
FEWEST_IMAGES = 30
#: Share left out at either end before a mean is taken: one-sided galaxies are no offset.
TRIM = 0.1
#: Offsets are taken out if one of them is this many errors from zero (by chance in one of 300
#: matches of three bands), and no smaller than this [pixel].
SIGNIFICANT = 3.5
SMALLEST = 0.05
#: Rounds of measuring: the first sees the offset through its own blur.
ROUNDS = 2


def registered(party: Party, frame: CommonFrame, job: Job) -> Party:
    """Return the party with the mean offset of its bands noted, to be taken out on the frame.

    Only where images came from a telescope: those of a simulation are rendered in place.
    """
    if not party.noisy or party.images.images.shape[1] < 2 or len(party) < FEWEST_IMAGES:
        return party
    rng = job.rng("registration", party.side)
    rows = np.sort(rng.permutation(len(party))[:MOST_IMAGES])
    shift = np.zeros((party.images.images.shape[1], 2))
    found = np.zeros_like(shift)
    for turn in range(ROUNDS):
        mean, error = _mean_offset(replace(party, band_shift=shift), rows, frame, job)
        if turn == 0:
            found = mean
            if not ((np.abs(mean) > SIGNIFICANT * error) & (np.abs(mean) > SMALLEST)).any():
                return party
        # Offsets are from the mean of the other bands: all together must not move the image.
        more = mean * (len(mean) - 1) / len(mean)
        shift = shift + more - more.mean(axis=0)
    left, _ = _mean_offset(replace(party, band_shift=shift), rows, frame, job)
    step = Step(
        name="register bands",
        before={"largest offset [stamp pixel]": float(np.abs(found).max())},
        after={"largest offset [stamp pixel]": float(np.abs(left).max())},
        note=f"mean over {len(rows)} images, of a band from the others; one shift for all images",
    )
    return replace(party, band_shift=shift).noted(step)


def _mean_offset(
    party: Party, rows: IntArray, frame: CommonFrame, job: Job
) -> tuple[Float64Array, Float64Array]:
    """Return the mean offset of every band ``(band, 2)`` and its error [stamp pixel]."""
    blocks = []
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        block = party.images.images.read(part)
        blocks.append(band_offsets(on_frame(block, party, part, frame=frame, job=job)))
    offsets = np.concatenate(blocks)
    known = np.isfinite(offsets).all(axis=(1, 2))
    offsets = offsets[known]
    if len(offsets) < FEWEST_IMAGES:
        nothing = np.zeros(offsets.shape[1:])
        return nothing, nothing
    middle = stats.trim_mean(offsets, TRIM, axis=0)
    low, high = np.percentile(offsets, [10, 90], axis=0)
    error = (high - low) / (2 * stats.norm.ppf(0.9)) / np.sqrt(len(offsets))
    return middle, error
