"""A strip of matched stamps of both sides, to be looked at: what no number says, the eye does.

All stamps go through one display mapping, that of the encoder's input; nothing is fitted to an
image or to a side.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import Float32Array, IntArray
from simreal.core.images import ImageSet
from simreal.report.pictures import ByteImage, enlarged, to_display

#: Stamps in each row.
COLUMNS = 10
#: [pixel] Stamps are enlarged by whole factors up to this side.
CELL = 128
_MARGIN, _GAP, _LINE = 8, 3, 17


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One row of a strip: a set, of which some stamps are shown, and what it is called."""

    label: str
    images: ImageSet


def strip(
    rows: Sequence[Row], *, order: Sequence[int], title: str, columns: int = COLUMNS
) -> bytes:
    """Return rows of stamps with a label over each as one PNG on white.

    Parameters
    ----------
    rows : sequence of Row
        Sets with the same bands and stamps in [0, 1].
    order : sequence of int
        Bands shown as red, green and blue; one band is shown grey.
    title : str
        What the strip shows, on top.
    columns : int
        Stamps in a row, spread evenly over the set.
    """
    from PIL import Image, ImageDraw, ImageFont

    shown = [_stamps(row.images, order, columns) for row in rows]
    side = max(max(picture.shape[:2]) for pictures in shown for picture in pictures)
    size = (
        columns * (side + _GAP) - _GAP + 2 * _MARGIN,
        len(rows) * (side + 2 * _LINE + _GAP) + 2 * _MARGIN + _LINE,
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(size=12), ImageFont.load_default(size=10)
    draw.text((_MARGIN, _MARGIN), _fitted(title, size[0], 7), fill="black", font=font)
    top = _MARGIN + _LINE
    for row, pictures in zip(rows, shown, strict=True):
        draw.text((_MARGIN, top), _fitted(row.label, size[0], 7), fill="black", font=font)
        ids = row.images.ids[evenly(len(row.images), columns)].tolist()
        for k, (picture, name) in enumerate(zip(pictures, ids, strict=True)):
            left = _MARGIN + k * (side + _GAP)
            sheet.paste(Image.fromarray(picture), (left, top + _LINE))
            below = (left, top + _LINE + side)
            draw.text(below, _fitted(name, side, 6), fill="#5b6470", font=small)
        top += side + 2 * _LINE + _GAP
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def evenly(n: int, columns: int) -> IntArray:
    """Return at most `columns` rows of `n`, spread evenly from the first to the last.

    Examples
    --------
    >>> evenly(9, 3).tolist(), evenly(2, 3).tolist()
    ([0, 4, 8], [0, 1])
    """
    return np.unique(np.linspace(0, n - 1, min(n, columns)).round().astype(np.int64))


def red_to_blue(wavelengths: Sequence[float]) -> tuple[int, ...]:
    """Return the bands to be shown as red, green and blue: the longest, the middle, the shortest.

    Fewer than three are shown as the first alone, grey.

    Examples
    --------
    >>> red_to_blue([4700, 6200, 7500, 8900]), red_to_blue([8045])
    ((3, 2, 0), (0,))
    """
    if len(wavelengths) < 3:
        return (0,)
    down = sorted(range(len(wavelengths)), key=lambda band: -wavelengths[band])
    return down[0], down[(len(down) - 1) // 2], down[-1]


def _stamps(images: ImageSet, order: Sequence[int], columns: int) -> list[ByteImage]:
    pixels: Float32Array = images.images.read(evenly(len(images), columns))[:, list(order)]
    # Calibrated images have y up, as in FITS; composites are stored from the top.
    if images.setup.track != "rgb":
        pixels = pixels[:, :, ::-1]
    factor = max(1, CELL // max(pixels.shape[-2:]))
    return [enlarged(picture, factor) for picture in to_display(pixels)]


def _fitted(text: str, width: int, step: int) -> str:
    """Return one printable line of about `width` pixels, `step` a letter; ends tell names apart."""
    line = "".join(c if c.isprintable() else " " for c in text)
    most = max(4, width // step)
    return line if len(line) <= most else f"…{line[-(most - 1) :]}"
