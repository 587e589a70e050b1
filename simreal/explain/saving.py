"""What is explained, as a file: whole or not at all."""

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from simreal.core.errors import StorageError, UsageError


def save_as(path: str | Path, writers: Mapping[str, Callable[[], bytes]]) -> Path:
    """Write what the suffix of `path` asks for, by way of a file beside it.

    Parameters
    ----------
    path : str or Path
    writers : mapping of str to callable
        Suffix, such as ``".json"``, to what makes the content.

    Raises
    ------
    UsageError
        If there is no such suffix.
    StorageError
        If the disk refuses.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in writers:
        raise UsageError(f"{path}: allowed are names that end in {', '.join(writers)}")
    content = writers[suffix]()
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path
