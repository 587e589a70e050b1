"""Many independent repetitions, in one process or several, with the same results."""

import contextlib
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

Result = TypeVar("Result")
Progress = Callable[[str, int, int], None]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def repeated(
    task: Callable[[int], Result],
    repetitions: Sequence[int],
    *,
    workers: int = 1,
    label: str = "",
    progress: Progress | None = None,
) -> list[Result]:
    """Return ``task(i)`` for every i, in order, whatever the number of processes.

    One thread each: sums of floating-point numbers depend on how many threads share them, and
    processes that each start a thread per core get into each other's way.

    Parameters
    ----------
    task : callable
        ``task(i) -> result``; its randomness follows from i. With several workers it is pickled
        once for each of them.
    repetitions : sequence of int
    workers : int
        Processes; 1 runs in this one.
    label : str
        What `progress` is told.
    progress : callable(label, done, total), optional

    Examples
    --------
    >>> repeated(abs, [-2, 1])
    [2, 1]
    """
    found: list[Result] = []
    total = len(repetitions)
    results = _here(task, repetitions) if workers == 1 else _apart(task, repetitions, workers)
    with contextlib.closing(results):
        for result in results:
            found.append(result)
            if progress:
                progress(label, len(found), total)
    return found


def _here(
    task: Callable[[int], Result], repetitions: Sequence[int]
) -> Generator[Result, None, None]:
    for i in repetitions:
        with _one_thread():
            yield task(i)


def _apart(
    task: Callable[[int], Result], repetitions: Sequence[int], workers: int
) -> Generator[Result, None, None]:
    # Spawned, not forked: a forked child inherits the locks of threads it does not have.
    executor = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start, initargs=(task,)
    )
    try:
        yield from executor.map(_run, repetitions)
    finally:
        executor.shutdown(cancel_futures=True)


def _one_thread() -> Any:
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


_task: Callable[[int], Any] | None = None


def _start(task: Callable[[int], Any]) -> None:
    global _task  # noqa: PLW0603  # what a worker works on, set once when it starts
    for name in _THREAD_VARIABLES:  # libraries that are not loaded yet
        os.environ[name] = "1"
    _task = task


def _run(i: int) -> Any:
    assert _task is not None  # noqa: S101  # set by the initializer
    with _one_thread():
        return _task(i)
