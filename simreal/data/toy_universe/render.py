"""Rendering: a galaxy and a sight become flux on pixels, before noise and display.

Everything is added up in Fourier space on a periodic canvas. GalSim gives the transforms of
bulges, discs, neighbours and the PSF; knots and stars are Gaussians, whose transform is
known; the arm pattern is painted and transformed. One inverse transform per band ends it.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from simreal.core.arrays import Float32Array, Float64Array
from simreal.data.toy_universe.options import Camera
from simreal.data.toy_universe.population import Galaxy, spiral_angle
from simreal.data.toy_universe.sight import Sight, apparent_axis_ratio, on_sky

Spectrum = npt.NDArray[np.complex64]

#: Flux in red, green and blue (SDSS i, r, g) of a population, per flux in green.
OLD_COLOUR = np.array([1.42, 1.0, 0.50])
YOUNG_COLOUR = np.array([1.05, 1.0, 0.95])
KNOT_COLOUR = np.array([0.95, 1.0, 1.15])

#: Face-on to edge-on extinction of a fully young disc [mag per dex of axis ratio].
EXTINCTION = np.array([0.45, 0.60, 0.85])

ZERO_POINT = 22.5  # AB magnitude of one nanomaggy
_TRUNCATION = 7.0  # half-light radii; beyond, light would come round the canvas
_MOFFAT_BETA = 3.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """The periodic canvas and its wavenumbers [rad / arcsec]."""

    n: int
    scale: float
    kx: Float64Array
    ky: Float64Array
    pixel: Float32Array
    x: Float32Array
    y: Float32Array


@functools.lru_cache(maxsize=8)
def grid_of(camera: Camera) -> Grid:
    """Return the canvas of a camera; the centre of the sky is its corner."""
    n, scale = camera.canvas, camera.pixel_scale
    kx = 2.0 * np.pi * scipy.fft.rfftfreq(n, scale)
    ky = 2.0 * np.pi * scipy.fft.fftfreq(n, scale)
    pixel = np.outer(np.sinc(ky * scale / (2 * np.pi)), np.sinc(kx * scale / (2 * np.pi)))
    offset = scipy.fft.fftfreq(n, 1.0 / (n * scale)).astype(np.float32)
    x, y = np.meshgrid(offset, offset)
    return Grid(n=n, scale=scale, kx=kx, ky=ky, pixel=pixel.astype(np.float32), x=x, y=y)


def render(
    galaxy: Galaxy, sight: Sight, camera: Camera, *, psf: str, colour_offset: float
) -> Float32Array:
    """Return the noiseless image ``(band, y, x)`` [nanomaggy / pixel] in red, green and blue.

    Parameters
    ----------
    galaxy : Galaxy
    sight : Sight
    camera : Camera
    psf : {"moffat", "kolmogorov", "gaussian"}
    colour_offset : float
        [mag] Reddening of the galaxy, but not of its neighbours, in blue minus red.
    """
    grid = grid_of(camera)
    reddening = 10.0 ** (0.2 * colour_offset * np.array([1.0, 0.0, -1.0]))
    target = galaxy_spectrum(galaxy, sight, grid) * _per_band(reddening)
    # The centre of an even stamp lies between pixels.
    half = 0.5 * camera.pixel_scale
    target *= _phase(grid, sight.shift[0] - half, sight.shift[1] - half)
    spectrum = target + _company(sight, grid) * _phase(grid, -half, -half)
    spectrum *= grid.pixel * psf_spectrum(psf, sight.seeing, grid)
    canvas = scipy.fft.irfft2(spectrum, s=(grid.n, grid.n))
    inside = np.arange(-(camera.stamp // 2), camera.stamp // 2)
    return np.ascontiguousarray(canvas[:, inside[:, None], inside[None, :]], dtype=np.float32)


def galaxy_spectrum(galaxy: Galaxy, sight: Sight, grid: Grid) -> Spectrum:
    """Return the transform ``(band, ky, kx)`` of a galaxy centred on the corner."""
    flux = 10.0 ** (-0.4 * (galaxy.magnitude - ZERO_POINT))
    second = 0.0 if galaxy.companion is None else galaxy.companion[4]
    smooth = flux * float(1.0 - galaxy.knots[:, 4].sum() - galaxy.tail[:, 4].sum() - second)
    bulge_colour = mix_colour(0.6 * galaxy.youth - 0.2)
    disc_colour = _per_band(mix_colour(galaxy.youth) * dust(galaxy, sight))
    total = np.zeros((3, grid.n, grid.n // 2 + 1), dtype=np.complex64)
    if galaxy.bulge_to_total > 0.0:
        bulge = _bulge(galaxy, sight, grid) * np.complex64(smooth * galaxy.bulge_to_total)
        total += bulge * _per_band(bulge_colour)
    if galaxy.bulge_to_total < 1.0:
        disc_flux = smooth * (1.0 - galaxy.bulge_to_total)
        total += _disc(galaxy, sight, grid) * np.complex64(disc_flux) * disc_colour
    if galaxy.bar_fraction > 0.0:
        bar = _painted(paint_bar(galaxy, sight, grid))
        bar *= np.complex64(smooth * (1.0 - galaxy.bulge_to_total) * galaxy.bar_fraction)
        total += bar * _per_band(bulge_colour)
    for gaussians, colour in ((galaxy.knots, KNOT_COLOUR), (galaxy.tail, disc_colour.ravel())):
        if len(gaussians):
            total += _gaussians(galaxy, sight, gaussians, grid) * _per_band(flux * colour)
    if galaxy.companion is not None:
        second_nucleus = _companion(galaxy, sight, galaxy.companion, grid)
        total += second_nucleus * _per_band(flux * bulge_colour)
    return total


def mix_colour(youth: float) -> Float64Array:
    """Return the flux in red, green and blue of a population, per flux in green.

    Examples
    --------
    >>> bool(np.allclose(mix_colour(0.0), OLD_COLOUR))
    True
    """
    share = min(max(youth, 0.0), 1.0)
    return (1.0 - share) * OLD_COLOUR + share * YOUNG_COLOUR


def dust(galaxy: Galaxy, sight: Sight) -> Float64Array:
    """Return the transmission of the disc in red, green and blue; 1 seen face-on."""
    ratio = apparent_axis_ratio(galaxy.thickness, sight.inclination)
    return np.asarray(10.0 ** (0.4 * EXTINCTION * galaxy.youth * np.log10(ratio)))


def psf_spectrum(shape: str, seeing: float, grid: Grid) -> Float32Array:
    """Return the transform of the PSF ``(ky, kx)``, 1 at the origin."""
    import galsim

    makers: dict[str, Any] = {
        "moffat": functools.partial(galsim.Moffat, beta=_MOFFAT_BETA),
        "kolmogorov": galsim.Kolmogorov,
        "gaussian": galsim.Gaussian,
    }
    return np.ascontiguousarray(_transform(makers[shape](fwhm=seeing), grid).real)


def paint_arms(galaxy: Galaxy, sight: Sight, grid: Grid) -> Float32Array:
    """Return the arm pattern ``(y, x)`` on the sky, summing to 1: a disc in log spirals."""
    u, v = _face_on(galaxy, sight, grid)
    radius = np.hypot(u, v) / np.float32(galaxy.disc_radius) + np.float32(1e-3)
    crest = spiral_angle(radius, galaxy.pitch, galaxy.phase).astype(np.float32)
    wave = np.float32(0.5) + np.float32(0.5) * np.cos(galaxy.arms * (np.arctan2(v, u) - crest))
    inner = -np.expm1(-((radius / np.float32(0.45)) ** 3))
    pattern = np.exp(np.float32(-1.3) * radius) * inner * wave**3
    return np.asarray(pattern / pattern.sum(), dtype=np.float32)


def paint_bar(galaxy: Galaxy, sight: Sight, grid: Grid) -> Float32Array:
    """Return a bar ``(y, x)`` on the sky, summing to 1; it ends where the arms begin."""
    u, v = _face_on(galaxy, sight, grid)
    # The arms pass this radius at this angle.
    length = 0.55 * galaxy.disc_radius
    angle = float(spiral_angle(np.array(0.55), galaxy.pitch, galaxy.phase))
    along = (u * np.cos(angle) + v * np.sin(angle)) / np.float32(length)
    across = (v * np.cos(angle) - u * np.sin(angle)) / np.float32(0.28 * length)
    bar = np.exp(-((along**2 + across**2) ** np.float32(1.3)))
    return np.asarray(bar / bar.sum(), dtype=np.float32)


def _face_on(galaxy: Galaxy, sight: Sight, grid: Grid) -> tuple[Float32Array, Float32Array]:
    """Return where in the disc [arcsec] each pixel of the sky lies."""
    cosine, sine = (f(sight.position_angle).astype(np.float32) for f in (np.cos, np.sin))
    ratio = np.float32(apparent_axis_ratio(galaxy.thickness, sight.inclination))
    return grid.x * cosine + grid.y * sine, (grid.y * cosine - grid.x * sine) / ratio


def _bulge(galaxy: Galaxy, sight: Sight, grid: Grid) -> Spectrum:
    ratio = apparent_axis_ratio(galaxy.bulge_thickness, sight.inclination)
    profile = _sersic(galaxy.sersic, galaxy.bulge_radius, ratio)
    return _transform(_turned(profile, ratio, sight.position_angle), grid)


def _disc(galaxy: Galaxy, sight: Sight, grid: Grid) -> Spectrum:
    """Return the smooth disc and its arms; their fluxes sum to 1 less the bar."""
    import galsim

    ratio = apparent_axis_ratio(galaxy.thickness, sight.inclination)
    profile = galsim.Exponential(half_light_radius=galaxy.disc_radius * np.sqrt(ratio))
    arms = galaxy.arm_fraction * (1.0 - galaxy.bar_fraction)
    disc = _transform(_turned(profile, ratio, sight.position_angle), grid)
    disc *= np.float32(1.0 - galaxy.bar_fraction - arms)
    if arms:
        disc += _painted(paint_arms(galaxy, sight, grid)) * np.float32(arms)
    return disc


def _companion(galaxy: Galaxy, sight: Sight, row: Float64Array, grid: Grid) -> Spectrum:
    dx, dy = on_sky(galaxy, sight, row[None])
    size, share = row[3:]
    nucleus = _transform(_sersic(2.0, size * galaxy.radius, 1.0), grid)
    return nucleus * _phase(grid, float(dx[0]), float(dy[0])) * np.float32(share)


def _company(sight: Sight, grid: Grid) -> Spectrum:
    """Return the transform ``(band, ky, kx)`` of neighbours and stars."""
    import galsim

    total = np.zeros((3, grid.n, grid.n // 2 + 1), dtype=np.complex64)
    for x, y, magnitude, radius, ratio, angle, youth in sight.neighbours:
        profile = galsim.Exponential(half_light_radius=radius * np.sqrt(ratio))
        one = _transform(_turned(profile, ratio, angle), grid) * _phase(grid, x, y)
        total += one * _per_band(10.0 ** (-0.4 * (magnitude - ZERO_POINT)) * mix_colour(youth))
    for x, y, magnitude, youth in sight.stars:
        colour = (1.0 - youth) * OLD_COLOUR + youth * KNOT_COLOUR
        total += _phase(grid, x, y) * _per_band(10.0 ** (-0.4 * (magnitude - ZERO_POINT)) * colour)
    return total


def _sersic(index: float, radius: float, ratio: float) -> Any:
    import galsim

    size = radius * np.sqrt(ratio)
    return galsim.Sersic(index, half_light_radius=size, trunc=_TRUNCATION * size)


def _turned(profile: Any, ratio: float, angle: float) -> Any:
    import galsim

    return profile if ratio == 1.0 else profile.shear(q=ratio, beta=angle * galsim.radians)


def _transform(profile: Any, grid: Grid) -> Spectrum:
    """Return GalSim's transform of a profile of unit flux, in the layout of rfft2."""
    import galsim

    half = grid.n // 2
    plane = galsim.ImageCF(galsim.BoundsI(0, half, -half, half - 1))
    step = 2.0 * np.pi / (grid.n * grid.scale)
    profile.drawKImage(plane, scale=step, recenter=False)
    return np.roll(plane.array, half, axis=0)


def _painted(pattern: Float32Array) -> Spectrum:
    return np.asarray(scipy.fft.rfft2(pattern), dtype=np.complex64)


def _gaussians(galaxy: Galaxy, sight: Sight, table: Float64Array, grid: Grid) -> Spectrum:
    """Return the transform of many Gaussians: separable, so one matrix product."""
    x, y = on_sky(galaxy, sight, table)
    width, share = galaxy.radius * table[:, 3], table[:, 4]
    rows = np.exp(-0.5 * np.outer(grid.ky**2, width**2) - 1j * np.outer(grid.ky, y)) * share
    columns = np.exp(-0.5 * np.outer(width**2, grid.kx**2) - 1j * np.outer(x, grid.kx))
    return np.asarray(rows.astype(np.complex64) @ columns.astype(np.complex64))


def _phase(grid: Grid, x: float, y: float) -> Spectrum:
    rows, columns = np.exp(-1j * grid.ky * y), np.exp(-1j * grid.kx * x)
    return np.outer(rows.astype(np.complex64), columns.astype(np.complex64))


def _per_band(values: Float64Array) -> Float32Array:
    return np.asarray(values, dtype=np.float32)[:, None, None]
