"""Independent pieces of array work on several threads.

Sorting and selecting release the interpreter lock but use one core; matrix products use as many
threads as their library was given. The same budget holds here, so that ``OMP_NUM_THREADS`` means
what it says, and a worker that was told to use one thread uses one.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_budget() -> int:
    """Return how many threads the linear-algebra library may use.

    Examples
    --------
    >>> thread_budget() >= 1
    True
    """
    from threadpoolctl import threadpool_info

    budgets = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(1, min(budgets, default=1))


def threadpool_limits_of_blas(threads: int) -> AbstractContextManager[object]:
    """Return a context in which the linear-algebra library uses that many threads.

    Examples
    --------
    >>> with threadpool_limits_of_blas(1):
    ...     thread_budget()
    1
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(threads, user_api="blas")
    return limits


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int
) -> list[Result]:
    """Return ``function(item)`` of every item, in order, whatever the number of threads.

    Examples
    --------
    >>> in_threads(abs, [-1, 2, -3], threads=2)
    [1, 2, 3]
    """
    if threads == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))
