"""Spectral cubes through filter curves: the mean flux density that a photon counter reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import Float64Array, owned
from simreal.core.cards import data_folder
from simreal.core.errors import UsageError
from simreal.data._quarantine import BadFileError

#: Share of a filter's light that a cube must cover.
COVERED = 0.99
#: Wavelengths a cube must have where a filter lets light through, to stand for a spectrum.
LEAST_SAMPLES = 5
#: Where a filter lets through less than this of its peak it counts as closed.
_OPEN = 0.01
_FINE = 4

#: Filter of speclite for a band of ours, where the card names no curve.
USUAL: Mapping[str, str] = {
    **{f"sdss-{band}": f"sdss2010-{band}" for band in "ugriz"},
    **{f"hsc-{band}": f"hsc2017-{band}" for band in "grizy"},
    **{f"decam-{band}": f"decam2014-{band}" for band in "ugriz"},
    **{f"lsst-{band}": f"lsst2023-{band}" for band in "ugrizy"},
    **{f"ps1-{band}": f"panstarrs-{band}" for band in "grizy"},
    **{f"euclid-{band}": f"Euclid-{band.upper()}" for band in ("vis", "y", "j", "h")},
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """A filter: the chance that a photon of each wavelength is counted, in any scale.

    Parameters
    ----------
    name : str
    wavelength : array (k,)
        [Angstrom], ascending.
    response : array (k,)
        Zero outside.
    """

    name: str
    wavelength: Float64Array
    response: Float64Array

    def __post_init__(self) -> None:
        for name in ("wavelength", "response"):
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))
        steps = np.diff(self.wavelength)
        good = self.wavelength.shape == self.response.shape and len(steps) and (steps > 0).all()
        positive = good and self.wavelength[0] > 0 and (self.response >= 0).all()
        if not positive or not self.response.any():
            raise UsageError(
                f"filter curve {self.name}: allowed are ascending wavelengths [Angstrom] with "
                "responses of 0 or more, not all 0; correct the curve"
            )


def band_weights(wavelength: npt.ArrayLike, curve: Curve) -> Float64Array:
    """Return the share of each plane of a spectral cube in the light of a band.

    The mean flux density of a photon counter is ``int f_nu T dlambda / lambda`` over
    ``int T dlambda / lambda``; between the planes ``f_nu`` is taken to be linear in wavelength.

    Parameters
    ----------
    wavelength : array (n,)
        [Angstrom] Of the planes, ascending.
    curve : Curve

    Returns
    -------
    array (n,)
        Sums to 1: a spectrum that is flat in ``f_nu`` keeps its value.

    Raises
    ------
    BadFileError
        ``E_BANDS`` if the planes do not cover the filter, or too few of them lie in it.

    Examples
    --------
    >>> box = Curve(name="box", wavelength=[3999, 4000, 6000, 6001], response=[0, 1, 1, 0])
    >>> weights = band_weights(np.linspace(3000, 7000, 81), box)
    >>> float(weights.sum().round(12)), int(np.count_nonzero(weights > 1e-9))
    (1.0, 43)
    """
    planes = np.asarray(wavelength, dtype=np.float64)
    opened = curve.wavelength[curve.response > _OPEN * curve.response.max()]
    inside = int(((planes >= opened[0]) & (planes <= opened[-1])).sum())
    if inside < LEAST_SAMPLES:
        raise BadFileError(
            "E_BANDS",
            f"has {inside} wavelengths inside {curve.name} ({opened[0]:.0f} to {opened[-1]:.0f} "
            f"Angstrom), allowed are {LEAST_SAMPLES} or more for an integration; where planes are "
            "bands already, name their wavelengths in files.options.planes",
        )
    grid = _refined(np.union1d(planes, curve.wavelength))
    response = np.interp(grid, curve.wavelength, curve.response, left=0.0, right=0.0)
    share = _trapezoid(grid) * response / grid
    covered = (grid >= planes[0]) & (grid <= planes[-1])
    fraction = share[covered].sum() / share.sum()
    if fraction < COVERED:
        raise BadFileError(
            "E_BANDS",
            f"covers {fraction:.1%} of {curve.name} with {planes[0]:.0f} to {planes[-1]:.0f} "
            f"Angstrom, allowed are {COVERED:.0%} or more; take the band out of view.bands",
        )
    share, grid = share[covered], grid[covered]
    right = np.clip(np.searchsorted(planes, grid, side="right"), 1, len(planes) - 1)
    upper = (grid - planes[right - 1]) / (planes[right] - planes[right - 1])
    weights = np.bincount(right, share * upper, minlength=len(planes))
    weights += np.bincount(right - 1, share * (1 - upper), minlength=len(planes))
    return np.asarray(weights / weights.sum())


def load_curve(name: str) -> Curve:
    """Return a filter: of speclite by its name, or of a text file in the data folder.

    Parameters
    ----------
    name : str
        ``"sdss2010-g"``, or ``"my-filters/f200w.dat"`` with wavelength [Angstrom] and response.

    Raises
    ------
    UsageError
        If there is none.

    Examples
    --------
    >>> load_curve("sdss2010-g").wavelength[0] > 3000
    np.True_
    """
    if name.lower().endswith((".dat", ".txt", ".res")):
        return _from_text(name)
    from speclite.filters import load_filter

    try:
        found = load_filter(name)
    except ValueError as error:
        raise UsageError(
            f"filter curve {name!r}: {error}; allowed are the filters of speclite and text files "
            "(.dat, .txt, .res) in the data folder"
        ) from None
    return Curve(name=name, wavelength=found.wavelength, response=found.response)


def _from_text(name: str) -> Curve:
    path = Path(name).expanduser()
    path = path if path.is_absolute() else data_folder() / path
    try:
        table = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except (OSError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise UsageError(
            f"filter curve {path}: {first}; allowed is a text file with two columns, wavelength "
            "[Angstrom] and response"
        ) from None
    if table.shape[1] < 2:
        raise UsageError(
            f"filter curve {path}: got {table.shape[1]} column, allowed are two, wavelength "
            "[Angstrom] and response"
        )
    return Curve(name=path.name, wavelength=table[:, 0], response=table[:, 1])


def _refined(grid: Float64Array) -> Float64Array:
    """Return a grid with every interval cut into `_FINE`: response over wavelength is curved."""
    parts = np.linspace(grid[:-1], grid[1:], _FINE, endpoint=False).T.ravel()
    return np.append(parts, grid[-1])


def _trapezoid(grid: Float64Array) -> Float64Array:
    steps = np.diff(grid)
    widths = np.zeros(len(grid))
    widths[:-1] += steps / 2
    widths[1:] += steps / 2
    return widths
