"""VICReg: views agree, every feature varies, and no two features vary together."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from simreal.encode.backbones import Backbone
from simreal.encode.settings import EncoderSettings

#: Weights of the three terms, the published ones.
INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0

#: Length of the expanded vectors the loss acts on; only differences between features are
#: penalised, so more of them than the network has features cost nothing.
EXPANSION = 256

_EPSILON = 1e-4


def vicreg(first: Tensor, second: Tensor) -> Tensor:
    """Return the loss of Bardes, Ponce and LeCun (2022).

    25 times the mean squared difference of the pairs, 25 times the mean over both views of
    ``max(0, 1 - standard deviation)`` averaged over features, and once the sum over both
    views of the squared covariances off the diagonal over d. A single pair has neither
    variance nor covariance and costs its difference.

    Parameters
    ----------
    first, second : Tensor (N, d)
        Row i of one and row i of the other are a pair.

    Examples
    --------
    A collapsed embedding agrees with itself and varies in nothing:

    >>> round(vicreg(torch.zeros(8, 4), torch.zeros(8, 4)).item(), 4)
    24.75
    """
    loss = INVARIANCE * functional.mse_loss(first, second)
    if len(first) == 1:
        return loss
    hinge = (_short_of_one(first) + _short_of_one(second)) / 2
    return loss + VARIANCE * hinge + COVARIANCE * (_redundancy(first) + _redundancy(second))


def _short_of_one(vectors: Tensor) -> Tensor:
    deviation = torch.sqrt(vectors.var(dim=0) + _EPSILON)
    return functional.relu(1 - deviation).mean()


def _redundancy(vectors: Tensor) -> Tensor:
    centred = vectors - vectors.mean(dim=0)
    squares = (centred.T @ centred / (len(vectors) - 1)) ** 2
    return (squares.sum() - squares.diagonal().sum()) / vectors.shape[1]


class Objective(nn.Module):
    """An expander, for training only, and the three terms on what it expands."""

    name = "vicreg"

    def __init__(self, network: Backbone, *, settings: EncoderSettings) -> None:  # noqa: ARG002
        super().__init__()
        self.expander = nn.Sequential(
            nn.Linear(network.width, EXPANSION, bias=False),
            nn.BatchNorm1d(EXPANSION),
            nn.ReLU(inplace=True),
            nn.Linear(EXPANSION, EXPANSION, bias=False),
        )

    def forward(self, network: nn.Module, views: Tensor) -> Tensor:
        """Return the loss of `views` (2N, band, y, x): first views, then second views."""
        first, second = self.expander(network(views)).chunk(2)
        return vicreg(first, second)
