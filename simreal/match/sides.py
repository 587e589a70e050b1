"""One side of a match on its way: images, how they were seen, what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array, IntArray
from simreal.core.cards import View
from simreal.core.errors import NothingUsableError
from simreal.core.images import ImageSet, Step
from simreal.core.results import Exclusion
from simreal.match.recipe import Side
from simreal.measure.stamps import Measured


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Party:
    """The images of one side that are still in, with their measurements.

    Parameters
    ----------
    side : {"sim", "obs"}
    images : ImageSet
    view : View
    measured : Measured
    original : array of int
        Row of each image in the set that was given.
    exclusions : tuple of Exclusion
        What was left out on the way.
    steps : tuple of Step
        What was done on the way.
    band_shift : array (band, 2) or None
        [stamp pixel] x and y by which every image's bands lie off, to be taken out on the frame.
    box : array of int (n, 4) or None
        First and last + 1 row, then column, of each image's own field, where images were padded.
    factor : array (n,) or None
        What every pixel is multiplied by, where the light was moved to another redshift.
    """

    side: Side
    images: ImageSet
    view: View
    measured: Measured
    original: IntArray
    exclusions: tuple[Exclusion, ...] = ()
    steps: tuple[Step, ...] = ()
    band_shift: Float64Array | None = None
    box: IntArray | None = None
    factor: Float64Array | None = None

    def __len__(self) -> int:
        return len(self.original)

    @property
    def field(self) -> tuple[int, int]:
        """``(y, x)`` of the native images."""
        height, width = self.images.images.shape[-2:]
        return height, width

    @property
    def edge(self) -> Float64Array:
        """Distance [pixel] from each centre to the nearest edge of the image's own field."""
        x, y = self.measured.x, self.measured.y
        height, width = self.field
        box = np.array([[0, height, 0, width]]) if self.box is None else self.box
        near = [y + 0.5 - box[:, 0], box[:, 1] - 0.5 - y, x + 0.5 - box[:, 2], box[:, 3] - 0.5 - x]
        return np.asarray(np.minimum.reduce(near))

    @property
    def own_psf(self) -> Float64Array:
        """PSF width of the images as they came [native pixel], 0 where none is known."""
        known = self.images.setup.psf_fwhm
        if known is None:
            return np.zeros(len(self))
        return np.asarray(np.broadcast_to(known, (len(self), known.shape[-1])).mean(1))

    @property
    def noisy(self) -> bool:
        """Whether the images came with a telescope's sky."""
        return self.images.setup.rendition == "survey"

    def keep(self, rows: BoolArray | IntArray) -> "Party":
        """Return the party with only `rows`."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return replace(
            self,
            images=self.images.rows(index),
            measured=self.measured.rows(index),
            original=self.original[index],
            box=None if self.box is None else self.box[index],
            factor=None if self.factor is None else self.factor[index],
        )

    def without(self, lost: BoolArray, *, step: str, reasons: Sequence[str]) -> "Party":
        """Return the party without the rows `lost`, each listed with its reason and radius."""
        rows = np.flatnonzero(lost)
        radius = self.measured.radius
        listed = tuple(
            Exclusion(
                id=str(self.images.ids[row]),
                side=self.side,
                step=step,
                reason=reason,
                radius=float(radius[row]) if np.isfinite(radius[row]) else None,
            )
            for row, reason in zip(rows, reasons, strict=True)
        )
        return replace(self.keep(~lost), exclusions=self.exclusions + listed)

    def noted(self, step: Step) -> "Party":
        """Return the party with one more step in its history."""
        return replace(self, steps=(*self.steps, step))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Donors:
    """Observed frames that lend sky and PSF, and which one each simulated image got.

    Parameters
    ----------
    party : Party
        The donors alone.
    scale : array (n_donors,)
        Frame units per donor pixel.
    half_limit : array (n_donors,)
        Largest half-width of a galaxy-free patch [donor pixel].
    pick : array of int (n_sim,)
        Donor of each simulated image.
    """

    party: Party
    scale: Float64Array
    half_limit: Float64Array
    pick: IntArray

    def for_rows(self, rows: IntArray | BoolArray) -> "Donors":
        """Return the donors of the simulated images `rows`."""
        return replace(self, pick=self.pick[rows])


def with_source(party: Party) -> Party:
    """Leave out the images that have no source in the centre.

    Raises
    ------
    NothingUsableError
        If none has one.
    """
    lost = ~party.measured.found
    if lost.all():
        raise NothingUsableError(
            f"{party.images.name}: no source in the centre of any of {len(party)} images; look "
            "at the images and at their sky"
        )
    if not lost.any():
        return party
    reasons = ["no source above the sky near the centre"] * int(lost.sum())
    return party.without(lost, step="measure", reasons=reasons)
