"""Files with many objects, each opened and checked once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from simreal.data._files import FoundFile
from simreal.data._quarantine import BadFileError

T = TypeVar("T")


@contextmanager
def kept_open(
    opener: Callable[[FoundFile], AbstractContextManager[T]], *, limit: int = 64
) -> Iterator[Callable[[FoundFile], T]]:
    """Yield a function that opens a file with `opener`, or returns it where it is open already.

    At most `limit` files stay open; the one that was opened first is closed for the next. What
    was wrong with a file is said again every time it is asked for.
    """
    known: dict[Path, T] = {}
    broken: dict[Path, BadFileError] = {}
    closing: dict[Path, ExitStack] = {}

    def get(file: FoundFile) -> T:
        if file.path in broken:
            raise BadFileError(broken[file.path].code, broken[file.path].reason)
        if file.path not in known:
            while len(closing) >= limit:
                oldest = next(iter(closing))
                known.pop(oldest)
                closing.pop(oldest).close()
            with ExitStack() as stack:
                try:
                    known[file.path] = stack.enter_context(opener(file))
                except BadFileError as error:
                    broken[file.path] = error
                    raise
                closing[file.path] = stack.pop_all()
        return known[file.path]

    try:
        yield get
    finally:
        for stack in closing.values():
            stack.close()
