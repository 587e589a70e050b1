"""What a check is given and what it gives back.

A check is one module with ``META`` and ``run(given, *, rng) -> Found``. It looks at both
sides' stamps, at empty sky that went the same way, and at embeddings; one that must match or
embed again is handed the means to (`Tools`), because no room knows another.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from types import ModuleType
from typing import Any, Protocol, TypeAlias

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array, IntArray
from simreal.core.audit import Cost, Reading
from simreal.core.cards import View
from simreal.core.embedding import Embedding
from simreal.core.errors import UsageError
from simreal.core.images import ImageSet
from simreal.core.plugins import available, load
from simreal.core.results import Comparison, Estimate

PACKAGE = "simreal.audit.checks"
GROUP = "simreal.checks"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckMeta:
    """What a check says of itself.

    Parameters
    ----------
    code : str
        Such as ``"A2"``; checks run and are listed in the order of their codes.
    title : str
    question : str
        What it asks, as one sentence.
    cost : {"fast", "full"}
        ``fast`` takes seconds and runs in every comparison; ``full`` matches or embeds again.
    names_cause : bool
        Whether red says what is wrong (a PSF, a noise) and not only that something is.
    mend : str
        The one step that would mend it.
    """

    code: str
    title: str
    question: str
    cost: Cost
    names_cause: bool
    mend: str

    @property
    def order(self) -> tuple[str, int]:
        """Sort key: letter, then number."""
        digits = "".join(c for c in self.code if c.isdigit())
        return self.code.rstrip("0123456789"), int(digits or 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """One side of a comparison as an audit sees it.

    Parameters
    ----------
    stamps : ImageSet
        Matched and scored.
    sky : ImageSet or None
        Galaxy-free sky on the same frame, through the same steps and the last encoding; not
        one per stamp. None where the match had none to show.
    embedding : Embedding or None
        Of `stamps`, row by row.
    native : ImageSet or None
        As delivered.
    view : View or None
        How it was seen, from its card.
    """

    stamps: ImageSet
    sky: ImageSet | None = None
    embedding: Embedding | None = None
    native: ImageSet | None = None
    view: View | None = None

    def __post_init__(self) -> None:
        if self.embedding is not None and not np.array_equal(self.embedding.ids, self.stamps.ids):
            raise UsageError(
                f"{self.stamps.name}: embedding and stamps have different ids; an audit needs them "
                "row by row"
            )

    def rows(self, rows: IntArray) -> "Side":
        """Return the side with some of its stamps; sky and originals are kept."""
        return replace(
            self,
            stamps=self.stamps.rows(rows),
            embedding=None if self.embedding is None else self.embedding.rows(rows),
        )

    def one_per_group(self, rng: np.random.Generator) -> "Side":
        """Return the side with one random stamp and one random sky of every group."""
        sky = self.sky
        return replace(
            self.rows(_one_each(self.stamps, rng)),
            sky=None if sky is None else sky.rows(_one_each(sky, rng)),
        )

    def pixels(self) -> Float32Array:
        """Return the stamps ``(n, band, y, x)``."""
        return np.asarray(self.stamps.images.read(slice(None)), dtype=np.float32)

    def sky_pixels(self) -> Float32Array | None:
        """Return the empty sky ``(k, band, y, x)``, or None."""
        if self.sky is None:
            return None
        return np.asarray(self.sky.images.read(slice(None)), dtype=np.float32)


def _one_each(images: ImageSet, rng: np.random.Generator) -> IntArray:
    order = rng.permutation(len(images))
    _, first = np.unique(images.groups[order], return_index=True)
    return np.sort(order[first])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rematched:
    """Two sets matched again."""

    sim: Side
    obs: Side


class Rematch(Protocol):
    """Match two sets of originals again, the first in the place of the simulated side."""

    def __call__(
        self, sim: ImageSet, obs: ImageSet, *, views: tuple[View, View], seed: int
    ) -> Rematched:
        """Return both, matched by the recipe of the comparison."""
        ...


#: (obs, sim) -> one Comparison per metric.
Distance: TypeAlias = Callable[[Embedding, Embedding], tuple[Comparison, ...]]

#: (stamps, sky, rng) -> pixels.
Control: TypeAlias = Callable[[ImageSet, ImageSet | None, np.random.Generator], Float32Array]

#: Both sides, the sky of both, a generator -> steps of equalising.
Equalise: TypeAlias = Callable[
    [tuple[ImageSet, ImageSet], tuple[ImageSet | None, ImageSet | None], np.random.Generator],
    Iterable[tuple[str, str, ImageSet, ImageSet]],
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tools:
    """What checks of cost ``full`` need of other rooms.

    Parameters
    ----------
    rematch : callable
    embed : mapping of variant to callable(ImageSet) -> Embedding
        With the encoder of the comparison, not trained anew; the leading variant first.
    distance : callable(obs, sim) -> tuple of Comparison
        The metrics of the comparison whose far tail is the upper one, on embeddings of one
        encoder, whatever their conditions: controls are wrong on purpose.
    bridges : mapping of str to ImageSet
        Other surveys, matched to the observed side like a simulation.
    quick : callable or None
        `distance` with less inference, for rows of which there are dozens.
    paired : callable(obs, a, b) -> mapping of metric to Estimate, or None
        How much farther `a` is from `obs` than `b`, on the same draws of objects.
    own_noise : callable or None
        ``(originals, stamps, sky)`` -> share ``(n,)`` of the sky's variance that originals
        which carry noise add to the sky they are given.
    controls : mapping of str to callable
        ``(stamps, sky, rng)`` -> pixels changed for the worse on purpose, row by row.
    transforms : mapping of str to callable
        Changes to both sides that no distance should hang on.
    equalise : callable or None
        ``((sim, obs), (sky_sim, sky_obs), rng)`` -> ``(name, kind, sim, obs)`` step by step, with
        kind ``"nothing"``, ``"nuisance"`` or ``"physics"``; steps add up.
    """

    rematch: Rematch
    embed: Mapping[str, Callable[[ImageSet], Embedding]]
    distance: Distance
    bridges: Mapping[str, ImageSet] = field(default_factory=dict)
    quick: Distance | None = None
    paired: Callable[[Embedding, Embedding, Embedding], Mapping[str, Estimate]] | None = None
    own_noise: Callable[[ImageSet, ImageSet, ImageSet], Float64Array] | None = None
    controls: Mapping[str, Control] = field(default_factory=dict)
    transforms: Mapping[str, Callable[[Float32Array], Float32Array]] = field(default_factory=dict)
    equalise: Equalise | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Given:
    """What a check looks at.

    Parameters
    ----------
    sim, obs : Side
    same_population : bool
        Whether both sides hold the same kind of galaxies by construction (halves of one set,
        real galaxies sent through the simulation's pipeline). Only then can what might be
        physics veto.
    seed : int
    tools : Tools or None
        None in a fast battery.
    donors : ImageSet or None
        Observed originals that are not scored (they lent their sky).
    """

    sim: Side
    obs: Side
    same_population: bool = False
    seed: int = 0
    tools: Tools | None = None
    donors: ImageSet | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What a check found: readings, plain data for its figures, notes, control rows."""

    readings: Sequence[Reading]
    pictures: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    controls: Sequence[Mapping[str, Any]] = ()


@cache
def check_names() -> tuple[str, ...]:
    """Return the names of all installed checks in the order of their codes."""
    names = available(PACKAGE, GROUP)
    return tuple(sorted(names, key=lambda name: (check_meta(load_check(name), name).order, name)))


@cache
def load_check(name: str) -> ModuleType:
    """Return the module of a check.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    return load(PACKAGE, GROUP, name)


def check_meta(module: ModuleType, name: str) -> CheckMeta:
    """Return what a check says of itself.

    Raises
    ------
    UsageError
        If it is not a check.
    """
    meta = getattr(module, "META", None)
    if not isinstance(meta, CheckMeta) or not callable(getattr(module, "run", None)):
        raise UsageError(f"check {name!r}: needs META (CheckMeta) and run(given, *, rng)")
    return meta
