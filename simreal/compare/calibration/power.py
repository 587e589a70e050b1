"""Power: how often a difference of known size is seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simreal.compare.calibration.effort import (
    FEWEST,
    Effort,
    fit_to,
    load_metric,
    repetitions_for,
    unknown,
)
from simreal.compare.calibration.populations import GaussianPair
from simreal.compare.calibration.repeat import Progress, repeated
from simreal.compare.calibration.verdicts import LEVEL, lowest_rate
from simreal.compare.inference import p_value, permutation_statistics
from simreal.core.errors import NotComputableError
from simreal.core.seeding import stream

#: Larger samples cost more and have less to tell: a fifth of the repetitions.
LARGE_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A difference of known size, and what is asked of the metrics there.

    Parameters
    ----------
    name : str
    pair : GaussianPair
    goals : mapping of str to float
        Power that a metric must reach; others are reported.
    share : float
        Share of the repetitions.
    """

    name: str
    pair: GaussianPair
    goals: Mapping[str, float]
    share: float = 1.0


#: Hotelling's T², the best test of a shift, sees half a sigma on one axis of 16 at n = 100 in
#: 52 % of the cases, and always at 500.
ALTERNATIVES: tuple[Alternative, ...] = (
    Alternative(
        name="shift 0.5 σ, n = 100",
        pair=GaussianPair(n=100, shift=0.5, name="shift 0.5"),
        goals={"mmd_median": 0.48, "mmd": 0.45},
    ),
    Alternative(
        name="shift 0.5 σ, n = 500",
        pair=GaussianPair(n=500, shift=0.5, name="shift 0.5, n = 500"),
        goals={"mmd_median": 0.99, "mmd": 0.99},
        share=LARGE_SHARE,
    ),
    Alternative(
        name="shift 0.25 σ, n = 100",
        pair=GaussianPair(n=100, shift=0.25, name="shift 0.25"),
        goals={},
    ),
    Alternative(
        name="10 % displaced by 4 σ, n = 100",
        pair=GaussianPair(n=100, contamination=0.1, displacement=4.0, name="contamination"),
        goals={},
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerRow:
    """The power of one metric against one alternative.

    Parameters
    ----------
    metric, alternative : str
    n : int
    shift, contamination : float
        Size of the difference.
    repetitions : int
    power : float or None
        Rejections at 5 %; None with a `reason`.
    goal : float or None
        None where the power is reported only.
    bar : float or None
        The goal, lowered where the repetitions are too few to know it.
    passed : bool or None
    reason : str
    """

    metric: str
    alternative: str
    n: int
    shift: float
    contamination: float
    repetitions: int
    power: float | None
    goal: float | None
    bar: float | None
    passed: bool | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerTrials:
    """One repetition: one sample of the alternative, every metric tested on it."""

    pair: GaussianPair
    repetitions: Mapping[str, int]
    seed: int
    n_permutations: int

    def __call__(self, repetition: int) -> dict[str, bool | str]:
        """Return whether every metric rejects, or why it cannot be computed."""
        where = ("calibrate", "power", self.pair.name)
        sample = self.pair.draw(stream(self.seed, *where, "draw", str(repetition)))
        found: dict[str, bool | str] = {}
        for name, wanted in self.repetitions.items():
            if repetition >= wanted:
                continue
            module, meta = load_metric(name)
            rng = stream(self.seed, *where, "metric", name, str(repetition))
            try:
                metric = fit_to(module, meta, sample, rng=rng)
                statistics = permutation_statistics(
                    metric, sample, self.n_permutations, tail=meta.tail, rng=rng
                )
            except NotComputableError as error:
                found[name] = str(error)
            else:
                found[name] = p_value(statistics) <= LEVEL
        return found


def measure_power(
    metrics: Sequence[str],
    *,
    alternatives: Sequence[Alternative] = ALTERNATIVES,
    effort: Effort,
    progress: Progress | None = None,
) -> tuple[PowerRow, ...]:
    """Return the power of every metric against every alternative."""
    rows: list[PowerRow] = []
    for alternative in alternatives:
        repetitions = max(FEWEST, round(alternative.share * effort.repetitions))
        task = PowerTrials(
            pair=alternative.pair,
            repetitions={
                name: repetitions_for(load_metric(name)[1], repetitions) for name in metrics
            },
            seed=effort.seed,
            n_permutations=effort.n_permutations,
        )
        found = repeated(
            task,
            range(max(task.repetitions.values())),
            workers=effort.workers,
            label=f"power, {alternative.name}",
            progress=progress,
        )
        rows += [_row(name, alternative, [o[name] for o in found if name in o]) for name in metrics]
    return tuple(rows)


def _row(name: str, alternative: Alternative, found: Sequence[bool | str]) -> PowerRow:
    failures = [one for one in found if isinstance(one, str)]
    known = [one for one in found if not isinstance(one, str)]
    power = float(np.mean(known)) if len(known) >= FEWEST else None
    goal = alternative.goals.get(name)
    # A goal of nearly 1 is not lowered by few repetitions: missing it once in a hundred is all
    # it allows at any number.
    bar = (
        None
        if goal is None or power is None
        else goal
        if goal >= 0.99
        else lowest_rate(goal, len(known))
    )
    return PowerRow(
        metric=name,
        alternative=alternative.name,
        n=alternative.pair.n,
        shift=alternative.pair.shift,
        contamination=alternative.pair.contamination,
        repetitions=len(found) if power is None else len(known),
        power=power,
        goal=goal,
        bar=bar,
        passed=None if bar is None or power is None else power >= bar,
        reason=unknown(failures, len(found)),
    )
