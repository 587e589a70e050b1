"""``simreal cite``: whom to cite for a run."""

import json
from pathlib import Path

import click


@click.command(name="cite")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--bibtex", "as_bibtex", is_flag=True, help="Print BibTeX and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object and nothing else.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def command(run: Path, as_bibtex: bool, as_json: bool) -> int:
    """Print references, acknowledgements and licences of everything RUN, or a board, used."""
    from simreal.pipeline.citations import bibtex
    from simreal.pipeline.cite import as_text, credits_of

    owed = credits_of(run)
    if as_bibtex:
        click.echo(bibtex(owed.references))
    elif as_json:
        references = [
            {"text": one.text, "key": one.key, "used_for": list(one.used_for)}
            for one in owed.references
        ]
        shown = {"references": references, "collections": list(owed.collections)}
        click.echo(json.dumps({**shown, "notes": list(owed.notes)}, indent=1, ensure_ascii=False))
    else:
        click.echo(as_text(owed))
    return 0
