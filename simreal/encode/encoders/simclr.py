"""SimCLR: a contrastive network trained on both sides at once, told of neither."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simreal.core.arrays import AnyArray, Float32Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSource
from simreal.core.provenance import versions
from simreal.encode.augment import load_preset
from simreal.encode.backbones import WIDTHS, stored_network
from simreal.encode.encoder import (
    EncoderMeta,
    Progress,
    check_groups,
    check_images,
    effective_rank,
)
from simreal.encode.settings import EncoderSettings
from simreal.encode.train import choose_device, runtime, train
from simreal.encode.weights import Stored, read_card, read_weights, weights_digest

META = EncoderMeta(trains=True, summary="contrastive network trained on the pooled images")

#: The network halves an image four times.
MINIMUM_SIZE = 32

#: Channels-last batches of this size are the quickest on a CPU.
_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimclrEncoder(Stored):
    """Features of the trained network; the projector of the training is gone.

    ``settings`` says where it runs and changes no vector beyond rounding.
    """

    settings: EncoderSettings
    name: str = "simclr"

    def encode(self, source: ImageSource, *, batch: int = _BATCH) -> Float32Array:
        """Return one vector per image, float32 ``(n, dimension)``, whatever the `batch`."""
        check_images(self.card, source)
        n = source.shape[0]
        vectors = np.empty((n, self.dimension), np.float32)
        with runtime(self.settings) as device, torch.inference_mode():
            network = stored_network(self.weights).to(device).eval()
            for start in range(0, n, batch):
                rows = slice(start, min(start + batch, n))
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
) -> SimclrEncoder:
    """Train on the pool; one image per group per epoch, contrasted with its own second view.

    Raises
    ------
    NotComputableError
        If there are too few groups, the images are too small, or the loss is not finite.
    """
    n_groups = check_groups("simclr", groups)
    if min(source.shape[2:]) < MINIMUM_SIZE:
        raise NotComputableError(
            f"encoder 'simclr' needs images of {MINIMUM_SIZE} pixels or more on a side, got "
            f"{source.shape[2:]}; match with a larger stamp"
        )
    recipe = _recipe(source, n_groups, settings, seed)
    trained = train(
        source,
        groups,
        objective="simclr",
        settings=settings,
        seed=seed,
        recipe=recipe,
        progress=progress,
    )
    weights: dict[str, AnyArray] = {
        name: tensor.contiguous().numpy() for name, tensor in trained.network.state_dict().items()
    }
    card = {
        "encoder": "simclr",
        "objective": "nt-xent",
        "mode": "pooled",
        "recipe": recipe,
        "digest": weights_digest(recipe, weights),
        "dimension": trained.network.width,
        "shape": list(source.shape[1:]),
        "seed": seed,
        "n_images": source.shape[0],
        "n_groups": n_groups,
        "loss": list(trained.loss),
        "device": choose_device(settings.device).type,
        "threads": settings.threads or torch.get_num_threads(),
        "versions": versions(("simreal", "numpy", "torch")),
    }
    encoder = SimclrEncoder(card=card, weights=weights, settings=settings)
    rank = effective_rank(encoder.encode(source))
    return SimclrEncoder(card=card | {"effective_rank": rank}, weights=weights, settings=settings)


def load(folder: Path) -> SimclrEncoder:
    """Return the encoder stored in `folder`; it runs on whatever device there is."""
    card = read_card(folder)
    return SimclrEncoder(card=card, weights=read_weights(folder, card), settings=EncoderSettings())


def _recipe(
    source: ImageSource, n_groups: int, settings: EncoderSettings, seed: int
) -> dict[str, Any]:
    dimension = settings.dimension or WIDTHS[-1]
    return {
        "encoder": "simclr",
        "network": f"small residual, widths {(*WIDTHS[:3], dimension)}",
        "shape": list(source.shape[1:]),
        "dimension": dimension,
        "epochs": settings.epochs_for(n_groups),
        "batch": settings.batch,
        "temperature": settings.temperature,
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "augmentation": load_preset(settings.augmentation).describe(),
        "second_view": settings.second_view,
        "seed": seed,
    }
