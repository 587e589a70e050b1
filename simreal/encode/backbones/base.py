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
    presence : bool
        Whether images may lack bands. A band that is not a number throughout is missing: it
        reads 0, the mean of the pool, and a second plane for every band says that it is
        missing (1), not faint (0).
    """

    def __init__(
        self,
        mean: Float64Array,
        scale: Float64Array,
        *,
        width: int,
        stride: int,
        presence: bool = False,
    ) -> None:
        super().__init__()
        constants = [torch.as_tensor(c, dtype=torch.float32)[:, None, None] for c in (mean, scale)]
        self.register_buffer("mean", constants[0])
        self.register_buffer("scale", constants[1])
        self.mean: Tensor
        self.scale: Tensor
        self.width, self.stride = width, stride
        if presence:
            # Stored with the weights, so that they say themselves what they take.
            self.register_buffer("presence", torch.ones(1))
        self.n_inputs = len(mean) * (2 if presence else 1)

    @property
    def n_bands(self) -> int:
        """Bands of the images."""
        return len(self.mean)

    def standardised(self, images: Tensor) -> Tensor:
        """Return `images` in units of the pool's standard deviation from its mean."""
        standard = (images - self.mean) / self.scale
        if self.n_inputs == self.n_bands:
            return standard
        missing = torch.isnan(standard).flatten(2).all(2)[:, :, None, None]
        known = torch.where(missing, torch.zeros_like(standard), standard)
        return torch.cat([known, missing.to(standard.dtype).expand_as(standard)], dim=1)

    def maps(self, standard: Tensor) -> Tensor:
        """Map standardised images to ``(n, width, ceil(y / stride), ceil(x / stride))``."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(n, band, y, x)`` to features ``(n, width)``."""
        return self.maps(self.standardised(images)).mean(dim=(2, 3))
