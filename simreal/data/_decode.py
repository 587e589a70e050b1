"""One image file into display values, or the one line that says why not."""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, ImageOps

from simreal.core.arrays import AnyArray
from simreal.data._quarantine import BadFileError

#: Opened by what the first bytes say, never by the name, and nothing else is: a FITS or PDF
#: file called .jpg must not reach a decoder meant for it.
FORMATS = ("PNG", "JPEG", "TIFF")
MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")

#: A stamp larger than this is a mosaic or a decompression bomb.
MAX_PIXELS = 64_000_000

_GREY = ("1", "L", "LA", "La")
_DEEP_GREY = ("I;16", "I;16B", "I;16L", "I;16N")
_COLOUR = ("RGB", "RGBX", "RGBA", "RGBa", "P", "PA", "YCbCr")
_ORIENTATION = 0x0112

#: What Pillow is known to raise on damaged files besides its own errors.
PILLOW_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, AttributeError, LookupError,
    ArithmeticError, MemoryError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the first bytes of an image say: height and width as displayed, and its depth."""

    size: tuple[int, int]
    deep: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """Pixels ``(band, y, x)``: uint8, or float32 in [0, 1] where the file has 16 bits."""

    pixels: AnyArray
    transparent: bool = False
    rounded: bool = False


def look(file: BinaryIO) -> Look:
    """Return size and depth of an open image file from its header alone.

    Raises
    ------
    BadFileError
        If this is not a still image of an allowed kind.
    """
    start = file.read(1024)
    check_start(start)
    file.seek(0)
    try:
        with _opened(file, n_bytes=len(start)) as image:
            return _look(image)
    except BadFileError as error:
        if error.code in ("E_CORRUPT", "E_TRUNC"):
            # A header that makes no sense because the file stops in it is a short file.
            file.seek(0)
            _check_end(file.read())
        raise


def decode(data: bytes, *, planes: int = 3) -> Decoded:
    """Return the pixels of one whole image file.

    Grey images are repeated over the planes; palettes are looked up; transparency is laid
    over black; 16-bit grey is divided by 65535; the EXIF orientation is applied. The file
    is decoded whole or not at all.

    Parameters
    ----------
    data : bytes
        The whole file.
    planes : {1, 3}
        Planes the collection has.

    Raises
    ------
    BadFileError
        If the file is damaged, cut short or holds something else than display values.

    Examples
    --------
    >>> from io import BytesIO
    >>> from PIL import Image
    >>> file = BytesIO()
    >>> Image.new("L", (2, 1), 7).save(file, "PNG")
    >>> decode(file.getvalue()).pixels.tolist()
    [[[7, 7]], [[7, 7]], [[7, 7]]]
    """
    check_start(data)
    _check_end(data)
    with _opened(BytesIO(data), n_bytes=len(data)) as image:
        _look(image)
        rounded = data[:8] == MAGIC[0] and data[24:25] == b"\x10" and image.mode in _COLOUR
        deep = image.mode in _DEEP_GREY
        upright = ImageOps.exif_transpose(image)
        if deep:
            grey = np.asarray(upright).astype(np.float32) / np.float32(65535)
            return Decoded(pixels=np.repeat(grey[None], planes, axis=0))
        pixels, transparent = _display_values(upright, planes=planes)
    return Decoded(pixels=pixels, transparent=transparent, rounded=rounded)


def is_blank(pixels: AnyArray) -> bool:
    """Return whether every plane ``(band, y, x)`` has one value only."""
    return bool((pixels == pixels[:, :1, :1]).all())


def check_start(data: bytes) -> None:
    """Check that a file starts like an image.

    Raises
    ------
    BadFileError
        If it is empty, a web page or something else.
    """
    if not data:
        raise BadFileError("E_EMPTY", "got 0 bytes, allowed is a whole image; fetch it again")
    if data.startswith(MAGIC):
        return
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if (
        start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<body"))
        or b"<html" in start
    ):
        raise BadFileError(
            "E_HTML", "looks like HTML: the download failed; allowed is an image, fetch it again"
        )
    raise BadFileError(
        "E_FORMAT",
        f"starts with {data[:8]!r}, allowed are PNG, JPEG and TIFF; convert or remove it",
    )


def _check_end(data: bytes) -> None:
    """Refuse a file that lost its last bytes even where a decoder would be content."""
    if data.startswith(MAGIC[0]):
        whole = b"IEND" in data
    elif data.startswith(MAGIC[1]):
        # Entropy-coded data never holds these markers, an EXIF thumbnail before it may.
        whole = data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
    else:
        whole = True
    if not whole:
        raise _truncated(len(data))


def _truncated(n: int) -> BadFileError:
    return BadFileError(
        "E_TRUNC",
        f"got {n} bytes and the image goes on, allowed is a whole file; fetch it again",
    )


def _too_big(got: str) -> BadFileError:
    return BadFileError("E_BIG", f"got {got}, allowed are {MAX_PIXELS:,} in all; cut it up")


def _look(image: Image.Image) -> Look:
    width, height = image.size
    if width * height > MAX_PIXELS or width < 1 or height < 1:
        raise _too_big(f"{width} x {height} pixels")
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise BadFileError("E_MODE", "got several frames, allowed is one; save the frame you mean")
    if image.mode not in (*_GREY, *_DEEP_GREY, *_COLOUR):
        raise BadFileError(
            "E_MODE",
            f"got {image.mode} pixels, allowed are grey, RGB, palette (8 bit) and 16-bit grey; "
            "convert it to RGB",
        )
    turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    size = (width, height) if turned else (height, width)
    return Look(size=size, deep=image.mode in _DEEP_GREY)


def _display_values(image: Image.Image, *, planes: int) -> tuple[AnyArray, bool]:
    see_through = "transparency" in image.info or image.mode in ("LA", "La", "RGBA", "RGBa", "PA")
    if planes == 1 and image.mode not in _GREY:
        raise BadFileError(
            "E_MODE", f"got {image.mode} pixels, allowed is grey: the card has one band"
        )
    if not see_through:
        colour = np.asarray(image.convert("RGB" if planes == 3 else "L"))
        return _planes_first(colour), False
    layers = np.asarray(image.convert("RGBA")).astype(np.uint16)
    colour, alpha = layers[..., :3], layers[..., 3:]
    over_black = ((colour * alpha + 127) // 255).astype(np.uint8)
    return _planes_first(over_black)[:planes], bool((alpha < 255).any())


def _planes_first(image: AnyArray) -> AnyArray:
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    return np.ascontiguousarray(planes)


@contextmanager
def _opened(file: BinaryIO, *, n_bytes: int) -> Iterator[Image.Image]:
    """Open an image; whatever Pillow raises, here or while it is used, becomes our error."""
    # Pillow warns where we decide, and a caller may have allowed truncated files.
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=FORMATS) as image:
                yield image
    except (BadFileError, KeyboardInterrupt):
        raise
    except Image.DecompressionBombError:
        raise _too_big("more pixels than Pillow opens") from None
    except PILLOW_ERRORS as error:
        text = " ".join(str(error).split())[:120] or type(error).__name__
        if "truncated" in text or "unexpected end" in text.lower():
            raise _truncated(n_bytes) from None
        text = text.partition("<_io")[0].rstrip()
        raise BadFileError(
            "E_CORRUPT", f"cannot be decoded ({text}), allowed is a whole image; fetch it again"
        ) from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
