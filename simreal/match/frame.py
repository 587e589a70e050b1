"""The common frame: its kind, its scale per image and the width both sides can fill."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array
from simreal.core.cards import View
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import FRAME_UNITS, ImageSet
from simreal.match.recipe import FrameChoice

FrameKind = Literal["angular", "physical", "radius"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonFrame:
    """Kind and full width of the frame of both sides."""

    kind: FrameKind
    width: float

    @property
    def unit(self) -> str:
        """Unit of the width."""
        return FRAME_UNITS[self.kind]


def choose_kind(choice: FrameChoice, sets: Sequence[ImageSet], views: Sequence[View]) -> FrameKind:
    """Return the frame that `choice` stands for with these sets.

    Raises
    ------
    UsageError
        If the frame needs a scale that one side does not know.
    """
    if choice == "auto":
        known = all(_pixel_scale(s, v) is not None for s, v in zip(sets, views, strict=True))
        return "angular" if known else "radius"
    if choice == "radius":
        return choice
    for image_set, view in zip(sets, views, strict=True):
        scale = _pixel_scale(image_set, view) if choice == "angular" else _kpc(image_set, view)
        if scale is None:
            needed = (
                "pixel_scale [arcsec / pixel]" if choice == "angular" else "a field of view in kpc"
            )
            raise UsageError(
                f"--frame {choice}: {image_set.name} has no {needed} in its card; allowed for "
                "this pair is --frame radius"
            )
    return choice


def _pixel_scale(image_set: ImageSet, view: View) -> float | Float64Array | None:
    if image_set.setup.pixel_scale is not None:
        return image_set.setup.pixel_scale
    if view.pixel_scale is not None:
        return view.pixel_scale
    if view.field_of_view is not None and view.field_of_view_unit == "arcsec":
        return view.field_of_view / image_set.images.shape[-1]
    return None


def _kpc(image_set: ImageSet, view: View) -> float | Float64Array | None:
    if image_set.setup.physical_scale is not None:
        return image_set.setup.physical_scale
    if view.field_of_view is None or view.field_of_view_unit != "kpc":
        return None
    return view.field_of_view / image_set.images.shape[-1]


def unit_per_pixel(
    kind: FrameKind, image_set: ImageSet, view: View, *, radius: Float64Array
) -> Float64Array:
    """Return the size of each image's pixel in units of the frame ``(n,)``.

    Parameters
    ----------
    kind : {"angular", "physical", "radius"}
    image_set : ImageSet
    view : View
    radius : array (n,)
        Measured half-light radius [pixel].
    """
    if kind == "radius":
        return 1.0 / radius
    scale = _pixel_scale(image_set, view) if kind == "angular" else _kpc(image_set, view)
    if scale is None:
        raise UsageError(f"{image_set.name}: no scale for a frame {kind!r}; use --frame radius")
    return np.array(np.broadcast_to(np.asarray(scale, dtype=np.float64), radius.shape))


def widest(limits: Float64Array, loss: float) -> float:
    """Return the widest frame that leaves out at most a share `loss` of the images.

    Parameters
    ----------
    limits : array (n,)
        Widest frame inside each image's own field.

    Examples
    --------
    >>> widest(np.array([1.0, 5.0, 6.0, 7.0]), 0.25)
    5.0
    """
    ordered = np.sort(limits[np.isfinite(limits)])
    if len(ordered) == 0:
        return float("nan")
    return float(ordered[int(np.floor(loss * len(ordered) + 1e-9))])


def rounded_down(width: float) -> float:
    """Return `width` cut to three digits, so that the frame is a number people can quote.

    Examples
    --------
    >>> rounded_down(5.4378)
    5.43
    """
    if not width > 0:
        raise NotComputableError(
            f"frame: no width above 0 fits into both sides' fields (got {width}); look at the "
            "measured radii or choose --frame radius"
        )
    step = 10.0 ** (np.floor(np.log10(width)) - 2)
    return float(round(np.floor(width / step + 1e-9) * step, 12))


def inside(limits: Float64Array, width: float) -> BoolArray:
    """Return which images' own field holds a frame of `width`."""
    return np.asarray(limits >= width * (1 - 1e-12))
