"""Quarantine: one broken file becomes one line, and the rest goes on."""

import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from simreal.core.cards import Card
from simreal.core.provenance import file_digest
from simreal.core.results import Rejection
from simreal.data._files import FoundFile

#: No stamp is this large [byte].
MAX_BYTES = 512_000_000


class BadFileError(Exception):
    """A file that is quarantined: a code, and what was got, is allowed and to be done."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@contextmanager
def opened(file: FoundFile) -> Iterator[BinaryIO]:
    """Open a regular file; a pipe would wait for ever and a link may lead nowhere.

    Raises
    ------
    BadFileError
        If it cannot be read.
    """
    try:
        status = file.path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BadFileError("E_READ", "is not a regular file, allowed is one; remove it")
        if status.st_size > MAX_BYTES:
            raise BadFileError(
                "E_BIG", f"got {status.st_size:,} bytes, allowed are {MAX_BYTES:,}; cut it up"
            )
        with open(file.path, "rb") as handle:
            yield handle
    except OSError as error:
        raise BadFileError(
            "E_READ",
            f"cannot be read ({error.strerror or error}), allowed is a readable file; check its "
            "permissions",
        ) from None


def rejection(card: Card, file: FoundFile, error: BadFileError) -> Rejection:
    """Return the row of ``rejected.csv`` for a broken file."""
    try:
        digest = file_digest(file.path) if file.path.is_file() else ""
    except OSError:
        digest = ""
    return Rejection(
        id=shown(identity(file)),
        path=shown((Path(card.files.folder or "") / file.name).as_posix()),
        code=error.code,
        reason=f"{shown(file.name)}: {error.reason}",
        sha256=digest,
    )


def identity(file: FoundFile) -> str:
    """Return the id of the object in a file: its name without the ending, as NFC text."""
    return normal(str(PurePosixPath(file.name).with_suffix("")))


def normal(name: str) -> str:
    """Return a name in the one form (NFC) in which equal names are equal."""
    return unicodedata.normalize("NFC", name)


def is_plain(name: str) -> bool:
    """Return whether a name is free of control characters and broken UTF-8."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)


def shown(name: str) -> str:
    r"""Return a name that stays on one line and can be written as UTF-8.

    Examples
    --------
    >>> print(shown("one\ntwo"))
    one\ntwo
    """
    return "".join(
        letter if is_plain(letter) else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )
