"""What every encoder is: the contract between a fitted encoder and the rest of the house."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSet, ImageSource

Progress: TypeAlias = Callable[[str, int, int], None]

#: Below this many independent objects neither an axis of variation nor a contrast is worth
#: the name.
MINIMUM_GROUPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderMeta:
    """What an encoder plug-in says of itself.

    ``trains`` is True where weights come from gradient steps, so that threads and device
    are part of what determines them. ``missing_bands`` is True where an image may lack bands:
    they read NaN, and the encoder must tell missing from faint; others are never shown any.
    """

    trains: bool
    summary: str
    missing_bands: bool = False


class Encoder(Protocol):
    """A fitted encoder: same images in, same vectors out."""

    @property
    def name(self) -> str:
        """Name of the plug-in."""
        ...

    @property
    def digest(self) -> str:
        """sha256 of weights and recipe."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    @property
    def card(self) -> Mapping[str, Any]:
        """What it is and how it came about, JSON-able."""
        ...

    def encode(self, source: ImageSource) -> Float32Array:
        """Return one vector per image, float32 ``(n, dimension)``, in the order of `source`."""
        ...

    def save(self, folder: Path) -> None:
        """Write weights and card into `folder`."""
        ...


@runtime_checkable
class LookedUp(Protocol):
    """What a plug-in's ``fit`` returns if vectors are looked up and not computed.

    Only then are the ids of the images shown, to find the vectors by; which side a set is on
    is still nowhere said.
    """

    def matched_to(self, sets: Sequence[ImageSet]) -> Encoder:
        """Return the encoder that knows the images of `sets`."""
        ...


def check_images(card: Mapping[str, Any], source: ImageSource) -> None:
    """Check that `source` has the bands and the size the encoder was fitted on.

    Raises
    ------
    NotComputableError
        Naming both shapes.
    """
    fitted, got = tuple(card["shape"]), tuple(source.shape[1:])
    if got != fitted:
        raise NotComputableError(
            f"encoder {card['encoder']!r} was fitted on images (band, y, x) = {fitted}, got "
            f"{got}; match both sets with one recipe, or fit an encoder on these images"
        )


def check_groups(name: str, groups: IntArray) -> int:
    """Return the number of independent objects, at least `MINIMUM_GROUPS`.

    Raises
    ------
    NotComputableError
        If there are fewer.
    """
    n = len(np.unique(groups))
    if n < MINIMUM_GROUPS:
        raise NotComputableError(
            f"encoder {name!r} needs {MINIMUM_GROUPS} objects or more to be fitted, got {n}; add "
            "images or relax the selection"
        )
    return n


def group_weights(groups: IntArray) -> Float64Array:
    """Return one weight per image so that every group counts once and all sum to 1.

    Examples
    --------
    >>> group_weights(np.array([0, 0, 1])).tolist()
    [0.25, 0.25, 0.5]
    """
    _, member, counts = np.unique(groups, return_inverse=True, return_counts=True)
    weights: Float64Array = 1.0 / (counts[member] * len(counts)).astype(np.float64)
    return weights


def effective_rank(vectors: npt.ArrayLike) -> float:
    """Return how many dimensions the rows of `vectors` really use.

    The exponential of the entropy of the normalised singular values of the centred matrix
    (Roy and Vetterli 2007): 1 for a collapsed embedding, d for an isotropic one.

    Parameters
    ----------
    vectors : array (n, d)

    Examples
    --------
    >>> corners = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    >>> round(effective_rank(corners), 6)
    2.0
    """
    centred = np.asarray(vectors, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    singular = np.linalg.svd(centred, compute_uv=False)
    if not singular.any():
        return 0.0
    share = singular[singular > 0] / singular.sum()
    return float(np.exp(-(share * np.log(share)).sum()))
