"""``simreal cache``: look at the stage cache, or empty it."""

import json

import click


@click.command(name="cache")
@click.argument("action", type=click.Choice(["info", "path", "clear"]), default="info")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(action: str, as_json: bool) -> int:
    """Look at the stage cache (info, path), or empty it (clear)."""
    from simreal.pipeline.cache import StageCache, cache_folder

    cache = StageCache(cache_folder())
    if action == "path":
        click.echo(json.dumps({"path": str(cache.folder)}) if as_json else str(cache.folder))
        return 0
    if action == "clear":
        removed = cache.clear()
        click.echo(json.dumps({"removed": removed}) if as_json else f"removed {removed} entries")
        return 0
    stages: dict[str, dict[str, int]] = {}
    for entry in cache.entries():
        stage = stages.setdefault(entry.stage, {"entries": 0, "bytes": 0})
        stage["entries"] += 1
        stage["bytes"] += entry.bytes
    if as_json:
        click.echo(json.dumps({"path": str(cache.folder), "stages": stages}))
        return 0
    click.echo(str(cache.folder))
    for name, stage in stages.items():
        click.echo(f"{name:10} {stage['entries']:5d} entries {stage['bytes'] / 1e6:10.1f} MB")
    return 0
