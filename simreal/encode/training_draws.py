"""What an objective draws at random: a function of seed and step, resumed to the bit."""

import numpy as np
import torch
from torch import Tensor, nn

from simreal.core.seeding import stream


class Draws(nn.Module):
    """A random generator per step, the same however often a training was interrupted.

    Its key is drawn with the initial weights and its count of steps is part of what a
    checkpoint keeps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("key", torch.randint(2**31, (1,)))
        self.register_buffer("step", torch.zeros(1, dtype=torch.int64))
        self.key: Tensor
        self.step: Tensor

    def rng(self, what: str) -> np.random.Generator:
        """Return the generator of this step for `what`, and count the step."""
        rng = stream(int(self.key), "encode", what, str(int(self.step)))
        self.step += 1
        return rng


class Masks(Draws):
    """Random choices of patches.

    Parameters
    ----------
    share : float
        Of the patches of every image that are hidden; at least one is, and one is not.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def draw(self, n: int, n_patches: int) -> tuple[Tensor, Tensor]:
        """Return the patches kept ``(n, k)`` and hidden ``(n, n_patches - k)``, each sorted."""
        order = np.argsort(self.rng("masks").random((n, n_patches)), axis=1)
        hidden = min(max(round(self.share * n_patches), 1), n_patches - 1)
        parts = np.sort(order[:, hidden:], axis=1), np.sort(order[:, :hidden], axis=1)
        kept, out = (torch.from_numpy(part).to(self.key.device) for part in parts)
        return kept, out
