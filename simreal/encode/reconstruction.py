"""Pictures of masked encoders: what they tell of the patches they were not shown.

Masks serve these pictures and training. A vector is always that of the whole image.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from simreal.core.arrays import BoolArray, Float32Array, IntArray, owned
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSource
from simreal.encode.backbones import Backbone, stored_network
from simreal.encode.encoder import check_images
from simreal.encode.objectives.simmim import painted
from simreal.encode.train import DEFAULT, objective_class, runtime
from simreal.encode.trained_network import DECODER, NetworkEncoder, is_decoder

_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reconstructed:
    """Images of which a part was hidden and told from the rest.

    Parameters
    ----------
    pictures : array (n, band, y, x)
        As told where hidden, as they are elsewhere, in their unit.
    hidden : array of bool (n, 1, y, x)
    """

    pictures: Float32Array
    hidden: BoolArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "pictures", owned(self.pictures, np.float32))
        object.__setattr__(self, "hidden", owned(self.hidden, np.bool_))


class MaskedEncoder(NetworkEncoder):
    """A `NetworkEncoder` that has kept its way back to pixels."""

    #: Share of the patches that training hides, and their side [pixel].
    hidden_share: ClassVar[float]
    patch: ClassVar[int]

    def reconstruct(self, source: ImageSource, *, rng: np.random.Generator) -> Reconstructed:
        """Return the images with random patches hidden and told, as many as in training.

        Parameters
        ----------
        source : ImageSource
        rng : Generator
            Chooses the patches, image by image.

        Raises
        ------
        NotComputableError
            If the images are not of the kind the encoder was fitted on, or it was stored
            without its decoder.
        """
        check_images(self.card, source)
        n, _, *size = source.shape
        pictures = np.empty(source.shape, np.float32)
        n_patches = -(-size[0] // self.patch) * -(-size[1] // self.patch)
        kept = visible_patches(n, n_patches, self.hidden_share, rng=rng)
        hidden = painted(torch.from_numpy(kept), (size[0], size[1])).numpy()
        with runtime(self.settings) as device, torch.inference_mode():
            network = self._with_decoder().to(device)
            network.eval()
            for start in range(0, n, _BATCH):
                rows = slice(start, min(start + _BATCH, n))
                images = np.array(source.read(rows))
                told = self._picture(network, torch.from_numpy(images).to(device), kept[rows])
                pictures[rows] = np.where(hidden[rows], told, images)
        return Reconstructed(pictures=pictures, hidden=hidden)

    def _picture(self, network: Backbone, images: Tensor, kept: IntArray) -> Float32Array:
        places = torch.from_numpy(kept).to(images.device)
        told = self._told(network, network.standardised(images), places)
        picture: Float32Array = (told * network.scale + network.mean).cpu().numpy()
        return picture

    @abstractmethod
    def _told(self, network: Backbone, standard: Tensor, kept: Tensor) -> Tensor:
        """Return standardised images as told from the patches that are `kept`."""

    def _with_decoder(self) -> Backbone:
        weights = {key: array for key, array in self.weights.items() if not is_decoder(key)}
        if len(weights) == len(self.weights):
            raise NotComputableError(
                f"encoder {self.name!r}: stored without its decoder, as earlier versions did; "
                "train it again to see pictures"
            )
        name = self.card["recipe"].get("backbone", DEFAULT)
        network = stored_network(weights, name, self.dimension)
        with torch.random.fork_rng(devices=[]):
            # Leaves a new decoder with the network, whose weights are then those stored.
            objective_class(self.name)(network, settings=self.settings)
        decoder = {
            key.removeprefix(DECODER): torch.tensor(array)
            for key, array in self.weights.items()
            if is_decoder(key)
        }
        cast(nn.Module, network.decoder).load_state_dict(decoder)
        return network


def visible_patches(n: int, n_patches: int, share: float, *, rng: np.random.Generator) -> IntArray:
    """Return the patches ``(n, k)`` left when a `share` of each image is hidden, in order.

    Examples
    --------
    >>> visible_patches(2, 4, 0.75, rng=np.random.default_rng(0)).shape
    (2, 1)
    """
    hidden = min(max(round(share * n_patches), 1), n_patches - 1)
    order = np.argsort(rng.random((n, n_patches)), axis=1)
    return np.sort(order[:, hidden:], axis=1)
