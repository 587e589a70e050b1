"""``simreal verify``: recompute a run or a board from its embeddings."""

import json
from pathlib import Path

import click


@click.command(name="verify")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--card", help="Benchmark it must conform to: a shipped name or a TOML card.")
@click.option("--runs", type=click.Path(path_type=Path), help="Runs of a board; default in it.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object and nothing else.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(folder: Path, card: str | None, runs: Path | None, as_json: bool) -> int:
    """Recompute the run or board in FOLDER from its embeddings; leave with 7 if it differs."""
    from simreal.pipeline.verify import NotVerifiedError, verify

    try:
        found = verify(folder, card=card, runs=runs)
    except NotVerifiedError as error:
        if as_json:
            click.echo(json.dumps({"verified": False, "reason": str(error)}, indent=1))
            return error.exit_code
        raise
    if as_json:
        shown = {"verified": True, "what": found.what, "checked": list(found.checked)}
        click.echo(json.dumps(shown, indent=1))
    else:
        click.echo(f"{folder}: verified ({found.what})")
        click.echo("\n".join(f"  {text}" for text in found.checked))
    return 0
