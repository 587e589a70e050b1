"""``simreal check``: whether your card and files, or a plug-in, are in order."""

import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from simreal.cli._show import progress_shown


@click.command(name="check")
@click.argument("what", metavar="CARD|metric")
@click.argument("name", required=False)
@click.option(
    "--role",
    type=click.Choice(["simulated", "observed"]),
    default="simulated",
    help="What a bare folder is taken for; a card says it itself.",
)
@click.option(
    "--track", type=click.Choice(["rgb", "flux"]), help="For collections that come in both."
)
@click.option("--all", "everything", is_flag=True, help="Read every file, not a sample.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Page with the stamps; default NAME-check.html.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(what: str, name: str | None, as_json: bool, **options: Any) -> int:
    """Check your own card and files, or a plug-in.

    CARD is a card (.toml), a catalogue name or a folder of images: every step is said, ten stamps
    are shown on a page, and what is to be fixed is named. The files are only read.

    For a plug-in: simreal check metric NAME runs the contract of a metric.
    """
    if what == "metric":
        if name is None:
            raise click.UsageError("name the metric: simreal check metric NAME")
        return _metric(name, as_json=as_json)
    if name is not None:
        raise click.UsageError(f"got {what!r} and {name!r}, allowed are one CARD, or metric NAME")
    from simreal.pipeline.check_card import check_card

    with progress_shown(quiet=as_json) as progress:
        checked = check_card(what, progress=progress, **options)
    found = checked.as_json()
    click.echo(json.dumps(found, indent=1) if as_json else _text(found))
    return 7 if not found["passed"] else 4 if found["n_rejected"] else 0


def _metric(name: str, *, as_json: bool) -> int:
    from simreal.compare.contract_suite import judge

    judged = judge(name)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in judged], indent=1))
    else:
        for one in judged:
            state = "kept" if one.passed else "BROKEN"
            click.echo(f"{one.check.replace('_', ' '):42} {state:7} {one.detail}".rstrip())
    return 0 if all(one.passed for one in judged) else 7


def _text(found: dict[str, Any]) -> str:
    lines = []
    for row in found["findings"]:
        state = row["state"].upper() if row["state"] == "broken" else row["state"]
        lines += textwrap.wrap(
            row["found"],
            width=100,
            initial_indent=f"{row['check']:28} {state:10}",
            subsequent_indent=" " * 39,
        )
        if row["fix"] and row["state"] in ("look", "broken"):
            lines += textwrap.wrap(
                row["fix"],
                width=100,
                initial_indent=" " * 39 + "-> ",
                subsequent_indent=" " * 42,
            )
    broken = sum(row["state"] == "broken" for row in found["findings"])
    looks = sum(row["state"] == "look" for row in found["findings"])
    lines.append("")
    lines.append(
        f"{found['name']}: in order, {looks} to look at"
        if not broken
        else f"{found['name']}: {broken} to fix, {looks} to look at"
    )
    lines.append(f"stamps: {found['contact_sheet']}")
    return "\n".join(lines)
