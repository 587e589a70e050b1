"""Random convolutions: the same network with weights nobody trained, as a control."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from simreal.core.arrays import AnyArray, Float32Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSource
from simreal.core.provenance import versions
from simreal.core.seeding import integer_seed
from simreal.encode.backbones import WIDTHS, SmallResidual, stored_network
from simreal.encode.encoder import (
    EncoderMeta,
    Progress,
    check_groups,
    check_images,
    effective_rank,
    group_weights,
)
from simreal.encode.pool import missing_bands
from simreal.encode.settings import EncoderSettings
from simreal.encode.train import pooled_constants, runtime
from simreal.encode.weights import Stored, read_card, read_weights, weights_digest

META = EncoderMeta(
    trains=False, summary="the untrained network: does training matter?", missing_bands=True
)

#: The network halves an image four times.
MINIMUM_SIZE = 32

#: The seed of the weights, whatever the seed of the run: a fixed encoder.
FIXED_SEED = 0

_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RandomConvolutionEncoder(Stored):
    """Pooled features of an untrained network; random filters alone tell textures apart.

    ``settings`` says where it runs and changes no vector beyond rounding.
    """

    settings: EncoderSettings
    name: str = "random_convolution"

    def encode(self, source: ImageSource) -> Float32Array:
        """Return one vector per image, float32 ``(n, dimension)``."""
        check_images(self.card, source)
        n = source.shape[0]
        vectors = np.empty((n, self.dimension), np.float32)
        with runtime(self.settings) as device, torch.inference_mode():
            network = stored_network(self.weights).to(device).eval()
            for start in range(0, n, _BATCH):
                rows = slice(start, min(start + _BATCH, n))
                images = torch.from_numpy(np.array(source.read(rows))).to(device)
                images = images.contiguous(memory_format=torch.channels_last)
                vectors[rows] = network(images).cpu().numpy()
        return vectors


def fit(
    source: ImageSource,
    groups: IntArray,
    *,
    settings: EncoderSettings,
    seed: int,
    progress: Progress | None = None,
) -> RandomConvolutionEncoder:
    """Take mean and scale of every band from the pool; the weights are always the same.

    Raises
    ------
    NotComputableError
        If there are too few groups, or the images are too small.
    """
    n_groups = check_groups("random_convolution", groups)
    if min(source.shape[2:]) < MINIMUM_SIZE:
        raise NotComputableError(
            f"encoder 'random_convolution' needs images of {MINIMUM_SIZE} pixels or more on a "
            f"side, got {source.shape[2:]}; match with a larger stamp"
        )
    mean, scale = pooled_constants(source, group_weights(groups))
    width = settings.dimension or WIDTHS[-1]
    presence = bool(missing_bands(source).any())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer_seed(FIXED_SEED, "encode", "random convolution"))
        network = SmallResidual(mean, scale, width, presence=presence)
    weights: dict[str, AnyArray] = {
        name: tensor.contiguous().numpy() for name, tensor in network.state_dict().items()
    }
    recipe = {
        "encoder": "random_convolution",
        "network": f"small residual, widths {(*WIDTHS[:3], width)}, untrained",
        "shape": list(source.shape[1:]),
        "dimension": width,
        "weights_seed": FIXED_SEED,
    }
    card = {
        "encoder": "random_convolution",
        "objective": "none",
        "mode": "pooled",
        "recipe": recipe,
        "digest": weights_digest(recipe, weights),
        "dimension": width,
        "shape": list(source.shape[1:]),
        "seed": seed,
        "n_images": source.shape[0],
        "n_groups": n_groups,
        "versions": versions(("simreal", "numpy", "torch")),
    }
    if presence:
        card["missing_bands"] = True
    encoder = RandomConvolutionEncoder(card=card, weights=weights, settings=settings)
    rank = effective_rank(encoder.encode(source))
    if progress:
        progress("random weights", 1, 1)
    return RandomConvolutionEncoder(
        card=card | {"effective_rank": rank}, weights=weights, settings=settings
    )


def load(folder: Path) -> RandomConvolutionEncoder:
    """Return the encoder stored in `folder`; it runs on whatever device there is."""
    card = read_card(folder)
    weights = read_weights(folder, card)
    return RandomConvolutionEncoder(card=card, weights=weights, settings=EncoderSettings())
