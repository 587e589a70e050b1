"""One anonymous pool of images: what an encoder may know of the two sides, which is nothing."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray, owned
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSet, ImageSource
from simreal.measure.pixel_hash import pixel_digests

#: Shares of images that lack a band may differ by this much between two sets.
PRESENCE_TOLERANCE = 0.02


class NonFiniteImageError(NotComputableError):
    """An image of the pool has a pixel that is not finite; `row` says which, not whose."""

    def __init__(self, row: int) -> None:
        super().__init__(
            f"image {row} of the pool has a pixel that is not finite; mask it or leave the image "
            "out"
        )
        self.row = row


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
    """An `ImageSource` whose masked pixels read the median of their image and band.

    A band that is masked throughout is missing and reads NaN: any number would look like data.
    """

    source: ImageSource
    mask: BoolArray

    @property
    def missing(self) -> BoolArray:
        """Which bands of which images are missing, ``(n, band)``."""
        return np.asarray(np.all(self.mask, axis=(2, 3)))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(n, band, y, x)``."""
        return self.source.shape

    def read(self, rows: slice | IntArray) -> Float32Array:
        """Return the images of `rows` as float32 ``(k, band, y, x)``."""
        block, mask = np.array(self.source.read(rows)), self.mask[rows]
        for image, hidden in np.argwhere(mask.any(axis=(2, 3))):
            plane, out = block[image, hidden], mask[image, hidden]
            plane[out] = np.nan if out.all() else _middle(plane[~out])
        return block


def _middle(known: Float32Array) -> float:
    """Return the median; of whole numbers a whole one, so that counts stay counts."""
    middle = float(np.median(known))
    return middle if (known % 1).any() else float(np.floor(middle))


def missing_bands(source: ImageSource) -> BoolArray:
    """Return which bands of which images are missing ``(n, band)``.

    Examples
    --------
    >>> from simreal.core.images import ArraySource
    >>> bool(missing_bands(ArraySource(np.zeros((2, 3, 4, 4)))).any())
    False
    """
    if isinstance(source, Pool):
        return np.concatenate([missing_bands(part) for part in source.sources])[source.order]
    if isinstance(source, FilledSource):
        return source.missing
    return np.zeros(source.shape[:2], dtype=np.bool_)


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
    check_presence(sets)
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


def check_presence(sets: Sequence[ImageSet]) -> None:
    """Refuse sets of which one lacks a band more often than another: that would tell them apart.

    Two shares are told apart if one is none and the other is not, or if they differ by more
    than `PRESENCE_TOLERANCE` and by 3.29 standard errors (0.1 %) between groups.

    Raises
    ------
    NotComputableError
        Naming the band, both shares and what to do; or an image that has no band at all.
    """
    shares = [_shares_missing(images) for images in sets]
    for (one, images), (other, others) in itertools.combinations(zip(shares, sets, strict=True), 2):
        pooled = (one * images.n_groups + other * others.n_groups) / (
            images.n_groups + others.n_groups
        )
        error = np.sqrt(pooled * (1 - pooled) * (1 / images.n_groups + 1 / others.n_groups))
        apart = np.abs(one - other) > np.maximum(PRESENCE_TOLERANCE, 3.29 * error)
        apart |= (one == 0) != (other == 0)
        if apart.any():
            band = int(apart.argmax())
            raise NotComputableError(
                f"band {images.setup.bands[band]!r} is missing in {100 * one[band]:.3g} % of "
                f"{images.name!r} and {100 * other[band]:.3g} % of {others.name!r}, which tells "
                "the sides apart; leave the images without it out on both sides, or the band"
            )


def _shares_missing(images: ImageSet) -> Float64Array:
    """Return the share of groups with an image that lacks a band, ``(band,)``."""
    if images.mask is None:
        return np.zeros(len(images.setup.bands))
    missing = np.asarray(np.all(images.mask, axis=(2, 3)))
    if missing.all(axis=1).any():
        first = str(images.ids[int(missing.all(axis=1).argmax())])
        raise NotComputableError(
            f"{images.name}: image {first!r} has no band at all "
            f"({int(missing.all(axis=1).sum())} such images); leave it out"
        )
    names, member = np.unique(images.groups, return_inverse=True)
    lacking = np.zeros((len(names), missing.shape[1]))
    np.maximum.at(lacking, member, missing)
    return np.asarray(lacking.mean(axis=0))


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
