"""The board as JSON, Markdown and one page that stands alone."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from simreal.report import words
from simreal.report.page import TEMPLATES, _content_hash, _environment
from simreal.report.tables import to_plain

#: What a status means to a reader.
STATUSES: Mapping[str, str] = {
    "ranked": "ranked",
    "reference": "not ranked: for comparison",
    "incomplete": "not ranked: incomplete",
    "confounded": "not ranked: confounded",
    "underpowered": "not ranked: underpowered",
}


def board_to_json(board: Mapping[str, Any]) -> str:
    """Return the text of ``board.json``: the same board, the same bytes.

    Examples
    --------
    >>> print(board_to_json({"floor": float("nan")}), end="")
    {
     "floor": null
    }
    """
    plain = to_plain(board)
    return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def board_to_markdown(board: Mapping[str, Any]) -> str:
    """Return the board as Markdown: one table per variant, then what a reader must know."""
    card, view = board["card"], board_view(board)
    lines = [f"# {_cell(card['title'])}", "", _cell(card["description"]), ""]
    lines += [f"Card `{card['name']}`, digest `{card['digest'][:16]}`; {view['said']}", ""]
    for table in view["tables"]:
        lines += [f"## Excess over the floor: {_cell(table['label'])}", ""]
        head = ["row", "rank", "audit", *(name for name, _ in view["metrics"]), "n"]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for row in table["rows"]:
            cells = [f"{row['title']} ({row['kind']})", row["rank"], row["verdict"],
                     *(cell["text"] for cell in row["cells"]), row["n"]]  # fmt: skip
            lines.append("| " + " | ".join(_cell(text) for text in cells) + " |")
        lines.append("")
    lines += [view["reading"], ""]
    if view["unranked"]:
        lines += ["## Not ranked", ""]
        lines += [f"- {_cell(r['title'])}: {_cell(r['reason'])}" for r in view["unranked"]]
        lines.append("")
    if view["weak"]:
        lines += ["## Resolution alone", "", *(f"- {_cell(text)}" for text in view["weak"]), ""]
    return "\n".join(lines)


def board_to_html(board: Mapping[str, Any]) -> str:
    """Return the scorecard as one page: no script, no network, every value escaped."""
    from markupsafe import Markup

    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    style += (TEMPLATES / "leaderboard.css").read_text(encoding="utf-8")
    board = to_plain(board)
    return str(
        _environment()
        .get_template("leaderboard.html")
        .render(
            b=board,
            card=board["card"],
            view=board_view(board),
            # The style sheets are part of this package, and the hash admits nothing else.
            style=Markup(style),  # noqa: S704
            style_hash=_content_hash(style),
            verdicts=words.VERDICTS,
        )
    )


def board_view(board: Mapping[str, Any]) -> dict[str, Any]:
    """Return what page and table show, as words and shapes."""
    card = board["card"]
    metrics = [(name, name.replace("_", " ")) for name in card["metrics"]]
    ranked = [row for row in board["rows"] if row["status"] == "ranked"]
    return {
        "metrics": metrics,
        "said": f"{len(ranked)} of {len(board['rows'])} rows ranked, by {card['rank_by']}, at "
        f"n = {card['n']} groups a side, seed {card['seed']}.",
        "reading": "Cells hold the excess over the floor with its "
        f"{100 * card['inference']['level']:.0f} % interval: 0 reads like parts of the observed "
        "set among themselves, 1 like the declared bad mock. Two rows are tied unless their "
        "paired difference says otherwise (Holm over all pairs): overlapping intervals decide "
        "nothing.",
        "tables": [_table(board, variant, metrics) for variant in board["variants"]],
        "unranked": [
            {**row, "says": STATUSES[row["status"]]}
            for row in board["rows"]
            if row["status"] not in ("ranked", "reference")
        ],
        "chances": _chances(board),
        "weak": _weak(board),
    }


def _table(
    board: Mapping[str, Any], variant: str, metrics: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    leads = variant == board["variants"][0]
    rank_by = board["card"]["rank_by"]
    rows = []
    for row in board["rows"]:
        place = row["ranks"].get(rank_by)
        rank = _rank(place) if place else "–"
        cells = row["cells"].get(variant) or {}
        rows.append(
            {
                "name": row["name"],
                "title": row["title"],
                "kind": row["kind"] + (", entered" if row["entered"] else ""),
                "status": row["status"],
                "says": STATUSES[row["status"]],
                "rank": rank if leads else "",
                "verdict": row["audit"]["verdict"] if row["audit"] else "–",
                "shape": words.SHAPES.get(row["audit"]["verdict"], "") if row["audit"] else "",
                "n": words.number(next(iter(cells.values()))["n"]) if cells else "–",
                "cells": [_shown(cells.get(name), row, name) for name, _ in metrics],
            }
        )
    floor = board["floor"]
    if floor is not None and variant in floor["cells"]:
        rows.append(_floor(floor, variant, metrics))
    label = f"{variant}: leads" if leads else f"{variant}: beside it, not ranked"
    return {"variant": variant, "label": label, "leads": leads, "rows": rows}


def _rank(place: Mapping[str, Any]) -> str:
    return f"{place['rank']}" + (" (tied)" if place["tied_with"] else "")


def _shown(cell: Mapping[str, Any] | None, row: Mapping[str, Any], metric: str) -> dict[str, str]:
    """Return one cell: its words, and how deep its colour is."""
    if cell is None or cell["excess"] is None:
        reason = (cell or {}).get("reason") or row["reason"] or "no number"
        return {"text": "–", "level": "none", "reason": str(reason), "rank": ""}
    place = row["ranks"].get(metric)
    return {
        "text": words.together(cell["excess"], cell["excess_low"], cell["excess_high"]),
        "level": _level(cell),
        "reason": "",
        "rank": f"rank {_rank(place)}" if place else "",
    }


def _level(cell: Mapping[str, Any]) -> str:
    """Return how far beyond the floor a cell is: told from it or not, then in steps."""
    if cell["excess_low"] <= 0:
        return "floor"
    steps = (("1", 0.1), ("2", 0.3), ("3", 0.6))
    return next((name for name, end in steps if cell["excess"] < end), "4")


def _floor(
    floor: Mapping[str, Any], variant: str, metrics: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    cells = []
    of = floor["cells"][variant]
    for name, _ in metrics:
        cell = of.get(name) or {}
        text = words.together(0.0, cell.get("excess_low"), cell.get("excess_high"))
        known = cell.get("excess_low") is not None
        cells.append({"text": text if known else "–", "level": "floor" if known else "none",
                      "reason": "" if known else "no floor", "rank": ""})  # fmt: skip
    n = next(iter(of.values()))["n"] if of else None
    return {"name": "floor", "title": "floor: observed against observed", "kind": "floor",
            "status": "reference", "says": STATUSES["reference"], "rank": "–", "verdict": "–",
            "shape": "", "n": words.number(n), "cells": cells}  # fmt: skip


def _chances(board: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the chance of every place under the metric that ranks."""
    by = board["card"]["rank_by"]
    found = next((one for one in board["ranking"] if one["metric"] == by), None)
    if found is None or found["reason"] or len(found["names"]) < 2:
        return None
    titles = {row["name"]: row["title"] for row in board["rows"]}
    rows = [
        {"title": titles[name], "chances": [words.percent(p) for p in chances]}
        for name, chances in zip(found["names"], found["p_rank"], strict=True)
    ]
    pairs = [
        {
            "a": titles[one["a"]],
            "b": titles[one["b"]],
            "difference": words.together(*(one["estimate"][k] for k in ("value", "low", "high"))),
            "p": words.p_value(one["p_adjusted"]),
            "closer": "tied" if one["closer"] is None else f"{titles[one['closer']]} is closer",
        }
        for one in found["differences"]
    ]
    return {"rows": rows, "pairs": pairs, "places": len(rows)}


def _weak(board: Mapping[str, Any]) -> list[str]:
    weak = board["weak_convergence"]
    if weak is None:
        return []
    head = f"{weak['coarse']} against {weak['fine']}"
    if weak["reason"]:
        return [f"{head}: not computable ({weak['reason']})"]
    lines = []
    for name, found in weak["metrics"].items():
        if found["reason"]:
            lines.append(f"{name}: not computable ({found['reason']})")
            continue
        moved = found["moved"]
        text = words.together(moved["value"], moved["low"], moved["high"])
        share = words.together(*(100 * found["share"][k] for k in ("value", "low", "high")))
        at = f"n = {found['n']} a side, p = {words.p_value(found['p_value'])}"
        lines.append(
            f"{name}: excess {words.number(found['excess_coarse'])} for {weak['coarse']}, "
            f"{words.number(found['excess_fine'])} for {weak['fine']}; the change moves {text}, "
            f"that is {share} % of the coarse run's excess ({at})"
        )
    note = f" {weak['note']}" if weak["note"] else ""
    return [*lines, f"Resampled by {weak['unit']}.{note}"]


def _cell(text: Any) -> str:
    """Return a text that cannot leave its place in a Markdown table or be taken for markup."""
    plain = " ".join(str(text).split())
    plain = plain.replace("\\", "\\\\").replace("<", "&lt;").replace(">", "&gt;")
    for sign in ("|", "[", "]", "`", "*", "_", "#"):
        plain = plain.replace(sign, f"\\{sign}")
    return plain
