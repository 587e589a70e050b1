"""SimMIM: a network that learnt to tell what was painted over, and can show it."""

from pathlib import Path

from torch import Tensor

from simreal.core.arrays import IntArray
from simreal.core.images import ImageSource
from simreal.encode.backbones import Backbone
from simreal.encode.encoder import EncoderMeta, Progress
from simreal.encode.objectives.simmim import HIDDEN, PATCH, tell
from simreal.encode.reconstruction import MaskedEncoder
from simreal.encode.settings import EncoderSettings
from simreal.encode.trained_network import fit_network, load_network

META = EncoderMeta(trains=True, summary="network trained to tell what was painted over")


class SimmimEncoder(MaskedEncoder):
    """A `MaskedEncoder` whose network sees painted images."""

    hidden_share, patch = HIDDEN, PATCH

    def _told(self, network: Backbone, standard: Tensor, kept: Tensor) -> Tensor:
        return tell(network, standard, kept)


def fit(
    source: ImageSource,
    groups: IntArray,
    *,
    settings: EncoderSettings,
    seed: int,
    progress: Progress | None = None,
) -> SimmimEncoder:
    """Train on the pool; what is left tells what is hidden. Vectors are of whole images.

    Raises
    ------
    NotComputableError
        If there are too few groups, the images are too small, or the loss is not finite.
    """
    fitted = fit_network(
        "simmim",
        source,
        groups,
        own={"hidden": HIDDEN, "patch": PATCH},
        settings=settings,
        seed=seed,
        progress=progress,
    )
    return SimmimEncoder(card=fitted.card, weights=fitted.weights, settings=fitted.settings)


def load(folder: Path) -> SimmimEncoder:
    """Return the encoder stored in `folder`; it runs on whatever device there is."""
    stored = load_network(folder)
    return SimmimEncoder(card=stored.card, weights=stored.weights, settings=stored.settings)
