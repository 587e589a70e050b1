"""SimMIM: a network that learnt to tell what was painted over."""

from simreal.core.arrays import IntArray
from simreal.core.images import ImageSource
from simreal.encode.encoder import EncoderMeta, Progress
from simreal.encode.objectives.simmim import HIDDEN, PATCH
from simreal.encode.settings import EncoderSettings
from simreal.encode.trained_network import NetworkEncoder, fit_network, load_network

META = EncoderMeta(trains=True, summary="network trained to tell what was painted over")


def fit(
    source: ImageSource,
    groups: IntArray,
    *,
    settings: EncoderSettings,
    seed: int,
    progress: Progress | None = None,
) -> NetworkEncoder:
    """Train on the pool; what is left tells what is hidden. Vectors are of whole images.

    Raises
    ------
    NotComputableError
        If there are too few groups, the images are too small, or the loss is not finite.
    """
    return fit_network(
        "simmim",
        source,
        groups,
        own={"hidden": HIDDEN, "patch": PATCH},
        settings=settings,
        seed=seed,
        progress=progress,
    )


load = load_network
