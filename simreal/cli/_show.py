"""Progress on a terminal, plain lines when piped, nothing in the way of ``--json``."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Progress = Callable[[str, int, int], None]

#: Seconds between plain lines of the same stage.
_EVERY = 10.0


@contextlib.contextmanager
def progress_shown(*, quiet: bool = False) -> Iterator[Progress]:
    """Yield a callback that shows ``(label, done, total)`` on standard error."""
    if quiet:
        yield _silent
    elif sys.stderr.isatty():
        yield from _bars()
    else:
        yield _lines()


def _silent(label: str, done: int, total: int) -> None:
    """Show nothing."""


def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, object] = {}

        def show(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done, total=total)  # type: ignore[arg-type]

        yield show


def _lines() -> Progress:
    last: dict[str, float] = {}

    def show(label: str, done: int, total: int) -> None:
        now = time.monotonic()
        finished = done >= total
        if finished or label not in last or now - last[label] >= _EVERY:
            last[label] = now
            state = "done" if finished else f"{done} of {total}" if done else "..."
            print(f"simreal: {label}: {state}", file=sys.stderr, flush=True)  # noqa: T201

    return show
