"""Nouns as plain JSON and named arrays, and back: what the store writes beside the pixels."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from simreal.core.arrays import AnyArray, StrArray
from simreal.core.errors import UsageError
from simreal.core.images import Setup, Step

if TYPE_CHECKING:
    from astropy.table import QTable

#: JSON-able text, and the arrays it names.
Packed: TypeAlias = tuple[dict[str, Any], dict[str, AnyArray]]


def pack_names(names: StrArray) -> list[str]:
    """Return ids or groups as a list of plain strings."""
    return [str(name) for name in names.tolist()]


def unpack_names(names: Sequence[str]) -> StrArray:
    """Return ids or groups as a string array."""
    return np.array(list(names), dtype=np.str_)


def pack_setup(setup: Setup) -> Packed:
    """Return the scalars of a setup, and its per-image or per-band arrays by field name."""
    text: dict[str, Any] = {}
    arrays: dict[str, AnyArray] = {}
    for field in dataclasses.fields(setup):
        value = getattr(setup, field.name)
        if isinstance(value, np.ndarray):
            arrays[f"setup.{field.name}"] = value
        else:
            text[field.name] = value
    return text, arrays


def unpack_setup(text: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> Setup:
    """Return the setup behind `pack_setup`."""
    fields: dict[str, Any] = {**text, "bands": tuple(text["bands"])}
    for name, array in arrays.items():
        if name.startswith("setup."):
            fields[name.removeprefix("setup.")] = array
    return Setup(**fields)


def pack_history(history: Sequence[Step]) -> list[dict[str, Any]]:
    """Return the steps as JSON; numpy numbers become Python's."""
    return [
        {
            "name": step.name,
            "before": {key: _plain(value) for key, value in step.before.items()},
            "after": {key: _plain(value) for key, value in step.after.items()},
            "note": step.note,
        }
        for step in history
    ]


def unpack_history(steps: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Return the steps behind `pack_history`."""
    return tuple(Step(**step) for step in steps)


def pack_properties(
    properties: "QTable | None",
) -> tuple[list[dict[str, Any]] | None, dict[str, AnyArray]]:
    """Return the columns of a table: text as JSON, numbers and masks as arrays.

    Raises
    ------
    UsageError
        If a column is neither numbers, truth values nor text.
    """
    if properties is None:
        return None, {}
    columns: list[dict[str, Any]] = []
    arrays: dict[str, AnyArray] = {}
    for i, name in enumerate(properties.colnames):
        text, own = _pack_column(str(name), properties[name], f"properties.{i}")
        columns.append(text)
        arrays.update(own)
    return columns, arrays


def unpack_properties(
    columns: Sequence[Mapping[str, Any]] | None, arrays: Mapping[str, AnyArray], *, n: int
) -> "QTable | None":
    """Return the table behind `pack_properties`."""
    if columns is None:
        return None
    from astropy.table import QTable

    table = QTable()
    for i, text in enumerate(columns):
        table[text["name"]] = _unpack_column(text, arrays, f"properties.{i}")
        table[text["name"]].info.description = text["description"]
    if columns and len(table) != n:
        raise ValueError(f"{len(table)} rows of properties for {n} objects")
    return table


def _pack_column(name: str, column: Any, key: str) -> Packed:
    unit = getattr(column, "unit", None)
    mask = getattr(column, "mask", None)
    plain = getattr(column, "unmasked", column)
    values = np.ma.getdata(getattr(plain, "value", plain))
    values = np.asarray(values)
    text: dict[str, Any] = {
        "name": name,
        "unit": None if unit is None else _unit_text(name, unit),
        "quantity": hasattr(column, "to_value"),
        "masked": mask is not None,
        "description": column.info.description,
    }
    arrays = {} if mask is None else {f"{key}.mask": np.array(mask, dtype=np.bool_)}
    if values.dtype.kind in "US":
        text["values"] = [_text(value) for value in values.ravel().tolist()]
        text["shape"] = list(values.shape)
        return text, arrays
    if values.dtype.kind not in "fiub" or values.dtype.itemsize > 8:
        raise UsageError(
            f"property {name!r}: got values of type {values.dtype}, allowed are numbers, truth "
            "values and text; convert the column"
        )
    return text, {**arrays, f"{key}.values": values}


def _unpack_column(text: Mapping[str, Any], arrays: Mapping[str, AnyArray], key: str) -> Any:
    from astropy import units as u
    from astropy.table import Column, MaskedColumn
    from astropy.utils.masked import Masked

    if "values" in text:
        values = np.array(text["values"], dtype=np.str_).reshape(text["shape"])
    else:
        values = np.array(arrays[f"{key}.values"])
    mask = arrays.get(f"{key}.mask")
    unit = None if text["unit"] is None else u.Unit(text["unit"])
    if text["quantity"]:
        quantity = u.Quantity(values, unit=unit, dtype=values.dtype)
        return quantity if mask is None else Masked(quantity, mask=mask)
    if text["masked"]:
        return MaskedColumn(values, mask=mask, unit=unit)
    return Column(values, unit=unit)


def _unit_text(name: str, unit: Any) -> str:
    from astropy import units as u

    written = str(unit.to_string())
    try:
        same = u.Unit(written) == unit
    except ValueError:
        same = False
    if not same:
        raise UsageError(
            f"property {name!r}: the unit {written!r} cannot be written and read back; use a "
            "unit astropy can parse"
        )
    return written


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
