"""Galaxies as pictures: every stamp of both sides through the same, fixed display mapping.

Nothing here looks at the values of an image to decide how to show it: a display fitted per
image or per side would make two sides look alike, or different, that are not.
"""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import Float32Array, Float64Array, IntArray
from simreal.core.images import ImageSet
from simreal.report.canvas import Drawing
from simreal.report.tables import printable

ByteImage = npt.NDArray[np.uint8]

#: Longest side of a stamp on the page [pixel]; larger ones are averaged in whole blocks.
STAMP_LIMIT = 96

_MARGIN = 8
_GAP = 4
_LINE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One image ready for the page: its PNG, its size as stored and what it shows.

    A figure has a `pdf` of itself; pictures of galaxies have none.
    """

    png: bytes
    width: int
    height: int
    alt: str
    pdf: bytes | None = None

    @property
    def source(self) -> str:
        """The picture as a ``data:`` address: the page fetches nothing."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A galaxy on the page."""

    picture: Picture
    pixels: ByteImage = field(repr=False)
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A figure and what it says.

    Parameters
    ----------
    picture : Picture
    caption : str
    pixels : bool
        Whether it shows images: a page in dark colours turns lines around, never images.
    """

    picture: Picture
    caption: str
    pixels: bool = False


def plotted(drawing: Drawing, alt: str) -> Picture:
    """Return a figure as a `Picture` of half its size in pixels, for sharp text."""
    # Width and height stand at fixed places of the PNG header (RFC 2083, section 4.1.1).
    width, height = (int.from_bytes(drawing[i : i + 4], "big") for i in (16, 20))
    return Picture(
        png=bytes(drawing), width=width // 2, height=height // 2, alt=alt, pdf=drawing.pdf
    )


def to_display(images: Float32Array) -> ByteImage:
    """Return images ``(n, band, y, x)`` in [0, 1] as bytes ``(n, y, x, 3)``, red plane first.

    The mapping is the identity, value times 255 rounded, for every image of both sides. One
    band is shown grey; of more than three the first three. Non-finite pixels read black.

    Examples
    --------
    >>> to_display(np.full((1, 3, 2, 2), 0.2, dtype=np.float32))[0, 0, 0].tolist()
    [51, 51, 51]
    """
    planes = images[:, :3] if images.shape[1] >= 3 else np.repeat(images[:, :1], 3, axis=1)
    finite = np.nan_to_num(planes, nan=0.0, posinf=1.0, neginf=0.0)
    levels = np.rint(np.clip(finite, 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(0, 2, 3, 1))


def binned(images: Float32Array, limit: int) -> Float32Array:
    """Return images averaged in whole k x k blocks until no side is longer than `limit` pixels.

    Whole blocks keep the mean surface brightness and invent no ringing; the rows and columns
    that fill no block are cut evenly from both edges. Small images are returned as they are.

    Examples
    --------
    >>> binned(np.ones((1, 3, 9, 8), dtype=np.float32), 4).shape
    (1, 3, 3, 2)
    """
    n, band, height, width = images.shape
    k = math.ceil(max(height, width) / limit)
    if k <= 1:
        return images
    rows, columns = height // k, width // k
    top, left = (height - rows * k) // 2, (width - columns * k) // 2
    cut = images[:, :, top : top + rows * k, left : left + columns * k]
    blocks = cut.reshape(n, band, rows, k, columns, k)
    mean: Float32Array = blocks.mean(axis=(3, 5), dtype=np.float32)
    return mean


def read_display(image_set: ImageSet, ids: Sequence[str], limit: int) -> dict[str, ByteImage]:
    """Return the pictures of `ids` as bytes ``(y, x, 3)`` by id, reading no other image.

    Ids the set does not hold are left out.
    """
    rows = rows_of(image_set, ids)
    if len(rows) == 0:
        return {}
    shown = to_display(binned(image_set.images.read(rows), limit))
    names = [printable(name) for name in image_set.ids[rows].tolist()]
    return dict(zip(names, shown, strict=True))


def rows_of(image_set: ImageSet, ids: Sequence[str]) -> IntArray:
    """Return the rows of `image_set` that hold `ids`, in increasing order.

    Ids are compared as results hold them, with what UTF-8 cannot hold escaped.
    """
    wanted = set(ids)
    held = [row for row, name in enumerate(image_set.ids.tolist()) if printable(name) in wanted]
    return np.array(held, dtype=np.int64)


def png_bytes(image: ByteImage) -> bytes:
    """Return an image ``(y, x, 3)``, or 4 with opacity, as PNG without any text or date in it."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def picture(image: ByteImage, alt: str) -> Picture:
    """Return an image ``(y, x, 3)`` as a `Picture` described by `alt`."""
    return Picture(png=png_bytes(image), width=image.shape[1], height=image.shape[0], alt=alt)


def shown(pixels: ByteImage, name: str, role: str) -> Shown:
    """Return a galaxy with its picture and its name as caption; `role` says its side."""
    return Shown(picture=picture(pixels, f"{role} galaxy {name}"), pixels=pixels, caption=name)


def enlarged(image: ByteImage, factor: int) -> ByteImage:
    """Return an image ``(y, x, 3)`` with every pixel repeated `factor` times each way.

    Nearest neighbour: an interpolated enlargement would smooth the noise a reader judges.
    """
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def cell_members(
    coordinates: Float64Array, limits: Sequence[tuple[float, float]], shape: tuple[int, int]
) -> dict[tuple[int, int], int]:
    """Return the object nearest the centre of each cell of a grid laid over a map.

    Parameters
    ----------
    coordinates : array (n, 2)
    limits : two pairs of float
        Frame of the map along x and y.
    shape : tuple of int
        Rows and columns; row 0 is the top, where y is largest.

    Returns
    -------
    dict
        Row of `coordinates` by ``(row, column)``; cells without an object are left out.

    Examples
    --------
    >>> cell_members(np.array([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1]]), [(0, 1), (0, 1)], (2, 2))
    {(0, 0): 1, (1, 1): 2}
    """
    low, high = np.array(limits, dtype=np.float64).T
    size = np.array(shape[::-1])
    place = (np.asarray(coordinates) - low) / (high - low) * size
    cell = np.floor(place).astype(np.int64)
    off_centre = np.hypot(*(place - cell - 0.5).T)
    inside = np.flatnonzero(((cell >= 0) & (cell < size)).all(axis=1))
    nearest: dict[tuple[int, int], int] = {}
    for member in inside[np.argsort(off_centre[inside], kind="stable")]:
        column, up = cell[member]
        nearest.setdefault((int(shape[0] - 1 - up), int(column)), int(member))
    return dict(sorted(nearest.items()))


def mosaic(tiles: dict[tuple[int, int], ByteImage], shape: tuple[int, int]) -> ByteImage:
    """Return tiles ``(y, x, 3)`` set in a grid as ``(y, x, 4)``, empty cells transparent."""
    height, width = next(iter(tiles.values())).shape[:2]
    canvas = np.zeros((shape[0] * (height + 1), shape[1] * (width + 1), 4), dtype=np.uint8)
    for (row, column), tile in tiles.items():
        top, left = row * (height + 1), column * (width + 1)
        canvas[top : top + height, left : left + width, :3] = tile
        canvas[top : top + height, left : left + width, 3] = 255
    return canvas


def contact_sheet(
    rows: Sequence[Sequence[ByteImage | None]],
    *,
    captions: Sequence[Sequence[str]],
    title: str,
    cell: int = 128,
) -> bytes:
    """Return rows of images with a caption under each as one PNG on white.

    Parameters
    ----------
    rows : sequence of rows of byte images (y, x, 3) or None
        None leaves a cell empty.
    captions : same shape
        One line under each image, cut to the width of the cell.
    title : str
        What the sheet shows, on top.
    cell : int
        Width and height of a cell in pixels; images are enlarged by whole factors to fit.
    """
    from PIL import Image, ImageDraw, ImageFont

    columns = max((len(row) for row in rows), default=1)
    step_x, step_y = cell + _GAP, cell + _LINE + _GAP
    size = (columns * step_x + 2 * _MARGIN, len(rows) * step_y + 2 * _MARGIN + 2 * _LINE)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    draw.text((_MARGIN, _MARGIN), _fitted(title, size[0] - 2 * _MARGIN), fill="black", font=font)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            if image is None:
                continue
            at = (_MARGIN + j * step_x, _MARGIN + 2 * _LINE + i * step_y)
            factor = max(1, cell // max(image.shape[:2]))
            sheet.paste(Image.fromarray(enlarged(image, factor)), at)
            below = (at[0], at[1] + cell + 1)
            draw.text(below, _fitted(captions[i][j], cell), fill="black", font=font)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def _fitted(text: str, width: int) -> str:
    """Return one printable line of about `width` pixels of 11-pixel type."""
    line = "".join(c if c.isprintable() else " " for c in text)
    most = max(4, width // 6)
    return line if len(line) <= most else f"{line[: most - 1]}…"
