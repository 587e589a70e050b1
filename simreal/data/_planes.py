"""One plane of pixels and what its card and header say: scale, unit, and which pixels are bad."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from simreal.core.arrays import AnyArray, BoolArray, Float32Array, Float64Array
from simreal.core.cards import Calibration, Card
from simreal.core.errors import UsageError, did_you_mean
from simreal.data._files import FoundFile
from simreal.data._fits import Hdus, Header, header_number, header_text, image_plane
from simreal.data._frames import Frames
from simreal.data._photometry import (
    calibration_of,
    check_plausible,
    to_nanojansky,
    unit_of_file,
)
from simreal.data._quarantine import BadFileError, shown

#: Two planes of one object have the same pixels when their scales agree to this fraction.
SCALE_TOLERANCE = 1e-3
_KPC_TO_RADIAN_AT_MPC = 1e-3
_ARCSEC = math.degrees(1) * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelScale:
    """Side of a pixel: ``arcsec`` on the sky, ``kpc`` at the object, or one of them."""

    arcsec: float | None = None
    kpc: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One band of one object as the files have it, nothing applied yet.

    Parameters
    ----------
    pixels : array (y, x)
        In the file's unit.
    header : mapping
        What stands beside the pixels: BUNIT, WCS and what the card names.
    flags : array of int (y, x), optional
        A mask plane, of which `Calibration.mask` says what it means.
    variance : array (y, x), optional
        In the square of the file's unit; its inverse where `inverse`.
    psf : array (k, l), optional
    psf_fwhm, noise : float, optional
        [pixel], and the rms of the sky in the file's unit, where only a number is known.
    scale : PixelScale, optional
        Where the format itself says it; else the card's way is taken.
    where : str
        The file or row it is from, where that is not the one errors name anyway.
    """

    pixels: AnyArray
    header: Mapping[str, object] = field(default_factory=dict)
    flags: AnyArray | None = None
    variance: AnyArray | None = None
    inverse: bool = False
    psf: AnyArray | None = None
    psf_fwhm: float | None = None
    noise: float | None = None
    scale: PixelScale | None = None
    where: str = ""


def assembled(
    card: Card,
    parts: Mapping[str, Part],
    *,
    properties: Mapping[str, float | str] | None = None,
    group: str = "",
    notes: Sequence[str] = (),
) -> Frames:
    """Return the calibrated images of one object from the bands of its files.

    Parameters
    ----------
    card : Card
    parts : mapping
        By band of the card.
    properties : mapping, optional
        Beside those in the header of the first band.
    group : str
    notes : sequence of str

    Raises
    ------
    BadFileError
        If bands are missing, do not fit each other, or cannot be calibrated.
    """
    missing = [band for band in card.view.bands if band not in parts]
    if missing:
        raise BadFileError(
            "E_BANDS",
            f"has no image in {', '.join(missing)}, allowed is one for each band of the card; "
            "fetch it or take the band out of view.bands",
        )
    ordered = {band: parts[band] for band in card.view.bands}
    _check_sizes(ordered)
    calibration = calibration_of(card)
    scales: dict[str, PixelScale] = {}
    bands: list[_Band] = []
    for band, part in ordered.items():
        with _named(part.where or (f"band {band}" if len(ordered) > 1 else "")):
            scales[band] = part.scale or pixel_scale_of(calibration, part.header)
            bands.append(_band_of(card, part, scales[band], band))
    scale = same_scale(scales)
    noise, fwhm = [each.noise for each in bands], [part.psf_fwhm for part in ordered.values()]
    kernels = [None if part.psf is None else kernel_of(part.psf) for part in ordered.values()]
    return Frames(
        pixels=np.stack([each.pixels for each in bands]),
        mask=np.stack([each.bad for each in bands]),
        pixel_scale=scale.arcsec,
        physical_scale=scale.kpc,
        redshift=calibration.redshift,
        psf=_stacked(kernels),
        psf_fwhm=_all_known(fwhm),
        noise=_all_known(noise),
        group=group,
        properties={
            **header_properties(card, next(iter(ordered.values())).header),
            **(properties or {}),
        },
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Band:
    pixels: Float32Array
    bad: BoolArray
    noise: float | None


def _band_of(card: Card, part: Part, scale: PixelScale, band: str) -> _Band:
    unit = unit_of_file(card, part.header.get("BUNIT"))
    pixels = in_nanojansky(card, part.pixels, header=part.header, scale=scale, band=band)
    bad = ~np.isfinite(pixels)
    if not unit.magnitude:
        bad |= ~np.isfinite(part.pixels)
    absent = card.files.options.get("missing_value")
    if absent is not None:
        bad |= part.pixels == np.asarray(absent, dtype=part.pixels.dtype)
    forbidden = None if part.flags is None else bad_pixels(calibration_of(card), part.flags)
    if forbidden is not None:
        bad |= forbidden
    rms = part.noise
    if part.variance is not None:
        unmeasured, rms = _by_variance(part, bad)
        bad |= unmeasured
    if rms is None or unit.magnitude:
        return _Band(pixels=pixels, bad=bad, noise=None)
    one = np.full((1, 1), rms)
    noise = in_nanojansky(card, one, header=part.header, scale=scale, band=band)
    return _Band(pixels=pixels, bad=bad, noise=float(noise[0, 0]))


def _by_variance(part: Part, bad: BoolArray) -> tuple[BoolArray, float | None]:
    """Return where nothing was measured, and the rms of the sky.

    That is the median over the good pixels: few of them are an object's.
    """
    values = np.asarray(part.variance, dtype=np.float64)
    usable = np.isfinite(values) & (values > 0)
    good = values[usable & ~bad]
    if good.size == 0:
        return ~usable, None
    middle = float(np.median(good))
    return ~usable, math.sqrt(1 / middle if part.inverse else middle)


def _check_sizes(parts: Mapping[str, Part]) -> None:
    first, shape = next((band, part.pixels.shape) for band, part in parts.items())
    for band, part in parts.items():
        named = {"image": part.pixels, "mask": part.flags, "variance": part.variance}
        for what, plane in named.items():
            if plane is not None and plane.shape != shape:
                got, allowed = (" x ".join(map(str, each)) for each in (plane.shape, shape))
                raise BadFileError(
                    "E_SIZE",
                    f"got {got} pixels for the {what} in {band}, allowed is {allowed} as for the "
                    f"image in {first}; cut them alike",
                )


def _all_known(values: Sequence[float | None]) -> Float64Array | None:
    known = [value for value in values if value is not None]
    return np.array(known, np.float64) if len(known) == len(values) else None


def _stacked(kernels: Sequence[Float64Array | None]) -> Float64Array | None:
    """Return the kernels of the bands at one size, or None where a band has none."""
    known = [kernel for kernel in kernels if kernel is not None]
    if len(known) < len(kernels):
        return None
    side = max(len(kernel) for kernel in known)
    return np.stack([np.pad(kernel, (side - len(kernel)) // 2) for kernel in known])


def image_of(hdus: Hdus, hdu: int | str | None, *, band: str) -> tuple[Float32Array, Header]:
    """Return one plane of an open file; axes of length one in front are dropped.

    Raises
    ------
    BadFileError
        If the unit holds no plane.
    """
    pixels, header = image_plane(hdus, hdu)
    while pixels.ndim > 2 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim != 2:
        shape = " x ".join(str(side) for side in pixels.shape)
        raise BadFileError(
            "E_BANDS",
            f"got an image of {shape} pixels for band {band}, allowed is one plane; use the "
            "adapter fits_cube or name another HDU",
        )
    return pixels, header


@contextmanager
def in_file(file: FoundFile, *, of: FoundFile) -> Iterator[None]:
    """Name `file` in what goes wrong inside, where it is not the one that errors name anyway."""
    with _named("" if file.path == of.path else shown(file.name)):
        yield


@contextmanager
def _named(where: str) -> Iterator[None]:
    try:
        yield
    except BadFileError as error:
        if not where:
            raise
        raise BadFileError(error.code, f"in {where}: {error.reason}") from None


def file_names_of(card: Card, *, short: bool = False) -> dict[str, str]:
    """Return what each band of the card is called in the files: by the option ``filters``.

    A band that it leaves out has its own name, or with `short` the last word of it (``g`` of
    ``decam-g``).

    Raises
    ------
    UsageError
        If ``files.options.filters`` names a band that the card does not have.
    """
    filters = card.files.options.get("filters", {})
    unknown = sorted(set(filters) - set(card.view.bands))
    if unknown:
        raise UsageError(
            f"{card.name}: files.options.filters: unknown band {unknown[0]!r}: "
            f"{did_you_mean(unknown[0], card.view.bands)}"
        )
    return {
        band: str(filters.get(band, band.rpartition("-")[2] if short else band))
        for band in card.view.bands
    }


def pixel_scale_of(calibration: Calibration, header: Mapping[str, object]) -> PixelScale:
    """Return the pixel scale by the way the card names; never a default.

    Raises
    ------
    BadFileError
        ``E_SCALE`` if the header does not have what the card promises.

    Examples
    --------
    >>> given = Calibration(
    ...     unit="nJy",
    ...     mask="none",
    ...     already_dimmed=True,
    ...     pixel_scale_from="FOVARC / NAXIS1",
    ... )
    >>> pixel_scale_of(given, {"FOVARC": 25.6, "NAXIS1": 128}).arcsec
    0.2
    """
    way = calibration.pixel_scale_from
    if calibration.pixel_scale is not None:
        value = calibration.pixel_scale
    elif way == "wcs":
        return PixelScale(arcsec=wcs_scale(header))
    elif way == "FOVARC / NAXIS1":
        return PixelScale(arcsec=_positive(header, "FOVARC") / _positive(header, "NAXIS1"))
    elif way.startswith("header "):
        value = _positive(header, way.removeprefix("header ").strip())
    else:
        raise UsageError(
            f"calibration.pixel_scale_from: got {way!r}, allowed for this adapter are a number in "
            "calibration.pixel_scale, 'wcs' and 'header KEY'"
        )
    return PixelScale(**{calibration.pixel_scale_unit: value})


def wcs_scale(header: Mapping[str, object]) -> float:
    """Return the side of a pixel by the celestial coordinates of a header [arcsec].

    Raises
    ------
    BadFileError
        ``E_SCALE`` if there are none, they are singular, or the pixels are not square to 1 %.
    """
    types = [header_text(header, f"CTYPE{axis}").upper() for axis in (1, 2)]
    if not any(kind.startswith(("RA", "GLON", "ELON")) for kind in types):
        raise BadFileError(
            "E_SCALE",
            f"has no celestial coordinates (CTYPE1 = {types[0]!r}), allowed is a WCS; state "
            "calibration.pixel_scale",
        )
    unit = header_text(header, "CUNIT1") or "deg"
    per_unit = {"deg": 3600.0, "arcsec": 1.0, "arcmin": 60.0, "rad": _ARCSEC}.get(unit)
    if per_unit is None:
        raise BadFileError(
            "E_SCALE", f"CUNIT1 reads {unit!r}, allowed: deg; state calibration.pixel_scale"
        )
    matrix = _pixel_matrix(header)
    sides = np.sqrt((matrix**2).sum(axis=0)) * per_unit
    area = abs(np.linalg.det(matrix)) * per_unit**2
    # Columns are the steps along x and y: equal, and at right angles, where pixels are square.
    if not area > 0 or abs(sides[0] / sides[1] - 1) > 0.01 or area < 0.99 * sides[0] * sides[1]:
        raise BadFileError(
            "E_SCALE",
            f"the WCS has pixels of {sides[0]:g} x {sides[1]:g} arcsec and {area:g} arcsec2, "
            "allowed are square ones; correct the header or state calibration.pixel_scale",
        )
    # Files of one mosaic differ in the last bits; a scale that varies would be read into that.
    return float(f"{math.sqrt(area):.9g}")


def same_scale(scales: Mapping[str, PixelScale]) -> PixelScale:
    """Return the one pixel scale of the bands of an object.

    Raises
    ------
    BadFileError
        ``E_SCALE`` if they differ by more than `SCALE_TOLERANCE`.
    """
    first_band, first = next(iter(scales.items()))
    for band, scale in scales.items():
        for ours, theirs in ((first.arcsec, scale.arcsec), (first.kpc, scale.kpc)):
            if ours and theirs and abs(theirs / ours - 1) > SCALE_TOLERANCE:
                raise BadFileError(
                    "E_SCALE",
                    f"got pixels of {ours:g} in {first_band} and {theirs:g} in {band}, allowed is "
                    "one scale per object; make a card for each camera",
                )
    return first


def in_nanojansky(
    card: Card,
    pixels: AnyArray,
    *,
    header: Mapping[str, object],
    scale: PixelScale,
    band: str,
) -> Float32Array:
    """Return pixels in nJy per pixel by the card's unit, or by BUNIT where the card says so."""
    options = card.files.options
    unit = unit_of_file(card, header.get("BUNIT"))
    check_plausible(pixels, unit)
    calibration = calibration_of(card)
    return to_nanojansky(
        pixels,
        unit,
        pixel_scale=_apparent_scale(calibration, scale),
        wavelength=options.get("wavelengths", {}).get(band),
        zero_point=options.get("zero_points", {}).get(band, calibration.zero_point),
    )


def bad_pixels(calibration: Calibration, flags: AnyArray) -> BoolArray | None:
    """Return where a mask plane forbids the use of a pixel, by the card's meaning of it.

    Examples
    --------
    >>> given = Calibration(
    ...     unit="nJy",
    ...     pixel_scale=1.0,
    ...     mask="bits",
    ...     mask_bits=(0, 2),
    ...     already_dimmed=True,
    ... )
    >>> bad_pixels(given, np.array([0, 1, 2, 4])).tolist()
    [False, True, False, True]
    """
    if calibration.mask == "none":
        return None
    if calibration.mask == "bits":
        wanted = sum(1 << bit for bit in calibration.mask_bits)
        # Python's integer may exceed int64 by the sign bit: bit 63 is a flag, too.
        return np.asarray((flags.astype(np.int64).view(np.uint64) & np.uint64(wanted)) != 0)
    nonzero = flags.astype(np.bool_)
    return nonzero if calibration.mask == "bad" else ~nonzero


def kernel_of(psf: AnyArray) -> Float64Array:
    """Return a PSF image as a kernel: square, odd, centred as it was, sum 1.

    A side of even length loses nothing: it is padded by one row or column of zeros, on the side
    that puts the central pixel of the file (index k // 2) in the middle.

    Raises
    ------
    BadFileError
        ``E_PSF`` if it is empty, not finite or sums to nothing.
    """
    stamp = np.array(psf, dtype=np.float64)
    if stamp.ndim != 2 or stamp.size == 0 or not np.isfinite(stamp).all() or stamp.sum() <= 0:
        raise BadFileError(
            "E_PSF",
            f"has a PSF of shape {stamp.shape} with sum {np.nansum(stamp):g}, allowed is a finite "
            "two-dimensional image with a positive sum; fetch it again",
        )
    side = max(length + 1 - length % 2 for length in stamp.shape)
    out = np.zeros((side, side))
    y, x = (side // 2 - length // 2 for length in stamp.shape)
    out[y : y + stamp.shape[0], x : x + stamp.shape[1]] = stamp
    out /= out.sum()
    return out


def header_properties(card: Card, header: Mapping[str, object]) -> dict[str, float | str]:
    """Return the card's properties that stand in a header, by the key the card names."""
    found: dict[str, float | str] = {}
    for about in card.properties.values():
        value = header.get(about.column)
        if about.kind == "text" and isinstance(value, str | int):
            found[about.column] = str(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[about.column] = float(value)
    return found


def _positive(header: Mapping[str, object], key: str) -> float:
    try:
        value = header_number(header, key)
    except BadFileError as error:
        raise BadFileError(
            "E_SCALE", f"no pixel scale: {error.reason}, or state calibration.pixel_scale"
        ) from None
    if value <= 0:
        raise BadFileError(
            "E_SCALE", f"key {key} reads {value:g}, allowed is above 0; correct the header"
        )
    return value


def _pixel_matrix(header: Mapping[str, object]) -> Float64Array:
    """Return the matrix from pixels to intermediate coordinates, by the order of the standard."""
    names = ("1_1", "1_2", "2_1", "2_2")
    if any(f"CD{name}" in header for name in names):
        values = [header_number(header, f"CD{name}", 0.0) for name in names]
        return np.array(values).reshape(2, 2)
    if "CDELT1" not in header or "CDELT2" not in header:
        raise BadFileError(
            "E_SCALE", "has neither CD nor CDELT keys in its WCS; state calibration.pixel_scale"
        )
    steps = np.array([header_number(header, f"CDELT{axis}") for axis in (1, 2)])
    identity = {"1_1": 1.0, "1_2": 0.0, "2_1": 0.0, "2_2": 1.0}
    rotation = [header_number(header, f"PC{name}", identity[name]) for name in names]
    return np.asarray(np.array(rotation).reshape(2, 2) * steps[:, None])


def _apparent_scale(calibration: Calibration, scale: PixelScale) -> float | None:
    """Return the angle a pixel spans as the instrument saw it, where that is known."""
    if scale.arcsec is not None:
        return scale.arcsec
    if scale.kpc is not None and calibration.distance is not None:
        return scale.kpc * _KPC_TO_RADIAN_AT_MPC / calibration.distance * _ARCSEC
    return None
