"""From original pixels to flux on the common frame: one blur, one resampling, nothing else."""

from collections.abc import Iterator

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.match.convolution import convolve_each
from simreal.match.flux.optics import Blur
from simreal.match.frame import CommonFrame
from simreal.match.job import Job
from simreal.match.pixels import resample
from simreal.match.render import draw_sky
from simreal.match.sides import Party

CHUNK = 64


def on_frame(
    block: Float32Array, party: Party, rows: slice | IntArray, *, frame: CommonFrame, job: Job
) -> Float32Array:
    """Return flux per pixel of the frame, resampled once around each measured centre."""
    measured = party.measured
    return np.asarray(
        resample(
            block,
            x=measured.x[rows],
            y=measured.y[rows],
            width=frame.width / job.scale(party)[rows],
            n_out=job.recipe.stamp,
            conserve="flux",
        )
    )


def light(
    party: Party, blur: Blur, *, frame: CommonFrame, job: Job
) -> Iterator[tuple[slice, Float32Array]]:
    """Yield ``(rows, flux)`` of the party on the common frame with the common PSF."""
    for rows, block in party.images.chunks(CHUNK):
        mask = None if party.images.mask is None else party.images.mask[rows]
        kernels = blur.kernels(rows)
        if kernels is not None:
            block = convolve_each(block, kernels.astype(np.float32), mask=mask)
        yield rows, on_frame(block, party, rows, frame=frame, job=job)
        job.report(f"match {party.side}", rows.stop, len(party))


def lost_in_frame(party: Party, *, frame: CommonFrame, job: Job) -> tuple[Float64Array, BoolArray]:
    """Return the share of each frame that is masked, and where, on the frame ``(n, y, x)``."""
    n, size = len(party), job.recipe.stamp
    if party.images.mask is None:
        return np.zeros(n), np.zeros((n, size, size), np.bool_)
    where = np.empty((n, size, size), np.bool_)
    for start in range(0, n, CHUNK):
        rows = slice(start, min(start + CHUNK, n))
        lost = np.asarray(party.images.mask[rows].any(axis=1, keepdims=True), np.float32)
        measured = party.measured
        covered = resample(
            lost,
            x=measured.x[rows],
            y=measured.y[rows],
            width=frame.width / job.scale(party)[rows],
            n_out=size,
        )
        where[rows] = covered[:, 0] > 1e-3
    return where.mean(axis=(1, 2)), where


def donated_sky(
    party: Party, pick: IntArray, *, frame: CommonFrame, repeats: IntArray | None, job: Job
) -> Float32Array:
    """Return flux per pixel of galaxy-free sky of the frames `pick` on the common frame."""
    brightness = draw_sky(party, pick, frame, job, repeats=repeats)
    area = (frame.width / job.scale(party)[pick] / job.recipe.stamp) ** 2
    return np.asarray(brightness * area[:, None, None, None].astype(np.float32))
