"""Errors that carry what was got, what is allowed and what to do.

Every error a user can cause is a `SimrealError` whose text is one line and whose
``exit_code`` is what the command line returns. ``assert`` is for our own logic only.
"""

import difflib
from collections.abc import Iterable


class SimrealError(Exception):
    """Base of every error a user can cause."""

    exit_code = 2


class UsageError(SimrealError):
    """A wrong name, option, card or value."""

    exit_code = 2


class NothingUsableError(SimrealError):
    """No input is left to work on."""

    exit_code = 3


class NotComputableError(SimrealError):
    """The inputs are fine but the number asked for does not exist for them."""

    exit_code = 5


class FootingError(NotComputableError):
    """Two sets were to be compared that are not on the same footing."""


class StorageError(SimrealError):
    """The disk, a lock or a stored file is in the way."""

    exit_code = 6


def did_you_mean(got: str, allowed: Iterable[str]) -> str:
    """Return a hint that names the nearest allowed word, or all of them.

    Examples
    --------
    >>> did_you_mean("egale", ["eagle", "sdss"])
    "did you mean 'eagle'? (allowed: eagle, sdss)"
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(got, names, n=1, cutoff=0.5)
    listed = ", ".join(names) if names else "none"
    return f"did you mean '{near[0]}'? (allowed: {listed})" if near else f"allowed: {listed}"
