"""Results as files: `results.json` on its schema, `rejected.csv` and `excluded.csv`."""

import csv
import functools
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simreal.core.errors import StorageError, UsageError

SCHEMA_FILE = Path(__file__).parent / "schema" / "results-1.json"

REJECTED_COLUMNS = ("side", "id", "path", "code", "reason", "sha256")
EXCLUDED_COLUMNS = ("side", "id", "step", "reason", "radius")

#: What a spreadsheet takes for the start of a formula (CWE-1236), full-width forms included.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (Mapping,), "array": (list, tuple), "string": (str,), "boolean": (bool,),
    "integer": (int, np.integer), "number": (int, float, np.integer, np.floating),
    "null": (type(None),),
}  # fmt: skip


@functools.cache
def results_schema() -> Mapping[str, Any]:
    """Return the JSON Schema (draft 2020-12) of ``results.json``, schema 1.

    Examples
    --------
    >>> results_schema()["properties"]["schema"]
    {'const': 1}
    """
    loaded: Mapping[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return loaded


def results_to_json(results: Mapping[str, Any]) -> str:
    """Return `results` as the text of ``results.json``.

    Keys stand in the order of the schema, then by name, so that two runs that found the
    same thing write the same bytes. Numbers keep full precision; what is not finite is
    null, because JSON has no NaN. A name that is not valid Unicode is written with
    backslash escapes instead of failing at the end of a long run.

    Examples
    --------
    >>> print(results_to_json({"seed": 1, "schema": 1, "extra": float("nan")}))
    {
      "schema": 1,
      "seed": 1,
      "extra": null
    }
    """
    plain = _ordered(to_plain(results), results_schema())
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)


def to_plain(value: Any) -> Any:
    """Return `value` made of dict, list, str, int, float, bool and None alone.

    Raises
    ------
    UsageError
        If something in it has no JSON form.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, np.ndarray | np.generic):
        return to_plain(value.tolist())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {printable(str(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return printable(os.fspath(value))
    raise UsageError(
        f"results: got a {type(value).__name__} ({value!r:.60}), allowed are numbers, text, "
        "lists and mappings"
    )


def printable(text: str) -> str:
    r"""Return `text` with what UTF-8 cannot hold, such as undecodable file names, escaped.

    Examples
    --------
    >>> printable("galaxy_\udcff.png") == r"galaxy_\udcff.png"
    True
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def check_results(results: Mapping[str, Any]) -> None:
    """Check that `results` has the keys and types of schema 1, and a reason for every null value.

    The light check of every run; the test suite holds the same schema with a full
    validator.

    Raises
    ------
    UsageError
        One line with the first key that is wrong.

    Examples
    --------
    >>> check_results({"schema": 1})
    Traceback (most recent call last):
    simreal.core.errors.UsageError: results.track is missing; schema 1 requires it
    """
    _check("results", results, results_schema())
    if not {"occupancy", "regions"} & set(results):
        raise UsageError("results.occupancy is missing; schema 1 requires it, or results.regions")
    for where, row in _valued(results):
        if _is_null(row["value"]) and not row["reason"]:
            raise UsageError(f"results.{where}.reason is empty; a null value needs a reason")


def _valued(results: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every row that holds a value or the reason why there is none, and its place."""
    yield from _placed("comparisons", results["comparisons"])
    audit = results["audit"]
    for index, check in enumerate(audit["checks"]):
        yield from _placed(f"audit.checks[{index}].readings", check["readings"])
    for key in ("controls", "positive_excess"):
        yield from _placed(f"audit.{key}", audit.get(key) or ())


def _placed(
    where: str, rows: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for index, row in enumerate(rows):
        yield f"{where}[{index}]", row


def write_rejected(rows: Iterable[Mapping[str, Any]], path: Path) -> Path:
    """Write ``rejected.csv``: one line per broken file, the header alone when there is none."""
    return _write_csv(rows, REJECTED_COLUMNS, path)


def write_excluded(rows: Iterable[Mapping[str, Any]], path: Path) -> Path:
    """Write ``excluded.csv``: one line per good image left out by selection or frame."""
    return _write_csv(rows, EXCLUDED_COLUMNS, path)


def table_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    r"""Return `rows` as CSV text in which no string can act as a spreadsheet formula.

    Only strings are guarded, with a leading apostrophe: a negative number stays one.

    Examples
    --------
    >>> table_text([{"id": "=1+1", "radius": -2.5}], ("id", "radius"))
    "id,radius\n'=1+1,-2.5\n"
    """
    lines = [_csv_line(columns)]
    lines += [_csv_line([_cell(row.get(name)) for name in columns]) for row in rows]
    return "".join(lines)


def write_text(text: str, path: Path) -> Path:
    """Write `text` to `path` as UTF-8, whole or not at all.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    return write_bytes(printable(text).encode("utf-8"), path)


def write_bytes(content: bytes, path: Path) -> Path:
    """Write `content` to `path`, whole or not at all.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); choose another --out or "
            "free some space"
        ) from None
    return path


def _write_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], path: Path) -> Path:
    return write_text(table_text(rows, columns), path)


def _csv_line(cells: Sequence[Any]) -> str:
    # The writer quotes a carriage return inside a cell only if its own line ends hold one.
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def _cell(value: Any) -> Any:
    plain = to_plain(value)
    if isinstance(plain, str) and plain.lstrip(" ").startswith(_FORMULA_STARTS):
        return f"'{plain}"
    return "" if plain is None else plain


def _ordered(value: Any, schema: Mapping[str, Any]) -> Any:
    schema = _resolved(schema)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        rest = schema.get("additionalProperties", {})
        names = [name for name in known if name in value] + sorted(set(value) - set(known))
        return {name: _ordered(value[name], known.get(name, rest)) for name in names}
    if isinstance(value, list):
        return [_ordered(item, schema.get("items", {})) for item in value]
    return value


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema behind a ``$ref``, or behind the choice of a ``$ref`` or null."""
    if "anyOf" in schema and "properties" not in schema:
        schema = next((s for s in schema["anyOf"] if s.get("type") != "null"), {})
    if "$ref" in schema:
        resolved: Mapping[str, Any] = results_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
        return resolved
    return schema


def _check(where: str, value: Any, schema: Mapping[str, Any]) -> None:
    if _is_null(value) and _may_be_null(schema):
        return
    schema = _resolved(schema)
    _check_choice(where, value, schema)
    _check_type(where, value, schema.get("type"))
    if isinstance(value, Mapping):
        for name in schema.get("required", ()):
            if name not in value:
                raise UsageError(f"{where}.{name} is missing; schema 1 requires it")
        for name, part in schema.get("properties", {}).items():
            if name in value:
                _check(f"{where}.{name}", value[name], part)
    elif isinstance(value, list | tuple) and "items" in schema:
        for index, item in enumerate(value):
            _check(f"{where}[{index}]", item, schema["items"])


def _check_choice(where: str, value: Any, schema: Mapping[str, Any]) -> None:
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    if allowed is not None and value not in allowed:
        raise UsageError(f"{where}: got {value!r:.60}, allowed: {', '.join(map(str, allowed))}")


def _check_type(where: str, value: Any, allowed: str | Sequence[str] | None) -> None:
    if allowed is None:
        return
    names = [allowed] if isinstance(allowed, str) else list(allowed)
    is_bool = isinstance(value, bool | np.bool_)
    fits = any(
        is_bool if name == "boolean" else isinstance(value, _JSON_TYPES[name]) and not is_bool
        for name in names
    )
    if not fits:
        raise UsageError(
            f"{where}: got {value!r:.60} ({type(value).__name__}), allowed: {', '.join(names)}"
        )


def _may_be_null(schema: Mapping[str, Any]) -> bool:
    types = schema.get("type", ())
    return "null" in ([types] if isinstance(types, str) else types) or any(
        _may_be_null(choice) for choice in schema.get("anyOf", ()) if "required" not in choice
    )


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and not math.isfinite(value))
