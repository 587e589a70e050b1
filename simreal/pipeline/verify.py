"""Verify a run or a board: recompute every number from the embeddings and refuse what differs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from simreal.core.benchmark_cards import (
    Benchmark,
    BenchmarkRow,
    ObservedList,
    benchmark_names,
    benchmark_path,
    load_benchmark,
    read_benchmark,
    read_observed_list,
)
from simreal.core.embedding import Embedding
from simreal.core.errors import SimrealError, StorageError, UsageError
from simreal.pipeline import fragments
from simreal.pipeline.board import build_board, check_metrics, read_embeddings
from simreal.pipeline.conformity import (
    OBSERVED,
    objections,
    overlap_objections,
    own_objections,
)
from simreal.pipeline.leaderboard import BOARD, CARD, read_board, read_runs
from simreal.pipeline.manifest import altered_files, check_manifest
from simreal.pipeline.settings import RunSettings
from simreal.pipeline.stages import read_json

#: Relative difference that another machine's rounding may make, and the same for p-values,
#: whose ties may fall to the other side.
TOLERANCE = 1e-4
P_TOLERANCE = 0.02

_CHECKED = ("value", "low", "high", "ceiling", "excess", "excess_low", "excess_high")
_P_VALUES = ("p_value", "p_adjusted")


class NotVerifiedError(SimrealError):
    """A run or a board that is not what it says it is."""

    exit_code = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was verified.

    Parameters
    ----------
    what : str
        "run" or "board".
    checked : tuple of str
        What was checked and holds, in words.
    """

    what: str
    checked: tuple[str, ...]


def verify(folder: Path, *, card: str | None = None, runs: Path | None = None) -> Verified:
    """Verify the run or the board in a folder.

    Parameters
    ----------
    folder : Path
    card : str, optional
        A benchmark the run or the board must conform to; for a board, by default the shipped card
        of its name, or the copy beside it.
    runs : Path, optional
        Where the runs of a board lie; default ``FOLDER/runs``.

    Raises
    ------
    NotVerifiedError
        With the first reason and how many there are.
    """
    if (folder / BOARD).is_file():
        return verify_board(folder, card=card, runs=runs)
    if not (folder / "results.json").is_file():
        raise UsageError(
            f"{folder}: neither a run (results.json) nor a board ({BOARD}); name the folder that "
            "'simreal compare' or 'simreal leaderboard' wrote"
        )
    return verify_run(folder, card=card)


def verify_run(folder: Path, *, card: str | None = None) -> Verified:
    """Verify a run folder, on its own or against a benchmark.

    Raises
    ------
    NotVerifiedError
        With the first reason and how many there are.
    """
    checked = []
    _refuse(folder, altered_files(folder))
    checked.append("every file is as the run left it")
    results, embeddings = read_json(folder / "results.json"), read_embeddings(folder)
    _refuse(folder, own_objections(results, embeddings))
    checked.append("the embeddings are of the images and the encoder that the results speak of")
    if (folder / OBSERVED).is_file():
        _refuse(folder, overlap_objections(folder))
        checked.append("no scored observation was used to train the encoder")
    if card is not None:
        found, path = load_benchmark(card)
        check_metrics(found)
        observed = read_observed_list(found, path.parent)
        row = _row_of(found, results)
        _refuse(
            folder,
            objections(folder, results, embeddings, card=found, row=row, observed=observed),
        )
        checked.append(f"settings, seed, encoder and observed list are those of {found.name}")
    n = 0
    for variant, sides in embeddings.items():
        again = recomputed(results, variant, sides)
        _refuse(folder, list(differing(results["comparisons"], again, variant)))
        n += len(again)
    checked.append(f"{n} comparisons recomputed from the embeddings agree")
    return Verified(what="run", checked=tuple(checked))


def _row_of(card: Benchmark, results: Mapping[str, Any]) -> BenchmarkRow:
    """Return the row of a card that a run is for: the one with its simulation, or an entry."""
    sim = str(results["provenance"]["settings"]["sim"])
    for row in card.rows:
        if row.sim == sim:
            return row
    return BenchmarkRow(name="entry", kind="simulation", sim=sim)


def _refuse(folder: Path, reasons: Sequence[str]) -> None:
    if reasons:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        raise NotVerifiedError(f"{folder}: not verified: {reasons[0]}{more}")


def recomputed(
    results: Mapping[str, Any], variant: str, sides: Mapping[str, Embedding]
) -> list[dict[str, Any]]:
    """Return the comparisons of one variant, recomputed from its embeddings."""
    from simreal.compare.run import compare_embeddings
    from simreal.compare.settings import InferenceSettings

    settings = RunSettings.checked(
        results["provenance"]["settings"], where="results.json: provenance.settings"
    )
    inference = InferenceSettings(
        n_permutations=settings.permutations,
        n_floor_splits=settings.floor_splits,
        strata=settings.strata,
        strata_bins=settings.strata_bins,
        power=False,
    )
    obs, sim = sides["obs"], sides["sim"]
    compared = compare_embeddings(
        obs,
        sim,
        metrics=settings.metrics,
        settings=inference,
        # Results that speak of another seed than they were made with give other numbers here.
        seed=results["seed"],
        allow=obs.setup.differs_from(sim.setup),
        variant=variant,
        ceiling=sides.get("ceiling"),
    )
    return fragments.comparison_rows(compared)


def differing(
    said: Sequence[Mapping[str, Any]], again: Sequence[Mapping[str, Any]], variant: str
) -> Iterator[str]:
    """Yield where the comparisons of a run differ from recomputed ones, in words."""
    known = {row["metric"]: row for row in said if row["variant"] == variant}
    for row in again:
        metric = row["metric"]
        if metric not in known:
            yield f"{variant} {metric} is missing from the results"
            continue
        had = known[metric]
        pairs = [(name, had.get(name), row[name], TOLERANCE) for name in _CHECKED]
        pairs += [(name, had.get(name), row[name], P_TOLERANCE) for name in _P_VALUES]
        for name in ("median", "low", "high"):
            floors = [(one["floor"] or {}).get(name) for one in (had, row)]
            pairs.append((f"floor {name}", floors[0], floors[1], TOLERANCE))
        scale = max((abs(had.get(n) or 0.0) for n in ("value", "low", "high")), default=0.0)
        for name, one, other, tolerance in pairs:
            if not close(one, other, tolerance=tolerance, scale=scale):
                yield (
                    f"{variant} {metric}: the results say {name} = {_number(one)}, its embeddings "
                    f"give {_number(other)}"
                )
    for metric in known.keys() - {row["metric"] for row in again}:
        yield f"{variant} {metric} was added to the results"


def close(one: Any, other: Any, *, tolerance: float, scale: float = 0.0) -> bool:
    """Return whether two numbers, or their absences, are the same but for rounding.

    Examples
    --------
    >>> close(0.1, 0.1 + 1e-9, tolerance=1e-6), close(None, 0.0, tolerance=1e-6)
    (True, False)
    """
    if one is None or other is None:
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        at_most = tolerance * max(abs(one), abs(other), scale, 1e-6)
        return math.isclose(one, other, rel_tol=0, abs_tol=at_most)
    return bool(one == other)


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def verify_board(folder: Path, *, card: str | None = None, runs: Path | None = None) -> Verified:
    """Verify a board: its card, its rows and every number, recomputed from the run folders.

    Raises
    ------
    NotVerifiedError
        With the first reason and how many there are.
    """
    said = read_board(folder)
    found, observed = _card_of(folder, said, card)
    _refuse(folder, list(_card_changes(said, found)))
    check_metrics(found)
    checked = [f"the board is of the card {found.name}, digest {found.digest[:12]}"]
    asked, had = [row.name for row in found.rows], {row["name"]: row for row in said["rows"]}
    _refuse(folder, [f"fewer rows: {name} is missing" for name in asked if name not in had])
    extra = [name for name, row in had.items() if name not in asked and not row.get("entered")]
    _refuse(folder, [f"the row {name} is not on the card" for name in extra])
    place = runs or folder / "runs"
    entered = [_sim_of(place, name) for name, row in had.items() if row.get("entered")]
    read = read_runs(found, observed, place, entered=entered)
    for run in read:
        if had[run.row.name]["status"] == "incomplete":
            continue
        check_manifest(run.folder)
        _refuse(folder, [f"{run.row.name}: {run.reason}"] if run.reason else [])
        if run.row.fault is None:
            _refuse(folder, [f"{run.row.name}: {one}" for one in overlap_objections(run.folder)])
    checked.append(f"{len(read)} rows: settings, seed, encoder, observed list; no overlap")
    # A row that could not be made is told apart by its reason alone, which the board keeps.
    kept = [
        replace(run, reason=had[run.row.name]["reason"])
        if run.reason and had[run.row.name]["status"] == "incomplete"
        else run
        for run in read
    ]
    again = build_board(found, kept)
    _refuse(folder, list(board_changes(said, again)))
    checked.append("every number of the board recomputed from the embeddings agrees")
    return Verified(what="board", checked=tuple(checked))


def _sim_of(runs: Path, name: str) -> str:
    """Return the collection that was entered as a row."""
    path = runs / name / "results.json"
    try:
        return str(read_json(path)["provenance"]["settings"]["sim"])
    except (OSError, ValueError, KeyError):
        raise StorageError(f"{path}: the run of the row {name} is missing") from None


def _card_of(
    folder: Path, said: Mapping[str, Any], card: str | None
) -> tuple[Benchmark, ObservedList]:
    """Return the card a board is held against, and its observed list."""
    if card is not None:
        found, path = load_benchmark(card)
    else:
        name = str(said["card"].get("name", ""))
        path = benchmark_path(name) if name in benchmark_names() else folder / CARD
        found = read_benchmark(path)
    return found, read_observed_list(found, path.parent)


def _card_changes(said: Mapping[str, Any], card: Benchmark) -> Iterator[str]:
    if said["card"]["digest"] != card.digest:
        yield (
            f"the card was changed: the board was built with {said['card']['digest'][:12]}, "
            f"{card.name} is {card.digest[:12]}; a released card never changes"
        )


def board_changes(said: Any, again: Any, where: str = "board") -> Iterator[str]:
    """Yield where a board differs from the one its runs give, by the path of the value."""
    again = fragments.plain(again) if where == "board" else again
    if isinstance(said, Mapping) and isinstance(again, Mapping):
        for key in dict.fromkeys([*said, *again]):
            if where == "board.card" and key == "superseded_by":
                continue
            if key not in said or key not in again:
                yield f"{where}.{key} is {'missing' if key not in said else 'not of these runs'}"
                continue
            yield from board_changes(said[key], again[key], f"{where}.{key}")
    elif isinstance(said, list | tuple) and isinstance(again, list | tuple):
        if len(said) != len(again):
            yield f"{where} holds {len(said)} entries, its runs give {len(again)}"
            return
        for index, (one, other) in enumerate(zip(said, again, strict=True)):
            label = one.get("name", index) if isinstance(one, Mapping) else index
            yield from board_changes(one, other, f"{where}[{label}]")
    elif not close(said, again, tolerance=P_TOLERANCE if _is_chance(where) else TOLERANCE):
        yield f"{where}: the board says {_number(said)}, its runs give {_number(again)}"


def _is_chance(where: str) -> bool:
    return any(name in where for name in ("p_value", "p_adjusted", "p_rank"))
