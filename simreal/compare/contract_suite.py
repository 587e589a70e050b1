"""What every metric must keep, built in or not: `simreal check` and the tests run the same list.

Each check takes the module of a metric and returns what is wrong in one line, or an empty text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from simreal.compare.contract import Fitted, fit_metric, metric_meta
from simreal.compare.inference import p_value, permutation_statistics
from simreal.compare.run import load_metric
from simreal.compare.sample import Sample
from simreal.core.arrays import Float32Array
from simreal.core.errors import NotComputableError

#: Shifts, in standard deviations along one of six axes, that must read ever further.
SHIFTS = (0.0, 2.0, 3.0, 4.0)

#: True nulls tested at 20 %: 8 of 40 are rejected on average, more than 17 once in 2,000 times.
N_NULLS, LEVEL, MOST_REJECTED = 40, 0.2, 17

#: How much a value may change with the order of the objects: the rounding of float32 sums, and for
#: a fit that starts from a random one (k-means) as much as its own statistic scatters.
ORDER_TOLERANCE, FIT_TOLERANCE = 1e-3, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One check of one metric."""

    check: str
    passed: bool
    detail: str


def judge(name: str) -> tuple[Judged, ...]:
    """Return every check of the metric `name`.

    Raises
    ------
    UsageError
        If there is no such metric.

    Examples
    --------
    >>> all(one.passed for one in judge("energy"))
    True
    """
    module = load_metric(name)
    return tuple(_judged(check, module) for check in CHECKS)


def _judged(check: str, module: ModuleType) -> Judged:
    try:
        detail = CHECKS[check](module)
    except Exception as error:  # noqa: BLE001  # whatever an outsider's code raises is its verdict
        detail = f"{type(error).__name__}: {error}"
    return Judged(check=check, passed=not detail, detail=detail)


def says_what_it_is(module: ModuleType) -> str:
    """META is complete and the module has a docstring."""
    meta = metric_meta(module, module.__name__)
    for field in ("summary", "zero_point", "citation"):
        if not getattr(meta, field):
            return f"META.{field} is empty"
    if meta.minimum_groups < 2:
        return f"META.minimum_groups is {meta.minimum_groups}, allowed is 2 or more"
    return "" if module.__doc__ else "the module has no docstring"


def is_finite_and_repeats(module: ModuleType) -> str:
    """Repeat: the same data and generator give the same finite float."""
    one, other = (_read(module, _cloud(80), _cloud(80, seed=1)) for _ in range(2))
    if not isinstance(one, float) or not np.isfinite(one):
        return f"got {one!r}, allowed is a finite float"
    return "" if one == other else f"got {one} and then {other} with the same generator"


def stays_inside_its_bounds(module: ModuleType) -> str:
    """No value is outside META.bounds, however far the populations are apart."""
    low, high = metric_meta(module, module.__name__).bounds
    for shift in (0.0, 1.0, 30.0):
        value = _read(module, _cloud(60), _cloud(60, shift=shift, seed=1))
        if not low <= value <= high:
            return f"got {value} at a shift of {shift}, META.bounds are {low} to {high}"
    return ""


def does_not_depend_on_the_order(module: ModuleType) -> str:
    """Objects are a set."""
    obs, sim = _cloud(70), _cloud(70, shift=0.5, seed=1)
    shuffled = obs[np.random.default_rng(2).permutation(70)]
    one, other = _read(module, obs, sim), _read(module, shuffled, sim)
    tolerance = FIT_TOLERANCE if hasattr(module, "fit") else ORDER_TOLERANCE
    if abs(one - other) <= 1e-6 + tolerance * abs(one):
        return ""
    return f"got {one}, and {other} with the observed objects in another order"


def reads_more_shift_as_further(module: ModuleType) -> str:
    """Values grow, or fall where META.tail is not the upper one, with the shift."""
    upward = metric_meta(module, module.__name__).tail == "upper"
    values = [
        float(np.mean([_read(module, _cloud(150, seed=s), _shifted(150, x, s)) for s in (1, 2)]))
        for x in SHIFTS
    ]
    rising = np.diff(values) * (1 if upward else -1) > 0
    return "" if rising.all() else f"got {values} at shifts of {SHIFTS} standard deviations"


def leaves_its_inputs_alone(module: ModuleType) -> str:
    """Nobody else's array is written to."""
    obs, sim = _cloud(50), _cloud(50, seed=1)
    before = obs.copy(), sim.copy()
    _read(module, obs, sim)
    same = np.array_equal(obs, before[0]) and np.array_equal(sim, before[1])
    return "" if same else "its inputs were changed"


def many_at_once_equal_one_by_one(module: ModuleType) -> str:
    """Compare the fast path with the definition: they say the same."""
    points = np.concatenate([_cloud(40), _cloud(40, shift=1.0, seed=1)])
    fitted = _fitted(module, points)
    rng = np.random.default_rng(4)
    sim = np.array([rng.permutation(np.arange(80) < 40) for _ in range(6)])
    together = fitted.values(points, sim, ~sim)
    apart = np.concatenate([fitted.values(points, s[None], ~s[None]) for s in sim])
    if np.allclose(together, apart, rtol=1e-5, atol=1e-7):
        return ""
    return f"got {together.tolist()} together and {apart.tolist()} one by one"


def takes_parts_of_unequal_size(module: ModuleType) -> str:
    """Floor and subsamples leave points out, and sides need not be equal."""
    points = np.concatenate([_cloud(60), _cloud(90, shift=0.5, seed=1)])
    position = np.arange(150)
    value = _fitted(module, points).values(points, (position < 40)[None], (position >= 80)[None])
    if value.shape == (1,) and value.dtype == np.float64 and np.isfinite(value).all():
        return ""
    return f"got {value!r}, allowed is one finite number in an array of float64"


def survives_duplicates_and_a_constant_axis(module: ModuleType) -> str:
    """Degenerate data give a finite number or NotComputableError."""
    points = np.repeat(_cloud(60), 2, axis=0)
    points[:, -1] = 0
    sim = (np.arange(120) % 2 == 0)[None]
    try:
        value = _fitted(module, points).values(points, sim, ~sim)
    except NotComputableError:
        return ""
    return "" if np.isfinite(value).all() else f"got {value.tolist()}"


def keeps_its_level(module: ModuleType) -> str:
    """Few true nulls are rejected; `simreal calibrate` judges this with many more."""
    meta = metric_meta(module, module.__name__)
    if meta.on_request:
        return ""
    rejected = 0
    for seed in range(N_NULLS):
        sample = Sample.of(_cloud(40, seed=seed), _cloud(40, seed=seed + 500))
        try:
            fitted = fit_metric(module, sample.pooled, rng=np.random.default_rng(seed))
        except NotComputableError:
            continue
        tested = permutation_statistics(
            fitted, sample, 19, tail=meta.tail, rng=np.random.default_rng(seed)
        )
        rejected += p_value(tested) <= LEVEL
    if rejected <= MOST_REJECTED:
        return ""
    return f"{rejected} of {N_NULLS} true nulls rejected at {LEVEL:.0%}"


CHECKS: Mapping[str, Callable[[ModuleType], str]] = {
    check.__name__: check
    for check in (
        says_what_it_is,
        is_finite_and_repeats,
        stays_inside_its_bounds,
        does_not_depend_on_the_order,
        reads_more_shift_as_further,
        leaves_its_inputs_alone,
        many_at_once_equal_one_by_one,
        takes_parts_of_unequal_size,
        survives_duplicates_and_a_constant_axis,
        keeps_its_level,
    )
}


def _cloud(n: int, *, d: int = 6, shift: float = 0.0, seed: int = 0) -> Float32Array:
    points = np.random.default_rng([seed, n, d]).normal(size=(n, d))
    points[:, 0] += shift
    return points.astype(np.float32)


def _shifted(n: int, shift: float, seed: int) -> Float32Array:
    return _cloud(n, shift=shift, seed=seed + 9)


def _read(module: ModuleType, obs: Float32Array, sim: Float32Array) -> float:
    value: float = module.statistic(obs, sim, rng=np.random.default_rng(5))
    return value


def _fitted(module: ModuleType, points: Float32Array) -> Fitted:
    return fit_metric(module, points, rng=np.random.default_rng(3))
