"""What every step of one match needs to know."""

from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import Float64Array
from simreal.core.seeding import stream
from simreal.match.frame import FrameKind, unit_per_pixel
from simreal.match.recipe import Recipe
from simreal.match.sides import Party
from simreal.measure.stamps import Progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """What every step needs to know of the run."""

    recipe: Recipe
    seed: int
    kind: FrameKind
    progress: Progress | None

    def rng(self, *names: str) -> np.random.Generator:
        """Return the random stream of one step."""
        return stream(self.seed, "match", *names)

    def report(self, label: str, done: int, total: int) -> None:
        """Tell whoever listens how far a step is."""
        if self.progress is not None:
            self.progress(label, done, total)

    def scale(self, party: Party) -> Float64Array:
        """Return frame units per native pixel of each image."""
        radius = party.measured.radius
        return unit_per_pixel(self.kind, party.images, party.view, radius=radius)
