"""The board of a benchmark, put together from run folders alone.

Every number is read from the embeddings in the run folders, at the card's n and with its seed;
what the runs themselves reported is not copied. Nothing here knows the time, the machine or the
order in which runs were made, so that the same folders give the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simreal.core.benchmark_cards import Benchmark, BenchmarkRow, ObservedList
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, SimrealError, UsageError
from simreal.core.seeding import stream
from simreal.pipeline import fragments
from simreal.pipeline.cache import StageCache, stage_key
from simreal.pipeline.conformity import control_objections, objections
from simreal.pipeline.manifest import check_manifest
from simreal.pipeline.stages import dump, read_json

SCHEMA = 1

#: Verdicts of an audit under which a simulation may be ranked.
RANKABLE = ("clean", "warned")

_NUMBERS = ("value", "low", "high", "ceiling", "excess", "excess_low", "excess_high", "p_value",
            "p_adjusted")  # fmt: skip

#: Agreement asked of the reading of a metric on the reference points.
PIN_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowRun:
    """One row and what its run folder holds, or why it cannot be used.

    Parameters
    ----------
    row : BenchmarkRow
    folder : Path
    results : mapping
        ``results.json``, empty for a negative control or where there is no usable run.
    embeddings : mapping of variant to mapping of "sim", "obs", "ceiling" to Embedding
    reason : str
        Why there is no usable run.
    entered : bool
        Whether the row is not on the card but was entered beside it.
    """

    row: BenchmarkRow
    folder: Path
    results: Mapping[str, Any]
    embeddings: Mapping[str, Mapping[str, Embedding]]
    reason: str = ""
    entered: bool = False


def reference_points() -> tuple[Any, Any]:
    """Return the two sets of points that tell one version of a metric from another ``(96, 6)``."""
    rng = stream(0, "benchmark", "reference points")
    obs = rng.normal(size=(96, 6))
    return obs.astype(np.float32), (rng.normal(size=(96, 6)) * 1.2 + 0.4).astype(np.float32)


def reads_on_reference(metric: str) -> float:
    """Return what a metric reads on the reference points: its version as a number."""
    from simreal.compare.run import load_metric

    obs, sim = reference_points()
    rng = stream(0, "benchmark", "reference", metric)
    return float(load_metric(metric).statistic(obs, sim, rng=rng))


def check_metrics(card: Benchmark) -> None:
    """Refuse a card whose metrics are not the ones installed.

    Raises
    ------
    UsageError
        Naming the metric, what it reads and what it read when the card was frozen.
    """
    for name, pin in card.metrics.items():
        found = reads_on_reference(name)
        if abs(found - pin.reads) > PIN_TOLERANCE * max(abs(pin.reads), 1e-6):
            raise UsageError(
                f"{card.name}: the metric {name} reads {found:.6g} on the reference points, the "
                f"card was frozen with {pin.reads:.6g}: another version of the metric; use the "
                "version of simreal that the card was made with, or make a new card"
            )


def read_row(
    card: Benchmark, observed: ObservedList, row: BenchmarkRow, folder: Path, *, entered: bool
) -> RowRun:
    """Return the run of one row as its folder holds it, or why it cannot be used."""
    try:
        check_manifest(folder)
        embeddings = read_embeddings(folder)
        results: Mapping[str, Any] = {}
        if row.fault is None:
            results = read_json(folder / "results.json")
            wrong = objections(folder, results, embeddings, card=card, row=row, observed=observed)
        else:
            wrong = control_objections(folder, embeddings, card=card, row=row)
    except (SimrealError, OSError, ValueError, KeyError) as error:
        text = " ".join(str(error).split()).replace(f"{folder}", folder.name)
        return RowRun(
            row=row, folder=folder, results={}, embeddings={}, reason=text, entered=entered
        )
    return RowRun(
        row=row,
        folder=folder,
        results=results,
        embeddings=embeddings,
        reason=wrong[0] if wrong else "",
        entered=entered,
    )


def read_embeddings(folder: Path) -> dict[str, dict[str, Embedding]]:
    """Return the embeddings of a run by variant and side."""
    from simreal.data.store import read_embedding

    return {
        place.name: {path.stem: read_embedding(path) for path in sorted(place.glob("*.h5"))}
        for place in sorted((folder / "embeddings").iterdir())
        if place.is_dir()
    }


def build_board(
    card: Benchmark, runs: Sequence[RowRun], *, cache: StageCache | None = None
) -> dict[str, Any]:
    """Return the content of ``board.json``.

    Parameters
    ----------
    card : Benchmark
    runs : sequence of RowRun
        In the order of the card.
    cache : StageCache, optional
        Keeps what was read from embeddings, by their digests; without it all is read anew.
    """
    cells = {run.row.name: row_cells(card, run, cache) for run in runs}
    rows = [_row(card, run, cells[run.row.name]) for run in runs]
    ranked = [run for run, row in zip(runs, rows, strict=True) if row["status"] == "ranked"]
    ranking = rank_runs(card, ranked, cache)
    for row in rows:
        row["ranks"] = {
            one["metric"]: _place(one, row["name"])
            for one in ranking
            if row["name"] in one["names"] and not one["reason"]
        }
    return {
        "board_schema": SCHEMA,
        "card": _card(card),
        "variants": list(_variants(runs)),
        "rows": _ordered(card, rows),
        "floor": _floor_row(runs, cells),
        "ranking": ranking,
        "weak_convergence": weak_convergence(card, runs, cells, cache),
    }


def row_cells(
    card: Benchmark, run: RowRun, cache: StageCache | None
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return every number of one row by variant and metric, read from its embeddings."""
    return {
        variant: _kept(
            cache,
            "board cells",
            {side: embedding.digest for side, embedding in sides.items()},
            card,
            lambda sides=sides: _cells(card, sides),
        )
        for variant, sides in run.embeddings.items()
        if not run.reason
    }


def _kept(
    cache: StageCache | None, stage: str, digests: Any, card: Benchmark, read: Any
) -> dict[str, Any]:
    if cache is None:
        found: dict[str, Any] = json.loads(json.dumps(read()))
        return found
    key = stage_key(
        stage,
        code=("compare", "stats", "pipeline/board"),
        digests=digests,
        metrics=list(card.metrics),
        inference=card.inference.model_dump(),
        n=card.n,
        seed=card.seed,
    )
    folder = cache.fetch(stage.replace(" ", "_"), key, lambda at: dump(read(), at / "read.json"))
    kept: dict[str, Any] = read_json(folder / "read.json")
    return kept


def _cells(card: Benchmark, sides: Mapping[str, Embedding]) -> dict[str, Any]:
    from simreal.compare.run import compare_embeddings

    obs, sim = sides["obs"], sides["sim"]
    compared = compare_embeddings(
        obs,
        sim,
        metrics=tuple(card.metrics),
        settings=inference_of(card, n=min(card.n, sim.n_groups, obs.n_groups // 2)),
        seed=card.seed,
        # What differs was said by the run, which `objections` has checked.
        allow=obs.setup.differs_from(sim.setup),
        ceiling=sides.get("ceiling"),
    )
    cells = {}
    for row in fragments.comparison_rows(compared):
        floor = row["floor"]
        cells[row["metric"]] = {
            **{name: row[name] for name in _NUMBERS},
            "floor": floor and {name: floor[name] for name in ("median", "low", "high")},
            "n": row["n_sim"],
            "reason": row["reason"] or (row["excess_reason"] if row["excess"] is None else None),
        }
    return cells


def inference_of(card: Benchmark, *, n: int) -> Any:
    """Return the inference behind every number of a board."""
    from simreal.compare.settings import InferenceSettings

    asked = card.inference
    return InferenceSettings(
        n_permutations=asked.permutations,
        n_floor_splits=asked.floor_splits,
        n_subsamples=asked.subsamples,
        level=asked.level,
        n=n,
        power=False,
    )


def _row(
    card: Benchmark, run: RowRun, cells: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, Any]:
    status, reason = standing(card, run, cells)
    audit = run.results.get("audit") if run.results else None
    sides = next(iter(run.embeddings.values()), {})
    return {
        "name": run.row.name,
        "kind": run.row.kind,
        "title": run.row.title or (run.results.get("sim", {}).get("title") or run.row.name),
        "entered": run.entered,
        "status": status,
        "reason": reason,
        "audit": audit
        and {
            "verdict": audit["verdict"],
            "level": audit["level"],
            "first": audit["first"],
            "reasons": list(audit["reasons"]),
        },
        "groups": {side: sides[side].n_groups for side in ("sim", "obs") if side in sides},
        "digests": {
            variant: {side: e.digest for side, e in of.items()}
            for variant, of in run.embeddings.items()
        },
        "cells": cells,
    }


def standing(
    card: Benchmark, run: RowRun, cells: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> tuple[str, str]:
    """Return whether a row is ranked, and if not, why."""
    if run.reason:
        return "incomplete", run.reason
    lead = next(iter(cells.values()))
    empty = [name for name in card.metrics if lead.get(name, {}).get("value") is None]
    few = min((cell["n"] for cell in lead.values()), default=0)
    if few < card.n:
        return "incomplete", f"{few} groups a side, the card asks for {card.n}"
    if empty:
        return "incomplete", f"{empty[0]} could not be computed ({lead[empty[0]]['reason']})"
    if run.row.kind != "simulation":
        return "reference", f"a {run.row.kind} is shown for comparison and never ranked"
    verdict = run.results["audit"]["verdict"]
    if verdict not in RANKABLE:
        return verdict, _why(run.results["audit"])
    return "ranked", ""


def _why(audit: Mapping[str, Any]) -> str:
    first = next((c["title"] for c in audit["checks"] if c["name"] == audit["first"]), None)
    if audit["verdict"] == "confounded" and first:
        return f"confounded by {first}: the distance may measure that and not galaxies"
    return f"{audit['verdict']}: " + (audit["reasons"][0] if audit["reasons"] else "see the audit")


def rank_runs(
    card: Benchmark, runs: Sequence[RowRun], cache: StageCache | None
) -> list[dict[str, Any]]:
    """Return the order of the ranked rows under every metric, on the leading variant."""
    if not runs:
        return []
    if len(runs) == 1:
        name = runs[0].row.name
        alone = {"names": [name], "n": card.n, "ranks": [1], "p_rank": [[1.0]], "differences": []}
        return [{"metric": metric, **alone, "reason": ""} for metric in card.metrics]
    variant = next(iter(_variants(runs)))
    digests = [
        [run.row.name, *(run.embeddings[variant][side].digest for side in ("obs", "sim"))]
        for run in runs
    ]
    kept = _kept(
        cache, "board ranks", digests, card, lambda: {"rows": _ranked(card, runs, variant)}
    )
    rows: list[dict[str, Any]] = kept["rows"]
    return rows


def _ranked(card: Benchmark, runs: Sequence[RowRun], variant: str) -> list[dict[str, Any]]:
    from simreal.compare.ranking import Entry, rank_entries

    entries = [
        Entry(
            name=run.row.name,
            obs=run.embeddings[variant]["obs"],
            sim=run.embeddings[variant]["sim"],
        )
        for run in runs
    ]
    allow = {name for e in entries for name in e.obs.setup.differs_from(e.sim.setup)}
    found = rank_entries(
        entries,
        metrics=tuple(card.metrics),
        settings=inference_of(card, n=card.n),
        seed=card.seed,
        allow=sorted(allow),
    )
    rows: list[dict[str, Any]] = fragments.plain(list(found))
    return rows


def _place(ranking: Mapping[str, Any], name: str) -> dict[str, Any]:
    at = ranking["names"].index(name)
    tied = [
        one["b"] if one["a"] == name else one["a"]
        for one in ranking["differences"]
        if name in (one["a"], one["b"]) and one["closer"] is None
    ]
    return {"rank": ranking["ranks"][at], "tied_with": tied, "p_rank": ranking["p_rank"][at]}


def _ordered(card: Benchmark, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return ranked rows first, the closest on top, then the others in the order of the card."""

    def key(row: dict[str, Any]) -> tuple[bool, float, float]:
        if row["status"] != "ranked":
            return True, 0.0, 0.0
        found = row["ranks"].get(card.rank_by)
        lead = next(iter(row["cells"].values()))[card.rank_by]
        return False, found["rank"] if found else 1.0, lead["excess"] or 0.0

    return sorted(rows, key=key)


def _variants(runs: Sequence[RowRun]) -> list[str]:
    """Return the variants of the embeddings, the leading one first."""
    from simreal.pipeline.plan import variants_of

    tracks = [run.results["track"] for run in runs if run.results and not run.reason]
    return list(variants_of(tracks[0])) if tracks else []


def _floor_row(
    runs: Sequence[RowRun], cells: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]
) -> dict[str, Any] | None:
    """Return what disjoint parts of the observed set read, in the units of the board."""
    usable = [run for run in runs if not run.reason]
    controls = [run for run in usable if run.row.kind == "positive control"]
    if not usable:
        return None
    run = (controls or usable)[0]
    shown: dict[str, dict[str, Any]] = {}
    for variant, of in cells[run.row.name].items():
        shown[variant] = {}
        for metric, cell in of.items():
            floor, ceiling = cell["floor"], cell["ceiling"]
            row: dict[str, Any] = {"floor": floor, "ceiling": ceiling, "n": cell["n"]}
            span = None if floor is None or ceiling is None else ceiling - floor["median"]
            # A metric that falls with the distance has its ends the other way round.
            ends = (
                sorted((floor[end] - floor["median"]) / span for end in ("low", "high"))
                if (floor and span)
                else (None, None)
            )
            row |= {"excess_low": ends[0], "excess_high": ends[1]}
            shown[variant][metric] = row
    return {"of": run.row.name, "cells": shown}


def weak_convergence(
    card: Benchmark,
    runs: Sequence[RowRun],
    cells: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]],
    cache: StageCache | None,
) -> dict[str, Any] | None:
    """Return how much of the excess a change of resolution alone moves."""
    asked = card.weak_convergence
    if asked is None:
        return None
    by_name = {run.row.name: run for run in runs}
    pair = [by_name[asked.fine], by_name[asked.coarse]]
    out: dict[str, Any] = {"fine": asked.fine, "coarse": asked.coarse, "note": asked.note}
    missing = [run for run in pair if run.reason]
    if missing:
        return {**out, "reason": f"{missing[0].row.name}: {missing[0].reason}", "metrics": {}}
    variant = _variants(runs)[0]
    try:
        kept = _kept(
            cache,
            "board weak",
            [[run.embeddings[variant][side].digest for side in ("obs", "sim")] for run in pair],
            card,
            lambda: {"rows": _ranked(card, pair, variant)},
        )
    except NotComputableError as error:
        return {**out, "reason": str(error), "metrics": {}}
    found = {
        one["metric"]: _moved(one, *(cells[run.row.name][variant][one["metric"]] for run in pair))
        for one in kept["rows"]
    }
    linked = max((row.get("linked", 0) for row in found.values()), default=0)
    return {
        **out,
        "reason": "",
        "unit": "matched halo"
        if linked
        else "galaxy; one run of each, so that the interval holds "
        "for these boxes and not for others",
        "linked": linked,
        "variant": variant,
        "metrics": found,
    }


def _moved(
    one: Mapping[str, Any], fine: Mapping[str, Any], coarse: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the difference of excess of a coarse and a fine run, and its share of the coarse.

    The pair is read in a transform of its own, where the coarse run lies as far above the floor as
    its excess says on the board: that sets the unit.
    """
    if one["reason"] or coarse["excess"] is None or fine["excess"] is None:
        reason = one["reason"] or coarse["reason"] or fine["reason"] or "no excess"
        return {"reason": reason, "linked": 0}
    difference = one["differences"][0]
    above = one["readings"][1] - one["floors"][1] if one["floors"] else 0.0
    span = coarse["ceiling"] - coarse["floor"]["median"]
    if coarse["excess_low"] is None or coarse["excess_low"] <= 0 or above * span <= 0:
        reason = "the coarse run is not beyond the floor, so that nothing can be a share of it"
        return {"reason": reason, "linked": 0}
    # The pair is read as fine - coarse; a move is coarse - fine.
    ends = sorted(-difference["estimate"][end] / above for end in ("low", "high"))
    share = {"value": -difference["estimate"]["value"] / above, "low": ends[0], "high": ends[1]}
    return {
        "excess_fine": fine["excess"],
        "excess_coarse": coarse["excess"],
        "moved": {end: value * coarse["excess"] for end, value in share.items()},
        "share": share,
        "p_value": difference["p_value"],
        "n": one["n"],
        "linked": difference["linked"],
        "reason": "",
    }


def _card(card: Benchmark) -> dict[str, Any]:
    shown = card.model_dump(mode="json", exclude={"rows", "seal", "settings"})
    return {**shown, "settings": dict(card.settings), "digest": card.digest,
            "sealed": card.seal is not None}  # fmt: skip
