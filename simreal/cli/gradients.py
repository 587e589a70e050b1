"""``simreal gradients``: which direction of an embedding goes along with which property."""

from pathlib import Path
from typing import Any

import click

from simreal.cli._show import progress_shown


@click.command(name="gradients")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--property", "properties", multiple=True, help="Repeat; default all numbers.")
@click.option("--side", help="Whose properties: sim (default) or obs.")
@click.option("--variant", help="Variant of the run; default the leading one.")
@click.option(
    "--hold", multiple=True, help="Property held fixed; repeat; default all the others; none."
)
@click.option("--log", multiple=True, help="Taken as decimal logarithm; repeat; default by shape.")
@click.option("--bins", type=int, help="Parts along a gradient; default 10.")
@click.option("--permutations", type=int, help="Shuffles behind each p-value; default 999.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Root seed; default 0.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder: JSON, figure, strips."
)
@click.option("--json", "as_json", is_flag=True, help="Print the JSON document and nothing else.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(run: Path, out: Path | None, as_json: bool, seed: int, **options: Any) -> int:
    """Ask which properties the embeddings of RUN hold, and along which directions.

    Per property: how well it is read off objects not seen, the direction in which the mean
    embedding moves as it rises with its 95 % cone, and the same with other properties held fixed.
    Associations, not causes.
    """
    import json

    from simreal.explain.gradients import GradientSettings
    from simreal.pipeline.gradients import GradientRequest, run_gradients

    given = {name: value for name, value in options.items() if value not in (None, ())}
    about = {name: given.pop(name) for name in ("properties", "side", "variant") if name in given}
    if given.get("hold") == ("none",):
        given["hold"] = ()
    request = GradientRequest(**about, settings=GradientSettings(**given), seed=seed)
    with progress_shown(quiet=as_json) as progress:
        found = run_gradients(run, request, out=out, progress=progress)
    if as_json:
        click.echo(json.dumps(found.document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        click.echo(str(found.found))
        strips = found.document["strips"]
        if strips is not None and not strips["drawn"]:
            click.echo(f"\nno strips of images: {strips['reason']}")
        if out is not None:
            click.echo(f"\nwritten: {out} ({len(found.files)} files)")
    return 0 if any(each.direction.vector is not None for each in found.found.properties) else 5
