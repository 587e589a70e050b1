"""`rejected.csv` and `excluded.csv`: always there, never a formula."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.errors import StorageError
from simreal.report.tables import (
    EXCLUDED_COLUMNS,
    REJECTED_COLUMNS,
    printable,
    table_text,
    write_excluded,
    write_rejected,
)

DANGEROUS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "-rf"]


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("text", DANGEROUS)
def test_no_string_can_be_a_formula(text: str) -> None:
    (_, (cell,)) = read(table_text([{"id": text}], ("id",)))
    assert cell == f"'{text}"


def test_negative_numbers_stay_numbers() -> None:
    text = table_text([{"radius": -2.5}, {"radius": -3}], ("radius",))
    assert text == "radius\n-2.5\n-3\n"


def test_header_alone_when_there_is_nothing(tmp_path: Path) -> None:
    rejected = write_rejected([], tmp_path / "rejected.csv")
    excluded = write_excluded([], tmp_path / "excluded.csv")
    assert rejected.read_text(encoding="utf-8") == ",".join(REJECTED_COLUMNS) + "\n"
    assert excluded.read_text(encoding="utf-8") == ",".join(EXCLUDED_COLUMNS) + "\n"


def test_missing_and_not_finite_values_are_empty() -> None:
    row = {"side": "sim", "id": "a", "step": "frame", "reason": "wide", "radius": float("nan")}
    assert read(table_text([row], EXCLUDED_COLUMNS))[1] == ["sim", "a", "frame", "wide", ""]
    assert read(table_text([{}], ("id", "path")))[1] == ["", ""]


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    write_rejected([{"id": "a"}], tmp_path / "new" / "rejected.csv")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["rejected.csv"]


def test_a_disk_that_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written") as caught:
        write_rejected([], tmp_path / "file" / "rejected.csv")
    assert "\n" not in str(caught.value)


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_any_text_survives_but_for_the_guard(texts: list[str]) -> None:
    # The csv module reads a bare carriage return back as it was, given newline="".
    rows = read(table_text([{"id": text, "n": 1} for text in texts], ("id", "n")))[1:]
    assert len(rows) == len(texts)
    for (cell, n), text in zip(rows, texts, strict=True):
        assert n == "1"
        assert cell in (printable(text), f"'{printable(text)}")
        assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
