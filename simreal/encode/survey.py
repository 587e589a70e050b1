"""Augmentations in the terms of the survey: its seeing, depth and sky, not a round number.

What the images say of their own depth is measured once, over the whole pool, and an epoch
draws from that distribution. No side is known, so a simulated image may get the depth of an
observed one and the other way round.
"""

import dataclasses
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from simreal.core.arrays import Float32Array, Float64Array
from simreal.core.images import ImageSource
from simreal.encode.augment import blur, white_noise

#: Points at which a distribution is kept.
_QUANTILES = 101

#: Images whose sky is measured; more would change no quantile that matters.
_MEASURED = 4096

_BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurveySky:
    """The sky level and depth of another field of the pool.

    An image's sky becomes that of a quantile drawn per image, and white noise is added
    until it is as noisy as a quantile drawn likewise, the same in all bands: a shallow
    field is shallow in all. Noise can only be added. Until it is `fitted` nothing changes.
    """

    reason: str
    levels: Float32Array | None = field(default=None, repr=False)
    widths: Float32Array | None = field(default=None, repr=False)
    draws: int = 4

    def fitted(self, source: ImageSource) -> "SurveySky":
        """Return a copy that knows the distributions of sky and noise of `source`."""
        n = source.shape[0]
        rows = np.unique(np.linspace(0, n - 1, min(n, _MEASURED)).astype(np.int64))
        parts = [
            sky_of(torch.from_numpy(np.array(source.read(rows[start : start + _BLOCK]))))
            for start in range(0, len(rows), _BLOCK)
        ]
        share = np.linspace(0, 1, _QUANTILES)
        levels, widths = (
            _quantiles(torch.cat(part).numpy(), share) for part in zip(*parts, strict=True)
        )
        return dataclasses.replace(self, levels=levels, widths=widths)

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return images under another sky."""
        if self.levels is None or self.widths is None:
            return images
        level, width = sky_of(images)
        wanted = _drawn(self.levels, uniform[:, 0])
        target = _drawn(self.widths, uniform[:, 1])
        sigma = (target**2 - width**2).clamp_min(0).sqrt()
        noise = white_noise(images, place=uniform[:, 2], sign=uniform[:, 3])
        moved = images + (wanted - level)[:, :, None, None]
        return torch.addcmul(moved, noise, sigma[:, :, None, None])


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeing:
    """A Gaussian blur whose width is log-normal, as that of the seeing is.

    ``median`` [pixel] is that of the blur's standard deviation, ``scatter`` the standard
    deviation of its natural logarithm; it is cut at ``largest`` [pixel], what the kernel holds.
    """

    median: float
    scatter: float
    reason: str
    largest: float = 0.8
    draws: int = 1

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return images under another seeing."""
        inside = uniform[:, 0].clamp(1e-6, 1 - 1e-6)
        normal = math.sqrt(2) * torch.erfinv(2 * inside - 1)
        return blur(
            images, (self.median * torch.exp(self.scatter * normal)).clamp_max(self.largest)
        )


def sky_of(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return level and rms ``(n, band)`` of the darker pair of opposite corners.

    Median and 1.4826 median absolute deviations of squares of an eighth of the side.

    Parameters
    ----------
    images : Tensor (n, band, y, x)
    """
    high, wide = (max(4, size // 8) for size in images.shape[2:])
    top, bottom = images[:, :, :high], images[:, :, -high:]
    pairs = [
        torch.cat([one[..., :wide].flatten(2), other[..., -wide:].flatten(2)], dim=2)
        for one, other in ((top, bottom), (bottom, top))
    ]
    darker = (pairs[0].mean((1, 2)) <= pairs[1].mean((1, 2)))[:, None, None]
    corner = torch.where(darker, pairs[0], pairs[1])
    level = corner.median(dim=2).values
    return level, 1.4826 * (corner - level[:, :, None]).abs().median(dim=2).values


def _quantiles(values: Float32Array, share: Float64Array) -> Float32Array:
    """Return quantiles of every band over the images that have it, 0 if none has."""
    if not np.isnan(values).any():
        return np.quantile(values, share, axis=0).astype(np.float32)
    columns = [column[~np.isnan(column)] for column in values.T]
    found = [np.quantile(c, share) if len(c) else np.zeros_like(share) for c in columns]
    return np.stack(found, axis=1).astype(np.float32)


def _drawn(table: Float32Array, uniform: Tensor) -> Tensor:
    """Return for every row the quantile `uniform` of every column of `table`."""
    values = torch.from_numpy(table).to(uniform.device)
    place = uniform * (len(values) - 1)
    low = place.long().clamp_max(len(values) - 2)
    return torch.lerp(values[low], values[low + 1], (place - low)[:, None])
