"""The embed stage: one encoder, fitted or read back, and what it makes of both sides.

Pooled encoders are fitted on both sides without labels. Frozen ones are fitted on observations
that are not scored; which ones follows from the group's name and the seed alone, so that every
run against the same observations with the same seed keeps the same ones for training. One with
a model card (shipped, or made by ``simreal train``) lists what it was trained on, and a
comparison leaves that out before it begins, whatever its seed.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array, StrArray
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.core.images import ArraySource, ImageSet, Step
from simreal.core.seeding import stream

if TYPE_CHECKING:
    from simreal.encode.encoder import Encoder
    from simreal.encode.settings import EncoderSettings

Progress = Callable[[str, int, int], None]

#: Share of the observed groups that a frozen encoder is fitted on.
TRAINING_SHARE = 0.5

#: How far a frame may be from the one an encoder was trained in: the zoom it learned to ignore.
FRAME_TOLERANCE = 0.15

#: The built-in bad mock; others are kinds of degradation with their severity.
PIXEL_PERMUTED = "pixel-permuted"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stamps:
    """The matched stamps of a run: both scored sides and what is kept for training.

    Parameters
    ----------
    sim, obs : ImageSet
        Scored.
    training : ImageSet or None
        Observed groups that a frozen encoder is fitted on.
    native_training, native_obs : array of str or None
        Hashes of the decoded pixels of their originals.
    """

    sim: ImageSet
    obs: ImageSet
    training: ImageSet | None = None
    native_training: StrArray | None = None
    native_obs: StrArray | None = None

    @property
    def sides(self) -> dict[str, ImageSet]:
        """The scored sides by name."""
        return {"sim": self.sim, "obs": self.obs}


def split_stamps(
    matched: Mapping[str, ImageSet], native_obs: ImageSet, *, frozen: bool, seed: int
) -> Stamps:
    """Return what is scored and what is kept for training."""
    if not frozen:
        return Stamps(sim=matched["sim"], obs=matched["obs"])
    obs = matched["obs"]
    hashes = _native_hashes(native_obs, obs)
    kept = for_training(obs.groups, seed=seed)
    return Stamps(
        sim=matched["sim"],
        obs=obs.rows(np.flatnonzero(~kept)),
        training=obs.rows(np.flatnonzero(kept)).replace(name=f"{obs.name} training part"),
        native_training=hashes[kept],
        native_obs=hashes[~kept],
    )


def for_training(groups: StrArray, *, seed: int, share: float = TRAINING_SHARE) -> BoolArray:
    """Return which groups are kept for training, by the hash of name and seed ``(n,)``.

    Examples
    --------
    >>> groups = np.array(["a", "b", "a"])
    >>> kept = for_training(groups, seed=0)
    >>> bool(kept[0] == kept[2])
    True
    """
    return np.asarray(positions(groups, seed=seed) < share)


def positions(groups: StrArray, *, seed: int) -> Float64Array:
    """Return where every group stands between 0 and 1, by the hash of name and seed ``(n,)``."""
    names, inverse = np.unique(groups, return_inverse=True)
    digests = [hashlib.sha256(f"{seed}\x1f{name}".encode()).digest() for name in names.tolist()]
    place = np.array([int.from_bytes(d[:8], "big") / 2**64 for d in digests])
    return np.asarray(place[inverse])


def _native_hashes(native: ImageSet, wanted: ImageSet) -> StrArray:
    from simreal.measure.pixel_hash import pixel_hashes

    order = {name: row for row, name in enumerate(native.ids.tolist())}
    rows = np.array([order[name] for name in wanted.ids.tolist()], dtype=np.int64)
    found: StrArray = pixel_hashes(native.images)[rows]
    return found


def fit_or_load(
    name: str,
    stamps: Stamps,
    *,
    settings: "EncoderSettings",
    seed: int,
    stored: Path | None = None,
    progress: Progress | None = None,
) -> "Encoder":
    """Return the encoder of a run, fitted pooled or frozen, or read back and checked.

    Raises
    ------
    NotComputableError
        If a frozen encoder has seen an image that is scored, or one side lacks a band more
        often than the other.
    StorageError
        If a stored one is damaged, or not the one its model card speaks of.
    """
    from simreal.encode.frozen import check_disjoint, fit_frozen
    from simreal.encode.pool import check_presence
    from simreal.encode.run import fit_encoder
    from simreal.encode.shipped import load_variant

    check_presence(list(stamps.sides.values()))
    encoder: Encoder
    if stored is not None:
        encoder = load_variant(stored)
    elif stamps.training is not None:
        encoder = fit_frozen(
            name,
            stamps.training,
            native=stamps.native_training,
            settings=settings,
            seed=seed,
            progress=progress,
        )
    else:
        return fit_encoder(
            name, list(stamps.sides.values()), settings=settings, seed=seed, progress=progress
        )
    check_disjoint(encoder, stamps.obs, native=stamps.native_obs)
    return encoder


def stored_encoder(name_or_folder: str | None, variant: str) -> Path | None:
    """Return the folder of the frozen encoder of one variant.

    Raises
    ------
    UsageError
        If there is none.
    """
    return None if name_or_folder is None else variant_folder(name_or_folder, variant)


def variant_folder(name_or_folder: str, variant: str) -> Path:
    """Return the folder of the encoder of one variant, of a shipped name or in a folder.

    Raises
    ------
    UsageError
        If there is none.
    """
    from simreal.encode.shipped import encoder_folder

    path = encoder_folder(name_or_folder) / variant
    if not (path / "card.json").is_file():
        raise UsageError(
            f"encoder_from {name_or_folder}: no encoder in {path}; name a shipped encoder "
            "('simreal list encoders'), a folder of 'simreal train', or the folder 'encoder' of a "
            "run made with --mode frozen"
        )
    return path


def model_card(name_or_folder: str | None) -> dict[str, Any] | None:
    """Return the model card of a shipped encoder or of a folder of ``simreal train``.

    Encoders that a comparison left behind have none.

    Raises
    ------
    UsageError, StorageError
        If there is no such encoder, or its card was changed.
    """
    from simreal.encode.shipped import encoder_folder, read_model_card

    return None if name_or_folder is None else read_model_card(encoder_folder(name_or_folder))


def check_model(name_or_folder: str, card: Mapping[str, Any], *, track: str, encoder: str) -> None:
    """Refuse the encoder of a model card for collections of another kind.

    Raises
    ------
    UsageError
        Naming what it was trained on and what was asked for.
    """
    what = f"encoder_from {name_or_folder}"
    if card["track"] != track:
        raise UsageError(
            f"{what}: trained on the {card['track']} track ({', '.join(card['variants'])}), these "
            f"collections are on the {track} track; train one on it (simreal train)"
        )
    if card["encoder"] != encoder:
        raise UsageError(
            f"{what}: holds the encoder {card['encoder']!r}, got --encoder {encoder}; leave "
            "--encoder out"
        )


def check_frame(
    name_or_folder: str, card: Mapping[str, Any], *, stamp: int, frame: str, width: float | None
) -> None:
    """Refuse stamps of another size or frame than the encoder of a model card knows.

    Raises
    ------
    UsageError
        Naming what it was trained on and what was asked for.
    """
    known = card["matching"]
    what = f"encoder_from {name_or_folder}"
    if stamp != known["stamp"]:
        raise UsageError(
            f"{what}: trained on stamps of {known['stamp']} pixels, got --stamp {stamp}; leave "
            "--stamp out, or train another encoder (simreal train)"
        )
    if frame != known["frame"]:
        raise UsageError(
            f"{what}: trained in the frame {known['frame']}, got --frame {frame}; leave --frame "
            "out, or train another encoder (simreal train)"
        )
    if width is not None and abs(width / known["frame_width"] - 1) > FRAME_TOLERANCE:
        raise UsageError(
            f"{what}: trained in a frame {known['frame_width']:g} wide, got --frame-width "
            f"{width:g}; allowed is {100 * FRAME_TOLERANCE:.0f} % about it, or leave it out"
        )


def settings_of_model(card: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """Return the settings of a comparison that follow from a model card, those `given` left out.

    Examples
    --------
    >>> card = {"encoder": "pca", "matching": {"stamp": 64, "frame": "radius", "frame_width": 4.2}}
    >>> settings_of_model(card, {"stamp"})["frame_width"]
    4.2
    """
    matching = card["matching"]
    follow: dict[str, Any] = {"mode": "frozen", "encoder": card["encoder"]}
    follow |= {name: matching[name] for name in ("stamp", "frame", "frame_width")}
    return {name: value for name, value in follow.items() if name not in given}


def keeps_training_part(mode: str, name_or_folder: str | None) -> bool:
    """Return whether a comparison splits its observations; a model card has done so before."""
    return mode == "frozen" and model_card(name_or_folder) is None


def without_seen(
    images: ImageSet, hashes: StrArray, card: Mapping[str, Any], *, same_collection: bool = False
) -> ImageSet:
    """Return the images that the encoder of a model card was not trained on.

    Parameters
    ----------
    images : ImageSet
        As they were read.
    hashes : array of str (n,)
        `pixel_hashes` of them.
    card : mapping
        A model card.
    same_collection : bool
        Whether an id means what it means in the card.

    Raises
    ------
    NotComputableError
        If it was trained on all of them.
    """
    from simreal.encode.shipped import trained_on

    ids = images.ids if same_collection else None
    seen = trained_on(card, hashes, images.groups, ids=ids)
    if not seen.any():
        return images
    if seen.all():
        raise NotComputableError(
            f"{images.name}: the encoder {card['name']!r} was trained on all {len(images)} images, "
            "none is left to score; take another encoder or other observations"
        )
    left = images.rows(~seen)
    return left.with_step(
        Step(
            name="not trained on",
            before={"images": len(images), "groups": images.n_groups},
            after={"images": len(left), "groups": left.n_groups},
            note=f"the encoder {card['name']} was trained on the others",
        )
    )


def bad_mock(declared: str, obs: ImageSet, *, seed: int) -> ImageSet:
    """Return the declared bad mock, made of observed stamps.

    Parameters
    ----------
    declared : str
        ``pixel-permuted``, or KIND=SEVERITY of `simreal.match.degrade`.
    obs : ImageSet
    seed : int

    Raises
    ------
    UsageError
        If it is neither.
    """
    from simreal.match.degrade import degrade, pixel_permuted

    pixels = np.asarray(obs.images.read(slice(None)), dtype=np.float32)
    rng = stream(seed, "pipeline", "ceiling")
    name = f"{declared} {obs.name}"
    if declared == PIXEL_PERMUTED:
        return obs.replace(name=name, images=ArraySource(pixel_permuted(pixels, rng)))
    kind, severity = parse_ceiling(declared)
    made = degrade(pixels, kind, severity, rng=rng)
    return obs.rows(made.rows).replace(
        name=name, images=ArraySource(made.images), ids=obs.ids, groups=obs.groups
    )


def parse_ceiling(declared: str) -> tuple[str, float]:
    """Return kind and severity of KIND=SEVERITY.

    Examples
    --------
    >>> parse_ceiling("psf=2.5")
    ('psf', 2.5)
    """
    from simreal.match.degrade import KINDS

    kind, _, text = declared.partition("=")
    if kind not in KINDS:
        known = [*KINDS, PIXEL_PERMUTED, "none"]
        raise UsageError(f"ceiling: unknown bad mock {kind!r}: {did_you_mean(kind, known)}")
    try:
        return kind, float(text)
    except ValueError:
        raise UsageError(
            f"ceiling {declared}: got severity {text!r}, allowed is KIND=NUMBER, such as psf=2"
        ) from None
