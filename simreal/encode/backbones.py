"""The network: a small residual encoder that is quick on a CPU and takes any bands."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from simreal.core.arrays import AnyArray, Float64Array

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


class SmallResidual(nn.Module):
    """Images ``(n, band, y, x)`` in, features ``(n, width)`` out; any size from 32 pixels.

    The first layer standardises every band with constants of the pooled images, which are
    stored with the weights. Batch statistics are those of mixed batches in training and
    the pooled running ones afterwards, so a vector never depends on its neighbours.
    """

    def __init__(self, mean: Float64Array, scale: Float64Array, width: int = WIDTHS[-1]) -> None:
        super().__init__()
        constants = [torch.as_tensor(c, dtype=torch.float32)[:, None, None] for c in (mean, scale)]
        self.register_buffer("mean", constants[0])
        self.register_buffer("scale", constants[1])
        self.mean: Tensor
        self.scale: Tensor
        # Stride 2 at once: at full resolution a layer costs four times as much and sees noise.
        self.stem = nn.Conv2d(len(mean), WIDTHS[0], 5, 2, 2, bias=False)
        self.stem_norm = nn.BatchNorm2d(WIDTHS[0])
        self.width = width
        widths = (*WIDTHS[:3], width)
        self.stages = nn.Sequential(
            ResidualBlock(widths[0], widths[0], 1),
            ResidualBlock(widths[0], widths[1], 2),
            ResidualBlock(widths[1], widths[2], 2),
            ResidualBlock(widths[2], widths[3], 2),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(n, band, y, x)`` to features ``(n, width)``."""
        standard = (images - self.mean) / self.scale
        stem = functional.relu(self.stem_norm(self.stem(standard)), inplace=True)
        features: Tensor = self.stages(stem).mean(dim=(2, 3))
        return features


def stored_network(weights: Mapping[str, AnyArray]) -> SmallResidual:
    """Return the network whose `state_dict` is `weights`; the random state is left alone."""
    mean, scale = (weights[name].reshape(-1).astype(np.float64) for name in ("mean", "scale"))
    width = len(weights["stages.3.second_norm.weight"])
    with torch.random.fork_rng(devices=[]):
        network = SmallResidual(mean, scale, width)
    network.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    return network.to(memory_format=torch.channels_last)
