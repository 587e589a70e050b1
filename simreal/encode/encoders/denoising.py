"""Denoising autoencoder with a contrastive head: it tells galaxies and can show them clean."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from simreal.core.arrays import Float32Array, IntArray
from simreal.core.images import ImageSource
from simreal.encode.backbones import stored_network
from simreal.encode.backbones.small_unet import SmallUNet
from simreal.encode.encoder import EncoderMeta, Progress, check_images
from simreal.encode.objectives.denoising import (
    BACKGROUND,
    COUNTS,
    DARKENING,
    GALAXY,
    READ_NOISE,
)
from simreal.encode.settings import EncoderSettings
from simreal.encode.train import runtime
from simreal.encode.trained_network import NetworkEncoder, fit_network, load_network

META = EncoderMeta(trains=True, summary="denoising autoencoder with a contrastive head")

_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenoisingEncoder(NetworkEncoder):
    """A `NetworkEncoder` that has kept its way back to pixels."""

    def denoise(self, source: ImageSource) -> Float32Array:
        """Return the images without their noise, float32 ``(n, band, y, x)``, in their unit."""
        check_images(self.card, source)
        n = source.shape[0]
        clean = np.empty(source.shape, np.float32)
        with runtime(self.settings) as device, torch.inference_mode():
            network = stored_network(self.weights, "small-unet", self.dimension).to(device).eval()
            assert isinstance(network, SmallUNet)  # noqa: S101 - for the type checker
            for start in range(0, n, _BATCH):
                rows = slice(start, min(start + _BATCH, n))
                images = torch.from_numpy(np.array(source.read(rows))).to(device)
                images = images.contiguous(memory_format=torch.channels_last)
                clean[rows] = network.denoised(images).cpu().numpy()
        return clean


def fit(
    source: ImageSource,
    groups: IntArray,
    *,
    settings: EncoderSettings,
    seed: int,
    progress: Progress | None = None,
) -> DenoisingEncoder:
    """Train on the pool; views of the preset ``geometric`` unless another is asked for.

    Raises
    ------
    NotComputableError
        If there are too few groups, the images are too small, or the loss is not finite.
    """
    fitted = fit_network(
        "denoising",
        source,
        groups,
        own={
            "temperature": settings.temperature,
            "weights": {"galaxy": GALAXY, "background": BACKGROUND, "darkening": DARKENING},
            "noise": {"counts": COUNTS, "gaussian": READ_NOISE},
        },
        backbones=("small-unet",),
        settings=settings.replace(augmentation=settings.augmentation or "geometric"),
        seed=seed,
        progress=progress,
    )
    return _with_decoder(fitted)


def load(folder: Path) -> DenoisingEncoder:
    """Return the encoder stored in `folder`; it runs on whatever device there is."""
    return _with_decoder(load_network(folder))


def _with_decoder(encoder: NetworkEncoder) -> DenoisingEncoder:
    return DenoisingEncoder(card=encoder.card, weights=encoder.weights, settings=encoder.settings)
