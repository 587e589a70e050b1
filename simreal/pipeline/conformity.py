"""Whether a run folder is what its results and a benchmark card say it is.

Each function returns sentences, the first of which is the reason a run is refused with; none
means that nothing was found.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simreal.core.arrays import StrArray
from simreal.core.benchmark_cards import Benchmark, BenchmarkRow, ObservedList
from simreal.core.embedding import Embedding
from simreal.core.errors import StorageError
from simreal.pipeline.manifest import read_manifest
from simreal.pipeline.settings import RunSettings, expanded

OBSERVED, CONTROL = "observed.json", "control.json"

#: Settings that change no number of a comparison, or for which the digests of the encoder stand.
_NOT_NUMBERS = ("encoder_from", "threads", "device", "explain", "bridges", "nuisance", "plants")

Sides = Mapping[str, Mapping[str, Embedding]]


def settings_of(card: Benchmark, row: BenchmarkRow) -> RunSettings:
    """Return the settings of the run behind a row.

    Raises
    ------
    UsageError
        If the card asks for something a comparison does not know.
    """
    values = {
        "check_encoders": ("none",),
        "permutations": card.inference.permutations,
        "floor_splits": card.inference.floor_splits,
        **card.settings,
        "sim": row.sim or "",
        "obs": card.observed.collection,
        "track": card.track,
        "mode": "frozen",
        "encoder": card.encoder.plugin,
        "encoder_from": card.encoder.name,
        "metrics": tuple(card.metrics),
        "seed": card.seed,
    }
    return expanded(RunSettings.checked(values, where=f"{card.name}: settings"))


def scored_objects(folder: Path) -> tuple[StrArray, StrArray]:
    """Return ids and pixel hashes of the observed objects that a run scored.

    Raises
    ------
    StorageError
        If the run does not say.
    """
    path = folder / OBSERVED
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        ids, hashes = content["ids"], content["pixel_hashes"]
        if len(ids) != len(hashes):
            hashes = hashes[: len(ids)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path}: does not say which observed objects were scored ({error}); make the run "
            "again with --mode frozen"
        ) from None
    return np.array(ids, dtype=np.str_), np.array(hashes, dtype=np.str_)


def own_objections(results: Mapping[str, Any], embeddings: Sides) -> list[str]:
    """Return in what the embeddings of a run are not those its results speak of."""
    found = []
    encoders = results["encoder"]["variants"]
    if set(encoders) != set(embeddings):
        found.append(
            f"embeddings of {', '.join(embeddings) or 'no variant'}, the results speak of "
            f"{', '.join(encoders)}"
        )
    for variant, sides in embeddings.items():
        for side in ("sim", "obs"):
            if side not in sides:
                found.append(f"embeddings/{variant}/{side}.h5 is missing")
                continue
            found += _one_side(f"embeddings/{variant}/{side}.h5", sides[side], results[side])
            known = encoders.get(variant, {}).get("digest")
            if known is not None and sides[side].encoder_digest != known:
                found.append(
                    f"embeddings/{variant}/{side}.h5 was swapped: it comes from the encoder "
                    f"{sides[side].encoder_digest[:12]}, the results speak of {known[:12]}"
                )
    # Of the two variants one shows the stamps as they are, so that its source has their digest.
    return found or [
        f"the {side} embeddings were swapped: none is of the images that the results speak of"
        for side in ("sim", "obs")
        if results[side]["digest"] not in {of[side].source_digest for of in embeddings.values()}
    ]


def _one_side(name: str, embedding: Embedding, side: Mapping[str, Any]) -> list[str]:
    if len(embedding) != side["n"] or embedding.n_groups != side["n_groups"]:
        had = f"{len(embedding)} objects in {embedding.n_groups} groups"
        said = f"{side['n']} in {side['n_groups']}"
        return [f"{name} holds {had}, the results speak of {said}: rows were added or left out"]
    if embedding.name != side["name"] and not embedding.name.startswith(f"{side['name']} "):
        return [f"{name} was swapped: it holds {embedding.name!r}, not {side['name']!r}"]
    return []


def objections(
    folder: Path,
    results: Mapping[str, Any],
    embeddings: Sides,
    *,
    card: Benchmark,
    row: BenchmarkRow,
    observed: ObservedList,
) -> list[str]:
    """Return in what a run is not what a card asks for, its own inconsistencies first."""
    found = own_objections(results, embeddings)
    if not found:
        found += _settings_objections(results, card, row)
        found += _encoder_objections(embeddings, card)
        found += _observed_objections(folder, embeddings, card, observed)
        found += _unsaid(results, embeddings)
        found += _too_few(embeddings, card)
    return found


def control_objections(
    folder: Path, embeddings: Sides, *, card: Benchmark, row: BenchmarkRow
) -> list[str]:
    """Return in what the folder of a negative control is not what a card asks for."""
    said = json.loads((folder / CONTROL).read_text(encoding="utf-8"))
    found = [
        f"made with {name} {said.get(name)!r}, the card asks for {wanted!r}"
        for name, wanted in (("fault", row.fault), ("of", row.of), ("seed", card.seed))
        if said.get(name) != wanted
    ]
    if not made_of(folder, folder.parent / str(row.of)):
        found.append(f"made of another run of {row.of} than the one beside it")
    return found + _encoder_objections(embeddings, card) + _too_few(embeddings, card)


def made_of(folder: Path, source: Path) -> bool:
    """Return whether a negative control holds the observed side of the run it was made of."""
    mine, theirs = read_manifest(folder), read_manifest(source)
    shared = [name for name in mine if name.endswith(("/obs.h5", "/ceiling.h5"))]
    return bool(shared) and all(theirs.get(name) == mine[name] for name in shared)


def _settings_objections(
    results: Mapping[str, Any], card: Benchmark, row: BenchmarkRow
) -> list[str]:
    if results["seed"] != card.seed:
        return [f"another seed: {results['seed']}, the card asks for {card.seed}"]
    if results["encoder"]["mode"] != "frozen":
        return [f"scored in mode {results['encoder']['mode']!r}, the card asks for 'frozen'"]
    return settings_differences(results["provenance"]["settings"], card, row)


def settings_differences(had: Mapping[str, Any], card: Benchmark, row: BenchmarkRow) -> list[str]:
    """Return in which settings a run is not what a card asks for, in words.

    A fuller audit than asked for is no difference: it changes no number and can only refuse more.
    """
    asked = settings_of(card, row).model_dump(mode="json")
    # What a run does not name did not exist when it was made: it did what is the default now.
    had = {**RunSettings(sim="", obs="").model_dump(mode="json"), **had}
    return [
        f"{name} is {had[name]!r}, the card asks for {wanted!r}"
        for name, wanted in asked.items()
        if name not in _NOT_NUMBERS
        and had[name] != wanted
        and (name, had[name]) != ("audit", "full")
    ]


def _encoder_objections(embeddings: Sides, card: Benchmark) -> list[str]:
    return [
        f"{variant}/{side} comes from the encoder {embedding.encoder_digest[:12]}, the card asks "
        f"for {card.encoder.digests.get(variant, 'none')[:12]}"
        for variant, sides in embeddings.items()
        for side, embedding in sides.items()
        if embedding.encoder_digest != card.encoder.digests.get(variant)
    ]


def _observed_objections(
    folder: Path, embeddings: Sides, card: Benchmark, observed: ObservedList
) -> list[str]:
    ids, hashes = scored_objects(folder)
    said = set(ids.tolist())
    for variant, sides in embeddings.items():
        if set(sides["obs"].ids.tolist()) != said:
            return [f"embeddings/{variant}/obs.h5 holds other objects than {OBSERVED} lists"]
    differences = observed.differences(ids, hashes)
    if differences:
        return [f"another observed list than that of {card.name}: {differences}"]
    return []


def seen_in_training(folder: Path, hashes: StrArray) -> int:
    """Return how many scored observed objects the encoders kept with a run were trained on."""
    from simreal.encode.weights import read_card, read_weights

    seen = np.zeros(len(hashes), dtype=np.bool_)
    for place in sorted((folder / "encoder").glob("*/card.json")):
        card = read_card(place.parent)
        packed = read_weights(place.parent, card).get("native")
        if "trained_on" in card and packed is not None:
            known = np.array([f"{number:016x}" for number in packed.tolist()], dtype=np.str_)
            seen |= np.isin(hashes, known)
    return int(seen.sum())


def overlap_objections(folder: Path) -> list[str]:
    """Return whether a run scored what its encoder was trained on."""
    _, hashes = scored_objects(folder)
    if not (folder / "encoder").is_dir():
        return [f"no encoder/ in {folder.name}: what it was trained on cannot be told"]
    seen = seen_in_training(folder, hashes)
    if seen:
        what = f"the encoder was trained on {seen} of the {len(hashes)} observed objects it scores"
        return [f"training and scoring overlap: {what}"]
    return []


def _unsaid(results: Mapping[str, Any], embeddings: Sides) -> list[str]:
    """Return conditions in which the sides differ and of which the audit says nothing."""
    said = " ".join(results["audit"]["reasons"])
    differing = {
        name
        for sides in embeddings.values()
        for name in sides["obs"].setup.differs_from(sides["sim"].setup)
    }
    return [
        f"the sides differ in {name}, of which the audit says nothing"
        for name in sorted(differing)
        if name not in said
    ]


def _too_few(embeddings: Sides, card: Benchmark) -> list[str]:
    for sides in embeddings.values():
        n = min(sides["sim"].n_groups, sides["obs"].n_groups // 2)
        if n < card.n:
            had = f"{sides['sim'].n_groups} simulated and {sides['obs'].n_groups} observed groups"
            return [f"fewer rows than the card asks for: {had} leave {n} a side of {card.n}"]
    return []
