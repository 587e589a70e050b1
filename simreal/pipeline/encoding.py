"""The embed stage: one encoder, fitted or read back, and what it makes of both sides.

Pooled encoders are fitted on both sides without labels. Frozen ones are fitted on observations
that are not scored; which ones follows from the group's name and the seed alone, so that every
run against the same observations with the same seed keeps the same ones for training.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simreal.core.arrays import BoolArray, StrArray
from simreal.core.errors import UsageError, did_you_mean
from simreal.core.images import ArraySource, ImageSet
from simreal.core.seeding import stream

if TYPE_CHECKING:
    from simreal.encode.encoder import Encoder
    from simreal.encode.settings import EncoderSettings

Progress = Callable[[str, int, int], None]

#: Share of the observed groups that a frozen encoder is fitted on.
TRAINING_SHARE = 0.5

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
    names, inverse = np.unique(groups, return_inverse=True)
    digests = [hashlib.sha256(f"{seed}\x1f{name}".encode()).digest() for name in names.tolist()]
    position = np.array([int.from_bytes(d[:8], "big") / 2**64 for d in digests])
    return np.asarray(position[inverse] < share)


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
        If a frozen encoder has seen an image that is scored.
    """
    from simreal.encode.frozen import check_disjoint, fit_frozen
    from simreal.encode.run import fit_encoder, load_encoder

    encoder: Encoder
    if stored is not None:
        encoder = load_encoder(stored)
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


def stored_encoder(folder: str | None, variant: str) -> Path | None:
    """Return the folder of the frozen encoder of one variant.

    Raises
    ------
    UsageError
        If there is none.
    """
    if folder is None:
        return None
    path = Path(folder) / variant
    if not (path / "card.json").is_file():
        raise UsageError(
            f"encoder_from {folder}: no encoder in {path}; name the folder 'encoder' of a run made "
            "with --mode frozen"
        )
    return path


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
