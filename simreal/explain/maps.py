"""Property maps: the mean of a property over a map of the embedding, with counts and errors.

The map may be any two coordinates of every image, by default the first two principal components.
Objects are groups: in every bin, and every region, the mean over the objects in it, the standard
error of that mean, and their number; below a stated number there is nothing. How well the whole
embedding holds the property stands beside it, with what shuffled values read: a smooth map
of two coordinates may be all there is, or next to nothing.

A map shows an association between place and property; it does not say what drives either.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import Float64Array, IntArray, owned
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.core.images import property_values
from simreal.core.seeding import stream
from simreal.explain.gradient_encoding import Encoded, encoded
from simreal.explain.probes import NEIGHBOURS
from simreal.explain.projection import balanced_weights, pca_map
from simreal.explain.region_properties import numeric_names, plain_score, scale_of
from simreal.explain.saving import save_as
from simreal.explain.scores import Score, no_score
from simreal.explain.targets import Target, labelled
from simreal.stats.pca import fit_pca

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from simreal.explain.regions import Regions

#: One embedding, or observed and simulated.
Embeddings: TypeAlias = Embedding | tuple[Embedding, Embedding]
#: ``"pca"``, or coordinates ``(n, 2)`` of every image, for a pair one array each.
Projection: TypeAlias = str | npt.ArrayLike | tuple[npt.ArrayLike, npt.ArrayLike]

BINS = 10
#: Percentage of images beyond either end of an axis; the outermost bins hold them too.
OUTER = 1.0
#: Fewest objects in a bin or a region that is shown.
FEWEST = 5
#: Shuffles behind the null of R².
PERMUTATIONS = 99

ASSOCIATION = "A map shows where a property goes with place in the embedding, not what causes what."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionMean:
    """The mean of a property over the objects of one region."""

    name: str
    mean: Score


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SideMap:
    """The map of one side.

    Parameters
    ----------
    side : str
        ``obs``, ``sim``, or ``all`` for a single embedding.
    name : str
    n : int
        Objects with a value.
    coordinates : array (n_images, 2)
    count : array of int (by, bx)
        Objects with a value in every bin.
    mean, error : array (by, bx)
        Mean and its standard error; NaN where there are too few objects.
    regions : tuple of RegionMean
    linear, neighbours : Encoded or None
        How well the whole embedding holds the property.
    encoded_reason : str
        Why that is not known.
    reason : str
        Why there is no map; empty where there is.
    """

    side: str
    name: str
    n: int
    coordinates: Float64Array
    count: IntArray
    mean: Float64Array
    error: Float64Array
    regions: tuple[RegionMean, ...] = ()
    linear: Encoded | None = None
    neighbours: Encoded | None = None
    encoded_reason: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", owned(self.count, np.int64))
        for name in ("coordinates", "mean", "error"):
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, None where there is no number."""
        return {
            "side": self.side,
            "name": self.name,
            "n": self.n,
            "count": self.count.tolist(),
            "mean": _none_for_nan(self.mean),
            "error": _none_for_nan(self.error),
            "regions": [{"name": r.name, "mean": plain_score(r.mean)} for r in self.regions],
            "linear": _plain_encoded(self.linear),
            "neighbours": _plain_encoded(self.neighbours),
            "encoded_reason": self.encoded_reason or None,
            "reason": self.reason or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PropertyMap:
    """A property over a map of one or both sides, on the same bins.

    Parameters
    ----------
    name, unit : str
    log : bool
        Whether values are decimal logarithms.
    projection : str
        What the coordinates are.
    x_edges, y_edges : array
        Of the bins; the outermost are open.
    fewest : int
        Objects below which a bin or region shows nothing.
    sides : tuple of SideMap
        Observed before simulated.
    """

    name: str
    unit: str
    log: bool
    projection: str
    x_edges: Float64Array
    y_edges: Float64Array
    fewest: int
    sides: tuple[SideMap, ...]

    def __post_init__(self) -> None:
        for name in ("x_edges", "y_edges"):
            object.__setattr__(self, name, owned(getattr(self, name), np.float64))

    @property
    def label(self) -> str:
        """Name and unit of the values."""
        name = f"log10 {self.name}" if self.log else self.name
        return f"{name} [{self.unit}]" if self.unit else name

    def difference(self) -> tuple[Float64Array, Float64Array] | None:
        """Return simulated minus observed mean and its standard error in every bin.

        None where a side has no map. NaN where a side has too few objects. Nothing is held fixed:
        for a difference at matched mass and redshift see `simreal.explain.regions`.
        """
        shown = {side.side: side for side in self.sides if not side.reason}
        if not {"obs", "sim"} <= set(shown):
            return None
        obs, sim = shown["obs"], shown["sim"]
        return sim.mean - obs.mean, np.hypot(sim.error, obs.error)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "property": self.name,
            "unit": self.unit,
            "log": self.log,
            "projection": self.projection,
            "x_edges": self.x_edges.tolist(),
            "y_edges": self.y_edges.tolist(),
            "fewest": self.fewest,
            "meaning": ASSOCIATION,
            "sides": [side.to_dict() for side in self.sides],
        }

    def plot(self) -> "Figure":
        """Return mean, standard error and number of objects of every side, on common scales."""
        from simreal.explain.map_pictures import map_figure

        return map_figure(self)

    def save(self, path: "str | Path") -> "Path":
        """Write numbers (``.json``, ``.npz``) or the figure (``.png``, ``.pdf``), whole.

        Raises
        ------
        UsageError
            If the name ends otherwise.
        StorageError
            If it cannot be written.
        """
        from simreal.explain.gradient_pictures import figure_bytes

        return save_as(
            path,
            {
                ".json": lambda: json.dumps(
                    self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False
                ).encode(),
                ".npz": lambda: _npz(self),
                ".png": lambda: figure_bytes(self.plot(), "png"),
                ".pdf": lambda: figure_bytes(self.plot(), "pdf"),
            },
        )

    def __str__(self) -> str:
        """Return a table."""
        lines = [f"{self.label} over {self.projection}"]
        for side in self.sides:
            if side.reason:
                lines.append(f"{side.name}: {side.reason}")
                continue
            shown = int(np.isfinite(side.mean).sum())
            lines.append(
                f"{side.name}: {side.n} objects, {shown} of {side.count.size} bins with "
                f"{self.fewest} or more"
            )
            lines += [f"  {text}" for text in _encoded_lines(side)]
            lines += [f"  {r.name:<11}{_said(r.mean)}" for r in side.regions]
        return "\n".join([*lines, ASSOCIATION])


def property_map(
    embeddings: Embeddings,
    name: str,
    *,
    projection: Projection = "pca",
    bins: int | tuple[int, int] = BINS,
    fewest: int = FEWEST,
    log: bool | None = None,
    regions: "Regions | None" = None,
    rng: np.random.Generator | None = None,
) -> PropertyMap:
    """Return a property over a map of one embedding, or of observed and simulated.

    Parameters
    ----------
    embeddings : Embedding or tuple of two
        One, or ``(obs, sim)`` of one encoder.
    name : str
        A numeric property; a side that lacks it says so.
    projection : "pca", array (n, 2), or a pair of arrays
        Coordinates of every image: the first two principal components of the pool, both sides of
        equal weight, or your own.
    bins : int or tuple of two int
        Along x and y.
    fewest : int
        Objects below which a bin or region shows nothing; 2 at least.
    log : bool, optional
        Decimal logarithms; by default for positive values that span more than a factor of ten.
    regions : Regions, optional
        From `simreal.explain.regions.find_regions` of the same pair: adds the mean of each.
    rng : Generator, optional
        Folds and shuffles; by default the same every time.

    Raises
    ------
    UsageError
        If no side has the property, it is no number, or coordinates do not fit.
    NotComputableError
        If it is the same for all objects, or no object has a value.

    Examples
    --------
    >>> from astropy.table import QTable
    >>> from simreal.core.images import Setup
    >>> points = np.random.default_rng(0).normal(size=(200, 3))
    >>> ids = np.array([f"g{i}" for i in range(200)])
    >>> sky = Embedding(
    ...     name="sky", sampling="random", vectors=points, ids=ids, groups=ids,
    ...     encoder_digest="e", source_digest="s", properties=QTable({"size": points[:, 0]}),
    ...     setup=Setup(track="rgb", bands=("grey",), unit="display"),
    ... )
    >>> found = property_map(sky, "size", projection=points[:, :2], bins=2)
    >>> found.sides[0].count.sum(), bool(found.sides[0].mean[0, 0] < found.sides[0].mean[0, 1])
    (np.int64(200), True)
    """
    rng = stream(0, "explain", "map") if rng is None else rng
    sides = _sides(embeddings)
    across, down = _checked_bins(bins, fewest)
    values, unit = _values(sides, name)
    pooled = np.concatenate([v for v, _ in values.values()])
    log = scale_of(pooled) == "log10" if log is None else log
    values = {side: (_logged(v) if log else v, why) for side, (v, why) in values.items()}
    _check_varies(values, name, log=log)
    places, described = _places(sides, projection)
    edges = [_edges(np.concatenate([p[:, i] for p in places.values()]), k)
             for i, k in enumerate((across, down))]  # fmt: skip
    return PropertyMap(
        name=name,
        unit=unit,
        log=log,
        projection=described,
        x_edges=edges[0],
        y_edges=edges[1],
        fewest=fewest,
        sides=tuple(
            _side_map(
                side,
                e,
                values[side],
                places[side],
                (edges[0], edges[1]),
                fewest,
                _labels(regions, side, e),
                rng,
            )
            for side, e in sides.items()
        ),
    )


def _sides(embeddings: Embeddings) -> dict[str, Embedding]:
    if isinstance(embeddings, Embedding):
        return {"all": embeddings}
    obs, sim = embeddings
    if obs.encoder_digest != sim.encoder_digest:
        raise UsageError(f"{sim.name} and {obs.name} come from different encoders; use one")
    return {"obs": obs, "sim": sim}


def _checked_bins(bins: int | tuple[int, int], fewest: int) -> tuple[int, int]:
    across, down = (bins, bins) if isinstance(bins, int) else bins
    if min(across, down) < 1:
        raise UsageError(f"property map: got {across} x {down} bins, allowed are 1 or more")
    if fewest < 2:
        raise UsageError(f"property map: got fewest {fewest}, allowed is 2 or more for an error")
    return across, down


def _values(
    sides: Mapping[str, Embedding], name: str
) -> tuple[dict[str, tuple[Float64Array, str]], str]:
    """Return values and the reason for none of every side, and the unit."""
    found = {side: property_values(e.properties, name) for side, e in sides.items()}
    if all(each is None for each in found.values()):
        _refuse(sides, name)
    units = {side: each[2] for side, each in found.items() if each is not None}
    if len(set(units.values())) > 1:
        raise UsageError(
            f"property map: {name} is in {units['obs'] or 'no unit'} in {sides['obs'].name} and in "
            f"{units['sim'] or 'no unit'} in {sides['sim'].name}; bring both to one unit"
        )
    values = {}
    for side, each in found.items():
        e = sides[side]
        if each is None:
            values[side] = (np.full(len(e), np.nan), f"not available: {e.name} has no {name}")
        else:
            none = f"not available: {e.name} has no value of {name}"
            values[side] = (each[0], "" if each[1].any() else none)
    return values, next(iter(units.values()))


def _refuse(sides: Mapping[str, Embedding], name: str) -> None:
    text = any(e.properties is not None and name in e.properties.colnames for e in sides.values())
    known = sorted({n for e in sides.values() for n in numeric_names(e)})
    names = " nor ".join(e.name for e in sides.values())
    if text:
        raise UsageError(f"property map: {name} holds text; {did_you_mean(name, known)}")
    raise UsageError(
        f"property map: {names} has no property {name!r}: "
        f"{did_you_mean(name, known) if known else 'there are none at all'}"
    )


def _logged(values: Float64Array) -> Float64Array:
    positive = values > 0
    return np.where(positive, np.log10(np.where(positive, values, 1.0)), np.nan)


def _check_varies(values: Mapping[str, tuple[Float64Array, str]], name: str, *, log: bool) -> None:
    there = np.concatenate([v[np.isfinite(v)] for v, _ in values.values()])
    if not len(there):
        kind = "positive value" if log else "value"
        raise NotComputableError(f"property map: no object has a {kind} of {name}")
    if np.ptp(there) == 0:
        shown = 10 ** there[0] if log else there[0]
        raise NotComputableError(
            f"property map: {name} is {shown:g} for all {len(there)} images; a map needs one that "
            "varies"
        )


def _places(
    sides: Mapping[str, Embedding], projection: Projection
) -> tuple[dict[str, Float64Array], str]:
    """Return coordinates of every image and what they are."""
    if isinstance(projection, str):
        if projection != "pca":
            raise UsageError(
                f"projection: got {projection!r}, allowed are 'pca' or coordinates (n, 2)"
            )
        return _principal(sides), "the first two principal components"
    given = [projection] if len(sides) == 1 else list(projection)  # type: ignore[arg-type]
    if len(given) != len(sides):
        raise UsageError(
            f"projection: got {len(given)} arrays, allowed are two (n, 2), observed then simulated"
        )
    places = {}
    for (side, e), coordinates in zip(sides.items(), given, strict=True):
        points = np.asarray(coordinates, dtype=np.float64)
        if points.shape != (len(e), 2):
            raise UsageError(
                f"projection: got shape {points.shape} for {e.name}, allowed is ({len(e)}, 2)"
            )
        if not np.isfinite(points).all():
            raise UsageError(f"projection: coordinates of {e.name} are not all finite")
        places[side] = points
    return places, "the coordinates given"


def _principal(sides: Mapping[str, Embedding]) -> dict[str, Float64Array]:
    if "obs" in sides:
        both = pca_map(sides["obs"], sides["sim"])
        return {"obs": both.coordinates_obs, "sim": both.coordinates_sim}
    e = sides["all"]
    points = fit_pca(e.vectors, max_components=2, weights=balanced_weights(e)).apply(e.vectors)
    return {"all": np.pad(points.astype(np.float64), ((0, 0), (0, 2 - points.shape[1])))}


def _edges(values: Float64Array, k: int) -> Float64Array:
    # A single far outlier would squeeze everything else into a corner of the map.
    low, high = (float(x) for x in np.percentile(values, (OUTER, 100 - OUTER)))
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, k + 1)


def _labels(regions: "Regions | None", side: str, e: Embedding) -> tuple[IntArray, list[str]]:
    if regions is None:
        return np.full(len(e), -1, dtype=np.int64), []
    labels = {"obs": regions.region_obs, "sim": regions.region_sim}.get(side)
    if labels is None or len(labels) != len(e):
        raise UsageError(
            f"regions: they are of {len(regions.region_obs)} observed and "
            f"{len(regions.region_sim)} simulated images, not of {len(e)} of {e.name}; give the "
            "pair that they were found in"
        )
    return labels, [region.name for region in regions.regions]


def _side_map(
    side: str,
    e: Embedding,
    of: tuple[Float64Array, str],
    places: Float64Array,
    edges: tuple[Float64Array, Float64Array],
    fewest: int,
    regions: tuple[IntArray, list[str]],
    rng: np.random.Generator,
) -> SideMap:
    values, reason = of
    x_edges, y_edges = edges
    across, down = len(x_edges) - 1, len(y_edges) - 1
    place = _bin(places[:, 1], y_edges) * across + _bin(places[:, 0], x_edges)
    groups = np.unique(e.groups, return_inverse=True)[1].astype(np.int64)
    count, mean, error = cell_means(place, groups, values, across * down)
    few = count < fewest
    shape = (down, across)
    linear, near, encoded_reason = _held(e, values, rng) if not reason else (None, None, reason)
    labels, names = regions
    return SideMap(
        side=side,
        name=e.name,
        n=len(np.unique(groups[np.isfinite(values)])),
        coordinates=places,
        count=count.reshape(shape),
        mean=np.where(few, np.nan, mean).reshape(shape),
        error=np.where(few, np.nan, error).reshape(shape),
        regions=() if reason else _region_means(labels, names, groups, values, fewest),
        linear=linear,
        neighbours=near,
        encoded_reason=encoded_reason,
        reason=reason,
    )


def _bin(values: Float64Array, edges: Float64Array) -> IntArray:
    """Return the bin of every value; the upper end belongs to the last."""
    found = np.searchsorted(edges, values, side="right") - 1
    return np.clip(found, 0, len(edges) - 2).astype(np.int64)


def cell_means(
    cells: IntArray, groups: IntArray, values: Float64Array, n_cells: int
) -> tuple[IntArray, Float64Array, Float64Array]:
    """Return number of objects, mean over them and its standard error in every cell.

    Views of one object in one cell are first averaged: they are one object, not several.

    Parameters
    ----------
    cells, groups : array of int (n,)
        Cell and object of every image; cell -1 is nowhere.
    values : array (n,)
        NaN where missing.
    n_cells : int

    Examples
    --------
    >>> cells, groups = np.array([0, 0, 0, 0]), np.array([0, 0, 1, 2])
    >>> count, mean, error = cell_means(cells, groups, np.array([1.0, 3.0, 4.0, 6.0]), 1)
    >>> count.tolist(), mean.tolist(), error.round(4).tolist()
    ([3], [4.0], [1.1547])
    """
    kept = np.isfinite(values) & (cells >= 0)
    objects, code = np.unique(
        np.stack([cells[kept], groups[kept]], axis=1), axis=0, return_inverse=True
    )
    code = code.ravel()
    of_object = np.bincount(code, values[kept]) / np.maximum(np.bincount(code), 1)
    cell = objects[:, 0]
    count = np.bincount(cell, minlength=n_cells).astype(np.int64)
    there = np.maximum(count, 1)
    mean = np.bincount(cell, of_object, minlength=n_cells) / there
    away = (of_object - mean[cell]) ** 2
    scatter = np.bincount(cell, away, minlength=n_cells) / np.maximum(count - 1, 1)
    error = np.where(count > 1, np.sqrt(scatter / there), np.nan)
    return count, np.where(count > 0, mean, np.nan), error


def _region_means(
    labels: IntArray, names: Sequence[str], groups: IntArray, values: Float64Array, fewest: int
) -> tuple[RegionMean, ...]:
    from scipy.stats import t

    count, mean, error = cell_means(labels, groups, values, max(len(names), 1))
    found = []
    for i, name in enumerate(names):
        n = int(count[i])
        if n < fewest:
            score = no_score(f"not available: got {n} objects, needed are {fewest}", n=n)
        else:
            reach = float(t.ppf(0.975, n - 1)) * float(error[i])
            middle = float(mean[i])
            score = Score(
                value=middle, low=middle - reach, high=middle + reach, n=n, method="Student's t"
            )
        found.append(RegionMean(name=name, mean=score))
    return tuple(found)


def _held(
    e: Embedding, values: Float64Array, rng: np.random.Generator
) -> tuple[Encoded | None, Encoded | None, str]:
    """Return how well the embedding holds the values, or why that is not known."""
    known = np.isfinite(values)
    target = Target(name="the property", kind="number", values=np.where(known, values, 0.0),
                    known=known)  # fmt: skip
    try:
        sample, _, _ = labelled(e, target)
    except NotComputableError as error:
        return None, None, f"not available: {error}"
    linear, near = encoded(sample, neighbours=NEIGHBOURS, n_permutations=PERMUTATIONS, rng=rng)
    return linear, near, ""


def _none_for_nan(values: Float64Array) -> list[list[float | None]]:
    return [[x if np.isfinite(x) else None for x in row] for row in values.tolist()]


def _plain_encoded(found: Encoded | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "r2": plain_score(found.r2),
        "p_value": found.p_value,
        "null_high": found.null_high,
        "n_permutations": PERMUTATIONS,
    }


def _encoded_lines(side: SideMap) -> list[str]:
    if side.linear is None or side.neighbours is None:
        return [f"how well it is held: {side.encoded_reason}"]
    return [
        f"R² {what}: {_said(found.r2)}; shuffled below {found.null_high:.2f}, p = {found.p_value:g}"
        for what, found in (
            ("linear", side.linear),
            (f"of {NEIGHBOURS} neighbours", side.neighbours),
        )
    ]


def _said(score: Score) -> str:
    if score.value is None:
        return str(score.reason)
    return f"{score.value:.3g} ({score.low:.3g} to {score.high:.3g}, n = {score.n})"


def _npz(found: PropertyMap) -> bytes:
    arrays: dict[str, Any] = {"x_edges": found.x_edges, "y_edges": found.y_edges}
    for side in found.sides:
        for name in ("coordinates", "count", "mean", "error"):
            arrays[f"{side.side}_{name}"] = getattr(side, name)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays, label=np.array(found.label))
    return buffer.getvalue()
