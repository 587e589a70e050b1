"""How the sources look: points and small discs under one PSF, in white noise of survey depth."""

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array
from simreal.core.seeding import stream
from simreal.data.toy_quasars.population import Sources

#: [arcsec / pixel] and the FWHM of the PSF [arcsec], the same in all bands: about that of the Dark
#: Energy Survey.
PIXEL_SCALE, SEEING = 0.263, 0.95
#: Magnitudes of ten times the noise in an aperture of 1.95 arcsec, g to y, and the aperture's
#: area (Abbott et al. 2021, ApJS 255, 20).
DEPTHS = np.array([24.7, 24.4, 23.8, 23.1, 21.7])
_APERTURE = np.pi * (1.95 / 2) ** 2
_NANOJANSKY = 31.4
_MOFFAT_BETA = 3.5
#: [pixel] Largest offset of a source from the centre, either way.
_OFFSET = 0.5


def noise_of_depth() -> Float64Array:
    """Return the noise per pixel ``(band,)`` [nJy] of the depths.

    Examples
    --------
    >>> noise_of_depth().round(1).tolist()
    [7.3, 9.6, 16.7, 31.8, 115.4]
    """
    pixels = _APERTURE / PIXEL_SCALE**2
    return np.asarray(flux_of(DEPTHS) / 10.0 / np.sqrt(pixels))


def flux_of(magnitude: Float64Array) -> Float64Array:
    """Return the flux [nJy] of AB magnitudes.

    Examples
    --------
    >>> float(flux_of(np.array(31.4)))
    1.0
    """
    return np.asarray(10.0 ** (-0.4 * (magnitude - _NANOJANSKY)))


def render(sources: Sources, rows: range, *, stamp: int, name: str, seed: int) -> Float32Array:
    """Return the images ``(k, band, y, x)`` [nJy / pixel] of some sources.

    Every source has its own random stream, so that which others are rendered changes nothing.
    """
    import galsim

    psf = galsim.Moffat(beta=_MOFFAT_BETA, fwhm=SEEING)
    noise = noise_of_depth()[:, None, None]
    images = np.empty((len(rows), len(noise), stamp, stamp), np.float32)
    for at, row in enumerate(rows):
        rng = stream(seed, "toy quasars", name, "image", str(row))
        offset = rng.uniform(-_OFFSET, _OFFSET, 2)
        light = psf
        if sources.radius[row] > 0.0:
            disc = galsim.Exponential(half_light_radius=sources.radius[row])
            disc = disc.shear(q=sources.axis_ratio[row], beta=sources.angle[row] * galsim.radians)
            light = galsim.Convolve(disc, psf)
        drawn = light.drawImage(nx=stamp, ny=stamp, scale=PIXEL_SCALE, offset=tuple(offset))
        flux = flux_of(sources.magnitudes[row])[:, None, None]
        white = rng.standard_normal((len(noise), stamp, stamp))
        images[at] = flux * drawn.array + noise * white
    return images
