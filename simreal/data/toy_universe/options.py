"""What a toy card can ask for: every number of the toy universe and every planted defect."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simreal.core.cards import View
from simreal.core.errors import UsageError, did_you_mean

BANDS = ("red", "green", "blue")
#: What red, green and blue are on the flux track, in the same order.
FLUX_BANDS = ("sdss-i", "sdss-r", "sdss-g")

#: Morphological classes and the fraction of the population that each holds.
CLASS_FRACTIONS: Mapping[str, float] = {
    "elliptical": 0.22,
    "lenticular": 0.18,
    "spiral": 0.32,
    "clumpy": 0.20,
    "merger": 0.08,
}
PSF_SHAPES = ("moffat", "kolmogorov", "gaussian")

_LIMITS: Mapping[str, tuple[float, float]] = {
    "n_galaxies": (1, 1_000_000),
    "views": (1, 100),
    "seeing": (0.1, 5.0),
    "seeing_scatter": (0.0, 0.5),
    "sky_rms": (0.0, 10.0),
    "sky_scatter": (0.0, 0.5),
    "noise_correlation": (0.0, 0.5),
    "neighbours": (0.0, 20.0),
    "stars": (0.0, 20.0),
    "missing_sfr": (0.0, 1.0),
    "size_factor": (0.2, 2.0),
    "colour_offset": (-2.0, 2.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyOptions:
    """The options of a toy card; the defaults are those of ``toy-survey``.

    Parameters
    ----------
    n_galaxies, views : int
        Galaxies, and images of each at independent orientations, seeing and sky.
    stream : str
        Name of the random stream; empty for the name of the card. Cards that share a stream
        and a seed show the same galaxies, so they must not be compared as independent.
    psf : {"moffat", "kolmogorov", "gaussian"}
    seeing : float
        [arcsec] Median full width at half maximum of the PSF.
    seeing_scatter : float
        Standard deviation of its natural logarithm.
    sky_rms : float
        [nanomaggy / pixel] Median sky noise in the green band; 0 for no noise at all.
    sky_scatter : float
        Standard deviation of its natural logarithm.
    noise_correlation : float
        Correlation of the noise of adjacent pixels; none beyond them.
    neighbours, stars : float
        Mean number of neighbouring galaxies and of stars in a stamp.
    missing_sfr : float
        Fraction of the galaxies whose star-formation rate is missing.
    missing_class : str
        Defect: a class that is never drawn, the others keep their proportions; empty for none.
    size_factor : float
        Defect: every size is this many times too large, at the same flux.
    colour_offset : float
        Defect: [mag] every galaxy is this much too red in blue minus red.

    Raises
    ------
    UsageError
        If a value is outside its limits.
    """

    n_galaxies: int = 700
    views: int = 1
    stream: str = ""
    psf: str = "moffat"
    seeing: float = 1.3
    seeing_scatter: float = 0.08
    sky_rms: float = 0.025
    sky_scatter: float = 0.06
    noise_correlation: float = 0.3
    neighbours: float = 1.5
    stars: float = 0.5
    missing_sfr: float = 0.03
    missing_class: str = ""
    size_factor: float = 1.0
    colour_offset: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise UsageError(f"toy option {name!r}: got {value}, allowed is {low} to {high}")
        if self.psf not in PSF_SHAPES:
            raise UsageError(
                f"toy option 'psf': got {self.psf!r}, {did_you_mean(self.psf, PSF_SHAPES)}"
            )
        if self.missing_class and self.missing_class not in CLASS_FRACTIONS:
            raise UsageError(
                f"toy option 'missing_class': got {self.missing_class!r}, "
                f"{did_you_mean(self.missing_class, CLASS_FRACTIONS)}, or '' for none"
            )

    def class_fractions(self) -> dict[str, float]:
        """Return the fraction of each class, after a class has been left out.

        Examples
        --------
        >>> ToyOptions(missing_class="clumpy").class_fractions()["clumpy"]
        0.0
        """
        kept = {k: 0.0 if k == self.missing_class else f for k, f in CLASS_FRACTIONS.items()}
        total = sum(kept.values())
        return {name: fraction / total for name, fraction in kept.items()}


def parse_options(given: Mapping[str, Any]) -> ToyOptions:
    """Return the checked options of a card.

    Raises
    ------
    UsageError
        For an unknown option, a value of the wrong type or outside its limits.

    Examples
    --------
    >>> parse_options({"views": 2}).views
    2
    """
    defaults = {field.name: field.default for field in dataclasses.fields(ToyOptions)}
    for name, value in given.items():
        if name not in defaults:
            raise UsageError(f"unknown toy option {name!r}: {did_you_mean(name, defaults)}")
        _check_type(name, value, type(defaults[name]))
    values: dict[str, Any] = {
        name: float(value) if isinstance(defaults[name], float) else value
        for name, value in given.items()
    }
    return ToyOptions(**values)


def _check_type(name: str, value: object, wanted: type) -> None:
    allowed = (int, float) if wanted is float else (wanted,)
    if isinstance(value, bool) or not isinstance(value, allowed):
        words = {int: "a whole number", float: "a number", str: "a text in quotes"}
        raise UsageError(f"toy option {name!r}: got {value!r}, allowed is {words[wanted]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """The pixels of a toy card.

    Parameters
    ----------
    pixel_scale : float
        [arcsec / pixel]
    stamp : int
        [pixel] Even side length of an image.
    """

    pixel_scale: float
    stamp: int

    @property
    def canvas(self) -> int:
        """[pixel] Side of the periodic canvas: the stamp and a third on each side.

        A source reaches the stamp around the edge of the canvas only from two thirds of a
        canvas away, where galaxies and PSF wings have faded.
        """
        return 2 * round(self.stamp * 5 / 6)


def parse_camera(view: View) -> Camera:
    """Return the pixels that the view of a card describes.

    Raises
    ------
    UsageError
        If the view lacks a pixel scale or a field in arcsec, has other bands than red, green
        and blue, or an odd or unworkable number of pixels.
    """
    if view.bands not in (BANDS, FLUX_BANDS):
        raise UsageError(
            f"toy card: view.bands is {view.bands}, allowed is {BANDS}, or {FLUX_BANDS} in flux"
        )
    if view.pixel_scale is None or view.field_of_view is None:
        raise UsageError("toy card: view.pixel_scale and view.field_of_view [arcsec] are needed")
    if view.field_of_view_unit != "arcsec":
        raise UsageError(
            f"toy card: view.field_of_view_unit is {view.field_of_view_unit!r}, allowed is 'arcsec'"
        )
    stamp = round(view.field_of_view / view.pixel_scale)
    if stamp % 2 or not 32 <= stamp <= 512:
        raise UsageError(
            f"toy card: view.field_of_view / view.pixel_scale is {stamp} pixels, allowed is an "
            "even number from 32 to 512"
        )
    return Camera(pixel_scale=view.pixel_scale, stamp=stamp)
