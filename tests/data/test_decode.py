"""Odd but valid images are read right; broken ones are named, never read in part."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFile, PngImagePlugin

from simreal.data._decode import MAX_PIXELS, decode, is_blank, look
from simreal.data._quarantine import BadFileError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (7, 5, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (7, 5), dtype=np.uint8)


def saved(image, kind="PNG", **options):
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(array, mode=None, **options):
    return saved(
        Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode), **options
    )


def planes(array):
    return np.moveaxis(array, -1, 0)


def code_of(data, **options):
    with pytest.raises(BadFileError) as caught:
        decode(data, **options)
    assert "\n" not in caught.value.reason
    return caught.value.code


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_lossless_formats_give_every_pixel_back(array):
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(
            decode(saved(Image.fromarray(array), kind)).pixels, planes(array)
        )


def test_axes_are_band_y_x():
    assert decode(png(COLOUR)).pixels.shape == (3, 7, 5)
    assert look(BytesIO(png(COLOUR))).size == (7, 5)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_is_repeated_over_the_planes(kind):
    found = decode(saved(Image.fromarray(GREY), kind)).pixels
    np.testing.assert_array_equal(found, np.stack([GREY] * 3))


def test_grey_stays_one_plane_where_the_card_has_one_band():
    np.testing.assert_array_equal(decode(png(GREY), planes=1).pixels, GREY[None])
    assert code_of(png(COLOUR), planes=1) == "E_MODE"


def test_grey_jpeg_is_read_as_grey():
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    found = decode(saved(Image.fromarray(smooth), "JPEG", quality=95)).pixels
    assert np.abs(found[0].astype(int) - smooth).max() <= 3
    np.testing.assert_array_equal(found[0], found[2])


def test_black_and_white_becomes_0_and_255():
    bits = GREY > 128
    found = decode(saved(Image.fromarray(bits))).pixels
    np.testing.assert_array_equal(found[0], np.where(bits, 255, 0))


@pytest.mark.parametrize("colours", [2, 16, 256])
def test_a_palette_is_looked_up(colours):
    palette = Image.fromarray(COLOUR).quantize(colours)
    found = decode(saved(palette)).pixels
    np.testing.assert_array_equal(found, planes(np.asarray(palette.convert("RGB"))))
    # The trap: the indices themselves.
    assert not np.array_equal(found[0], np.asarray(palette))


def test_a_palette_may_be_transparent():
    palette = Image.fromarray(COLOUR).quantize(8)
    data = saved(palette, transparency=int(np.asarray(palette)[0, 0]))
    found = decode(data)
    assert found.transparent
    assert found.pixels[:, 0, 0].tolist() == [0, 0, 0]


def test_opaque_alpha_changes_nothing():
    alpha = np.dstack([COLOUR, np.full((7, 5), 255, np.uint8)])
    found = decode(png(alpha))
    np.testing.assert_array_equal(found.pixels, planes(COLOUR))
    assert not found.transparent


@given(hnp.arrays(np.uint8, (4, 3, 4)))
def test_transparency_is_laid_over_black(layers):
    found = decode(png(layers))
    over = layers[..., :3].astype(float) * (layers[..., 3:] / 255.0)
    # Rounded to the nearest of 256 values.
    assert np.abs(found.pixels - planes(over)).max() <= 0.5 + 1e-9
    assert found.transparent == bool((layers[..., 3] < 255).any())


def test_grey_with_alpha_is_grey_over_black():
    layers = np.dstack([GREY, np.full_like(GREY, 255)])
    layers[0, 0] = (200, 0)
    found = decode(saved(la(layers)))
    assert found.pixels[:, 0, 0].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(found.pixels[1, 1:], GREY[1:])
    assert decode(saved(la(layers)), planes=1).pixels.shape == (1, 7, 5)


def la(layers):
    return Image.merge(
        "LA", [Image.fromarray(np.ascontiguousarray(layers[..., i])) for i in (0, 1)]
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    deep = np.array([[0, 1, 255, 256], [40_950, 32_768, 65_534, 65_535]], np.uint16)
    data = saved(Image.fromarray(deep), kind)
    found = decode(data)
    assert look(BytesIO(data)).deep
    assert found.pixels.dtype == np.float32
    np.testing.assert_array_equal(found.pixels[2], deep.astype(np.float32) / np.float32(65535))


def test_sixteen_bits_big_endian_are_the_same_numbers():
    deep = np.array([[1, 300], [40_950, 65_535]], np.uint16)
    import struct

    header = b"MM\x00*" + struct.pack(">IH", 8 + 8, 8)
    tags = [(256, 3, 2), (257, 3, 2), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 8),
            (278, 3, 2), (279, 4, 8)]  # fmt: skip
    header = b"MM\x00*" + struct.pack(">I", 16) + deep.astype(">u2").tobytes()
    body = struct.pack(">H", len(tags))
    for tag, kind, value in tags:
        packed = struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
        body += struct.pack(">HHI", tag, kind, 1) + packed
    found = decode(header + body + struct.pack(">I", 0))
    np.testing.assert_array_equal(found.pixels[0], deep.astype(np.float32) / np.float32(65535))


def test_sixteen_bits_per_colour_are_said_to_be_rounded():
    # Written by hand: Pillow cannot write 16-bit RGB.
    import struct
    import zlib

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    rows = np.array([[[0, 65535, 32768], [300, 40950, 1]]], ">u2")
    raw = b"".join(b"\x00" + row.tobytes() for row in rows)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )
    found = decode(data)
    assert found.rounded
    assert np.abs(found.pixels / 255.0 - np.moveaxis(rows, -1, 0) / 65535.0).max() <= 1 / 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(orientation):
    smooth = np.zeros((24, 40, 3), np.uint8)
    smooth[:12] = 200
    smooth[:, :20, 0] = 90
    exif = Image.Exif()
    exif[0x0112] = orientation
    undone = {
        1: smooth, 2: smooth[:, ::-1], 3: smooth[::-1, ::-1], 4: smooth[::-1],
        5: smooth.swapaxes(0, 1), 6: np.rot90(smooth, -1), 7: np.rot90(smooth, 2).swapaxes(0, 1),
        8: np.rot90(smooth, 1),
    }[orientation]  # fmt: skip
    for kind, tolerance in (("PNG", 0), ("JPEG", 60)):
        data = saved(Image.fromarray(smooth), kind, exif=exif)
        found = decode(data).pixels
        assert look(BytesIO(data)).size == undone.shape[:2]
        assert found.shape[1:] == undone.shape[:2]
        # JPEG rings at the edges of the blocks of colour; the median does not.
        assert np.median(np.abs(found.astype(int) - planes(undone))) <= tolerance / 10


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_kinds_of_jpeg(progressive, subsampling):
    smooth = np.dstack([np.add.outer(np.arange(64), k * np.arange(64)) for k in (1, 2, 3)])
    smooth = np.clip(smooth, 0, 255).astype(np.uint8)
    data = saved(
        Image.fromarray(smooth),
        "JPEG",
        quality=95,
        progressive=progressive,
        subsampling=subsampling,
    )
    assert np.abs(decode(data).pixels.astype(int) - planes(smooth)).mean() < 4


def test_an_interlaced_or_commented_png_is_the_same_picture():
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "a galaxy; IEND is in this text")
    np.testing.assert_array_equal(decode(png(COLOUR, pnginfo=notes)).pixels, planes(COLOUR))


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "HSV", "F", "I"])
def test_pixels_that_are_no_display_values_are_refused(mode):
    kind = {"CMYK": "JPEG", "HSV": "TIFF"}.get(mode, "TIFF")
    image = Image.fromarray(COLOUR)
    image = (
        image.convert("L").convert(mode)
        if mode in "FI"
        else image.convert(mode if mode != "HSV" else "CMYK")
    )
    assert code_of(saved(image, kind)) == "E_MODE"


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (31, 17)])
def test_four_inks_are_never_read_as_four_bands(kind, size):
    assert code_of(saved(Image.new("CMYK", size, (1, 2, 3, 4)), kind)) == "E_MODE"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_films_are_refused(kind):
    frames = [Image.fromarray(COLOUR), Image.fromarray(COLOUR[::-1].copy())]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    assert code_of(data) == "E_MODE"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9, 0.99])
def test_a_file_cut_short_is_never_read_in_part(kind, share):
    noise = np.random.default_rng(5).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise), kind)
    assert code_of(data[: int(share * len(data))]) in ("E_TRUNC", "E_CORRUPT", "E_FORMAT")


@pytest.mark.parametrize("missing", [1, 2, 3, 8, 12, 13])
def test_the_very_end_of_a_png_or_jpeg_must_be_there(missing):
    noise = np.random.default_rng(5).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for kind in ("JPEG", "PNG"):
        data = saved(Image.fromarray(noise), kind)
        if kind == "JPEG" or missing > 7:
            assert code_of(data[:-missing]) == "E_TRUNC"


def test_a_caller_who_allows_truncated_files_changes_nothing(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    noise = np.random.default_rng(5).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    data = saved(Image.fromarray(noise))
    assert code_of(data[:900] + data[-12:]) in ("E_TRUNC", "E_CORRUPT")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "E_EMPTY"),
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "E_HTML"),
        (b"<html><head><title>Login</title></head></html>", "E_HTML"),
        (b"\n\n  <HTML>", "E_HTML"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "E_HTML"),
        (b"SIMPLE  =                    T", "E_FORMAT"),
        (b"GIF89a\x01\x00\x01\x00", "E_FORMAT"),
        (b"%PDF-1.4", "E_FORMAT"),
        (b"\x00" * 4096, "E_FORMAT"),
        (b"{'error': 'not found'}", "E_FORMAT"),
        (b"\x89PNG\r\n\x1a\n", "E_TRUNC"),
        (b"\xff\xd8\xff", "E_TRUNC"),
        (b"\xff\xd8\xff\xe0\xff\xda\xff\xd9", "E_CORRUPT"),
        (b"II*\x00" + b"\x00" * 40, "E_CORRUPT"),
    ],
)
def test_what_is_not_an_image_has_its_own_code(data, code):
    assert code_of(data) == code


def test_only_the_formats_we_know_are_opened():
    for kind in ("GIF", "BMP", "WEBP", "PPM"):
        assert code_of(saved(Image.fromarray(COLOUR), kind)) == "E_FORMAT"


def test_a_bomb_is_not_unpacked():
    side = int(MAX_PIXELS**0.5) + 1
    small = saved(Image.new("1", (side, side)))
    assert len(small) < 2_000_000
    assert code_of(small) == "E_BIG"


@pytest.mark.parametrize("value", [(0, 0, 0), (255, 255, 255), (12, 0, 200)])
def test_one_colour_is_blank(value):
    assert is_blank(decode(saved(Image.new("RGB", (5, 5), value))).pixels)


def test_one_odd_pixel_is_not_blank():
    image = Image.new("RGB", (5, 5))
    image.putpixel((2, 2), (0, 0, 1))
    assert not is_blank(decode(saved(image)).pixels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_damage_is_read_or_refused_but_never_breaks(kind):
    noise = np.random.default_rng(1).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = saved(Image.fromarray(noise), kind, exif=exif)
    rng = np.random.default_rng(2)
    seen = set()
    for case in range(300):
        damaged = bytearray(whole)
        if case % 4 == 0:
            damaged = damaged[: int(rng.integers(0, len(whole)))]
        elif case % 4 == 1:
            damaged[int(rng.integers(0, min(200, len(whole))))] ^= int(rng.integers(1, 256))
        else:
            for _ in range(int(rng.integers(1, 9))):
                damaged[int(rng.integers(0, len(whole)))] ^= int(rng.integers(1, 256))
        for act in (decode, lambda data: look(BytesIO(data))):
            try:
                act(bytes(damaged))
                seen.add("ok")
            except BadFileError as error:
                seen.add(error.code if "\n" not in error.reason else "more than one line")
    assert {"E_TRUNC", "E_CORRUPT"} <= seen
    assert "more than one line" not in seen
