"""Tables of finished, audited comparisons: what every check reads, and the control rows.

    for sim in eagle illustris decals-rgb hsc-rgb sdss; do
        simreal compare --sim $sim --obs sdss --audit full --bridge decals-rgb
    done
    python benchmarks/audit/pairs.py runs/*_vs_sdss --docs docs/audit.md

Reads `results.json` of every folder; runs nothing.
"""

import argparse
import json
from pathlib import Path

from trials import between

MARKS = {"clean": "clean", "red": "**red**", "underpowered": "open", "not computable": "n. c."}
METRIC = "mmd"


def number(value):
    return "–" if value is None else f"{value:.3g}"


def cell(check):
    """The verdict of a check and the reading that decides it."""
    worst = next((r for r in check["readings"] if r["name"] == check["worst"]), None)
    verdict = MARKS[check["verdict"]] if check["vetoes"] else "report"
    if worst is None or worst["value"] is None:
        return verdict
    return (
        f"{verdict}: {worst['name']} {number(worst['value'])} "
        f"[{number(worst['low'])}, {number(worst['high'])}], {worst['exceedance']:.1f} limits"
    )


def checks_table(runs):
    names = [run["sim"]["name"] for run in runs]
    lines = [f"| check | {' | '.join(names)} |", "|---|" + "---|" * len(runs)]
    verdicts = [f"**{run['audit']['verdict']}**" for run in runs]
    lines.append(f"| verdict | {' | '.join(verdicts)} |")
    codes = {}
    for run in runs:
        for check in run["audit"]["checks"]:
            codes.setdefault(check["code"], check["title"])
    order = sorted(codes, key=lambda code: int(code[1:]))
    for code in order:
        cells = []
        for run in runs:
            found = [check for check in run["audit"]["checks"] if check["code"] == code]
            cells.append(cell(found[0]) if found else "not run")
        lines.append(f"| {code} {codes[code]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def controls_table(runs):
    """Control rows of one metric, variant by variant."""
    titles = {}
    for run in runs:
        for row in run["audit"]["controls"]:
            if row["metric"] == METRIC:
                titles.setdefault((row["variant"], row["title"]), None)
    names = [run["sim"]["name"] for run in runs]
    lines = [f"| variant | row | {' | '.join(names)} |", "|---|---|" + "---|" * len(runs)]
    for variant, title in titles:
        cells = []
        for run in runs:
            rows = [
                row
                for row in run["audit"]["controls"]
                if (row["variant"], row["title"], row["metric"]) == (variant, title, METRIC)
            ]
            if not rows or rows[0]["value"] is None:
                cells.append("–")
                continue
            row = rows[0]
            cells.append(f"{number(row['value'])} [{number(row['low'])}, {number(row['high'])}]")
        lines.append(f"| {variant} | {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--docs", type=Path, help="page with the markers pairs:start, pairs:end")
    options = parser.parse_args()
    runs = [json.loads((folder / "results.json").read_text()) for folder in options.runs]
    text = f"{checks_table(runs)}\n\n{controls_table(runs)}"
    if options.docs is None:
        print(text)
    else:
        between(options.docs, "pairs", text)


if __name__ == "__main__":
    main()
