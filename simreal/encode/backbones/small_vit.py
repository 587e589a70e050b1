"""A small vision transformer: patches that may be left out while it is trained, and only then."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from simreal.core.arrays import Float64Array
from simreal.core.errors import UsageError
from simreal.encode.backbones.base import Backbone

WIDTH, PATCH, DEPTH, HEADS = 128, 8, 4, 4


class Block(nn.Module):
    """Attention and a two-layer network, each normalised before and added to what it saw."""

    def __init__(self, width: int, heads: int = HEADS) -> None:
        super().__init__()
        self.heads = heads
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.inner = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ``(n, token, width)`` to the same shape."""
        n, length, width = tokens.shape
        parts = self.queries(self.first_norm(tokens)).view(n, length, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.mix(seen.transpose(1, 2).reshape(n, length, width))
        inner: Tensor = self.inner(self.second_norm(tokens))
        return tokens + inner


class SmallViT(Backbone):
    """Patches of 8 pixels, four blocks, the mean over all patches (Dosovitskiy et al. 2021).

    A stamp that is no multiple of the patch is continued by its last row and column. Places
    are told by fixed sines, so any size works.
    """

    def __init__(
        self,
        mean: Float64Array,
        scale: Float64Array,
        width: int = WIDTH,
        *,
        presence: bool = False,
    ) -> None:
        if width % (4 * HEADS):
            raise UsageError(
                f"encoder.dimension: got {width}, allowed with the backbone small-vit is a "
                f"multiple of {4 * HEADS}"
            )
        super().__init__(mean, scale, width=width, stride=PATCH, presence=presence)
        self.embed = nn.Linear(self.n_inputs * PATCH**2, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(width)

    def tokens(self, standard: Tensor, keep: Tensor | None = None) -> Tensor:
        """Map standardised images to ``(n, token, width)``.

        Parameters
        ----------
        standard : Tensor (n, band, y, x)
        keep : Tensor of int (n, k), optional
            The patches that are seen, of those in row order; all if None.

        Raises
        ------
        RuntimeError
            If patches are left out although the network is not being trained: a vector is
            that of the whole image.
        """
        if keep is not None and not self.training:
            raise RuntimeError("patches are hidden in training only, never from a vector")
        tokens = self.embed(patches(standard)) + places(grid_of(standard), self.width).to(standard)
        if keep is not None:
            tokens = tokens.gather(1, keep[:, :, None].expand(-1, -1, self.width))
        seen: Tensor = self.norm(self.blocks(tokens))
        return seen

    def maps(self, standard: Tensor) -> Tensor:
        """Map standardised images to one feature vector per patch, on the grid of patches."""
        down, across = grid_of(standard)
        return self.tokens(standard).transpose(1, 2).reshape(-1, self.width, down, across)


def grid_of(images: Tensor) -> tuple[int, int]:
    """Return how many patches lie along y and x."""
    return -(-images.shape[2] // PATCH), -(-images.shape[3] // PATCH)


def patches(images: Tensor) -> Tensor:
    """Cut `images` (n, band, y, x) into ``(n, patch, PATCH * PATCH * band)``, row by row."""
    down, across = grid_of(images)
    rest = (0, across * PATCH - images.shape[3], 0, down * PATCH - images.shape[2])
    whole = functional.pad(images, rest, mode="replicate") if any(rest) else images
    cut = whole.reshape(*images.shape[:2], down, PATCH, across, PATCH)
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def places(grid: tuple[int, int], width: int) -> Tensor:
    """Return sines and cosines of the row and column of every patch, ``(patch, width)``.

    Examples
    --------
    >>> places((2, 3), 16).shape
    torch.Size([6, 16])
    """
    frequency = torch.exp(-math.log(1e4) * torch.arange(width // 4) / (width // 4))
    row, column = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    angles = [axis.flatten()[:, None] * frequency for axis in (row, column)]
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], dim=1)
