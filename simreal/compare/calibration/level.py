"""Level: where nothing differs, 5 % are rejected at 5 %, and p-values are uniform."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simreal.compare.calibration.effort import (
    FEWEST,
    RERUN_FACTOR,
    Effort,
    fit_to,
    load_metric,
    repetitions_for,
    unknown,
)
from simreal.compare.calibration.populations import Population
from simreal.compare.calibration.repeat import Progress, repeated
from simreal.compare.calibration.verdicts import LEVEL, LevelVerdict, judge_levels
from simreal.compare.inference import p_value, permutation_statistics, randomised_p_value
from simreal.core.arrays import Float64Array
from simreal.core.errors import NotComputableError
from simreal.core.seeding import stream

#: One test: the p-value with ties broken at random, and as a comparison reports it; or why not.
Tested = tuple[float, float] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelTrials:
    """One repetition: one sample of the null, every metric tested on it.

    Parameters
    ----------
    population : Population
        Its two sides are one population.
    repetitions : mapping of str to int
        How often each metric is tested; beyond that it is left out.
    seed, n_permutations : int
    round : str
        Names the seeds: a rerun has its own.
    """

    population: Population
    repetitions: Mapping[str, int]
    seed: int
    n_permutations: int
    round: str = "first"

    def __call__(self, repetition: int) -> dict[str, Tested]:
        """Return what every metric says of repetition `repetition`."""
        where = ("calibrate", "level", self.population.name, self.round)
        sample = self.population.draw(stream(self.seed, *where, "draw", str(repetition)))
        found: dict[str, Tested] = {}
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
                continue
            found[name] = randomised_p_value(statistics, rng=rng), p_value(statistics)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelRow:
    """The level of one metric under one null.

    Parameters
    ----------
    metric, null : str
    n : int
        Groups per side.
    repetitions : int
        Those in which the metric could be computed, if there are enough to judge. Whether it can
        follows from the anonymous pool, so that leaving out the others changes no level.
    rejection : float or None
        At 5 %, ties broken at random; None with a `reason`.
    rejection_reported : float or None
        At 5 %, of the p-values as a comparison reports them: ties count against a rejection.
    ks_p : float or None
    band : tuple or None
    passed : bool or None
        Of the rerun where there was one.
    rerun : LevelVerdict or None
        An outlier is repeated once with more repetitions and fresh seeds, and that stands.
    note : str
        What the null was made of.
    reason : str
    """

    metric: str
    null: str
    n: int
    repetitions: int
    rejection: float | None
    rejection_reported: float | None
    ks_p: float | None
    band: tuple[float, float] | None
    passed: bool | None
    rerun: LevelVerdict | None
    note: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cell:
    """One metric under one null, as tested."""

    metric: str
    population: Population
    p_values: Float64Array
    reported: Float64Array
    failures: tuple[str, ...]


def measure_levels(
    populations: Sequence[tuple[Population, int]],
    metrics: Sequence[str],
    *,
    effort: Effort,
    progress: Progress | None = None,
) -> tuple[LevelRow, ...]:
    """Return the level of every metric under every null.

    All cells are one family. Those outside are run once more, with `RERUN_FACTOR` times the
    repetitions and fresh seeds; then the family is judged again, and that stands.

    Parameters
    ----------
    populations : sequence of (Population, int)
        Each null with the repetitions of a fast metric under it.
    metrics : sequence of str
    effort : Effort
    progress : callable(label, done, total), optional

    Returns
    -------
    tuple of LevelRow
    """
    cells = [
        cell
        for population, repetitions in populations
        for cell in _cells(
            LevelTrials(
                population=population,
                repetitions={
                    name: repetitions_for(load_metric(name)[1], repetitions) for name in metrics
                },
                seed=effort.seed,
                n_permutations=effort.n_permutations,
            ),
            effort,
            progress,
        )
    ]
    judged = [i for i, cell in enumerate(cells) if len(cell.p_values) >= FEWEST]
    first = dict(zip(judged, judge_levels([cells[i].p_values for i in judged]), strict=True))
    again = {
        i: _rerun(cells[i], verdict, effort, progress)
        for i, verdict in first.items()
        if not verdict.passed
    }
    standing = judge_levels([again[i] if i in again else cells[i].p_values for i in judged])
    last = dict(zip(judged, standing, strict=True))
    return tuple(
        _row(cell, first.get(i), last.get(i), rerun=i in again) for i, cell in enumerate(cells)
    )


def _cells(task: LevelTrials, effort: Effort, progress: Progress | None) -> list[_Cell]:
    found = repeated(
        task,
        range(max(task.repetitions.values())),
        workers=effort.workers,
        label=f"level, {task.population.name}{'' if task.round == 'first' else ', again'}",
        progress=progress,
    )
    return [_cell(name, task.population, found) for name in task.repetitions]


def _cell(name: str, population: Population, found: Sequence[Mapping[str, Tested]]) -> _Cell:
    tested = [one[name] for one in found if name in one]
    pairs = [one for one in tested if not isinstance(one, str)]
    return _Cell(
        metric=name,
        population=population,
        p_values=np.array([randomised for randomised, _ in pairs]),
        reported=np.array([reported for _, reported in pairs]),
        failures=tuple(one for one in tested if isinstance(one, str)),
    )


def _rerun(
    cell: _Cell, verdict: LevelVerdict, effort: Effort, progress: Progress | None
) -> Float64Array:
    task = LevelTrials(
        population=cell.population,
        repetitions={cell.metric: RERUN_FACTOR * verdict.repetitions},
        seed=effort.seed,
        n_permutations=effort.n_permutations,
        round="rerun",
    )
    return _cells(task, effort, progress)[0].p_values


def _row(
    cell: _Cell, first: LevelVerdict | None, last: LevelVerdict | None, *, rerun: bool
) -> LevelRow:
    tried = len(cell.p_values) + len(cell.failures)
    return LevelRow(
        metric=cell.metric,
        null=cell.population.name,
        n=cell.population.n,
        repetitions=tried if first is None else len(cell.p_values),
        rejection=None if first is None else first.rejection,
        rejection_reported=None if first is None else float(np.mean(cell.reported <= LEVEL)),
        ks_p=None if first is None else first.ks_p,
        band=None if first is None else first.band,
        passed=None if last is None else last.passed,
        rerun=last if rerun else None,
        note=cell.population.note,
        reason=unknown(cell.failures, tried),
    )
