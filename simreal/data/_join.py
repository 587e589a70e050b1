"""Files and the rows of a table that belong to them."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simreal.core.cards import Card
from simreal.data._files import FoundFile, existing_table
from simreal.data._quarantine import BadFileError, identity, normal, shown
from simreal.data.tables import TextTable, is_missing, number, read_text_table


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JoinedTable:
    """A table and the rows that each file name or id stands in."""

    table: TextTable
    column: str
    rows_of: Mapping[str, Sequence[int]]

    def row_of(self, file: FoundFile, own_id: str) -> int:
        """Return the one row of a file, found by its name, its base name or its id."""
        names = (file.name, file.path.name, own_id)
        rows = next(
            (self.rows_of[key] for name in names if (key := normal(name)) in self.rows_of), ()
        )
        if not rows:
            raise BadFileError(
                "E_NOROW",
                f"has no row in {self.table.path.name}, allowed is one with its name or id in "
                f"column {self.column!r}; add the row or remove the file",
            )
        if any(self.table.rows[row] != self.table.rows[rows[0]] for row in rows):
            lines = ", ".join(str(self.table.lines[row]) for row in rows)
            raise BadFileError(
                "E_DUPID",
                f"has {len(rows)} different rows in {self.table.path.name} (lines {lines}), "
                "allowed is one; correct the table",
            )
        return rows[0]


def read_joined_table(card: Card) -> JoinedTable | None:
    """Return the table a card names, ready to be joined, or None where it names none.

    Raises
    ------
    UsageError
        If the table or one of the columns the card names is absent.
    """
    path = existing_table(card)
    if path is None or card.files.join is None:
        return None
    table = read_text_table(path)
    missing = {str(cell) for cell in card.files.options.get("missing", ())}
    if missing:
        rows = tuple(tuple("" if cell in missing else cell for cell in row) for row in table.rows)
        table = dataclasses.replace(table, rows=rows)
    grouped = () if card.files.group is None else (card.files.group,)
    for name in (*(about.column for about in card.properties.values()), *grouped):
        table.column(name)
    rows_of: dict[str, list[int]] = {}
    for row, cell in enumerate(table.column(card.files.join)):
        if cell:
            rows_of.setdefault(normal(cell), []).append(row)
    return JoinedTable(table=table, column=card.files.join, rows_of=rows_of)


def check_required(card: Card, table: TextTable, row: int) -> None:
    """Check that a row has a value for every required property.

    Raises
    ------
    BadFileError
        Naming the first that has none.
    """
    for name, about in card.properties.items():
        cell = table.rows[row][table.names.index(about.column)]
        usable = not is_missing(cell) and (about.kind == "text" or number(cell) is not None)
        if about.required and not usable:
            raise BadFileError(
                "E_MISSING",
                f"has {cell!r} in line {table.lines[row]} of {table.path.name} for the required "
                f"property {name!r}, allowed is a value; fill it in or drop 'required' in the card",
            )


def unused_rows(
    joined: JoinedTable, files: Sequence[FoundFile], ids: Sequence[str] = ()
) -> list[str]:
    """Return a note on the rows whose file or object is not in the collection, if there are any."""
    names = {normal(name) for f in files for name in (f.name, f.path.name, identity(f))}
    names |= {normal(name) for name in ids}
    unused = [key for key in joined.rows_of if key not in names]
    if not unused:
        return []
    note = (
        f"{len(unused)} of {len(joined.table.rows)} rows of {joined.table.path.name} have no file "
        f"here (first: {shown(unused[0])})"
    )
    return [note]
