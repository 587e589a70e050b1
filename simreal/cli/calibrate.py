"""``simreal calibrate``: rerun level, power, coverage, ladder and planted errors."""

import json
from pathlib import Path
from typing import Any

import click

from simreal.cli._show import progress_shown


@click.command(name="calibrate")
@click.option("--metric", "metrics", multiple=True, help="Metric; repeat for several.")
@click.option(
    "--part",
    "parts",
    multiple=True,
    help="level, power, coverage, ladder or planted; repeat for several; default all.",
)
@click.option(
    "--null",
    "nulls",
    multiple=True,
    help="Null of the level: gaussian, survey or images; repeat for several; default all.",
)
@click.option("--quick", is_flag=True, help="A fixed, smaller preset: about a minute.")
@click.option("--repetitions", type=int, help="Of a fast metric; default 500.")
@click.option("--n", type=int, help="Objects a side of level and coverage; default 100.")
@click.option("--obs", help="Observed collection; default sdss, or toy-survey without it.")
@click.option(
    "--encoder", help="Encoder of survey, ladder and images; default simclr, simclr, pca."
)
@click.option("--seed", type=click.IntRange(min=0), help="Root seed; default 0.")
@click.option(
    "--workers",
    "--threads",
    "workers",
    type=click.IntRange(min=1),
    help="Processes; default all cores. They change no number.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write the JSON document here too.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON document and nothing else.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the tables of the docs.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(
    out: Path | None,
    as_json: bool,
    as_markdown: bool,
    workers: int | None,
    **options: Any,
) -> int:
    """Check level, power, coverage, ladder and planted errors of any metric."""
    from simreal.pipeline.calibrate import CalibrateSettings, run_calibration
    from simreal.pipeline.calibration_document import markdown, table
    from simreal.pipeline.plan import usable_cores

    given = {key: value for key, value in options.items() if value not in (None, ())}
    settings = CalibrateSettings(workers=workers or usable_cores(), **given)
    with progress_shown(quiet=as_json) as progress:
        results = run_calibration(settings, progress=progress)
    text = json.dumps(results, indent=1, allow_nan=False)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8")
    click.echo(text if as_json else markdown(results) if as_markdown else table(results))
    return 0 if results["passed"] else 7
