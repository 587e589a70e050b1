"""Bring two calibrated sets to where the steps of a match can begin: bands, distances, fields."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray, owned
from simreal.core.errors import NothingUsableError, UsageError
from simreal.core.images import ImageSet, ImageSource, Step
from simreal.match.filters import BandPair, pair_bands
from simreal.match.placement import COSMOLOGY, physical_scale, place
from simreal.match.recipe import Recipe

#: The one unit of calibrated pixels.
UNIT = "nJy / pix"
#: Relative difference of wavelengths within which the nearest bands are taken on request.
ANY_BAND = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """An `ImageSource` that shows chosen bands of another, in the order given."""

    source: ImageSource
    bands: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(n, band, y, x)``."""
        n, _, height, width = self.source.shape
        return n, len(self.bands), height, width

    def read(self, rows: slice | IntArray) -> Float32Array:
        """Return the images of `rows` as float32 ``(k, band, y, x)``."""
        return np.ascontiguousarray(self.source.read(rows)[:, list(self.bands)])


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """An `ImageSource` whose images are multiplied each by a factor of its own."""

    source: ImageSource
    factor: Float64Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", owned(self.factor, np.float64))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(n, band, y, x)``."""
        return self.source.shape

    def read(self, rows: slice | IntArray) -> Float32Array:
        """Return the images of `rows` as float32 ``(k, band, y, x)``."""
        factor = self.factor[rows].astype(np.float32)[:, None, None, None]
        return np.asarray(self.source.read(rows) * factor, dtype=np.float32)


def check_given(images: ImageSet) -> None:
    """Check that a set holds calibrated images.

    Raises
    ------
    UsageError, NothingUsableError
        Naming the set and what it holds instead.
    """
    setup = images.setup
    if setup.track != "flux" or setup.unit != UNIT:
        raise UsageError(
            f"{images.name}: got track {setup.track!r} in {setup.unit!r}, allowed for this match "
            f"is 'flux' in {UNIT!r}"
        )
    if len(images) == 0:
        raise NothingUsableError(f"{images.name}: no image to match")


def with_bands(images: ImageSet, wanted: tuple[str, ...], named: tuple[str, ...]) -> ImageSet:
    """Return the set with the bands `wanted` alone, in that order, under the names `named`."""
    setup = images.setup
    if setup.bands == wanted == named:
        return images
    index = tuple(setup.bands.index(band) for band in wanted)
    changes: dict[str, Any] = {"bands": named}
    for name, axis in (("psf", -3), ("psf_fwhm", -1), ("noise", -1), ("gain", -1)):
        value = getattr(setup, name)
        if value is not None:
            changes[name] = np.take(value, index, axis=axis)
    step = Step(
        name="bands",
        before={"bands": ", ".join(setup.bands)},
        after={"bands": ", ".join(wanted)},
        note="" if wanted == named else f"held against {', '.join(named)}",
    )
    return images.replace(
        images=Planes(images.images, index),
        mask=None if images.mask is None else images.mask[:, list(index)],
        setup=setup.replace(**changes),
    ).with_step(step)


def in_common_bands(
    sim: ImageSet, obs: ImageSet, recipe: Recipe
) -> tuple[ImageSet, ImageSet, tuple[str, ...]]:
    """Return both sets in the bands they share, and those pairs that are not the same band.

    Bands without a partner are left out on both sides, which the history says.

    Raises
    ------
    UsageError
        If no band of one is close enough to a band of the other.
    """
    pairs = _pairs(sim, obs, recipe)
    ours, theirs = tuple(pair.sim for pair in pairs), tuple(pair.obs for pair in pairs)
    different = tuple(f"{a} against {b}" for a, b in zip(ours, theirs, strict=True) if a != b)
    return with_bands(sim, ours, theirs), with_bands(obs, theirs, theirs), different


def _pairs(sim: ImageSet, obs: ImageSet, recipe: Recipe) -> tuple[BandPair, ...]:
    """Return the bands that are one band on both sides; what has no partner is not compared."""
    ours, theirs = sim.setup.bands, obs.setup.bands
    try:
        return pair_bands(ours, theirs, tolerance=recipe.band_tolerance, allow=True)
    except UsageError as error:
        if recipe.allow_bands:
            return pair_bands(ours, theirs, tolerance=ANY_BAND, allow=True)
        raise UsageError(
            f"{sim.name} and {obs.name}: {error}; --allow bands compares the nearest and says so"
        ) from None


def placed(
    images: ImageSet, *, like: ImageSet, recipe: Recipe, rng: np.random.Generator
) -> ImageSet:
    """Return the set at an angular scale: images near by are moved to a redshift.

    Parameters
    ----------
    images : ImageSet
    like : ImageSet
        The other side, whose redshifts are drawn from where the recipe names none.

    Raises
    ------
    UsageError
        If the images are to be moved and no redshift is known.
    """
    setup = images.setup
    if setup.pixel_scale is not None:
        return _with_physical_scale(images)
    if setup.physical_scale is None:
        raise UsageError(
            f"{images.name}: no pixel scale, angular or physical; state calibration.pixel_scale"
        )
    if setup.distance is None and setup.redshift is None:
        raise UsageError(
            f"{images.name}: pixels of known size in kpc, but neither the redshift nor the "
            "distance their flux is for; state calibration.redshift or calibration.distance"
        )
    target = _target_redshifts(images, like=like, recipe=recipe, rng=rng)
    n = len(images)
    moved = place(
        np.broadcast_to(np.asarray(setup.physical_scale, np.float64), (n,)),
        z_from=0.0 if setup.redshift is None else setup.redshift,
        z_to=target,
        distance_from=setup.distance if setup.redshift is None else None,
    )
    step = Step(
        name="placement",
        before={
            "median size of a pixel [kpc]": float(np.median(setup.physical_scale)),
            "median redshift": None if setup.redshift is None else float(np.median(setup.redshift)),
        },
        after={
            "median redshift": float(np.median(target)),
            "median pixel scale [arcsec]": float(np.median(moved.pixel_scale)),
            "median surface brightness factor": float(np.median(moved.brightness_factor)),
            "cosmology": moved.cosmology,
        },
        note="I_nu dims as (1 + z)^-3; no K-correction: the bands move with the light",
    )
    return images.replace(
        images=Scaled(images.images, moved.flux_factor),
        setup=setup.replace(
            pixel_scale=moved.pixel_scale,
            redshift=target,
            distance=None,
            noise=_times(setup.noise, moved.flux_factor),
            gain=_times(setup.gain, 1 / moved.flux_factor),
        ),
    ).with_step(step)


def _times(value: Float64Array | None, factor: Float64Array) -> Float64Array | None:
    """Return a number per band, or per image and band, times a factor per image."""
    return None if value is None else np.atleast_2d(value) * factor[:, None]


def _target_redshifts(
    images: ImageSet, *, like: ImageSet, recipe: Recipe, rng: np.random.Generator
) -> Float64Array:
    n = len(images)
    if recipe.redshift is not None:
        return np.full(n, recipe.redshift)
    if like.setup.redshift is None:
        raise UsageError(
            f"{images.name} is to be placed at a redshift and {like.name} states none to be drawn "
            "from; add --redshift Z"
        )
    known = np.atleast_1d(np.asarray(like.setup.redshift, np.float64))
    # One redshift per object, so that its views stay views of one object.
    _, group = np.unique(images.groups, return_inverse=True)
    drawn = rng.choice(known, size=int(group.max()) + 1)
    return np.asarray(drawn[group])


def _with_physical_scale(images: ImageSet) -> ImageSet:
    setup = images.setup
    if setup.physical_scale is not None or setup.redshift is None or setup.pixel_scale is None:
        return images
    scale = physical_scale(setup.pixel_scale, redshift=setup.redshift, cosmology=COSMOLOGY)
    one = scale.size == 1
    return images.replace(setup=setup.replace(physical_scale=float(scale[0]) if one else scale))


def own_fields(images: ImageSet) -> IntArray:
    """Return first and last + 1 row, then column, of each image's own field ``(n, 4)``.

    What is masked along whole rows or columns of the border was padded, or lies over the edge
    of a mosaic.

    Raises
    ------
    UsageError
        If an image has no field at all.
    """
    n, _, height, width = images.images.shape
    if images.mask is None:
        return np.tile(np.array([0, height, 0, width], dtype=np.int64), (n, 1))
    usable = ~np.asarray(images.mask.all(axis=1))
    out = np.empty((n, 4), dtype=np.int64)
    for k, plane in enumerate(usable):
        out[k] = *_span(plane.any(axis=1)), *_span(plane.any(axis=0))
    return out


def _span(line: BoolArray) -> tuple[int, int]:
    inside = np.flatnonzero(line)
    if len(inside) == 0:
        raise UsageError("an image is masked all over; leave it out")
    return int(inside[0]), int(inside[-1]) + 1
