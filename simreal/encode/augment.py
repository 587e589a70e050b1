"""Augmentations: batched tensor operations whose every random number is in a table.

An operation takes images and, per image, a row of uniform numbers. The table of an epoch is
drawn at once and indexed by image, so neither the batch an image is in nor the number of
workers changes what happens to it.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from simreal.core import plugins
from simreal.core.arrays import Float32Array
from simreal.core.errors import UsageError
from simreal.core.images import ImageSource
from simreal.core.seeding import stream

PACKAGE, GROUP = "simreal.encode.augmentations", "simreal.augmentations"


class Operation(Protocol):
    """One change of an image that must not change what the encoder says of it."""

    @property
    def reason(self) -> str:
        """Why the answer must not depend on it."""
        ...

    @property
    def draws(self) -> int:
        """Uniform numbers it takes per image."""
        ...

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return changed images ``(n, band, y, x)``; `uniform` is ``(n, draws)`` in [0, 1)."""
        ...


@runtime_checkable
class Fitted(Protocol):
    """An operation that draws from what the images themselves are like."""

    def fitted(self, source: ImageSource) -> Operation:
        """Return a copy that has measured `source`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Operations in order, for one task."""

    name: str
    operations: tuple[Operation, ...]

    @property
    def draws(self) -> int:
        """Uniform numbers per image and view."""
        return sum(operation.draws for operation in self.operations)

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return augmented copies of `images`; row i of `uniform` belongs to image i.

        A band that is missing (not a number throughout) stays missing and changes no other.
        """
        # Missing bands are so everywhere, in the corner too.
        missing = torch.isnan(images[:, :, 0, 0])
        if missing.any():
            return self._around(images, uniform, missing[:, :, None, None])
        return self._applied(images, uniform)

    def _around(self, images: Tensor, uniform: Tensor, missing: Tensor) -> Tensor:
        # The mean of the other bands is what a mixture of bands does not notice; what comes out
        # in its place is thrown away.
        known = torch.where(missing, torch.zeros_like(images), images)
        share = (~missing).sum(1, keepdim=True).clamp_min(1)
        filled = torch.where(missing, known.sum(1, keepdim=True) / share, images)
        return self._applied(filled, uniform).masked_fill(missing, math.nan)

    def _applied(self, images: Tensor, uniform: Tensor) -> Tensor:
        start = 0
        for operation in self.operations:
            stop = start + operation.draws
            images = operation(images, uniform[:, start:stop])
            start = stop
        return images

    def fitted(self, source: ImageSource) -> "Preset":
        """Return a copy whose operations have measured `source` where they must."""
        operations = tuple(
            operation.fitted(source) if isinstance(operation, Fitted) else operation
            for operation in self.operations
        )
        return dataclasses.replace(self, operations=operations)

    def describe(self) -> list[dict[str, Any]]:
        """Return every operation with its parameters, JSON-able."""
        return [{"operation": repr(operation)} for operation in self.operations]


def load_preset(name: str) -> Preset:
    """Return the preset `name`, from the file of that name with underscores.

    Raises
    ------
    UsageError
        If there is no such preset.

    Examples
    --------
    >>> [type(o).__name__ for o in load_preset("galaxy-morphology").operations]
    ['Placement', 'Photometry', 'Blur', 'Noise']
    """
    try:
        module = plugins.load(PACKAGE, GROUP, name.replace("-", "_"))
    except UsageError as error:
        raise UsageError(str(error).replace("_", "-")) from None
    preset: Preset = module.PRESET
    return preset


def draw_views(preset: Preset, n: int, *, seed: int, epoch: int) -> Float32Array:
    """Return the random numbers of an epoch, ``(n, 2, draws)``: one row per image and view."""
    rng = stream(seed, "encode", "augment", str(epoch))
    return rng.random((n, 2, preset.draws), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Rotation, flip, zoom and sub-pixel shift, in one bilinear interpolation.

    What falls outside the image is mirrored, so no view has a padded corner.
    ``zoom`` is the largest factor either way, ``shift`` the largest shift [pixel].
    """

    zoom: float
    shift: float
    reason: str
    draws: int = 5

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return images seen from another angle."""
        angle, flip, zoom, right, up = uniform.unbind(1)
        matrix = placement_matrix(
            angle=2 * math.pi * angle,
            mirrored=flip < 0.5,
            zoom=torch.exp((2 * zoom - 1) * math.log(self.zoom)),
            shift=torch.stack([right, up], 1).mul(2).sub(1).mul(self.shift),
            size=(images.shape[2], images.shape[3]),
        )
        return place(images, matrix)


def placement_matrix(
    *, angle: Tensor, mirrored: Tensor, zoom: Tensor, shift: Tensor, size: tuple[int, int]
) -> Tensor:
    """Return the matrices ``(n, 2, 3)`` that look up where each output pixel comes from.

    Parameters
    ----------
    angle : Tensor (n,)
        [rad]
    mirrored : Tensor of bool (n,)
    zoom : Tensor (n,)
        Above 1 magnifies.
    shift : Tensor (n, 2)
        [pixel] right and up.
    size : (y, x)
    """
    cosine, sine = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    sign = torch.where(mirrored, -1.0, 1.0)
    # Offsets are in half-widths of the image; stamps that are not square keep their aspect.
    aspect = size[0] / size[1]
    rows = [
        cosine * sign, -sine * aspect, shift[:, 0] * (2 / size[1]),
        sine * sign / aspect, cosine, shift[:, 1] * (2 / size[0]),
    ]  # fmt: skip
    return torch.stack(rows, 1).view(-1, 2, 3)


def place(images: Tensor, matrix: Tensor) -> Tensor:
    """Return `images` interpolated where `matrix` (n, 2, 3) points, mirrored outside."""
    n, _, y, x = images.shape
    across, down = (_centres(size, images.device) for size in (x, y))
    grid = torch.empty(n, y, x, 2, device=images.device)
    for axis in range(2):
        # Broadcast sums; `affine_grid` does the same by a product three times as slow.
        along_x = matrix[:, axis, 0, None] * across
        along_y = matrix[:, axis, 1, None] * down + matrix[:, axis, 2, None]
        torch.add(along_x[:, None, :], along_y[:, :, None], out=grid[..., axis])
    return functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def _centres(size: int, device: torch.device) -> Tensor:
    return (2 * torch.arange(size, device=device) + 1) / size - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A window that loses up to half a ``share`` of the side at each end, at its own scale.

    What is outside the window is covered by its mirror image, so nothing is enlarged, and
    with a share below a half what is in the middle has no ghost.
    """

    share: float
    reason: str
    draws: int = 4

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return images without their rim."""
        for axis in (2, 3):
            size = images.shape[axis]
            ends = uniform[:, 2 * axis - 4 : 2 * axis - 2] * (self.share * size / 2 + 1)
            first, lost = ends.long().clamp_max(size // 2 - 1).split_with_sizes([1, 1], dim=1)
            length = size - first - lost
            inside = (torch.arange(size, device=images.device) - first).remainder(2 * length)
            rows = first + torch.minimum(inside, 2 * length - 1 - inside)
            shape = [len(images), 1, size, 1] if axis == 2 else [len(images), 1, 1, size]
            images = images.gather(axis, rows.view(shape).expand_as(images))
        return images


class Mix(Protocol):
    """A change of the bands that is linear: new bands = matrix @ old bands + offset."""

    @property
    def reason(self) -> str:
        """Why the answer must not depend on it."""
        ...

    @property
    def draws(self) -> int:
        """Uniform numbers it takes per image."""
        ...

    def __call__(self, mean: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Return matrix ``(n, band, band)`` and offset ``(n, band)``, given band means."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Photometry:
    """Several changes of the bands, composed as small matrices and applied once."""

    mixes: tuple[Mix, ...]

    @property
    def reason(self) -> str:
        """The reasons of its parts."""
        return "; ".join(mix.reason for mix in self.mixes)

    @property
    def draws(self) -> int:
        """Uniform numbers it takes per image."""
        return sum(mix.draws for mix in self.mixes)

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return images of another brightness, contrast and colour."""
        mean = images.mean(dim=(2, 3))
        matrix = _identity(mean)
        offset, start = torch.zeros_like(mean), 0
        for mix in self.mixes:
            now = torch.bmm(matrix, mean[:, :, None])[:, :, 0] + offset
            then, shift = mix(now, uniform[:, start : start + mix.draws])
            matrix = torch.bmm(then, matrix)
            offset = torch.bmm(then, offset[:, :, None])[:, :, 0] + shift
            start += mix.draws
        mixed = torch.baddbmm(offset[:, :, None], matrix, images.flatten(2))
        return mixed.view(images.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brightness:
    """A common gain on all bands, between ``1 - strength`` and ``1 + strength``."""

    strength: float
    reason: str
    draws: int = 1

    def __call__(self, mean: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Return a multiple of the identity."""
        gain = _around_one(uniform, self.strength)
        return gain[:, :, None] * _identity(mean), torch.zeros_like(mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Differences from the image's own mean, scaled by ``1 - strength`` to ``1 + strength``.

    The mean is that over all bands, so colours keep their order.
    """

    strength: float
    reason: str
    draws: int = 1

    def __call__(self, mean: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Return a multiple of the identity and what restores the mean."""
        factor = _around_one(uniform, self.strength)
        offset = (1 - factor) * mean.mean(dim=1, keepdim=True)
        return factor[:, :, None] * _identity(mean), offset.expand_as(mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """Saturation about the mean over bands, then a gain per band; nothing for one band.

    At most ``bands`` gains are drawn; further bands keep theirs.
    """

    saturation: float
    gain: float
    reason: str
    bands: int = 8

    @property
    def draws(self) -> int:
        """Uniform numbers it takes per image."""
        return 1 + self.bands

    def __call__(self, mean: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixture of the bands."""
        n_bands = mean.shape[1]
        if n_bands == 1:
            return _identity(mean), torch.zeros_like(mean)
        saturation = _around_one(uniform[:, :1, None], self.saturation)
        gains = torch.ones_like(mean)
        drawn = min(n_bands, self.bands)
        gains[:, :drawn] = _around_one(uniform[:, 1 : 1 + drawn], self.gain)
        mix = saturation * _identity(mean) + (1 - saturation) / n_bands
        return mix * gains[:, :, None], torch.zeros_like(mean)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blur:
    """A Gaussian blur of up to ``sigma`` [pixel] on a ``share`` of the images.

    The kernel has five taps and mirrors at the border.
    """

    sigma: float
    share: float
    reason: str
    draws: int = 2

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return images of which some are blurred."""
        chosen = torch.nonzero(uniform[:, 0] < self.share).squeeze(1)
        sigma = (uniform[chosen, 1] * self.sigma).clamp_min(1e-3)
        return images.index_copy(0, chosen, blur(images[chosen], sigma))


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Return `images` (n, band, y, x) blurred by a Gaussian of `sigma` (n,) [pixel] each.

    Five taps per axis, mirrored at the border, as weighted sums of shifted views.
    """
    offsets = torch.arange(3, device=images.device)
    taps = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    taps = taps / (2 * taps.sum(1, keepdim=True) - taps[:, :1])
    weights = taps.to(images.dtype)[:, :, None, None, None].unbind(1)
    return _smoothed(_smoothed(images, weights, axis=2), weights, axis=3)


def _smoothed(images: Tensor, weights: Sequence[Tensor], *, axis: int) -> Tensor:
    size = images.shape[axis]
    first, last = images.narrow(axis, 0, 2).flip(axis), images.narrow(axis, size - 2, 2).flip(axis)
    wide = torch.cat([first, images, last], axis)
    shifted = [wide.narrow(axis, k, size) for k in range(5)]
    near, far = shifted[1] + shifted[3], shifted[0] + shifted[4]
    smooth = torch.mul(images, weights[0])
    return smooth.addcmul_(near, weights[1]).addcmul_(far, weights[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """White Gaussian noise of up to ``sigma`` [unit of the images], from a fixed bank."""

    sigma: float
    reason: str
    draws: int = 3

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return noisier images."""
        amplitude, place, sign = uniform.unbind(1)
        drawn = _noise_windows(images, place)
        amplitude = amplitude * torch.where(sign < 0.5, -self.sigma, self.sigma)
        return torch.addcmul(images, drawn, amplitude[:, None, None, None])


def white_noise(images: Tensor, *, place: Tensor, sign: Tensor) -> Tensor:
    """Return white noise of unit width in the shape of `images`, drawn by two uniform numbers."""
    flipped = torch.where(sign < 0.5, -1.0, 1.0)
    return _noise_windows(images, place) * flipped[:, None, None, None]


def _noise_windows(images: Tensor, place: Tensor) -> Tensor:
    length = images[0].numel()
    bank = _noise_bank(max(_BANK, 4 * length)).to(images)
    windows = bank.unfold(0, length, _STRIDE)
    return windows[(place * len(windows)).long()].view(images.shape)


#: A million numbers and a stride prime to every row length: 75,000 different noise images,
#: each met with either sign.
_BANK, _STRIDE = 1 << 20, 13


@functools.lru_cache(maxsize=4)
def _noise_bank(size: int) -> Tensor:
    values = stream(0, "encode", "noise bank").standard_normal(size, dtype=np.float32)
    return torch.from_numpy(values)


def _identity(mean: Tensor) -> Tensor:
    one = torch.eye(mean.shape[1], device=mean.device, dtype=mean.dtype)
    return one.expand(len(mean), -1, -1)


def _around_one(uniform: Tensor, strength: float) -> Tensor:
    return 1 + (2 * uniform - 1) * strength
