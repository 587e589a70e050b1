"""Principal components of the pixels: the linear baseline, fitted in seconds."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simreal.core.arrays import AnyArray, Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSource
from simreal.core.seeding import stream
from simreal.encode.encoder import (
    EncoderMeta,
    Progress,
    check_groups,
    check_images,
    group_weights,
)
from simreal.encode.settings import EncoderSettings
from simreal.encode.weights import Stored, read_card, read_weights, weights_digest

META = EncoderMeta(trains=False, summary="principal components of the pooled pixels")

DIMENSION = 64

#: Above this size of the smaller of (images, pixels) the axes come from a randomised range
#: finder instead of an exact eigenproblem, whose cost grows with the cube.
EXACT = 3000

_BLOCK = 256
_POWER_ITERATIONS = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PcaEncoder(Stored):
    """Projection on the principal axes of the pooled pixels.

    ``weights`` holds ``mean (band * y * x,)`` and ``components (dimension, band * y * x)``.
    """

    name: str = "pca"

    def encode(self, source: ImageSource) -> Float32Array:
        """Return one vector per image, float32 ``(n, dimension)``."""
        check_images(self.card, source)
        axes = self.weights["components"].astype(np.float64).T
        mean = self.weights["mean"]
        vectors = np.empty((source.shape[0], self.dimension), np.float32)
        for rows, pixels in _blocks(source):
            vectors[rows] = (pixels - mean) @ axes
        return vectors


def fit(
    source: ImageSource,
    groups: IntArray,
    *,
    settings: EncoderSettings,
    seed: int,
    progress: Progress | None = None,
) -> PcaEncoder:
    """Fit principal axes in which every group counts once, however many views it has.

    Raises
    ------
    NotComputableError
        If there are too few groups, or all images are the same.
    """
    n_groups = check_groups("pca", groups)
    dimension = min(settings.dimension or DIMENSION, n_groups - 1, _n_pixels(source))
    if progress:
        progress("principal components", 0, 1)
    mean, components, variance, total = principal_axes(
        source, group_weights(groups), dimension, rng=stream(seed, "encode", "pca")
    )
    weights: dict[str, AnyArray] = {"mean": mean, "components": components.astype(np.float32)}
    recipe = {"encoder": "pca", "dimension": len(components), "shape": list(source.shape[1:])}
    card = {
        "encoder": "pca",
        "objective": "variance",
        "mode": "pooled",
        "recipe": recipe,
        "digest": weights_digest(recipe, weights),
        "dimension": len(components),
        "shape": list(source.shape[1:]),
        "seed": seed,
        "n_images": source.shape[0],
        "n_groups": n_groups,
        "explained_variance": [float(v / total) for v in variance],
    }
    if progress:
        progress("principal components", 1, 1)
    return PcaEncoder(card=card, weights=weights)


def load(folder: Path) -> PcaEncoder:
    """Return the encoder stored in `folder`."""
    card = read_card(folder)
    return PcaEncoder(card=card, weights=read_weights(folder, card))


def principal_axes(
    source: ImageSource, weights: Float64Array, dimension: int, *, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array, Float64Array, float]:
    """Return mean, axes, variances and total variance of weighted images, streamed.

    The smaller of the image-by-image and pixel-by-pixel products is diagonalised; where
    both are large, a randomised range finder with power iterations (Halko, Martinsson and
    Tropp 2011) takes its place. The sign of an axis makes its largest entry positive.

    Parameters
    ----------
    source : ImageSource
    weights : array (n,)
        Sum to 1.
    dimension : int
        Axes asked for; fewer come back where the images span fewer.
    rng : numpy.random.Generator
        Used by the range finder only.

    Returns
    -------
    mean : array (band * y * x,)
    components : array (k, band * y * x)
        Orthonormal rows, largest variance first.
    variance : array (k,)
    total : float

    Raises
    ------
    NotComputableError
        If all images are the same.
    """
    n, n_pixels = source.shape[0], _n_pixels(source)
    mean = np.zeros(n_pixels)
    for rows, pixels in _blocks(source):
        mean += weights[rows] @ pixels
    view = _Centred(source, mean, np.sqrt(weights))
    total = float(sum((block**2).sum() for _, block in view.blocks()))
    if not np.isfinite(total):
        raise NotComputableError(
            "a pixel is not finite, so there are no principal components; mask it or leave "
            "the image out"
        )
    if total <= n_pixels * np.finfo(np.float32).eps ** 2 * max(float(mean @ mean), 1e-30):
        raise NotComputableError(
            "all images are the same, so there are no principal components; give images that vary"
        )
    if min(n, n_pixels) > EXACT:
        values, axes = _range_finder(view, n_pixels, dimension, rng)
    elif n <= n_pixels:
        values, axes = _from_images(view, n, n_pixels, dimension)
    else:
        values, axes = _from_pixels(view, n_pixels, dimension)
    kept = values > values[0] * 1e-10
    axes, values = axes[kept], values[kept]
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    return mean, axes * np.sign(largest)[:, None], values, total


@dataclass(frozen=True, slots=True, eq=False)
class _Centred:
    """Blocks of centred, weighted images as rows of a matrix that is never held whole."""

    source: ImageSource
    mean: Float64Array
    scale: Float64Array

    def blocks(self, start: int = 0) -> Iterator[tuple[slice, Float64Array]]:
        for rows, pixels in _blocks(self.source, start):
            yield rows, (pixels - self.mean) * self.scale[rows, None]


def _from_images(
    view: _Centred, n: int, n_pixels: int, dimension: int
) -> tuple[Float64Array, Float64Array]:
    gram = np.empty((n, n))
    for rows, block in view.blocks():
        for others, other in view.blocks(rows.start):
            gram[rows, others] = block @ other.T
            gram[others, rows] = gram[rows, others].T
    values, vectors = _leading(gram, dimension)
    axes = np.zeros((len(values), n_pixels))
    for rows, block in view.blocks():
        axes += vectors[rows].T @ block
    return values, axes / np.sqrt(values)[:, None]


def _from_pixels(
    view: _Centred, n_pixels: int, dimension: int
) -> tuple[Float64Array, Float64Array]:
    covariance = np.zeros((n_pixels, n_pixels))
    for _, block in view.blocks():
        covariance += block.T @ block
    values, vectors = _leading(covariance, dimension)
    return values, vectors.T


def _range_finder(
    view: _Centred, n_pixels: int, dimension: int, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    image = rng.standard_normal((n_pixels, dimension + 16))
    for _ in range(_POWER_ITERATIONS + 1):
        basis = np.linalg.qr(image).Q
        image = np.zeros_like(basis)
        for _, block in view.blocks():
            image += block.T @ (block @ basis)
    small = basis.T @ image
    values, vectors = _leading((small + small.T) / 2, dimension)
    return values, (basis @ vectors).T


def _leading(matrix: Float64Array, dimension: int) -> tuple[Float64Array, Float64Array]:
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1][:dimension], vectors[:, ::-1][:, :dimension]
    positive = values > values[0] * 1e-12
    return values[positive], vectors[:, positive]


def _n_pixels(source: ImageSource) -> int:
    return int(np.prod(source.shape[1:]))


def _blocks(source: ImageSource, start: int = 0) -> Iterator[tuple[slice, Float64Array]]:
    n = source.shape[0]
    for first in range(start, n, _BLOCK):
        rows = slice(first, min(first + _BLOCK, n))
        yield rows, source.read(rows).reshape(rows.stop - rows.start, -1).astype(np.float64)
