"""Arrays of images whose axes the card names: one row as ``(band, y, x)``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from simreal.core.arrays import AnyArray
from simreal.core.cards import Card
from simreal.core.errors import UsageError
from simreal.data._planes import file_names_of
from simreal.data._quarantine import BadFileError

WORDS = ("object", "band", "y", "x")


def axes_of(card: Card) -> tuple[str, ...]:
    """Return what the axes of the card's arrays are, as its option ``axes`` names them.

    Raises
    ------
    UsageError
        If it is absent or names other than object, band, y and x.
    """
    given = card.files.options.get("axes")
    words = tuple(given.split()) if isinstance(given, str) else ()
    if not {"y", "x"} <= set(words) <= set(WORDS) or len(set(words)) != len(words):
        raise UsageError(
            f"{card.name}: files.options.axes: got {given!r}, allowed are the names of the axes in "
            "the order of the array, such as 'object band y x' or 'object y x band'"
        )
    if "band" not in words and len(card.view.bands) > 1:
        raise UsageError(
            f"{card.name}: files.options.axes: got {given!r} for {len(card.view.bands)} bands, "
            "allowed is an axis 'band' among them"
        )
    if "object" in words and words[0] != "object":
        raise UsageError(
            f"{card.name}: files.options.axes: got {given!r}, allowed is 'object' as the first; "
            "turn the array around"
        )
    return words


def check_axes(shape: Sequence[int], axes: Sequence[str], what: str) -> None:
    """Check that an array has the axes the card names.

    Raises
    ------
    BadFileError
        ``E_SHAPE``
    """
    if len(shape) != len(axes) or 0 in shape:
        got = " x ".join(str(side) for side in shape) or "nothing"
        raise BadFileError(
            "E_SHAPE",
            f"got {got} for {what}, allowed is one axis each for {', '.join(axes)}; correct "
            "files.options.axes or the file",
        )


def image_of_row(array: Any, row: int, axes: Sequence[str]) -> AnyArray:
    """Return the image ``(band, y, x)`` of one object, or the only one.

    Examples
    --------
    >>> image_of_row(np.zeros((7, 5, 4, 3)), 6, ("object", "y", "x", "band")).shape
    (3, 5, 4)
    """
    own = [name for name in axes if name != "object"]
    image = np.asarray(array[row] if "object" in axes else array[()])
    image = np.transpose(image, [own.index(name) for name in WORDS if name in own])
    return image if image.ndim == 3 else image[None]


def planes_of(card: Card) -> dict[str, int]:
    """Return the number of each band's plane by the option ``planes``.

    Raises
    ------
    UsageError
        If the order of the bands in the file is not stated or lacks one.
    """
    names = file_names_of(card)
    if len(names) == 1 and "planes" not in card.files.options:
        return {card.view.bands[0]: 0}
    listed = [str(name) for name in card.files.options.get("planes", ())]
    absent = [name for name in names.values() if listed.count(name) != 1]
    if absent:
        raise UsageError(
            f"{card.name}: files.options.planes: got {listed}, allowed are the names of all planes "
            f"in the order of the file, {absent[0]!r} once among them; never guess it"
        )
    return {band: listed.index(name) for band, name in names.items()}


def check_planes(card: Card, n_planes: int) -> None:
    """Check that an image has as many planes as the card lists.

    Raises
    ------
    BadFileError
        ``E_BANDS``
    """
    listed = card.files.options.get("planes", card.view.bands)
    if n_planes != len(listed):
        raise BadFileError(
            "E_BANDS",
            f"got {n_planes} planes, allowed are {len(listed)} ({', '.join(map(str, listed))}); "
            "correct files.options.planes or the file",
        )
