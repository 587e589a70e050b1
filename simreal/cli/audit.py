"""``simreal audit``: whether a distance measures galaxies."""

import json
from pathlib import Path
from typing import Any

import click

from simreal.cli import _options
from simreal.cli._show import progress_shown


@click.command(name="audit")
@click.argument("run", required=False, type=click.Path(path_type=Path))
@click.option("--sim", help="Simulated collection, where no finished run is named.")
@click.option("--obs", help="Observed collection, where no finished run is named.")
@click.option("--full", is_flag=True, help="Add the checks that match and embed again (minutes).")
@_options.faults
@_options.seed
@_options.threads
@click.option("--quick", is_flag=True, help="A fixed, smaller preset for the comparison.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default that of the run.")
@click.option("--json", "as_json", is_flag=True, help="Print the audit as JSON and nothing else.")
@_options.debug
def command(
    run: Path | None,
    full: bool,
    quick: bool,
    nuisance: bool,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Audit a comparison: simreal audit RUN, or simreal audit --sim NAME --obs NAME.

    RUN is the folder of a finished comparison; its settings are taken from run.toml, its cached
    stages are used again, and its report is written anew.
    """
    from simreal.pipeline.run import run_comparison
    from simreal.pipeline.settings import resolve
    from simreal.report.audit_text import audit_lines

    given = {key: value for key, value in options.items() if value not in (None, ())}
    given |= ({"audit": "full"} if full else {}) | ({"nuisance": True} if nuisance else {})
    config = None if run is None else run / "run.toml"
    settings = resolve(given, config=config, quick=quick)
    if settings.audit == "none":
        settings = settings.model_copy(update={"audit": "fast"})
    with progress_shown(quiet=as_json) as progress:
        done = run_comparison(
            settings, out=out or run, progress=progress, command=_words(run, given, quick=quick)
        )
    if as_json:
        click.echo(json.dumps(done.results["audit"], indent=1))
    else:
        click.echo("\n".join([done.results["headline"], "", *audit_lines(done.results)]))
        click.echo(f"report: {done.folder / 'report.html'}")
    return 4 if done.n_rejected else 0


def _words(run: Path | None, given: dict[str, Any], *, quick: bool) -> str:
    """Return the command that repeats the numbers."""
    import shlex

    words = ["simreal", "audit", *([str(run)] if run else []), *(["--quick"] if quick else [])]
    for name, value in given.items():
        if name == "audit":
            words.append("--full")
        elif name == "nuisance":
            words.append("--nuisance")
        else:
            option = {"bridges": "--bridge", "plants": "--plant"}.get(name, f"--{name}")
            for item in value if isinstance(value, tuple) else (value,):
                words += [option, str(item)]
    return shlex.join(words)
