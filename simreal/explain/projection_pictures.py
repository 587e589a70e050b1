"""Clusters on a map, with the images nearest to the middle of each: a figure to look at."""

from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.arrays import Float32Array, IntArray, StrArray
from simreal.core.errors import UsageError
from simreal.explain.clustering import NOISE, Partition
from simreal.explain.projection import NeighbourMap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours of clusters, told apart by most eyes (Okabe and Ito 2008); then over again.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d00", "#5e3c99")
_NOISE, _INK = "#b9bec6", "#1a1d21"
#: Clusters that get a row of images.
SHOWN = 8
_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"], "font.size": 8.5, "text.usetex": False,
    "text.parse_math": False, "text.color": _INK, "figure.facecolor": "#ffffff",
}  # fmt: skip


def cluster_page(
    placed: NeighbourMap, partition: Partition, pixels: Float32Array, ids: StrArray
) -> "Figure":
    """Return the map coloured by cluster, noise in grey, and rows of example images.

    Clusters come from the embedding; the map only shows where their members landed. All images
    share one stretch.

    Parameters
    ----------
    placed : NeighbourMap
        Of the points that were clustered.
    partition : Partition
    pixels : array (n, band, y, x)
        Images of the points, three bands red to blue or one.
    ids : array of str (n,)

    Raises
    ------
    UsageError
        If lengths disagree.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n = len(partition.labels)
    if not n == len(placed.coordinates) == len(pixels) == len(ids):
        raise UsageError(
            f"a page of clusters: got {n} clustered points, {len(placed.coordinates)} on the map, "
            f"{len(pixels)} images and {len(ids)} ids; all are needed for the same points"
        )
    rows = partition.examples[:SHOWN]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11.0, 5.2), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        parts: Any = figure.subfigures(1, 2)
        left, right = parts
        _points(left.subplots(), placed, partition.labels)
        if rows:
            _examples(right, partition, pixels, {name: i for i, name in enumerate(ids.tolist())})
        figure.suptitle(
            f"{partition.method}, found in the embedding; {placed.settings} shows, and measures "
            "nothing",
            fontsize=9,
        )
    return figure


def _points(axes: Any, placed: NeighbourMap, labels: IntArray) -> None:
    for cluster in range(NOISE, int(labels.max(initial=NOISE)) + 1):
        here = placed.coordinates[labels == cluster]
        colour = _NOISE if cluster == NOISE else COLOURS[cluster % len(COLOURS)]
        name = f"noise ({len(here)})" if cluster == NOISE else f"{cluster} ({len(here)})"
        if len(here):
            axes.scatter(here[:, 0], here[:, 1], s=6, color=colour, linewidths=0, label=name)
    axes.set(xticks=[], yticks=[])
    axes.legend(loc="best", markerscale=2.5, fontsize=7, frameon=False)


def _examples(part: Any, partition: Partition, pixels: Float32Array, place: dict[str, int]) -> None:
    rows = partition.examples[:SHOWN]
    across = max(map(len, rows))
    low, high = (float(np.percentile(pixels, q)) for q in (0.5, 99.8))
    panels = part.subplots(len(rows), across, squeeze=False)
    for cluster, (line, names) in enumerate(zip(panels, rows, strict=True)):
        for axes in line:
            axes.axis("off")
        for axes, name in zip(line, names, strict=False):
            axes.imshow(shown(pixels[place[name]], low, high), interpolation="nearest")
        line[0].set_title(
            f"{cluster}: {partition.sizes[cluster]} objects",
            loc="left",
            color=COLOURS[cluster % len(COLOURS)],
            fontsize=7.5,
        )


def shown(image: Float32Array, low: float, high: float) -> Float32Array:
    """Return an image ``(band, y, x)`` as ``(y, x, 3)`` from 0 to 1 between two levels.

    Examples
    --------
    >>> shown(np.array([[[0.0, 2.0]]], np.float32), 0.0, 4.0)[0, :, 0].tolist()
    [0.0, 0.5]
    """
    planes = image[:3] if len(image) >= 3 else np.repeat(image[:1], 3, axis=0)
    scaled = np.clip((planes - low) / max(high - low, 1e-12), 0.0, 1.0)
    return np.asarray(np.moveaxis(scaled, 0, -1), dtype=np.float32)
