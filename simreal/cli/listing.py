"""``simreal list``: what there is to choose from."""

import json
from typing import Any

import click


@click.command(name="list")
@click.argument(
    "what",
    type=click.Choice(
        ["catalogues", "benchmarks", "encoders", "augmentations", "metrics", "checks"]
    ),
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of objects.")
def command(what: str, as_json: bool) -> int:
    """List catalogues, benchmarks, encoders, augmentation presets, metrics or audit checks."""
    from simreal.pipeline import inventory

    rows = getattr(inventory, what)()
    click.echo(json.dumps(rows, indent=1) if as_json else _table(rows))
    return 0


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "none"
    keys = list(rows[0])
    width = {key: max(len(key), *(len(str(row[key])) for row in rows)) for key in keys}
    lines = ["  ".join(key.ljust(width[key]) for key in keys)]
    lines += ["  ".join(str(row[key]).ljust(width[key]) for key in keys) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
