"""Benchmark cards: one TOML file freezes everything two scores must share to be compared.

A score means something beside another one only if both were read with the same observed objects,
the same matching, encoder, metrics, numbers of objects and seeds. A card holds all of these; the
observed objects stand in a list beside it, whose sha256 it knows. A sealed card never changes: a
new one gets a new version, and the old one says so in ``superseded_by``.
"""

import csv
import hashlib
import io
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simreal.core.arrays import StrArray, owned
from simreal.core.errors import UsageError, did_you_mean
from simreal.core.images import Track
from simreal.core.provenance import json_digest

RowKind = Literal["simulation", "bridge survey", "positive control", "negative control"]

_PACKAGE = Path(__file__).resolve().parent.parent
_LIST_COLUMNS = ("id", "group", "pixel_hash")
_CardName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*-v[1-9][0-9]*$")]
_RowName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ObservedObjects(_Strict):
    """The frozen observed list: which collection, and the file that names its objects."""

    collection: str
    list: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*\.csv$")]
    sha256: _Sha256
    n: Annotated[int, Field(ge=8)]


class FrozenEncoder(_Strict):
    """The encoder: a shipped name (or a folder beside the card), and its digest by variant."""

    name: str
    plugin: str
    digests: Mapping[str, _Sha256]


class MetricPin(_Strict):
    """One metric, and what it reads on the reference points: its version as a number."""

    reads: float


class Inference(_Strict):
    """How much inference stands behind every number of the board."""

    permutations: Annotated[int, Field(ge=99)] = 999
    floor_splits: Annotated[int, Field(ge=50)] = 100
    subsamples: Annotated[int, Field(ge=50)] = 500
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class BenchmarkRow(_Strict):
    """One row: a collection against the observed list, or a fault put into real galaxies.

    ``sim`` is the collection; a negative control has ``fault`` instead, put into the simulated
    side of the row named in ``of``.
    """

    name: _RowName
    kind: RowKind
    title: str = ""
    sim: str | None = None
    fault: str | None = None
    of: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "BenchmarkRow":
        is_fault = self.kind == "negative control"
        if is_fault != (self.fault is not None) or is_fault != (self.of is not None):
            raise ValueError("'fault' and 'of' go with kind = 'negative control' and nothing else")
        if is_fault == (self.sim is not None):
            raise ValueError("'sim' goes with every kind but 'negative control'")
        return self


class WeakConvergence(_Strict):
    """Two rows that differ in resolution: what that alone moves bounds what a rank means."""

    fine: _RowName
    coarse: _RowName
    note: str = ""


class Benchmark(_Strict):
    """A benchmark card as parsed."""

    name: _CardName
    version: Annotated[int, Field(ge=1)]
    title: str
    description: str
    track: Track
    rank_by: str
    n: Annotated[int, Field(ge=8, description="groups a side behind every number")]
    seed: Annotated[int, Field(ge=0)]
    expected_minutes: Annotated[float, Field(gt=0, description="from nothing, on two cores")]
    observed: ObservedObjects
    encoder: FrozenEncoder
    settings: Mapping[str, Any] = Field(default_factory=dict)
    inference: Inference = Inference()
    metrics: Mapping[str, MetricPin]
    rows: Annotated[tuple[BenchmarkRow, ...], Field(min_length=1)]
    weak_convergence: WeakConvergence | None = None
    superseded_by: str | None = None
    seal: _Sha256 | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Benchmark":
        if not self.name.endswith(f"-v{self.version}"):
            raise ValueError(f"version {self.version} and the name {self.name!r} do not agree")
        if self.rank_by not in self.metrics:
            raise ValueError(f"rank_by {self.rank_by!r} is not one of the metrics")
        names = [row.name for row in self.rows]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(f"two rows are called {twice[0]!r}")
        runs = {row.name for row in self.rows if row.sim is not None}
        named = [row.of for row in self.rows if row.of is not None]
        if self.weak_convergence is not None:
            named += [self.weak_convergence.fine, self.weak_convergence.coarse]
        for name in named:
            if name not in runs:
                raise ValueError(f"no row with a collection is called {name!r}")
        return self

    @property
    def digest(self) -> str:
        """sha256 of everything the card says but its seal and what supersedes it."""
        return json_digest(self.model_dump(mode="json", exclude={"seal", "superseded_by"}))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ObservedList:
    """The observed objects of a benchmark.

    Parameters
    ----------
    ids, groups : arrays of str (n,)
    pixel_hashes : array of str (n,)
        `simreal.measure.pixel_hash.pixel_hashes` of the originals.
    """

    ids: StrArray
    groups: StrArray
    pixel_hashes: StrArray

    def __post_init__(self) -> None:
        for name in ("ids", "groups", "pixel_hashes"):
            object.__setattr__(self, name, owned(getattr(self, name), "U"))

    def __len__(self) -> int:
        return len(self.ids)

    def differences(self, ids: StrArray, pixel_hashes: StrArray) -> str:
        """Return in words how scored objects differ from the list, nothing where they do not.

        Objects of the list that were not scored (frame, sky donors) are no difference: what is
        scored must be on the list, with the pixels it had.

        Examples
        --------
        >>> import numpy as np
        >>> one = ObservedList(ids=["a"], groups=["a"], pixel_hashes=["0f"])
        >>> one.differences(np.array(["a", "b"]), np.array(["0f", "1a"]))
        "1 object not on it, the first is 'b'"
        """
        known = dict(zip(self.ids.tolist(), self.pixel_hashes.tolist(), strict=True))
        pairs = list(zip(ids.tolist(), pixel_hashes.tolist(), strict=True))
        absent = [name for name, _ in pairs if name not in known]
        changed = [name for name, found in pairs if name in known and known[name] != found]
        parts = []
        for names, what in ((absent, "not on it"), (changed, "with other pixels")):
            if names:
                objects = "object" if len(names) == 1 else "objects"
                parts.append(f"{len(names)} {objects} {what}, the first is {names[0]!r}")
        return "; ".join(parts)


def benchmark_folder() -> Path:
    """Return the folder of the shipped cards, in an installed wheel or in a checkout."""
    installed = _PACKAGE / "benchmarks"
    return installed if installed.is_dir() else _PACKAGE.parent / "benchmarks"


def benchmark_names() -> tuple[str, ...]:
    """Return the names of the shipped cards."""
    return tuple(sorted(path.stem for path in benchmark_folder().glob("*-v*.toml")))


def benchmark_path(name: str) -> Path:
    """Return the file of the card called `name`: a shipped one, or the path of a TOML file.

    Raises
    ------
    UsageError
        If there is neither, with the nearest name.
    """
    if name.endswith(".toml"):
        return Path(name).expanduser()
    names = benchmark_names()
    if name not in names:
        raise UsageError(f"unknown benchmark {name!r}: {did_you_mean(name, names)}")
    return benchmark_folder() / f"{name}.toml"


def read_benchmark(path: Path) -> Benchmark:
    """Parse and check one card, its seal included.

    Raises
    ------
    UsageError
        One line that names the file, the key, what was got and what is allowed; or that the
        sealed card was changed.
    """
    try:
        with open(path, "rb") as handle:
            content = tomllib.load(handle)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such card; name a shipped one or a TOML file") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML card ({error})") from None
    try:
        card = Benchmark.model_validate(content, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "card"
        got = first.get("input")
        hint = f", got {got!r}" if not isinstance(got, Mapping) else ""
        raise UsageError(f"{path}: key '{key}': {first['msg']}{hint}") from None
    if card.seal is not None and card.seal != card.digest:
        raise UsageError(
            f"{path}: the card was changed after it was sealed ({card.digest[:12]}, sealed as "
            f"{card.seal[:12]}); a released card never changes: put it back, or make "
            f"{card.name.rpartition('-v')[0]}-v{card.version + 1} without a seal"
        )
    return card


def load_benchmark(name: str) -> tuple[Benchmark, Path]:
    """Return the card called `name` and its file.

    Raises
    ------
    UsageError
        If there is none, it is wrong, or another card has its name and says something else.
    """
    path = benchmark_path(name)
    card = read_benchmark(path)
    others = [other for other in sorted(path.parent.glob("*.toml")) if other != path]
    if path.parent != benchmark_folder():
        others += sorted(benchmark_folder().glob("*-v*.toml"))
    for other in others:
        if _name_in(other) == card.name and read_benchmark(other).digest != card.digest:
            raise UsageError(
                f"two cards are called {card.name!r}: {path} and {other}, and they differ; a name "
                "stands for one card: give yours another name or version"
            )
    return card, path


def _name_in(path: Path) -> str:
    try:
        with open(path, "rb") as handle:
            return str(tomllib.load(handle).get("name", ""))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return ""


def read_observed_list(card: Benchmark, folder: Path) -> ObservedList:
    """Return the observed list of a card, checked against the sha256 in it.

    Parameters
    ----------
    card : Benchmark
    folder : Path
        Where the card lies.

    Raises
    ------
    UsageError
        If the list is missing, not the card's, or not a list.
    """
    path = folder / card.observed.list
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: the observed list of {card.name} cannot be read ({error.strerror or error}); "
            "it belongs beside the card"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != card.observed.sha256:
        raise UsageError(
            f"{path}: another observed list than the one {card.name} was frozen with (sha256 "
            f"{found[:12]}, the card says {card.observed.sha256[:12]}); put the right one beside it"
        )
    rows = list(csv.reader(io.StringIO(content.decode("utf-8"))))
    if tuple(rows[0]) != _LIST_COLUMNS or len(rows) - 1 != card.observed.n:
        raise UsageError(
            f"{path}: got columns {', '.join(rows[0])} and {len(rows) - 1} rows, allowed is "
            f"{', '.join(_LIST_COLUMNS)} and {card.observed.n} rows"
        )
    ids, groups, hashes = zip(*rows[1:], strict=True)
    return ObservedList(ids=ids, groups=groups, pixel_hashes=hashes)  # type: ignore[arg-type]


def observed_list_text(objects: ObservedList) -> str:
    """Return the text of the file that holds an observed list, ordered by id."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_LIST_COLUMNS)
    columns = (objects.ids.tolist(), objects.groups.tolist(), objects.pixel_hashes.tolist())
    writer.writerows(sorted(zip(*columns, strict=True)))
    return buffer.getvalue()
