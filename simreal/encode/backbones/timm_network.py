"""Networks of timm for any bands and size, untrained: whatever else the field compares with."""

import functools
import importlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from simreal.core.arrays import Float64Array
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.encode.backbones.base import Backbone

#: What a name of such a backbone begins with.
PREFIX = "timm:"

#: Parts that act on the pooled vector, which we pool ourselves.
_AFTER = ("head", "fc", "classifier", "fc_norm", "global_pool", "head_drop", "attn_pool")

#: Side of the image that shows the stride of a network.
_SHOWN = 64


class TimmNetwork(Backbone):
    """``timm.create_model(NAME, pretrained=False)`` up to its last map of features.

    Nothing is downloaded: names are those of architectures, weights come from the seed. An
    image that is no multiple of the stride is continued by its last row and column. Another
    `width` than the network's own is a linear map of it.

    Raises
    ------
    UsageError
        If timm has no such network, or it takes one size of image only.
    NotComputableError
        If timm is not installed.
    """

    def __init__(
        self,
        mean: Float64Array,
        scale: Float64Array,
        width: int | None = None,
        *,
        name: str,
        presence: bool = False,
    ) -> None:
        planes = len(mean) * (2 if presence else 1)
        network = _created(name, planes)
        own, stride = _shown(network, planes, name)
        super().__init__(mean, scale, width=width or own, stride=stride, presence=presence)
        self.own = own
        self.network = network
        self.head = nn.Identity() if self.width == own else nn.Conv2d(own, self.width, 1)

    def maps(self, standard: Tensor) -> Tensor:
        """Map standardised images to features on a grid as many times coarser as the stride."""
        rest = [-size % self.stride for size in standard.shape[2:]]
        if any(rest):
            standard = functional.pad(standard, (0, rest[1], 0, rest[0]), mode="replicate")
        grid = [size // self.stride for size in standard.shape[2:]]
        found = self.network.forward_features(standard)  # type: ignore[operator]
        features: Tensor = self.head(_as_map(self.network, found, self.own, grid))
        return features


def check_name(name: str) -> None:
    """Check that timm is installed and has the architecture of a backbone ``timm:NAME``.

    Raises
    ------
    UsageError
        With the nearest names.
    NotComputableError
        If timm is not installed.
    """
    wanted, names = name.removeprefix(PREFIX), _timm(name).list_models()
    if wanted not in names:
        raise UsageError(
            f"encoder.backbone: timm has no network {wanted!r}: "
            f"{did_you_mean(wanted, _nearest(wanted, names))}"
        )


@functools.lru_cache(maxsize=16)
def own_width(name: str) -> int:
    """Return the length of the feature vectors of a backbone ``timm:NAME``."""
    with torch.random.fork_rng(devices=[]):
        return _shown(_created(name, 1), 1, name)[0]


def _nearest(wanted: str, names: list[str]) -> list[str]:
    """Return a few names, as timm has more than a line holds."""
    import difflib

    return difflib.get_close_matches(wanted, names, n=5, cutoff=0.5) or [
        "resnet18",
        "convnext_atto",
    ]


def _created(name: str, bands: int) -> nn.Module:
    check_name(name)
    create = functools.partial(
        _timm(name).create_model,
        name.removeprefix(PREFIX),
        pretrained=False,
        num_classes=0,
        in_chans=bands,
    )
    try:
        # Transformers fix their size unless told otherwise; others do not know the word.
        network: nn.Module = create(dynamic_img_size=True)
    except TypeError:
        network = create()
    for part in _AFTER:
        if isinstance(getattr(network, part, None), nn.Module):
            setattr(network, part, nn.Identity())
    return network


def _shown(network: nn.Module, bands: int, name: str) -> tuple[int, int]:
    """Return width and stride of a network by showing it an image."""
    own: int = network.num_features  # type: ignore[assignment]
    shown = torch.zeros(1, bands, _SHOWN, _SHOWN)
    trains = network.training
    try:
        with torch.no_grad():
            found = network.eval().forward_features(shown)  # type: ignore[operator]
        places = found[:, getattr(network, "num_prefix_tokens", 0) :].shape[1]
        side = round(places**0.5) if found.ndim == 3 else _channels_first(found, own).shape[2]
        stride = _SHOWN // side
        _as_map(network, found, own, [side, side])
    except (AssertionError, RuntimeError, ValueError, IndexError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"encoder.backbone: {name!r} takes no image of {_SHOWN} pixels ({reason}); take a "
            "network for any size, such as timm:resnet18 or timm:convnext_atto"
        ) from None
    network.train(trains)
    return own, stride


def _as_map(network: nn.Module, found: Tensor, own: int, grid: list[int]) -> Tensor:
    """Return features ``(n, own, y, x)`` from whatever arrangement the network gives."""
    if found.ndim == 3:
        tokens = found[:, getattr(network, "num_prefix_tokens", 0) :]
        return tokens.transpose(1, 2).reshape(len(found), own, *grid)
    return _channels_first(found, own)


def _channels_first(found: Tensor, own: int) -> Tensor:
    if found.shape[1] == own:
        return found
    if found.shape[-1] == own:
        return found.permute(0, 3, 1, 2)
    raise ValueError(f"features of shape {tuple(found.shape)}, not a map of {own}")


def _timm(name: str) -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError:
        raise NotComputableError(
            f"backbone {name!r} needs timm, which is not installed; pip install 'simreal[timm]', "
            "or use the backbone small-residual"
        ) from None
