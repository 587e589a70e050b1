"""A10: changes to both sides alike must not change which set is the nearer one."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import stats

from simreal.audit.contract import CheckMeta, Found, Given, Tools
from simreal.audit.controls import (
    BLIND_BY_CONSTRUCTION,
    REACH,
    ControlSet,
    control_sets,
    half_width,
    quick,
)
from simreal.audit.inference import Asked, not_computable, reading
from simreal.core.arrays import Float32Array, Float64Array
from simreal.core.audit import Reading
from simreal.core.errors import SimrealError
from simreal.core.images import ArraySource, ImageSet
from simreal.core.results import Comparison

META = CheckMeta(
    code="A10",
    title="invariance",
    question="Does the order of the distances survive a change that both sides share?",
    cost="full",
    names_cause=False,
    mend=(
        "train the encoder with this change among its augmentations, or say in which stretch, "
        "frame or encoding the distances hold"
    ),
)

NAME = "order of the distances"
#: Largest 1 - tau: Kendall's tau of the order of the rows must be .8 or more.
DISORDER_LIMIT = 0.2
FEWEST_ROWS = 4
DRAWS = 400

#: Metric -> row -> (value, standard error).
_Distances = Mapping[str, Mapping[str, tuple[float, float]]]


def run(given: Given, *, rng: np.random.Generator) -> Found:
    """Run the check."""
    tools = given.tools
    asked = Asked(name=NAME, limit=DISORDER_LIMIT, scale="share", vetoes=False)
    if tools is None or not tools.transforms:
        return Found(readings=[not_computable(asked, "no change to both sides was handed over")])
    lead = next(iter(tools.embed))
    try:
        controls = control_sets(given, tools)
        sets = [one for one in controls.sets if _has_an_order(one, lead)]
        if len(sets) < FEWEST_ROWS:
            reason = f"{len(sets)} rows have no order to speak of, needed are {FEWEST_ROWS}"
            return Found(readings=[not_computable(asked, reason)])
        unchanged = _distances(sets, controls.reference, None, tools)
    except SimrealError as error:
        return Found(readings=[not_computable(asked, str(error))])
    readings = []
    for name, change in tools.transforms.items():
        try:
            changed = _distances(sets, controls.reference, change, tools)
        except SimrealError as error:
            readings.append(not_computable(_asked(name), str(error)))
            continue
        readings.append(_disorder(name, unchanged, changed, controls.n, rng))
    return Found(
        readings=readings,
        pictures={"order": _bars(readings)},
        notes=(f"unchanged, in {lead}: {_in_words(unchanged)}",),
    )


def _has_an_order(one: ControlSet, variant: str) -> bool:
    """Leave out rows that are another one's twin: their order among themselves is chance."""
    if one.images is None or (one.key, variant) in BLIND_BY_CONSTRUCTION:
        return False
    return one.meta is None or one.meta.of == "obs"


def _asked(name: str) -> Asked:
    return Asked(
        name=f"both sides {name}, 1 - Kendall tau",
        limit=DISORDER_LIMIT,
        scale="share",
        vetoes=False,
        note="of the order of the rows, mean over the metrics",
    )


def _distances(
    sets: Sequence[ControlSet],
    reference: ImageSet,
    change: Callable[[Float32Array], Float32Array] | None,
    tools: Tools,
) -> _Distances:
    embed, distance = next(iter(tools.embed.values())), quick(tools)
    against = embed(_changed(reference, change))
    out: dict[str, dict[str, tuple[float, float]]] = {}
    for one in sets:
        if one.images is None:
            continue
        for found in distance(against, embed(_changed(one.images, change))):
            if found.estimate.value is not None:
                out.setdefault(found.metric, {})[one.title] = _with_error(found)
    return out


def _changed(images: ImageSet, change: Callable[[Float32Array], Float32Array] | None) -> ImageSet:
    if change is None:
        return images
    pixels = np.asarray(images.images.read(slice(None)), dtype=np.float32)
    return images.replace(images=ArraySource(change(pixels)))


def _with_error(found: Comparison) -> tuple[float, float]:
    value = 0.0 if found.estimate.value is None else found.estimate.value
    return value, half_width(found.estimate.low, found.estimate.high) / REACH


def _disorder(
    name: str, unchanged: _Distances, changed: _Distances, n: int, rng: np.random.Generator
) -> Reading:
    """Return 1 - tau with the spread that the errors of the distances give it."""
    taus, draws = [], []
    for metric, before in unchanged.items():
        titles = [title for title in before if title in changed.get(metric, {})]
        if len(titles) < FEWEST_ROWS:
            continue
        both = [np.array([of[title] for title in titles]) for of in (before, changed[metric])]
        taus.append(kendall(both[0][:, 0], both[1][:, 0]))
        draws.append(
            [kendall(_redrawn(both[0], rng), _redrawn(both[1], rng)) for _ in range(DRAWS)]
        )
    if not taus:
        return not_computable(_asked(name), "too few rows have a distance after the change")
    error = float(np.std(np.mean(draws, axis=0), ddof=1))
    return reading(_asked(name), 1.0 - float(np.mean(taus)), error, n=(n, n))


def _redrawn(rows: Float64Array, rng: np.random.Generator) -> Float64Array:
    return np.asarray(rng.normal(rows[:, 0], rows[:, 1]))


def kendall(one: Float64Array, other: Float64Array) -> float:
    """Return Kendall's tau of two orders, 0 where either is constant.

    Examples
    --------
    >>> kendall(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])).__round__(3)
    0.333
    """
    tau = float(stats.kendalltau(one, other).statistic)
    return tau if np.isfinite(tau) else 0.0


def _in_words(distances: _Distances) -> str:
    parts = []
    for metric, rows in distances.items():
        ordered = sorted(rows.items(), key=lambda item: item[1][0])
        listed = ", ".join(f"{title} {value:.3g}" for title, (value, _) in ordered)
        parts.append(f"{metric}: {listed}")
    return "; ".join(parts)


def _bars(readings: Sequence[Reading]) -> dict[str, object]:
    rows = [
        {"label": one.name, "value": one.value, "low": one.low, "high": one.high}
        for one in readings
        if one.value is not None
    ]
    return {
        "kind": "bars",
        "rows": rows,
        "x_label": "1 - Kendall tau",
        "limit": DISORDER_LIMIT,
        "caption": "change of the order of all rows under a change to both sides",
    }
