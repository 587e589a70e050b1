"""NNCLR: a view agrees with the nearest neighbour of the other among vectors seen lately."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from simreal.encode.backbones import Backbone
from simreal.encode.objectives.simclr import PROJECTION, nt_xent
from simreal.encode.settings import EncoderSettings

#: Vectors in the support queue. Sets here hold hundreds of galaxies: in a longer queue the
#: nearest neighbour of a galaxy is the galaxy itself, an epoch ago.
SUPPORT = 512

#: Hidden width of the predictor.
_HIDDEN = 128


class SupportQueue(nn.Module):
    """The unit vectors of the latest objects, first in first out, without gradients.

    It starts with random directions and is part of the state that a checkpoint keeps.
    """

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("vectors", functional.normalize(torch.randn(length, width), dim=1))
        self.register_buffer("start", torch.zeros(1, dtype=torch.int64))
        self.vectors: Tensor
        self.start: Tensor

    @torch.no_grad()
    def nearest(self, vectors: Tensor) -> Tensor:
        """Return for every row the vector in the queue with the largest cosine."""
        # A row's own length changes no order of its cosines.
        return self.vectors[(vectors @ self.vectors.T).argmax(dim=1)]

    @torch.no_grad()
    def push(self, vectors: Tensor) -> None:
        """Put unit vectors of the rows in the place of the oldest."""
        length = len(self.vectors)
        newest = functional.normalize(vectors, dim=1)[-length:]
        places = (self.start + torch.arange(len(newest), device=newest.device)) % length
        self.vectors[places] = newest
        self.start.copy_((self.start + len(newest)) % length)


def nnclr(
    neighbours: tuple[Tensor, Tensor], predicted: tuple[Tensor, Tensor], *, temperature: float
) -> Tensor:
    """Return the loss of Dwibedi et al. (2021) over both directions.

    The mean of `nt_xent` between the neighbours of the first views and the predictions of
    the second, and the other way round: as lightly has it, where the rows of one side are
    negatives of each other too. The paper's sum runs over the other side only.

    Parameters
    ----------
    neighbours, predicted : tuple of two Tensor (N, d)
        Of the first and of the second views.
    temperature : float
    """
    there = nt_xent(neighbours[0], predicted[1], temperature=temperature)
    back = nt_xent(neighbours[1], predicted[0], temperature=temperature)
    return (there + back) / 2


class Objective(nn.Module):
    """A projector, a predictor and the queue, for training only."""

    name = "nnclr"

    def __init__(self, network: Backbone, *, settings: EncoderSettings) -> None:
        super().__init__()
        self.temperature = settings.temperature
        self.projector = nn.Sequential(
            nn.Linear(network.width, network.width),
            nn.ReLU(inplace=True),
            nn.Linear(network.width, PROJECTION, bias=False),
        )
        self.predictor = nn.Sequential(
            nn.Linear(PROJECTION, _HIDDEN, bias=False),
            nn.BatchNorm1d(_HIDDEN),
            nn.ReLU(inplace=True),
            nn.Linear(_HIDDEN, PROJECTION),
        )
        self.queue = SupportQueue(SUPPORT, PROJECTION)

    def forward(self, network: nn.Module, views: Tensor) -> Tensor:
        """Return the loss of `views` (2N, band, y, x): first views, then second views."""
        projected = self.projector(network(views))
        first, second = projected.chunk(2)
        here, there = self.predictor(projected).chunk(2)
        neighbours = self.queue.nearest(first), self.queue.nearest(second)
        loss = nnclr(neighbours, (here, there), temperature=self.temperature)
        self.queue.push(first)
        return loss
