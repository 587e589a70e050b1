"""Put a galaxy at another distance: its angular size and how much of its light arrives.

A pixel that is so many kiloparsec wide keeps its width; only its angle and its flux change. A
galaxy is moved as it is: neither its stars grow older nor does its spectrum change, and because
light of one wavelength at rest arrives at another, the band moves with it (`wavelength_factor`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import Float64Array, owned
from simreal.core.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from astropy.cosmology import Cosmology

#: The cosmology where none is named (Planck Collaboration 2020, VI).
COSMOLOGY = "Planck18"
#: Powers of (1 + z) by which a flux density exceeds the bolometric flux: the frequencies of an
#: interval are squeezed into less hertz, the wavelengths stretched over more Angstrom.
SQUEEZE = {"bolometric": 0, "f_nu": 1, "f_lambda": -1}
ARCSEC_PER_RADIAN = 180.0 * 3600.0 / np.pi

Quantity = Literal["bolometric", "f_nu", "f_lambda"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placement:
    """What becomes of pixels of a known size in kpc at another redshift.

    Parameters
    ----------
    pixel_scale : array (n,)
        [arcsec / pixel] Of the same pixels at the new redshift.
    flux_factor : array (n,)
        What the flux of each pixel is multiplied by; the pixels are not resampled.
    brightness_factor : array (n,)
        What the surface brightness is multiplied by: ``((1 + z_from) / (1 + z_to))`` to the
        power of 4 (bolometric), 3 (I_nu) or 5 (I_lambda).
    wavelength_factor : array (n,)
        Light that was seen at some wavelength is now seen at this many times it.
    cosmology : str
        Its name.
    """

    pixel_scale: Float64Array
    flux_factor: Float64Array
    brightness_factor: Float64Array
    wavelength_factor: Float64Array
    cosmology: str

    def __post_init__(self) -> None:
        for name in ("pixel_scale", "flux_factor", "brightness_factor", "wavelength_factor"):
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))


def named_cosmology(name: "str | Cosmology") -> "Cosmology":
    """Return the astropy cosmology of this name.

    Raises
    ------
    UsageError
        If there is none.

    Examples
    --------
    >>> round(float(named_cosmology("Planck18").H0.value), 2)
    67.66
    """
    from astropy import cosmology

    if not isinstance(name, str):
        return name
    if name not in cosmology.available:
        raise UsageError(
            f"cosmology: got {name!r}; {did_you_mean(name, list(cosmology.available))}"
        )
    return getattr(cosmology, name)


def place(
    pixel_scale_kpc: npt.ArrayLike,
    *,
    z_from: npt.ArrayLike,
    z_to: npt.ArrayLike,
    cosmology: "str | Cosmology" = COSMOLOGY,
    quantity: Quantity = "f_nu",
    distance_from: npt.ArrayLike | None = None,
) -> Placement:
    """Move pixels of a known physical size from one redshift to another.

    Parameters
    ----------
    pixel_scale_kpc : float or array (n,)
        [kpc / pixel], proper.
    z_from : float or array (n,)
        Redshift that the pixels' flux is for.
    z_to : float or array (n,)
        Above 0.
    cosmology : str or Cosmology
        A name astropy knows, or an astropy cosmology.
    quantity : {"f_nu", "f_lambda", "bolometric"}
        What the pixels hold; nJy are ``f_nu``.
    distance_from : float or array (n,), optional
        [Mpc] Where the pixels are for an instrument at this distance and no redshift; then
        `z_from` is 0.

    Raises
    ------
    UsageError
        If a redshift or distance is out of range, or redshift 0 comes without a distance.

    Notes
    -----
    Luminosity and angular diameter distance as in Hogg (1999), arXiv:astro-ph/9905116.

    Examples
    --------
    A simulated galaxy in front of an instrument 10 Mpc away, moved to z = 1: the surface
    brightness per hertz falls by (1 + z)^3.

    >>> placed = place(0.1, z_from=0.0, z_to=1.0, distance_from=10.0)
    >>> float(placed.brightness_factor[0]), round(float(placed.pixel_scale[0]), 5)
    (0.125, 0.01215)
    """
    if quantity not in SQUEEZE:
        raise UsageError(f"quantity: got {quantity!r}; {did_you_mean(quantity, SQUEEZE)}")
    scale, start, end = (
        np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (pixel_scale_kpc, z_from, z_to)
    )
    _in_range("pixel_scale_kpc", scale, above=0.0)
    _in_range("z_to", end, above=0.0)
    _in_range("z_from", start, above=None)
    model = named_cosmology(cosmology)
    to_angular = np.asarray(model.angular_diameter_distance(end).to_value("Mpc"))
    if distance_from is None:
        _in_range("z_from (without distance_from)", start, above=0.0)
        from_angular = np.asarray(model.angular_diameter_distance(start).to_value("Mpc"))
    else:
        from_angular = np.atleast_1d(np.asarray(distance_from, dtype=np.float64))
        _in_range("distance_from", from_angular, above=0.0)
        if start.any():
            raise UsageError(
                f"z_from: got {start[start != 0][0]} together with distance_from; light of an "
                "instrument at a distance has redshift 0: give one of the two"
            )
    # Etherington (1933): luminosity distance = (1 + z)^2 angular diameter distance.
    stretch = (1.0 + end) / (1.0 + start)
    brightness = stretch ** (SQUEEZE[quantity] - 4.0)
    solid_angle = (from_angular / to_angular) ** 2
    values = np.broadcast_arrays(
        scale / (1000.0 * to_angular) * ARCSEC_PER_RADIAN,
        brightness * solid_angle,
        brightness,
        stretch,
    )
    return Placement(
        pixel_scale=values[0],
        flux_factor=values[1],
        brightness_factor=values[2],
        wavelength_factor=values[3],
        cosmology=str(model.name),
    )


def physical_scale(
    pixel_scale: npt.ArrayLike,
    *,
    redshift: npt.ArrayLike,
    cosmology: "str | Cosmology" = COSMOLOGY,
) -> Float64Array:
    """Return [kpc / pixel] of pixels of known angle [arcsec / pixel] at a redshift.

    Examples
    --------
    >>> placed = place(0.5, z_from=0.01, z_to=0.1)
    >>> round(float(physical_scale(placed.pixel_scale, redshift=0.1)[0]), 9)
    0.5
    """
    angle, z = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (pixel_scale, redshift))
    _in_range("pixel_scale", angle, above=0.0)
    _in_range("redshift", z, above=0.0)
    distance = named_cosmology(cosmology).angular_diameter_distance(z).to_value("kpc")
    return np.asarray(angle / ARCSEC_PER_RADIAN * distance, dtype=np.float64)


def _in_range(name: str, values: Float64Array, *, above: float | None) -> None:
    bad = ~np.isfinite(values) | ((values <= above) if above is not None else (values < 0))
    if bad.any():
        limit = f"above {above:g}" if above is not None else "from 0 up"
        raise UsageError(f"{name}: got {values[bad][0]}, allowed are finite values {limit}")
