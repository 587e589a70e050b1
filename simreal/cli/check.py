"""``simreal check``: whether a plug-in keeps its contract."""

import json
from dataclasses import asdict

import click


@click.command(name="check")
@click.argument("kind", type=click.Choice(["metric"]))
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of objects.")
def command(kind: str, name: str, as_json: bool) -> int:
    """Run the contract of a plug-in: simreal check metric NAME."""
    del kind
    from simreal.compare.contract_suite import judge

    judged = judge(name)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in judged], indent=1))
    else:
        for one in judged:
            state = "kept" if one.passed else "BROKEN"
            click.echo(f"{one.check.replace('_', ' '):42} {state:7} {one.detail}".rstrip())
    return 0 if all(one.passed for one in judged) else 7
