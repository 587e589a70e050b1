"""What an adapter is given and what it hands back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from simreal.core.cards import Card
from simreal.core.images import ImageSet, Setup
from simreal.core.results import Rejection


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterMeta:
    """What an adapter says of itself.

    ``synthetic`` adapters make their images from the card and the seed alone; ``version``
    grows whenever the same input would give other pixels, so that stale stores are remade.
    """

    synthetic: bool
    version: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ingested:
    """An image set on the store, and what was left out on the way.

    Parameters
    ----------
    images : ImageSet
    rejected : tuple of Rejection
        One row per broken input; the good ones are as if the broken ones were absent.
    notes : tuple of str
        What a reader must know before trusting the set, one line each.
    """

    images: ImageSet
    rejected: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()


class Adapter(Protocol):
    """The module-level contract of ``simreal/data/adapters/<name>.py``."""

    META: AdapterMeta

    def read(self, card: Card, *, seed: int, store: Path) -> Ingested:
        """Read the collection of `card` into the file `store`."""
        ...


def setup_of(card: Card) -> Setup:
    """Return the observing conditions a card states, in the native frame.

    Examples
    --------
    >>> from simreal.core.cards import load_card
    >>> setup_of(load_card("sdss")).frame
    'native'
    """
    return Setup(
        track=card.track,
        object_kind=card.object_kind,
        bands=card.view.bands,
        unit=card.view.unit,
        display=card.view.display,
        rendition=card.view.rendition,
        pixel_scale=card.view.pixel_scale,
    )
