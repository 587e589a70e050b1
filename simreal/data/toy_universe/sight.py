"""A sight: from where, through which air and in which company a galaxy is seen."""

from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import Float64Array
from simreal.core.cards import Geometry
from simreal.core.seeding import stream
from simreal.data.toy_universe.options import Camera, ToyOptions
from simreal.data.toy_universe.population import Galaxy

_NEIGHBOUR_MAGNITUDES = (16.8, 22.0)
_STAR_MAGNITUDES = (16.0, 21.5)
_KEEP_OUT = 5.0  # [arcsec] around the galaxy, so that the target stays the target


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sight:
    """The conditions of one image.

    Parameters
    ----------
    inclination, position_angle : float
        [rad] 0 is face-on; the angle of the major axis.
    shift : (float, float)
        [arcsec] Offset of the galaxy from the centre of the stamp, less than a pixel.
    seeing : float
        [arcsec] Full width at half maximum of the PSF.
    sky_rms : float
        [nanomaggy / pixel] in the green band.
    neighbours : array (k, 7)
        Galaxies nearby: x, y [arcsec], magnitude, half-light radius [arcsec], axis ratio,
        position angle [rad], youth.
    stars : array (k, 4)
        x, y [arcsec], magnitude, youth (0 red, 1 blue).
    """

    inclination: float
    position_angle: float
    shift: tuple[float, float]
    seeing: float
    sky_rms: float
    neighbours: Float64Array
    stars: Float64Array


def sight_stream(seed: int, name: str, galaxy: int, view: int) -> np.random.Generator:
    """Return the random stream of one image: its sight, then its noise."""
    return stream(seed, "toy", name, "galaxy", str(galaxy), "view", str(view))


def draw_sight(
    options: ToyOptions, camera: Camera, *, geometry: Geometry, rng: np.random.Generator
) -> Sight:
    """Return the conditions of one image: orientation and weather independent of the galaxy."""
    # Random directions on the sphere are uniform in the cosine of the inclination.
    cosine = {"face-on": 1.0, "edge-on": 0.0}.get(geometry, rng.random())
    half_pixel = 0.5 * camera.pixel_scale
    return Sight(
        inclination=float(np.arccos(cosine)),
        position_angle=rng.uniform(0.0, np.pi),
        shift=(rng.uniform(-half_pixel, half_pixel), rng.uniform(-half_pixel, half_pixel)),
        seeing=options.seeing * float(np.exp(options.seeing_scatter * rng.standard_normal())),
        sky_rms=options.sky_rms * float(np.exp(options.sky_scatter * rng.standard_normal())),
        neighbours=_neighbours(options.neighbours, camera, rng),
        stars=_stars(options.stars, camera, rng),
    )


def apparent_axis_ratio(thickness: float, inclination: float) -> float:
    """Return the axis ratio of an oblate body (Hubble 1926, ApJ 64, 321).

    Examples
    --------
    >>> apparent_axis_ratio(0.2, 0.0)
    1.0
    >>> round(apparent_axis_ratio(0.2, np.pi / 2), 12)
    0.2
    """
    return float(np.hypot(np.cos(inclination), thickness * np.sin(inclination)))


def on_sky(galaxy: Galaxy, sight: Sight, points: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the sky offsets [arcsec] of points x, y, z in the frame of the disc.

    Parameters
    ----------
    points : array (k, 3 or more)
        In units of the galaxy's radius.
    """
    x, y, z = galaxy.radius * points[:, :3].T
    along, across = x, y * np.cos(sight.inclination) - z * np.sin(sight.inclination)
    cosine, sine = np.cos(sight.position_angle), np.sin(sight.position_angle)
    return along * cosine - across * sine, along * sine + across * cosine


def _positions(mean: float, camera: Camera, rng: np.random.Generator) -> Float64Array:
    """Draw a Poisson number of positions; a star just off the stamp still spills into it."""
    stamp = camera.stamp * camera.pixel_scale
    side = stamp + 6.0
    n = rng.poisson(mean * (side / stamp) ** 2)
    xy = rng.uniform(-0.5 * side, 0.5 * side, (n, 2))
    return np.asarray(xy[np.hypot(*xy.T) > _KEEP_OUT])


def _neighbours(mean: float, camera: Camera, rng: np.random.Generator) -> Float64Array:
    xy = _positions(mean, camera, rng)
    n = len(xy)
    bright, faint = _NEIGHBOUR_MAGNITUDES
    # Counts rise as 10**(0.4 m) between the limits.
    low, high = 10.0 ** (0.4 * bright), 10.0 ** (0.4 * faint)
    magnitude = 2.5 * np.log10(rng.uniform(low, high, n))
    radius = 1.6 * 10.0 ** (-0.12 * (magnitude - 18.0)) * np.exp(0.25 * rng.standard_normal(n))
    rest = [rng.uniform(0.3, 1.0, n), rng.uniform(0.0, np.pi, n), rng.random(n)]
    return np.column_stack([xy, magnitude, radius, *rest])


def _stars(mean: float, camera: Camera, rng: np.random.Generator) -> Float64Array:
    xy = _positions(mean, camera, rng)
    n = len(xy)
    return np.column_stack([xy, rng.uniform(*_STAR_MAGNITUDES, n), rng.random(n)])
