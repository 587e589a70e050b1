"""Labels from a table of one's own, and vote fractions in the layout of Galaxy Zoo 2.

Ids are compared as text. An object id of 18 digits that a spreadsheet or a floating-point column
has rounded belongs to another galaxy, so such a table is refused. In the layout of Galaxy Zoo 2
(Hart et al. 2016, MNRAS 461, 3663) images are named by ``asset_id`` and votes kept by ``dr7objid``;
a second table maps one to the other. A fraction is missing where too few came to the question.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simreal.core.cards import PropertyColumn
from simreal.core.errors import UsageError
from simreal.data.tables import TextTable, is_missing, number, read_text_table, typed_values

if TYPE_CHECKING:
    from simreal.core.arrays import StrArray

#: Votes on a question below which its fractions are taken as missing.
LEAST_VOTES = 20
#: Columns of the table that maps names of images to object ids.
MAPPED, MAPPING = "objid", "asset_id"

_ROUNDED = re.compile(r"^\d(\.\d+)?[eE]\+?\d+$|^\d{10,}\.0+$")
_ANSWER = re.compile(
    r"^(?P<question>t\d\d)_(?P<answer>.+_a\d\d_.+)_"
    r"(?:count|weight|fraction|weighted_fraction|debiased)$"
)


class NoObjectError(UsageError):
    """None of the objects is in the table."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JoinedLabel:
    """One column of a table, for objects in an order of their own.

    Parameters
    ----------
    name : str
    values : Column, MaskedColumn or Quantity (n,)
        Numbers if every cell that is not missing is one, else text.
    n_found : int
        Objects with a row in the table.
    n_too_few_votes : int
        Objects whose fraction is missing for that.
    """

    name: str
    values: Any
    n_found: int
    n_too_few_votes: int = 0


def joined_label(
    path: Path,
    name: str,
    ids: "StrArray",
    *,
    join: str,
    mapping: Path | None = None,
    least_votes: int = LEAST_VOTES,
) -> JoinedLabel:
    """Return the column `name` of a table for the objects `ids`.

    Parameters
    ----------
    path : Path
        Comma-, semicolon- or tab-separated, with one line of names.
    name : str
    ids : array of str (n,)
    join : str
        Column with the ids, or with what `mapping` maps them to.
    mapping : Path, optional
        Table with the columns ``asset_id``, the ids, and ``objid``.
    least_votes : int
        Where the column is a fraction of a Galaxy Zoo 2 question and its counts stand beside it.

    Raises
    ------
    NoObjectError
        If no object is in the table.
    UsageError
        If a column is not there, or an id was rounded or stands in rows that differ.
    """
    table = read_text_table(path)
    place = _places(table, join, name)
    keys = [str(each) for each in ids.tolist()] if mapping is None else _mapped(mapping, ids)
    rows = [place.get(key) for key in keys]
    if all(row is None for row in rows):
        first = next(iter(place))
        raise NoObjectError(
            f"{path}: none of {len(ids)} objects is in column {join!r}: they are called such as "
            f"{keys[0] or str(ids[0])!r}, its cells such as {first!r}; name another column, or "
            "give a table that maps one to the other"
        )
    cells = table.column(name)
    chosen = ["" if row is None else cells[row] for row in rows]
    votes = _votes(table, name)
    few = [
        row is not None and votes is not None and votes[row] < least_votes and bool(cell)
        for row, cell in zip(rows, chosen, strict=True)
    ]
    chosen = ["" if out else cell for cell, out in zip(chosen, few, strict=True)]
    return JoinedLabel(
        name=name,
        values=_typed(name, chosen),
        n_found=sum(row is not None for row in rows),
        n_too_few_votes=sum(few),
    )


def _places(table: TextTable, join: str, name: str) -> Mapping[str, int]:
    """Return the row of every id."""
    ids, cells = table.column(join), table.column(name)
    place: dict[str, int] = {}
    for row, key in enumerate(ids):
        if is_missing(key):
            continue
        _check_whole(table, join, key, row)
        if key in place and cells[place[key]] != cells[row]:
            raise UsageError(
                f"{table.path}: lines {table.lines[place[key]]} and {table.lines[row]} have "
                f"{cells[place[key]]!r} and {cells[row]!r} as {name} of {key!r}; keep one"
            )
        place.setdefault(key, row)
    if not place:
        raise UsageError(f"{table.path}: column {join!r} is empty; name the one with the ids")
    return place


def _check_whole(table: TextTable, column: str, key: str, row: int) -> None:
    if _ROUNDED.match(key):
        raise UsageError(
            f"{table.path}: line {table.lines[row]}: {column} is {key!r}: a spreadsheet or a "
            "floating-point column has rounded this id; use the table as it was published"
        )


def _mapped(path: Path, ids: "StrArray") -> list[str]:
    table = read_text_table(path)
    names, objects = table.column(MAPPING), table.column(MAPPED)
    known: dict[str, str] = {}
    for row, (key, value) in enumerate(zip(names, objects, strict=True)):
        _check_whole(table, MAPPED, value, row)
        if known.setdefault(key, value) != value:
            raise UsageError(
                f"{path}: line {table.lines[row]}: {MAPPING} {key!r} is mapped to {known[key]!r} "
                f"and to {value!r}; keep one"
            )
    return [known.get(str(each), "") for each in ids.tolist()]


def _votes(table: TextTable, name: str) -> list[float] | None:
    """Return how many answered the question of this fraction, where the table says so."""
    of = _ANSWER.match(name)
    if of is None or name.endswith("_count"):
        return None
    question = of["question"]
    counts = [
        column
        for column in table.names
        if column.startswith(f"{question}_") and column.endswith("_count")
    ]
    if not counts:
        return None
    columns = [[number(cell) or 0.0 for cell in table.column(column)] for column in counts]
    return [sum(row) for row in zip(*columns, strict=True)]


def _typed(name: str, cells: Sequence[str]) -> Any:
    present = [cell for cell in cells if not is_missing(cell)]
    numeric = bool(present) and all(number(cell) is not None for cell in present)
    about = PropertyColumn(
        column=name, unit="", description="", kind="number" if numeric else "text"
    )
    return typed_values(name, [None if is_missing(cell) else cell for cell in cells], about)


def with_label(table: Any, label: JoinedLabel) -> Any:
    """Return the properties `table`, a QTable or None, with the label as a further column.

    Raises
    ------
    UsageError
        If there is one of that name already.
    """
    from astropy.table import QTable

    if table is not None and label.name in table.colnames:
        raise UsageError(
            f"label: the run has a property {label.name!r} already; rename the column of the table"
        )
    joined = QTable() if table is None else table.copy()
    joined[label.name] = label.values
    return joined
