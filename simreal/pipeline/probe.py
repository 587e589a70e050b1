"""What stored embeddings hold: probes, search and clusters of a finished run, without torch."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.core.seeding import integer_seed, stream
from simreal.data.vote_table import LEAST_VOTES, NoObjectError, joined_label, with_label
from simreal.explain.clustering import ClusterSettings, Partition, clusters
from simreal.explain.label_counts import COUNTS, DRAWS, AtCount, few_shot, label_sweep
from simreal.explain.probes import NEIGHBOURS, Probed, knn_probe, linear_probe
from simreal.explain.search import (
    DEFAULT_RANK_BY,
    FIRST,
    RANK_BY,
    Found,
    RankBy,
    precision_at,
    random_handfuls,
    similar,
)
from simreal.explain.targets import KINDS, Kind, Target, labelled, target_of

Progress = Callable[[str, int, int], None]
Side = Literal["sim", "obs"]
SIDES: tuple[Side, ...] = ("obs", "sim")
PARTS = ("linear", "knn", "label-counts", "few-shot", "search", "clusters")
VERSION = 1
#: Classes that are searched for where none is named: the rarest.
MOST_CLASSES = 6

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """What is asked of an embedding.

    Parameters
    ----------
    label : str or None
        Property to predict; without it there are clusters and, with `like`, a search.
    kind : {"class", "number"} or None
        What the property is taken for.
    log : bool
        Predict its decimal logarithm.
    side : {"sim", "obs"} or None
        Default: both, or those that have the label.
    variant : str or None
        Default: the leading one of the run.
    parts : tuple of str
        Of `PARTS`.
    like : tuple of str
        Ids of examples to search with; without them random handfuls of `wanted` are tried.
    wanted : str or None
        Class that a search should find; default that of the examples, or each of the rarest.
    first : int
        How many of the found are looked at.
    rank_by : {"direction", "distance"}
    neighbours : int
        Of the nearest-neighbour probe.
    counts : tuple of int
        Numbers of labels.
    draws : int
        Random sets of labels at each number.
    clusters : ClusterSettings
    table, join : str or None
        Table with the label, and its column with the ids of the objects.
    mapping : str or None
        Table that maps the ids to those of `table`, as that of Galaxy Zoo 2.
    least_votes : int
        Votes on a question below which a vote fraction is missing.
    seed : int

    Raises
    ------
    UsageError
        If a word is not one of those allowed.
    """

    label: str | None = None
    kind: Kind | None = None
    log: bool = False
    side: Side | None = None
    variant: str | None = None
    parts: tuple[str, ...] = PARTS
    like: tuple[str, ...] = ()
    wanted: str | None = None
    first: int = FIRST
    rank_by: RankBy = DEFAULT_RANK_BY
    neighbours: int = NEIGHBOURS
    counts: tuple[int, ...] = COUNTS
    draws: int = DRAWS
    clusters: ClusterSettings = field(default_factory=ClusterSettings)
    table: str | None = None
    join: str | None = None
    mapping: str | None = None
    least_votes: int = LEAST_VOTES
    seed: int = 0

    def __post_init__(self) -> None:
        words: tuple[tuple[str, str | None, tuple[str, ...]], ...] = (
            ("kind", self.kind, KINDS),
            ("side", self.side, SIDES),
            ("rank_by", self.rank_by, RANK_BY),
            *(("part", part, PARTS) for part in self.parts),
        )
        for name, got, allowed in words:
            if got is not None and got not in allowed:
                raise UsageError(f"{name}: got {got!r}: {did_you_mean(got, allowed)}")
        if self.label is None and (self.wanted is not None or self.log or self.kind is not None):
            raise UsageError("wanted, kind and log say something of a label: name the label")
        self._check_table()

    def _check_table(self) -> None:
        if self.least_votes < 0:
            raise UsageError(f"least_votes: got {self.least_votes}, allowed is 0 or more")
        if self.table is None:
            if self.join is not None or self.mapping is not None:
                raise UsageError("join and mapping say how a table is read: name the table")
            return
        if self.join is None or self.label is None:
            raise UsageError(
                "table: name with it the column of the ids (join) and that of the label (label)"
            )


def run_probe(
    path: Path, settings: ProbeSettings | None = None, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Return what stored embeddings hold, as plain values.

    Parameters
    ----------
    path : Path
        Folder of a finished run, or one embedding (``.h5``).
    settings : ProbeSettings
    progress : callable, optional
        ``(label, done, total)``.

    Returns
    -------
    dict
        ``schema``, ``source``, ``settings``, ``joined`` (for every side with rows in the table
        how many objects it holds and how many have too few votes; None without one) and, for
        every side, ``linear``, ``knn``, ``label_counts``, ``few_shot``, ``search`` and
        ``clusters``; a part that cannot be had is ``{"reason": why}``.

    Raises
    ------
    UsageError
        If there is no embedding, or no side has the label.
    """
    settings = settings or ProbeSettings()
    chosen, variant = _embeddings(Path(path), settings)
    joined: dict[str, Any] | None = None
    if settings.table is not None:
        chosen, joined = _joined(chosen, settings)
    elif settings.label is not None and settings.side is None:
        chosen = _with_label(chosen, settings.label)
    if settings.like:
        chosen = _with_ids(chosen, settings.like)
    sides = []
    for place, (side, embedding) in enumerate(chosen.items()):
        if progress is not None:
            progress(f"probe {embedding.name}", place, len(chosen))
        sides.append({"side": side, **probe_embedding(embedding, settings)})
    if progress is not None:
        progress("probe", len(chosen), len(chosen))
    return {
        "schema": VERSION,
        "kind": "simreal probe",
        "source": str(path),
        "variant": variant,
        "settings": dataclasses.asdict(settings),
        "joined": joined,
        "sides": sides,
    }


def probe_embedding(embedding: Embedding, settings: ProbeSettings | None = None) -> dict[str, Any]:
    """Return what one embedding holds, as plain values.

    Every part draws from its own random stream: leaving one out changes no other number.

    Raises
    ------
    UsageError
        If the embedding has no such property, or an example is not there.
    """
    settings = settings or ProbeSettings()
    target = None
    if settings.label is not None:
        target = target_of(embedding, settings.label, kind=settings.kind, log=settings.log)
    found: dict[str, Any] = {
        "name": embedding.name,
        "n_images": len(embedding),
        "n_groups": embedding.n_groups,
        "dimension": embedding.vectors.shape[1],
        "encoder_digest": embedding.encoder_digest,
        "source_digest": embedding.source_digest,
        "label": None if target is None else _label(embedding, target),
    }
    for part in PARTS:
        if part in settings.parts:
            rng = stream(settings.seed, "probe", part)
            key = part.replace("-", "_")
            try:
                found[key] = _part(part, embedding, target, settings, rng)
            except NotComputableError as error:
                found[key] = {"reason": str(error)}
    return found


def _part(
    part: str,
    embedding: Embedding,
    target: Target | None,
    settings: ProbeSettings,
    rng: np.random.Generator,
) -> Any:
    if part == "clusters":
        return _clusters(embedding, target, settings, rng)
    if part == "search":
        return _search(embedding, target, settings, rng)
    if target is None:
        return {"reason": "no label was named"}
    if part == "linear":
        return _probed(linear_probe(embedding, target, rng=rng))
    if part == "knn":
        return _probed(knn_probe(embedding, target, k=settings.neighbours, rng=rng))
    if part == "label-counts":
        return _counts(
            label_sweep(embedding, target, counts=settings.counts, draws=settings.draws, rng=rng)
        )
    if target.kind == "number":
        return {"reason": f"{target.name} is a number: few-shot needs classes"}
    return _counts(few_shot(embedding, target, rng=rng))


def _label(embedding: Embedding, target: Target) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": target.name,
        "kind": target.kind,
        "unit": target.unit,
        "n_labelled": len(np.unique(embedding.groups[target.known])),
    }
    try:
        sample, clean, left_out = labelled(embedding, target)
    except NotComputableError as error:
        return {**row, "classes": {}, "left_out": {}, "reason": str(error)}
    counts = np.bincount(sample.strata, minlength=len(clean.classes)).tolist()
    classes = dict(zip(clean.classes, counts, strict=True)) if clean.classes else {}
    return {**row, "classes": classes, "left_out": dict(left_out), "reason": None}


def _probed(found: Probed) -> dict[str, Any]:
    return {**_plain(found), "baseline": found.baseline}


def _counts(found: tuple[AtCount, ...]) -> list[dict[str, Any]]:
    return [_plain(row) for row in found]


def _search(
    embedding: Embedding,
    target: Target | None,
    settings: ProbeSettings,
    rng: np.random.Generator,
) -> dict[str, Any]:
    if settings.like:
        return _search_like(embedding, target, settings)
    if target is None:
        return {"reason": "neither examples nor a label were named"}
    if target.kind == "number":
        return {"reason": f"{target.name} is a number: name examples to search with"}
    rows = []
    for wanted in _asked_for(embedding, target, settings.wanted):
        handfuls, first = random_handfuls(
            embedding, target, wanted, k=settings.first, rank_by=settings.rank_by, rng=rng
        )
        rows.append({"handfuls": _plain(handfuls), "precision": _plain(first)})
    return {"rank_by": settings.rank_by, "classes": rows}


def _search_like(
    embedding: Embedding, target: Target | None, settings: ProbeSettings
) -> dict[str, Any]:
    found = similar(embedding, settings.like, rank_by=settings.rank_by)
    said = _label_texts(embedding, target)
    row: dict[str, Any] = {
        "rank_by": found.rank_by,
        "examples": list(found.examples),
        "found": [
            {"id": str(embedding.ids[i]), "likeness": float(likeness), "label": said[i]}
            for i, likeness in zip(
                found.rows[: settings.first].tolist(), found.likeness.tolist(), strict=False
            )
        ],
        "precision": None,
    }
    if target is not None and target.kind == "class":
        row["precision"] = _precision(found, said, embedding, target, settings)
    return row


def _precision(
    found: Found,
    said: list[str | float | None],
    embedding: Embedding,
    target: Target,
    settings: ProbeSettings,
) -> dict[str, Any]:
    place = {name: row for row, name in enumerate(embedding.ids.tolist())}
    asked = {said[place[name]] for name in settings.like} - {None}
    wanted = settings.wanted or (asked.pop() if len(asked) == 1 else None)
    if not isinstance(wanted, str):
        return {"reason": "the examples are not all of one class: name the one that is wanted"}
    try:
        return _plain(precision_at(found, target, wanted, k=settings.first))
    except NotComputableError as error:
        return {"reason": str(error)}


def _label_texts(embedding: Embedding, target: Target | None) -> list[str | float | None]:
    if target is None:
        return [None] * len(embedding)
    return [
        None if not known else target.classes[int(value)] if target.classes else float(value)
        for value, known in zip(target.values.tolist(), target.known.tolist(), strict=True)
    ]


def _asked_for(embedding: Embedding, target: Target, wanted: str | None) -> list[str]:
    """Return the class that is wanted, or the rarest of those with enough objects."""
    if wanted is not None:
        return [wanted]
    sample, clean, _ = labelled(embedding, target)
    rising = np.argsort(np.bincount(sample.strata, minlength=len(clean.classes)), kind="stable")
    return [clean.classes[i] for i in rising[:MOST_CLASSES].tolist()]


def _clusters(
    embedding: Embedding,
    target: Target | None,
    settings: ProbeSettings,
    rng: np.random.Generator,
) -> dict[str, Any]:
    points, found = clusters(
        embedding,
        target,
        settings=settings.clusters,
        seed=integer_seed(settings.seed, "probe", "k-means"),
        rng=rng,
    )
    return {
        "n": len(points.rows),
        "n_components": points.coordinates.shape[1],
        "explained": points.explained,
        "partitions": [_partition(each, embedding, points.rows) for each in found],
    }


def _partition(found: Partition, embedding: Embedding, rows: Any) -> dict[str, Any]:
    row = _plain(found)
    row.pop("labels")
    row["members"] = dict(zip(embedding.ids[rows].tolist(), found.labels.tolist(), strict=True))
    return row


def _plain(value: Any) -> dict[str, Any]:
    from simreal.report.tables import to_plain

    row: dict[str, Any] = to_plain(dataclasses.asdict(value))
    return row


def probe_json(document: Mapping[str, Any]) -> str:
    """Return the document as JSON."""
    from simreal.report.tables import to_plain

    return json.dumps(to_plain(document), indent=1, ensure_ascii=False, allow_nan=False)


def _embeddings(path: Path, settings: ProbeSettings) -> tuple[dict[str, Embedding], str | None]:
    """Return the embeddings that were asked for, by side, and their variant."""
    from simreal.data.store import read_embedding

    if path.is_file():
        if settings.variant is not None or settings.side is not None:
            raise UsageError(f"{path}: one embedding has no sides and variants; leave both out")
        return {"all": read_embedding(path)}, None
    folder = path / "embeddings"
    variants = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    if not variants:
        raise UsageError(
            f"{path}: no embeddings; name the folder of a finished run of simreal compare, or an "
            "embedding (.h5)"
        )
    variant = settings.variant or _lead(path, variants)
    if variant not in variants:
        raise UsageError(f"variant: got {variant!r}: {did_you_mean(variant, variants)}")
    sides = SIDES if settings.side is None else (settings.side,)
    return {side: read_embedding(folder / variant / f"{side}.h5") for side in sides}, variant


def _lead(path: Path, variants: list[str]) -> str:
    """Return the leading variant of a run; the first by name where its results do not say."""
    try:
        rows = json.loads((path / "results.json").read_text(encoding="utf-8"))["comparisons"]
        return next(str(row["variant"]) for row in rows if row["lead"])
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return variants[0]


def _with_label(chosen: dict[str, Embedding], label: str) -> dict[str, Embedding]:
    columns = {
        side: [] if each.properties is None else list(each.properties.colnames)
        for side, each in chosen.items()
    }
    kept = {side: each for side, each in chosen.items() if label in columns[side]}
    if not kept:
        known = sorted({name for names in columns.values() for name in names})
        hint = did_you_mean(label, known) if known else "there are no properties at all"
        raise UsageError(f"label: no embedding has a property {label!r}: {hint}")
    return kept


def _joined(
    chosen: dict[str, Embedding], settings: ProbeSettings
) -> tuple[dict[str, Embedding], dict[str, Any]]:
    """Return the sides that have rows in the table, with the label, and what was found."""
    sides, said, reasons = {}, {}, []
    for side, each in chosen.items():
        try:
            label = joined_label(
                Path(str(settings.table)),
                str(settings.label),
                each.ids,
                join=str(settings.join),
                mapping=None if settings.mapping is None else Path(settings.mapping),
                least_votes=settings.least_votes,
            )
        except NoObjectError as error:
            reasons.append(error)
            continue
        sides[side] = each.replace(properties=with_label(each.properties, label))
        said[side] = {
            "table": str(settings.table),
            "n_found": label.n_found,
            "n_objects": len(each),
            "n_too_few_votes": label.n_too_few_votes,
        }
    if not sides:
        raise reasons[0]
    return sides, said


def _with_ids(chosen: dict[str, Embedding], ids: tuple[str, ...]) -> dict[str, Embedding]:
    """Return the side that the first example is of; `similar` names the ids that are not there."""
    kept = {side: each for side, each in chosen.items() if ids[0] in set(each.ids.tolist())}
    return kept or dict(list(chosen.items())[:1])
