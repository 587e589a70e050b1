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
ABOUT_CHECKS = (
    "Numbers: how far the deciding reading is from equality, in units of its limit. *Open*: "
    "neither shown to be inside the limit nor outside it, at this n. *Report*: never vetoes. "
    "*N. c.*: not computable. The readings behind every verdict that is not clean:"
)
ABOUT_CONTROLS = (
    f"Control rows at each pair's own n, metric `{METRIC}` (†: not told, at this n, from what it "
    "must exceed; or noise counted twice, for orientation only):"
)


def number(value):
    """Three digits, and no more than three decimals."""
    return "–" if value is None else f"{round(value, 3) + 0.0:.3g}"


def deciding(check):
    """The reading that gives a check its verdict: the farthest out of those that have it."""
    given = [
        r
        for r in check["readings"]
        if r["value"] is not None
        and (not check["vetoes"] or (r["vetoes"] and r["verdict"] == check["verdict"]))
    ]
    return max(given, key=lambda r: r["exceedance"], default=None)


def cell(check):
    """The verdict of a check, and the distance of its deciding reading in units of the limit."""
    verdict = MARKS[check["verdict"]] if check["vetoes"] else "report"
    decides = deciding(check)
    return verdict if decides is None else f"{verdict} {decides['exceedance']:.1f}"


def allowed(reading):
    if reading["limit_low"] is None:
        return f"at most {number(reading['limit_high'])}"
    return f"{number(reading['limit_low'])} to {number(reading['limit_high'])}"


def worst_table(runs):
    """The reading that decides, for every check that may veto and is not clean."""
    lines = [
        "| pair | check | verdict | reading | value [95 %] | allowed |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        for check in run["audit"]["checks"]:
            if not check["vetoes"] or check["verdict"] == "clean":
                continue
            r = deciding(check)
            about = f"| {run['sim']['name']} | {check['code']} | {MARKS[check['verdict']]} |"
            if r is None:
                lines.append(f"{about} – | – | – |")
                continue
            value = f"{number(r['value'])} [{number(r['low'])}, {number(r['high'])}]"
            lines.append(f"{about} {r['name']} | {value} | {allowed(r)} |")
    return "\n".join(lines)


def checks_table(runs):
    names = [run["sim"]["name"] for run in runs]
    lines = [f"| check | {' | '.join(names)} |", "|---|" + "---|" * len(runs)]
    lines.append(f"| groups a side | {' | '.join(str(run['sim']['n']) for run in runs)} |")
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
    titles = [
        (row["variant"], row["title"])
        for run in runs
        for row in run["audit"]["controls"]
        if row["metric"] == METRIC and row["value"] is not None
    ]
    titles = sorted(dict.fromkeys(titles), key=lambda one: one[0], reverse=True)
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
            mark = "†" if row["reason"] else ""
            cells.append(
                f"{number(row['value'])} [{number(row['low'])}, {number(row['high'])}]{mark}"
            )
        lines.append(f"| {variant} | {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--docs", type=Path, help="page with the markers pairs:start, pairs:end")
    options = parser.parse_args()
    runs = [json.loads((folder / "results.json").read_text()) for folder in options.runs]
    text = "\n\n".join(
        [
            checks_table(runs),
            ABOUT_CHECKS,
            worst_table(runs),
            ABOUT_CONTROLS,
            controls_table(runs),
        ]
    )
    if options.docs is None:
        print(text)
    else:
        between(options.docs, "pairs", text)


if __name__ == "__main__":
    main()
