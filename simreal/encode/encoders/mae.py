"""MAE: a small transformer that learnt to complete images of which it saw a quarter."""

from simreal.core.arrays import IntArray
from simreal.core.images import ImageSource
from simreal.encode.encoder import EncoderMeta, Progress
from simreal.encode.objectives.mae import HIDDEN
from simreal.encode.settings import EncoderSettings
from simreal.encode.trained_network import NetworkEncoder, fit_network, load_network

META = EncoderMeta(trains=True, summary="small transformer trained to complete images")


def fit(
    source: ImageSource,
    groups: IntArray,
    *,
    settings: EncoderSettings,
    seed: int,
    progress: Progress | None = None,
) -> NetworkEncoder:
    """Train on the pool; a quarter of the patches tells the others. Vectors are of all patches.

    Raises
    ------
    NotComputableError
        If there are too few groups, the images are too small, or the loss is not finite.
    """
    return fit_network(
        "mae",
        source,
        groups,
        own={"hidden": HIDDEN},
        backbones=("small-vit",),
        settings=settings,
        seed=seed,
        progress=progress,
    )


load = load_network
