"""The sky that checks look at: empty patches where a match kept some, else the corners of stamps.

Both sides are always looked at in the same kind of sky. Empty sky holds nothing but the
background; corners of stamps hold the outskirts of galaxies too, and what is read there may be
physics.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from simreal.audit.contract import Given, Side
from simreal.audit.inference import FEWEST, Asked, not_computable, reading
from simreal.audit.probe import cross_validated_auc
from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.core.audit import Reading
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSet
from simreal.measure.sky_texture import (
    SkyTexture,
    corners,
    frame_grid,
    free_pixels,
    sky_texture,
)
from simreal.measure.stamps import luminance_of

#: [pixel] Least side of images that have corners to look at.
LEAST_SIDE = 24
#: [pixel] Left out along the edges: what padding and resampling do there is not sky.
EDGE = 2
#: Side of a corner block, in sides of the stamp.
CORNER = 0.25
#: A probe on tens of numbers learns next to nothing from fewer images on a side.
FEWEST_PROBED = 50
#: Features further out than this, in scatters of the pool, are pulled in: one odd patch must
#: not bend a probe.
REACH = 4.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sky:
    """Patches of sky, sources and all.

    Parameters
    ----------
    pixels : array (n, patch, band, y, x)
        NaN where the set masks a pixel.
    grid : array (2, patch, y, x)
        Where the pixels lie in the frame, from -1/2 to 1/2.
    pure : bool
        Whether no galaxy can be in it.
    """

    pixels: Float32Array
    grid: Float64Array
    pure: bool

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def where(self) -> str:
        """What it is, in words."""
        return "empty sky" if self.pure else "corners of the stamps"

    def luminance(self) -> Float32Array:
        """Return the mean over the bands ``(n, patch, y, x)``."""
        return luminance_of(self.pixels)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """Sky of both sides and its numbers.

    Parameters
    ----------
    sim, obs : Sky
    free : pair of arrays of bool (n, patch, y, x)
        Pixels without a source, of the simulated and the observed side.
    texture : pair of SkyTexture
    note : str
        Why it is not what one would rather look at; empty where it is.
    """

    sim: Sky
    obs: Sky
    free: tuple[BoolArray, BoolArray]
    texture: tuple[SkyTexture, SkyTexture]
    note: str = ""

    @property
    def pure(self) -> bool:
        """Whether no galaxy can be in it."""
        return self.sim.pure

    @property
    def where(self) -> str:
        """What it is, in words."""
        return self.sim.where

    @property
    def notes(self) -> tuple[str, ...]:
        """The note as a list of none or one."""
        return (self.note,) if self.note else ()


def sky_of(side: Side) -> Sky:
    """Return the empty sky of a side, or the corners of its stamps where there is none.

    Raises
    ------
    NotComputableError
        If the images are too small.
    """
    if side.sky is None or not len(side.sky):
        return corners_of(side)
    pixels = _inside(side.sky)
    grid = _grid(side.sky)
    return Sky(pixels=pixels[:, None], grid=grid[:, None], pure=True)


def corners_of(side: Side) -> Sky:
    """Return the corners of the scored stamps of a side.

    Raises
    ------
    NotComputableError
        If the stamps are too small.
    """
    pixels, grid = _inside(side.stamps), _grid(side.stamps)
    block = round(CORNER * min(side.stamps.images.shape[2:]))
    # The corner axis comes before the bands.
    cut = np.moveaxis(corners(pixels, block), -3, 1)
    return Sky(pixels=cut, grid=corners(grid, block), pure=False)


def _inside(images: ImageSet) -> Float32Array:
    """Return the pixels ``(n, band, y, x)`` without the outermost, NaN where masked."""
    height, width = images.images.shape[2:]
    if min(height, width) < LEAST_SIDE:
        raise NotComputableError(
            f"{images.name}: got images of {height} × {width} pixels, needed are {LEAST_SIDE} a "
            "side to find sky in them"
        )
    pixels = np.asarray(images.images.read(slice(None)), dtype=np.float32)
    if images.mask is not None:
        pixels = np.where(images.mask, np.float32(np.nan), pixels)
    return pixels[..., EDGE:-EDGE, EDGE:-EDGE]


def _grid(images: ImageSet) -> Float64Array:
    return frame_grid(*images.images.shape[2:])[..., EDGE:-EDGE, EDGE:-EDGE]


def seen_sky(given: Given) -> Seen:
    """Return the sky of both sides: empty if both have some, else the corners of both.

    Raises
    ------
    NotComputableError
        If there is no sky to compare.
    """
    lacking = [side.stamps.name for side in (given.sim, given.obs) if not _has_sky(side)]
    if lacking:
        return _seen(
            corners_of(given.sim),
            corners_of(given.obs),
            note=f"no empty sky of {' and '.join(lacking)}: the corners of the stamps are looked "
            "at, where a galaxy's outskirts may be",
        )
    return _seen(sky_of(given.sim), sky_of(given.obs))


def _has_sky(side: Side) -> bool:
    return side.sky is not None and len(side.sky) > 0


def seen_corners(given: Given) -> Seen:
    """Return the corners of the scored stamps of both sides.

    Raises
    ------
    NotComputableError
        If the stamps are too small or have no sky.
    """
    return _seen(corners_of(given.sim), corners_of(given.obs))


def _seen(sim: Sky, obs: Sky, *, note: str = "") -> Seen:
    if sim.pixels.shape[1:] != obs.pixels.shape[1:]:
        (_, _, *one), (_, _, *other) = sim.pixels.shape, obs.pixels.shape
        raise NotComputableError(
            f"{sim.where}: got (band, y, x) {tuple(one)} and {tuple(other)}, needed are patches of "
            "one size and the same bands"
        )
    free, textures = [], []
    for sky in (sim, obs):
        luminance = sky.luminance()
        free.append(free_pixels(luminance))
        textures.append(sky_texture(luminance, grid=sky.grid, free=free[-1]))
    _check_usable(sim.where, textures[0], textures[1])
    return Seen(
        sim=sim, obs=obs, free=(free[0], free[1]), texture=(textures[0], textures[1]), note=note
    )


def _check_usable(where: str, sim: SkyTexture, obs: SkyTexture) -> None:
    """Raise if neither side, or one of them masked, has anything to measure."""
    for name, texture in (("simulated", sim), ("observed", obs)):
        n = len(texture.flat)
        with_noise, flat = int(np.isfinite(texture.rms).sum()), int(texture.flat.sum())
        if n >= FEWEST and with_noise + flat < FEWEST:
            raise NotComputableError(
                f"{where}: {n - with_noise - flat} of {n} {name} images have next to no pixels "
                f"free of sources and masks; needed are {FEWEST} images with sky"
            )
    if sim.flat.all() and obs.flat.all() and len(sim.flat) and len(obs.flat):
        raise NotComputableError(f"{where}: constant on both sides, without any noise to compare")


def band_rms(sky: Sky, free: BoolArray) -> Float64Array:
    """Return the rms of the free pixels in each band ``(n, band)``."""
    weight = free.astype(np.float32)
    count = np.maximum(weight.sum(axis=(1, 2, 3)), 1)[:, None]
    values = np.where(free[:, :, None], sky.pixels, np.float32(0))
    level = np.einsum("npbyx->nb", values) / count
    centred = (values - level[:, None, :, None, None].astype(np.float32)) * weight[:, :, None]
    return np.asarray(np.sqrt(np.einsum("npbyx,npbyx->nb", centred, centred) / count))


def told_apart(
    asked: Asked, sim: Float64Array, obs: Float64Array, *, rng: np.random.Generator
) -> Reading:
    """Return how well a linear probe tells two tables of features apart on rows not seen.

    Parameters
    ----------
    asked : Asked
        On the scale ``auc``.
    sim, obs : array (n, k), (m, k)
        Rows with a number missing are left out.
    """
    tables = [table[np.isfinite(table).all(axis=1)] for table in (sim, obs)]
    counts = (len(tables[0]), len(tables[1]))
    if min(counts) < FEWEST_PROBED:
        return not_computable(
            asked,
            f"got {counts[0]} simulated and {counts[1]} observed images with sky, needed are "
            f"{FEWEST_PROBED} of each to train a probe",
        )
    is_sim = np.arange(sum(counts)) < counts[0]
    probed = cross_validated_auc(tamed(np.concatenate(tables)), is_sim, rng=rng)
    return reading(asked, probed.value, probed.error, n=counts)


def tamed(features: Float64Array) -> Float64Array:
    """Return features in units of their scatter about their median, wild values pulled in.

    Examples
    --------
    >>> tamed(np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [1e9]]))[-1].tolist()
    [4.0]
    """
    low, middle, high = np.percentile(features, [16, 50, 84], axis=0)
    scatter = (high - low) / 2
    # A feature of which most values are equal still tells by the others.
    scatter = np.where(scatter > 0, scatter, np.maximum(features.std(axis=0), 1e-30))
    return np.asarray(np.clip((features - middle) / scatter, -REACH, REACH))


def rounded(values: Iterable[float | None]) -> list[float | None]:
    """Return numbers for a figure: four significant digits, None for what is missing.

    Examples
    --------
    >>> rounded([0.123456, np.nan, None])
    [0.1235, None, None]
    """
    return [None if x is None or not np.isfinite(x) else float(f"{x:.4g}") for x in values]
