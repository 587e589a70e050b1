"""Numbers in words: how a value reads, and what it means against its floor."""

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

NOT_AVAILABLE = "not available"

#: Smaller probabilities than this are those of an idealised distribution, not of the data.
LEAST_P = 1e-12

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

#: What each audit verdict allows a reader to conclude.
VERDICTS: Mapping[str, str] = {
    "clean": "Every check is inside its limit: no nuisance was found that could explain the "
    "distance.",
    "warned": "Read the numbers with the reasons below in mind: something other than the "
    "galaxies may contribute to the distance.",
    "underpowered": "Too few objects to rule out even a gross nuisance: nothing was cleared, and "
    "nothing found. Do not rank this simulation on these numbers.",
    "confounded": "Something other than the galaxies differs by more than its limit and may "
    "explain the distance: do not rank this simulation on it.",
}

#: Every verdict as a shape beside its word, so that nothing hangs on colour.
SHAPES: Mapping[str, str] = {
    "clean": "✓", "warned": "△", "confounded": "✗", "red": "✗", "underpowered": "◇",
    "not computable": "–", "reports only": "○", "no limit": "○",
}  # fmt: skip

#: What the standing of one check or reading means.
STANDINGS: Mapping[str, str] = {
    "clean": "the whole 95 % interval lies inside the limit",
    "red": "the whole interval lies outside the limit, also after Holm’s correction over all "
    "readings of the audit",
    "underpowered": "the interval crosses the limit: not shown to be inside it at this n, neither "
    "cleared nor accused",
    "not computable": "there is no number, and the reason is given; that never counts as a pass",
    "reports only": "what may be physics is shown and never vetoes",
}

#: What a row of the controls is.
CONTROL_KINDS: Mapping[str, str] = {
    "comparison": "this comparison",
    "positive": "positive control",
    "negative": "negative control",
    "bridge": "another survey",
    "planted": "planted nuisance",
}

#: What a control has to lie above to show that the distance sees what it should.
MUST_EXCEED: Mapping[str, str] = {
    "positive": "the positive control",
    "simulation": "the simulation",
}

#: How the objects were seen, in words.
GEOMETRIES: Mapping[str, str] = {
    "face-on": "all seen face-on",
    "edge-on": "all seen edge-on",
    "random": "seen from random directions",
    "sky": "seen as they lie on the sky",
}


def number(value: Any, digits: int = 3) -> str:
    """Return a number with `digits` significant digits, integers whole.

    Examples
    --------
    >>> number(0.012345), number(1374), number(-2.0), number(None), number(4.2e-7)
    ('0.0123', '1,374', '−2.00', 'not available', '4.20×10⁻⁷')
    """
    if not _is_number(value):
        return NOT_AVAILABLE
    if isinstance(value, int):
        return _minus(f"{value:,}")
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size > 6:
        mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
        return _minus(mantissa) + "×10" + str(int(power)).translate(_SUPERSCRIPT)
    return _minus(f"{value:,.{max(0, digits - 1 - size)}f}")


def together(value: Any, low: Any, high: Any) -> str:
    """Return ``value [low, high]`` with as many decimals as the interval deserves.

    Examples
    --------
    >>> together(0.5234, 0.4811, 0.5709), together(0.0123, 0.0101, 0.016)
    ('0.523 [0.481, 0.571]', '0.0123 [0.0101, 0.0160]')
    """
    if not _is_number(value):
        return NOT_AVAILABLE
    if not (_is_number(low) and _is_number(high)):
        return number(value)
    width = high - low
    decimals = 3 if width <= 0 else min(8, max(0, 2 - math.ceil(math.log10(width))))
    texts = [_minus(f"{x:,.{decimals}f}") for x in (value, low, high)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def p_value(p: Any, n_permutations: Any = 0) -> str:
    """Return a p-value, and say so when it is the least its permutations can give.

    Examples
    --------
    >>> p_value(0.034), p_value(0.001, 999)
    ('0.034', '0.001 (the least 999 permutations can give)')
    """
    if not _is_number(p):
        return NOT_AVAILABLE
    if p < LEAST_P:
        return "below 10⁻¹²"
    text = f"{p:.2f}" if p >= 0.1 else f"{p:.3f}" if p >= 0.001 else number(p, 1)
    if at_permutation_limit(p, n_permutations):
        return f"{text} (the least {n_permutations:,} permutations can give)"
    return text


def at_permutation_limit(p: Any, n_permutations: Any) -> bool:
    """Say whether no permutation reached the observed value."""
    if not (_is_number(p) and _is_number(n_permutations)) or n_permutations <= 0:
        return False
    return bool(p <= 1.0 / (n_permutations + 1) * (1 + 1e-9))


def percent(fraction: Any) -> str:
    """Return a fraction as a percentage.

    Examples
    --------
    >>> percent(0.9835), percent(1.0), percent(None)
    ('98.4 %', '100 %', 'not available')
    """
    hundredths = 100.0 * fraction if _is_number(fraction) else None
    if not _is_number(hundredths):
        return NOT_AVAILABLE
    return f"{hundredths:.0f} %" if hundredths in (0.0, 100.0) else f"{hundredths:.1f} %"


def signed(value: Any) -> str:
    """Return a number with its sign.

    Examples
    --------
    >>> signed(0.31), signed(-0.05)
    ('+0.310', '−0.0500')
    """
    return f"+{number(value)}" if _is_number(value) and value > 0 else number(value)


def fold(log2_ratio: Any) -> str:
    """Return a log2 ratio of shares in words.

    Examples
    --------
    >>> fold(1.0), fold(-2.0)
    ('2.0 times the observed share', '1/4.0 of the observed share')
    """
    if not _is_number(log2_ratio):
        return NOT_AVAILABLE
    times = 2.0 ** min(abs(log2_ratio), 60.0)
    if log2_ratio >= 0:
        return f"{times:,.1f} times the observed share"
    return f"1/{times:,.1f} of the observed share"


def shown(value: Any) -> str:
    """Return a number, a word or nothing as a table cell.

    Examples
    --------
    >>> shown(3.14159), shown("kpc"), shown(None)
    ('3.14', 'kpc', 'not available')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else number(value)


def limits(check: Mapping[str, Any]) -> str:
    """Return what a check allows.

    Examples
    --------
    >>> limits({"low_limit": 0.95, "high_limit": 1.05}), limits({"high_limit": 0.02})
    ('0.950 to 1.05', 'at most 0.0200')
    """
    low, high = check.get("low_limit"), check.get("high_limit")
    if _is_number(low) and _is_number(high):
        return f"{number(low)} to {number(high)}"
    if _is_number(high):
        return f"at most {number(high)}"
    return f"at least {number(low)}" if _is_number(low) else "no limit"


def allowed(reading: Mapping[str, Any]) -> str:
    """Return what an audit allows of a reading.

    Examples
    --------
    >>> allowed({"limit_low": 0.98, "limit_high": 1.02}), allowed({"limit_high": 0.55})
    ('0.980 to 1.02', 'at most 0.550')
    >>> allowed({"limit_low": -0.02, "limit_high": 0.02})
    '±0.0200'
    """
    low, high = reading.get("limit_low"), reading.get("limit_high")
    if _is_number(low) and _is_number(high) and low < 0 and math.isclose(-low, high):
        return f"±{number(high)}"
    return limits({"low_limit": low, "high_limit": high})


def reading_value(reading: Mapping[str, Any]) -> str:
    """Return a reading with its interval and unit, or why there is none.

    Examples
    --------
    >>> reading_value({"value": 1.1, "low": 1.06, "high": 1.14, "unit": ""})
    '1.100 [1.060, 1.140]'
    >>> reading_value({"value": 1e9, "low": 1e9, "high": 1e9, "unit": "ADU"})
    '1.00×10⁹ ADU'
    >>> reading_value({"value": None, "reason": "no sky"})
    'not computable: no sky'
    """
    if not _is_number(reading.get("value")):
        return f"not computable: {reading.get('reason') or 'no reason was given'}"
    text = interval(reading)
    return f"{text} {reading['unit']}" if reading.get("unit") else text


def interval(reading: Mapping[str, Any]) -> str:
    """Return the value of a reading with its interval, without its unit.

    Examples
    --------
    >>> interval({"value": 0.04, "low": 0.04, "high": 0.04})  # exact: a share of bit patterns
    '0.0400'
    """
    value, low, high = (reading.get(key) for key in ("value", "low", "high"))
    if not (_is_number(low) and _is_number(high)):
        return number(value)
    if low == high:
        return number(value)
    if max(abs(low), abs(high)) >= 1e5:
        return f"{number(value)} [{number(low)}, {number(high)}]"
    return together(value, low, high)


def times_limit(exceedance: Any) -> str:
    """Return a distance from equality in units of the limit.

    Examples
    --------
    >>> times_limit(4.83), times_limit(0.04), times_limit(250.0), times_limit(3e9)
    ('4.8', '0.04', '250', 'over 10,000')
    """
    if not _is_number(exceedance):
        return NOT_AVAILABLE
    if exceedance > 1e4:
        return "over 10,000"
    return f"{exceedance:.{0 if exceedance >= 100 else 1 if exceedance >= 1 else 2}f}"


def reading_text(reading: Mapping[str, Any]) -> str:
    """Return one reading as half a sentence.

    Examples
    --------
    >>> reading_text({"name": "sky rms", "value": 1.1, "low": 1.06, "high": 1.14, "unit": "",
    ...               "limit_low": 0.98, "limit_high": 1.02, "exceedance": 4.8})
    'sky rms 1.100 [1.060, 1.140], allowed 0.980 to 1.02: 4.8 × the limit'
    """
    text = f"{reading['name']} {reading_value(reading)}"
    if not _is_number(reading.get("value")) or not _is_number(reading.get("limit_high")):
        return text
    times = times_limit(reading.get("exceedance"))
    return f"{text}, allowed {allowed(reading)}: {times} × the limit"


def metric_name(row: Mapping[str, Any]) -> str:
    """Return the metric's title, or its name with spaces.

    Examples
    --------
    >>> metric_name({"metric": "sliced_wasserstein"})
    'sliced wasserstein'
    """
    return str(row.get("title") or str(row["metric"]).replace("_", " "))


def times_floor(row: Mapping[str, Any]) -> str:
    """Return how far a value lies above its floor, in a form metrics can share.

    A ratio to the floor's median where the floor is a positive number; for statistics whose
    floor straddles zero (unbiased ones) a ratio means nothing, so it is the distance from
    the median in half-widths of the floor's band.

    Examples
    --------
    >>> floor = {"median": 0.08, "low": 0.07, "high": 0.1}
    >>> times_floor({"value": 0.52, "floor": floor})
    '6.5 × the floor'
    """
    value, floor = row.get("value"), row.get("floor")
    if not _is_number(value) or not floor:
        return NOT_AVAILABLE
    median, low, high = (float(floor[key]) for key in ("median", "low", "high"))
    if low > 0:
        return f"{value / median:.1f} × the floor"
    if high <= low:
        return NOT_AVAILABLE
    steps = f"{(value - median) / (0.5 * (high - low)):+.1f}"
    return f"{_minus(steps)} half-widths of the floor"


def meaning(row: Mapping[str, Any], *, sim: str, obs: str) -> str:
    """Return in plain words what one comparison says about `sim`, without further claims."""
    if not _is_number(row.get("value")):
        return f"Not computed: {row.get('reason') or 'no reason was given'}."
    floor = row.get("floor")
    if not floor:
        return "No floor was measured for this metric, so the value alone says little."
    return f"{_place(row, floor, sim=sim, obs=obs)} {_chance(row)}"


def _place(row: Mapping[str, Any], floor: Mapping[str, Any], *, sim: str, obs: str) -> str:
    """Say on which side of the floor a value is, the far side being the one its metric names."""
    value, tail = row["value"], row.get("tail") or "upper"
    if floor["low"] <= value <= floor["high"]:
        return (
            f"Inside the floor: with {number(row.get('n_sim'))} objects a side this metric does "
            f"not tell {sim} from a further sample of {obs}. That bounds the difference; it does "
            "not prove likeness."
        )
    above = value > floor["high"]
    if tail != "both" and above != (tail == "upper"):
        return (
            f"{'Above' if above else 'Below'} the floor, on the near side: {sim} is closer to "
            f"{obs} than disjoint parts of {obs} are to each other. Look for images that both "
            "sides share, or for a side with too little variety."
        )
    where = f"Above the floor ({times_floor(row)})" if above else "Below the floor, the far side"
    near_end, edge = (row.get("low"), floor["high"]) if above else (row.get("high"), floor["low"])
    if _is_number(near_end) and (near_end > edge if above else near_end < edge):
        return (
            f"{where}: {sim} differs from {obs} by more than disjoint parts of {obs} differ from "
            f"each other, and the whole interval lies {'above' if above else 'below'} the floor's "
            "band."
        )
    return (
        f"{where}, but the interval reaches into the floor's band: a hint, not yet a clear "
        "difference."
    )


def _chance(row: Mapping[str, Any]) -> str:
    adjusted, p = row.get("p_adjusted"), row.get("p_value")
    chosen = adjusted if _is_number(adjusted) else p
    if not _is_number(chosen):
        return "No p-value was computed."
    after = "Holm-adjusted " if _is_number(adjusted) else ""
    if at_permutation_limit(p, row.get("n_permutations")):
        return (
            f"None of {row['n_permutations']:,} shuffles of the side labels reached this value "
            f"({after}p = {p_value(chosen)})."
        )
    verdict = "are unlikely to" if chosen <= 0.05 else "can"
    return (
        f"Two samples of one population {verdict} differ this much ({after}p = {p_value(chosen)})."
    )


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _is_number(value: Any) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)
