"""Every real pair under every metric and three encoders, as one Markdown table.

    python benchmarks/real/pairs.py [--out runs/pairs] [--quick]

Runs `simreal compare` on each pair whose images are under `SIMREAL_DATA`, with SimCLR leading and
`morphology` and `pca` beside it, and prints the table of the documentation. Finished runs are
read, not made again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

PAIRS = (
    ("eagle", "sdss"),
    ("illustris", "sdss"),
    ("hsc-rgb", "sdss"),
    ("decals-rgb", "sdss"),
    ("sdss", "sdss"),
    ("eagle-recal25", "eagle-ref25"),
)
ENCODERS = ("simclr", "morphology", "pca")


def run(sim, obs, folder, quick):
    command = [sys.executable, "-m", "simreal", "compare", "--sim", sim, "--obs", obs]
    command += ["--metric", "all", "--out", str(folder)]
    command += ["--check-encoder", "morphology", "--check-encoder", "pca"]
    finished = subprocess.run(command + ["--quick"] * quick, check=False, capture_output=True)
    if finished.returncode not in (0, 4):
        last = finished.stderr.decode().strip().splitlines()[-1:]
        print(f"{sim} against {obs}: {''.join(last)}", file=sys.stderr)


def number(value):
    return f"{value:.3g}"


def cell(row):
    """Value [interval], floor median (97.5 %), p: what one encoder says of one metric."""
    if row["value"] is None:
        return "–"
    floor = row["floor"]
    at = "no floor" if floor is None else f"{number(floor['median'])} ({number(floor['high'])})"
    star = "**" if row["p_adjusted"] <= 0.05 else ""
    ends = f"[{number(row['low'])}, {number(row['high'])}]"
    return f"{star}{number(row['value'])}{star} {ends}; {at}; {row['p_value']:.3g}"


def table(results):
    by_encoder = {
        one["encoder"]: {row["metric"]: row for row in one["comparisons"]}
        for one in results["robustness"]["encoders"]
    }
    dependent = set(results["robustness"]["encoder_dependent"])
    n = next(row["n_sim"] for row in results["comparisons"])
    lines = [
        f"### {results['sim']['name']} against {results['obs']['name']} (n = {n} a side)",
        "",
        f"| metric | {' | '.join(ENCODERS)} | excess ({ENCODERS[0]}) | encoders |",
        "|---|" + "---|" * (len(ENCODERS) + 2),
    ]
    for metric, lead in by_encoder[ENCODERS[0]].items():
        cells = " | ".join(cell(by_encoder[encoder][metric]) for encoder in ENCODERS)
        excess = "–" if lead["excess"] is None else f"{lead['excess']:.2f}"
        verdict = "disagree" if metric in dependent else "agree"
        lines.append(f"| `{metric}` | {cells} | {excess} | {verdict} |")
    reasons = {
        f"`{row['metric']}` ({encoder}): {row['reason']}"
        for encoder, rows in by_encoder.items()
        for row in rows.values()
        if row["reason"]
    }
    return "\n".join([*lines, "", *(f"- {reason}" for reason in sorted(reasons)), ""])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/pairs"))
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    for sim, obs in PAIRS:
        folder = given.out / f"{sim}_vs_{obs}"
        if not (folder / "results.json").is_file():
            run(sim, obs, folder, given.quick)
        if (folder / "results.json").is_file():
            print(table(json.loads((folder / "results.json").read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
