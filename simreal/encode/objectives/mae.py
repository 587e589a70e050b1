"""MAE: the patches that were left out are told from those that were seen."""

from typing import cast

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


def whole_of(cut: Tensor, images: Tensor) -> Tensor:
    """Return the images ``(n, band, y, x)`` whose `patches` are `cut`, of the shape of `images`.

    Examples
    --------
    >>> images = torch.rand(2, 3, 20, 17)
    >>> bool((whole_of(patches(images), images) == images).all())
    True
    """
    (down, across), (n, bands, y, x) = grid_of(images), images.shape
    placed = cut.view(n, down, across, PATCH, PATCH, bands).permute(0, 5, 1, 3, 2, 4)
    return placed.reshape(n, bands, down * PATCH, across * PATCH)[:, :, :y, :x]


class Decoder(nn.Module):
    """One narrow block that tells every patch from the features of those that were seen."""

    def __init__(self, network: Backbone) -> None:
        super().__init__()
        self.enter = nn.Linear(network.width, DECODER)
        self.unseen = nn.Parameter(torch.zeros(1, 1, DECODER))
        self.block = Block(DECODER)
        self.norm = nn.LayerNorm(DECODER)
        self.tell = nn.Linear(DECODER, network.n_bands * PATCH**2)


def tell(network: SmallViT, standard: Tensor, kept: Tensor) -> Tensor:
    """Return the patches ``(n, patch, pixel)`` told from those of standardised images in `kept`.

    Parameters
    ----------
    network : SmallViT
        That of an `Objective`.
    standard : Tensor (n, band, y, x)
    kept : Tensor of int (n, k)
        Patches that are seen.
    """
    decoder, (down, across) = cast(Decoder, network.decoder), grid_of(standard)
    seen = decoder.enter(network.tokens(standard, kept))
    blank = decoder.unseen.expand(len(standard), down * across, -1)
    whole = blank.scatter(1, kept[:, :, None].expand(-1, -1, DECODER), seen)
    whole = whole + places((down, across), DECODER).to(whole)
    told: Tensor = decoder.tell(decoder.norm(decoder.block(whole)))
    return told


class Objective(nn.Module):
    """Masks, for training only; the decoder is left with the network, for pictures."""

    name = "mae"

    def __init__(self, network: Backbone, *, settings: EncoderSettings) -> None:  # noqa: ARG002
        super().__init__()
        self.masks = Masks(HIDDEN)
        network.decoder = Decoder(network)

    def forward(self, network: SmallViT, views: Tensor) -> Tensor:
        """Return the loss of `views` (2N, band, y, x), every view by itself."""
        standard = network.standardised(views)
        wanted = patches(standard)
        kept, hidden = self.masks.draw(*wanted.shape[:2])
        return reconstruction(tell(network, standard, kept), wanted, hidden)
