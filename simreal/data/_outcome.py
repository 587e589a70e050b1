"""What is said of a collection of which some or all of the inputs are broken."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from simreal.core.cards import Card
from simreal.core.errors import NothingUsableError
from simreal.core.results import Rejection

#: Above this share of broken files something is wrong with the collection, not with a file.
WORRYING_FRACTION = 0.2


def worry(n_inputs: int, rejected: Sequence[Rejection]) -> list[str]:
    """Return a warning where so much was rejected that the rest may be a biased sample."""
    if len(rejected) <= WORRYING_FRACTION * n_inputs:
        return []
    note = (
        f"warning: {len(rejected)} of {n_inputs} files were rejected ({by_code(rejected)}); what "
        "is left may be a biased sample"
    )
    return [note]


def nothing_usable(card: Card, folder: Path, rejected: Sequence[Rejection]) -> NothingUsableError:
    """Return the error of a collection with no usable input, naming the first reason."""
    first = rejected[0]
    return NothingUsableError(
        f"{card.name}: none of {len(rejected)} files in {folder} is usable ({by_code(rejected)}); "
        f"first: {first.reason}"
    )


def by_code(rejected: Sequence[Rejection]) -> str:
    """Return the codes of the rejected inputs with how often each came up."""
    counts = Counter(each.code for each in rejected)
    return ", ".join(f"{code} {n}" for code, n in counts.most_common())
