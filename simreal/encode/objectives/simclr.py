"""SimCLR: two views of one image agree, views of different images do not."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from simreal.encode.backbones import Backbone
from simreal.encode.settings import EncoderSettings

#: Length of the projected vectors the loss acts on.
PROJECTION = 64


def nt_xent(first: Tensor, second: Tensor, *, temperature: float) -> Tensor:
    """Return the normalised-temperature cross entropy, mean over the 2N anchors.

    For anchor i with partner j, ``-log(exp(z_i z_j / t) / sum_{k != i} exp(z_i z_k / t))``
    with unit vectors z (Chen et al. 2020). The original code adds the two per-view means,
    which is twice this.

    Parameters
    ----------
    first, second : Tensor (N, d)
        Row i of one and row i of the other are a pair.
    temperature : float

    Examples
    --------
    Identical vectors cannot be told apart, so the loss is that of guessing, ln(2N - 1):

    >>> ones = torch.ones(32, 8)
    >>> round(nt_xent(ones, ones, temperature=0.2).item(), 4)
    4.1431
    """
    n = len(first)
    unit = functional.normalize(torch.cat([first, second]), dim=1)
    logits = (unit @ unit.T / temperature).fill_diagonal_(float("-inf"))
    partner = torch.arange(2 * n, device=unit.device).roll(n)
    return functional.cross_entropy(logits, partner)


class Objective(nn.Module):
    """A projector, for training only, and the contrast of what it projects.

    An objective has one method, `forward`; its own parameters are trained and checkpointed
    with the network and thrown away with the loss.
    """

    name = "nt-xent"

    def __init__(self, network: Backbone, *, settings: EncoderSettings) -> None:
        super().__init__()
        self.temperature = settings.temperature
        self.projector = nn.Sequential(
            nn.Linear(network.width, network.width),
            nn.ReLU(inplace=True),
            nn.Linear(network.width, PROJECTION, bias=False),
        )

    def forward(self, network: nn.Module, views: Tensor) -> Tensor:
        """Return the loss of `views` (2N, band, y, x): first views, then second views."""
        first, second = self.projector(network(views)).chunk(2)
        return nt_xent(first, second, temperature=self.temperature)
