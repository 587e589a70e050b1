"""Bands that lie beside one another in every image are brought together, and nothing else is."""

import numpy as np
import pytest

from simreal.core.cards import View
from simreal.core.images import ImageSet, Setup
from simreal.match.frame import CommonFrame
from simreal.match.job import Job
from simreal.match.recipe import Recipe
from simreal.match.register import registered
from simreal.match.render import on_frame
from simreal.match.sides import Party
from simreal.measure.registration import band_offsets
from simreal.measure.stamps import measure_stamps

SIDE = 96
SKY = View(geometry="sky", bands=("r", "g", "b"))
JOB = Job(recipe=Recipe(stamp=64, frame="radius"), seed=0, kind="radius", progress=None)
FRAME = CommonFrame(kind="radius", width=6.0)


def party(n, *, shifts, rendition="survey", one_sided=0.0):
    """Inclined discs whose bands lie `shifts` (band, 2) [native pixel] off."""
    rng = np.random.default_rng(n)
    grid = np.arange(SIDE) - (SIDE - 1) / 2
    images = np.empty((n, 3, SIDE, SIDE), np.float32)
    for k in range(n):
        angle, q = rng.uniform(0, np.pi), rng.uniform(0.4, 1)
        blue = one_sided * rng.normal(size=2)
        for b, (across, along) in enumerate(shifts):
            extra = blue if b == 2 else (0.0, 0.0)
            x, y = grid - across - extra[0], grid[:, None] - along - extra[1]
            u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
            images[k, b] = (0.5 + 0.1 * b) * np.exp(-np.hypot(u, v / q) / 5)
    images += rng.normal(0.05, 0.004, images.shape)
    ids = np.array([f"g{k}" for k in range(n)])
    made = ImageSet(
        name="sky", role="observed", sampling="random", images=np.clip(images, 0, 1), ids=ids,
        groups=ids,
        setup=Setup(track="rgb", bands=("r", "g", "b"), unit="display", rendition=rendition),
    )  # fmt: skip
    measured = measure_stamps(made, stars=False)
    return Party(side="obs", images=made, view=SKY, measured=measured, original=np.arange(n))


def offsets(side):
    rows = np.arange(len(side))
    block = side.images.images.read(rows)
    found = band_offsets(on_frame(block, side, rows, frame=FRAME, job=JOB))
    return np.nanmedian(found, axis=0)


@pytest.mark.parametrize("shift", [(0.6, 0.0), (-0.3, 0.4)])
def test_a_common_offset_is_taken_out(shift):
    off = party(60, shifts=[(0, 0), (0, 0), shift])
    assert np.abs(offsets(off)).max() > 0.1
    mended = registered(off, FRAME, JOB)
    assert np.abs(offsets(mended)).max() < 0.03
    # The bands move against each other, not the image as a whole.
    assert np.allclose(mended.band_shift.mean(axis=0), 0, atol=1e-12)
    step = mended.steps[-1]
    assert step.after["largest offset [stamp pixel]"] < step.before["largest offset [stamp pixel]"]


def test_galaxies_with_a_blue_side_are_no_offset():
    assert (
        registered(party(60, shifts=np.zeros((3, 2)), one_sided=0.5), FRAME, JOB).band_shift is None
    )


def test_bands_in_place_stay_there():
    kept = registered(party(60, shifts=np.zeros((3, 2))), FRAME, JOB)
    assert kept.band_shift is None
    assert kept.steps == ()


def test_simulated_images_and_small_sets_are_left_alone():
    shifts = [(0, 0), (0, 0), (0.6, 0)]
    assert (
        registered(party(60, shifts=shifts, rendition="idealised"), FRAME, JOB).band_shift is None
    )
    assert registered(party(12, shifts=shifts), FRAME, JOB).band_shift is None
