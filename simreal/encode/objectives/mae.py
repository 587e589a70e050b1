"""MAE: the patches that were left out are told from those that were seen."""

import torch
from torch import Tensor, nn

from simreal.encode.backbones import Backbone
from simreal.encode.backbones.small_vit import PATCH, Block, SmallViT, grid_of, patches, places
from simreal.encode.settings import EncoderSettings
from simreal.encode.training_draws import Masks

#: Share of the patches that are left out, the published one.
HIDDEN = 0.75

#: Width of the decoder, which has one block: what it cannot do the encoder must.
DECODER = 64


def reconstruction(told: Tensor, wanted: Tensor, hidden: Tensor) -> Tensor:
    """Return the mean squared error over the pixels of the hidden patches.

    He et al. (2022). Patches are not normalised one by one: how bright a patch is belongs
    to the galaxy, and empty sky would count as much as its arms.

    Parameters
    ----------
    told, wanted : Tensor (n, patch, pixel)
    hidden : Tensor of int (n, k)

    Examples
    --------
    >>> told, wanted = torch.zeros(1, 4, 2), torch.ones(1, 4, 2)
    >>> wanted[0, 3] = 9.0
    >>> reconstruction(told, wanted, torch.tensor([[0, 1]])).item()
    1.0
    """
    index = hidden[:, :, None].expand(-1, -1, wanted.shape[2])
    return ((told.gather(1, index) - wanted.gather(1, index)) ** 2).mean()


class Objective(nn.Module):
    """A narrow decoder, for training only, and the error of what it tells."""

    name = "mae"

    def __init__(self, network: Backbone, *, settings: EncoderSettings) -> None:  # noqa: ARG002
        super().__init__()
        self.masks = Masks(HIDDEN)
        self.enter = nn.Linear(network.width, DECODER)
        self.unseen = nn.Parameter(torch.zeros(1, 1, DECODER))
        self.block = Block(DECODER)
        self.norm = nn.LayerNorm(DECODER)
        self.tell = nn.Linear(DECODER, network.n_bands * PATCH**2)

    def forward(self, network: SmallViT, views: Tensor) -> Tensor:
        """Return the loss of `views` (2N, band, y, x), every view by itself."""
        standard = network.standardised(views)
        wanted = patches(standard)
        kept, hidden = self.masks.draw(*wanted.shape[:2])
        seen = self.enter(network.tokens(standard, kept))
        blank = self.unseen.expand(len(wanted), wanted.shape[1], -1)
        whole = blank.scatter(1, kept[:, :, None].expand(-1, -1, DECODER), seen)
        whole = whole + places(grid_of(standard), DECODER).to(whole)
        return reconstruction(self.tell(self.norm(self.block(whole))), wanted, hidden)
