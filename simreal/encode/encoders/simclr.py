"""SimCLR: a contrastive network trained on both sides at once, told of neither."""

from simreal.core.arrays import IntArray
from simreal.core.images import ImageSource
from simreal.encode.encoder import EncoderMeta, Progress
from simreal.encode.settings import EncoderSettings
from simreal.encode.trained_network import NetworkEncoder, fit_network, load_network

META = EncoderMeta(
    trains=True,
    summary="contrastive network trained on the pooled images",
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
    """Train on the pool; one image per group per epoch, contrasted with its own second view.

    Raises
    ------
    NotComputableError
        If there are too few groups, the images are too small, or the loss is not finite.
    """
    own = {"temperature": settings.temperature}
    return fit_network(
        "simclr", source, groups, own=own, settings=settings, seed=seed, progress=progress
    )


load = load_network
