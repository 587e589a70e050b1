"""Denoising: a noisy view is told as the clean one, and all versions of a galaxy agree."""

import numpy as np
import torch
from torch import Tensor, nn

from simreal.encode.backbones.small_unet import SmallUNet
from simreal.encode.foreground import foreground, mean_where, similarity
from simreal.encode.objectives.simclr import PROJECTION, nt_xent
from simreal.encode.settings import EncoderSettings
from simreal.encode.survey import sky_of
from simreal.encode.training_draws import Draws

#: The published weights of galaxy and background, and of darkening within the latter.
GALAXY, BACKGROUND, DARKENING = 0.7, 0.3, 0.25

#: Counts per standard deviation of the pooled pixels, and the noise beside them in its unit.
COUNTS, READ_NOISE = 50.0, 0.1


def picture_loss(told: Tensor, wanted: Tensor) -> Tensor:
    """Return what a picture costs: unlike structure in the galaxy, anything but dark sky.

    In the foreground of `wanted`, 1 minus the structural similarity, averaged over its
    pixels only; outside, total variation and a quarter of the light above the sky.

    Parameters
    ----------
    told, wanted : Tensor (n, band, y, x)

    Examples
    --------
    An empty stamp costs nothing told as it is; a uniform glow over it costs its share:

    >>> empty = torch.zeros(1, 1, 32, 32)
    >>> picture_loss(empty, empty).item()
    0.0
    >>> round(picture_loss(empty + 2.0, empty).item(), 6)
    0.15
    """
    galaxy = foreground(wanted)
    span = (wanted.amax((1, 2, 3)) - wanted.amin((1, 2, 3))).clamp_min(1e-6)
    unlike = mean_where(1 - similarity(told, wanted, span), galaxy)
    variation = sum(mean_where(told.diff(dim=axis).abs(), _both(~galaxy, axis)) for axis in (2, 3))
    glow = (told - sky_of(wanted)[0][:, :, None, None]).clamp_min(0)
    return GALAXY * unlike + BACKGROUND * (variation + DARKENING * mean_where(glow, ~galaxy))


def _both(chosen: Tensor, axis: int) -> Tensor:
    """Return where a pixel and its next along `axis` are both chosen."""
    length = chosen.shape[axis] - 1
    return chosen.narrow(axis, 0, length) & chosen.narrow(axis, 1, length)


def noisy(standard: Tensor, rng: np.random.Generator) -> Tensor:
    """Return standardised images with Poisson noise of their light above the sky, and Gaussian."""
    light = (standard - sky_of(standard)[0][:, :, None, None]).clamp_min(0).cpu().numpy()
    counted = rng.poisson(COUNTS * light) / COUNTS - light
    noise = counted + READ_NOISE * rng.standard_normal(light.shape)
    return standard + torch.from_numpy(noise.astype(np.float32)).to(standard.device)


class Objective(nn.Module):
    """A projector, for training only; the decoder is the network's and stays."""

    name = "denoising with nt-xent"

    def __init__(self, network: SmallUNet, *, settings: EncoderSettings) -> None:
        super().__init__()
        self.temperature = settings.temperature
        self.draws = Draws()
        self.projector = nn.Sequential(
            nn.Linear(network.width, network.width),
            nn.ReLU(inplace=True),
            nn.Linear(network.width, PROJECTION, bias=False),
        )

    def forward(self, network: SmallUNet, views: Tensor) -> Tensor:
        """Return the loss of `views` (2N, band, y, x): first views, then second views.

        The clean version of one view is contrasted with the noisy one of the other.
        """
        clean = network.standardised(views)
        noised = noisy(clean, self.draws.rng("noise"))
        levels = network.levels(torch.cat([clean, noised]))
        told = network.picture(noised, [level[len(clean) :] for level in levels])
        projected = self.projector(levels[-1].mean(dim=(2, 3)))
        first, second, noisy_first, noisy_second = projected.chunk(4)
        there = nt_xent(first, noisy_second, temperature=self.temperature)
        back = nt_xent(noisy_first, second, temperature=self.temperature)
        return picture_loss(told, clean) + (there + back) / 2
