"""``simreal embed``: vectors of one collection under a stored encoder."""

import json
from pathlib import Path
from typing import Any

import click

from simreal.cli._show import progress_shown


@click.command(name="embed")
@click.argument("collection")
@click.option(
    "--encoder-from", required=True, help="Shipped encoder, or a folder of 'simreal train'."
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="HDF5 file."
)
@click.option("--variant", help="What the encoder is shown; default the leading one.")
@click.option(
    "--role",
    type=click.Choice(["simulated", "observed"]),
    default="observed",
    help="What a bare folder is taken for; a card says it itself.",
)
@click.option(
    "--track", type=click.Choice(["rgb", "flux"]), help="For collections that come in both."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of synthetic collections.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object and nothing else.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(collection: str, as_json: bool, **options: Any) -> int:
    """Embed COLLECTION with a stored encoder, whose bands and size it must have.

    COLLECTION is a set of stamps that 'simreal match' wrote (sim.h5, obs.h5), or a catalogue
    name, card or folder of images that have the encoder's size already.
    """
    from simreal.pipeline.embed import embed_collection

    with progress_shown(quiet=as_json) as progress:
        done = embed_collection(collection, progress=progress, **options)
    embedding = done.embedding
    rows = {
        "file": str(done.path),
        "name": embedding.name,
        "n": len(embedding),
        "n_groups": embedding.n_groups,
        "dimension": int(embedding.vectors.shape[1]),
        "variant": done.variant,
        "encoder": done.encoder,
        "encoder_digest": embedding.encoder_digest,
        "notes": list(done.notes),
        "n_rejected": done.n_rejected,
    }
    click.echo(json.dumps(rows, indent=1) if as_json else _text(rows))
    return 4 if done.n_rejected else 0


def _text(rows: dict[str, Any]) -> str:
    lines = [
        f"{rows['name']}: {rows['n']} images of {rows['n_groups']} objects, as {rows['variant']}",
        f"encoder     {rows['encoder']}, {rows['dimension']} dimensions, "
        + rows["encoder_digest"][:12],
        *(f"note: {note}" for note in rows["notes"]),
        f"written     {rows['file']}",
    ]
    return "\n".join(lines)
