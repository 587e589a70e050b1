"""The small residual network with a way back to pixels, by skips from every stage."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from simreal.core.arrays import Float64Array
from simreal.encode.backbones.small_residual import WIDTHS, SmallResidual


class SmallUNet(SmallResidual):
    """Features as those of `SmallResidual`, and a picture from all its stages.

    After Ronneberger et al. (2015). Both are stored, so that images can be denoised later.
    """

    def __init__(self, mean: Float64Array, scale: Float64Array, width: int = WIDTHS[-1]) -> None:
        super().__init__(mean, scale, width)
        below = (width, *WIDTHS[2:0:-1], WIDTHS[0])
        beside = (*WIDTHS[2::-1], len(mean))
        above = (*WIDTHS[2::-1], WIDTHS[0])
        self.rise = nn.ModuleList(
            nn.Conv2d(low + skip, out, 3, 1, 1)
            for low, skip, out in zip(below, beside, above, strict=True)
        )
        self.tell = nn.Conv2d(WIDTHS[0], len(mean), 1)

    def picture(self, standard: Tensor, levels: list[Tensor]) -> Tensor:
        """Return an image (n, band, y, x), standardised, from the maps of `standard`."""
        found = levels[-1]
        for rise, beside in zip(self.rise, [*levels[-2::-1], standard], strict=True):
            # Nearest and cut, for sides that no stride divides.
            wide = functional.interpolate(found, size=beside.shape[2:], mode="nearest")
            found = functional.relu(rise(torch.cat([wide, beside], dim=1)), inplace=True)
        told: Tensor = self.tell(found)
        return told

    def denoised(self, images: Tensor) -> Tensor:
        """Return `images` (n, band, y, x) as they would be without noise, in their unit."""
        standard = self.standardised(images)
        return self.picture(standard, self.levels(standard)) * self.scale + self.mean
