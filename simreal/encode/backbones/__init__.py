"""Backbones: the networks that an objective trains and an encoder keeps."""

from collections.abc import Mapping

import numpy as np
import torch

from simreal.core.arrays import AnyArray, Float64Array
from simreal.core.errors import StorageError, UsageError, did_you_mean
from simreal.encode.backbones.base import Backbone
from simreal.encode.backbones.small_residual import WIDTHS, SmallResidual
from simreal.encode.backbones.small_unet import SmallUNet
from simreal.encode.backbones.small_vit import DEPTH, PATCH, WIDTH, SmallViT
from simreal.encode.backbones.timm_network import PREFIX, TimmNetwork, check_name, own_width
from simreal.encode.backbones.torchvision_resnet import WIDTHS as RESNET_WIDTHS
from simreal.encode.backbones.torchvision_resnet import TorchvisionResNet

#: By name, with the length of their feature vectors where none is asked for.
BACKBONES = (
    {"small-residual": WIDTHS[-1], "small-vit": WIDTH} | RESNET_WIDTHS | {"small-unet": WIDTHS[-1]}
)

#: All networks of timm, ``timm:resnet26d`` say.
ANY_OF_TIMM = f"{PREFIX}NAME"

#: Those that any objective on feature vectors can train; the first is the default.
GENERAL = ("small-residual", "small-vit", *RESNET_WIDTHS, ANY_OF_TIMM)

__all__ = [
    "ANY_OF_TIMM",
    "BACKBONES",
    "GENERAL",
    "WIDTHS",
    "Backbone",
    "SmallResidual",
    "check_backbone",
    "describe",
    "family",
    "new_network",
    "stored_network",
    "width_of",
]


def check_backbone(name: str) -> None:
    """Check that there is a backbone `name`.

    Raises
    ------
    UsageError
        With the nearest name.
    """
    if name.startswith(PREFIX):
        check_name(name)
    elif name not in BACKBONES:
        known = [*BACKBONES, ANY_OF_TIMM]
        raise UsageError(f"encoder.backbone: unknown {name!r}: {did_you_mean(name, known)}")


def family(name: str) -> str:
    """Return the name under which a list such as `GENERAL` speaks of the backbone `name`.

    Examples
    --------
    >>> family("timm:resnet26d"), family("resnet18")
    ('timm:NAME', 'resnet18')
    """
    return ANY_OF_TIMM if name.startswith(PREFIX) else name


def width_of(name: str) -> int:
    """Return the length of the feature vectors of the backbone `name` where none is asked for."""
    return own_width(name) if name.startswith(PREFIX) else BACKBONES[name]


def new_network(
    name: str,
    mean: Float64Array,
    scale: Float64Array,
    width: int | None = None,
    *,
    presence: bool = False,
) -> Backbone:
    """Return the backbone `name` with weights of torch's random state.

    Parameters
    ----------
    name : str
    mean, scale : array (band,)
        Of the pooled pixels.
    width : int, optional
        Length of a feature vector, by default the backbone's own.
    presence : bool
        Whether images may lack bands (not ``small-unet``).
    """
    check_backbone(name)
    if name.startswith(PREFIX):
        return TimmNetwork(mean, scale, width, name=name, presence=presence)
    width = width or BACKBONES[name]
    if name == "small-residual":
        return SmallResidual(mean, scale, width, presence=presence)
    if name == "small-unet":
        return SmallUNet(mean, scale, width)
    if name == "small-vit":
        return SmallViT(mean, scale, width, presence=presence)
    return TorchvisionResNet(mean, scale, width, name=name, presence=presence)


def describe(name: str, width: int | None = None) -> str:
    """Return what a recipe says of the backbone `name`.

    Examples
    --------
    >>> describe("small-residual")
    'small residual, widths (16, 32, 64, 128)'
    """
    width = width or width_of(name)
    if name.startswith(PREFIX):
        return f"timm {name.removeprefix(PREFIX)}, width {width}"
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
    """Return the network whose `state_dict` is `weights`; the random state is left alone.

    Raises
    ------
    StorageError
        If another version of timm builds another network.
    """
    mean, scale = (weights[key].reshape(-1).astype(np.float64) for key in ("mean", "scale"))
    if name in ("small-residual", "small-unet"):
        width = len(weights["stages.3.second_norm.weight"])
    with torch.random.fork_rng(devices=[]):
        network = new_network(name, mean, scale, width, presence="presence" in weights)
    try:
        network.load_state_dict({key: torch.tensor(array) for key, array in weights.items()})
    except RuntimeError:
        if not name.startswith(PREFIX):
            raise
        raise StorageError(
            f"backbone {name!r}: the timm that is installed builds another network than the one "
            "that was stored; install the version it was trained with, or train it again"
        ) from None
    return network.to(memory_format=torch.channels_last)
