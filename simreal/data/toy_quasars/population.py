"""Who is in the collection: rare quasars, brown dwarfs and galaxies at redshift one, by colour.

A search for quasars at redshift six starts from sources that are red in i - z. Brown dwarfs and
old galaxies outnumber the quasars among them by far. Quasar colours are worked out from a power
law with a Lyman alpha line behind an absorbing intergalactic medium; those of dwarfs and galaxies
are smooth sequences laid roughly along the published loci, not fits to them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import AnyArray, Float64Array
from simreal.core.errors import UsageError
from simreal.core.seeding import stream

#: In the order of the planes.
BANDS = ("des-g", "des-r", "des-i", "des-z", "des-y")
#: [nm] Edges of the bands, as boxes.
EDGES = np.array([(400, 550), (570, 715), (700, 855), (850, 1000), (950, 1065)], dtype=np.float64)

QUASAR, DWARF, GALAXY = "quasar", "brown dwarf", "galaxy"

#: Magnitudes in z, flat.
MAGNITUDES = (18.0, 20.0)
QUASAR_REDSHIFTS, GALAXY_REDSHIFTS = (5.9, 6.3), (0.8, 1.2)
#: [arcsec] Half-light radii of the galaxies, flat in the logarithm.
RADII = (0.35, 0.9)

#: f_nu ~ nu^slope of quasars, mean and scatter (Vanden Berk et al. 2001, AJ 122, 549).
SLOPE = (-0.44, 0.15)
#: log10 of the rest-frame equivalent width [Angstrom] of Lyman alpha with N V, mean and
#: scatter (Bañados et al. 2016, ApJS 227, 11).
LINE = (1.542, 0.39)
_LYMAN_ALPHA, _LYMAN_BETA, _LYMAN_LIMIT, _LINE_WIDTH = 121.567, 102.572, 91.2, 2.5

#: g - r, r - i, i - z, z - y of L0, L9 and T8 dwarfs, roughly (Skrzypek et al. 2015, A&A 574,
#: A78; Carnero Rosell et al. 2019, MNRAS 489, 5301), and scatter.
_DWARFS = np.array([(1.9, 2.2, 1.3, 0.45), (1.9, 2.3, 2.0, 0.65), (1.8, 2.2, 3.4, 1.10)])
_DWARF_SCATTER = 0.07
#: The same of an old and a young population at redshift one, roughly (Coleman, Wu and Weedman
#: 1980, ApJS 43, 393), their change with redshift, and scatter.
_OLD, _YOUNG = np.array([1.6, 1.15, 0.85, 0.22]), np.array([0.5, 0.55, 0.35, 0.08])
_PER_REDSHIFT = np.array([-0.3, -0.1, 0.6, 0.2])
_GALAXY_SCATTER = 0.07

#: L0 to T8.
_TYPES = tuple(f"L{i}" for i in range(10)) + tuple(f"T{i}" for i in range(9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How many objects there are, and of what.

    Parameters
    ----------
    n_objects : int
    quasars, brown_dwarfs : float
        Shares; the rest are galaxies. Numbers are exact, not drawn.

    Raises
    ------
    UsageError
        If a number is outside what is allowed.

    Examples
    --------
    >>> Shares().counts()
    {'quasar': 40, 'brown dwarf': 560, 'galaxy': 1400}
    """

    n_objects: int = 2000
    quasars: float = 0.02
    brown_dwarfs: float = 0.28

    def __post_init__(self) -> None:
        if not 1 <= self.n_objects <= 1_000_000:
            raise UsageError(f"n_objects: got {self.n_objects}, allowed is 1 to 1000000")
        for name in ("quasars", "brown_dwarfs"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name}: got {getattr(self, name)}, allowed is 0 to 1")
        if self.quasars + self.brown_dwarfs > 1.0:
            raise UsageError(
                f"quasars and brown_dwarfs: got {self.quasars} and {self.brown_dwarfs}, allowed "
                "is 1 or less together"
            )

    def counts(self) -> dict[str, int]:
        """Return the number of objects of each class."""
        quasars, dwarfs = (round(self.n_objects * x) for x in (self.quasars, self.brown_dwarfs))
        dwarfs = min(dwarfs, self.n_objects - quasars)
        return {QUASAR: quasars, DWARF: dwarfs, GALAXY: self.n_objects - quasars - dwarfs}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sources:
    """The sources in random order.

    Parameters
    ----------
    kind : array of str (n,)
    magnitudes : array (n, band)
        AB.
    redshift : array (n,)
        NaN for dwarfs.
    spectral_type : array of str (n,)
        Of dwarfs, empty for others.
    radius : array (n,)
        [arcsec] Half-light radius along the major axis; 0 for points.
    axis_ratio, angle : array (n,)
        [-], [rad]
    """

    kind: AnyArray
    magnitudes: Float64Array
    redshift: Float64Array
    spectral_type: AnyArray
    radius: Float64Array
    axis_ratio: Float64Array
    angle: Float64Array

    def __len__(self) -> int:
        return len(self.kind)


def draw_sources(shares: Shares, *, name: str, seed: int) -> Sources:
    """Return the sources of the collection `name` under `seed`."""
    rng = stream(seed, "toy quasars", name, "population")
    kind = rng.permutation(np.repeat(list(shares.counts()), list(shares.counts().values())))
    n = len(kind)
    colours, redshift = np.empty((n, len(BANDS) - 1)), np.full(n, np.nan)
    types, radius = np.full(n, "", dtype="U2"), np.zeros(n)
    of = {each: np.flatnonzero(kind == each) for each in (QUASAR, DWARF, GALAXY)}
    redshift[of[QUASAR]] = rng.uniform(*QUASAR_REDSHIFTS, len(of[QUASAR]))
    redshift[of[GALAXY]] = rng.uniform(*GALAXY_REDSHIFTS, len(of[GALAXY]))
    slope, line = rng.normal(*SLOPE, len(of[QUASAR])), 10 ** rng.normal(*LINE, len(of[QUASAR]))
    colours[of[QUASAR]] = quasar_colours(redshift[of[QUASAR]], slope, line)
    place = rng.integers(len(_TYPES), size=len(of[DWARF]))
    types[of[DWARF]] = np.array(_TYPES)[place]
    colours[of[DWARF]] = dwarf_colours(place) + rng.normal(
        0.0, _DWARF_SCATTER, (len(place), len(BANDS) - 1)
    )
    age = rng.random(len(of[GALAXY]))
    colours[of[GALAXY]] = galaxy_colours(redshift[of[GALAXY]], age) + rng.normal(
        0.0, _GALAXY_SCATTER, (len(age), len(BANDS) - 1)
    )
    smallest, largest = np.log(RADII)
    radius[of[GALAXY]] = np.exp(rng.uniform(smallest, largest, len(age)))
    return Sources(
        kind=kind,
        magnitudes=_magnitudes(rng.uniform(*MAGNITUDES, n), colours),
        redshift=redshift,
        spectral_type=types,
        radius=radius,
        axis_ratio=rng.uniform(0.3, 1.0, n),
        angle=rng.uniform(0.0, np.pi, n),
    )


def quasar_colours(redshift: Float64Array, slope: Float64Array, line: Float64Array) -> Float64Array:
    """Return g - r, r - i, i - z and z - y ``(n, 4)`` of quasars.

    Parameters
    ----------
    redshift, slope, line : array (n,)
        ``f_nu ~ nu^slope`` and the equivalent width [Angstrom] of Lyman alpha with N V.

    Examples
    --------
    At redshift 6 nothing is left in g and r, and the break lies between i and z:

    >>> one = quasar_colours(np.array([6.0]), np.array([-0.44]), np.array([35.0]))[0]
    >>> bool(one[2] > 1.5), bool(abs(one[3]) < 0.3)
    (True, True)
    """
    wave = np.arange(380.0, 1080.0, 0.5)
    rest = wave / (1.0 + redshift[:, None])
    flux = wave ** -slope[:, None]
    # A width in Angstrom of the continuum there; a tenth of an nm is an Angstrom.
    at_line = (_LYMAN_ALPHA * (1.0 + redshift)) ** -slope
    profile = np.exp(-0.5 * ((rest - _LYMAN_ALPHA) / _LINE_WIDTH) ** 2)
    profile /= _LINE_WIDTH * np.sqrt(2 * np.pi)
    flux = flux + (0.1 * line * at_line)[:, None] * profile
    flux = flux * np.where(rest < _LYMAN_ALPHA, transmitted(wave / _LYMAN_ALPHA - 1.0), 1.0)
    flux = flux * np.where(rest < _LYMAN_BETA, transmitted(wave / _LYMAN_BETA - 1.0), 1.0)
    flux = np.where(rest < _LYMAN_LIMIT, 0.0, flux)
    inside = (wave >= EDGES[:, :1]) & (wave < EDGES[:, 1:])
    # Photons: f_nu over d ln(lambda).
    weight = inside / wave
    mean = flux @ weight.T / weight.sum(axis=1)
    # Nothing at all is written as twelve magnitudes below the brightest band.
    seen = np.maximum(mean, 10 ** (-0.4 * 12.0) * mean.max(axis=1, keepdims=True))
    return np.asarray(np.diff(2.5 * np.log10(seen), axis=1))


def transmitted(redshift: Float64Array) -> Float64Array:
    """Return the mean share of light that hydrogen at `redshift` lets through at Lyman alpha.

    The effective optical depth of Fan et al. (2006, AJ 132, 117): 0.85 ((1 + z) / 5)^4.3, and
    steeper, ~ (1 + z)^10.9, beyond redshift 5.5.

    Examples
    --------
    >>> transmitted(np.array([3.0, 6.0])).round(2).tolist()
    [0.72, 0.0]
    """
    depth = 0.85 * (np.maximum(1.0 + redshift, 0.0) / 5.0) ** 4.3
    steep = 0.85 * (6.5 / 5.0) ** 4.3 * (np.maximum(1.0 + redshift, 0.0) / 6.5) ** 10.9
    return np.asarray(np.exp(-np.where(redshift > 5.5, steep, depth)))


def dwarf_colours(place: AnyArray) -> Float64Array:
    """Return the mean colours ``(n, 4)`` of dwarfs from L0, which is 0, to T8, which is 18."""
    nodes = (0.0, 9.0, 18.0)
    return np.stack([np.interp(place, nodes, column) for column in _DWARFS.T], axis=1)


def galaxy_colours(redshift: Float64Array, age: Float64Array) -> Float64Array:
    """Return the mean colours ``(n, 4)`` of galaxies, from young (age 0) to old (age 1)."""
    mixed = _YOUNG + age[:, None] * (_OLD - _YOUNG)
    return np.asarray(mixed + (redshift[:, None] - 1.0) * age[:, None] * _PER_REDSHIFT)


def _magnitudes(in_z: Float64Array, colours: Float64Array) -> Float64Array:
    g_r, r_i, i_z, z_y = colours.T
    i = in_z + i_z
    return np.stack([i + r_i + g_r, i + r_i, i, in_z, in_z - z_y], axis=1)


def class_counts(kind: AnyArray) -> Mapping[str, int]:
    """Return how many there are of each class."""
    names, counts = np.unique(kind, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))
