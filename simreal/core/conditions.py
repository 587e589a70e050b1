"""Observing conditions of surveys: every number with its unit and where it was read.

A card of conditions says under which conditions a survey sees a galaxy: pixel scale, PSF,
sky, exposure, zero points, filters. A number that could not be sourced is absent, never
guessed; what a matching step needs and a card lacks is said by name.
"""

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simreal.core.cards import catalogue_folder
from simreal.core.errors import NotComputableError, UsageError, did_you_mean

#: AB magnitude of 1 nJy (Oke & Gunn 1983: m = 8.90 - 2.5 log10(f / Jy)).
AB_NANOJANSKY = 31.4

#: Effective number of pixels of a Gaussian PSF over its FWHM squared: 4 pi / (8 ln 2).
NOISE_PIXELS = math.pi / (2 * math.log(2))

#: The one unit each number is given in.
UNITS: Mapping[str, str] = {
    "pixel_scale": "arcsec / pix",
    "gain": "electron / DN",
    "pivot": "Angstrom",
    "effective_wavelength": "Angstrom",
    "psf_fwhm": "arcsec",
    "zero_point": "mag(AB)",
    "electron_zero_point": "mag(AB)",
    "sky_brightness": "mag(AB) / arcsec2",
    "depth": "mag(AB)",
    "galaxy_depth": "mag(AB)",
    "exposure": "s",
}


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Number(_Strict):
    """One number: value, unit, the name of its source, and what to know about it."""

    value: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    unit: str
    source: Annotated[str, Field(min_length=1)]
    note: str = ""


class BandConditions(_Strict):
    """How a survey sees in one band.

    Parameters
    ----------
    curve : str
        Name of the throughput in speclite, such as ``"sdss2010-g"``; empty where it has none.
    pivot, effective_wavelength : Number or None
        [Angstrom]
    psf_fwhm : Number or None
        [arcsec]
    zero_point : Number or None
        [mag(AB)] of one unit of the survey's own images.
    electron_zero_point : Number or None
        [mag(AB)] that gives one electron per second.
    sky_brightness : Number or None
        [mag(AB) / arcsec2]
    depth : Number or None
        [mag(AB)] 5 sigma, point source.
    galaxy_depth : Number or None
        [mag(AB)] 5 sigma, for the galaxy that the note describes.
    exposure : Number or None
        [s] total.
    gain : Number or None
        [electron / DN] where it differs between bands.
    """

    curve: str = ""
    pivot: Number | None = None
    effective_wavelength: Number | None = None
    psf_fwhm: Number | None = None
    zero_point: Number | None = None
    electron_zero_point: Number | None = None
    sky_brightness: Number | None = None
    depth: Number | None = None
    galaxy_depth: Number | None = None
    exposure: Number | None = None
    gain: Number | None = None


class Conditions(_Strict):
    """The observing conditions of one survey.

    Parameters
    ----------
    name, title : str
    sources : mapping of str
        What the ``source`` of every number stands for: a page, paper or package.
    file_unit : str
        Unit of the survey's own images, as in ``calibration.unit`` of a card.
    pixel_scale : Number
        [arcsec / pix]
    gain : Number or None
        [electron / DN]
    bands : mapping of str to BandConditions
        By canonical band name, such as ``"hsc-i"``.
    note : str
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    sources: Mapping[str, str]
    file_unit: str = ""
    pixel_scale: Number
    gain: Number | None = None
    bands: Mapping[str, BandConditions]
    note: str = ""

    @model_validator(mode="after")
    def _is_sourced(self) -> "Conditions":
        for where, key, number in self.numbers():
            if number.source not in self.sources:
                raise ValueError(
                    f"{where}{key}: the source {number.source!r} is not among [sources]: "
                    f"{did_you_mean(number.source, self.sources)}"
                )
            if number.unit != UNITS[key]:
                raise ValueError(f"{where}{key}: got the unit {number.unit!r}, use {UNITS[key]!r}")
        if not self.bands:
            raise ValueError("bands: got none, allowed are one or more")
        return self

    def numbers(self) -> list[tuple[str, str, Number]]:
        """Return every number as ``(where, key, number)``; `where` is "" or ``"BAND."``."""
        holders: list[tuple[str, Conditions | BandConditions]] = [("", self)]
        holders += [(f"{name}.", band) for name, band in self.bands.items()]
        return [
            (where, key, number)
            for where, holder in holders
            for key in type(holder).model_fields
            if isinstance(number := getattr(holder, key), Number)
        ]

    def band(self, name: str) -> BandConditions:
        """Return the conditions in one band.

        Raises
        ------
        UsageError
            With the nearest name.
        """
        if name not in self.bands:
            raise UsageError(
                f"survey {self.name}: no band {name!r}: {did_you_mean(name, self.bands)}"
            )
        return self.bands[name]

    def number(self, band: str, key: str) -> float:
        """Return a number of a band, or that of the survey where bands do not differ.

        Raises
        ------
        NotComputableError
            If the card has none: it was not sourced.

        Examples
        --------
        >>> load_conditions("sdss").number("sdss-r", "pixel_scale")
        0.396
        """
        for holder in (self.band(band), self):
            found = getattr(holder, key, None)
            if isinstance(found, Number):
                return found.value
        raise NotComputableError(
            f"survey {self.name}: {band} has no {key} [{UNITS.get(key, 'unknown')}]; no source "
            f"was found for it: state it in a card of your own"
        )

    def electrons(self, band: str) -> float:
        """Return the photo-electrons behind one nJy over the whole exposure [electron / nJy].

        Raises
        ------
        NotComputableError
            If the card lacks the exposure or the zero point of an electron per second.

        Examples
        --------
        >>> load_conditions("lsst").electrons("lsst-i") > 1
        True
        """
        second = nanojansky(self.number(band, "electron_zero_point"))
        return self.number(band, "exposure") / second

    def sky_noise(self, band: str) -> float:
        """Return the sky rms of a pixel [nJy / pix]: from the depth, else from the sky's light.

        The depth of a point source is that of an optimally weighted Gaussian PSF, whose noise
        is that of ``2.266 (FWHM / pixel)^2`` pixels. Light of the sky gives its shot noise
        alone, without read noise or neighbours' light: a lower limit.

        Raises
        ------
        NotComputableError
            If the card has neither.

        Examples
        --------
        >>> noise = load_conditions("lsst").sky_noise("lsst-i")
        >>> 1 < noise < 100
        True
        """
        own = self.band(band)
        if own.depth is not None:
            pixels = (
                NOISE_PIXELS
                * (self.number(band, "psf_fwhm") / self.number(band, "pixel_scale")) ** 2
            )
            return nanojansky(own.depth.value) / 5 / math.sqrt(pixels)
        sky = nanojansky(self.number(band, "sky_brightness")) * self.pixel_scale.value**2
        return math.sqrt(sky / self.electrons(band))


def nanojansky(magnitude: float) -> float:
    """Return the flux of an AB magnitude [nJy].

    Examples
    --------
    >>> round(nanojansky(22.5), 1), nanojansky(31.4)
    (3630.8, 1.0)
    """
    return float(10 ** ((AB_NANOJANSKY - magnitude) / 2.5))


def conditions_folder() -> Path:
    """Return the folder of the shipped cards of conditions."""
    return catalogue_folder() / "surveys"


def condition_names() -> tuple[str, ...]:
    """Return the surveys whose conditions are shipped."""
    return tuple(sorted(path.stem for path in conditions_folder().glob("*.toml")))


def load_conditions(name: str) -> Conditions:
    """Return the conditions called `name`: a shipped survey or the path of a TOML file.

    Raises
    ------
    UsageError
        If there is neither, with the nearest name, or a card is not as it should be.

    Examples
    --------
    >>> load_conditions("hsc").pixel_scale.value
    0.168
    """
    if name.endswith(".toml"):
        return read_conditions(Path(name).expanduser())
    names = condition_names()
    if name not in names:
        raise UsageError(f"unknown survey {name!r}: {did_you_mean(name, names)}")
    return read_conditions(conditions_folder() / f"{name}.toml")


def read_conditions(path: Path) -> Conditions:
    """Parse and check one card of conditions.

    Raises
    ------
    UsageError
        One line that names the file, the key, what was got and what is allowed.
    """
    try:
        with open(path, "rb") as handle:
            content = tomllib.load(handle)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such card of observing conditions") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML card ({error})") from None
    try:
        return Conditions.model_validate(content, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        shown = f"key '{key}': " if key else ""
        raise UsageError(f"{path}: {shown}{first['msg']}") from None
