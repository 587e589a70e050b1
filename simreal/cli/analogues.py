"""``simreal analogues``: the simulated objects most like an image."""

from pathlib import Path
from typing import Any

import click

from simreal.cli._show import progress_shown
from simreal.core.errors import UsageError


@click.command(name="analogues")
@click.argument("image", metavar="IMAGE", type=click.Path(path_type=Path))
@click.option("--run", type=click.Path(path_type=Path), help="Folder of a finished run.")
@click.option("--in", "sim", help="Simulated collection to look in, where there is no run.")
@click.option("--encoder-from", help="With --in: shipped encoder, or folder of a frozen one.")
@click.option("--as", "card", help="Card of the image's survey; default that of the run.")
@click.option("--variant", help="Variant of the run; default the leading one.")
@click.option("--first", "k", type=int, help="How many are named; default 10.")
@click.option("--allow", multiple=True, help="resolution or exposure: go on where it differs.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Root seed; default 0.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder: JSON, picture."
)
@click.option("--json", "as_json", is_flag=True, help="Print the JSON document and nothing else.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(
    image: Path,
    run: Path | None,
    sim: str | None,
    encoder_from: str | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Find the simulated objects most like the IMAGE of a survey.

    The image goes through the matching of the run and its encoder, is refused where bands,
    resolution or exposure differ, and every distance is quoted beside those of real objects to
    their nearest real ones.
    """
    import json

    from simreal.pipeline.analogues import AnalogueRequest, run_analogues, run_for

    if (run is None) == (sim is None):
        raise UsageError("analogues: name either --run, a finished run, or --in, a collection")
    if sim is not None and (encoder_from is None or options["card"] is None):
        raise UsageError(
            "--in: name the encoder (--encoder-from sdss-rgb-v1) and the survey of the image "
            "(--as sdss) as well"
        )
    if run is not None and encoder_from is not None:
        raise UsageError("--encoder-from: a run has its own encoder; leave it out, or take --in")
    if not image.is_file():
        raise UsageError(f"{image}: no such image file")
    given = {name: value for name, value in options.items() if value not in (None, ())}
    request = AnalogueRequest(**given)
    with progress_shown(quiet=as_json) as progress:
        if run is None:
            folder = (out or Path("analogues")) / "run"
            run = run_for(
                str(sim),
                card=str(request.card),
                encoder_from=str(encoder_from),
                out=folder,
                progress=progress,
            )
        found = run_analogues(image, run, request, out=out, progress=progress)
    if as_json:
        click.echo(json.dumps(found.document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        click.echo(_text(found.document))
        click.echo(f"\n{found.found}")
        click.echo(f"\n{_both_ways(found.document['both_ways'])}")
        if out is not None:
            click.echo(f"\nwritten: {out}")
    return 0


def _text(document: dict[str, Any]) -> str:
    lines = [f"{document['image']} as {document['card']}, {document['variant']}"]
    for name, row in document["conditions"].items():
        if row["value"] is None:
            lines.append(f"{name:11} {row['measured_by']}: unknown ({row['reason']})")
        else:
            ends = f"{row['low']:.3g} to {row['high']:.3g}"
            where = "outside" if row["outside"] else "within"
            lines.append(f"{name:11} {row['measured_by']} {row['value']:.3g}, {where} {ends}")
    if document["trained_on"]:
        lines.append("note        the encoder was fitted on this very image")
    if document["picture"] is not None and not document["picture"]["drawn"]:
        lines.append(f"no picture: {document['picture']['reason']}")
    return "\n".join(lines)


def _both_ways(found: dict[str, Any]) -> str:
    lines = ["percentile of the distance to the other side among real-to-real distances"]
    for side in ("simulated", "real"):
        for end in ("most", "least"):
            rows = ", ".join(f"{row['id']} {row['percentile']:.0f}" for row in found[side][end])
            lines.append(f"  {end} realistic, {side}: {rows}")
    ours, theirs = found["mutual"], found["mutual_real"]
    lines.append(
        f"mutual nearest neighbours: {ours['value']:.3f} of simulated and real objects "
        f"({ours['low']:.3f} to {ours['high']:.3f}), {theirs['value']:.3f} between real halves "
        f"({theirs['low']:.3f} to {theirs['high']:.3f}), n = {ours['n']} a side"
    )
    return "\n".join(lines)
