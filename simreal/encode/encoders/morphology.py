"""Measured morphology: sizes, shapes, profile and power, as astronomers measured them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simreal.core.arrays import AnyArray, Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSource
from simreal.encode.encoder import (
    EncoderMeta,
    Progress,
    check_groups,
    check_images,
    group_weights,
)
from simreal.encode.settings import EncoderSettings
from simreal.encode.weights import Stored, read_card, read_weights, weights_digest
from simreal.measure.morphology import feature_names, morphology

META = EncoderMeta(trains=False, summary="measured shape, profile and power, nothing learned")

#: Beyond this many robust standard deviations a number grows with its logarithm only: one
#: measurement that failed must not outweigh all that worked.
CLIP = 3.0

#: Narrower stamps hold no curve of growth.
MINIMUM_SIZE = 16

_BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MorphologyEncoder(Stored):
    """Every number of `simreal.measure.morphology` on the scale of the pool.

    ``weights`` holds ``centre`` and ``scale``, both ``(dimension,)``: median and 1.4826
    median absolute deviations. The measurements are fixed, so the card's ``features`` name
    what the vector's entries are.
    """

    name: str = "morphology"

    def encode(self, source: ImageSource) -> Float32Array:
        """Return one vector per image, float32 ``(n, dimension)``."""
        check_images(self.card, source)
        standard = (measured(source) - self.weights["centre"]) / self.weights["scale"]
        return np.asarray(CLIP * np.arcsinh(standard / CLIP), dtype=np.float32)


def fit(
    source: ImageSource,
    groups: IntArray,
    *,
    settings: EncoderSettings,  # noqa: ARG001 - a fixed encoder has none
    seed: int,
    progress: Progress | None = None,
) -> MorphologyEncoder:
    """Measure the pool for centre and scale of every number, every group counting once.

    Raises
    ------
    NotComputableError
        If there are too few groups, or the images are too small.
    """
    n_groups = check_groups("morphology", groups)
    if min(source.shape[2:]) < MINIMUM_SIZE:
        raise NotComputableError(
            f"encoder 'morphology' needs images of {MINIMUM_SIZE} pixels or more on a side, got "
            f"{source.shape[2:]}; match with a larger stamp"
        )
    centre, scale = robust_scale(measured(source, progress), group_weights(groups))
    weights: dict[str, AnyArray] = {"centre": centre, "scale": scale}
    names = feature_names(source.shape[1])
    recipe = {
        "encoder": "morphology",
        "features": list(names),
        "clip": CLIP,
        "shape": list(source.shape[1:]),
    }
    card = {
        "encoder": "morphology",
        "objective": "none",
        "mode": "pooled",
        "recipe": recipe,
        "digest": weights_digest(recipe, weights),
        "dimension": len(names),
        "shape": list(source.shape[1:]),
        "seed": seed,
        "n_images": source.shape[0],
        "n_groups": n_groups,
    }
    return MorphologyEncoder(card=card, weights=weights)


def load(folder: Path) -> MorphologyEncoder:
    """Return the encoder stored in `folder`."""
    card = read_card(folder)
    return MorphologyEncoder(card=card, weights=read_weights(folder, card))


def robust_scale(values: Float64Array, weights: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the weighted median of every column and its robust standard deviation.

    That is 1.4826 median absolute deviations, or what the central 80 % of the weight would
    span if that is more: some numbers are zero for most objects. A column with less than
    that outside one value is scaled by its standard deviation, a constant one by 1.

    Parameters
    ----------
    values : array (n, k)
    weights : array (n,)
        Sum to 1.

    Examples
    --------
    >>> column = np.append(np.arange(-10.0, 11.0), [1e9, -1e9])[:, None]
    >>> centre, scale = robust_scale(column, np.full(23, 1 / 23))
    >>> float(centre[0]), round(float(scale[0]), 1)
    (0.0, 8.9)
    """
    centre, low, high = (weighted_quantile(values, weights, q) for q in (0.5, 0.1, 0.9))
    distance = np.abs(values - centre)
    deviation = 1.4826 * weighted_quantile(distance, weights, 0.5)
    # The central 80 % of a Gaussian are 2.5631 standard deviations wide.
    scale = np.maximum(deviation, (high - low) / 2.5631)
    least = 1e-6 * (1.0 + np.abs(centre))
    spread = np.sqrt(weights @ distance**2)
    scale = np.where(scale > least, scale, spread)
    return centre, np.where(scale > least, scale, 1.0)


def weighted_quantile(values: Float64Array, weights: Float64Array, share: float) -> Float64Array:
    """Return the least value of every column of `values` (n, k) with `share` of the weight."""
    order = np.argsort(values, axis=0, kind="stable")
    grown = np.cumsum(weights[order], axis=0)
    # A sum of weights misses the share by rounding.
    middle = (grown >= share - 1e-12).argmax(axis=0)
    columns = np.arange(values.shape[1])
    return np.asarray(values[order[middle, columns], columns])


def measured(source: ImageSource, progress: Progress | None = None) -> Float64Array:
    """Return every number of `simreal.measure.morphology`, ``(n, number)``, streamed."""
    n = source.shape[0]
    found = np.empty((n, len(feature_names(source.shape[1]))))
    for start in range(0, n, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n))
        found[rows] = morphology(source.read(rows))
        if progress:
            progress("morphology", rows.stop, n)
    return found
