"""Property gradients: how well an embedding holds each property, and along which direction.

Every number here is an association in one sample under one encoder. A direction along which the
images of massive galaxies lie says what goes along with mass, not what mass does.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array, IntArray, owned
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.core.images import property_values
from simreal.explain.gradient_directions import (
    Slope,
    angle,
    cone,
    drawn_errors,
    own_positions,
    permutation_p,
    slope,
)
from simreal.explain.gradient_encoding import Encoded, encoded
from simreal.explain.saving import save_as
from simreal.explain.scores import Score, from_error, no_score
from simreal.explain.targets import Target, labelled, target_of
from simreal.stats.fdr import benjamini_hochberg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ASSOCIATION = (
    "Associations, not causes: a gradient says which images go along with a property in this "
    "sample under this encoder, not what the property does."
)
#: Properties that the matching measured on the images: asked for only by name.
MEASURED = "measured_"
#: A property known for fewer of the objects is not held fixed unless it is named.
HELD_IF_KNOWN = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientSettings:
    """What is asked of an embedding.

    Parameters
    ----------
    hold : tuple of str or None
        Properties held fixed for the partial gradients; by default, for each property, all the
        others that are asked for and known for four fifths of the objects.
    log : tuple of str or None
        Properties taken as decimal logarithms; by default those that are positive throughout
        and more symmetric on that scale.
    bins : int
        Equal parts along a gradient.
    shown : int
        Objects named in each of them, of each side.
    neighbours : int
        Of the nearest-neighbour probe.
    draws : int
        Behind cones and the intervals of angles.
    permutations : int
        Behind the p-values of gradients.
    probe_permutations : int
        Behind the p-values of R².

    Raises
    ------
    UsageError
        If a number is out of range.
    """

    hold: tuple[str, ...] | None = None
    log: tuple[str, ...] | None = None
    bins: int = 10
    shown: int = 5
    neighbours: int = 10
    draws: int = 1000
    permutations: int = 999
    probe_permutations: int = 199

    def __post_init__(self) -> None:
        least = {
            "bins": 2, "shown": 1, "neighbours": 1, "draws": 100, "permutations": 19,
            "probe_permutations": 19,
        }  # fmt: skip
        for name, allowed in least.items():
            if getattr(self, name) < allowed:
                raise UsageError(
                    f"gradients: {name}: got {getattr(self, name)}, allowed is {allowed} or more"
                )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Direction:
    """The gradient of one property, with nothing or something else held fixed.

    Parameters
    ----------
    held : tuple of str
    vector : array (d,) or None
        Displacement of the mean embedding per standard deviation of the property.
    cone : float or None
        Half-angle in degrees of the 95 % cone around it; None where no direction is excluded.
    share : Score
        Share of the variance of the embedding that moves with the property.
    own_variance : float or None
        Share of the property's variance that those held fixed do not predict.
    p_value, p_adjusted : float or None
        Permutation, by object; Benjamini-Hochberg over the properties.
    n : int
    reason : str or None
        Why there is no vector.
    """

    held: tuple[str, ...] = ()
    vector: Float64Array | None = None
    cone: float | None = None
    share: Score
    own_variance: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    n: int
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.vector is not None:
            object.__setattr__(self, "vector", owned(self.vector, np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """One of equal parts of the objects along a gradient, lowest first.

    Parameters
    ----------
    low, high : float
        Ends along the gradient, 0 at the mean, in units of the embedding.
    n : int
    value : Score
        Mean of the property.
    ids : tuple of str
        Objects nearest to the middle of the part.
    n_other : int or None
        Objects of the other side between the ends; the outermost parts are open.
    other_ids : tuple of str
    """

    low: float
    high: float
    n: int
    value: Score
    ids: tuple[str, ...]
    n_other: int | None = None
    other_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PropertyGradient:
    """One property: how well it is held, where it rises, and what lies along the way.

    Parameters
    ----------
    name, unit : str
        The unit says ``log10`` where the logarithm was taken.
    n_groups : int
        Objects with a value.
    linear, neighbours : Encoded or None
    direction, partial : Direction
    place : Score
        Rank correlation between the property and the place of every object along the gradient
        made without it.
    bins : tuple of Bin
    reason : str or None
        Why nothing can be said.
    """

    name: str
    unit: str
    n_groups: int
    linear: Encoded | None = None
    neighbours: Encoded | None = None
    direction: Direction
    partial: Direction
    place: Score
    bins: tuple[Bin, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Angle:
    """Between the gradients of two properties, in degrees; `partial`: others held fixed."""

    first: str
    second: str
    angle: Score
    partial: Score


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gradients:
    """What `gradients` found; prints as a table.

    Parameters
    ----------
    name : str
        Of the embedded set.
    other : str or None
        Name of the other side, placed along the gradients.
    encoder_digest : str
    n_images, n_groups, dimension : int
    properties : tuple of PropertyGradient
    angles : tuple of Angle
    settings : GradientSettings
    """

    name: str
    other: str | None
    encoder_digest: str
    n_images: int
    n_groups: int
    dimension: int
    properties: tuple[PropertyGradient, ...]
    angles: tuple[Angle, ...]
    settings: GradientSettings

    def __getitem__(self, name: str) -> PropertyGradient:
        """Return the gradient of one property."""
        for each in self.properties:
            if each.name == name:
                return each
        raise UsageError(
            f"gradients: got {name!r}: {did_you_mean(name, [p.name for p in self.properties])}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; None beside a reason where there is none."""
        return {
            "kind": "simreal gradients",
            "note": ASSOCIATION,
            "name": self.name,
            "other": self.other,
            "encoder_digest": self.encoder_digest,
            "n_images": self.n_images,
            "n_groups": self.n_groups,
            "dimension": self.dimension,
            "level": 0.95,
            "metric": "Euclidean, in the embedding as it is",
            "settings": _plain(dataclasses.asdict(self.settings)),
            "properties": [_plain(dataclasses.asdict(each)) for each in self.properties],
            "angles": [_plain(dataclasses.asdict(each)) for each in self.angles],
        }

    def plot(self) -> "Figure":
        """Return a figure: shares, R² and the property along its gradient."""
        from simreal.explain.gradient_pictures import gradient_figure

        return gradient_figure(self)

    def save(self, path: str | Path) -> Path:
        """Write the numbers (``.json``) or the figure (``.png``, ``.pdf``, ``.svg``), whole.

        Raises
        ------
        UsageError
            If the name ends otherwise.
        StorageError
            If it cannot be written.
        """
        from simreal.explain.gradient_pictures import figure_bytes

        def text() -> bytes:
            found = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
            return found.encode()

        return save_as(
            path,
            {
                ".json": text,
                ".png": lambda: figure_bytes(self.plot(), "png"),
                ".pdf": lambda: figure_bytes(self.plot(), "pdf"),
                ".svg": lambda: figure_bytes(self.plot(), "svg"),
            },
        )

    def __str__(self) -> str:
        """Return a table with every number, its interval and its n."""
        from simreal.explain.gradient_text import gradient_text

        return gradient_text(self)


_NO_BINS: tuple[Bin, ...] = ()


def gradients(
    embedding: Embedding,
    properties: Sequence[str] | None = None,
    *,
    other: Embedding | None = None,
    settings: GradientSettings | None = None,
    rng: np.random.Generator | int = 0,
) -> Gradients:
    """Return how properties go along with position in an embedding.

    The gradient of a property is the displacement of the mean embedding per standard deviation of
    the property, found by least squares over objects (means over the views of each); the partial
    one with other properties held fixed, up to their squares. See docs/gradients.md for why this
    vector and not the weights of a regression.

    Parameters
    ----------
    embedding : Embedding
        One side, with properties.
    properties : sequence of str, optional
        Default: every property that is a number and varies, but not what was measured on the
        images (``measured_...``): images hold that by construction.
    other : Embedding, optional
        The other side, of the same encoder: its objects are placed along the gradients.
    settings : GradientSettings
    rng : Generator or int

    Returns
    -------
    Gradients
        A property that can say nothing carries the reason.

    Raises
    ------
    UsageError
        If there is no such property, or none at all; if the encoders differ.
    """
    settings = settings or GradientSettings()
    rng = np.random.default_rng(rng)
    if other is not None and other.encoder_digest != embedding.encoder_digest:
        raise UsageError(f"{embedding.name} and {other.name} come from different encoders; use one")
    names = _names(embedding, properties)
    _check_named(names, embedding, settings)
    table = _Objects.of(embedding)
    wanted = tuple(dict.fromkeys((*names, *(settings.hold or ()))))
    columns = {name: _column(embedding, table, name, settings) for name in wanted}
    probed = {name: _encoded(embedding, columns[name], settings, rng=rng) for name in names}
    plain = {name: _slope(table, columns, name, ()) for name in names}
    held = {name: _held(name, columns, names, settings) for name in names}
    partial = {
        name: _slope(table, columns, name, held[name])
        if held[name]
        else _NoSlope(n=columns[name].n, reason="no other property to hold fixed")
        for name in names
    }
    found = {
        kind: _directions(slopes, held if kind == "partial" else {}, settings, rng=rng)
        for kind, slopes in (("plain", plain), ("partial", partial))
    }
    angles = _angles(names, plain, partial, settings, rng=rng)
    others = None if other is None else _Objects.of(other)
    return Gradients(
        name=embedding.name,
        other=None if other is None else other.name,
        encoder_digest=embedding.encoder_digest,
        n_images=len(embedding),
        n_groups=table.n,
        dimension=embedding.vectors.shape[1],
        properties=tuple(
            _property(
                columns[name],
                probed[name],
                (found["plain"][name], found["partial"][name]),
                (table, others),
                settings,
            )
            for name in names
        ),
        angles=angles,
        settings=settings,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Objects:
    """Means over the views of every object, and the first id of each."""

    points: Float64Array
    codes: IntArray
    ids: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.points)

    @classmethod
    def of(cls, embedding: Embedding) -> "_Objects":
        names, codes = np.unique(embedding.groups, return_inverse=True)
        points = np.zeros((len(names), embedding.vectors.shape[1]))
        np.add.at(points, codes, embedding.vectors.astype(np.float64))
        points /= np.bincount(codes)[:, None]
        order = np.argsort(embedding.ids, kind="stable")
        first = order[np.unique(codes[order], return_index=True)[1]]
        return cls(
            points=points, codes=codes.astype(np.int64), ids=tuple(embedding.ids[first].tolist())
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Column:
    """One property of every object."""

    target: Target
    values: Float64Array
    known: BoolArray

    @property
    def n(self) -> int:
        return int(self.known.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class _NoSlope:
    n: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    """A slope and the objects behind it."""

    slope: Slope
    rows: IntArray


def _names(embedding: Embedding, properties: Sequence[str] | None) -> tuple[str, ...]:
    columns = [] if embedding.properties is None else list(embedding.properties.colnames)
    if not columns:
        raise UsageError(
            f"{embedding.name} has no properties; name them in its card, or take the other side"
        )
    if properties is not None:
        if not properties:
            raise UsageError(f"gradients: no property is named: {did_you_mean('', columns)}")
        return tuple(dict.fromkeys(properties))
    found = []
    for name in columns:
        numbers = property_values(embedding.properties, name)
        if name.startswith(MEASURED):
            continue
        if numbers is not None and len(np.unique(numbers[0][numbers[1]])) > 1:
            found.append(name)
    if not found:
        raise UsageError(
            f"{embedding.name} has no property that is a number and varies; it has "
            f"{', '.join(columns)}"
        )
    return tuple(found)


def _check_named(names: tuple[str, ...], embedding: Embedding, settings: GradientSettings) -> None:
    """Refuse a name that is not there before anything is computed."""
    for name in (*names, *(settings.hold or ()), *(settings.log or ())):
        target_of(embedding, name, kind="number")


def _column(
    embedding: Embedding, table: _Objects, name: str, settings: GradientSettings
) -> _Column:
    target = target_of(embedding, name, kind="number")
    if name in settings.log if settings.log is not None else _better_as_log(target):
        target = target_of(embedding, name, kind="number", log=True)
    counts = np.bincount(table.codes, target.known, minlength=table.n)
    sums = np.bincount(table.codes, np.where(target.known, target.values, 0.0), minlength=table.n)
    return _Column(target=target, values=sums / np.maximum(counts, 1), known=np.asarray(counts > 0))


def _better_as_log(target: Target) -> bool:
    """Return whether the logarithm of a positive property is more symmetric than itself."""
    values = target.values[target.known]
    if len(values) < 3 or not (values > 0).all():
        return False
    return _skewness(np.log10(values)) < _skewness(values)


def _skewness(values: Float64Array) -> float:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return float(abs(high + low - 2 * middle) / max(high - low, 1e-300))


def _encoded(
    embedding: Embedding, column: _Column, settings: GradientSettings, *, rng: np.random.Generator
) -> tuple[Encoded, Encoded] | str:
    try:
        sample, _, _ = labelled(embedding, column.target)
    except NotComputableError as error:
        return str(error)
    return encoded(
        sample,
        neighbours=settings.neighbours,
        n_permutations=settings.probe_permutations,
        rng=rng,
    )


def _held(
    name: str,
    columns: Mapping[str, _Column],
    names: tuple[str, ...],
    settings: GradientSettings,
) -> tuple[str, ...]:
    if settings.hold is not None:
        return tuple(each for each in settings.hold if each != name)
    return tuple(
        each
        for each in names
        if each != name
        and columns[each].n >= HELD_IF_KNOWN * len(columns[each].known)
        and len(np.unique(columns[each].values[columns[each].known])) > 1
    )


def _slope(
    table: _Objects, columns: Mapping[str, _Column], name: str, held: tuple[str, ...]
) -> _Found | _NoSlope:
    known = np.all([columns[each].known for each in (name, *held)], axis=0)
    rows = np.flatnonzero(known)
    fixed = np.column_stack([columns[each].values[rows] for each in held]) if held else None
    try:
        found = slope(table.points[rows], columns[name].values[rows], fixed)
    except NotComputableError as error:
        return _NoSlope(n=len(rows), reason=f"{name}: {error}")
    return _Found(slope=found, rows=rows.astype(np.int64))


def _directions(
    slopes: Mapping[str, _Found | _NoSlope],
    held: Mapping[str, tuple[str, ...]],
    settings: GradientSettings,
    *,
    rng: np.random.Generator,
) -> dict[str, Direction]:
    p_values = {
        name: permutation_p(each.slope, settings.permutations, rng=rng)
        for name, each in slopes.items()
        if isinstance(each, _Found)
    }
    adjusted = dict(zip(p_values, benjamini_hochberg(list(p_values.values())), strict=True))
    directions = {}
    for name, each in slopes.items():
        if isinstance(each, _NoSlope):
            directions[name] = Direction(
                held=held.get(name, ()),
                share=no_score(each.reason, n=each.n),
                n=each.n,
                reason=each.reason,
            )
            continue
        (errors,) = drawn_errors([each.slope.influence], settings.draws, rng=rng)
        directions[name] = Direction(
            held=held.get(name, ()),
            vector=each.slope.vector,
            cone=cone(each.slope.vector, errors),
            share=each.slope.share,
            own_variance=each.slope.own_variance,
            p_value=p_values[name],
            p_adjusted=float(adjusted[name]),
            n=len(each.rows),
        )
    return directions


def _angles(
    names: tuple[str, ...],
    plain: Mapping[str, _Found | _NoSlope],
    partial: Mapping[str, _Found | _NoSlope],
    settings: GradientSettings,
    *,
    rng: np.random.Generator,
) -> tuple[Angle, ...]:
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    found = [
        {pair: _angle(slopes[pair[0]], slopes[pair[1]], settings, rng=rng) for pair in pairs}
        for slopes in (plain, partial)
    ]
    return tuple(
        Angle(first=a, second=b, angle=found[0][a, b], partial=found[1][a, b]) for a, b in pairs
    )


def _angle(
    first: _Found | _NoSlope,
    second: _Found | _NoSlope,
    settings: GradientSettings,
    *,
    rng: np.random.Generator,
) -> Score:
    if isinstance(first, _NoSlope):
        return no_score(first.reason, n=first.n)
    if isinstance(second, _NoSlope):
        return no_score(second.reason, n=second.n)
    # The same objects in both, so that an object's multiplier is the same in both errors.
    rows = np.union1d(first.rows, second.rows)
    influences = []
    for each in (first, second):
        full = np.zeros((len(rows), each.slope.influence.shape[1]))
        full[np.searchsorted(rows, each.rows)] = each.slope.influence
        influences.append(full)
    errors = drawn_errors(influences, settings.draws, rng=rng)
    return angle(
        first.slope,
        second.slope,
        (errors[0], errors[1]),
        shared_noise=float((influences[0] * influences[1]).sum()),
        n=len(rows),
    )


def _property(
    column: _Column,
    probed: tuple[Encoded, Encoded] | str,
    directions: tuple[Direction, Direction],
    tables: tuple[_Objects, _Objects | None],
    settings: GradientSettings,
) -> PropertyGradient:
    direction, partial = directions
    if direction.vector is None:
        place, bins = no_score(direction.reason or "no gradient", n=column.n), _NO_BINS
    else:
        place, bins = _along(column, direction.vector, tables, settings)
    return PropertyGradient(
        name=column.target.name,
        unit=column.target.unit,
        n_groups=column.n,
        linear=None if isinstance(probed, str) else probed[0],
        neighbours=None if isinstance(probed, str) else probed[1],
        direction=direction,
        partial=partial,
        place=place,
        bins=bins,
        reason=probed if isinstance(probed, str) else None,
    )


def _along(
    column: _Column,
    vector: Float64Array,
    tables: tuple[_Objects, _Objects | None],
    settings: GradientSettings,
) -> tuple[Score, tuple[Bin, ...]]:
    """Return how the property follows the place along the gradient, and who lies where."""
    from scipy.stats import spearmanr

    table, others = tables
    rows = np.flatnonzero(column.known)
    values, points = column.values[rows], table.points[rows]
    places = own_positions(points, values)
    rank = float(spearmanr(places, values).statistic) if np.ptp(places) > 0 else 0.0
    # Bonett and Wright 2000, Psychometrika 65, 23.
    error = np.sqrt((1 + rank**2 / 2) / (len(rows) - 3))
    ends = np.tanh(
        np.arctanh(np.clip(rank, -0.999999, 0.999999)) + np.array([-1, 1]) * 1.96 * error
    )
    place = Score(
        value=rank, low=min(rank, float(ends[0])), high=max(rank, float(ends[1])),
        n=len(rows), method="Fisher z of ranks",
    )  # fmt: skip
    unit = vector / max(float(np.linalg.norm(vector)), 1e-300)
    there = None if others is None else (others.points - points.mean(axis=0)) @ unit
    edges = np.quantile(places, np.linspace(0, 1, settings.bins + 1))
    number = np.searchsorted(edges[1:-1], places, side="right")
    other_number = None if there is None else np.searchsorted(edges[1:-1], there, side="right")
    bins = []
    for k in range(settings.bins):
        own = np.flatnonzero(number == k)
        middle = float(np.median(places[own])) if len(own) else float(edges[k : k + 2].mean())
        theirs = None if other_number is None else np.flatnonzero(other_number == k)
        bins.append(
            Bin(
                low=float(edges[k]),
                high=float(edges[k + 1]),
                n=len(own),
                value=_mean(values[own]),
                ids=_nearest_ids(table, rows[own], places[own], middle, settings.shown),
                n_other=None if theirs is None else len(theirs),
                other_ids=()
                if theirs is None or there is None or others is None
                else _nearest_ids(others, theirs, there[theirs], middle, settings.shown),
            )
        )
    return place, tuple(bins)


def _mean(values: Float64Array) -> Score:
    if len(values) < 2:
        return no_score(f"got {len(values)} objects, needed are 2", n=len(values))
    error = float(values.std(ddof=1)) / np.sqrt(len(values))
    return from_error(float(values.mean()), error, n=len(values), method="standard error")


def _nearest_ids(
    table: _Objects, rows: IntArray, places: Float64Array, middle: float, shown: int
) -> tuple[str, ...]:
    order = np.argsort(np.abs(places - middle), kind="stable")[:shown]
    return tuple(table.ids[row] for row in rows[order].tolist())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value
