"""What every encoder that is trained shares: the fit, the card, and how it encodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from simreal.core.arrays import AnyArray, Float32Array, IntArray
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import ImageSource
from simreal.core.provenance import versions
from simreal.encode.augment import load_preset
from simreal.encode.backbones import (
    GENERAL,
    check_backbone,
    describe,
    family,
    stored_network,
    width_of,
)
from simreal.encode.backbones.averaged import Averaged
from simreal.encode.encoder import Progress, check_groups, check_images, effective_rank
from simreal.encode.pool import missing_bands
from simreal.encode.settings import EncoderSettings
from simreal.encode.train import DEFAULT, PRESET, choose_device, objective_class, runtime, train
from simreal.encode.weights import Stored, read_card, read_weights, weights_digest

#: The network halves an image four times.
MINIMUM_SIZE = 32

#: Channels-last batches of this size are the quickest on a CPU.
_BATCH = 32

#: What the names of weights begin with that tell pixels and serve no vector.
DECODER = "decoder."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkEncoder(Stored):
    """Features of a trained network; what served its training only is gone.

    ``settings`` says where it runs and changes no vector beyond rounding.
    """

    settings: EncoderSettings

    @property
    def name(self) -> str:
        """Name of the plug-in."""
        return str(self.card["encoder"])

    def encode(self, source: ImageSource, *, batch: int = _BATCH) -> Float32Array:
        """Return one vector per image, float32 ``(n, dimension)``, whatever the `batch`."""
        check_images(self.card, source)
        n = source.shape[0]
        vectors = np.empty((n, self.dimension), np.float32)
        with runtime(self.settings) as device, torch.inference_mode():
            network = self._network().to(device).eval()
            for start in range(0, n, batch):
                rows = slice(start, min(start + batch, n))
                images = torch.from_numpy(np.array(source.read(rows))).to(device)
                images = images.contiguous(memory_format=torch.channels_last)
                vectors[rows] = network(images).cpu().numpy()
        return vectors

    def _network(self) -> nn.Module:
        recipe = self.card["recipe"]
        name = recipe.get("backbone", DEFAULT)
        weights = {key: array for key, array in self.weights.items() if not is_decoder(key)}
        network: nn.Module = stored_network(weights, name, self.dimension)
        return Averaged(network) if recipe.get("averaged") else network


def is_decoder(key: str) -> bool:
    """Return whether the weight of this name is of a decoder that an objective has left."""
    return key.startswith(DECODER)


def fit_network(
    name: str,
    source: ImageSource,
    groups: IntArray,
    *,
    own: Mapping[str, Any],
    backbones: Sequence[str] = GENERAL,
    settings: EncoderSettings,
    seed: int,
    progress: Progress | None = None,
) -> NetworkEncoder:
    """Train the encoder `name` on the pool under the objective of that name.

    Parameters
    ----------
    name : str
        Name of the encoder and of its objective.
    source : ImageSource
    groups : array of int (n,)
        Rows of one object; an epoch shows one image of each.
    own : mapping
        What the recipe holds besides the settings that all trained encoders share.
    backbones : sequence of str
        What the objective can train; the first is its default.
    settings : EncoderSettings
    seed : int
    progress : callable(label, done, total), optional

    Raises
    ------
    UsageError
        If the objective cannot train the backbone asked for.
    NotComputableError
        If there are too few groups, the images are too small, or the loss is not finite.
    """
    settings = settings.replace(
        backbone=settings.backbone or backbones[0], augmentation=settings.augmentation or PRESET
    )
    _check_allowed(name, str(settings.backbone), backbones)
    n_groups = check_groups(name, groups)
    if min(source.shape[2:]) < MINIMUM_SIZE:
        raise NotComputableError(
            f"encoder {name!r} needs images of {MINIMUM_SIZE} pixels or more on a side, got "
            f"{source.shape[2:]}; match with a larger stamp"
        )
    recipe = _recipe(name, source, n_groups, settings, seed) | dict(own)
    trained = train(
        source,
        groups,
        objective=name,
        settings=settings,
        seed=seed,
        recipe=recipe,
        progress=progress,
    )
    weights: dict[str, AnyArray] = {
        name: tensor.contiguous().numpy() for name, tensor in trained.network.state_dict().items()
    }
    card = {
        "encoder": name,
        "objective": objective_class(name).name,
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
    if missing_bands(source).any():
        card["missing_bands"] = True
    encoder = NetworkEncoder(card=card, weights=weights, settings=settings)
    rank = effective_rank(encoder.encode(source))
    return NetworkEncoder(card=card | {"effective_rank": rank}, weights=weights, settings=settings)


def load_network(folder: Path) -> NetworkEncoder:
    """Return the encoder stored in `folder`; it runs on whatever device there is."""
    card = read_card(folder)
    return NetworkEncoder(card=card, weights=read_weights(folder, card), settings=EncoderSettings())


def _check_allowed(name: str, backbone: str, allowed: Sequence[str]) -> None:
    check_backbone(backbone)
    if family(backbone) not in allowed:
        raise UsageError(
            f"encoder.backbone: got {backbone!r}, allowed with the encoder {name!r}: "
            f"{', '.join(allowed)}"
        )


def _recipe(
    name: str, source: ImageSource, n_groups: int, settings: EncoderSettings, seed: int
) -> dict[str, Any]:
    backbone = settings.backbone or DEFAULT
    dimension = settings.dimension or width_of(backbone)
    # A recipe names what departs from the default only: what was trained before there was a
    # choice is still known by its digest.
    chosen: dict[str, Any] = {} if backbone == DEFAULT else {"backbone": backbone}
    chosen |= {"averaged": True} if settings.averaged else {}
    chosen |= {"patience": settings.patience} if settings.patience is not None else {}
    return chosen | {
        "encoder": name,
        "network": describe(backbone, dimension),
        "shape": list(source.shape[1:]),
        "dimension": dimension,
        "epochs": settings.epochs_for(n_groups),
        "batch": settings.batch,
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "augmentation": load_preset(settings.augmentation or PRESET).describe(),
        "second_view": settings.second_view,
        "seed": seed,
    }
