"""``simreal ingest``: read a collection and say what came of it."""

import json
from pathlib import Path
from typing import Any

import click

from simreal.cli._show import progress_shown

#: Broken files shown on the terminal; all of them are in the table and in the JSON.
_SHOWN = 5


@click.command(name="ingest")
@click.argument("collection")
@click.option(
    "--role",
    type=click.Choice(["simulated", "observed"]),
    default="simulated",
    help="What a bare folder is taken for; a card says it itself.",
)
@click.option(
    "--track", type=click.Choice(["rgb", "flux"]), help="For collections that come in both."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of synthetic collections.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Store to write (HDF5)."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object and nothing else.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(collection: str, as_json: bool, **options: Any) -> int:
    """Read COLLECTION: a catalogue name, a card (.toml) or a folder of images.

    Without --out the images go to the stage cache, where a comparison finds them.
    """
    from simreal.pipeline.ingest import described, read_collection

    with progress_shown(quiet=as_json) as progress:
        found = read_collection(collection, progress=progress, **options)
    rows = described(found)
    click.echo(json.dumps(rows, indent=1) if as_json else _text(rows))
    return 4 if found.rejected else 0


def _text(rows: dict[str, Any]) -> str:
    height, width = rows["size"]
    lines = [
        f"{rows['name']}: {rows['title']}",
        f"images      {rows['n']} of {rows['n_groups']} objects, {height} x {width} pixels",
        f"sample      {rows['role']}, {rows['sampling']}",
        f"bands       {', '.join(rows['bands'])} ({rows['track']} track)",
        f"unit        {rows['unit']}",
        f"scale       {_scale(rows)}",
    ]
    if rows["redshift"]:
        lines.append(f"redshift    {_range(rows['redshift'])}")
    psf = _range(rows["psf_fwhm"], " pixels FWHM") if rows["psf_fwhm"] else ""
    psf = psf or ("images of it" if rows["has_psf"] else "not stated")
    lines.append(f"PSF         {psf}; noise {_range(rows['noise'], ' ' + rows['unit'])}")
    if rows["masked"]:
        lines.append(f"masked      {100 * rows['masked']:.1f} % of the pixels")
    if rows["properties"]:
        lines.append(f"properties  {', '.join(rows['properties'])}")
    lines += [f"note: {note}" for note in rows["notes"]]
    lines.append(f"rejected    {rows['n_rejected']}")
    lines += [f"  {row['code']:10} {row['reason']}" for row in rows["rejected"][:_SHOWN]]
    if rows["n_rejected"] > _SHOWN:
        lines.append(f"  ... and {rows['n_rejected'] - _SHOWN} more (--json prints all)")
    lines.append(f"store       {rows['store']}{' (read before)' if rows['cached'] else ''}")
    return "\n".join(lines)


def _scale(rows: dict[str, Any]) -> str:
    known = [
        _range(rows[key], unit)
        for key, unit in (("pixel_scale", " arcsec / pixel"), ("physical_scale", " kpc / pixel"))
        if rows[key]
    ]
    return " and ".join(known) or "not stated"


def _range(spread: dict[str, float] | None, unit: str = "") -> str:
    if spread is None:
        return "not stated"
    if spread["min"] == spread["max"]:
        return f"{spread['median']:.4g}{unit}"
    return f"{spread['median']:.4g} ({spread['min']:.4g} to {spread['max']:.4g}){unit}"
