"""One change of an image at a time, as published augmentations name them.

The presets of this house compose several changes into one pass where they can
(`augment.Placement`, `augment.Photometry`); these are for whoever wants to name, order or leave
out each by itself. Every number drawn is in the table of the epoch, as in `augment`.
"""

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from simreal.core.images import ImageSource
from simreal.encode.augment import Fitted, Operation, place, placement_matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Sometimes:
    """Another operation on a ``share`` of the images; the others stay as they are."""

    operation: Operation
    share: float

    @property
    def reason(self) -> str:
        """The reason of what is done."""
        return self.operation.reason

    @property
    def draws(self) -> int:
        """Uniform numbers it takes per image."""
        return 1 + self.operation.draws

    def fitted(self, source: ImageSource) -> "Sometimes":
        """Return a copy whose operation has measured `source` where it must."""
        if not isinstance(self.operation, Fitted):
            return self
        return dataclasses.replace(self, operation=self.operation.fitted(source))

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return images of which some are changed."""
        chosen = torch.nonzero(uniform[:, 0] < self.share).squeeze(1)
        if not len(chosen):
            return images
        return images.index_copy(0, chosen, self.operation(images[chosen], uniform[chosen, 1:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A mirror image left to right, upside down, or both, each with a chance of one half.

    Pixels move, none is computed.
    """

    reason: str
    draws: int = 2

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return images of which some are mirrored."""
        for axis, draw in ((3, uniform[:, 0]), (2, uniform[:, 1])):
            images = torch.where((draw < 0.5)[:, None, None, None], images.flip(axis), images)
        return images


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarterTurns:
    """None to three quarter turns, each as likely; half turns of a stamp that is not square.

    Pixels move, none is computed.
    """

    reason: str
    draws: int = 1

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return turned images."""
        step = 1 if images.shape[2] == images.shape[3] else 2
        turns = step * (uniform[:, 0] * (4 // step)).long()
        turned = images.clone()
        for turn in range(step, 4, step):
            chosen = torch.nonzero(turns == turn).squeeze(1)
            turned[chosen] = images[chosen].rot90(turn, (2, 3))
        return turned


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeShift:
    """A shift by whole pixels, up to ``shift`` of them either way.

    What comes in at the rim is the image's own mirror image. Pixels move, none is computed.
    """

    shift: int
    reason: str
    draws: int = 2

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return moved images."""
        moves = (uniform * (2 * self.shift + 1)).long() - self.shift
        for axis in (2, 3):
            size = images.shape[axis]
            place_of = torch.arange(size, device=images.device) + moves[:, axis - 2, None]
            inside = place_of.remainder(2 * size)
            rows = torch.minimum(inside, 2 * size - 1 - inside)
            shape = [len(images), 1, size, 1] if axis == 2 else [len(images), 1, 1, size]
            images = images.gather(axis, rows.view(shape).expand_as(images))
        return images


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A shift of up to ``shift`` [pixel] either way along both axes, parts of pixels too."""

    shift: float
    reason: str
    draws: int = 2

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return moved images, mirrored outside."""
        return _placed(images, shift=(2 * uniform - 1) * self.shift)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A turn by up to ``degrees`` either way about the middle of the image."""

    degrees: float
    reason: str
    draws: int = 1

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return turned images, mirrored outside."""
        return _placed(images, angle=(2 * uniform[:, 0] - 1) * math.radians(self.degrees))


@dataclass(frozen=True, slots=True, kw_only=True)
class Zoom:
    """An enlargement by a factor up to ``zoom`` either way, as likely above as below 1.

    Brightness per pixel is kept, not the light: a galaxy brought nearer.
    """

    zoom: float
    reason: str
    draws: int = 1

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return enlarged and reduced images, mirrored outside."""
        return _placed(images, zoom=torch.exp((2 * uniform[:, 0] - 1) * math.log(self.zoom)))


def _placed(
    images: Tensor,
    *,
    angle: Tensor | None = None,
    zoom: Tensor | None = None,
    shift: Tensor | None = None,
) -> Tensor:
    none = torch.zeros(len(images), device=images.device)
    matrix = placement_matrix(
        angle=none if angle is None else angle,
        mirrored=none > 0,
        zoom=none + 1 if zoom is None else zoom,
        shift=torch.stack([none, none], 1) if shift is None else shift,
        size=(images.shape[2], images.shape[3]),
    )
    return place(images, matrix)


@dataclass(frozen=True, slots=True, kw_only=True)
class CropAndResize:
    """A window at random, enlarged to the whole frame (Szegedy et al. 2015).

    The window has a share of the area between ``least_area`` and 1 and is up to
    ``stretch`` times wider or higher than the frame's own shape; it lies inside the frame.
    """

    least_area: float
    stretch: float
    reason: str
    draws: int = 4

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return enlarged parts of the images."""
        area = self.least_area + (1 - self.least_area) * uniform[:, 0]
        ratio = torch.exp((2 * uniform[:, 1] - 1) * math.log(self.stretch))
        width = (area * ratio).sqrt().clamp_max(1)
        height = (area / ratio).sqrt().clamp_max(1)
        right, down = (
            (2 * draw - 1) * (1 - side)
            for draw, side in ((uniform[:, 2], width), (uniform[:, 3], height))
        )
        none = torch.zeros_like(area)
        rows = [width, none, right, none, height, down]
        return place(images, torch.stack(rows, 1).view(-1, 2, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourDrop:
    """Every band replaced by the mean of all: a grey image. One band stays as it is."""

    reason: str
    draws: int = 0

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:  # noqa: ARG002
        """Return grey images."""
        return images.mean(dim=1, keepdim=True).expand_as(images).contiguous()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutout:
    """A rectangle of ``side`` times the image's sides, anywhere inside, painted over.

    The paint is the mean of the image and band, which says nothing of what was there
    (DeVries & Taylor 2017).
    """

    side: float
    reason: str
    draws: int = 2

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return images with a hole."""
        inside = []
        for axis in (2, 3):
            size = images.shape[axis]
            length = round(self.side * size)
            first = (uniform[:, axis - 2] * (size - length + 1)).long()[:, None]
            pixel = torch.arange(size, device=images.device)
            inside.append((pixel >= first) & (pixel < first + length))
        hole = (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
        return torch.where(hole, images.mean(dim=(2, 3), keepdim=True), images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sobel:
    """The steepness of every band (Sobel's filter), in units of the image per pixel."""

    reason: str
    draws: int = 0

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:  # noqa: ARG002
        """Return images of edges, with the rim continued outside."""
        wide = functional.pad(images, [1, 1, 1, 1], mode="replicate")
        slopes = []
        for along, across in ((2, 3), (3, 2)):
            size, other = images.shape[along], images.shape[across]
            before, here, after = (wide.narrow(across, k, other) for k in range(3))
            smooth = (before + 2 * here + after) / 4
            slopes.append((smooth.narrow(along, 2, size) - smooth.narrow(along, 0, size)) / 2)
        return torch.hypot(*slopes)
