"""One anonymous pool of images: what an encoder may know of the two sides, which is nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, IntArray, owned
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSet, ImageSource
from simreal.measure.pixel_hash import pixel_digests


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Images of all sides in an order that only their pixels decide.

    Rows are sorted by the hash of their pixels, so neither a position nor a group number
    says which side an image came from, and naming the sides the other way round gives the
    same pool.

    Parameters
    ----------
    sources : tuple of ImageSource
        All of one ``(band, y, x)``.
    order : array of int (n,)
        Row of the sources laid end to end, for every row of the pool.
    groups : array of int (n,)
        Which rows are views of one object.
    """

    sources: tuple[ImageSource, ...]
    order: IntArray
    groups: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", owned(self.order, np.int64))
        object.__setattr__(self, "groups", owned(self.groups, np.int64))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(n, band, y, x)``."""
        return (len(self.order), *self.sources[0].shape[1:])

    def read(self, rows: slice | IntArray) -> Float32Array:
        """Return the images of `rows` as float32 ``(k, band, y, x)``."""
        wanted = self.order[rows]
        block = np.empty((len(wanted), *self.shape[1:]), np.float32)
        start = 0
        for source in self.sources:
            here = (wanted >= start) & (wanted < start + source.shape[0])
            if here.any():
                block[here] = source.read(wanted[here] - start)
            start += source.shape[0]
        return block


@dataclass(frozen=True, slots=True, eq=False)
class FilledSource:
    """An `ImageSource` whose masked pixels read the median of their image and band."""

    source: ImageSource
    mask: BoolArray

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(n, band, y, x)``."""
        return self.source.shape

    def read(self, rows: slice | IntArray) -> Float32Array:
        """Return the images of `rows` as float32 ``(k, band, y, x)``."""
        block, mask = np.array(self.source.read(rows)), self.mask[rows]
        for image, hidden in np.argwhere(mask.any(axis=(2, 3))):
            plane, out = block[image, hidden], mask[image, hidden]
            plane[out] = 0.0 if out.all() else np.median(plane[~out])
        return block


def pixels_of(images: ImageSet) -> ImageSource:
    """Return the pixels of a set as an encoder may see them: masked ones filled."""
    return images.images if images.mask is None else FilledSource(images.images, images.mask)


def pool_sets(sets: Sequence[ImageSet]) -> Pool:
    """Pool `sets` without their names, roles, ids and order.

    Raises
    ------
    NotComputableError
        If there is none, or bands or sizes differ.
    """
    if not sets:
        raise NotComputableError("no set of images to fit an encoder on; give one or more")
    for other in sets[1:]:
        _check_alike(sets[0], other)
    sources = tuple(pixels_of(images) for images in sets)
    hashes = [image for source in sources for image in pixel_digests(source)]
    labels = [(side, group) for side, s in enumerate(sets) for group in s.groups.tolist()]
    members: dict[tuple[int, str], list[str]] = {}
    for label, image in zip(labels, hashes, strict=True):
        members.setdefault(label, []).append(image)
    # Equal pixels in different groups are ordered by their whole groups; what is then
    # still equal is interchangeable.
    whole = {label: "".join(sorted(images)) for label, images in members.items()}
    order = sorted(range(len(hashes)), key=lambda row: (hashes[row], whole[labels[row]]))
    number: dict[tuple[int, str], int] = {}
    groups = [number.setdefault(labels[row], len(number)) for row in order]
    return Pool(sources, np.array(order, np.int64), np.array(groups, np.int64))


def _check_alike(one: ImageSet, other: ImageSet) -> None:
    for what, a, b in (
        ("bands", one.setup.bands, other.setup.bands),
        ("(band, y, x)", one.images.shape[1:], other.images.shape[1:]),
    ):
        if a != b:
            raise NotComputableError(
                f"one encoder needs images of one kind: {what} is {a} in {one.name!r} and {b} in "
                f"{other.name!r}; match both sets with one recipe"
            )
