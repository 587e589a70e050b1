"""``simreal leaderboard``: a benchmark from nothing to its board."""

from pathlib import Path
from typing import Any

import click

from simreal.cli._show import progress_shown


@click.command(name="leaderboard")
@click.argument("card")
@click.option("--runs", type=click.Path(path_type=Path), help="Run folders; default OUT/runs.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default boards/CARD.")
@click.option(
    "--sim",
    "entered",
    multiple=True,
    help="Enter a simulation beside the card's rows: catalogue name, card or folder; repeat.",
)
@click.option("--json", "as_json", is_flag=True, help="Print board.json and nothing else.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(
    card: str, runs: Path | None, out: Path | None, entered: tuple[str, ...], as_json: bool
) -> int:
    """Build the board of CARD, a shipped benchmark or a TOML card, from its run folders.

    Runs that are missing, damaged or made with other settings are made; the others are used
    as they are.
    """
    from simreal.pipeline.leaderboard import BOARD, PAGE, make_leaderboard

    with progress_shown(quiet=as_json) as progress:
        made = make_leaderboard(card, out=out, runs=runs, entered=entered, progress=progress)
    if as_json:
        click.echo((made.folder / BOARD).read_text(encoding="utf-8"), nl=False)
    else:
        click.echo(_summary(made.board))
        click.echo(f"runs: {len(made.made)} made, {len(made.reused)} used again")
        click.echo(f"scorecard: {made.folder / PAGE}")
    return 0


def _summary(board: dict[str, Any]) -> str:
    from simreal.report.leaderboard import board_view

    view = board_view(board)
    names = [label for _, label in view["metrics"]]
    lines = [board["card"]["title"], view["said"], ""]
    for table in view["tables"][:1]:
        lines.append(f"excess over the floor, {table['label']}")
        head = f"{'rank':9} {'row':28} {'audit':13} " + " ".join(f"{n:>24}" for n in names)
        lines.append(head)
        for row in table["rows"]:
            cells = " ".join(f"{cell['text']:>24}" for cell in row["cells"])
            lines.append(f"{row['rank']:9} {row['name'][:28]:28} {row['verdict']:13} {cells}")
    lines += ["", *(f"not ranked: {row['name']}: {row['reason']}" for row in view["unranked"])]
    lines += [f"resolution: {text}" for text in view["weak"]]
    return "\n".join(lines)
