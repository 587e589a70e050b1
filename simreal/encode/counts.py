"""Augmentations of photon counts, which stay counts: whole, and Poisson if they were."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSource

_BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinning:
    """Every photon is kept with one chance per image, drawn between ``least`` and 1.

    The binomial thinning of a Poisson count is a Poisson count of the smaller mean, and
    independent of what was taken away: the view is the object in a shorter exposure, to the
    letter. Scaling counts would leave too little noise, adding noise too much.
    """

    least: float
    reason: str
    draws: int = 3

    def fitted(self, source: ImageSource) -> "Thinning":
        """Return itself after a look at all of `source`.

        Raises
        ------
        NotComputableError
            If a pixel is no count.
        """
        n = source.shape[0]
        for start in range(0, n, _BLOCK):
            block = source.read(slice(start, min(start + _BLOCK, n)))
            # Above 2^24 single precision has no odd numbers left.
            known = ~np.isnan(block)  # what is not is a missing band
            bad = known & ((block < 0) | (block != np.round(block)) | (block >= 2**24))
            if bad.any():
                raise NotComputableError(
                    f"an augmentation that thins counts got a pixel of {block[bad][0]:.6g}, "
                    "allowed are whole numbers from 0 to 2^24; give images in counts, or choose "
                    "another --augmentation"
                )
        return self

    def __call__(self, images: Tensor, uniform: Tensor) -> Tensor:
        """Return images of a shorter exposure."""
        counts = images.detach().cpu().numpy().astype(np.int64)
        chances = self.least + (1 - self.least) * uniform[:, 0].double().cpu().numpy()
        # Two draws of 24 bits seed an image's own generator: whatever its batch, and with no
        # table of a number per pixel.
        seeds = (uniform[:, 1:].double().cpu().numpy() * 2**24).astype(np.int64)
        thinned = np.empty(counts.shape, np.float32)
        for row, (chance, seed) in enumerate(zip(chances, seeds.tolist(), strict=True)):
            thinned[row] = np.random.default_rng(seed).binomial(counts[row], chance)
        return torch.from_numpy(thinned).to(images.device)
