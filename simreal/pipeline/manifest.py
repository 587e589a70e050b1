"""The manifest of a run folder: the sha256 of every file the run wrote, written last.

A folder with a manifest is a finished run; a file that is gone or was altered since is named.
Files that others add later, such as a table made of the embeddings, are not its business.
"""

import json
from pathlib import Path
from typing import Any

from simreal.core.errors import StorageError
from simreal.core.provenance import file_digest

MANIFEST = "manifest.json"
FORMAT = 1

#: The manifest itself, and what is written beside a run after its end.
_NOT_OF_THE_RUN = (MANIFEST, "against.json")


def write_manifest(folder: Path) -> Path:
    """Write the sha256 of every file in `folder` and return the manifest's path."""
    from simreal.report.tables import write_text

    files = {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in _NOT_OF_THE_RUN and not path.name.startswith(".")
    }
    return write_text(json.dumps({"format": FORMAT, "files": files}, indent=1), folder / MANIFEST)


def read_manifest(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of a run.

    Raises
    ------
    StorageError
        If there is no manifest, or it is not one.
    """
    path = folder / MANIFEST
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        layout, files = content["format"], dict(content["files"])
    except FileNotFoundError:
        raise StorageError(
            f"{folder}: no {MANIFEST}, so this is no finished run; make it again with 'simreal "
            "compare --config run.toml'"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path}: not a manifest ({error}); make the run again") from None
    if layout != FORMAT:
        raise StorageError(
            f"{path}: got format {layout!r}, allowed is {FORMAT}; make the run again"
        )
    return files


def altered_files(folder: Path) -> list[str]:
    """Return what is missing or altered since the manifest was written, in words.

    Raises
    ------
    StorageError
        If there is no manifest.
    """
    found = []
    for name, digest in read_manifest(folder).items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif file_digest(path) != digest:
            found.append(f"{name} was altered")
    return found


def check_manifest(folder: Path) -> None:
    """Refuse a run folder that is not as the run left it.

    Raises
    ------
    StorageError
        Naming the first file, how many there are and what to do.
    """
    found = altered_files(folder)
    if found:
        more = f" ({len(found)} files in all)" if len(found) > 1 else ""
        raise StorageError(
            f"{folder}: {found[0]} since the run was written{more}; make the run again"
        )
