"""Changes to both sides alike that no distance between galaxies should hang on.

A stretch, a pixel's shift, a turn, a crop, another kernel, fewer grey levels, another
compression: applied to every stamp of a comparison they may change a distance, but not which
of two sets is the nearer one.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array
from simreal.match.degrade import degrade

#: Knee of the asinh stretch and gain of the logarithmic one, in display values.
KNEE, GAIN = 0.1, 30.0
#: Part of the frame that is left by the crop.
CROP = 0.8
QUALITY, BITS = 80, 7

Kernel = Literal["linear", "cubic"]


def interpolation(
    n_in: int, *, centre: Float64Array, width: Float64Array, n_out: int, kernel: Kernel = "cubic"
) -> Float64Array:
    """Return the matrices that interpolate along one axis ``(m, n_out, n_in)``.

    Cubic is that of Keys (1981). Beyond the edge the last pixel is repeated.

    Parameters
    ----------
    n_in : int
    centre, width : arrays (m,)
        Of the frame [input pixel].
    n_out : int

    Examples
    --------
    >>> one = np.array([1.5])
    >>> matrix = interpolation(4, centre=one, width=np.array([4.0]), n_out=4)
    >>> bool(np.allclose(matrix[0], np.eye(4)))
    True
    """
    step = width / n_out
    at = (centre - width / 2)[:, None] + step[:, None] * (np.arange(n_out) + 0.5)
    first = np.floor(at).astype(np.int64)
    out = np.zeros((len(centre), n_out, n_in))
    rows = np.arange(len(centre))[:, None], np.arange(n_out)[None]
    for offset in (-1, 0, 1, 2):
        weight = _linear(at - first - offset) if kernel == "linear" else _cubic(at - first - offset)
        np.add.at(out, (*rows, np.clip(first + offset, 0, n_in - 1)), weight)
    return out


def _linear(x: Float64Array) -> Float64Array:
    return np.asarray(np.maximum(1.0 - np.abs(x), 0.0))


def _cubic(x: Float64Array) -> Float64Array:
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.asarray(np.where(x < 1, near, np.where(x < 2, far, 0.0)))


def zoomed(images: Float32Array, zoom: Float64Array, *, kernel: Kernel = "cubic") -> Float32Array:
    """Return images magnified about their middle, on the same number of pixels.

    Parameters
    ----------
    images : array (n, band, y, x)
    zoom : array (n,)
        1 or more: a smaller one would show what lies beyond the frame.
    """
    height, width = images.shape[2:]
    down, across = (
        interpolation(
            side, centre=np.full(len(images), (side - 1) / 2), width=side / zoom, n_out=side,
            kernel=kernel,
        ).astype(np.float32)[:, None]
        for side in (height, width)
    )  # fmt: skip
    return np.asarray(np.clip(down @ images @ across.swapaxes(-1, -2), 0.0, 1.0))


def _asinh(images: Float32Array) -> Float32Array:
    return np.asarray(np.arcsinh(images / KNEE) / np.arcsinh(1 / KNEE), dtype=np.float32)


def _log(images: Float32Array) -> Float32Array:
    return np.asarray(np.log1p(GAIN * images) / np.log1p(GAIN), dtype=np.float32)


def _recentred(images: Float32Array) -> Float32Array:
    """Move every stamp by one pixel along both axes, every other one the other way."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    out = np.empty_like(images)
    out[::2], out[1::2] = padded[::2, :, 2:, 2:], padded[1::2, :, :-2, :-2]
    return out


def _mirrored(images: Float32Array) -> Float32Array:
    return np.ascontiguousarray(images[..., ::-1])


def _turned(images: Float32Array) -> Float32Array:
    return np.ascontiguousarray(np.rot90(images, axes=(2, 3)))


def _cropped(kernel: Kernel) -> Callable[[Float32Array], Float32Array]:
    def crop(images: Float32Array) -> Float32Array:
        return zoomed(images, np.full(len(images), 1 / CROP), kernel=kernel)

    return crop


def _degraded(kind: str, severity: float) -> Callable[[Float32Array], Float32Array]:
    def change(images: Float32Array) -> Float32Array:
        # Neither kind draws random numbers.
        return degrade(images, kind, severity, rng=np.random.default_rng(0)).images

    return change


#: Every change by name.
TRANSFORMS: Mapping[str, Callable[[Float32Array], Float32Array]] = {
    "asinh stretch": _asinh,
    "logarithmic stretch": _log,
    "moved by one pixel": _recentred,
    "mirrored": _mirrored,
    "turned by 90 degrees": _turned,
    "cropped to 80 %, linear": _cropped("linear"),
    "cropped to 80 %, cubic": _cropped("cubic"),
    "7 bits": _degraded("quantisation", 8 - BITS),
    "JPEG 80": _degraded("jpeg", 100 - QUALITY),
}
