"""VICReg: two views agree and no two numbers of a vector say the same; nothing is contrasted."""

from simreal.core.arrays import IntArray
from simreal.core.images import ImageSource
from simreal.encode.encoder import EncoderMeta, Progress
from simreal.encode.objectives.vicreg import COVARIANCE, INVARIANCE, VARIANCE
from simreal.encode.settings import EncoderSettings
from simreal.encode.trained_network import NetworkEncoder, fit_network, load_network

META = EncoderMeta(
    trains=True,
    summary="network of decorrelated features, trained without contrast",
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
    """Train on the pool; one image per group per epoch, agreeing with its own second view.

    Raises
    ------
    NotComputableError
        If there are too few groups, the images are too small, or the loss is not finite.
    """
    own = {"invariance": INVARIANCE, "variance": VARIANCE, "covariance": COVARIANCE}
    return fit_network(
        "vicreg", source, groups, own=own, settings=settings, seed=seed, progress=progress
    )


load = load_network
