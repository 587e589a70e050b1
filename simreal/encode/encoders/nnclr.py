"""NNCLR: SimCLR whose positives are other galaxies, the nearest of those seen lately."""

from simreal.core.arrays import IntArray
from simreal.core.images import ImageSource
from simreal.encode.encoder import EncoderMeta, Progress
from simreal.encode.objectives.nnclr import SUPPORT
from simreal.encode.settings import EncoderSettings
from simreal.encode.trained_network import NetworkEncoder, fit_network, load_network

META = EncoderMeta(
    trains=True,
    summary="contrastive network with nearest neighbours as positives",
    missing_bands=True,
)


def fit(
    source: ImageSource,
    groups: IntArray,
    *,
    settings: EncoderSettings,
    seed: int,
    progress: Progress | None = None,
) -> NetworkEncoder:
    """Train on the pool; a view's neighbour in a queue is contrasted with the other view.

    Raises
    ------
    NotComputableError
        If there are too few groups, the images are too small, or the loss is not finite.
    """
    own = {"temperature": settings.temperature, "support": SUPPORT}
    return fit_network(
        "nnclr", source, groups, own=own, settings=settings, seed=seed, progress=progress
    )


load = load_network
