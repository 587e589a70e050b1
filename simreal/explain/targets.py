"""What a probe is asked to predict: a property of the objects, as classes or as a number."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array, IntArray, owned
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.core.images import property_values

Kind = Literal["class", "number"]
KINDS = ("class", "number")

#: Objects that a class needs to be learned from and tested on in five folds.
FEWEST_OF_A_CLASS = 5
#: Objects with a number that a regression needs.
FEWEST_NUMBERS = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """One property of every row.

    Parameters
    ----------
    name : str
    kind : {"class", "number"}
    values : array (n,)
        Number of the class in `classes`, or the number itself; anything where not `known`.
    known : array of bool (n,)
    classes : tuple of str
        Empty for numbers.
    unit : str
    """

    name: str
    kind: Kind
    values: Float64Array
    known: BoolArray
    classes: tuple[str, ...] = ()
    unit: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", owned(self.values, np.float64))
        object.__setattr__(self, "known", owned(self.known, np.bool_))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Labelled rows, ready to learn from.

    Parameters
    ----------
    points : array (n, d)
    y : array (n,)
        Number of the class, or the number.
    codes : array of int (n,)
        Number of the group of every row.
    strata : array of int (G,)
        Class of most rows of every group, or the quintile of its mean number.
    n_classes : int
        0 for numbers.
    """

    points: Float64Array
    y: Float64Array
    codes: IntArray
    strata: IntArray
    n_classes: int
    weights: Float64Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", owned(self.points, np.float64))
        for name in ("codes", "strata"):
            object.__setattr__(self, name, owned(getattr(self, name), np.int64))
        object.__setattr__(self, "y", owned(self.y, np.float64))
        # Every group counts once, whatever its number of views.
        object.__setattr__(self, "weights", owned(1.0 / np.bincount(self.codes)[self.codes], "f8"))

    @property
    def n_groups(self) -> int:
        """Number of independent objects."""
        return len(self.strata)

    def of_groups(self, chosen: BoolArray) -> "Sample":
        """Return the rows of the chosen groups ``(G,)`` only."""
        rows = chosen[self.codes]
        numbers = np.cumsum(chosen) - 1
        return Sample(
            points=self.points[rows],
            y=self.y[rows],
            codes=numbers[self.codes[rows]],
            strata=self.strata[chosen],
            n_classes=self.n_classes,
        )

    def group_means(self, per_row: Float64Array) -> Float64Array:
        """Return the mean of one number per row over the rows of every group ``(G,)``."""
        summed = np.bincount(self.codes, self.weights * per_row, minlength=self.n_groups)
        return np.asarray(summed, dtype=np.float64)


def target_of(
    embedding: Embedding, name: str, *, kind: Kind | None = None, log: bool = False
) -> Target:
    """Return a property of an embedding as something to predict.

    Parameters
    ----------
    embedding : Embedding
    name : str
    kind : {"class", "number"}, optional
        Default: text and truth values are classes, all else is numbers.
    log : bool
        Take the decimal logarithm; what is not positive is then missing.

    Raises
    ------
    UsageError
        If there is no such property, or its text is asked for as numbers.
    """
    columns = [] if embedding.properties is None else list(embedding.properties.colnames)
    if name not in columns:
        raise UsageError(
            f"{embedding.name} has no property {name!r}: "
            f"{did_you_mean(name, columns) if columns else 'it has no properties at all'}"
        )
    if kind is not None and kind not in KINDS:
        raise UsageError(f"kind: got {kind!r}, allowed: {', '.join(KINDS)}")
    column = None if embedding.properties is None else embedding.properties[name]
    numeric = property_values(embedding.properties, name)
    is_truth = np.asarray(column).dtype.kind == "b"
    kind = kind or ("class" if numeric is None or is_truth else "number")
    if kind == "class":
        if log:
            raise UsageError(f"{name}: a logarithm was asked for, but it holds classes")
        return _classes(column, name)
    if numeric is None:
        raise UsageError(f"{name}: kind 'number' was asked for, but it holds text; leave kind out")
    values, known, unit = numeric
    if log:
        known = known & (values > 0)
        values, unit = np.log10(np.where(known, values, 1.0)), f"log10 {unit}".strip()
    return Target(
        name=name, kind="number", values=np.where(known, values, 0.0), known=known, unit=unit
    )


def _classes(column: Any, name: str) -> Target:
    mask = np.asarray(getattr(column, "mask", np.zeros(len(column), bool)))
    plain = getattr(column, "unmasked", column)
    text = np.ma.getdata(getattr(plain, "value", plain)).astype(np.str_)
    known = ~mask & (np.char.strip(text) != "") & (np.char.lower(text) != "nan")
    classes, codes = np.unique(text[known], return_inverse=True)
    values = np.zeros(len(text))
    values[known] = codes
    return Target(
        name=name, kind="class", values=values, known=known, classes=tuple(classes.tolist())
    )


def labelled(embedding: Embedding, target: Target) -> tuple[Sample, Target, Mapping[str, int]]:
    """Return the rows that can be learned from, the target of those, and what was left out.

    A class with fewer than 5 objects is left out, by name and number; an object whose
    rows are of several classes counts to the one that most of them have.

    Raises
    ------
    NotComputableError
        If fewer than two classes, or fewer than 20 different numbers, are left.
    """
    codes = np.unique(embedding.groups, return_inverse=True)[1].astype(np.int64)
    known, left_out = target.known, {}
    kept_classes = np.arange(len(target.classes))
    if target.kind == "class":
        counts = _groups_per_class(codes[known], target.values[known], len(target.classes))
        left_out = {
            name: int(count)
            for name, count in zip(target.classes, counts, strict=True)
            if count < FEWEST_OF_A_CLASS
        }
        kept_classes = np.flatnonzero(counts >= FEWEST_OF_A_CLASS)
        _check_classes(target, counts, kept_classes)
        known = known & np.isin(target.values.astype(np.int64), kept_classes)
    elif len(np.unique(codes[known])) < FEWEST_NUMBERS or np.ptp(target.values[known]) == 0:
        n, n_values = len(np.unique(codes[known])), len(np.unique(target.values[known]))
        raise NotComputableError(
            f"{target.name}: got {n} objects with {n_values} different values, needed are "
            f"{FEWEST_NUMBERS} objects and more than one value"
        )
    names = tuple(target.classes[k] for k in kept_classes)
    y = target.values[known]
    if target.kind == "class":
        y = np.searchsorted(kept_classes, y).astype(np.float64)
    own = np.unique(codes[known], return_inverse=True)[1].astype(np.int64)
    sample = Sample(
        points=embedding.vectors[known].astype(np.float64),
        y=y,
        codes=own,
        strata=_majority(own, y, len(names)) if names else _quintiles(own, y),
        n_classes=len(names),
    )
    clean = Target(
        name=target.name,
        kind=target.kind,
        values=target.values if not names else _recoded(target, kept_classes),
        known=known,
        classes=names,
        unit=target.unit,
    )
    return sample, clean, left_out


def _recoded(target: Target, kept: IntArray) -> Float64Array:
    return np.searchsorted(kept, target.values).clip(max=len(kept) - 1).astype(np.float64)


def _check_classes(target: Target, counts: IntArray, kept: IntArray) -> None:
    if len(kept) >= 2:
        return
    found = ", ".join(f"{name} {n}" for name, n in zip(target.classes, counts, strict=True))
    raise NotComputableError(
        f"{target.name}: got {found or 'no labels'} (objects per class), needed are two classes of "
        f"{FEWEST_OF_A_CLASS} objects or more"
    )


def _majority(codes: IntArray, y: Float64Array, n_classes: int) -> IntArray:
    votes = np.zeros((int(codes.max(initial=-1)) + 1, n_classes), dtype=np.int64)
    np.add.at(votes, (codes, y.astype(np.int64)), 1)
    return np.asarray(votes.argmax(axis=1), dtype=np.int64)


def _groups_per_class(codes: IntArray, y: Float64Array, n_classes: int) -> IntArray:
    own = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    found = _majority(own, y, n_classes) if n_classes and len(own) else np.array([], dtype=int)
    return np.bincount(found, minlength=n_classes).astype(np.int64)


def _quintiles(codes: IntArray, y: Float64Array) -> IntArray:
    means = np.bincount(codes, y) / np.bincount(codes)
    inner = np.quantile(means, [0.2, 0.4, 0.6, 0.8])
    return np.searchsorted(inner, means, side="right").astype(np.int64)
