"""``simreal match``: both sides on the same footing, without comparing them."""

import json
from pathlib import Path
from typing import Any

import click

from simreal.cli import _options
from simreal.cli._show import progress_shown


@click.command(name="match")
@_options.collections
@_options.matching
@_options.seed
@click.option("--config", type=click.Path(path_type=Path), help="Settings as run.toml.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default matched/SIM_vs_OBS.")
@click.option(
    "--strip", type=click.Path(path_type=Path), help="Picture (PNG) of ten stamps of either side."
)
@click.option("--json", "as_json", is_flag=True, help="Print match.json and nothing else.")
@click.option("-v", "--verbose", is_flag=True, help="Print every step with its numbers.")
@_options.debug
def command(
    config: Path | None,
    out: Path | None,
    strip: Path | None,
    as_json: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Bring a simulated and an observed collection to the same observing conditions.

    Writes both matched sets (HDF5), match.json, excluded.csv and rejected.csv. A comparison with
    the same settings goes on from here.
    """
    from simreal.pipeline.match import run_match
    from simreal.pipeline.settings import resolve

    given = {key: value for key, value in options.items() if value not in (None, (), False)}
    settings = resolve(given, config=config)
    with progress_shown(quiet=as_json) as progress:
        run = run_match(settings, out=out, strip=strip, progress=progress)
    if as_json:
        click.echo(json.dumps({**run.match, "n": dict(run.n), "folder": str(run.folder)}))
    else:
        click.echo(_text(run, verbose=verbose))
    return 4 if run.rejected else 0


def _text(run: Any, *, verbose: bool) -> str:
    match = run.match
    frame = match["frame"]
    unit = "" if frame["unit"] is None else f" {frame['unit']}"
    sizes = f"{frame['stamp']} x {frame['stamp']} pixels"
    lines = [
        f"matched     {run.n['sim']} simulated, {run.n['obs']} observed images of {sizes}",
        f"frame       {frame['kind']}, {_number(frame['width'])}{unit}; {frame['note']}",
        "kept        "
        + ", ".join(f"{side} {100 * share:.1f} %" for side, share in _fractions(match)),
    ]
    if verbose:
        lines += ["", *map(_step, match["steps"])]
    lines += ["", f"{'check':50} {'value':>12} {'allowed':>22} verdict"]
    lines += [_check(row) for row in match["checks"]]
    lines += ["", f"{'balance':28} {'sim mean':>12} {'obs mean':>12} {'difference':>11}"]
    lines += [_balance(row) for row in match["balance"]]
    lines += [f"warning: {text}" for text in match["warnings"]]
    if match["residual_differences"]:
        lines.append(f"still differ: {', '.join(match['residual_differences'])}")
    lines += [
        f"rejected    {len(run.rejected)}",
        f"excluded    {len(match['excluded'])}",
        f"written     {run.folder}",
    ]
    if run.strip is not None:
        lines.append(f"strip       {run.strip}")
    return "\n".join(lines)


def _fractions(match: dict[str, Any]) -> list[tuple[str, float]]:
    return [(side, float(share)) for side, share in match["matched_fraction"].items()]


def _check(row: dict[str, Any]) -> str:
    low, high = row["low_limit"], row["high_limit"]
    open_end = "no limit" if low is None and high is None else "no verdict"
    state = {True: "inside", False: "OUTSIDE", None: open_end}[row["passed"]]
    allowed = "" if low is None and high is None else f"{_number(low)} to {_number(high)}"
    value = f"{_number(row['value'])} {row['unit']}".rstrip()
    return f"{row['name'][:50]:50} {value:>12} {allowed:>22} {state}"


def _balance(row: dict[str, Any]) -> str:
    return (
        f"{row['property'][:28]:28} {_number(row['sim_mean']):>12} {_number(row['obs_mean']):>12} "
        f"{_number(row['smd']):>11}"
    )


def _step(row: dict[str, Any]) -> str:
    def numbers(values: dict[str, Any]) -> str:
        return ", ".join(
            f"{key} {_number(value) if isinstance(value, float | int) else value}"
            for key, value in values.items()
            if value is not None
        )

    text = f"{row['side']:4} {row['name']}: {numbers(row['before'])} -> {numbers(row['after'])}"
    return f"{text} ({row['note']})" if row["note"] else text


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
