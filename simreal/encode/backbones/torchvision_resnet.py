"""The residual networks of torchvision for any bands, untrained: what the field compares with."""

import importlib
from typing import Any

from torch import Tensor, nn

from simreal.core.arrays import Float64Array
from simreal.core.errors import NotComputableError
from simreal.encode.backbones.base import Backbone

#: Length of the features of the last stage.
WIDTHS = {"resnet18": 512, "resnet50": 2048}


class TorchvisionResNet(Backbone):
    """``torchvision.models.resnet18`` or ``resnet50`` with a first layer for our bands.

    Stem and strides are those of the original, a thirty-second of the side at the end; no
    weights are downloaded. Another `width` than the network's own is a linear map of it.

    Raises
    ------
    NotComputableError
        If torchvision is not installed.
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
        own = WIDTHS[name]
        super().__init__(mean, scale, width=width or own, stride=32, presence=presence)
        network = getattr(_torchvision_models(name), name)(weights=None)
        first = nn.Conv2d(self.n_inputs, 64, 7, 2, 3, bias=False)
        nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
        self.stem = nn.Sequential(first, network.bn1, network.relu, network.maxpool)
        self.stages = nn.Sequential(*(getattr(network, f"layer{k}") for k in (1, 2, 3, 4)))
        self.head = nn.Identity() if self.width == own else nn.Conv2d(own, self.width, 1)

    def maps(self, standard: Tensor) -> Tensor:
        """Map standardised images to features on a grid thirty-two times coarser."""
        features: Tensor = self.head(self.stages(self.stem(standard)))
        return features


def _torchvision_models(name: str) -> Any:
    try:
        return importlib.import_module("torchvision.models")
    except ImportError:
        raise NotComputableError(
            f"backbone {name!r} needs torchvision, which is not installed; 'pip install "
            "torchvision', or use the backbone small-residual"
        ) from None
