"""Backbones: the networks that an objective trains and an encoder keeps."""

from collections.abc import Mapping

import numpy as np
import torch

from simreal.core.arrays import AnyArray, Float64Array
from simreal.core.errors import UsageError, did_you_mean
from simreal.encode.backbones.base import Backbone
from simreal.encode.backbones.small_residual import WIDTHS, SmallResidual
from simreal.encode.backbones.small_unet import SmallUNet
from simreal.encode.backbones.small_vit import DEPTH, PATCH, WIDTH, SmallViT
from simreal.encode.backbones.torchvision_resnet import WIDTHS as RESNET_WIDTHS
from simreal.encode.backbones.torchvision_resnet import TorchvisionResNet

#: By name, with the length of their feature vectors where none is asked for.
BACKBONES = (
    {"small-residual": WIDTHS[-1], "small-vit": WIDTH} | RESNET_WIDTHS | {"small-unet": WIDTHS[-1]}
)

#: Those that any objective on feature vectors can train; the first is the default.
GENERAL = ("small-residual", "small-vit", *RESNET_WIDTHS)

__all__ = [
    "BACKBONES",
    "GENERAL",
    "WIDTHS",
    "Backbone",
    "SmallResidual",
    "check_backbone",
    "describe",
    "new_network",
    "stored_network",
]


def check_backbone(name: str) -> None:
    """Check that there is a backbone `name`.

    Raises
    ------
    UsageError
        With the nearest name.
    """
    if name not in BACKBONES:
        raise UsageError(f"encoder.backbone: unknown {name!r}: {did_you_mean(name, BACKBONES)}")


def new_network(
    name: str, mean: Float64Array, scale: Float64Array, width: int | None = None
) -> Backbone:
    """Return the backbone `name` with weights of torch's random state.

    Parameters
    ----------
    name : str
    mean, scale : array (band,)
        Of the pooled pixels.
    width : int, optional
        Length of a feature vector, by default the backbone's own.
    """
    check_backbone(name)
    width = width or BACKBONES[name]
    if name == "small-residual":
        return SmallResidual(mean, scale, width)
    if name == "small-unet":
        return SmallUNet(mean, scale, width)
    if name == "small-vit":
        return SmallViT(mean, scale, width)
    return TorchvisionResNet(mean, scale, width, name=name)


def describe(name: str, width: int | None = None) -> str:
    """Return what a recipe says of the backbone `name`.

    Examples
    --------
    >>> describe("small-residual")
    'small residual, widths (16, 32, 64, 128)'
    """
    width = width or BACKBONES[name]
    if name == "small-residual":
        return f"small residual, widths {(*WIDTHS[:3], width)}"
    if name == "small-unet":
        return f"small residual with a decoder, widths {(*WIDTHS[:3], width)}"
    if name == "small-vit":
        return f"small vision transformer, patch {PATCH}, depth {DEPTH}, width {width}"
    return f"torchvision {name}, width {width}"


def stored_network(
    weights: Mapping[str, AnyArray], name: str = "small-residual", width: int | None = None
) -> Backbone:
    """Return the network whose `state_dict` is `weights`; the random state is left alone."""
    mean, scale = (weights[key].reshape(-1).astype(np.float64) for key in ("mean", "scale"))
    if name in ("small-residual", "small-unet"):
        width = len(weights["stages.3.second_norm.weight"])
    with torch.random.fork_rng(devices=[]):
        network = new_network(name, mean, scale, width)
    network.load_state_dict({key: torch.tensor(array) for key, array in weights.items()})
    return network.to(memory_format=torch.channels_last)
