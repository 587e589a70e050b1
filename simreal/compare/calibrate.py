"""Calibrate: does what the statistics say of themselves hold, for any metric by name.

Level, power, coverage and planted errors need nothing but numbers; a null made of images and the
ladder of damage are brought by the pipeline, as populations and as rows. Every cell draws from
streams named after it: a metric added tomorrow changes no other number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

from simreal.compare.calibration.coverage import EFFECTS, CoverageRow, measure_coverage
from simreal.compare.calibration.effort import Effort
from simreal.compare.calibration.ladder import LadderRow, by_metric, monotone_kinds
from simreal.compare.calibration.level import LevelRow, measure_levels
from simreal.compare.calibration.planted import PlantedRow, PlantedTrials, planted_rows
from simreal.compare.calibration.populations import Population
from simreal.compare.calibration.power import ALTERNATIVES, Alternative, PowerRow, measure_power
from simreal.compare.calibration.repeat import Progress, repeated

Part: TypeAlias = Literal["level", "power", "coverage", "ladder", "planted"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One line of the pass/fail table.

    Parameters
    ----------
    part, name, cell : str
        Which part, which metric or planted error, under which conditions.
    value, bar : str
        What was measured and what is allowed, as text.
    passed : bool or None
        None where a number is reported without a bar, or there is none.
    note : str
    """

    part: Part
    name: str
    cell: str
    value: str
    bar: str
    passed: bool | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a calibration found.

    Parameters
    ----------
    level, power, coverage, ladder, planted : tuple of rows
        Empty for parts that were not run.
    judged : frozenset of str
        Metrics whose ladder has a bar; that of others is reported.
    """

    level: tuple[LevelRow, ...] = ()
    power: tuple[PowerRow, ...] = ()
    coverage: tuple[CoverageRow, ...] = ()
    ladder: tuple[LadderRow, ...] = ()
    planted: tuple[PlantedRow, ...] = ()
    judged: frozenset[str] = field(default_factory=frozenset)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Return the pass/fail table."""
        ladders = by_metric(self.ladder).items()
        return (
            *map(_level_verdict, self.level),
            *map(_power_verdict, self.power),
            *map(_coverage_verdict, self.coverage),
            *(_ladder_verdict(name, rows, name in self.judged) for name, rows in ladders),
            *map(_planted_verdict, self.planted),
        )

    @property
    def passed(self) -> bool:
        """Whether nothing failed its bar."""
        return not any(verdict.passed is False for verdict in self.verdicts)


def calibrate(
    parts: Sequence[Part],
    *,
    metrics: Mapping[Part, Sequence[str]],
    populations: Sequence[tuple[Population, int]],
    alternatives: Sequence[Alternative] = ALTERNATIVES,
    effects: Sequence[float] = EFFECTS,
    effort: Effort,
    progress: Progress | None = None,
) -> Calibration:
    """Run the parts that need no images.

    Parameters
    ----------
    parts : sequence of str
        Of ``level``, ``power``, ``coverage`` and ``planted``.
    metrics : mapping
        Names of the metrics of each part.
    populations : sequence of (Population, int)
        The nulls of the level, each with the repetitions of a fast metric under it.
    alternatives, effects : sequences
        Of power and coverage.
    effort : Effort
    progress : callable(label, done, total), optional
    """
    found = Calibration()
    # The quickest first: what is broken shows at once.
    if "planted" in parts:
        found = replace(found, planted=measure_planted(effort, progress=progress))
    if "level" in parts:
        levels = measure_levels(populations, metrics["level"], effort=effort, progress=progress)
        found = replace(found, level=levels)
    if "power" in parts:
        power = measure_power(
            metrics["power"], alternatives=alternatives, effort=effort, progress=progress
        )
        found = replace(found, power=power)
    if "coverage" in parts:
        coverage = measure_coverage(
            metrics["coverage"], effects=effects, effort=effort, progress=progress
        )
        found = replace(found, coverage=coverage)
    return found


def measure_planted(effort: Effort, *, progress: Progress | None = None) -> tuple[PlantedRow, ...]:
    """Return what became of the planted errors of protocol."""
    task = PlantedTrials(seed=effort.seed, n_permutations=effort.n_permutations)
    trials = repeated(
        task,
        range(effort.planted_repetitions),
        workers=effort.workers,
        label="planted errors",
        progress=progress,
    )
    return planted_rows(trials)


def _level_verdict(row: LevelRow) -> Verdict:
    cell = f"{row.null}, n = {row.n}, R = {row.repetitions}"
    if row.rejection is None or row.band is None or row.ks_p is None:
        return _absent("level", row.metric, cell, row.reason)
    value = f"{_rate(row.rejection)}, KS {row.ks_p:.2g}"
    bar = f"{_range(row.band)}, uniform p"
    if row.rerun is not None:
        again = row.rerun
        value += (
            f"; again at R = {again.repetitions}: {_rate(again.rejection)}, KS {again.ks_p:.2g}"
        )
        bar += f"; {_range(again.band)}"
    return Verdict(
        part="level",
        name=row.metric,
        cell=cell,
        value=value,
        bar=bar,
        passed=row.passed,
        note=row.reason,
    )


def _power_verdict(row: PowerRow) -> Verdict:
    cell = f"{row.alternative}, R = {row.repetitions}"
    if row.power is None:
        return _absent("power", row.metric, cell, row.reason)
    return Verdict(
        part="power",
        name=row.metric,
        cell=cell,
        value=_rate(row.power),
        bar="reported" if row.bar is None else f"{_rate(row.bar)} or more",
        passed=row.passed,
        note=row.reason,
    )


def _coverage_verdict(row: CoverageRow) -> Verdict:
    cell = f"shift {row.effect:g} σ, n = {row.n}, R = {row.repetitions}"
    if row.coverage is None or row.band is None:
        return _absent("coverage", row.metric, cell, row.reason)
    return Verdict(
        part="coverage",
        name=row.metric,
        cell=cell,
        value=_rate(row.coverage),
        bar=_range(row.band),
        passed=row.passed,
        note=row.reason,
    )


def _ladder_verdict(name: str, rows: Sequence[LadderRow], judged: bool) -> Verdict:  # noqa: FBT001
    known = [row for row in rows if row.monotone is not None]
    if not known:
        return _absent("ladder", name, f"{len(rows)} kinds", rows[0].reason)
    rising, needed = monotone_kinds(rows)
    at_floor = sum(bool(row.starts_at_floor) for row in known)
    return Verdict(
        part="ladder",
        name=name,
        cell=f"{len(known)} kinds, {len(known[0].severities)} levels, "
        f"{len(known[0].seed_spearman)} seeds, n = {known[0].n}",
        value=f"rises on {rising}, starts at the floor on {at_floor}",
        bar=f"{needed} and {len(known)} or more" if judged else "reported",
        passed=(rising >= needed and at_floor == len(known)) if judged else None,
        note=", ".join(row.kind for row in known if not row.monotone),
    )


def _planted_verdict(row: PlantedRow) -> Verdict:
    value = f"{_rate(row.rejection)}, right protocol {_rate(row.correct)}"
    if row.auc is not None and row.correct_auc is not None:
        value += f"; AUC {_rate(row.auc)}, right protocol {_rate(row.correct_auc)}"
    return Verdict(
        part="planted",
        name=row.name,
        cell=f"R = {row.repetitions}",
        value=value,
        bar=f"flagged; right protocol in {_range(row.band)}, uniform p",
        passed=row.passed,
    )


def _absent(part: Part, name: str, cell: str, reason: str) -> Verdict:
    return Verdict(
        part=part, name=name, cell=cell, value="not computable", bar="", passed=None, note=reason
    )


def _rate(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _range(band: tuple[float, float]) -> str:
    return f"[{_rate(band[0])}, {_rate(band[1])}]"
