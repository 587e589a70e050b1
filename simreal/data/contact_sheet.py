"""A contact sheet: some stamps of a collection and what was found, on one page by itself."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import BoolArray, Float32Array
from simreal.core.images import ImageSet
from simreal.data.card_suite import Finding, JudgedCard, own_field

#: Stamps on the sheet.
N_STAMPS = 10

_MASKED = (44, 70, 122)
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
figure { display: inline-block; margin: 0 .75rem 1rem 0; width: 11.5rem; vertical-align: top; }
img { width: 11.5rem; height: auto; image-rendering: pixelated; background: #000; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; }
tr { border-top: 1px solid #8886; }
.broken td:nth-child(2) { color: #b3261e; font-weight: 600; }
.look td:nth-child(2) { color: #9a6700; font-weight: 600; }
@media (prefers-color-scheme: dark) {
  .broken td:nth-child(2) { color: #ff8a80; } .look td:nth-child(2) { color: #f2c14e; }
}
"""


def write_contact_sheet(judged: JudgedCard, path: Path) -> Path:
    """Write the page: no network, no script, every picture inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(contact_sheet(judged), encoding="utf-8")
    return path


def contact_sheet(judged: JudgedCard) -> str:
    """Return the page as HTML."""
    card = judged.card
    rows = "\n".join(_row(each) for each in judged.findings)
    stamps = "" if judged.images is None else _stamps(judged.images)
    verdict = "in order" if judged.passed else "not in order yet"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(card.name)}: card and files</title><style>{_STYLE}</style></head>
<body><h1>{_text(card.title)}</h1>
<p>{_text(card.name)}: a {card.role} {card.object_kind} collection on the {card.track} track.
Card and files are {verdict}.</p>
<table><thead><tr><th>check</th><th></th><th>found</th><th>to do</th></tr></thead>
<tbody>
{rows}
</tbody></table>
{stamps}
</body></html>
"""


def _row(each: Finding) -> str:
    cells = (each.check, each.state, each.found, each.fix)
    inside = "".join(f"<td>{_text(cell)}</td>" for cell in cells)
    return f'<tr class="{each.state.replace(" ", "-")}">{inside}</tr>'


def _stamps(images: ImageSet) -> str:
    n = len(images)
    rows = np.unique(np.linspace(0, n - 1, min(n, N_STAMPS)).round().astype(np.int64))
    order, linear = colour_order(images), images.setup.track != "rgb"
    pixels = images.images.read(rows)
    shown = []
    for row, image in zip(rows, pixels, strict=True):
        mask = None if images.mask is None else images.mask[row]
        field = (slice(None), slice(None)) if mask is None else own_field(mask)
        part = (slice(None), *field)
        shown.append(
            as_bytes(image[part], None if mask is None else mask[part], order, linear=linear)
        )
    names = [images.setup.bands[band] for band in order]
    figures = "\n".join(
        _figure(picture, str(images.ids[row]), str(images.groups[row]))
        for picture, row in zip(shown, rows, strict=True)
    )
    how = "display values as they are"
    if linear:
        how = (
            "each stamp on an asinh stretch of its own, so that faint light shows; masked pixels "
            "blue; the y axis points up, as in FITS"
        )
    coloured = f"red, green and blue are {', '.join(names)}" if len(names) == 3 else names[0]
    return f"<h2>{len(rows)} of {n} stamps</h2>\n<p>{_text(coloured)}; {how}.</p>\n{figures}"


def _figure(picture: npt.NDArray[np.uint8], name: str, group: str) -> str:
    caption = name if group == name else f"{name} (object {group})"
    height, width = picture.shape[:2]
    return (
        f'<figure><img src="{_png(picture)}" width="{width}" height="{height}" '
        f'alt="stamp of {_text(name)}"><figcaption>{_text(caption)}</figcaption></figure>'
    )


def _png(picture: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def colour_order(images: ImageSet) -> tuple[int, ...]:
    """Return the planes shown as red, green and blue: by wavelength where it is known.

    Display composites keep their order; a set of fewer than three bands shows its first.
    """
    bands = images.setup.bands
    if len(bands) < 3:
        return (0,)
    if images.setup.track == "rgb":
        return (0, 1, 2)
    waves = _wavelengths(bands)
    order = sorted(range(len(bands)), key=lambda i: -waves[i]) if waves else range(len(bands))
    index = list(order)
    return index[0], index[len(index) // 2], index[-1]


def _wavelengths(bands: Sequence[str]) -> list[float] | None:
    from simreal.core.conditions import condition_names, load_conditions

    known: dict[str, float] = {}
    for name in condition_names():
        for band, about in load_conditions(name).bands.items():
            number = about.pivot or about.effective_wavelength
            if number is not None:
                known[band] = number.value
    return [known[band] for band in bands] if all(band in known for band in bands) else None


def as_bytes(
    image: Float32Array, mask: BoolArray | None, order: Sequence[int], *, linear: bool
) -> npt.NDArray[np.uint8]:
    """Return one stamp ``(band, y, x)`` as bytes ``(y, x, 3)``, to be looked at.

    Linear pixels go through an asinh that is linear up to three times the scatter of the
    border; the y axis then points up. Display values are shown as they are.

    Examples
    --------
    >>> flat = np.full((1, 8, 8), 0.2, dtype=np.float32)
    >>> as_bytes(flat, None, (0,), linear=False)[0, 0].tolist()
    [51, 51, 51]
    """
    planes = np.nan_to_num(np.asarray(image, dtype=np.float64)[list(order)])
    if linear:
        planes = np.stack([_stretched(plane) for plane in planes])[:, ::-1]
    levels = np.rint(np.clip(planes, 0, 1) * 255).astype(np.uint8)
    if len(levels) == 1:
        levels = np.repeat(levels, 3, axis=0)
    picture = np.ascontiguousarray(levels.transpose(1, 2, 0))
    if mask is not None:
        lost = np.asarray(np.any(mask[list(order)], axis=0))
        picture[lost[::-1] if linear else lost] = _MASKED
    return picture


def _stretched(plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    frame = np.concatenate([plane[:3].ravel(), plane[-3:].ravel()])
    low, level, high = np.percentile(frame, (15.9, 50, 84.1))
    peak = float(np.percentile(plane, 99.7))
    soft = max(1.5 * (high - low), 1e-3 * (peak - level), 1e-30)
    stretched = np.arcsinh((plane - level) / soft)
    top = np.arcsinh(max(peak - level, soft) / soft)
    return np.asarray(0.08 + 0.92 * stretched / top)


def _text(text: str) -> str:
    return html.escape("".join(c if c.isprintable() else " " for c in text))
