"""What the objects of one region are: medians on both sides, and their offset at matched controls.

Two sides that differ in mass differ in everything that follows mass, also inside a region. An
offset is therefore taken between pairs: every simulated object is given the observed one that is
nearest in the control properties (mass and redshift, where both sides have them), each used once
and none further than a caliper. What difference of the controls is left within pairs is taken out
with a regression of the property on the controls, a line or, with pairs enough, a curve (Abadie and
Imbens 2011, J. Bus. Econ. Stat. 29, 1).

An offset says that two populations differ at the same mass and redshift; not why.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array, IntArray, owned
from simreal.core.embedding import Embedding
from simreal.core.errors import UsageError, did_you_mean
from simreal.core.images import property_values
from simreal.explain.scores import LEVEL, Score, no_score
from simreal.stats.fdr import benjamini_hochberg

Way = Literal["larger", "smaller", "consistent", "not available"]
Side = Literal["sim", "obs"]
#: From which objects have a value to the rows that are paired, and the pairs.
Pairings: TypeAlias = dict[bytes, tuple[dict[Side, IntArray], tuple[IntArray, IntArray]]]
SIDES: tuple[Side, Side] = ("sim", "obs")

#: Fewest objects of a side for a median with an interval: with five no interval of 95 % exists.
FEWEST = 6
#: A pair may differ by this many pooled standard deviations in each control property.
CALIPER = 0.25
#: Pairs from which on a property may follow the controls as a line, a square, a cube.
DEGREES = (0, 20, 60)
#: More pairs than this are not looked for (an assignment of that size takes a second).
MOST_PAIRED = 1000
#: A positive property whose 97.5 and 2.5 percentiles are this many times apart is taken in logs.
WIDE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """One numeric property of every image of both sides.

    Parameters
    ----------
    name, unit : str
    scale : {"linear", "log10"}
        What offsets are taken in; medians are in `unit`.
    values : mapping of "sim", "obs" to array (n,)
        NaN where missing.
    absent : mapping of "sim", "obs" to str
        Why a side has no values, empty where it has.
    units_differ : bool
        Whether that is because the two sides have it in different units.
    """

    name: str
    unit: str
    scale: Literal["linear", "log10"]
    values: Mapping[Side, Float64Array]
    absent: Mapping[Side, str]
    units_differ: bool = False

    def reason(self) -> str:
        """Return why the two sides cannot be compared; empty where they can."""
        return "; ".join(text for text in self.absent.values() if text)

    def scaled(self, side: Side) -> Float64Array:
        """Return the values in the scale of offsets; what has no logarithm is missing."""
        values = self.values[side]
        if self.scale == "linear":
            return values
        positive = values > 0
        return np.where(positive, np.log10(np.where(positive, values, 1.0)), np.nan)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PropertyOffset:
    """One property of the objects of a region.

    Parameters
    ----------
    name, unit : str
    sim, obs : Score
        Medians over objects.
    offset : Score
        Simulated minus observed at matched controls (Hodges-Lehmann of the pairs), in `scale`;
        null with the reason where there is none. Its n is the number of pairs.
    scale : {"linear", "log10"}
        ``log10``: the offset is in dex.
    matched_on : tuple of str
        Control properties of the pairs.
    balance : float or None
        Largest standardised difference of a control that is left between the pairs, before the
        regression.
    p_value, p_adjusted : float or None
        Signed ranks of the pairs; Benjamini-Hochberg over properties and regions.
    direction : {"larger", "smaller", "consistent", "not available"}
        Of the simulated objects, at the false-discovery rate.
    """

    name: str
    unit: str
    sim: Score
    obs: Score
    offset: Score
    scale: str
    matched_on: tuple[str, ...]
    balance: float | None
    p_value: float | None
    p_adjusted: float | None
    direction: Way

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "unit": self.unit,
            "sim": plain_score(self.sim),
            "obs": plain_score(self.obs),
            "offset": plain_score(self.offset),
            "scale": self.scale,
            "matched_on": list(self.matched_on),
            "balance": self.balance,
            "p_value": self.p_value,
            "p_adjusted": self.p_adjusted,
            "direction": self.direction,
        }


def plain_score(score: Score) -> dict[str, Any]:
    """Return a score as plain values."""
    return {
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "n": score.n,
        "level": score.level,
        "method": score.method,
        "reason": score.reason,
    }


def numeric_names(embedding: Embedding) -> tuple[str, ...]:
    """Return the numeric properties of an embedding, names of objects left out."""
    columns = [] if embedding.properties is None else list(embedding.properties.colnames)
    return tuple(
        name
        for name in columns
        if name.lower() != "id"
        and not name.lower().endswith("_id")
        and property_values(embedding.properties, name) is not None
    )


def columns_of(
    obs: Embedding, sim: Embedding, names: Sequence[str] | None = None
) -> tuple[Column, ...]:
    """Return the numeric properties of either side, by default all, those of both sides first.

    Raises
    ------
    UsageError
        If a named property is on neither side.
    """
    there = {side: numeric_names(e) for side, e in (("sim", sim), ("obs", obs))}
    known = [n for n in there["sim"] if n in there["obs"]]
    known += [n for n in (*there["sim"], *there["obs"]) if n not in known]
    for name in names or ():
        if name not in known:
            raise UsageError(
                f"properties: neither {sim.name} nor {obs.name} has a numeric property {name!r}: "
                f"{did_you_mean(name, known) if known else 'they have none at all'}"
            )
    return tuple(_column(obs, sim, name) for name in (known if names is None else names))


def _column(obs: Embedding, sim: Embedding, name: str) -> Column:
    values: dict[Side, Float64Array] = {}
    absent: dict[Side, str] = {}
    units: list[str] = []
    for side, embedding in zip(SIDES, (sim, obs), strict=True):
        found = property_values(embedding.properties, name)
        values[side] = np.full(len(embedding), np.nan) if found is None else found[0]
        absent[side] = ""
        if found is None:
            absent[side] = f"{embedding.name} has no {name}"
        elif not found[1].any():
            absent[side] = f"{embedding.name} has no value of {name}"
        else:
            units.append(found[2])
    differ = len(units) == 2 and units[0] != units[1]
    if differ:
        absent["obs"] = (
            f"{name} is in {units[0] or 'no unit'} in {sim.name} and in "
            f"{units[1] or 'no unit'} in {obs.name}"
        )
        values["obs"] = np.full(len(obs), np.nan)
    return Column(
        name=name,
        unit=units[0] if units else "",
        scale=scale_of(np.concatenate([values["sim"], values["obs"]])),
        values={side: owned(v, np.float64) for side, v in values.items()},
        absent=absent,
        units_differ=differ,
    )


def scale_of(values: Float64Array) -> Literal["linear", "log10"]:
    """Return ``log10`` for positive values that span more than a factor of ten.

    Examples
    --------
    >>> scale_of(np.array([1e9, 1e10, 1e11])), scale_of(np.array([0.0, 10.0, 100.0]))
    ('log10', 'linear')
    """
    there = values[np.isfinite(values)]
    if not len(there) or there.min() <= 0:
        return "linear"
    low, high = np.percentile(there, [2.5, 97.5])
    return "log10" if high > WIDE * low else "linear"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Controls:
    """What is held fixed: control properties of every image, in units of the caliper.

    Parameters
    ----------
    names : tuple of str
    values : mapping of "sim", "obs" to array (n, P)
    reason : str
        Why there are none; empty where there are.
    left_out : str
        Why some that were asked for are not among them.
    """

    names: tuple[str, ...]
    values: Mapping[Side, Float64Array]
    reason: str = ""
    left_out: str = ""


def controls_of(
    obs: Embedding, sim: Embedding, names: Sequence[str], *, caliper: float = CALIPER
) -> Controls:
    """Return the controls that both sides have, each over its pooled deviation times the caliper.

    Parameters
    ----------
    obs, sim : Embedding
    names : sequence of str
    caliper : float
        Pooled standard deviations.
    """
    columns = [_column(obs, sim, name) for name in names]
    kept = [c for c in columns if not c.reason()]
    why = "; ".join(c.reason() for c in columns if c.reason())
    if not kept:
        empty = {side: np.zeros((len(e), 0)) for side, e in zip(SIDES, (sim, obs), strict=True)}
        return Controls(names=(), values=empty, reason=why or "no control property was named")
    scaled = {side: np.stack([c.scaled(side) for c in kept], axis=1) for side in SIDES}
    pooled = np.concatenate([scaled["sim"], scaled["obs"]])
    width = np.nanstd(pooled, axis=0) * caliper
    # A control that is the same for all holds nothing fixed, and forbids nothing.
    width = np.where(width > 0, width, np.inf)
    return Controls(
        names=tuple(c.name for c in kept),
        values={side: owned(v / width, np.float64) for side, v in scaled.items()},
        left_out=why,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Members:
    """The objects of one region: views ``(k,)`` of either side and the object each is of."""

    rows: Mapping[Side, IntArray]
    codes: Mapping[Side, IntArray]

    def means(self, values: Float64Array, side: Side) -> Float64Array:
        """Return the mean over the views in the region of every object, ``(g,)`` or ``(g, P)``."""
        of = values[self.rows[side]]
        flat = of.reshape(len(of), values[:1].size)
        names, codes = np.unique(self.codes[side], return_inverse=True)
        there = np.isfinite(flat)
        n = np.zeros((len(names), flat.shape[1]))
        total = np.zeros_like(n)
        np.add.at(n, codes, there)
        np.add.at(total, codes, np.where(there, flat, 0.0))
        means = np.where(n > 0, total / np.maximum(n, 1), np.nan)
        return np.asarray(means.reshape((len(names), *of.shape[1:])))


def region_offsets(
    members: Members,
    columns: Sequence[Column],
    controls: Controls,
    *,
    rng: np.random.Generator,
) -> tuple[PropertyOffset, ...]:
    """Return every property of the objects of one region; p-values are not yet adjusted."""
    held = {side: members.means(controls.values[side], side) for side in SIDES}
    known: Pairings = {}
    return tuple(_offset(members, column, controls, (held, known), rng=rng) for column in columns)


def adjusted(
    of_regions: Sequence[tuple[PropertyOffset, ...]], *, level: float = LEVEL
) -> tuple[tuple[PropertyOffset, ...], ...]:
    """Return the offsets with Benjamini-Hochberg over all of them, and their directions."""
    from dataclasses import replace

    p_values = [o.p_value for offsets in of_regions for o in offsets if o.p_value is not None]
    found = iter(benjamini_hochberg(p_values).tolist() if p_values else [])
    out = []
    for offsets in of_regions:
        row = []
        for each in offsets:
            if each.p_value is None or each.offset.value is None:
                row.append(each)
                continue
            q = next(found)
            way: Way = "consistent"
            if q <= 1 - level:
                way = "larger" if each.offset.value > 0 else "smaller"
            row.append(replace(each, p_adjusted=q, direction=way))
        out.append(tuple(row))
    return tuple(out)


def _offset(
    members: Members,
    column: Column,
    controls: Controls,
    pairing: tuple[Mapping[Side, Float64Array], Pairings],
    *,
    rng: np.random.Generator,
) -> PropertyOffset:
    medians = {
        side: median(members.means(column.values[side], side), absent=column.absent[side])
        for side in SIDES
    }
    y = {side: members.means(column.scaled(side), side) for side in SIDES}
    reason = _no_offset(column, controls)
    offset, p, balance = no_score(reason or "-", n=0), None, None
    if not reason:
        offset, p, balance = paired_offset(y, pairing[0], known=pairing[1], rng=rng)
    return PropertyOffset(
        name=column.name,
        unit=column.unit,
        sim=medians["sim"],
        obs=medians["obs"],
        offset=offset,
        scale=column.scale,
        matched_on=controls.names,
        balance=balance,
        p_value=p,
        p_adjusted=None,
        direction="not available",
    )


def _no_offset(column: Column, controls: Controls) -> str:
    if column.reason():
        return f"not available: {column.reason()}"
    if column.name in controls.names:
        return f"not available: {column.name} is what is held fixed"
    if controls.reason:
        return f"not available: nothing to hold fixed ({controls.reason})"
    everything = np.concatenate([column.values[side] for side in SIDES])
    there = everything[np.isfinite(everything)]
    if np.ptp(there) == 0:
        return f"not available: {column.name} is {there[0]:g} for all objects"
    return ""


def median(values: Float64Array, *, absent: str = "", level: float = LEVEL) -> Score:
    """Return the median with the interval of two order statistics, which assumes no distribution.

    Examples
    --------
    >>> found = median(np.arange(101.0))
    >>> found.value, found.low, found.high, found.n
    (50.0, 40.0, 60.0, 101)
    """
    from scipy.stats import binom

    if absent:
        return no_score(f"not available: {absent}", n=0)
    values = np.sort(values[np.isfinite(values)])
    n = len(values)
    if n < FEWEST:
        return no_score(f"not available: got {n} objects, needed are {FEWEST}", n=n)
    # The largest j with P(fewer than j of n below the median) <= (1 - level) / 2.
    j = int(binom.ppf((1 - level) / 2, n, 0.5))
    while j > 0 and binom.cdf(j - 1, n, 0.5) > (1 - level) / 2:
        j -= 1
    j = max(j, 1)
    return Score(
        value=float(np.median(values)),
        low=float(values[j - 1]),
        high=float(values[n - j]),
        n=n,
        level=level,
        method="order statistics",
    )


def paired_offset(
    y: Mapping[Side, Float64Array],
    held: Mapping[Side, Float64Array],
    *,
    level: float = LEVEL,
    known: Pairings | None = None,
    rng: np.random.Generator,
) -> tuple[Score, float | None, float | None]:
    """Return the offset of pairs matched on controls, its p-value and the balance of the pairs.

    Parameters
    ----------
    y : mapping of "sim", "obs" to array (g,)
        The property.
    held : mapping of "sim", "obs" to array (g, P)
        Controls in units of the caliper.
    level : float
    known : dict, optional
        Pairs of the same controls that were found before, by the objects that have a value.
    rng : Generator
        Chooses the objects where there are too many to pair.
    """
    there = {side: np.isfinite(y[side]) & np.isfinite(held[side]).all(axis=1) for side in SIDES}
    known, key = {} if known is None else known, b"|".join(there[s].tobytes() for s in SIDES)
    if key not in known:
        ready = {side: _thinned(there[side], rng) for side in SIDES}
        known[key] = ready, nearest_pairs(*(held[side][ready[side]] for side in SIDES))
    ready, (first, second) = known[key]
    y = {side: y[side][ready[side]] for side in SIDES}
    x = {side: held[side][ready[side]] for side in SIDES}
    n = len(first)
    if n < FEWEST:
        text = (
            f"not available: got {n} pairs within the caliper of {len(x['sim'])} simulated and "
            f"{len(x['obs'])} observed objects, needed are {FEWEST}"
        )
        return no_score(text, n=n), None, None
    one, other = x["sim"][first], x["obs"][second]
    bare = y["sim"][first] - y["obs"][second]
    # Where most objects share one value, such as 1, a pair that agrees exactly has nothing to
    # explain; what the regression would take off it is all of one sign, and no evidence.
    away = np.where(bare == 0, 0.0, bare - _explained(y, x, first, second))
    # What the slope leaves of equal values is rounding, and no difference.
    away[np.abs(away) <= 1e-9 * max(float(np.abs(values).max()) for values in y.values())] = 0.0
    value, low, high = hodges_lehmann(away, level=level)
    score = Score(
        value=value,
        low=low,
        high=high,
        n=n,
        level=level,
        method="matched pairs, Hodges-Lehmann, signed ranks",
    )
    return score, signed_rank_p(away), _imbalance(one, other)


def _thinned(ready: BoolArray, rng: np.random.Generator) -> IntArray:
    rows = np.flatnonzero(ready)
    if len(rows) <= MOST_PAIRED:
        return rows
    return np.sort(rng.choice(rows, MOST_PAIRED, replace=False))


def nearest_pairs(one: Float64Array, other: Float64Array) -> tuple[IntArray, IntArray]:
    """Return the most pairs within 1 along every axis, and of those the nearest together.

    Each row is used at most once.

    Examples
    --------
    >>> one, other = np.array([[0.0], [5.0]]), np.array([[0.8], [0.1], [9.0]])
    >>> [rows.tolist() for rows in nearest_pairs(one, other)]
    [[0], [1]]
    """
    from scipy.optimize import linear_sum_assignment

    gap = np.abs(one[:, None] - other[None])
    allowed: BoolArray = np.all(gap <= 1.0, axis=2)
    # No sum of allowed costs reaches one forbidden pair, so that as many as can be are allowed.
    cost = np.where(allowed, (gap**2).sum(axis=2), 0.0)
    forbidden = 1.0 + one.shape[1] * min(len(one), len(other))
    rows, columns = linear_sum_assignment(np.where(allowed, cost, forbidden))
    kept = allowed[rows, columns]
    return rows[kept].astype(np.int64), columns[kept].astype(np.int64)


def _explained(
    y: Mapping[Side, Float64Array],
    x: Mapping[Side, Float64Array],
    first: IntArray,
    second: IntArray,
) -> Float64Array:
    """Return what the remaining difference of the controls explains of each pair's difference."""
    picked = {"sim": first, "obs": second}
    degree = sum(len(first) >= enough for enough in DEGREES)
    powers = {side: powers_of(CALIPER * x[side][picked[side]], degree) for side in SIDES}
    design = np.concatenate([_away(powers[side]) for side in SIDES])
    values = np.concatenate([_away(y[side][picked[side]]) for side in SIDES])
    slope = np.linalg.lstsq(design, values, rcond=1e-9)[0]
    return np.asarray((powers["sim"] - powers["obs"]) @ slope)


def powers_of(x: Float64Array, degree: int) -> Float64Array:
    """Return all products of up to `degree` columns.

    Examples
    --------
    >>> powers_of(np.array([[2.0, 3.0]]), 2).tolist()
    [[2.0, 3.0, 4.0, 6.0, 9.0]]
    """
    columns = [
        x[:, list(chosen)].prod(axis=1)
        for power in range(1, degree + 1)
        for chosen in itertools.combinations_with_replacement(range(x.shape[1]), power)
    ]
    return np.stack(columns, axis=1)


def _away(values: Float64Array) -> Float64Array:
    return np.asarray(values - values.mean(axis=0))


def _imbalance(one: Float64Array, other: Float64Array) -> float | None:
    spread: Float64Array = np.sqrt((one.var(axis=0) + other.var(axis=0)) / 2)
    away: Float64Array = np.abs(one.mean(axis=0) - other.mean(axis=0))
    shares = [float(a / s) for a, s in zip(away, spread, strict=True) if s > 0]
    return max(shares, default=None)


def hodges_lehmann(values: Float64Array, *, level: float = LEVEL) -> tuple[float, float, float]:
    """Return the median of all pairwise means and the interval that signed ranks do not reject.

    Hodges and Lehmann 1963, Ann. Math. Statist. 34, 598.

    Examples
    --------
    >>> hodges_lehmann(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    (3.5, 1.0, 6.0)
    """
    n = len(values)
    rows, columns = np.triu_indices(n)
    walsh = np.sort((values[rows] + values[columns]) / 2)
    k = _signed_rank_quantile(n, (1 - level) / 2)
    return float(np.median(walsh)), float(walsh[k]), float(walsh[len(walsh) - 1 - k])


def _signed_rank_quantile(n: int, tail: float) -> int:
    """Return the largest k with P(W <= k) <= `tail`, W the sum of positive ranks of `n`."""
    if n > 60:
        from scipy.special import ndtri

        spread = np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
        return max(0, int(n * (n + 1) / 4 + float(ndtri(tail)) * spread) - 1)
    chance = np.ones(1)
    for rank in range(1, n + 1):
        moved = np.concatenate([np.zeros(rank), chance])
        chance = (np.concatenate([chance, np.zeros(rank)]) + moved) / 2
    below = np.cumsum(chance)
    return max(0, int(np.searchsorted(below, tail, side="right")) - 1)


def signed_rank_p(values: Float64Array) -> float:
    """Return the two-sided p-value of Wilcoxon's signed ranks; 1 where nothing differs."""
    from scipy.stats import wilcoxon

    values = values[values != 0]
    if len(values) < FEWEST:
        return 1.0
    ties = len(np.unique(np.abs(values))) < len(values)
    method = "exact" if len(values) <= 50 and not ties else "approx"
    return float(min(1.0, wilcoxon(values, method=method).pvalue))
