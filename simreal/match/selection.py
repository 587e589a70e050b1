"""Cuts, the draw of groups, and how balanced the two sides are afterwards."""

from collections.abc import Mapping, Sequence

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array, StrArray
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.core.images import ImageSet, Step, property_values
from simreal.match.recipe import Cut
from simreal.match.result import BalanceRow
from simreal.match.sides import Party
from simreal.measure.stamps import Measured

#: Measured shapes that a cut can name, with the attribute of `Measured` behind each.
MEASURED: Mapping[str, str] = {
    "axis_ratio": "axis_ratio",
    "concentration": "concentration",
    "radius": "radius",
    "flux": "flux",
    "neighbours": "neighbours",
    "psf_fwhm": "psf_fwhm",
    "sky_rms": "luminance_rms",
}


def column(party: Party, name: str) -> Float64Array | None:
    """Return the values of a property or a measured shape, or None where there is none.

    A property of the table goes before a measurement of the same name.
    """
    found = property_values(party.images.properties, name)
    if found is not None:
        return found[0]
    if name in MEASURED:
        return np.asarray(getattr(party.measured, MEASURED[name]), dtype=np.float64)
    return None


def numeric_names(images: ImageSet) -> tuple[str, ...]:
    """Return every name that a cut on these images can use."""
    table = images.properties
    names = () if table is None else tuple(table.colnames)
    numeric = [name for name in names if property_values(table, name) is not None]
    return tuple(dict.fromkeys([*numeric, *MEASURED]))


def check_cuts(cuts: Sequence[Cut], sides: Mapping[str, ImageSet]) -> None:
    """Refuse a cut whose property some named side does not have.

    Raises
    ------
    UsageError
        With the nearest name that is there.
    """
    for cut in cuts:
        for side, images in sides.items():
            names = numeric_names(images)
            if cut.side in (None, side) and cut.property not in names:
                other = "" if cut.side else "; prefix it with sim: or obs: to cut one side"
                raise UsageError(
                    f"--select {cut}: {images.name} has no numeric property {cut.property!r}"
                    f"{other}: {did_you_mean(cut.property, names)}"
                )


def table_cuts(cuts: Sequence[Cut], images: ImageSet) -> tuple[Cut, ...]:
    """Return the cuts on properties of the table, which need no measurement."""
    table = images.properties
    return tuple(cut for cut in cuts if property_values(table, cut.property) is not None)


def apply_cuts(party: Party, cuts: Sequence[Cut]) -> Party:
    """Return what the cuts leave; a row without a value is left out and counted.

    Raises
    ------
    NotComputableError
        If a cut leaves nothing.
    """
    for cut in cuts:
        if cut.side in (None, party.side):
            party = _apply(party, cut)
    return party


def _apply(party: Party, cut: Cut) -> Party:
    values = column(party, cut.property)
    if values is None:
        raise UsageError(f"--select {cut}: {party.images.name} has no such numeric property")
    missing = ~np.isfinite(values)
    keep = ~missing & (values >= cut.low) & (values <= cut.high)
    if not keep.any():
        raise NotComputableError(
            f"--select {cut} leaves none of {len(party)} images of {party.images.name} "
            f"({int(missing.sum())} have no value); widen the interval"
        )
    reasons = [
        f"{cut.property} is missing"
        if missing[row]
        else f"{cut.property} = {values[row]:.4g} is outside {cut.low:g} to {cut.high:g}"
        for row in np.flatnonzero(~keep)
    ]
    left = party.without(~keep, step="select", reasons=reasons)
    return left.noted(
        Step(
            name=f"select {cut}",
            before={"images": len(party), f"mean {cut.property}": _mean(values)},
            after={"images": len(left), f"mean {cut.property}": _mean(values[keep])},
            note=f"{int(missing.sum())} images without a value are left out",
        )
    )


def _mean(values: Float64Array) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


def draw_groups(groups: StrArray, n: int, rng: np.random.Generator) -> BoolArray:
    """Return the images of `n` groups drawn without replacement.

    Examples
    --------
    >>> draw_groups(np.array(["a", "a", "b"]), 1, np.random.default_rng(0)).tolist()
    [False, False, True]
    """
    names = np.unique(groups)
    if n >= len(names):
        return np.ones(len(groups), dtype=bool)
    return np.isin(groups, rng.choice(names, size=n, replace=False))


def standardised_difference(sim: Float64Array, obs: Float64Array) -> float:
    """Return the difference of means over the pooled standard deviation (Austin 2011).

    Examples
    --------
    >>> standardised_difference(np.array([0.0, 2.0]), np.array([1.0, 3.0]))
    -1.0
    """
    spread = np.sqrt((sim.var() + obs.var()) / 2)
    difference = float(sim.mean() - obs.mean())
    if spread == 0:
        return 0.0 if difference == 0 else float(np.copysign(np.inf, difference))
    return difference / float(spread)


def balance_row(name: str, sim: Float64Array, obs: Float64Array) -> BalanceRow | None:
    """Return one row of the balance table over finite values, or None where a side has none."""
    a, b = sim[np.isfinite(sim)], obs[np.isfinite(obs)]
    if len(a) == 0 or len(b) == 0:
        return None
    return BalanceRow(
        property=name,
        sim_mean=float(a.mean()),
        obs_mean=float(b.mean()),
        smd=standardised_difference(a, b),
        n_sim=len(a),
        n_obs=len(b),
    )


def balance_table(
    sim: Party, obs: Party, *, stamps: tuple[Measured, Measured], radius: bool
) -> tuple[BalanceRow, ...]:
    """Return the balance of measured shapes and of every numeric property both sides have.

    Parameters
    ----------
    sim, obs : Party
        The scored images, with the shapes that selection acted on.
    stamps : pair of Measured
        Measurements on the matched stamps, where both sides have the same pixels.
    radius : bool
        Whether sizes were left in (any frame but ``radius``).
    """
    pairs: list[tuple[str, Float64Array, Float64Array]] = [
        (name, getattr(sim.measured, name), getattr(obs.measured, name))
        for name in ("axis_ratio", "concentration")
    ]
    pairs += [
        (f"stamp_{name}", getattr(stamps[0], MEASURED[name]), getattr(stamps[1], MEASURED[name]))
        for name in ("axis_ratio", "concentration", "flux", "neighbours", "sky_rms")
    ]
    if radius:
        pairs.append(("stamp_radius", stamps[0].radius, stamps[1].radius))
    on_obs = numeric_names(obs.images)
    shared = [n for n in numeric_names(sim.images) if n not in MEASURED and n in on_obs]
    for name in shared:
        a, b = column(sim, name), column(obs, name)
        if a is not None and b is not None:
            pairs.append((name, a, b))
    rows = [balance_row(name, a, b) for name, a, b in pairs]
    return tuple(row for row in rows if row is not None)


def mending_cut(sim: Float64Array, obs: Float64Array) -> tuple[float, int] | None:
    """Return the lowest cut on `obs` that brings its mean to that of `sim`, and what is left.

    Examples
    --------
    >>> mending_cut(np.array([0.9, 0.9]), np.array([0.3, 0.6, 0.8, 1.0]))
    (0.8, 2)
    """
    a, b = sim[np.isfinite(sim)], np.sort(obs[np.isfinite(obs)])
    if len(a) == 0 or len(b) == 0 or b.mean() >= a.mean():
        return None
    means = np.cumsum(b[::-1])[::-1] / np.arange(len(b), 0, -1)
    first = int(np.argmax(means >= a.mean())) if (means >= a.mean()).any() else len(b) - 1
    low = float(np.floor(b[first] * 100) / 100)
    return low, int((b >= low).sum())
