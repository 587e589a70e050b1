"""Strips: the right stamps in the right colours, the right way up."""

import io

import numpy as np
import pytest
from PIL import Image

from simreal.core.images import ImageSet, Setup
from simreal.report.strips import CELL, Row, evenly, red_to_blue, strip

SIDE = 32
MARGIN, GAP, LINE = 8, 3, 17


def a_set(pixels: np.ndarray, *, track: str = "flux") -> ImageSet:
    n, bands = pixels.shape[:2]
    ids = np.array([f"object-{k}" for k in range(n)])
    setup = Setup(
        track=track,
        bands=tuple(f"band-{k}" for k in range(bands)),
        unit="display",
        display="linear",
        rendition="survey",
    )
    return ImageSet(
        name="toy", role="simulated", sampling="random", images=pixels.astype(np.float32),
        ids=ids, groups=ids, setup=setup,
    )  # fmt: skip


def shown(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def stamp(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    top = MARGIN + LINE + row * (CELL + 2 * LINE + GAP) + LINE
    left = MARGIN + column * (CELL + GAP)
    return sheet[top : top + CELL, left : left + CELL]


def test_bands_are_shown_by_their_wavelength() -> None:
    pixels = np.zeros((1, 3, SIDE, SIDE))
    pixels[:, 2] = 1.0
    order = red_to_blue([5000.0, 6000.0, 9000.0])
    sheet = shown(strip([Row(label="a", images=a_set(pixels))], order=order, title="t"))
    assert (stamp(sheet, 0, 0) == [255, 0, 0]).all()


def test_one_band_is_grey_by_one_mapping() -> None:
    levels = np.array([51, 102, 204]) / 255
    pixels = np.broadcast_to(levels[:, None, None, None], (3, 1, SIDE, SIDE))
    sheet = shown(strip([Row(label="a", images=a_set(pixels))], order=(0,), title="t"))
    assert [int(stamp(sheet, 0, k)[5, 5, 0]) for k in range(3)] == [51, 102, 204]
    assert (np.ptp(stamp(sheet, 0, 1), axis=-1) == 0).all()


@pytest.mark.parametrize(("track", "bright"), [("flux", "top"), ("rgb", "bottom")])
def test_calibrated_images_have_y_up(track: str, bright: str) -> None:
    pixels = np.zeros((1, 3, SIDE, SIDE))
    pixels[:, :, SIDE // 2 :] = 1.0
    images = a_set(pixels, track=track)
    sheet = shown(strip([Row(label="a", images=images)], order=(0, 1, 2), title="t"))
    half = stamp(sheet, 0, 0)[: CELL // 2] if bright == "top" else stamp(sheet, 0, 0)[CELL // 2 :]
    assert (half == 255).all()


def test_sides_stand_under_each_other_and_columns_are_spread_evenly() -> None:
    sim = np.broadcast_to(np.arange(21)[:, None, None, None] / 51, (21, 1, SIDE, SIDE))
    obs = np.full((2, 1, SIDE, SIDE), 0.8)
    rows = [Row(label="sim", images=a_set(sim)), Row(label="obs", images=a_set(obs))]
    sheet = shown(strip(rows, order=(0,), title="t", columns=5))
    found = [int(stamp(sheet, 0, k)[0, 0, 0]) for k in range(5)]
    assert found == [0, 25, 50, 75, 100]
    assert sheet.shape[1] == 5 * (CELL + GAP) - GAP + 2 * MARGIN
    assert [int(stamp(sheet, 1, k)[9, 9, 0]) for k in range(3)] == [204, 204, 255]


@pytest.mark.parametrize(
    ("n", "columns", "rows"), [(1, 10, [0]), (3, 10, [0, 1, 2]), (100, 4, [0, 33, 66, 99])]
)
def test_evenly(n: int, columns: int, rows: list[int]) -> None:
    assert evenly(n, columns).tolist() == rows


def test_red_to_blue_takes_the_ends_and_the_middle() -> None:
    assert red_to_blue([3.0, 1.0, 2.0]) == (0, 2, 1)
    assert red_to_blue([4791.2, 6214.0, 7688.8, 8903.1, 9771.7]) == (4, 2, 0)
    assert red_to_blue([1.0, 2.0]) == (0,)
