"""Tables of properties: CSV text in, columns of strings out, and typed with units on demand.

Every cell is read as text, so that an id keeps its digits and one odd word does not turn a
whole column of numbers into something else. What is missing stays missing.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.cards import PropertyColumn
from simreal.core.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from astropy.table import QTable

#: Cells that say "no value", in any case and with any spaces around.
MISSING = frozenset({"", "nan", "na", "n/a", "none", "null", "--", "-", "masked", "missing"})

_MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextTable:
    """A table as it was written: names, rows of text, and the line each row came from."""

    path: Path
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> list[str]:
        """Return one column as text.

        Raises
        ------
        UsageError
            If there is no such column, with the nearest name.
        """
        if name not in self.names:
            raise UsageError(
                f"{self.path}: no column {name!r}: {did_you_mean(name, self.names)}; correct the "
                "card or the table"
            )
        i = self.names.index(name)
        return [row[i] for row in self.rows]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OddCell:
    """A cell that is neither a number nor missing; it is masked and listed."""

    line: int
    column: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Properties:
    """A typed table and the cells that could not be typed."""

    table: "QTable"
    odd: tuple[OddCell, ...] = field(default=())


def read_text_table(path: Path) -> TextTable:
    """Read a comma-, semicolon- or tab-separated table with one line of column names.

    Raises
    ------
    UsageError
        If the file is not UTF-8 text, is HTML, has no rows, or repeats a column name.
    """
    text = _decoded(path)
    if text.lstrip()[:1] == "<":
        raise UsageError(f"{path}: looks like HTML, not a table: the download failed; fetch again")
    header, _, _ = text.partition("\n")
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            rows.append((reader.line_num, [cell.strip() for cell in row]))  # noqa: PERF401
    except csv.Error as error:
        raise UsageError(f"{path}: line {reader.line_num}: {error}; correct the table") from None
    return _checked(path, [(line, row) for line, row in rows if any(row)])


def is_missing(cell: str) -> bool:
    """Return whether a cell says that there is no value.

    Examples
    --------
    >>> is_missing(" NaN "), is_missing("0")
    (True, False)
    """
    return cell.strip().lower() in MISSING


def number(cell: str) -> float | None:
    """Return the finite number a cell holds, or None.

    Python's own ``float`` also takes ``1_000`` and ``infinity``; a catalogue means neither.

    Examples
    --------
    >>> number("1e10"), number("1_000"), number("inf")
    (10000000000.0, None, None)
    """
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def typed_properties(
    table: TextTable, rows: Sequence[int], columns: Mapping[str, PropertyColumn]
) -> Properties:
    """Return the properties a card names for the chosen `rows` of a table.

    Numbers become (masked) quantities with the card's unit, text becomes strings, and
    missing values are masked.

    Raises
    ------
    UsageError
        If a column is absent or a unit is none astropy knows.
    """
    from astropy.table import QTable

    typed, odd = QTable(), []
    for name, about in columns.items():
        cells = table.column(about.column)
        chosen = [cells[row] for row in rows]
        missing = np.array([is_missing(cell) for cell in chosen], dtype=np.bool_)
        if about.kind == "text":
            typed[name] = _text_column(chosen, missing)
        else:
            values = [None if is_missing(cell) else number(cell) for cell in chosen]
            odd += [
                OddCell(line=table.lines[row], column=about.column, text=cell)
                for row, cell, value in zip(rows, chosen, values, strict=True)
                if value is None and not is_missing(cell)
            ]
            typed[name] = _quantity(name, values, about.unit)
        typed[name].info.description = about.description
    return Properties(table=typed, odd=tuple(odd))


def typed_values(name: str, values: Sequence[float | str | None], about: PropertyColumn) -> Any:
    """Return one property from plain values, of which None is missing, as `typed_properties` does.

    Raises
    ------
    UsageError
        If the unit is none astropy knows.
    """
    if about.kind == "text":
        missing = np.array([value is None for value in values], dtype=np.bool_)
        return _text_column(["" if value is None else str(value) for value in values], missing)
    return _quantity(name, [None if v is None else number(str(v)) for v in values], about.unit)


def _text_column(cells: Sequence[str], missing: Any) -> Any:
    from astropy.table import Column, MaskedColumn

    values = np.array(cells, dtype=np.str_)
    return MaskedColumn(values, mask=missing) if missing.any() else Column(values)


def _quantity(name: str, values: Sequence[float | None], unit: str) -> Any:
    from astropy import units as u
    from astropy.utils.masked import Masked

    try:
        parsed = u.Unit(unit)
    except ValueError:
        raise UsageError(
            f"properties.{name}.unit: got {unit!r}, allowed is a unit astropy can parse, such as "
            "'Msun' or 'kpc'"
        ) from None
    missing = np.array([value is None for value in values], dtype=np.bool_)
    plain = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    quantity = u.Quantity(plain, parsed)
    return Masked(quantity, mask=missing) if missing.any() else quantity


def _decoded(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path}: larger than {_MAX_BYTES} bytes; give a smaller table")
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); check the file") from None
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        # Guessing Latin-1 would silently misread names written in any other encoding.
        raise UsageError(
            f"{path}: byte {error.start} is not UTF-8 text; save the table as UTF-8"
        ) from None
    if "\x00" in text:
        raise UsageError(f"{path}: holds zero bytes, so it is not a text table; export it as CSV")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _checked(path: Path, rows: Sequence[tuple[int, list[str]]]) -> TextTable:
    if len(rows) < 2:
        raise UsageError(f"{path}: no rows below the column names; an empty table joins nothing")
    names = tuple(rows[0][1])
    repeated = sorted({name for name in names if names.count(name) > 1 and name})
    if repeated:
        raise UsageError(f"{path}: the column {repeated[0]!r} appears twice; name each one once")
    width = len(names)
    body = [(line, _without_empty_end(row, width)) for line, row in rows[1:]]
    wrong = [line for line, row in body if len(row) != width]
    ragged = (
        f"{path.name}: {len(wrong)} rows do not have {width} cells (first: line "
        f"{min(wrong, default=0)}); rows with more are left out, cells that are not there count as "
        "missing"
    )
    good = [(line, row) for line, row in body if len(row) <= width]
    return TextTable(
        path=path,
        names=names,
        rows=tuple(tuple(row) + ("",) * (width - len(row)) for _, row in good),
        lines=tuple(line for line, _ in good),
        notes=(ragged,) if wrong else (),
    )


def _without_empty_end(row: list[str], width: int) -> list[str]:
    return row if any(row[width:]) else row[:width]
