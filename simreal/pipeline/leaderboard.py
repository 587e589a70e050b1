"""The leaderboard: makes or reuses one run folder per row, then builds the board from them."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simreal.core.benchmark_cards import (
    Benchmark,
    BenchmarkRow,
    ObservedList,
    load_benchmark,
    observed_list_text,
    read_observed_list,
)
from simreal.core.errors import (
    NotComputableError,
    SimrealError,
    StorageError,
    UsageError,
    did_you_mean,
)
from simreal.core.seeding import stream
from simreal.pipeline.board import RowRun, build_board, check_metrics, read_row
from simreal.pipeline.cache import StageCache, cache_folder
from simreal.pipeline.conformity import CONTROL, made_of, settings_differences, settings_of
from simreal.pipeline.manifest import altered_files, write_manifest
from simreal.pipeline.stages import (
    Progress,
    Work,
    dump,
    match_stage,
    read_json,
    read_stage,
    silent,
    stored,
    stored_if_any,
)

BOARD, PAGE, TABLE, CARD = "board.json", "board.html", "board.md", "card.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A finished leaderboard.

    Parameters
    ----------
    board : dict
        The content of ``board.json``.
    folder : Path
    made, reused : tuple of str
        Rows whose runs were made now, and those that were there.
    """

    board: dict[str, Any]
    folder: Path
    made: tuple[str, ...]
    reused: tuple[str, ...]


def make_leaderboard(
    name: str,
    *,
    out: Path | None = None,
    runs: Path | None = None,
    entered: Sequence[str] = (),
    progress: Progress | None = None,
) -> Made:
    """Make what is missing of a benchmark's runs, build its board and write it three ways.

    Parameters
    ----------
    name : str
        A shipped benchmark or the path of a card.
    out : Path, optional
        Folder of the board; default ``boards/NAME``.
    runs : Path, optional
        Folder with one run folder per row; default ``OUT/runs``.
    entered : sequence of str
        Simulations to enter beside the rows of the card: catalogue names, cards or folders.
    progress : callable, optional

    Raises
    ------
    SimrealError
        In one line: what was got, what is allowed, what to do.
    """
    from simreal.report.leaderboard import board_to_html, board_to_json, board_to_markdown
    from simreal.report.tables import write_text

    card, path = load_benchmark(name)
    observed = read_observed_list(card, path.parent)
    check_metrics(card)
    folder = out or Path("boards") / card.name
    runs = runs or folder / "runs"
    rows = [*card.rows, *_entered_rows(card, entered)]
    made: list[str] = []
    found = []
    for row in rows:
        there = _make_row(card, row, rows, runs, progress or silent, made)
        run = read_row(card, observed, row, runs / row.name, entered=row not in card.rows)
        found.append(run if there is None else _not_made(run, there))
    if all(run.reason for run in found):
        raise NotComputableError(
            f"{card.name}: no row could be made; the first: {found[0].row.name}: {found[0].reason}"
        )
    board = build_board(card, found, cache=StageCache(cache_folder()))
    _keep_card(card, path, observed, folder)
    write_text(board_to_markdown(board), folder / TABLE)
    write_text(board_to_html(board), folder / PAGE)
    write_text(board_to_json(board), folder / BOARD)
    reused = tuple(r.row.name for r in found if r.row.name not in made and not r.reason)
    return Made(board=board, folder=folder, made=tuple(made), reused=reused)


def read_runs(
    card: Benchmark, observed: ObservedList, runs: Path, *, entered: Sequence[str] = ()
) -> list[RowRun]:
    """Return every row of a card from the run folders that are there, making nothing."""
    return [
        read_row(card, observed, row, runs / row.name, entered=row not in card.rows)
        for row in [*card.rows, *_entered_rows(card, entered)]
    ]


def _entered_rows(card: Benchmark, entered: Sequence[str]) -> list[BenchmarkRow]:
    taken = {row.name for row in card.rows}
    rows = []
    for name in dict.fromkeys(entered):
        slug = re.sub(r"[^a-z0-9]+", "-", Path(name).stem.lower()).strip("-") or "entry"
        if slug in taken:
            raise UsageError(
                f"--sim {name}: the row {slug!r} is on the board already; rename your card"
            )
        taken.add(slug)
        rows.append(BenchmarkRow(name=slug, kind="simulation", sim=name))
    return rows


def _not_made(run: RowRun, reason: str) -> RowRun:
    return RowRun(
        row=run.row,
        folder=run.folder,
        results={},
        embeddings={},
        reason=reason,
        entered=run.entered,
    )


def _make_row(
    card: Benchmark,
    row: BenchmarkRow,
    rows: Sequence[BenchmarkRow],
    runs: Path,
    progress: Progress,
    made: list[str],
) -> str | None:
    """Make the run of a row if it is not there, and return why it could not be made."""
    folder = runs / row.name

    def show(label: str, done: int, total: int) -> None:
        progress(f"{row.name}: {label}", done, total)

    try:
        if is_finished(folder, card, row):
            return None
        if row.fault is None:
            _make_run(card, row, folder, show)
        else:
            source = next(one for one in rows if one.name == row.of)
            make_control(card, row, source, runs, show)
    except SimrealError as error:
        return " ".join(str(error).split())
    made.append(row.name)
    return None


def is_finished(folder: Path, card: Benchmark, row: BenchmarkRow) -> bool:
    """Return whether a whole run of this row is there, made with the settings of the card.

    Raises
    ------
    UsageError
        If a whole run of other settings is there, which is somebody's and is not written over.
    """
    try:
        if altered_files(folder):
            return False
        if row.fault is not None and not made_of(folder, folder.parent / str(row.of)):
            return False
        if row.fault is not None:
            said = read_json(folder / CONTROL)
            asked = {"fault": row.fault, "of": row.of, "seed": card.seed}
            wrong = [f"its {name} is {said[name]!r}" for name in asked if said[name] != asked[name]]
        else:
            had = read_json(folder / "results.json")["provenance"]["settings"]
            wrong = settings_differences(had, card, row)
    except (StorageError, OSError, ValueError, KeyError):
        return False
    if wrong:
        raise UsageError(
            f"{folder} holds another run ({wrong[0]}); take it away, or choose another --runs"
        )
    return True


def _make_run(
    card: Benchmark,
    row: BenchmarkRow,
    folder: Path,
    progress: Callable[[str, int, int], None],
) -> None:
    from simreal.pipeline.run import run_comparison

    run_comparison(
        settings_of(card, row),
        out=folder,
        progress=progress,
        command=f"simreal leaderboard {card.name}",
    )


def make_control(
    card: Benchmark,
    row: BenchmarkRow,
    source: BenchmarkRow,
    runs: Path,
    progress: Callable[[str, int, int], None],
) -> None:
    """Put a fault into the simulated side of another row and embed what comes of it.

    Raises
    ------
    NotComputableError
        If the other row has no run, or the fault cannot be put in.
    """
    from simreal.core.images import ArraySource
    from simreal.data.store import write_embedding
    from simreal.encode.run import embed
    from simreal.encode.shipped import load_variant
    from simreal.match.controls import CONTROLS
    from simreal.match.variants import shown
    from simreal.pipeline.encoding import stored_encoder
    from simreal.pipeline.plan import make_plan

    fault = row.fault or ""
    if fault not in CONTROLS:
        raise UsageError(f"{card.name}: unknown fault {fault!r}: {did_you_mean(fault, CONTROLS)}")
    of, folder = runs / source.name, runs / row.name
    if not (of / "embeddings").is_dir():
        raise NotComputableError(f"the row {source.name} that it is made of has no run")
    settings = settings_of(card, source)
    plan = make_plan(settings)
    work = Work(plan=plan, cache=StageCache(cache_folder()), seconds={}, progress=progress)
    native = {side: read.images for side, read in read_stage(work).items()}
    matched = match_stage(work, native)
    stamps = stored(matched / "sim.h5")
    rng = stream(card.seed, "leaderboard", "control", fault)
    pixels = CONTROLS[fault](stamps, stored_if_any(matched / "sky_sim.h5"), rng)
    images = stamps.replace(name=row.name, images=ArraySource(np.asarray(pixels, np.float32)))
    for variant in plan.variants:
        place = stored_encoder(settings.encoder_from, variant)
        if place is None:
            raise NotComputableError(f"{card.name} names no encoder")
        there = folder / "embeddings" / variant
        write_embedding(there / "sim.h5", embed(load_variant(place), shown(images, variant)))
        for side in ("obs", "ceiling"):
            shutil.copyfile(of / "embeddings" / variant / f"{side}.h5", there / f"{side}.h5")
    dump({"fault": row.fault, "of": row.of, "seed": card.seed}, folder / CONTROL)
    write_manifest(folder)


def _keep_card(card: Benchmark, path: Path, observed: ObservedList, folder: Path) -> None:
    """Leave card and list beside the board, so that it can be verified on its own."""
    from simreal.report.tables import write_bytes, write_text

    if (folder / CARD).resolve() == path.resolve():
        return
    write_bytes(path.read_bytes(), folder / CARD)
    write_text(observed_list_text(observed), folder / card.observed.list)


def read_board(folder: Path) -> dict[str, Any]:
    """Return the board in a folder.

    Raises
    ------
    StorageError
        If there is none, or it is not one.
    """
    path = folder / BOARD
    try:
        board: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        check_board(board)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path}: not a board ({error}); make it again") from None
    return board


def check_board(board: Any) -> None:
    """Refuse what is not the content of a ``board.json``.

    Raises
    ------
    ValueError
        If something that every board has is not there.
    """
    if not isinstance(board, dict) or not isinstance(board.get("rows"), list):
        raise ValueError("no rows")  # noqa: TRY004
    if not isinstance(board.get("card"), dict) or "digest" not in board["card"]:
        raise ValueError("no card")
