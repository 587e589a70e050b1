"""Cubes of bands: the plane of each band by its name, and what a header says of the pixels."""

from collections.abc import Mapping, Sequence

from simreal.core.arrays import Float32Array
from simreal.data._fits_header import header_number, header_text
from simreal.data._quarantine import BadFileError

#: [pixel] Less shows no object.
LEAST_SIDE = 8


def chosen_planes(
    header: Mapping[str, object], names: Mapping[str, str], *, keys: Sequence[str]
) -> list[int]:
    """Return the plane of each wanted band, found by name and never by position.

    Parameters
    ----------
    header : mapping
    names : mapping
        Band = its name in the file.
    keys : sequence of str
        The header key that names each plane, in the order of the planes.

    Raises
    ------
    BadFileError
        ``E_BANDS`` if a plane has no name, or a band has no plane or several.
    """
    found = [header_text(header, key) for key in keys]
    nameless = [key for key, name in zip(keys, found, strict=True) if not name]
    if nameless:
        raise BadFileError(
            "E_BANDS",
            f"got {len(keys)} planes and no {nameless[0]}, allowed is a name for every plane; "
            "fetch the file again",
        )
    for band, name in names.items():
        if found.count(name) != 1:
            raise BadFileError(
                "E_BANDS",
                f"has {found.count(name) or 'no'} planes called {name!r} for {band}, allowed is "
                f"one; it holds {', '.join(found)}: correct view.bands or files.options.filters",
            )
    return [found.index(name) for name in names.values()]


def cube_of(pixels: Float32Array) -> Float32Array:
    """Return a cube ``(band, y, x)`` as it is.

    Raises
    ------
    BadFileError
        ``E_BANDS`` if it is none, ``E_SIZE`` if it has fewer than `LEAST_SIDE` pixels a side.
    """
    if pixels.ndim != 3:
        raise BadFileError(
            "E_BANDS",
            f"got an image of {pixels.ndim} dimensions {pixels.shape}, allowed is a cube "
            "(band, y, x); fetch the file again",
        )
    height, width = pixels.shape[1:]
    if min(height, width) < LEAST_SIDE:
        raise BadFileError(
            "E_SIZE",
            f"got {height} x {width} pixels, allowed are {LEAST_SIDE} or more a side; the file was "
            "cut: fetch it again",
        )
    return pixels


def kpc_per_pixel(header: Mapping[str, object]) -> float | None:
    """Return the physical side of a pixel where CDELT1 is a length, by the unit CTYPE1 names.

    Examples
    --------
    >>> kpc_per_pixel({"CDELT1": 374.0, "CDELT2": 374.0, "CTYPE1": "pc"})
    0.374
    """
    for axis_unit in (header_text(header, "CTYPE1"), header_text(header, "CUNIT1")):
        size = {"pc": 1e-3, "kpc": 1.0, "Mpc": 1e3}.get(axis_unit)
        if size is not None and "CDELT1" in header:
            steps = [abs(header_number(header, f"CDELT{axis}")) * size for axis in (1, 2)]
            if not steps[0] > 0 or abs(steps[1] / steps[0] - 1) > 0.01:
                raise BadFileError(
                    "E_SCALE",
                    f"got pixels of {steps[0]:g} x {steps[1]:g} kpc, allowed are square ones; "
                    "correct CDELT1 and CDELT2",
                )
            return steps[0]
    return None
