"""Plain data of the audit's figures, as a report draws them: lists, numbers and words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import Float64Array

#: Digits kept, the widest tile, and the values of a histogram that are kept.
DIGITS = 4
LARGEST_TILE = 64
LARGEST_HISTOGRAM = 5000
_NORMAL_95 = 1.96


def rounded(values: npt.ArrayLike) -> list[float | None]:
    """Return numbers with few digits, None for what is not finite.

    Examples
    --------
    >>> rounded([0.123456, float("nan")])
    [0.1235, None]
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    return [float(f"{x:.{DIGITS}g}") if np.isfinite(x) else None for x in flat]


def histograms(
    sim: Float64Array, obs: Float64Array, *, x_label: str, caption: str
) -> dict[str, Any]:
    """Return two histograms; non-finite values are left out."""
    kept = [values[np.isfinite(values)][:LARGEST_HISTOGRAM] for values in (sim, obs)]
    return {
        "kind": "histograms",
        "values": {"sim": rounded(kept[0]), "obs": rounded(kept[1])},
        "x_label": x_label,
        "caption": caption,
    }


def tile(label: str, image: npt.ArrayLike) -> dict[str, Any]:
    """Return one image of at most 64 x 64 pixels; larger ones are averaged over blocks.

    Examples
    --------
    >>> tile("ramp", np.arange(4.0).reshape(2, 2))["pixels"]
    [[0.0, 1.0], [2.0, 3.0]]
    """
    pixels = np.nan_to_num(np.asarray(image, dtype=np.float64))
    block = -(-max(pixels.shape) // LARGEST_TILE)
    if block > 1:
        height, width = (side // block for side in pixels.shape)
        cut = pixels[: height * block, : width * block]
        pixels = cut.reshape(height, block, width, block).mean(axis=(1, 3))
    return {"label": label, "pixels": np.round(pixels, DIGITS).tolist()}


def tiles(
    shown: Sequence[dict[str, Any]], *, caption: str, diverging: bool = False
) -> dict[str, Any]:
    """Return a row of images."""
    return {"kind": "images", "tiles": list(shown), "diverging": diverging, "caption": caption}


def bar(label: str, value: float, error: float) -> dict[str, Any]:
    """Return one bar with its 95 % interval."""
    low, high = value - _NORMAL_95 * error, value + _NORMAL_95 * error
    numbers = rounded([value, low, high])
    return {"label": label, "value": numbers[0], "low": numbers[1], "high": numbers[2]}


def bars(
    rows: Sequence[dict[str, Any]], *, x_label: str, limit: float | None, caption: str
) -> dict[str, Any]:
    """Return a list of bars."""
    return {
        "kind": "bars",
        "rows": list(rows),
        "x_label": x_label,
        "limit": limit,
        "caption": caption,
    }


def ratio_curves(
    x: Float64Array,
    log_sim: Float64Array,
    log_obs: Float64Array,
    *,
    x_label: str,
    y_label: str,
    caption: str,
) -> dict[str, Any]:
    """Return the medians of two tables of logarithms ``(n, k)`` over `x`, and their ratio."""
    middle = [np.median(table, axis=0) for table in (log_sim, log_obs)]
    # The error of a median of normal numbers.
    errors = [1.2533 * table.std(axis=0) / np.sqrt(len(table)) for table in (log_sim, log_obs)]
    away, error = middle[0] - middle[1], np.hypot(*errors)
    return {
        "kind": "curves",
        "x": rounded(x),
        "x_label": x_label,
        "y_label": y_label,
        "log": True,
        "series": {"sim": rounded(np.exp(middle[0])), "obs": rounded(np.exp(middle[1]))},
        "ratio": rounded(np.exp(away)),
        "ratio_low": rounded(np.exp(away - _NORMAL_95 * error)),
        "ratio_high": rounded(np.exp(away + _NORMAL_95 * error)),
        "limits": [None, None],
        "caption": caption,
    }
