"""Pictures: one fixed display mapping, whole-block averaging, no file metadata."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from simreal.report.page import ReportInputs
from simreal.report.pictures import (
    binned,
    cell_members,
    contact_sheet,
    enlarged,
    mosaic,
    png_bytes,
    read_display,
    rows_of,
    to_display,
)

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.floats(0, 1))
def test_the_display_of_an_image_does_not_depend_on_the_others(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((1, 3, 6, 6), dtype=np.float32)
    others = np.float32(scale) * rng.random((3, 3, 6, 6), dtype=np.float32)
    together = to_display(np.concatenate([others, image]))
    assert np.array_equal(together[3], to_display(image)[0])


def test_display_is_the_identity_on_bytes() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(3, axis=1)
    shown = to_display((levels / 255).astype(np.float32))
    assert np.array_equal(shown[0, ..., 0], levels[0, 0])


def test_bands_are_shown_red_first_and_one_band_is_grey() -> None:
    red = np.zeros((1, 3, 2, 2), dtype=np.float32)
    red[:, 0] = 1.0
    assert to_display(red)[0, 0, 0].tolist() == [255, 0, 0]
    assert to_display(np.full((1, 1, 2, 2), 0.4, np.float32))[0, 0, 0].tolist() == [102] * 3


def test_pixels_out_of_range_are_clipped_and_missing_ones_black() -> None:
    image = np.array([-1.0, 2.0, np.nan, np.inf], dtype=np.float32).reshape(1, 1, 2, 2)
    assert to_display(image)[0, ..., 0].ravel().tolist() == [0, 255, 0, 255]


@given(seeds, st.integers(1, 4), st.integers(1, 8))
def test_whole_blocks_conserve_the_mean(seed: int, k: int, side: int) -> None:
    image = np.random.default_rng(seed).random((2, 3, k * side, k * side), dtype=np.float32)
    small = binned(image, side)
    assert small.shape[-1] <= side
    if small.shape[-1] * k == image.shape[-1]:
        # float32 sums of at most 1,024 values in [0, 1]: relative error below 1,024 * 6e-8.
        np.testing.assert_allclose(small.mean(), image.mean(), rtol=6e-5)


@pytest.mark.parametrize(("size", "limit"), [(424, 144), (423, 144), (256, 144), (64, 96), (9, 4)])
def test_binned_images_fit(size: int, limit: int) -> None:
    small = binned(np.zeros((1, 3, size, size), dtype=np.float32), limit)
    assert max(small.shape[2:]) <= limit
    assert 2 * max(small.shape[2:]) > min(size, limit)


def test_enlarging_repeats_pixels() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarged(image, 3)
    assert large.shape == (6, 6, 3)
    assert np.array_equal(large[::3, ::3], image)
    assert (large[:3, :3] == image[0, 0]).all()


def test_png_round_trips_and_holds_no_text() -> None:
    image = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    png = png_bytes(image)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), image)
    assert chunks(png) == {"IHDR", "IDAT", "IEND"}


def chunks(png: bytes) -> set[str]:
    """Return the kinds of chunk in a PNG."""
    kinds, place = set(), 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        kinds.add(png[place + 4 : place + 8].decode("ascii"))
        place += 12 + length
    return kinds


def test_only_what_is_asked_for_is_read(inputs: ReportInputs) -> None:
    shown = read_display(inputs.sim, ["sim 7", "nobody", "sim 3"], 96)
    assert set(shown) == {"sim 3", "sim 7"}
    rows = rows_of(inputs.sim, ["sim 7"])
    assert np.array_equal(shown["sim 7"], to_display(inputs.sim.images.read(rows))[0])
    assert read_display(inputs.sim, [], 96) == {}


def test_ids_that_utf8_cannot_hold_are_found(hostile_inputs: ReportInputs) -> None:
    name = next(i for i in hostile_inputs.sim.ids.tolist() if "\udcff" in i)
    assert len(rows_of(hostile_inputs.sim, [name.replace("\udcff", "\\udcff")])) == 1


@given(seeds)
def test_each_cell_of_the_map_holds_its_most_central_object(seed: int) -> None:
    xy = np.random.default_rng(seed).uniform(-0.2, 1.2, (40, 2))
    rows, columns = 3, 4
    members = cell_members(xy, [(0.0, 1.0), (0.0, 1.0)], (rows, columns))
    column = np.floor(xy[:, 0] * columns)
    row = rows - 1 - np.floor(xy[:, 1] * rows)
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    filled = {(int(r), int(c)) for r, c in zip(row[inside], column[inside], strict=True)}
    assert set(members) == filled
    for (r, c), member in members.items():
        assert (row[member], column[member]) == (r, c)
        # Distances in cells, so that both axes count alike.
        centre = np.array([c + 0.5, rows - r - 0.5])
        off = np.hypot(*(xy * [columns, rows] - centre).T)
        assert off[member] == pytest.approx(off[(row == r) & (column == c)].min())


def test_empty_cells_of_a_mosaic_are_transparent() -> None:
    tile = np.full((4, 4, 3), 9, dtype=np.uint8)
    canvas = mosaic({(0, 1): tile}, (2, 2))
    assert (canvas[:4, 5:9] == [9, 9, 9, 255]).all()
    assert canvas[..., 3].sum() == 255 * 16


def test_contact_sheet_takes_gaps_and_any_caption() -> None:
    tile = np.zeros((8, 8, 3), dtype=np.uint8)
    png = contact_sheet([[tile, None], [tile, tile]], captions=[["銀\x00", ""], ["a" * 999, "b"]],
                        title="t" * 999, cell=64)  # fmt: skip
    assert Image.open(io.BytesIO(png)).size == (2 * 68 + 16, 2 * 84 + 48)
