"""A small residual network that is quick on a CPU and takes any bands."""

from torch import Tensor, nn
from torch.nn import functional

from simreal.core.arrays import Float64Array
from simreal.encode.backbones.base import Backbone

#: Channels of the four stages; the last is the length of a feature vector. Multiples of 16
#: are what vector units and their convolution kernels like: 24, 48, 96 take twice as long.
WIDTHS = (16, 32, 64, 128)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al. 2016), halving the image if asked."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(width_out)
        self.second = nn.Conv2d(width_out, width_out, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(width_out)
        self.shortcut = (
            nn.Identity()
            if width_in == width_out and stride == 1
            else nn.Conv2d(width_in, width_out, 1, stride, bias=False)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(n, width_in, y, x)`` to ``(n, width_out, y / stride, x / stride)``."""
        inner = functional.relu(self.first_norm(self.first(images)), inplace=True)
        inner = self.second_norm(self.second(inner))
        return functional.relu(inner + self.shortcut(images), inplace=True)


class SmallResidual(Backbone):
    """Four stages, a sixteenth of the image's side at the end.

    Batch statistics are those of mixed batches in training and the pooled running ones
    afterwards, so a vector never depends on its neighbours.
    """

    def __init__(
        self,
        mean: Float64Array,
        scale: Float64Array,
        width: int = WIDTHS[-1],
        *,
        presence: bool = False,
    ) -> None:
        super().__init__(mean, scale, width=width, stride=16, presence=presence)
        # Stride 2 at once: at full resolution a layer costs four times as much and sees noise.
        self.stem = nn.Conv2d(self.n_inputs, WIDTHS[0], 5, 2, 2, bias=False)
        self.stem_norm = nn.BatchNorm2d(WIDTHS[0])
        widths = (*WIDTHS[:3], width)
        self.stages = nn.Sequential(
            ResidualBlock(widths[0], widths[0], 1),
            ResidualBlock(widths[0], widths[1], 2),
            ResidualBlock(widths[1], widths[2], 2),
            ResidualBlock(widths[2], widths[3], 2),
        )

    def maps(self, standard: Tensor) -> Tensor:
        """Map standardised images to features on a grid sixteen times coarser."""
        return self.levels(standard)[-1]

    def levels(self, standard: Tensor) -> list[Tensor]:
        """Return the maps after every stage, a half to a sixteenth of the image's side."""
        found = functional.relu(self.stem_norm(self.stem(standard)), inplace=True)
        maps = []
        for stage in self.stages:
            found = stage(found)
            maps.append(found)
        return maps
