"""What every backbone is: bands standardised, a map of features, and their mean."""

import torch
from torch import Tensor, nn

from simreal.core.arrays import Float64Array


class Backbone(nn.Module):
    """Images ``(n, band, y, x)`` in, features ``(n, width)`` out; any size from 32 pixels.

    The first layer standardises every band with constants of the pooled images, which are
    stored with the weights.

    Parameters
    ----------
    mean, scale : array (band,)
    width : int
        Length of a feature vector.
    stride : int
        Pixels of the image per pixel of the map, either way.
    """

    def __init__(self, mean: Float64Array, scale: Float64Array, *, width: int, stride: int) -> None:
        super().__init__()
        constants = [torch.as_tensor(c, dtype=torch.float32)[:, None, None] for c in (mean, scale)]
        self.register_buffer("mean", constants[0])
        self.register_buffer("scale", constants[1])
        self.mean: Tensor
        self.scale: Tensor
        self.width, self.stride = width, stride

    @property
    def n_bands(self) -> int:
        """Bands of the images."""
        return len(self.mean)

    def standardised(self, images: Tensor) -> Tensor:
        """Return `images` in units of the pool's standard deviation from its mean."""
        return (images - self.mean) / self.scale

    def maps(self, standard: Tensor) -> Tensor:
        """Map standardised images to ``(n, width, ceil(y / stride), ceil(x / stride))``."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(n, band, y, x)`` to features ``(n, width)``."""
        return self.maps(self.standardised(images)).mean(dim=(2, 3))
