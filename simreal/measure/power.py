"""Azimuthal power spectra of sky."""

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array
from simreal.measure.sky import clipped_statistics

#: Pixels this far from the sky level belong to sources and are set to the level.
SOURCE_SIGMA = 4.0
CHUNK = 256


def azimuthal_power(stamps: Float32Array, *, bins: int = 9) -> tuple[Float64Array, Float64Array]:
    """Return the noise power of each stamp in annuli of spatial frequency.

    Sources are masked at 4 sigma and set to the sky level, because one star outweighs the
    noise of a whole set; a Hann window keeps the stamp's edges from leaking.

    Parameters
    ----------
    stamps : array (n, y, x)

    Returns
    -------
    frequency : array (bins,)
        Bin centres between 0.05 and 0.5 [cycle / pixel].
    power : array (n, bins)
        Normalised so that white noise of unit variance reads 1.

    Examples
    --------
    >>> rng = np.random.default_rng(2)
    >>> _, power = azimuthal_power(rng.normal(0, 2, (40, 64, 64)).astype("f4"))
    >>> bool(np.allclose(power.mean(0), 4, rtol=0.1))
    True
    """
    n, height, width = stamps.shape
    window = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    edges = np.linspace(0.05, 0.5, bins + 1)
    which = np.digitize(radius.ravel(), edges) - 1
    power = np.empty((n, bins))
    for start in range(0, n, CHUNK):
        rows = slice(start, min(start + CHUNK, n))
        flat = _windowed_power(stamps[rows], window)
        power[rows] = np.stack([flat[:, which == k].mean(1) for k in range(bins)], axis=1)
    return (edges[1:] + edges[:-1]) / 2, power


def _windowed_power(stamps: Float32Array, window: Float64Array) -> Float64Array:
    """Return the power of stamps without their sources ``(n, frequencies)``."""
    n = len(stamps)
    level, rms = clipped_statistics(stamps.reshape(n, -1))
    centred = stamps - level[:, None, None]
    centred = np.where(np.abs(centred) <= SOURCE_SIGMA * rms[:, None, None], centred, 0.0)
    spectrum = np.abs(np.fft.rfft2(centred * window)) ** 2 / (window**2).sum()
    return np.asarray(spectrum.reshape(n, -1))
