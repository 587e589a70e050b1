"""``simreal doctor``: what works on this machine and what does not."""

import json

import click


@click.command(name="doctor")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(as_json: bool) -> int:
    """Say what works on this machine and what does not; exit 1 if something is broken."""
    from simreal.pipeline.health import examine

    rows = examine()
    if as_json:
        click.echo(json.dumps({"checks": rows, "ok": all(row["ok"] for row in rows)}, indent=1))
    else:
        for row in rows:
            click.echo(f"{'ok  ' if row['ok'] else 'FAIL'}  {row['name']}: {row['detail']}")
    return 0 if all(row["ok"] for row in rows) else 1
