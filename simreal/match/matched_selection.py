"""Matching the selections: which objects of both sides may be held against each other.

A simulation and a survey never hold the same mixture of masses, sizes or redshifts, and a
difference in mixture is not a difference in realism. `select` keeps, on both sides, objects
that have a counterpart within stated tolerances: by cells of a grid (coarsened exact matching,
Iacus, King & Porro 2012) or by nearest neighbours within calipers (Stuart 2010). It knows no
pixels: any property or measured shape is a column of numbers.

The unit is the group (the galaxy behind several views). Whatever is left out is listed with
its reason, and the balance is shown for what was matched on and for what was not.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from simreal.core.arrays import Float64Array, IntArray, StrArray, owned
from simreal.core.errors import NotComputableError, NothingUsableError, UsageError, did_you_mean
from simreal.match import pairing
from simreal.match.recipe import Method

Keep = Literal["draw", "weights"]
Scale = Literal["linear", "log"]

METHODS: tuple[Method, ...] = ("strata", "nearest")
SIDES = ("sim", "obs")

#: Objects are alike up to this difference, in units of the tolerances.
_ALIKE = 1 + 1e-9

_CRITERION = re.compile(r"^(?P<name>[A-Za-z_][\w.-]*)=(?P<size>[^%\s]+?)\s*(?P<kind>dex|%)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One property that counterparts must agree in.

    Parameters
    ----------
    property : str
        A property of the table or a measured shape.
    tolerance : float
        Largest difference, in the unit of the property, or in dex where `scale` is log. Cells
        of the method ``strata`` are this wide.
    scale : {"linear", "log"}
    """

    property: str
    tolerance: float
    scale: Scale = "linear"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tolerance) and self.tolerance > 0):
            raise UsageError(
                f"match on {self.property}: got the tolerance {self.tolerance}, allowed is a "
                "finite number above 0"
            )

    def __str__(self) -> str:
        return f"{self.property}={self.tolerance:g}{'dex' if self.scale == 'log' else ''}"

    @classmethod
    def parse(cls, text: str) -> "Criterion":
        """Return the criterion that `text` spells as ``PROPERTY=TOLERANCE[dex|%]``.

        Examples
        --------
        >>> str(Criterion.parse("stellar_mass=0.2dex"))
        'stellar_mass=0.2dex'
        >>> str(Criterion.parse("radius=10%"))
        'radius=0.0413927dex'
        """
        found = _CRITERION.match(text.strip())
        size = None if found is None else _number(found["size"])
        if found is None or size is None:
            raise UsageError(
                f"--match-on: got {text!r}, allowed is PROPERTY=TOLERANCE with an optional 'dex' "
                "or '%', such as stellar_mass=0.2dex, redshift=0.01 or radius=10%"
            )
        if found["kind"] is None:
            return cls(property=found["name"], tolerance=size)
        if found["kind"] == "%" and size > 0:
            size = math.log10(1 + size / 100)
        return cls(property=found["name"], tolerance=size, scale="log")

    def coordinate(self, values: Float64Array) -> Float64Array:
        """Return the values in units of the tolerance; NaN where there is none."""
        finite = np.where(np.isfinite(values), values, np.nan)
        if self.scale == "log":
            finite = np.log10(np.where(finite > 0, finite, np.nan))
        return np.asarray(finite / self.tolerance, dtype=np.float64)

    def spelled(self, coordinate: float) -> str:
        """Return the value at a coordinate, to be read by people."""
        value = coordinate * self.tolerance
        return f"{10.0**value if self.scale == 'log' else value:.4g}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionSettings:
    """How the selections are matched.

    Parameters
    ----------
    method : {"strata", "nearest"}
        Cells of a grid, or the best one-to-one assignment within the tolerances.
    criteria : tuple of Criterion
    keep : {"draw", "weights"}
        With strata: draw equal numbers from every shared cell, or keep every object of the
        shared cells and weight the simulated ones to the observed proportions. A draw is
        preferred: weights widen every interval by what the effective size says.
    observed_per_simulated : int
        Observed counterparts of each simulated object. With 2, half of the observed side can
        serve as the floor at the same n.
    smd_limit : float
        Standardised mean difference below which a property counts as balanced.
    fewest_effective : float
        Smallest effective number of groups of a side.
    lowest_share : float
        Smallest effective size of a weighted side, as a share of its groups.
    force : bool
        Go on where the effective size is too small; the result says so.
    factors : tuple of float
        The tolerances times these are tried as well, to show what the choice decides.
    """

    method: Method = "strata"
    criteria: tuple[Criterion, ...]
    keep: Keep = "draw"
    observed_per_simulated: int = 1
    smd_limit: float = 0.1
    fewest_effective: float = 30.0
    lowest_share: float = 0.2
    force: bool = False
    factors: tuple[float, ...] = (0.5, 0.71, 1.0, 1.41, 2.0)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(
                f"selection method: got {self.method!r}: {did_you_mean(self.method, METHODS)}"
            )
        if self.keep not in ("draw", "weights"):
            raise UsageError(f"selection keep: got {self.keep!r}, allowed are draw and weights")
        if self.keep == "weights" and self.method == "nearest":
            raise UsageError("selection: weights belong to strata; nearest neighbours are drawn")
        names = [each.property for each in self.criteria]
        if not names or len(set(names)) != len(names):
            raise UsageError(
                f"selection: got the properties {names}, allowed are one or more, each once"
            )
        if self.observed_per_simulated < 1:
            raise UsageError(
                f"observed_per_simulated: got {self.observed_per_simulated}, allowed is 1 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """One row that was left out, and why. ``kind`` is the reason in one word."""

    side: str
    row: int
    kind: Literal["missing", "no counterpart", "not drawn", "views differ"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Means of one property on both sides, before and after matching.

    The difference of means is over the pooled standard deviation of the sets as given, before
    and after alike, so that it cannot shrink or grow because the spread did (Stuart 2010).
    Logarithmic properties are compared in dex.

    Parameters
    ----------
    property : str
    matched_on : bool
        Whether it was a criterion; the others show what matching brought along.
    sim_before, obs_before, sim_after, obs_after : float
    smd_before, smd_after : float
        Standardised mean difference, simulated minus observed.
    variance_ratio : float
        Of the matched sets, simulated over observed; NaN where the observed variance is 0.
    balanced : bool
        Whether ``smd_after`` is inside the limit.
    """

    property: str
    matched_on: bool
    sim_before: float
    obs_before: float
    sim_after: float
    obs_after: float
    smd_before: float
    smd_after: float
    variance_ratio: float
    balanced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What other tolerances would have given."""

    factor: float
    n_sim: int
    n_obs: int
    fraction_sim: float
    fraction_obs: float
    effective_sim: float
    worst_property: str
    worst_smd: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchedSelection:
    """What was kept of both sides, how alike they are now, and what was left out.

    Parameters
    ----------
    settings : SelectionSettings
    sim_rows, obs_rows : array of int
        Rows kept, ascending.
    weights : mapping of "sim", "obs" to array
        One weight per kept row. The weights of a group sum to the weight of the group, so
        that several views count once; their sum is the number of groups.
    strata : mapping of "sim", "obs" to array of int
        The cell or pair of every kept row: permuting within them keeps the match.
    balance : tuple of Balance
    n_groups, n_kept : mapping of "sim", "obs" to int
        Groups given and kept.
    effective : mapping of "sim", "obs" to float
        Effective number of groups (Kish 1965): (sum of weights)^2 / sum of squared weights.
    unmatched : tuple of Unmatched
    sensitivity : tuple of Sensitivity
    warnings : tuple of str
    """

    settings: SelectionSettings
    sim_rows: IntArray
    obs_rows: IntArray
    weights: Mapping[str, Float64Array]
    strata: Mapping[str, IntArray]
    balance: tuple[Balance, ...]
    n_groups: Mapping[str, int]
    n_kept: Mapping[str, int]
    effective: Mapping[str, float]
    unmatched: tuple[Unmatched, ...]
    sensitivity: tuple[Sensitivity, ...]
    warnings: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("sim_rows", "obs_rows"):
            object.__setattr__(self, name, owned(getattr(self, name), np.int64))

    @property
    def matched_fraction(self) -> dict[str, float]:
        """Share of the groups of each side that is kept."""
        return {side: self.n_kept[side] / self.n_groups[side] for side in SIDES}

    @property
    def balanced(self) -> bool:
        """Whether everything that was matched on is inside the limit."""
        return all(row.balanced for row in self.balance if row.matched_on)


def select(
    sim_values: Mapping[str, Float64Array],
    obs_values: Mapping[str, Float64Array],
    groups: tuple[StrArray, StrArray],
    *,
    settings: SelectionSettings,
    rng: np.random.Generator,
) -> MatchedSelection:
    """Keep, on both sides, what has a counterpart within the tolerances.

    Parameters
    ----------
    sim_values, obs_values : mapping of str to array (n,)
        Properties and measured shapes, NaN where missing. Names beyond the criteria are
        reported in the balance table where both sides have them.
    groups : pair of array of str
        The resampling unit of every row, simulated and observed. A group is represented by
        its most typical row; its rows further than the tolerance from that one are left out.
    settings : SelectionSettings
    rng : numpy.random.Generator

    Returns
    -------
    MatchedSelection

    Raises
    ------
    UsageError
        If a side lacks a property.
    NothingUsableError
        If no two objects are alike within the tolerances.
    NotComputableError
        If too few effective objects are left and `settings.force` is not set.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sim = {"mass": rng.normal(10.3, 0.3, 400)}
    >>> obs = {"mass": rng.normal(10.0, 0.3, 800)}
    >>> names = np.arange(400).astype(str), np.arange(800).astype(str)
    >>> wanted = SelectionSettings(criteria=(Criterion(property="mass", tolerance=0.05),))
    >>> found = select(sim, obs, names, settings=wanted, rng=rng)
    >>> abs(found.balance[0].smd_before) > 0.9, abs(found.balance[0].smd_after) < 0.1
    (True, True)
    """
    sides = [
        _Side.of(side, values, names, settings.criteria)
        for side, values, names in zip(SIDES, (sim_values, obs_values), groups, strict=True)
    ]
    own, *others = rng.spawn(1 + len(settings.factors))
    kept = _kept(sides[0].points, sides[1].points, settings, own)
    if len(kept.sim) == 0 or len(kept.obs) == 0:
        raise NothingUsableError(
            f"selection matching: none of {len(sides[0].points)} simulated objects has a "
            f"counterpart among {len(sides[1].points)} observed within "
            f"{', '.join(map(str, settings.criteria))}; widen the tolerances or leave one out"
        )
    rows, weights, strata, unmatched = {}, {}, {}, []
    for side, chosen, weight, stratum in zip(
        sides, (kept.sim, kept.obs), (kept.weight, np.ones(len(kept.obs))),
        (kept.sim_stratum, kept.obs_stratum), strict=True,
    ):  # fmt: skip
        rows[side.side], weights[side.side], strata[side.side] = side.expanded(
            chosen, weight, stratum
        )
        other = sides[1 if side.side == "sim" else 0]
        unmatched += [*side.unusable, *_left_out(side, other, chosen, settings)]
    balance = _balance_table(sides, rows, weights, settings)
    effective = {"sim": effective_size(kept.weight), "obs": float(len(kept.obs))}
    n_kept = {"sim": len(kept.sim), "obs": len(kept.obs)}
    warnings = _check_size(effective, n_kept, settings) + _balance_words(balance, settings)
    return MatchedSelection(
        settings=settings,
        sim_rows=rows["sim"],
        obs_rows=rows["obs"],
        weights=weights,
        strata=strata,
        balance=balance,
        n_groups={side.side: side.n_groups for side in sides},
        n_kept=n_kept,
        effective=effective,
        unmatched=tuple(sorted(unmatched, key=lambda each: (each.side != "sim", each.row))),
        sensitivity=_sensitivity(sides, settings, others),
        warnings=warnings,
    )


def effective_size(weights: Float64Array) -> float:
    """Return how many equally weighted objects these weighted ones are worth (Kish 1965).

    Examples
    --------
    >>> effective_size(np.array([1.0, 1.0, 1.0, 0.0]))
    3.0
    """
    total, squares = float(weights.sum()), float(np.square(weights).sum())
    return 0.0 if squares == 0 else total**2 / squares


def selection_fragment(found: MatchedSelection) -> dict[str, Any]:
    """Return what selection matching did, as plain JSON values for ``results.json``."""
    settings = found.settings
    reasons: dict[str, dict[str, int]] = {side: {} for side in SIDES}
    for each in found.unmatched:
        counts = reasons[each.side]
        counts[each.kind] = counts.get(each.kind, 0) + 1
    return {
        "method": settings.method,
        "keep": settings.keep,
        "criteria": [
            {"property": each.property, "tolerance": each.tolerance, "scale": each.scale}
            for each in settings.criteria
        ],
        "observed_per_simulated": settings.observed_per_simulated,
        "n_groups": dict(found.n_groups),
        "n_matched": dict(found.n_kept),
        "matched_fraction": found.matched_fraction,
        "effective_size": dict(found.effective),
        "forced": settings.force,
        "balanced": found.balanced,
        "smd_limit": settings.smd_limit,
        "balance": [_plain(row) for row in found.balance],
        "sensitivity": [_plain(row) for row in found.sensitivity],
        "unmatched": reasons,
        "warnings": list(found.warnings),
    }


def _plain(row: Balance | Sensitivity) -> dict[str, Any]:
    names = row.__dataclass_fields__
    values = {name: getattr(row, name) for name in names}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Side:
    """One side as matching sees it: one point per group, and which rows stand behind it.

    Rows ``members[first[i]:first[i + 1]]`` belong to point ``i``.
    """

    side: str
    values: Mapping[str, Float64Array]
    groups: StrArray
    points: Float64Array
    members: IntArray
    first: IntArray
    unusable: tuple[Unmatched, ...]
    n_groups: int

    @classmethod
    def of(
        cls,
        side: str,
        values: Mapping[str, Float64Array],
        groups: StrArray,
        criteria: Sequence[Criterion],
    ) -> "_Side":
        """Return a side with the coordinates of its groups in units of the tolerances."""
        n = len(groups)
        for each in criteria:
            if each.property not in values:
                raise UsageError(
                    f"--match-on {each}: the {_word(side)} side has no numeric "
                    f"{each.property!r}: {did_you_mean(each.property, values)}"
                )
        for name, column in values.items():
            if np.shape(column) != (n,):
                raise UsageError(f"{side} {name}: got shape {np.shape(column)} for {n} rows")
        rows = np.column_stack([each.coordinate(values[each.property]) for each in criteria])
        unusable = [*_missing(side, rows, values, criteria)]
        usable = np.flatnonzero(np.isfinite(rows).all(axis=1))
        order = usable[np.argsort(groups[usable], kind="stable")]
        label = np.cumsum(groups[order][1:] != groups[order][:-1])
        label = np.concatenate([np.zeros(min(1, len(order)), np.int64), label]).astype(np.int64)
        typical = order[_typical(rows[order], label)]
        off = np.abs(rows[order] - rows[typical][label]).max(axis=1)
        near = off <= _ALIKE
        for row, standard in zip(order[~near], typical[label[~near]], strict=True):
            unusable.append(_apart(side, int(row), rows[row], rows[standard], criteria))
        counts = np.bincount(label[near], minlength=len(typical))
        return cls(
            side=side,
            values=values,
            groups=groups,
            points=rows[typical],
            members=order[near],
            first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            unusable=tuple(unusable),
            n_groups=len(np.unique(groups)),
        )

    def rows_of(self, chosen: IntArray) -> tuple[IntArray, IntArray]:
        """Return the rows of the chosen groups one after the other, and how many each has."""
        sizes = self.first[chosen + 1] - self.first[chosen]
        start = np.repeat(self.first[chosen] - np.cumsum(sizes) + sizes, sizes)
        return self.members[start + np.arange(len(start))], sizes

    def expanded(
        self, chosen: IntArray, weight: Float64Array, stratum: IntArray
    ) -> tuple[IntArray, Float64Array, IntArray]:
        """Return the rows of the chosen groups, ascending, with their weights and strata."""
        rows, sizes = self.rows_of(chosen)
        order = np.argsort(rows, kind="stable")
        shared = np.repeat(weight / sizes, sizes)
        return rows[order], shared[order], np.repeat(stratum, sizes)[order]


def _word(side: str) -> str:
    return "simulated" if side == "sim" else "observed"


def _typical(rows: Float64Array, label: IntArray) -> IntArray:
    """Return for every group the row nearest to the group's median; `label` ascends.

    Examples
    --------
    >>> _typical(np.array([[5.0], [1.0], [2.0], [9.0]]), np.array([0, 1, 1, 1])).tolist()
    [0, 2]
    """
    first = np.flatnonzero(np.diff(label, prepend=-1))
    typical, sizes = first.copy(), np.diff(first, append=len(label))
    for group in np.flatnonzero(sizes > 1):
        own = rows[first[group] : first[group] + sizes[group]]
        typical[group] += int(np.argmin(np.abs(own - np.median(own, axis=0)).max(axis=1)))
    return typical


def _missing(
    side: str,
    rows: Float64Array,
    values: Mapping[str, Float64Array],
    criteria: Sequence[Criterion],
) -> list[Unmatched]:
    found = []
    for row in np.flatnonzero(~np.isfinite(rows).all(axis=1)):
        first = criteria[int(np.flatnonzero(~np.isfinite(rows[row]))[0])]
        value = values[first.property][row]
        reason = (
            f"{first.property} = {value:.4g} has no logarithm"
            if np.isfinite(value)
            else f"{first.property} is missing"
        )
        found.append(Unmatched(side=side, row=int(row), kind="missing", reason=reason))
    return found


def _apart(
    side: str, row: int, own: Float64Array, typical: Float64Array, criteria: Sequence[Criterion]
) -> Unmatched:
    worst = int(np.argmax(np.abs(own - typical)))
    reason = (
        f"{criteria[worst].property} = {criteria[worst].spelled(own[worst])}, in its group "
        f"typically {criteria[worst].spelled(typical[worst])}: further apart than {criteria[worst]}"
    )
    return Unmatched(side=side, row=row, kind="views differ", reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kept:
    """Groups kept on both sides, the weights of the simulated ones, and their strata."""

    sim: IntArray
    obs: IntArray
    weight: Float64Array
    sim_stratum: IntArray
    obs_stratum: IntArray


def _kept(
    sim: Float64Array, obs: Float64Array, settings: SelectionSettings, rng: np.random.Generator
) -> _Kept:
    times = settings.observed_per_simulated
    if len(sim) == 0 or len(obs) == 0:
        none = np.zeros(0, dtype=np.int64)
        return _Kept(sim=none, obs=none, weight=np.zeros(0), sim_stratum=none, obs_stratum=none)
    if settings.method == "nearest":
        i, j = pairing.nearest_pairs(sim, obs, observed_per_simulated=times, rng=rng)
        kept, pair = np.unique(i, return_inverse=True)
        ones = np.ones(len(kept))
        return _Kept(
            sim=kept,
            obs=j,
            weight=ones,
            sim_stratum=np.arange(len(kept)),
            obs_stratum=pair.reshape(-1).astype(np.int64),
        )
    in_sim, in_obs = pairing.cells(sim, obs)
    if settings.keep == "weights":
        shared = pairing.shared_cells(in_sim, in_obs)
        keep_sim, keep_obs = np.isin(in_sim, shared), np.isin(in_obs, shared)
    else:
        keep_sim, keep_obs = pairing.drawn_alike(
            in_sim, in_obs, observed_per_simulated=times, rng=rng
        )
    rows_sim, rows_obs = np.flatnonzero(keep_sim), np.flatnonzero(keep_obs)
    weight = np.ones(len(rows_sim))
    if settings.keep == "weights" and len(rows_sim):
        weight = pairing.cell_weights(in_sim[rows_sim], in_obs[rows_obs])
    return _Kept(
        sim=rows_sim,
        obs=rows_obs,
        weight=weight,
        sim_stratum=in_sim[rows_sim],
        obs_stratum=in_obs[rows_obs],
    )


def _left_out(
    side: _Side, other: _Side, chosen: IntArray, settings: SelectionSettings
) -> list[Unmatched]:
    """Return the groups without a partner, each row with the reason."""
    lost = np.setdiff1d(np.arange(len(side.points)), chosen)
    if len(lost) == 0:
        return []
    nearest = pairing.nearest_other(side.points[lost], other.points)
    off = np.abs(side.points[lost] - other.points[nearest])
    rows, sizes = side.rows_of(lost)
    told = []
    for group, near, gap in zip(lost, nearest, off, strict=True):
        worst = int(np.argmax(gap))
        told.append(
            _why(
                settings.criteria[worst],
                float(side.points[group, worst]),
                float(other.points[near, worst]),
                word=_word(other.side),
                beyond=bool(gap[worst] > _ALIKE),
            )
        )
    return [
        Unmatched(side=side.side, row=int(row), kind=told[i][0], reason=told[i][1])
        for row, i in zip(rows, np.repeat(np.arange(len(lost)), sizes), strict=True)
    ]


def _why(
    worst: Criterion, own: float, near: float, *, word: str, beyond: bool
) -> tuple[Literal["no counterpart", "not drawn"], str]:
    if beyond:
        return "no counterpart", (
            f"{worst.property} = {worst.spelled(own)}: the nearest {word} object has "
            f"{worst.spelled(near)}, further than {worst}"
        )
    return "not drawn", f"fewer {word} objects are like it than of its own side"


def _balance_table(
    sides: Sequence[_Side],
    rows: Mapping[str, IntArray],
    weights: Mapping[str, Float64Array],
    settings: SelectionSettings,
) -> tuple[Balance, ...]:
    logarithmic = {each.property for each in settings.criteria if each.scale == "log"}
    on = [each.property for each in settings.criteria]
    names = on + [n for n in sides[0].values if n in sides[1].values and n not in on]
    table = []
    for name in names:
        before, after = [], []
        for side in sides:
            values = np.asarray(side.values[name], dtype=np.float64)
            if name in logarithmic:
                values = np.log10(np.where(values > 0, values, np.nan))
            before.append(_moments(values, _once_per_group(side.groups)))
            own = rows[side.side]
            after.append(_moments(values[own], weights[side.side]))
        row = _balance(name, before, after, settings=settings, matched_on=name in on)
        if row is not None:
            table.append(row)
    return tuple(table)


def _once_per_group(groups: StrArray) -> Float64Array:
    _, label, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[label.reshape(-1)], dtype=np.float64)


def _moments(values: Float64Array, weights: Float64Array) -> tuple[float, float]:
    """Return weighted mean and variance of the finite values."""
    finite = np.isfinite(values)
    total = float(weights[finite].sum())
    if total == 0:
        return math.nan, math.nan
    share = weights[finite] / total
    mean = float(share @ values[finite])
    return mean, float(share @ np.square(values[finite] - mean))


def _balance(
    name: str,
    before: Sequence[tuple[float, float]],
    after: Sequence[tuple[float, float]],
    *,
    settings: SelectionSettings,
    matched_on: bool,
) -> Balance | None:
    numbers = [number for moments in (*before, *after) for number in moments]
    if not all(math.isfinite(number) for number in numbers):
        return None
    spread = math.sqrt((before[0][1] + before[1][1]) / 2)
    smd = [_over(pair[0][0] - pair[1][0], spread) for pair in (before, after)]
    return Balance(
        property=name,
        matched_on=matched_on,
        sim_before=before[0][0],
        obs_before=before[1][0],
        sim_after=after[0][0],
        obs_after=after[1][0],
        smd_before=smd[0],
        smd_after=smd[1],
        variance_ratio=after[0][1] / after[1][1] if after[1][1] > 0 else math.nan,
        balanced=abs(smd[1]) <= settings.smd_limit,
    )


def _over(difference: float, spread: float) -> float:
    if spread > 0:
        return difference / spread
    return 0.0 if difference == 0 else math.copysign(math.inf, difference)


def _check_size(
    effective: Mapping[str, float], n_kept: Mapping[str, int], settings: SelectionSettings
) -> tuple[str, ...]:
    """Refuse what is too small to be estimated from, or say that it was forced."""
    wrong = []
    for side in SIDES:
        least = settings.fewest_effective
        if settings.keep == "weights":
            least = max(least, settings.lowest_share * n_kept[side])
        if effective[side] < least:
            wrong.append(
                f"{effective[side]:.1f} effective {_word(side)} objects are left of "
                f"{n_kept[side]} matched, allowed are {least:g} or more"
            )
    if wrong and not settings.force:
        raise NotComputableError(
            f"selection matching: {'; '.join(wrong)}; widen the tolerances, match on fewer "
            "properties, or force it and claim nothing"
        )
    return tuple(f"{each}; it was forced: no population claim" for each in wrong)


def _balance_words(balance: Sequence[Balance], settings: SelectionSettings) -> tuple[str, ...]:
    off = [row for row in balance if row.matched_on and not row.balanced]
    return tuple(
        f"{row.property} is not balanced after matching: standardised mean difference "
        f"{row.smd_after:.2f}, allowed is {settings.smd_limit:g}; tighten its tolerance"
        for row in off
    )


def _sensitivity(
    sides: Sequence[_Side], settings: SelectionSettings, rngs: Sequence[np.random.Generator]
) -> tuple[Sensitivity, ...]:
    """Match again with tighter and wider tolerances."""
    table = []
    for factor, rng in zip(settings.factors, rngs, strict=True):
        wanted = replace(
            settings,
            criteria=tuple(
                replace(each, tolerance=each.tolerance * factor) for each in settings.criteria
            ),
        )
        kept = _kept(sides[0].points / factor, sides[1].points / factor, wanted, rng)
        worst = _worst(sides, kept, wanted)
        table.append(
            Sensitivity(
                factor=factor,
                n_sim=len(kept.sim),
                n_obs=len(kept.obs),
                fraction_sim=len(kept.sim) / sides[0].n_groups,
                fraction_obs=len(kept.obs) / sides[1].n_groups,
                effective_sim=effective_size(kept.weight),
                worst_property=worst[0],
                worst_smd=worst[1],
            )
        )
    return tuple(table)


def _worst(sides: Sequence[_Side], kept: _Kept, settings: SelectionSettings) -> tuple[str, float]:
    """Return the matched property whose means are furthest apart."""
    if len(kept.sim) == 0 or len(kept.obs) == 0:
        return "", math.nan
    rows, weights = {}, {}
    for side, chosen, weight in zip(
        sides, (kept.sim, kept.obs), (kept.weight, np.ones(len(kept.obs))), strict=True
    ):
        rows[side.side], weights[side.side], _ = side.expanded(chosen, weight, chosen)
    table = _balance_table(sides, rows, weights, settings)
    worst = max((row for row in table if row.matched_on), key=lambda row: abs(row.smd_after))
    return worst.property, worst.smd_after
