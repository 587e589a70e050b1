"""Pixel units: whatever a file calls them, to nanojansky per pixel.

One unit inside, nJy per pixel on the AB scale: ``m = 31.4 - 2.5 log10(f / nJy)``. Units are
looked up in an explicit table, so that a string nobody has checked is refused and never
guessed; the order of factors and the way powers are written do not matter
(``"erg/s/cm2/Hz/sr"`` is ``"erg s-1 cm-2 Hz-1 sr-1"``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import Float32Array
from simreal.core.cards import Calibration, Card
from simreal.core.errors import UsageError, did_you_mean
from simreal.data._quarantine import BadFileError

#: AB magnitude of one nanojansky.
AB_ZERO_POINT = 31.4
#: [nJy] of one nanomaggy, magnitude 22.5.
NANOMAGGY = 10 ** (0.4 * (AB_ZERO_POINT - 22.5))
#: [sr] of one square arcsecond.
SQUARE_ARCSEC = (np.pi / 648_000) ** 2

_LIGHT_SPEED = 299_792_458.0
_ANGSTROM = 1e-10
_WATT_PER_NANOJANSKY = 1e-35

Spectrum = Literal["frequency", "wavelength", "neutral"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelUnit:
    """What one unit of a pixel's value is.

    Parameters
    ----------
    name : str
        How the table spells it.
    scale : float
        Size in nJy, W m-3 or W m-2, by `spectrum`; times per sr where `solid`.
    spectrum : {"frequency", "wavelength", "neutral"}
        Flux per frequency, per wavelength, or neither (lambda F_lambda). The last two need a
        wavelength.
    solid : bool
        A surface brightness: per sr and not per pixel.
    magnitude : bool
        An AB magnitude, per pixel or per square arcsecond where `solid`.
    instrumental : bool
        Counts and their like, whose size only a zero point gives.
    """

    name: str
    scale: float = 1.0
    spectrum: Spectrum = "frequency"
    solid: bool = False
    magnitude: bool = False
    instrumental: bool = False


def to_nanojansky(
    pixels: npt.ArrayLike,
    unit: str | PixelUnit,
    *,
    pixel_scale: float | None,
    wavelength: npt.ArrayLike | None = None,
    zero_point: npt.ArrayLike | None = None,
) -> Float32Array:
    """Return pixels in nJy per pixel.

    Parameters
    ----------
    pixels : array (band, y, x) or (y, x)
        In `unit`; any byte order. A magnitude of +inf is an empty pixel, 0; NaN stays NaN.
    unit : str or PixelUnit
    pixel_scale : float or None
        [arcsec / pixel] For surface brightness, which is per solid angle.
    wavelength : float, array (band,) or None
        [Angstrom] For flux per wavelength and for lambda F_lambda: the pivot wavelength.
    zero_point : float, array (band,) or None
        AB magnitude of one unit, for instrumental units.

    Returns
    -------
    array of float32, shape of `pixels`

    Raises
    ------
    BadFileError
        ``E_UNIT`` if the unit is not known or lacks what it needs.

    Examples
    --------
    One nanomaggy has magnitude 22.5:

    >>> to_nanojansky([[1.0]], "nanomaggy", pixel_scale=None)
    array([[3630.7805]], dtype=float32)
    >>> to_nanojansky([[20.0, np.inf]], "AB mag/arcsec2", pixel_scale=0.5)
    array([[9076.951,    0.   ]], dtype=float32)
    """
    known = unit if isinstance(unit, PixelUnit) else pixel_unit(unit)
    values = np.asarray(pixels, dtype=np.float64)
    factor: npt.ArrayLike = 1.0
    if known.instrumental:
        factor = np.power(10.0, 0.4 * (AB_ZERO_POINT - _needed(known, "zero_point", zero_point)))
    elif not known.magnitude:
        factor = known.scale * _per_frequency(known, wavelength)
    if known.solid:
        area = float(_needed(known, "pixel_scale", pixel_scale)) ** 2
        factor = np.multiply(factor, area * (1.0 if known.magnitude else SQUARE_ARCSEC))
    # What overflows becomes infinite, and a pixel that is not finite is never used.
    with np.errstate(over="ignore", invalid="ignore"):
        if known.magnitude:
            values = np.power(10.0, 0.4 * (AB_ZERO_POINT - values))
        result: Float32Array = (values * _per_band(factor, values.ndim)).astype(np.float32)
    return result


def magnitude(flux: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return AB magnitudes of fluxes [nJy]; none is +inf.

    Examples
    --------
    >>> magnitude([1.0, 3630.780548]).round(3).tolist()
    [31.4, 22.5]
    """
    values = np.asarray(flux, dtype=np.float64)
    result = np.full(values.shape, np.inf)
    np.log10(values, out=result, where=values > 0)
    return np.asarray(np.where(values > 0, AB_ZERO_POINT - 2.5 * result, np.inf))


def pixel_unit(text: str) -> PixelUnit:
    """Return the unit a text means.

    Raises
    ------
    BadFileError
        ``E_UNIT`` if it is not in the table, or is of another track.

    Examples
    --------
    >>> pixel_unit("AB nanomaggies, m_AB = 22.5-2.5log10(f)").name
    'nanomaggy'
    >>> pixel_unit("MJy sr-1").solid
    True
    """
    key = _key(text)
    if key in _UNITS_BY_KEY:
        return _UNITS_BY_KEY[key]
    if key & _PHOTON_ENERGIES:
        raise BadFileError(
            "E_UNIT",
            f"got unit {text!r}, photons per energy; allowed on track 'flux' are optical units; "
            "set track = 'xray' in the card",
        )
    raise BadFileError(
        "E_UNIT",
        f"got unit {text!r}, {did_you_mean(text, _COMMON)} and SKIRT's surface brightnesses; "
        "set calibration.unit in the card",
    )


def card_unit(card: Card) -> PixelUnit | None:
    """Return the unit a card states, or None where it says ``"header"``.

    Raises
    ------
    UsageError
        If the unit is not known, or if a zero point is missing.
    """
    calibration = calibration_of(card)
    if calibration.unit == "header":
        return None
    try:
        unit = pixel_unit(calibration.unit)
    except BadFileError as error:
        raise UsageError(f"{card.name}: calibration.unit: {error.reason}") from None
    if not unit.instrumental and calibration.zero_point is not None:
        raise UsageError(
            f"{card.name}: calibration.zero_point: got {calibration.zero_point} for pixels in "
            f"{unit.name}, which have none; allowed is to leave it out or to set calibration.unit "
            "to counts"
        )
    return unit


def unit_of_file(card: Card, header_unit: object) -> PixelUnit:
    """Return the unit of a file: the card's, or the header's where the card believes it.

    Raises
    ------
    BadFileError
        ``E_UNIT`` if the header has no unit although the card believes it, or a known one
        that contradicts the card.
    """
    stated = card_unit(card)
    written = str(header_unit).strip() if header_unit is not None else ""
    if stated is None:
        if not written:
            raise BadFileError(
                "E_UNIT",
                "has no BUNIT, allowed is a unit in the header; set calibration.unit in the card",
            )
        return pixel_unit(written)
    other = _UNITS_BY_KEY.get(_key(written)) if written else None
    if other is not None and other != stated and not _same_kind(stated, other):
        raise BadFileError(
            "E_UNIT",
            f"got BUNIT {written!r} where the card says {stated.name!r}; allowed is one of them; "
            "correct calibration.unit (or 'header' to believe the files)",
        )
    return stated


def calibration_of(card: Card) -> Calibration:
    """Return the calibration of a card of the flux track.

    Raises
    ------
    UsageError
        If it has none.
    """
    if card.calibration is None:
        raise UsageError(
            f"{card.name}: got track {card.track!r} without [calibration], allowed for the adapter "
            f"{card.files.adapter} is track 'flux' with one; add the table"
        )
    return card.calibration


def check_plausible(pixels: npt.ArrayLike, unit: PixelUnit) -> None:
    """Check that linear pixels are not magnitudes, nor magnitudes linear pixels.

    Magnitudes of an image lie between 5 and 60, most of them near the sky's 18 to 34, and
    what is bright is *small*: their long tail points down, or empty pixels are infinite.

    Raises
    ------
    BadFileError
        ``E_UNIT``

    Examples
    --------
    >>> check_plausible([[0.1, -0.2], [3.0, 0.0]], UNITS["nanomaggy"])
    """
    values = np.asarray(pixels)
    finite = values[np.isfinite(values)]
    if finite.size == 0 or finite.min() == finite.max():
        return  # Empty and constant images have codes of their own.
    low, middle, high = (float(v) for v in (finite.min(), np.median(finite), finite.max()))
    between = low > 5 and high < 60 and 18 <= middle <= 34
    if unit.magnitude:
        if low < 0 or high > 100:
            raise BadFileError(
                "E_UNIT",
                f"got values from {low:.4g} to {high:.4g} for magnitudes, allowed are 0 to 100; "
                "the pixels look linear: correct calibration.unit",
            )
    elif between and (bool(np.isposinf(values).any()) or middle - low > high - middle):
        raise BadFileError(
            "E_UNIT",
            f"got values from {low:.4g} to {high:.4g} around {middle:.4g} for pixels in "
            f"{unit.name}, allowed are linear ones; they look like magnitudes: set "
            "calibration.unit = 'mag/arcsec2' or 'mag'",
        )


def check_total(
    image: npt.ArrayLike, expected: float, *, band: str, key: str, tolerance: float
) -> None:
    """Check the light of an image against the magnitude its file states.

    Images that lack pixels, or show nothing, are not judged here: they have codes of their own.

    Parameters
    ----------
    image : array (y, x)
        [nJy / pixel]
    expected : float
        AB magnitude.
    band, key : str
        What the message names.
    tolerance : float
        [mag]

    Raises
    ------
    BadFileError
        ``E_FLUX`` if they differ: the unit, the pixel scale or the order of bands is not what it
        is taken for.
    """
    pixels = np.asarray(image)
    if not np.isfinite(pixels).all() or pixels.min() == pixels.max():
        return
    got = float(magnitude(pixels.sum(dtype=np.float64)))
    if not abs(got - expected) <= tolerance:
        raise BadFileError(
            "E_FLUX",
            f"the pixels of {band} add up to AB {got:.3f} where {key} says {expected:.3f}, allowed "
            f"is a difference of {tolerance:g} mag; check calibration.unit, the pixel scale and "
            "files.options.filters",
        )


def _needed(unit: PixelUnit, name: str, value: npt.ArrayLike | None) -> npt.NDArray[np.float64]:
    if value is None:
        # The angle of pixels in kpc hangs on how far away they are seen.
        other = ", or for pixels in kpc calibration.distance or redshift," * (name == "pixel_scale")
        raise BadFileError(
            "E_UNIT",
            f"got pixels in {unit.name} without a {name.replace('_', ' ')}, allowed is one; set "
            f"calibration.{name}{other} in the card",
        )
    return np.asarray(value, dtype=np.float64)


def _per_frequency(unit: PixelUnit, wavelength: npt.ArrayLike | None) -> npt.NDArray[np.float64]:
    """Return what turns the unit's spectrum into nJy."""
    if unit.spectrum == "frequency":
        return np.asarray(1.0)
    if wavelength is None:
        raise BadFileError(
            "E_UNIT",
            f"got pixels in {unit.name} without a wavelength, allowed is a pivot wavelength per "
            "band; set files.options.wavelengths [Angstrom] in the card",
        )
    metres = np.asarray(wavelength, dtype=np.float64) * _ANGSTROM
    power = metres**2 if unit.spectrum == "wavelength" else metres
    return np.asarray(power / _LIGHT_SPEED / _WATT_PER_NANOJANSKY)


def _per_band(factor: npt.ArrayLike, ndim: int) -> npt.NDArray[np.float64]:
    array = np.asarray(factor, dtype=np.float64)
    return array.reshape(array.shape + (1,) * (ndim - 1)) if array.ndim == 1 else array


def _same_kind(one: PixelUnit, other: PixelUnit) -> bool:
    """Return whether two units differ in name only: counts, counts/s and electrons/s.

    What counts are per is exactly what a zero point stands for.
    """
    return one.instrumental and other.instrumental


_ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("nanomaggies", "nmgy", "nanomgy", "nanomags"), "nanomaggy"),
    **dict.fromkeys(("maggies", "mgy"), "maggy"),
    **dict.fromkeys(("count", "counts", "ct", "cts"), "counts"),
    **dict.fromkeys(("electron", "electrons", "e-", "e"), "electrons"),
    **dict.fromkeys(("dn", "adu"), "DN"),
    **dict.fromkeys(("angstrom", "angstroms", "aa"), "Angstrom"),
    **dict.fromkeys(("um", "micron", "microns", "micrometer", "µm"), "micron"),
    **dict.fromkeys(("s", "sec", "second", "seconds"), "s"),
    **dict.fromkeys(("arcsec", "asec", "arcseconds"), "arcsec"),
    **dict.fromkeys(("sr", "ster", "steradian"), "sr"),
    **dict.fromkeys(("pixel", "pixels", "pix", "px"), "pixel"),
    **dict.fromkeys(("mag", "mags", "abmag", "magnitude"), "mag"),
    **dict.fromkeys(("microjy", "ujy", "µjy", "microjansky"), "uJy"),
    **dict.fromkeys(("nanojy", "nanojansky"), "nJy"),
    **dict.fromkeys(("cps",), "counts/s"),
    **dict.fromkeys(("jansky",), "Jy"),
    **dict.fromkeys(("hz",), "Hz"),
    **dict.fromkeys(("w", "watt"), "W"),
}
_POWER = re.compile(r"^(.*?[^\d^+*-])(?:\^|\*\*)?([+-]?\d+)$")


def _key(text: str) -> frozenset[tuple[str, int]]:
    """Return the factors and powers of a unit, in no order.

    A comment after a comma is left out, and so are "AB" and "per pixel" of what is not per
    solid angle.
    """
    plain = re.sub(r"[()\[\]]", " ", text.split(",")[0]).replace("**", "^")
    plain = re.sub(r"\s*/\s*", " /", re.sub(r"\s+per\s+", " /", plain))
    powers: dict[str, int] = {}
    for word in re.split(r"[\s*.]+", plain.replace("/", " /").strip()):
        sign = -1 if word.startswith("/") else 1
        name, power = _factor(word.removeprefix("/"))
        for part in name.split("/"):
            powers[part] = powers.get(part, 0) + sign * power
            sign = -1
    for empty in ("", "1", "AB"):
        powers.pop(empty, None)
    if not {"sr", "arcsec"} & set(powers):
        powers.pop("pixel", None)
    return frozenset((name, power) for name, power in powers.items() if power)


def _factor(word: str) -> tuple[str, int]:
    found = _POWER.match(word)
    name, power = (found[1], int(found[2])) if found else (word, 1)
    return _ALIASES.get(name.lower(), name), power


def _skirt() -> list[PixelUnit]:
    """Return the flux densities and surface brightnesses SKIRT writes.

    The sizes are those of its table of units; the order of factors, which doubles the number
    of strings, does not matter here.
    """
    powers = {"W/m2": 1.0, "erg/s/cm2": 1e-3}
    spectra: dict[str, tuple[Spectrum, float]] = {
        "": ("neutral", 1.0),
        "/micron": ("wavelength", 1e6),
        "/Angstrom": ("wavelength", 1e10),
        "/Hz": ("frequency", 1.0 / _WATT_PER_NANOJANSKY),
    }
    found = []
    for power, watts in powers.items():
        for per, (spectrum, size) in spectra.items():
            found += _with_solid(f"{power}{per}", spectrum, watts * size)
    # W/m2 per metre is W/m3, and erg/s/cm2 per cm is erg/s/cm3, 0.1 W/m3.
    found += _with_solid("W/m3", "wavelength", 1.0)
    found += _with_solid("erg/s/cm3", "wavelength", 0.1)
    for prefix, janskys in (("", 1.0), ("n", 1e-9), ("u", 1e-6), ("m", 1e-3), ("M", 1e6)):
        found += _with_solid(f"{prefix}Jy", "frequency", janskys * 1e9)
    return found


def _with_solid(name: str, spectrum: Spectrum, scale: float) -> list[PixelUnit]:
    return [
        PixelUnit(name=name, spectrum=spectrum, scale=scale),
        PixelUnit(name=f"{name}/sr", spectrum=spectrum, scale=scale, solid=True),
        PixelUnit(
            name=f"{name}/arcsec2", spectrum=spectrum, scale=scale / SQUARE_ARCSEC, solid=True
        ),
    ]


#: Units by the name the table gives them; `pixel_unit` understands other spellings, too.
UNITS: Mapping[str, PixelUnit] = {
    unit.name: unit
    for unit in (
        *_with_solid("nanomaggy", "frequency", NANOMAGGY),
        *_with_solid("maggy", "frequency", 1e9 * NANOMAGGY),
        *_skirt(),
        PixelUnit(name="mag", magnitude=True),
        PixelUnit(name="mag/arcsec2", magnitude=True, solid=True),
        *(
            PixelUnit(name=name, instrumental=True)
            for name in ("counts", "counts/s", "electrons", "electrons/s", "DN", "DN/s")
        ),
    )
}
_UNITS_BY_KEY = {_key(name): unit for name, unit in UNITS.items()}
_COMMON = (
    "nanomaggy", "nJy", "uJy", "mJy", "Jy", "MJy/sr", "Jy/arcsec2", "mag/arcsec2", "mag", "counts",
    "counts/s", "electrons/s", "DN", "W/m3/sr",
)  # fmt: skip
_PHOTON_ENERGIES = frozenset((energy, -1) for energy in ("J", "eV", "keV"))
