"""SimMIM: patches of the image are painted over and their pixels asked for."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from simreal.encode.backbones import Backbone
from simreal.encode.settings import EncoderSettings
from simreal.encode.training_draws import Masks

#: Share of the patches that are painted over, and their side [pixel].
HIDDEN, PATCH = 0.6, 8


def masked_difference(told: Tensor, wanted: Tensor, hidden: Tensor) -> Tensor:
    """Return the mean absolute difference over hidden pixels (Xie et al. 2022).

    Parameters
    ----------
    told, wanted : Tensor (n, band, y, x)
    hidden : Tensor of bool (n, 1, y, x)

    Examples
    --------
    >>> told, wanted = torch.zeros(1, 2, 1, 2), torch.tensor([[[[1.0, 9.0]], [[3.0, 9.0]]]])
    >>> masked_difference(told, wanted, torch.tensor([[[[True, False]]]])).item()
    2.0
    """
    return ((told - wanted).abs() * hidden).sum() / (hidden.sum() * wanted.shape[1])


def painted(kept: Tensor, size: tuple[int, int]) -> Tensor:
    """Return which pixels are hidden ``(n, 1, y, x)``, True where a patch is not `kept` (n, k)."""
    down, across = (-(-side // PATCH) for side in size)
    hidden = torch.ones(len(kept), down * across, dtype=torch.bool, device=kept.device)
    hidden = hidden.scatter(1, kept, False).view(-1, 1, down, across)  # noqa: FBT003
    wide = hidden.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)
    return wide[:, :, : size[0], : size[1]]


class Decoder(nn.Module):
    """The colour of the paint and one linear layer that tells pixels."""

    def __init__(self, network: Backbone) -> None:
        super().__init__()
        self.paint = nn.Parameter(torch.zeros(network.n_bands, 1, 1))
        self.tell = nn.Conv2d(network.width, network.n_bands * network.stride**2, 1)


def tell(network: Backbone, standard: Tensor, kept: Tensor) -> Tensor:
    """Return what `network` and its decoder make of standardised images, painted but for `kept`.

    Parameters
    ----------
    network : Backbone
        That of an `Objective`.
    standard : Tensor (n, band, y, x)
    kept : Tensor of int (n, k)
        Patches that are not painted over.
    """
    decoder, size = cast(Decoder, network.decoder), (standard.shape[2], standard.shape[3])
    maps = network.maps(torch.where(painted(kept, size), decoder.paint, standard))
    told = functional.pixel_shuffle(decoder.tell(maps), network.stride)
    return told[:, :, : size[0], : size[1]]


class Objective(nn.Module):
    """Masks, for training only; the decoder is left with the network, for pictures.

    The paint is put on images before the network sees them; the network knows nothing of
    it, so a vector is always that of the whole image.
    """

    name = "simmim"

    def __init__(self, network: Backbone, *, settings: EncoderSettings) -> None:  # noqa: ARG002
        super().__init__()
        self.masks = Masks(HIDDEN)
        network.decoder = Decoder(network)

    def forward(self, network: Backbone, views: Tensor) -> Tensor:
        """Return the loss of `views` (2N, band, y, x), every view by itself."""
        standard = network.standardised(views)
        size = (standard.shape[2], standard.shape[3])
        n_patches = -(-size[0] // PATCH) * -(-size[1] // PATCH)
        kept, _ = self.masks.draw(len(standard), n_patches)
        return masked_difference(tell(network, standard, kept), standard, painted(kept, size))
