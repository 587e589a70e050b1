"""The population: who the galaxies are, before anybody looks at them.

Relations are simple on purpose, so that a test knows the answer: mass sets size and
star formation, star formation sets colour, knots and light per mass. Every galaxy has its
own random stream, so the first galaxies of a large sample are those of a small one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaincinv

from simreal.core.arrays import Float64Array
from simreal.core.seeding import stream
from simreal.data.toy_universe.options import ToyOptions

#: Selection of the survey: apparent magnitude, half-light radius [arcsec] and redshift.
MAGNITUDE_LIMITS = (14.6, 16.8)
RADIUS_LIMITS = (1.8, 3.9)
REDSHIFT_LIMITS = (0.015, 0.09)

_HUBBLE_DISTANCE = 299_792.458 / 70.0  # [Mpc]
_ARCSEC = np.pi / 648_000.0
_SUN_R = 4.65  # absolute AB magnitude in r


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassLaw:
    """How one morphological class is drawn; pairs are (mean, scatter) or (low, high).

    Parameters
    ----------
    log_mass : (mean, scatter) of log10 stellar mass [Msun]
    log_radius : (value at 10**10.5 Msun [kpc], slope, scatter) of log10 half-light radius
    log_sfr : (mean, scatter) of the offset [dex] from the star-forming sequence
    bulge_to_total, sersic, bulge_size, thickness : (low, high)
        Bulge flux fraction, bulge Sérsic index, bulge over disc half-light radius, and the
        intrinsic axis ratio of the main component seen edge-on.
    """

    log_mass: tuple[float, float]
    log_radius: tuple[float, float, float]
    log_sfr: tuple[float, float]
    bulge_to_total: tuple[float, float]
    sersic: tuple[float, float]
    bulge_size: tuple[float, float]
    thickness: tuple[float, float]


_EARLY, _LATE = (0.53, 0.55, 0.10), (0.68, 0.25, 0.11)
LAWS: Mapping[str, ClassLaw] = {
    "elliptical": ClassLaw(
        log_mass=(11.0, 0.25), log_radius=_EARLY, log_sfr=(-1.6, 0.3), bulge_to_total=(1.0, 1.0),
        sersic=(3.5, 5.0), bulge_size=(1.0, 1.0), thickness=(0.5, 0.95),
    ),
    "lenticular": ClassLaw(
        log_mass=(10.5, 0.3), log_radius=(0.60, 0.4, 0.10), log_sfr=(-1.1, 0.3),
        bulge_to_total=(0.2, 0.5), sersic=(1.5, 3.0), bulge_size=(0.25, 0.5),
        thickness=(0.18, 0.3),
    ),
    "spiral": ClassLaw(
        log_mass=(10.5, 0.3), log_radius=_LATE, log_sfr=(0.0, 0.25), bulge_to_total=(0.05, 0.3),
        sersic=(1.0, 2.5), bulge_size=(0.12, 0.3), thickness=(0.12, 0.22),
    ),
    "clumpy": ClassLaw(
        log_mass=(9.7, 0.25), log_radius=(0.85, 0.25, 0.10), log_sfr=(0.3, 0.2),
        bulge_to_total=(0.0, 0.0), sersic=(1.0, 1.0), bulge_size=(0.3, 0.3),
        thickness=(0.3, 0.5),
    ),
    "merger": ClassLaw(
        log_mass=(10.5, 0.3), log_radius=(0.70, 0.35, 0.11), log_sfr=(0.4, 0.3),
        bulge_to_total=(0.2, 0.5), sersic=(1.5, 3.0), bulge_size=(0.15, 0.35),
        thickness=(0.25, 0.5),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Galaxy:
    """One galaxy as it is, whatever the direction it is seen from.

    Parameters
    ----------
    morphology : str
        Class, a key of `LAWS`.
    log_mass, log_sfr : float
        log10 of stellar mass [Msun] and star-formation rate [Msun / yr].
    redshift : float
    radius : float
        [arcsec] Semi-major axis that holds half of the light, defects included.
    magnitude : float
        Apparent r magnitude, seen face-on.
    youth : float
        0 for an old population, 1 for a young one; from the specific star-formation rate.
    bulge_to_total, sersic : float
    bulge_radius, disc_radius : float
        [arcsec] Half-light radii of the components.
    bulge_thickness, thickness : float
        Intrinsic axis ratios, seen edge-on.
    arms : int
        Number of spiral arms, 0 for none.
    pitch, phase : float
        [rad] Pitch angle and orientation of arms and bar.
    arm_fraction, bar_fraction : float
        Shares of the disc's light.
    knots, tail : array (k, 5)
        Gaussians: position x, y, z in the frame of the disc and width [all in `radius`], and
        share of the total flux; young ones and those of the disc's own colour.
    companion : array (5,) or None
        Second nucleus: position x, y, z, half-light radius [all in `radius`], share of flux.
    """

    morphology: str
    log_mass: float
    log_sfr: float
    redshift: float
    radius: float
    magnitude: float
    youth: float
    bulge_to_total: float
    sersic: float
    bulge_radius: float
    disc_radius: float
    bulge_thickness: float
    thickness: float
    arms: int
    pitch: float
    phase: float
    arm_fraction: float
    bar_fraction: float
    knots: Float64Array
    tail: Float64Array
    companion: Float64Array | None


def draw_population(options: ToyOptions, *, name: str, seed: int) -> list[Galaxy]:
    """Return the galaxies of a collection.

    Parameters
    ----------
    options : ToyOptions
    name : str
        Random stream of the collection.
    seed : int
        Seed of the run.

    Examples
    --------
    >>> few = draw_population(ToyOptions(n_galaxies=2), name="survey", seed=1)
    >>> more = draw_population(ToyOptions(n_galaxies=3), name="survey", seed=1)
    >>> few[1].radius == more[1].radius
    True
    """
    return [
        draw_galaxy(options, rng=stream(seed, "toy", name, "galaxy", str(i)))
        for i in range(options.n_galaxies)
    ]


def draw_galaxy(options: ToyOptions, *, rng: np.random.Generator) -> Galaxy:
    """Return one galaxy that the survey would select, with the planted defects."""
    fractions = options.class_fractions()
    morphology = str(rng.choice(list(fractions), p=list(fractions.values())))
    law = LAWS[morphology]
    log_mass, log_sfr, redshift, radius, magnitude = _selected(law, rng)
    bulge_to_total = rng.uniform(*law.bulge_to_total)
    # A grid of indices lets GalSim reuse its tables.
    sersic = round(2.0 * rng.uniform(*law.sersic)) / 2.0
    bulge_size = rng.uniform(*law.bulge_size)
    radius *= options.size_factor
    disc_radius = radius / composite_radius(bulge_to_total, sersic, bulge_size)
    thickness = rng.uniform(*law.thickness)
    youth = youth_of(log_mass, log_sfr)
    arms, pitch, phase = _arm_shape(morphology, rng)
    barred = morphology == "spiral" and rng.random() < 0.4
    return Galaxy(
        morphology=morphology,
        log_mass=log_mass,
        log_sfr=log_sfr,
        redshift=redshift,
        radius=radius,
        magnitude=magnitude,
        youth=youth,
        bulge_to_total=bulge_to_total,
        sersic=sersic,
        bulge_radius=bulge_size * disc_radius,
        disc_radius=disc_radius,
        bulge_thickness=thickness if morphology == "elliptical" else rng.uniform(0.6, 0.85),
        thickness=thickness,
        arms=arms,
        pitch=pitch,
        phase=phase,
        arm_fraction=rng.uniform(0.45, 0.7) if arms else 0.0,
        bar_fraction=rng.uniform(0.1, 0.2) if barred else 0.0,
        knots=_knots(morphology, youth, (arms, pitch, phase), disc_radius / radius, rng),
        tail=_tail(rng) if morphology == "merger" else np.zeros((0, 5)),
        companion=_companion(rng) if morphology == "merger" else None,
    )


def youth_of(log_mass: float, log_sfr: float) -> float:
    """Return the youth in [0, 1] that belongs to a specific star-formation rate.

    Examples
    --------
    >>> youth_of(10.5, -2.0), youth_of(9.5, 0.5)
    (0.0, 1.0)
    """
    return float(np.clip((log_sfr - log_mass + 12.0) / 2.4, 0.0, 1.0))


def composite_radius(bulge_to_total: float, sersic: float, bulge_size: float) -> float:
    """Return the half-light radius of bulge and exponential disc, in that of the disc.

    The light inside r is a sum of incomplete gamma functions (Graham & Driver 2005, PASA 22,
    118), which bisection inverts.

    Parameters
    ----------
    bulge_to_total, sersic : float
        Flux fraction and Sérsic index of the bulge.
    bulge_size : float
        Half-light radius of the bulge over that of the disc.

    Examples
    --------
    >>> round(composite_radius(0.0, 4.0, 0.3), 6), round(composite_radius(1.0, 4.0, 0.3), 6)
    (1.0, 0.3)
    """
    if bulge_to_total == 0.0 or bulge_size == 1.0 == bulge_to_total:
        return 1.0
    disc_scale, bulge_scale = gammaincinv(2.0, 0.5), gammaincinv(2.0 * sersic, 0.5)
    low, high = min(bulge_size, 1.0), max(bulge_size, 1.0)
    for _ in range(40):
        middle = 0.5 * (low + high)
        bulge = gammainc(2.0 * sersic, bulge_scale * (middle / bulge_size) ** (1.0 / sersic))
        disc = gammainc(2.0, disc_scale * middle)
        if bulge_to_total * bulge + (1.0 - bulge_to_total) * disc < 0.5:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def _selected(law: ClassLaw, rng: np.random.Generator) -> tuple[float, float, float, float, float]:
    """Draw mass, star formation and redshift until the survey would take the galaxy."""
    for _ in range(2000):
        log_mass = rng.normal(*law.log_mass)
        log_sfr = 0.8 * (log_mass - 10.5) + 0.35 + rng.normal(*law.log_sfr)
        # uniform in volume
        redshift = REDSHIFT_LIMITS[1] * rng.random() ** (1.0 / 3.0)
        at_pivot, slope, scatter = law.log_radius
        log_radius = at_pivot + slope * (log_mass - 10.5) + scatter * rng.standard_normal()
        distance = _HUBBLE_DISTANCE * redshift  # [Mpc], a low-redshift universe
        radius = 10.0**log_radius * 1e-3 * (1.0 + redshift) / distance / _ARCSEC
        log_light = log_mass - mass_to_light(youth_of(log_mass, log_sfr))
        magnitude = _SUN_R - 2.5 * log_light + 25.0 + 5.0 * np.log10(distance)
        inside = (
            MAGNITUDE_LIMITS[0] <= magnitude <= MAGNITUDE_LIMITS[1]
            and RADIUS_LIMITS[0] <= radius <= RADIUS_LIMITS[1]
            and redshift >= REDSHIFT_LIMITS[0]
        )
        if inside:
            return float(log_mass), float(log_sfr), float(redshift), float(radius), float(magnitude)
    raise AssertionError("the survey's limits leave a class almost empty")


def mass_to_light(youth: float) -> float:
    """Return log10 of the r-band mass-to-light ratio [Msun / Lsun] of a population."""
    return 0.45 - 0.65 * youth


def _arm_shape(morphology: str, rng: np.random.Generator) -> tuple[int, float, float]:
    arms = int(rng.choice([2, 3, 4], p=[0.65, 0.15, 0.2]))
    pitch = np.deg2rad(rng.uniform(13.0, 28.0)) * rng.choice([-1.0, 1.0])
    phase = rng.uniform(0.0, 2.0 * np.pi)
    return (arms if morphology == "spiral" else 0), float(pitch), float(phase)


def _knots(
    morphology: str,
    youth: float,
    shape: tuple[int, float, float],
    disc: float,
    rng: np.random.Generator,
) -> Float64Array:
    """Draw star-forming knots; `disc` is the disc's half-light radius in the galaxy's."""
    number = {"spiral": 45, "merger": 14, "clumpy": 12}.get(morphology, 0) * youth
    n = int(rng.poisson(number))
    if n == 0:
        return np.zeros((0, 5))
    arms, pitch, phase = shape
    radius = rng.gamma(2.0, disc / 1.678, n).clip(0.1, 3.0)
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    if arms:
        radius = radius.clip(0.35, 3.0)
        arm = rng.integers(arms, size=n) * 2.0 * np.pi / arms
        angle = arm + spiral_angle(radius / disc, pitch, phase) + rng.normal(0.0, 0.12, n)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    height = rng.normal(0.0, 0.05, n)
    width = rng.uniform(0.03, 0.09, n)
    share = 0.16 * youth
    if morphology == "clumpy":
        x = x + rng.normal(0.0, 0.3)  # all to one side: irregulars are lopsided
        height, width = 4.0 * height, rng.uniform(0.10, 0.24, n)
        share = rng.uniform(0.5, 0.7)
    weight = rng.random(n) ** -0.6  # a few bright ones, many faint ones
    return np.column_stack([x, y, height, width, share * weight / weight.sum()])


def spiral_angle(radius: Float64Array, pitch: float, phase: float) -> Float64Array:
    """Return the angle [rad] of a logarithmic spiral at a radius in disc half-light radii.

    Examples
    --------
    >>> float(spiral_angle(np.array(1.0), 0.3, 0.5))
    0.5
    """
    return np.asarray(phase + np.log(radius) / np.tan(pitch), dtype=np.float64)


def _companion(rng: np.random.Generator) -> Float64Array:
    angle, separation = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.9, 1.9)
    height = rng.normal(0.0, 0.4)
    size, share = rng.uniform(0.2, 0.45), rng.uniform(0.15, 0.4)
    x, y = separation * np.cos(angle), separation * np.sin(angle)
    return np.array([x, y, height, size, share])


def _tail(rng: np.random.Generator) -> Float64Array:
    """Draw a tidal tail: soft Gaussians along an opening arc."""
    n = 24
    along = np.linspace(0.0, 1.0, n)
    radius = 0.9 + along * rng.uniform(1.0, 2.0)
    turn = rng.uniform(1.0, 2.5) * rng.choice([-1.0, 1.0])
    angle = rng.uniform(0.0, 2.0 * np.pi) + turn * along
    share = rng.uniform(0.08, 0.16) * (1.1 - along)
    return np.column_stack(
        [
            radius * np.cos(angle),
            radius * np.sin(angle),
            rng.normal(0.0, 0.1, n),
            0.14 + 0.14 * along,
            share / (1.1 - along).sum(),
        ]
    )
