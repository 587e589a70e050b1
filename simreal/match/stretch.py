"""From flux to display values: one fixed stretch for all, and one that is blind to brightness.

The fixed stretch has no parameter that is fitted to an image or to a side: what is equal in flux
stays equal. The other divides every band of every image by its own light, so that a score on it
knows neither how bright nor of what colour a galaxy is; its noise still tells how faint it was.
"""

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.core.errors import UsageError
from simreal.measure.sky import clipped_statistics

#: What setups call the fixed stretch.
NAME = "asinh"
#: Display value of empty sky. Noise of 3 softenings below it is still above black.
SKY_LEVEL = 0.2
#: Flux of white, in units of the softening.
WHITE = 1000.0
#: Brightest pixels whose mean is an image's own unit, as a share of the pixels of a band.
BRIGHTEST = 0.02
CHUNK = 64
#: Softening and white in units of that mean.
OWN_SOFTENING, OWN_WHITE = 0.05, 5.0


def fixed_asinh(
    flux: Float32Array,
    softening: npt.ArrayLike,
    *,
    white: float = WHITE,
    sky_level: float = SKY_LEVEL,
    out: Float32Array | None = None,
) -> Float32Array:
    """Return display values on one asinh scale that no image has a say in.

    Linear for faint light, logarithmic for bright (Lupton et al. 1999).

    Parameters
    ----------
    flux : array (n, band, y, x)
        Sky-subtracted.
    softening : float or array (band,)
        Flux where linear turns into logarithmic, in the unit of `flux`; a small multiple of the
        survey's noise, the same for both sides.
    white : float
        Flux shown as 1, in softenings.
    sky_level : float
        Display value of flux 0.
    out : array (n, band, y, x), optional
        Where to write them; `flux` itself, where nobody needs that any more.

    Returns
    -------
    array (n, band, y, x)
        From 0 to 1.

    Examples
    --------
    >>> flux = np.array([[[[-1e9, 0.0, 2000.0, 1e9]]]], "f4")
    >>> fixed_asinh(flux, 2.0)[0, 0, 0].round(3).tolist()
    [0.0, 0.20000000298023224, 1.0, 1.0]
    """
    soft = np.asarray(softening, dtype=np.float64)
    if not (np.isfinite(soft).all() and (soft > 0).all()):
        raise UsageError(f"softening: got {softening!r}, allowed are finite fluxes above 0")
    if soft.ndim > 1 or (soft.ndim == 1 and len(soft) not in (1, flux.shape[1])):
        raise UsageError(
            f"softening: got shape {soft.shape} for {flux.shape[1]} bands; one per band or for "
            "all, never per image"
        )
    _check_scale(white, sky_level)
    unit = _per_plane(soft).astype(np.float32)
    shown = np.empty(flux.shape, np.float32) if out is None else out
    for start in range(0, len(flux), CHUNK):
        rows = slice(start, start + CHUNK)
        shown[rows] = _shown(np.asarray(flux[rows] / unit, np.float32), white, sky_level)
    return shown


def flux_of(
    display: Float32Array,
    softening: npt.ArrayLike,
    *,
    white: float = WHITE,
    sky_level: float = SKY_LEVEL,
) -> Float32Array:
    """Return the flux of display values of `fixed_asinh`; what was clipped stays clipped.

    Examples
    --------
    >>> round(float(flux_of(fixed_asinh(np.full((1, 1, 1, 1), 7, "f4"), 2.0), 2.0)[0, 0, 0, 0]), 4)
    7.0
    """
    soft = _per_plane(np.asarray(softening, dtype=np.float64))
    scaled = (display.astype(np.float64) - sky_level) / (1 - sky_level) * np.arcsinh(white)
    return np.asarray(np.sinh(scaled) * soft, dtype=np.float32)


def per_image(
    flux: Float32Array,
    *,
    mask: BoolArray | None = None,
    softening: float = OWN_SOFTENING,
    white: float = OWN_WHITE,
    sky_level: float = SKY_LEVEL,
) -> Float32Array:
    """Return display values that no factor on an image's or band's flux changes.

    Every plane is divided by the mean of its brightest pixels above its own sky.

    Parameters
    ----------
    flux : array (n, band, y, x)
    mask : array of bool (n, band, y, x), optional
        True where a pixel must not be used; shown as sky.
    softening, white : float
        In units of that mean.

    Returns
    -------
    array (n, band, y, x)
        From 0 to 1.

    Examples
    --------
    >>> flux = np.random.default_rng(0).exponential(size=(1, 1, 16, 16)).astype("f4")
    >>> bool(np.allclose(per_image(flux), per_image(4 * flux), atol=1e-6))
    True
    """
    _check_scale(white / softening, sky_level)
    planes = flux.reshape(-1, flux.shape[2] * flux.shape[3])
    good = np.ones(planes.shape, bool) if mask is None else ~mask.reshape(planes.shape)
    level, unit = np.zeros(len(planes)), np.ones(len(planes))
    for k, (plane, valid) in enumerate(zip(planes, good, strict=True)):
        values = plane[valid]
        if len(values):
            level[k], unit[k] = _own_scale(values)
    scaled = (planes - level[:, None]) / (unit * softening)[:, None]
    shown = _shown(np.where(good, scaled, 0.0), white / softening, sky_level)
    return shown.reshape(flux.shape)


def _own_scale(values: Float32Array) -> tuple[float, float]:
    sky = float(clipped_statistics(values[None])[0][0])
    count = max(1, round(BRIGHTEST * len(values)))
    top = float(np.partition(values, len(values) - count)[-count:].mean(dtype=np.float64)) - sky
    return sky, top if top > 0 else 1.0


def _shown(scaled: Float64Array | Float32Array, white: float, sky_level: float) -> Float32Array:
    display = sky_level + (1.0 - sky_level) / np.arcsinh(white) * np.arcsinh(scaled)
    return np.asarray(np.clip(display, 0.0, 1.0), dtype=np.float32)


def _per_plane(soft: Float64Array) -> Float64Array:
    return soft[:, None, None] if soft.ndim else soft


def _check_scale(white: float, sky_level: float) -> None:
    if not (np.isfinite(white) and white > 0 and 0 <= sky_level < 1):
        raise UsageError(
            f"stretch: got white {white} and sky level {sky_level}, allowed are white above 0 and "
            "a sky level from 0 to below 1"
        )


def named(softening: Float64Array) -> str:
    """Return what a setup says of its stretch: the softening of every band.

    Examples
    --------
    >>> named(np.array([200.0, 139.5]))
    'asinh 200, 139.5'
    """
    return f"{NAME} " + ", ".join(f"{value:.6g}" for value in softening)


def softening_of(display: str) -> Float64Array:
    """Return the softening of every band behind `named`.

    Raises
    ------
    UsageError
        If the stamps have another stretch.

    Examples
    --------
    >>> softening_of("asinh 200, 139.5").tolist()
    [200.0, 139.5]
    """
    name, _, numbers = display.partition(" ")
    try:
        if name == NAME:
            return np.array([float(part) for part in numbers.split(",")])
    except ValueError:
        pass
    raise UsageError(
        f"display: got {display!r}, allowed is '{NAME}' with the softening of every band: only "
        "calibrated images that were matched here can be taken back to flux"
    )
