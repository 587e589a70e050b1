"""Tables: ids keep their digits, missing stays missing, oddities are listed."""

import numpy as np
import pytest
from astropy import units as u
from hypothesis import given
from hypothesis import strategies as st

from simreal.core.cards import PropertyColumn
from simreal.core.errors import UsageError
from simreal.core.images import property_values
from simreal.data.tables import is_missing, number, read_text_table, typed_properties


def table_of(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_text_table(path)


def column(name, unit="", **more):
    return PropertyColumn(column=name, unit=unit, description="of the test", **more)


@pytest.mark.parametrize(
    "text",
    [
        "id,mass\na,1\nb,2\n",
        "id,mass\r\na,1\r\nb,2\r\n",
        "id,mass\ra,1\rb,2",
        "\ufeffid,mass\na,1\nb,2\n",
        "id;mass\na;1\nb;2\n",
        "id\tmass\na\t1\nb\t2\n",
        '"id","mass"\n"a","1"\n\n  b , 2 \n\n',
        "id,mass\na,1\nb,2\n".encode("utf-16"),
    ],
    ids=["plain", "windows", "old mac", "bom", "semicolons", "tabs", "quotes", "utf-16"],
)
def test_the_same_table_in_many_hands(tmp_path, text):
    table = table_of(tmp_path, text)
    assert table.names == ("id", "mass")
    assert table.rows == (("a", "1"), ("b", "2"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"id,name\n1,caf\xe9\n", "not UTF-8"),
        (b"id,name\n\xff\xfe\x00\x01\n", "not UTF-8"),
        (b"\xff\xfea", "not UTF-8"),
        (b"<!DOCTYPE html><html>404</html>", "looks like HTML"),
        (b"  <html>\n<p>no</p>", "looks like HTML"),
        (b"", "no rows"),
        (b"id,mass\n", "no rows"),
        (b"\n\n\n", "no rows"),
        (b"id,mass,mass\na,1,2\n", "'mass' appears twice"),
        (b"id,mass\na,1\x00\n", "zero bytes"),
        (b'id,mass\na,"1\n', "line"),
        (b"id,mass\na," + b"9" * 200_000 + b"\n", "field larger"),
    ],
)
def test_what_is_not_a_table_is_one_line_with_the_file(tmp_path, text, says):
    with pytest.raises(UsageError, match=says) as caught:
        table_of(tmp_path, text)
    assert "table.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_column_names_the_nearest(tmp_path):
    table = table_of(tmp_path, "id,Starmass\na,1\n")
    with pytest.raises(UsageError, match="did you mean 'Starmass'"):
        table.column("StarMass")


def test_ragged_rows_are_noted(tmp_path):
    table = table_of(tmp_path, "id,mass,size\na,1\nb,1,2,3\nc,1,2\n")
    assert table.rows == (("a", "1", ""), ("c", "1", "2"))
    assert "2 rows do not have 3 cells (first: line 2)" in table.notes[0]


@pytest.mark.parametrize("cell", ["", " ", "nan", "NaN", "NA", "n/a", "None", "null", "--", "-"])
def test_ways_to_say_missing(cell):
    assert is_missing(cell)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_written_by_python_reads_back(value):
    assert number(repr(value)) == value


@pytest.mark.parametrize(
    "cell", ["1_000", "inf", "-Infinity", "1e999", "1,5", "0x10", "1 2", "abc"]
)
def test_what_a_catalogue_does_not_mean_is_no_number(cell):
    assert number(cell) is None


def test_missing_values_are_masked_and_odd_ones_listed(tmp_path):
    table = table_of(tmp_path, "id,mass,type\na,1e10,spiral\nb,,--\nc,abc,disc\nd,inf,x\ne,5,y\n")
    found = typed_properties(
        table, range(5), {"mass": column("mass", "Msun"), "type": column("type", kind="text")}
    )
    values, valid, unit = property_values(found.table, "mass")
    assert unit == "solMass"
    assert valid.tolist() == [True, False, False, False, True]
    assert values[[0, 4]].tolist() == [1e10, 5.0]
    assert found.table["mass"].unit == u.Msun
    assert found.table["mass"].info.description == "of the test"
    assert found.table["type"].mask.tolist() == [False, True, False, False, False]
    assert [(odd.line, odd.text) for odd in found.odd] == [(4, "abc"), (5, "inf")]


def test_a_full_column_has_no_mask(tmp_path):
    table = table_of(tmp_path, "id,mass\na,1\nb,2\n")
    found = typed_properties(table, [1, 0], {"mass": column("mass", "kpc")}).table
    assert not hasattr(found["mass"], "mask")
    np.testing.assert_array_equal(found["mass"].to_value("pc"), [2000.0, 1000.0])


def test_long_ids_keep_every_digit(tmp_path):
    long = "1237648720693755918"
    table = table_of(tmp_path, f"id,objid\na,{long}\nb,\n")
    found = typed_properties(table, [0, 1], {"objid": column("objid", kind="text")}).table
    assert str(found["objid"][0]) == long
    assert bool(found["objid"].mask[1])


def test_an_unknown_unit_is_refused(tmp_path):
    table = table_of(tmp_path, "id,mass\na,1\n")
    with pytest.raises(UsageError, match="'Msuns'"):
        typed_properties(table, [0], {"mass": column("mass", "Msuns")})
