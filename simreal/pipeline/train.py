"""A frozen encoder, in the order of its model card.

Read the observations, split them by group, bring both parts to the stamps a comparison makes,
train on one part, probe what was learned on the other, and write down which image was where.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.arrays import BoolArray, StrArray
from simreal.core.cards import Card
from simreal.core.errors import NotComputableError, StorageError, UsageError, did_you_mean
from simreal.core.images import ImageSet, Track
from simreal.core.provenance import json_digest, machine, versions
from simreal.pipeline import fragments
from simreal.pipeline.cache import StageCache, cache_folder, stage_key
from simreal.pipeline.encoding import TRAINING_SHARE, positions
from simreal.pipeline.model_page import model_page
from simreal.pipeline.stages import Progress, dump, hash_stage, read_into, read_json, silent, stored

if TYPE_CHECKING:
    from simreal.encode.distributed import Processes
    from simreal.encode.encoder import Encoder
    from simreal.encode.settings import EncoderSettings
    from simreal.match.recipe import FrameChoice, Recipe

#: Parts of the observations, and the names of their files.
PARTS = ("training", "held_out")

#: Settings that say where something is written, and nothing of the encoder.
_WHERE = ("log", "tensorboard")

#: A text with more classes than this is a name, not a label.
MOST_CLASSES = 20

#: The page a human reads, beside the card that programs read.
PAGE = "MODEL_CARD.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """What is trained, and on which part of which observations.

    Parameters
    ----------
    obs : str
        Observed collection: catalogue name, card or folder.
    encoder : str
    share : float
        Of the groups that are trained on; the others are what the encoder may score.
    n : int or None
        At most so many groups are trained on.
    track : str
        For collections that come in several.
    stamp : int
    frame : {"auto", "angular", "physical", "radius"}
    frame_width : float or None
        In units of the frame; None for the widest the collection itself allows. A simulation
        may allow less, and a comparison with this encoder takes this width.
    augmentation, backbone : str or None
    averaged : bool
    image_passes : int or None
        Training budget; None for that of a comparison.
    patience : int or None
        Epochs without a lower training loss after which training ends; None for never.
    log, tensorboard : Path or None
        Folders for the log of every variant.
    labels : tuple of str
        Properties probed on the held-out part; empty for all that have classes.
    seed : int
    threads : int or None
    device : str

    Raises
    ------
    UsageError
        If a value is outside what is allowed.
    """

    obs: str
    encoder: str = "simclr"
    share: float = TRAINING_SHARE
    n: int | None = None
    track: str = "auto"
    stamp: int = 64
    frame: "FrameChoice" = "auto"
    frame_width: float | None = None
    augmentation: str | None = None
    backbone: str | None = None
    averaged: bool = False
    image_passes: int | None = None
    patience: int | None = None
    log: Path | None = None
    tensorboard: Path | None = None
    labels: tuple[str, ...] = ()
    seed: int = 0
    threads: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UsageError(
                f"share: got {self.share}, allowed is above 0 and below 1: what is not trained on "
                "is what the encoder may score"
            )
        if self.stamp < 32:
            raise UsageError(f"stamp: got {self.stamp}, allowed is 32 to 512 pixels")
        if self.n is not None and self.n < 1:
            raise UsageError(f"n: got {self.n}, allowed is 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A finished training.

    Parameters
    ----------
    folder : Path
        One encoder per variant, ``card.json`` and ``MODEL_CARD.md``.
    card : mapping
        The model card.
    n_rejected : int
        Broken files that were left out.
    """

    folder: Path
    card: Mapping[str, Any]
    n_rejected: int


def run_training(
    settings: TrainSettings,
    *,
    out: Path | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Training | None:
    """Train a frozen encoder on a part of one observed collection.

    Several processes that ``torchrun`` started train one encoder together.

    Parameters
    ----------
    settings : TrainSettings
    out : Path, optional
        Folder of the encoder, whose name becomes its own; default ``trained/OBS``.
    command : str
        The command line, for the model card.
    progress : callable, optional
        ``(label, done, total)``.

    Returns
    -------
    Training or None
        None in a process that only helped the first.

    Raises
    ------
    SimrealError
        In one line: what was got, what is allowed, what to do.
    """
    from simreal.encode.distributed import joined
    from simreal.encode.shipped import write_model_card
    from simreal.report.tables import write_text

    folder = Path(out) if out is not None else Path("trained") / _collection(settings).name
    with joined(settings.device) as here:
        work = _work(settings, (progress or silent) if here.first else silent, here)
        native, rejected = _read(work)
        hashed = hash_stage(work.cache, native, work.read_key)
        hashes = np.array(hashed["hashes"], dtype=np.str_)
        kept, held_out = _split(native.groups, settings)
        match_key = stage_key(
            "match of one collection",
            code=("match", "measure", "stats"),
            read=work.read_key,
            parts=[native.ids[rows].tolist() for rows in (kept, held_out)],
            recipe=work.recipe,
            seed=settings.seed,
        )
        matched = _match(work, match_key, native, (kept, held_out))
        native_rows = {name: row for row, name in enumerate(native.ids.tolist())}
        parts = {part: stored(matched / f"{part}.h5") for part in PARTS}
        rows = np.array([native_rows[name] for name in parts["training"].ids.tolist()])
        trained = {
            variant: _trained(work, match_key, variant, parts["training"], hashes[rows])
            for variant in work.variants
        }
    if not here.first:
        return None
    _place(trained, folder)
    probes = {
        variant: _probed(work, variant, found, parts["held_out"])
        for variant, found in trained.items()
    }
    variants = {variant: read_json(found / "card.json") for variant, found in trained.items()}
    card = {
        "name": folder.resolve().name,
        "command": command,
        "encoder": settings.encoder,
        "track": native.setup.track,
        "settings": _plain(settings),
        "data": _data(work.card, native, hashed["digest"]),
        "split": {
            "rule": "groups whose sha256 of seed and name lies lowest are trained on",
            "share": settings.share,
            "seed": settings.seed,
        },
        "training": _part(native, kept, hashes, matched=len(parts["training"])),
        "held_out": _part(native, held_out, hashes, matched=len(parts["held_out"])),
        "matching": read_json(matched / "match.json"),
        "variants": {variant: _variant(card) for variant, card in variants.items()},
        "probes": probes,
        "processes": here.size,
        "versions": versions(),
        "machine": machine(),
    }
    write_text(model_page(card), folder / PAGE)
    write_model_card(folder, card)
    return Training(folder=folder, card=card, n_rejected=len(rejected))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    """What every step needs to know."""

    settings: TrainSettings
    card: Card
    recipe: "Recipe"
    encoder: "EncoderSettings"
    variants: tuple[str, str]
    read_key: str
    cache: StageCache
    progress: Progress
    here: "Processes"


def _collection(settings: TrainSettings) -> Card:
    """Return the card of the collection, in the track that was asked for."""
    from simreal.data.ingest import card_for, in_track

    card = card_for(settings.obs, role="observed")
    if card.role != "observed":
        raise UsageError(
            f"{card.name}: got a {card.role} collection, allowed is an observed one: a frozen "
            "encoder learns what observations look like"
        )
    return card if settings.track == "auto" else in_track(card, _track(settings.track))


def _work(settings: TrainSettings, progress: Progress, here: "Processes") -> _Work:
    """Check every name, before anything is done."""
    from simreal.core.plugins import load
    from simreal.data.ingest import fingerprint
    from simreal.encode.distributed import started_together
    from simreal.encode.settings import EncoderSettings
    from simreal.match.recipe import Recipe
    from simreal.pipeline.plan import usable_cores, variants_of

    load("simreal.encode.encoders", "simreal.encoders", settings.encoder)
    card = _collection(settings)
    recipe = Recipe(frame=settings.frame, frame_width=settings.frame_width, stamp=settings.stamp)
    encoder = EncoderSettings(
        threads=settings.threads or max(1, usable_cores() // started_together()[1]),
        device=settings.device,  # type: ignore[arg-type]
        augmentation=settings.augmentation,
        backbone=settings.backbone,
        averaged=settings.averaged,
        patience=settings.patience,
    )
    if settings.image_passes is not None:
        encoder = replace(encoder, image_passes=settings.image_passes)
    for label in settings.labels:
        if label not in card.properties:
            raise UsageError(
                f"label: {card.name} has no property {label!r}: "
                f"{did_you_mean(label, card.properties)}"
            )
    read_key = stage_key("read", code=("data",), source=fingerprint(card, seed=settings.seed))
    return _Work(
        settings=settings,
        card=card,
        recipe=recipe,
        encoder=encoder,
        variants=variants_of(card.track),
        read_key=read_key,
        cache=StageCache(cache_folder()),
        progress=progress,
        here=here,
    )


def _track(name: str) -> Track:
    from simreal.core.images import TRACKS

    for track in TRACKS:
        if track == name:
            return track
    raise UsageError(f"track: got {name!r}: {did_you_mean(name, TRACKS)}")


def _read(work: _Work) -> tuple[ImageSet, list[dict[str, Any]]]:
    work.progress(f"read {work.card.name}", 0, 1)
    folder = work.cache.fetch("read", work.read_key, read_into(work.card, seed=work.settings.seed))
    work.progress(f"read {work.card.name}", 1, 1)
    return stored(folder / "images.h5"), read_json(folder / "read.json")["rejected"]


def _split(groups: StrArray, settings: TrainSettings) -> tuple[BoolArray, BoolArray]:
    """Return which images are trained on, and which are held out."""
    place = positions(groups, seed=settings.seed)
    half = place < settings.share
    kept = half
    if settings.n is not None:
        lowest = np.unique(place[half])[: settings.n]
        kept = np.asarray(half & np.isin(place, lowest))
    if not kept.any() or half.all():
        raise NotComputableError(
            f"share {settings.share:g} of {len(np.unique(groups))} groups leaves nothing to train "
            "on, or nothing to score; use more objects or another share"
        )
    return kept, ~half


def _match(work: _Work, key: str, native: ImageSet, parts: tuple[BoolArray, BoolArray]) -> Path:
    """Bring both parts to one footing, as a comparison of the collection with itself would."""
    from simreal.data.store import write_set
    from simreal.match.track import match_sets

    def build(folder: Path) -> None:
        matched = match_sets(
            native.rows(parts[0]).replace(name=f"{native.name} training part"),
            native.rows(parts[1]).replace(name=f"{native.name} held-out part"),
            views=(work.card.view, work.card.view),
            recipe=work.recipe,
            seed=work.settings.seed,
            progress=work.progress,
        )
        for part, images in zip(PARTS, (matched.sim, matched.obs), strict=True):
            write_set(folder / f"{part}.h5", images)
        found = fragments.matching(matched)
        frame = found["frame"]
        said = {
            "stamp": frame["stamp"],
            "frame": frame["kind"],
            "frame_width": frame["width"],
            "frame_unit": frame["unit"],
            "matched_fraction": dict(zip(PARTS, found["matched_fraction"].values(), strict=True)),
            "setup": {"bands": list(matched.sim.setup.bands), "display": matched.sim.setup.display},
            "warnings": found["warnings"],
        }
        dump(said, folder / "match.json")

    work.progress("match", 0, 1)
    return work.cache.fetch("match", key, build)


def _trained(
    work: _Work, match_key: str, variant: str, training: ImageSet, native: StrArray
) -> Path:
    """Train on what a comparison shows an encoder in this variant."""
    from simreal.encode.distributed import agreed
    from simreal.encode.frozen import fit_frozen
    from simreal.encode.run import save_encoder
    from simreal.match.variants import shown

    settings = work.settings
    key = stage_key(
        "train",
        code=("encode", "measure", "stats", "match"),
        match=match_key,
        variant=variant,
        encoder=settings.encoder,
        settings=work.encoder,
        seed=settings.seed,
        processes=work.here.size,
    )
    checkpoints = work.cache.folder / "checkpoints" / key[:32]
    log, board = settings.log, settings.tensorboard
    placed = replace(
        work.encoder,
        checkpoints=checkpoints,
        log=None if log is None else Path(log) / f"{variant}.jsonl",
        tensorboard=None if board is None else Path(board) / variant,
    )

    def labelled(label: str, done: int, total: int) -> None:
        work.progress(f"{label} ({variant})", done, total)

    def fitted() -> "Encoder":
        return fit_frozen(
            settings.encoder,
            shown(training, variant),
            native=native,
            settings=placed,
            seed=settings.seed,
            progress=labelled,
        )

    def build(folder: Path) -> None:
        save_encoder(encoder or fitted(), folder)
        shutil.rmtree(checkpoints, ignore_errors=True)

    # Together, processes train outside of the cache's lock, which only one can hold.
    encoder = None
    if work.here.size > 1 and agreed(not work.cache.has("train", key)):
        encoder = fitted()
    if not work.here.first:
        return work.cache.folder
    return work.cache.fetch("train", key, build)


def _place(trained: Mapping[str, Path], folder: Path) -> None:
    """Copy the encoders into place, each by one rename, after the card that speaks of others.

    Raises
    ------
    StorageError
        If the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "card.json").unlink(missing_ok=True)
        for variant, found in trained.items():
            partial = folder / f".{variant}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(found, partial, ignore=shutil.ignore_patterns("entry.json"))
            shutil.rmtree(folder / variant, ignore_errors=True)
            partial.rename(folder / variant)
    except OSError as error:
        raise StorageError(
            f"{folder}: could not write the encoder ({error.strerror or error}); free space or "
            "choose another folder"
        ) from error


def _probed(work: _Work, variant: str, trained: Path, held_out: ImageSet) -> dict[str, Any]:
    """Return what the held-out part's embedding holds of the labels, as simreal probe says it."""
    from simreal.encode.run import embed, load_encoder
    from simreal.match.variants import shown
    from simreal.pipeline.probe import ProbeSettings, probe_embedding

    labels = work.settings.labels or _classes(work.card, held_out)
    if not labels:
        return {}
    encoder: Encoder = load_encoder(trained)
    embedding = embed(encoder, shown(held_out, variant))
    found = {}
    for label in labels:
        work.progress(f"probe {label} ({variant})", 0, 1)
        said = probe_embedding(
            embedding,
            ProbeSettings(label=label, parts=("linear", "knn"), seed=work.settings.seed),
        )
        found[label] = {name: said[name] for name in ("label", "linear", "knn")}
    return found


def _classes(card: Card, images: ImageSet) -> tuple[str, ...]:
    """Return the properties that are classes of a few kinds."""
    found = []
    for name, about in card.properties.items():
        if about.kind == "text" and images.properties is not None:
            column = np.ma.asarray(images.properties[name]).compressed()
            if 2 <= len(np.unique(np.asarray(column, dtype=np.str_))) <= MOST_CLASSES:
                found.append(name)
    return tuple(found)


def _data(card: Card, native: ImageSet, digest: str) -> dict[str, Any]:
    return {
        "name": card.name,
        "title": card.title,
        "digest": digest,
        "n_images": len(native),
        "n_groups": native.n_groups,
        "sampling": native.sampling,
        "object_kind": native.setup.object_kind,
        "bands": list(native.setup.bands),
        "licence": card.credit.licence,
        "citation": list(card.credit.citation),
    }


def _part(native: ImageSet, rows: BoolArray, hashes: StrArray, *, matched: int) -> dict[str, Any]:
    part = native.rows(rows)
    listed = sorted(hashes[rows].tolist())
    return {
        "n_images": len(part),
        "n_groups": part.n_groups,
        "n_matched": matched,
        "ids": part.ids.tolist(),
        "hashes": listed,
        "hashes_sha256": hashlib.sha256("\n".join(listed).encode()).hexdigest(),
    }


def _variant(card: Mapping[str, Any]) -> dict[str, Any]:
    names = ("digest", "dimension", "shape", "objective", "effective_rank", "loss", "device")
    said = {name: card[name] for name in (*names, "threads") if name in card}
    return said | {"card_sha256": json_digest(card)}


def _plain(settings: TrainSettings) -> dict[str, Any]:
    said = {name: value for name, value in asdict(settings).items() if name not in _WHERE}
    plain: dict[str, Any] = json.loads(json.dumps(said))
    return plain
