"""How large a kiloparsec is on the sky: what ties the two pixel scales of an image together."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from simreal.core.cards import Card
from simreal.core.errors import UsageError, did_you_mean
from simreal.data._fits_header import header_number
from simreal.data._planes import PixelScale
from simreal.data._quarantine import BadFileError

if TYPE_CHECKING:
    from astropy.cosmology import Cosmology

#: No star shone before.
MAX_REDSHIFT = 50.0
ARCSEC_PER_RADIAN = 180 * 3600 / math.pi


def cosmology_of(card: Card) -> "Cosmology | None":
    """Return the cosmology a card names in ``files.options.cosmology``, or None.

    It is a name astropy knows (``"Planck15"``) or a flat one by its numbers
    (``{ H0 = 70.0, Om0 = 0.3 }``).

    Raises
    ------
    UsageError
        If it is neither.
    """
    given = card.files.options.get("cosmology")
    if given is None:
        return None
    from astropy import cosmology

    if isinstance(given, str) and given in cosmology.available:
        found: Cosmology = getattr(cosmology, given)
        return found
    if isinstance(given, dict) and set(given) == {"H0", "Om0"}:
        return cosmology.FlatLambdaCDM(H0=float(given["H0"]), Om0=float(given["Om0"]))
    hint = did_you_mean(str(given), cosmology.available)
    raise UsageError(
        f"{card.name}: files.options.cosmology: got {given!r}; {hint}, or a table with H0 and Om0"
    )


def cosmology_needed(card: Card) -> "Cosmology":
    """Return the cosmology of a card whose format states sizes in kpc only.

    Raises
    ------
    UsageError
        If the card names none.
    """
    found = cosmology_of(card)
    if found is None:
        raise UsageError(
            f"{card.name}: files.options.cosmology is absent; the files state pixels in kpc, and "
            "what that is on the sky depends on it: name the one the images were made with, such "
            "as 'Planck15' or { H0 = 70.0, Om0 = 0.3 }"
        )
    return found


def kpc_per_arcsec(cosmology: "Cosmology", redshift: float) -> float:
    """Return the proper size of an arcsecond [kpc].

    Examples
    --------
    >>> from astropy.cosmology import Planck15
    >>> round(kpc_per_arcsec(Planck15, 0.3999), 4)
    5.5372
    """
    return of_distance(float(cosmology.angular_diameter_distance(redshift).to_value("Mpc")))


def of_distance(distance: float) -> float:
    """Return the size of an arcsecond [kpc] at an angular diameter distance [Mpc].

    Examples
    --------
    >>> round(of_distance(206.264806), 6)
    1.0
    """
    return distance * 1e3 / ARCSEC_PER_RADIAN


def redshift_of(
    header: Mapping[str, object], key: str = "REDSHIFT", default: float | None = None
) -> float:
    """Return the redshift under `key`; 0 is light at rest.

    Raises
    ------
    BadFileError
        If it is absent without a default, or not between 0 and `MAX_REDSHIFT`.

    Examples
    --------
    >>> redshift_of({"USE_Z": 0.05}, "USE_Z")
    0.05
    """
    value = header_number(header, key, default)
    if not 0 <= value <= MAX_REDSHIFT:
        raise BadFileError(
            "E_HEADER",
            f"key {key} reads {value:g}, allowed is a redshift from 0 to {MAX_REDSHIFT:g}; correct "
            "it",
        )
    return value


def both_scales(scale: PixelScale, size: float | None) -> PixelScale:
    """Return a pixel scale with the missing one of its two numbers filled in.

    Parameters
    ----------
    scale : PixelScale
    size : float or None
        [kpc / arcsec] None leaves the scale as it is.

    Examples
    --------
    >>> both_scales(PixelScale(kpc=0.5), 2.0).arcsec
    0.25
    """
    if size is None:
        return scale
    if scale.arcsec is None and scale.kpc is not None:
        return PixelScale(arcsec=scale.kpc / size, kpc=scale.kpc)
    if scale.kpc is None and scale.arcsec is not None:
        return PixelScale(arcsec=scale.arcsec, kpc=scale.arcsec * size)
    return scale
