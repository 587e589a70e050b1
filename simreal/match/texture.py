"""How sky noise looks through light: the display mapping treats it differently there.

A composite that cuts its sky at black shows half of the noise on empty sky and all of it on
a galaxy's outskirts, and an arcsinh stretch shows less of it the brighter the pixel. Sky
that is simply added to a simulated galaxy lacks both, and the texture on the galaxy then
tells the sides apart.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from simreal.core.arrays import Float32Array, Float64Array
from simreal.measure.sky import clipped_statistics

#: Brightness above sky, in units of the sky rms, at which the relation is measured.
BRIGHTNESS_EDGES = np.array(
    [0.5, 1.0, 1.5, 2.2, 3.3, 5.0, 7.5, 11.0, 16.0, 25.0, 40.0, 60.0, 90.0, 150.0]
)
#: A bin with fewer pixels takes its neighbour's value.
FEWEST_PIXELS = 400
#: Noise beyond this many sigma is a neighbour's light.
NOISE_SIGMA = 4.5
DETAIL_SIGMA = 8.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoiseCurve:
    """Noise on a galaxy's light over noise on empty sky, as the survey shows it.

    Parameters
    ----------
    brightness : array (k,)
        Luminance above sky in units of the luminance's sky rms, ascending from 0.
    ratio : array (band, k)
        1 on empty sky.
    """

    brightness: Float64Array
    ratio: Float64Array

    def at(self, brightness: Float64Array) -> Float64Array:
        """Return the ratio ``(n, band, y, x)`` at a brightness ``(n, y, x)``."""
        # Interpolated in the logarithm: the relation spans three decades of brightness.
        x = np.log1p(np.maximum(brightness, 0.0))
        known = np.log1p(self.brightness)
        return np.stack([np.interp(x, known, band) for band in self.ratio], axis=1)


def fine_detail(stamps: Float32Array) -> Float32Array:
    """Return second differences along both axes, scaled so that white noise keeps its rms.

    A galaxy is smooth on the scale of a pixel and drops out; noise does not (Immerkaer
    1996). Correlated noise reads less than its rms.

    Parameters
    ----------
    stamps : array (..., y, x)

    Returns
    -------
    array (..., y - 2, x - 2)

    Examples
    --------
    >>> ramp = np.add.outer(np.arange(5.0), np.arange(5.0))
    >>> float(np.abs(fine_detail(ramp)).max())
    0.0
    """
    rows = stamps[..., :-2, :] - 2 * stamps[..., 1:-1, :] + stamps[..., 2:, :]
    both = rows[..., :-2] - 2 * rows[..., 1:-1] + rows[..., 2:]
    return np.asarray(both / 6.0)  # the squared weights sum to 36


def noise_curve(stamps: Float32Array, sky: Float32Array) -> NoiseCurve:
    """Measure the relation on observed stamps, before they are encoded.

    Parameters
    ----------
    stamps : array (n, band, y, x)
        Observed galaxies on the common frame.
    sky : array (n, band, y, x)
        Empty sky of the same frames.
    """
    n, bands = stamps.shape[:2]
    level, rms = clipped_statistics(sky.mean(1).reshape(n, -1))
    luminance = uniform_filter(stamps.mean(1), size=(0, 5, 5), mode="nearest")[:, 1:-1, 1:-1]
    brightness = (luminance - level[:, None, None]) / np.maximum(rms, 1e-6)[:, None, None]
    which = np.digitize(brightness, BRIGHTNESS_EDGES)
    empty = fine_detail(sky)
    base = np.maximum(clipped_statistics(empty.reshape(n, bands, -1))[1], 1e-6)[:, :, None, None]
    # Squares, limited: clipped sky is half zeros, so that its median says little, and a star's
    # edge would dominate a plain rms.
    square = np.minimum(np.abs(fine_detail(stamps)) / base, DETAIL_SIGMA) ** 2
    reference = (np.minimum(np.abs(empty) / base, DETAIL_SIGMA) ** 2).mean((0, 2, 3))
    centres = np.concatenate([[0.0], np.sqrt(BRIGHTNESS_EDGES[1:] * BRIGHTNESS_EDGES[:-1])])
    ratio = np.ones((bands, len(centres)))
    for k in range(1, len(centres)):
        inside = which == k
        if inside.sum() < FEWEST_PIXELS:
            ratio[:, k] = ratio[:, k - 1]
            continue
        for band in range(bands):
            ratio[band, k] = np.sqrt(square[:, band][inside].mean() / reference[band])
    return NoiseCurve(brightness=centres, ratio=ratio)


def on_sky(
    light: Float32Array, sky: Float32Array, curve: NoiseCurve, rng: np.random.Generator
) -> Float32Array:
    """Return simulated light on real sky, with the sky's noise as it shows through light.

    Where the survey shows more noise than on empty sky, differences of shifted copies of
    the same sky, sources cut out, are added: real noise with the donor's own correlation,
    symmetric about zero. Where it shows less, the sky's noise is scaled down.

    Parameters
    ----------
    light : array (n, band, y, x)
        Simulated galaxies, background removed, PSF and frame applied.
    sky : array (n, band, y, x)
        One donor's sky for each.
    curve : NoiseCurve
    """
    n, bands, height, width = sky.shape
    _, luminance_rms = clipped_statistics(sky.mean(1).reshape(n, -1))
    level, rms = clipped_statistics(sky.reshape(n, bands, -1))
    noise = sky - level[..., None, None]
    limit = NOISE_SIGMA * rms[..., None, None]
    sourceless = np.where(np.abs(noise) <= limit, noise, 0.0)
    ratio = curve.at(light.mean(1) / np.maximum(luminance_rms, 1e-6)[:, None, None])
    out = light + sky + np.minimum(ratio - 1.0, 0.0) * np.clip(noise, -limit, limit)
    extra = np.sqrt(np.maximum(ratio**2 - 1.0, 0.0) / 2.0)
    shift = rng.integers((height // 4, width // 4), (3 * height // 4, 3 * width // 4))
    one = np.roll(sourceless, shift, axis=(-2, -1))
    # Mirrored, the second copy is independent of the first wherever they are shifted to.
    other = np.roll(sourceless[..., ::-1, :], -shift, axis=(-2, -1))
    return np.asarray(out + extra * (one - other), dtype=np.float32)
