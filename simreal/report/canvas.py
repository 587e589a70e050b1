"""The drawing surface of every figure: one style, one way to draw an interval and a mark.

Figures are drawn on the object interface of matplotlib, without pyplot, and in a style of
their own, whatever the user's matplotlibrc says. Names are drawn as they are: never as
mathematics.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.2
#: Two of these stand side by side on the page, and one is still legible on a telephone.
NARROW = 4.8
DOTS_PER_INCH = 200

INK = "#1a1d21"
QUIET = "#5b6470"
GROUND = "#ffffff"
SIM = "#c2410c"
OBS = "#0b62a8"
FLOOR = "#c9ced6"


@contextmanager
def canvas(height: float, *, width: float = WIDTH) -> "Iterator[Figure]":
    """Give an empty figure of a height and width in inches, in the style of the report."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.family": ["DejaVu Sans"], "font.size": 9.5, "text.usetex": False,
        "text.parse_math": False, "axes.formatter.use_mathtext": False, "text.color": INK,
        "axes.edgecolor": QUIET, "axes.labelcolor": INK, "axes.facecolor": GROUND,
        "axes.spines.top": False, "axes.spines.right": False, "xtick.color": INK,
        "ytick.color": INK, "figure.facecolor": GROUND, "legend.frameon": False,
        "legend.fontsize": 8.5, "savefig.facecolor": GROUND, "path.simplify": True,
        "pdf.fonttype": 3,
    }  # fmt: skip
    with mpl.rc_context(style), warnings.catch_warnings():
        # A name in a script the font lacks is drawn as boxes; the page beside it has the name.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


class Drawing(bytes):
    """A figure as PNG that carries the same figure as PDF, for a paper."""

    pdf: bytes

    def __new__(cls, png: bytes, pdf: bytes) -> "Drawing":
        """Join both renderings of one figure."""
        drawing = super().__new__(cls, png)
        drawing.pdf = pdf
        return drawing


def drawing_of(figure: "Figure") -> Drawing:
    """Return a figure as PNG and PDF, without a date or the name of a program in either."""
    engine = figure.get_layout_engine()
    if engine is not None:  # laid out once, not again in every drawing
        engine.execute(figure)
        figure.set_layout_engine("none")
    png, pdf = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    nothing = {"Creator": None, "Producer": None, "CreationDate": None}
    figure.savefig(pdf, format="pdf", metadata=nothing)
    return Drawing(png.getvalue(), pdf.getvalue())


def one_line(text: object, most: int) -> str:
    """Return one printable line of at most `most` characters."""
    line = "".join(c if c.isprintable() else " " for c in str(text)).strip()
    return line if len(line) <= most else f"{line[: most - 1]}…"


def shortened(text: object, most: int) -> str:
    """Return one line of at most `most` characters with both its ends: names differ at theirs.

    Examples
    --------
    >>> shortened("band 3 against the others along x", 26)
    'band 3 against …rs along x'
    """
    line = one_line(text, 10**6)
    if len(line) <= most:
        return line
    tail = 2 * most // 5
    return f"{line[: most - tail - 1]}…{line[-tail:]}"


def two_lines(text: object, most: int) -> str:
    r"""Return `text` on one or two lines of at most `most` characters.

    Examples
    --------
    >>> two_lines("centre masked out to one radius", 18)
    'centre masked out\nto one radius'
    """
    line = one_line(text, 2 * most)
    if len(line) <= most:
        return line
    at = line.rfind(" ", 0, most + 1)
    at = at if at > 0 else most
    return f"{line[:at].rstrip()}\n{one_line(line[at:], most)}"


def draw_interval(
    axes: "Axes", place: float, low: float | None, high: float | None, *, colour: str
) -> None:
    """Draw an interval as it is: a subsampling interval need not be centred on its value."""
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color=colour, lw=1.8, marker="|", ms=8, mew=1.6)


def draw_mark(
    axes: "Axes",
    place: float,
    value: float,
    *,
    marker: str,
    colour: str,
    filled: bool,
) -> None:
    """Draw one value: filled where it leads or is sure, open elsewhere."""
    face = colour if filled else GROUND
    axes.plot([value], [place], marker=marker, ms=6.5, mfc=face, mec=colour, mew=1.5, ls="")
