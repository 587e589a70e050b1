"""``simreal compare``: the main job."""

import json
import shlex
from pathlib import Path
from typing import Any

import click

from simreal.cli import _options
from simreal.cli._show import progress_shown

#: Options whose name is not that of the setting.
_OPTIONS = {
    "metrics": "--metric",
    "check_encoders": "--check-encoder",
    "bridges": "--bridge",
    "plants": "--plant",
}


@click.command(name="compare")
@_options.collections
@click.option("--encoder", help="Encoder (see 'simreal list encoders'); default simclr.")
@click.option("--mode", help="pooled (default), or frozen: fitted on observations not scored.")
@click.option(
    "--encoder-from",
    help="Shipped encoder, a folder of 'simreal train', or 'encoder' of a frozen run.",
)
@click.option("--embeddings", help="With --encoder file: .parquet, .npz, .npy or .h5 with ids.")
@_options.training
@click.option(
    "--check-encoder",
    "check_encoders",
    multiple=True,
    help="Encoder that must agree; repeat for several, 'none' for none.",
)
@click.option("--encoder-seeds", type=click.IntRange(min=1), help="Seeds to train with; default 1.")
@click.option(
    "--metric", "metrics", multiple=True, help="Metric; repeat for several; 'fast' or 'all'."
)
@click.option("--ceiling", help="Bad mock: pixel-permuted (default), KIND=SEVERITY or none.")
@click.option("--audit", help="fast (default), full or none; see 'simreal audit'.")
@_options.faults
@click.option("--explain", help="full (default) or none: regions, property maps, gradients.")
@click.option(
    "--strata", multiple=True, metavar="PROPERTY", help="Compare at fixed property; repeat."
)
@click.option("--strata-bins", type=click.IntRange(min=2), help="Quantile bins per property.")
@_options.matching
@_options.seed
@click.option("--permutations", type=int, help="Permutations behind each p; default 999.")
@_options.threads
@_options.device
@click.option("--quick", is_flag=True, help="A fixed, smaller preset; see 'quick' in the docs.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings as run.toml.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default runs/SIM_vs_OBS.")
@click.option(
    "--fail-above",
    multiple=True,
    metavar="METRIC=VALUE",
    help="Leave with exit code 7 if the interval of a leading metric begins above this.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="An earlier run on the same observations: is this one closer? Paired; text and JSON.",
)
@click.option("--dry-run", is_flag=True, help="Print stages, sizes and cache hits; do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print results.json and nothing else.")
@click.option("-v", "--verbose", is_flag=True, help="Print every warning and match check.")
@_options.debug
def command(
    quick: bool,
    config: Path | None,
    out: Path | None,
    fail_above: tuple[str, ...],
    against: Path | None,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Compare a simulated with an observed collection and write a report."""
    from simreal.pipeline.limits import crossed, parse_limits
    from simreal.pipeline.plan import describe, make_plan
    from simreal.pipeline.run import run_comparison
    from simreal.pipeline.settings import resolve
    from simreal.pipeline.thresholds import against_lines, check_against, paired_with

    given = {key: value for key, value in options.items() if value not in (None, (), False)}
    settings = resolve(given, config=config, quick=quick)
    limits = parse_limits(fail_above, settings.metrics)
    check_against(against, out)
    if dry_run:
        rows = describe(make_plan(settings))
        click.echo(json.dumps(rows) if as_json else _planned(rows))
        return 0
    with progress_shown(quiet=as_json and not verbose) as progress:
        command_line = _command_line(given, config=config, quick=quick)
        run = run_comparison(settings, out=out, progress=progress, command=command_line)
    paired = None if against is None else paired_with(against, run.folder)
    if as_json:
        text = (run.folder / "results.json").read_text(encoding="utf-8")
        click.echo(_with_against(text, paired), nl=False)
    else:
        click.echo(_summary(run.results, run.folder, verbose=verbose))
        click.echo(
            "\n".join(() if paired is None else against_lines(paired)), nl=paired is not None
        )
    over = crossed(run.results, limits)
    for line in over:
        click.echo(f"simreal: {line}", err=True)
    return 7 if over else 4 if run.n_rejected else 0


def _with_against(text: str, paired: dict[str, Any] | None) -> str:
    """Return the results as they were written, with the paired differences added if there are."""
    if paired is None:
        return text
    return json.dumps({**json.loads(text), "against": paired}, indent=2, ensure_ascii=False)


def _command_line(given: dict[str, Any], *, config: Path | None, quick: bool) -> str:
    """Return the command that repeats the numbers: where it wrote and printed is left out."""
    words = ["simreal", "compare"]
    words += ["--config", str(config)] if config else []
    words += ["--quick"] if quick else []
    for name, value in given.items():
        option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
        if value is True:
            words.append(option)
            continue
        for item in value if isinstance(value, tuple) else (value,):
            words += [option, str(item)]
    return shlex.join(words)


def _planned(rows: list[dict[str, Any]]) -> str:
    return "\n".join(f"{row['stage']:20} {row['state']:12} {row['detail']}" for row in rows)


def _summary(results: Any, folder: Path, *, verbose: bool) -> str:
    from simreal.report.audit_text import audit_lines

    lines = [results["headline"], ""]
    lines.append(f"{'variant':10} {'metric':20} {'value':>10} {'95 % interval':>24} "
                 f"{'floor (2.5-97.5 %)':>28} {'excess':>8} {'p':>8} {'Holm p':>8} "
                 f"{'n':>5}")  # fmt: skip
    for row in results["comparisons"]:
        if row["value"] is None:
            lines.append(f"{row['variant']:10} {row['metric']:20} not computable: {row['reason']}")
            continue
        floor = row["floor"]
        interval = f"[{row['low']:.4g}, {row['high']:.4g}]"
        at_floor = (
            f"{floor['median']:.3g} ({floor['low']:.3g}-{floor['high']:.3g})" if floor else "none"
        )
        excess = "-" if row["excess"] is None else f"{row['excess']:.3f}"
        lines.append(
            f"{row['variant']:10} {row['metric']:20} {row['value']:10.4g} {interval:>24} "
            f"{at_floor:>28} {excess:>8} {row['p_value']:8.3g} {row['p_adjusted']:8.3g} "
            f"{row['n_sim']:5d}"
        )
    lines += ["", *audit_lines(results, brief=not verbose), ""]
    if dependent := results["robustness"]["encoder_dependent"]:
        lines.append(f"encoders disagree on {', '.join(dependent)}: see the report")
    warnings = results["warnings"]
    shown = warnings if verbose else warnings[:3]
    lines += [f"warning: {text}" for text in shown]
    if len(shown) < len(warnings):
        lines.append(f"({len(warnings) - len(shown)} more warnings in the report; -v prints them)")
    if verbose:
        lines += [_check(row) for row in results["match_checks"]]
    if results["rejected"]:
        lines.append(f"{len(results['rejected'])} files rejected: {folder / 'rejected.csv'}")
    if results["excluded"]:
        lines.append(f"{len(results['excluded'])} images excluded: {folder / 'excluded.csv'}")
    lines.append(f"report: {folder / 'report.html'}")
    return "\n".join(lines)


def _check(row: dict[str, Any]) -> str:
    state = {True: "inside", False: "OUTSIDE", None: "no verdict"}[row["passed"]]
    value = "-" if row["value"] is None else f"{row['value']:.4g} {row['unit']}"
    return f"check: {row['name']}: {value} ({state} [{row['low_limit']}, {row['high_limit']}])"
