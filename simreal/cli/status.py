"""``simreal status``: where a run stands."""

import json
from pathlib import Path

import click


@click.command(name="status")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list and nothing else.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(run: Path, as_json: bool) -> int:
    """Say what of RUN, a run or a board, is finished and what a rerun would do.

    Leaves with 1 where something is missing. Repeating the command resumes: finished stages are
    in the cache.
    """
    from simreal.pipeline.status import as_text, status_of

    found = status_of(run)
    if as_json:
        click.echo(json.dumps([one.as_dict() for one in found], indent=1))
    else:
        click.echo("\n".join(as_text(one) for one in found))
    return 0 if all(one.finished for one in found) else 1
