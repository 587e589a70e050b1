"""MAE: a small transformer that learnt to complete images of which it saw a quarter."""

from pathlib import Path
from typing import cast

from torch import Tensor

from simreal.core.arrays import IntArray
from simreal.core.images import ImageSource
from simreal.encode.backbones import Backbone
from simreal.encode.backbones.small_vit import PATCH, SmallViT
from simreal.encode.encoder import EncoderMeta, Progress
from simreal.encode.objectives.mae import HIDDEN, tell, whole_of
from simreal.encode.reconstruction import MaskedEncoder
from simreal.encode.settings import EncoderSettings
from simreal.encode.trained_network import fit_network, load_network

META = EncoderMeta(trains=True, summary="small transformer trained to complete images")


class MaeEncoder(MaskedEncoder):
    """A `MaskedEncoder` whose network sees the patches that are left, and no others."""

    hidden_share, patch = HIDDEN, PATCH

    def _told(self, network: Backbone, standard: Tensor, kept: Tensor) -> Tensor:
        # The transformer hides patches in training only; nothing else in it tells the two apart.
        return whole_of(tell(cast(SmallViT, network.train()), standard, kept), standard)


def fit(
    source: ImageSource,
    groups: IntArray,
    *,
    settings: EncoderSettings,
    seed: int,
    progress: Progress | None = None,
) -> MaeEncoder:
    """Train on the pool; a quarter of the patches tells the others. Vectors are of all patches.

    Raises
    ------
    NotComputableError
        If there are too few groups, the images are too small, or the loss is not finite.
    """
    fitted = fit_network(
        "mae",
        source,
        groups,
        own={"hidden": HIDDEN},
        backbones=("small-vit",),
        settings=settings,
        seed=seed,
        progress=progress,
    )
    return MaeEncoder(card=fitted.card, weights=fitted.weights, settings=fitted.settings)


def load(folder: Path) -> MaeEncoder:
    """Return the encoder stored in `folder`; it runs on whatever device there is."""
    stored = load_network(folder)
    return MaeEncoder(card=stored.card, weights=stored.weights, settings=stored.settings)
