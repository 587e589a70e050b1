"""Features that neither a quarter turn nor a mirror changes: their mean over all of them."""

from torch import Tensor, nn


class Averaged(nn.Module):
    """The mean of what `network` says of an image turned and mirrored.

    Eight versions of a square stamp, four of another. Training needs none of this: its
    augmentation turns and mirrors already. A trained network is only nearly indifferent;
    this one is, to rounding, for eight times the time.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(n, band, y, x)`` to features ``(n, width)``."""
        turns = range(4) if images.shape[2] == images.shape[3] else (0, 2)
        versions = [
            self.network(side.rot90(turn, (2, 3)))
            for side in (images, images.flip(3))
            for turn in turns
        ]
        total: Tensor = sum(versions[1:], start=versions[0])
        return total / len(versions)
