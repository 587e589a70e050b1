"""`Setup` and `ImageSet`: what was observed, and under which conditions."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray, StrArray, owned
from simreal.core.errors import UsageError

if TYPE_CHECKING:
    from astropy.table import QTable

Track = Literal["rgb", "flux", "xray"]
ObjectKind = Literal["galaxy", "group", "cluster"]
Role = Literal["simulated", "observed"]
Sampling = Literal["random", "curated"]
Frame = Literal["native", "angular", "physical", "radius"]
Rendition = Literal["idealised", "survey"]

TRACKS: tuple[Track, ...] = ("rgb", "flux", "xray")
OBJECT_KINDS: tuple[ObjectKind, ...] = ("galaxy", "group", "cluster")
FRAME_UNITS: Mapping[str, str] = {
    "native": "pixel",
    "angular": "arcsec",
    "physical": "kpc",
    "radius": "measured half-light radius",
}

#: Two distributions of a per-image condition are the same footing when their medians agree
#: to this fraction, or when a Kolmogorov-Smirnov distance does not tell them apart at 0.1 %.
FOOTING_TOLERANCE = 0.02


@runtime_checkable
class ImageSource(Protocol):
    """Pixels in memory or on the store; `match` and `encode` stream through this."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(n, band, y, x)``."""
        ...

    def read(self, rows: slice | IntArray) -> Float32Array:
        """Return the images of `rows` as float32 ``(k, band, y, x)``."""
        ...


class ImageSink(Protocol):
    """Where a stage appends finished blocks of images."""

    def append(self, block: Float32Array) -> None:
        """Append float32 images ``(k, band, y, x)``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ArraySource:
    """An `ImageSource` over an array in memory."""

    array: Float32Array

    def __post_init__(self) -> None:
        array = owned(self.array, np.float32)
        if array.ndim != 4:
            raise UsageError(
                f"images: got an array of shape {array.shape}, allowed is (n, band, y, x)"
            )
        object.__setattr__(self, "array", array)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(n, band, y, x)``."""
        n, band, y, x = self.array.shape
        return n, band, y, x

    def read(self, rows: slice | IntArray) -> Float32Array:
        """Return the images of `rows` as float32 ``(k, band, y, x)``."""
        return self.array[rows]


@dataclass(frozen=True, slots=True, eq=False)
class RowsOf:
    """An `ImageSource` that shows chosen rows of another, in the order given."""

    source: ImageSource
    rows: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", owned(self.rows, np.int64))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(n, band, y, x)``."""
        return (len(self.rows), *self.source.shape[1:])

    def read(self, rows: slice | IntArray) -> Float32Array:
        """Return the images of `rows` as float32 ``(k, band, y, x)``."""
        return self.source.read(self.rows[rows])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setup:
    """The observing conditions of a set: what must agree before two sets are compared.

    Parameters
    ----------
    track : {"rgb", "flux", "xray"}
        Kind of pixel. Tracks never share a comparison.
    object_kind : {"galaxy", "group", "cluster"}
    bands : tuple of str
        Band names in the order of the band axis.
    unit : str
        Pixel unit; ``"display"`` (0 to 1) on the rgb track.
    frame : {"native", "angular", "physical", "radius"}
    frame_width : float or None
        Full width of the frame, in `FRAME_UNITS` of the frame; None while native.
    display : str
        Display mapping of the composites, or ``"unknown"``; ``"linear"`` for flux.
    rendition : {"idealised", "survey"}
        Whether the pixels already carry a telescope's PSF and sky.
    pixel_scale : float, array (n,) or None
        [arcsec / pixel], per set or per image; None where it is unknown.
    psf : array (band, k, k) or (n, band, k, k), or None
        Finite, odd-sized, each kernel summing to 1.
    psf_fwhm : array (band,) or (n, band), or None
        [pixel] Where only the width of the PSF is known.
    noise : array (band,) or (n, band), or None
        Sky rms in `unit`.
    exposure : float, array (n,) or None
        [s]
    physical_scale : float, array (n,) or None
        [kpc / pixel] Size of a pixel at the object, where that is what the files say.
    redshift : float, array (n,) or None
        At which the light was seen; None where it has not been placed at any.
    distance : float, array (n,) or None
        [Mpc] Of the instrument, where the light was seen near by and has no redshift.
    gain : array (band,) or (n, band), or None
        [electron / `unit`] Photo-electrons behind the pixels, which set their shot noise.

    Raises
    ------
    UsageError
        If a field is outside what is allowed.
    """

    track: Track
    object_kind: ObjectKind = "galaxy"
    bands: tuple[str, ...]
    unit: str
    frame: Frame = "native"
    frame_width: float | None = None
    display: str = "unknown"
    rendition: Rendition = "survey"
    pixel_scale: float | Float64Array | None = None
    psf: Float64Array | None = None
    psf_fwhm: Float64Array | None = None
    noise: Float64Array | None = None
    exposure: float | Float64Array | None = None
    physical_scale: float | Float64Array | None = None
    redshift: float | Float64Array | None = None
    distance: float | Float64Array | None = None
    gain: Float64Array | None = None

    def __post_init__(self) -> None:
        _allowed("track", self.track, TRACKS)
        _allowed("object_kind", self.object_kind, OBJECT_KINDS)
        _allowed("frame", self.frame, tuple(FRAME_UNITS))
        _allowed("rendition", self.rendition, ("idealised", "survey"))
        object.__setattr__(self, "bands", tuple(self.bands))
        if not self.bands or len(set(self.bands)) != len(self.bands):
            raise UsageError(f"setup.bands: got {self.bands}, allowed are one or more unique names")
        if (self.frame_width is None) != (self.frame == "native"):
            raise UsageError(
                f"setup.frame_width: got {self.frame_width} with frame {self.frame!r}; every "
                "frame but 'native' has a width"
            )
        for name in _POSITIVE:
            self._own_positive(name)
        for name in ("psf_fwhm", "noise", "gain"):
            self._own_per_band(name, (1, 2))
        self._own_per_band("psf", (3, 4))
        if self.psf is not None:
            _check_psf(self.psf)

    def _own_positive(self, name: str) -> None:
        value = getattr(self, name)
        if value is None:
            return
        array = owned(value, np.float64)
        if array.ndim > 1 or not (np.isfinite(array).all() and (array > 0).all()):
            raise UsageError(f"setup.{name}: got {value}, allowed are finite values above 0")
        object.__setattr__(self, name, float(array) if array.ndim == 0 else array)

    def _own_per_band(self, name: str, axes: tuple[int, int]) -> None:
        value = getattr(self, name)
        if value is None:
            return
        array = owned(value, np.float64)
        band_axis = 1 if array.ndim == axes[1] else 0
        if array.ndim not in axes or array.shape[band_axis] != len(self.bands):
            raise UsageError(
                f"setup.{name}: got shape {array.shape}, allowed is one per band "
                f"({len(self.bands)} bands), per set or per image"
            )
        if not np.isfinite(array).all() or (name != "psf" and (array < 0).any()):
            raise UsageError(f"setup.{name}: got a negative or non-finite value")
        object.__setattr__(self, name, array)

    def replace(self, **changes: Any) -> "Setup":
        """Return a checked copy with `changes`."""
        return dataclasses.replace(self, **changes)

    def rows(self, rows: IntArray) -> "Setup":
        """Return the setup of a subset: per-image conditions are indexed, others kept."""
        changes: dict[str, Any] = {}
        for name, per_image in _PER_IMAGE_NDIM.items():
            value = getattr(self, name)
            if value is not None and np.ndim(value) == per_image:
                changes[name] = value[rows]
        return self.replace(**changes) if changes else self

    def differs_from(self, other: "Setup") -> tuple[str, ...]:
        """Name the fields in which `other` is not on the same footing.

        Per-image conditions are compared as distributions: they differ when the medians
        disagree by more than `FOOTING_TOLERANCE` and a Kolmogorov-Smirnov distance tells
        them apart at the 0.1 % level.

        Examples
        --------
        >>> a = Setup(track="rgb", bands=("g", "r"), unit="display")
        >>> a.differs_from(a.replace(bands=("r", "g"), display="lupton"))
        ('bands', 'display')
        """
        names = ["track", "object_kind", "bands", "unit", "frame", "display", "rendition"]
        found = [name for name in names if getattr(self, name) != getattr(other, name)]
        numeric = ["frame_width", "pixel_scale", "psf", "psf_fwhm", "noise", "exposure"]
        return tuple(found + [n for n in numeric if _differ(getattr(self, n), getattr(other, n))])


_POSITIVE = (
    "pixel_scale", "exposure", "frame_width", "physical_scale", "redshift", "distance",
)  # fmt: skip
_PER_IMAGE_NDIM = {
    "pixel_scale": 1,
    "exposure": 1,
    "physical_scale": 1,
    "redshift": 1,
    "distance": 1,
    "gain": 2,
    "psf_fwhm": 2,
    "noise": 2,
    "psf": 4,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """One recorded step of a set's history, with the numbers before and after it."""

    name: str
    before: Mapping[str, float | str | None] = field(default_factory=dict)
    after: Mapping[str, float | str | None] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageSet:
    """Images of objects on one footing, with who they are and how they came about.

    Parameters
    ----------
    name : str
    role : {"simulated", "observed"}
    sampling : {"random", "curated"}
        Curated samples get no claim of over- or under-production.
    images : ImageSource or array (n, band, y, x)
        float32; an array is copied into memory the set owns.
    mask : array of bool (n, band, y, x) or None
        True where a pixel must not be used.
    ids : array of str (n,)
        Unique.
    groups : array of str (n,)
        The resampling unit: the galaxy behind several views, the sky tile behind cutouts.
    setup : Setup
    properties : QTable or None
        One row per image; units on every quantity; missing values are masked.
    history : tuple of Step

    Raises
    ------
    UsageError
        If lengths disagree, ids repeat, or an unmasked pixel is not finite.
    """

    name: str
    role: Role
    sampling: Sampling
    images: ImageSource
    mask: BoolArray | None = None
    ids: StrArray
    groups: StrArray
    setup: Setup
    properties: "QTable | None" = None
    history: tuple[Step, ...] = ()
    _digest: list[str] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        _allowed("role", self.role, ("simulated", "observed"))
        _allowed("sampling", self.sampling, ("random", "curated"))
        if isinstance(self.images, np.ndarray):
            object.__setattr__(self, "images", ArraySource(self.images))
        object.__setattr__(self, "ids", owned(self.ids, np.str_))
        object.__setattr__(self, "groups", owned(self.groups, np.str_))
        object.__setattr__(self, "history", tuple(self.history))
        n, bands = self.images.shape[:2]
        check_rows(self.name, n, ids=self.ids, groups=self.groups, properties=self.properties)
        if bands != len(self.setup.bands):
            raise UsageError(
                f"{self.name}: got {bands} planes for the bands {self.setup.bands}; "
                "name one band per plane"
            )
        for name, per_image in _PER_IMAGE_NDIM.items():
            value = getattr(self.setup, name)
            if value is not None and np.ndim(value) == per_image and len(value) != n:
                raise UsageError(f"{self.name}: setup.{name} has {len(value)} rows for {n} images")
        if self.mask is not None:
            object.__setattr__(self, "mask", owned(self.mask, np.bool_))
            if self.mask.shape != self.images.shape:
                raise UsageError(
                    f"{self.name}: the mask has shape {self.mask.shape}, the images "
                    f"{self.images.shape}"
                )
        if isinstance(self.images, ArraySource):
            self._check_finite()

    def _check_finite(self) -> None:
        for rows, block in self.chunks(256):
            bad = ~np.isfinite(block)
            if self.mask is not None:
                bad &= ~self.mask[rows]
            if bad.any():
                first = rows.start + int(np.argwhere(bad)[0][0])
                raise UsageError(
                    f"{self.name}: image {str(self.ids[first])!r} has a non-finite pixel that is "
                    "not masked; mask it or leave the image out"
                )

    def __len__(self) -> int:
        return int(self.images.shape[0])

    @property
    def n_groups(self) -> int:
        """Number of independent objects."""
        return len(np.unique(self.groups))

    @property
    def digest(self) -> str:
        """sha256 of the content: pixels, mask, ids and groups, in order."""
        if not self._digest:
            sha = hashlib.sha256()
            sha.update(repr((self.images.shape, self.setup.bands, self.setup.unit)).encode())
            for array in (self.ids, self.groups):
                sha.update("\x1f".join(array.tolist()).encode())
            for rows, block in self.chunks(256):
                sha.update(np.ascontiguousarray(block, dtype="<f4").tobytes())
                if self.mask is not None:
                    sha.update(self.mask[rows].tobytes())
            self._digest.append(sha.hexdigest())
        return self._digest[0]

    def chunks(self, size: int = 256) -> Iterator[tuple[slice, Float32Array]]:
        """Yield ``(rows, images)`` in blocks of at most `size` images."""
        n = len(self)
        for start in range(0, n, size):
            rows = slice(start, min(start + size, n))
            yield rows, self.images.read(rows)

    def rows(self, rows: npt.ArrayLike) -> "ImageSet":
        """Return the subset `rows` (indices or a boolean mask), pixels not copied."""
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == np.bool_ else index.astype(np.int64)
        source: ImageSource
        if isinstance(self.images, RowsOf):
            source = RowsOf(self.images.source, self.images.rows[index])
        else:
            source = RowsOf(self.images, index)
        return self.replace(
            images=source,
            mask=None if self.mask is None else self.mask[index],
            ids=self.ids[index],
            groups=self.groups[index],
            setup=self.setup.rows(index),
            properties=None if self.properties is None else self.properties[index],
        )

    def replace(self, **changes: Any) -> "ImageSet":
        """Return a checked copy with `changes`."""
        return dataclasses.replace(self, **changes)

    def with_step(self, step: Step) -> "ImageSet":
        """Return a copy whose history ends with `step`."""
        return self.replace(history=(*self.history, step))


def check_rows(
    name: str, n: int, *, ids: StrArray, groups: StrArray, properties: "QTable | None"
) -> None:
    """Check that ids and groups have `n` rows and that ids are unique.

    Raises
    ------
    UsageError
        Naming the set, the field and the first offending id.
    """
    lengths = {"ids": len(ids), "groups": len(groups)}
    if properties is not None:
        lengths["properties"] = len(properties)
    wrong = {key: value for key, value in lengths.items() if value != n}
    if wrong:
        raise UsageError(f"{name}: {n} rows, but {wrong}; every field needs one row per object")
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) != n:
        raise UsageError(
            f"{name}: id {str(unique[counts > 1][0])!r} stands for {int(counts.max())} rows; ids "
            "must be unique (views of one object share a group, not an id)"
        )


def property_values(
    properties: "QTable | None", name: str
) -> tuple[Float64Array, BoolArray, str] | None:
    """Return ``(values, valid, unit)`` of a numeric property, or None where there is none.

    ``valid`` is False where the value is missing; missing values read NaN.
    """
    if properties is None or name not in properties.colnames:
        return None
    column = properties[name]
    unit = str(getattr(column, "unit", None) or "")
    mask = np.asarray(getattr(column, "mask", np.zeros(len(column), bool)))
    plain = getattr(column, "unmasked", column)
    plain = getattr(plain, "value", plain)
    plain = np.ma.getdata(plain)
    if np.asarray(plain).dtype.kind not in "fiub":
        return None
    values = np.where(mask, np.nan, np.asarray(plain, dtype=np.float64))
    return values, np.isfinite(values), unit


def _allowed(name: str, got: object, allowed: Sequence[str]) -> None:
    if got not in allowed:
        raise UsageError(f"{name}: got {got!r}, allowed: {', '.join(allowed)}")


def _check_psf(psf: Float64Array) -> None:
    height, width = psf.shape[-2:]
    if height != width or height % 2 == 0:
        raise UsageError(f"setup.psf: got {height} x {width} pixels, allowed is square and odd")
    total = psf.sum(axis=(-2, -1))
    if not np.allclose(total, 1.0, atol=1e-6):
        worst = float(total.flat[np.argmax(np.abs(total - 1))])
        raise UsageError(f"setup.psf: a kernel sums to {worst:.6g}, allowed is 1; normalise it")


def _differ(mine: Any, other: Any) -> bool:
    if mine is None or other is None:
        return (mine is None) != (other is None)
    a, b = np.asarray(mine, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if a.ndim == b.ndim and a.shape == b.shape and np.array_equal(a, b):
        return False
    if a.ndim >= 3 or b.ndim >= 3:
        return a.shape[-3:] != b.shape[-3:] or not np.allclose(
            a.reshape(-1, *a.shape[-3:]).mean(0), b.reshape(-1, *b.shape[-3:]).mean(0), atol=1e-3
        )
    bands = a.shape[1] if a.ndim == 2 else b.shape[1] if b.ndim == 2 else 1
    a2 = a.reshape(-1, bands) if a.size % bands == 0 else a.reshape(-1, 1)
    b2 = b.reshape(-1, bands) if b.size % bands == 0 else b.reshape(-1, 1)
    return any(_distributions_differ(a2[:, i], b2[:, i]) for i in range(min(bands, a2.shape[1])))


def _distributions_differ(a: Float64Array, b: Float64Array) -> bool:
    middle_a, middle_b = float(np.median(a)), float(np.median(b))
    scale = max(abs(middle_a), abs(middle_b))
    if abs(middle_a - middle_b) <= FOOTING_TOLERANCE * scale:
        return False
    if len(a) == 1 or len(b) == 1:
        return True
    both = np.sort(np.concatenate([a, b]))
    cdf_a = np.searchsorted(np.sort(a), both, side="right") / len(a)
    cdf_b = np.searchsorted(np.sort(b), both, side="right") / len(b)
    critical = 1.949 * np.sqrt((len(a) + len(b)) / (len(a) * len(b)))
    return bool(np.abs(cdf_a - cdf_b).max() > critical)
