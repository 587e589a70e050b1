"""Area-averaged pixels: the baseline that learns nothing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simreal.core.arrays import AnyArray, Float32Array, Float64Array, IntArray
from simreal.core.images import ImageSource
from simreal.encode.encoder import EncoderMeta, Progress, check_images
from simreal.encode.settings import EncoderSettings
from simreal.encode.weights import Stored, read_card, read_weights, weights_digest

META = EncoderMeta(trains=False, summary="area-averaged pixels, nothing fitted")

#: Pixels on a side of the averaged image where no dimension is asked for.
SIDE = 16

_BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PixelEncoder(Stored):
    """Every band averaged over the cells of a coarse grid.

    ``weights`` holds the area matrices ``down (side, y)`` and ``across (side, x)``.
    """

    name: str = "pixels"

    def encode(self, source: ImageSource) -> Float32Array:
        """Return one vector per image, float32 ``(n, dimension)``."""
        check_images(self.card, source)
        n = source.shape[0]
        vectors = np.empty((n, self.dimension), np.float32)
        for start in range(0, n, _BLOCK):
            rows = slice(start, min(start + _BLOCK, n))
            cells = self.weights["down"] @ source.read(rows) @ self.weights["across"].T
            vectors[rows] = cells.reshape(rows.stop - rows.start, -1)
        return vectors


def fit(
    source: ImageSource,
    groups: IntArray,
    *,
    settings: EncoderSettings,
    seed: int,
    progress: Progress | None = None,
) -> PixelEncoder:
    """Lay the coarse grid; the images themselves are not looked at."""
    n, bands, y, x = source.shape
    wanted = SIDE if settings.dimension is None else int((settings.dimension / bands) ** 0.5)
    side = max(1, min(wanted, y, x))
    weights: dict[str, AnyArray] = {
        "down": area_matrix(y, side),
        "across": area_matrix(x, side),
    }
    recipe = {"encoder": "pixels", "side": side, "shape": [bands, y, x]}
    card = {
        "encoder": "pixels",
        "objective": "none",
        "mode": "pooled",
        "recipe": recipe,
        "digest": weights_digest(recipe, weights),
        "dimension": bands * side * side,
        "shape": [bands, y, x],
        "seed": seed,
        "n_images": n,
        "n_groups": len(np.unique(groups)),
    }
    if progress:
        progress("pixel grid", 1, 1)
    return PixelEncoder(card=card, weights=weights)


def load(folder: Path) -> PixelEncoder:
    """Return the encoder stored in `folder`."""
    card = read_card(folder)
    return PixelEncoder(card=card, weights=read_weights(folder, card))


def area_matrix(n: int, cells: int) -> Float64Array:
    """Return the ``(cells, n)`` matrix that averages `n` pixels into `cells` equal cells.

    A pixel cut by the border of a cell counts in proportion to its overlap.

    Examples
    --------
    >>> area_matrix(3, 2).round(3).tolist()
    [[0.667, 0.333, 0.0], [0.0, 0.333, 0.667]]
    """
    edges = np.arange(cells + 1) * n / cells
    pixel = np.arange(n)
    low = np.maximum(edges[:-1, None], pixel)
    high = np.minimum(edges[1:, None], pixel + 1)
    overlap: Float64Array = np.clip(high - low, 0, None) * cells / n
    return overlap
