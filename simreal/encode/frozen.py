"""Frozen encoders: fitted on some observations, scored only on others.

An encoder that has seen the images it scores may know them by heart. A frozen one carries
the hash of every image it was fitted on, so that an overlap is found by the pixels: neither
another name nor another order hides it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simreal.core.arrays import AnyArray, BoolArray, Float32Array, StrArray
from simreal.core.errors import NotComputableError, StorageError, UsageError
from simreal.core.images import ImageSet, ImageSource
from simreal.encode.encoder import Encoder, Progress
from simreal.encode.pool import pixels_of
from simreal.encode.run import fit_encoder, load_encoder
from simreal.encode.settings import EncoderSettings
from simreal.encode.weights import read_card, read_weights, weights_digest, write_weights
from simreal.measure.pixel_hash import LENGTH, pixel_hashes

#: Subfolder in which the plug-in keeps what it saves itself.
BASE = "base"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrozenEncoder:
    """A fitted encoder that knows what it was fitted on.

    The plug-in's own encoder does the work and is stored unchanged in a subfolder, so that
    every plug-in can be frozen, an outsider's too.

    Parameters
    ----------
    base : Encoder
        What the plug-in fitted.
    card : mapping
        That of `base` with ``mode`` frozen, ``trained_on`` (name, digest, number of images
        and groups, whether hashes of originals are kept) and a digest that covers the hashes.
    hashes : mapping of str to array of str
        ``pixels``, of the training images as the encoder saw them, and ``native``, of the
        originals they were made from, empty where they are not known.
    """

    base: Encoder
    card: Mapping[str, Any]
    hashes: Mapping[str, StrArray]

    @property
    def name(self) -> str:
        """Name of the plug-in."""
        return self.base.name

    @property
    def digest(self) -> str:
        """sha256 of weights, recipe and what it was fitted on."""
        return str(self.card["digest"])

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self.base.dimension

    def encode(self, source: ImageSource) -> Float32Array:
        """Return one vector per image, float32 ``(n, dimension)``, in the order of `source`."""
        return self.base.encode(source)

    def save(self, folder: Path) -> None:
        """Write the encoder, its card and the hashes into `folder`, the card last."""
        self.base.save(folder / BASE)
        write_weights(folder, self.card, _packed(self.hashes))


def fit_frozen(
    name: str,
    images: ImageSet,
    *,
    native: StrArray | None = None,
    settings: EncoderSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FrozenEncoder:
    """Fit the encoder `name` on observations that are not scored afterwards.

    Parameters
    ----------
    name : str
        A built-in or an outsider's plug-in.
    images : ImageSet
        The part of the observations kept for training, split off by group: views of one
        object have other pixels, which no hash can connect.
    native : array of str (n,), optional
        `pixel_hashes` of the original of every image. Two recipes make different stamps of
        one galaxy; only the originals' hashes tell that it is the same.
    settings : EncoderSettings, optional
    seed : int
    progress : callable(label, done, total), optional

    Returns
    -------
    FrozenEncoder

    Raises
    ------
    UsageError
        If the images are simulated, or `native` has another length.
    NotComputableError
        If there are too few objects.
    """
    if images.role != "observed":
        raise UsageError(
            f"{images.name}: got a {images.role} set, allowed is an observed one; a frozen encoder "
            "learns what observations look like, use a pooled one to learn from both"
        )
    hashes = _hashes_of(images, native)
    base = fit_encoder(name, [images], settings=settings, seed=seed, progress=progress)
    trained_on = {
        "name": images.name,
        "digest": images.digest,
        "n_images": len(images),
        "n_groups": images.n_groups,
        "originals_known": native is not None,
    }
    recipe = {"encoder": name, "mode": "frozen", "base": base.digest, "trained_on": trained_on}
    card = dict(base.card) | {
        "encoder": name,
        "mode": "frozen",
        "recipe": recipe,
        "digest": weights_digest(recipe, _packed(hashes)),
        "trained_on": trained_on,
    }
    return FrozenEncoder(base=base, card=card, hashes=hashes)


def load_frozen(folder: Path) -> FrozenEncoder:
    """Return the frozen encoder stored in `folder`.

    Raises
    ------
    StorageError
        If anything is missing, changed, or from another encoder.
    UsageError
        If the plug-in is not installed.
    """
    card = read_card(folder)
    hashes = {name: _as_text(array) for name, array in read_weights(folder, card).items()}
    base = load_encoder(folder / BASE)
    if base.digest != card["recipe"]["base"]:
        raise StorageError(
            f"{folder / BASE}: this encoder (digest {base.digest[:12]}) is not the one that was "
            f"frozen here ({card['recipe']['base'][:12]}); train it again"
        )
    return FrozenEncoder(base=base, card=card, hashes=hashes)


def seen_in_training(
    encoder: Encoder, images: ImageSet, *, native: StrArray | None = None
) -> BoolArray:
    """Return which images of a set `encoder` was fitted on, array of bool ``(n,)``.

    Parameters
    ----------
    encoder : Encoder
        Nothing is known of a pooled one, which is fitted on what it scores by design: False
        throughout.
    images : ImageSet
    native : array of str (n,), optional
        `pixel_hashes` of the original of every image; without them, here or in training, only
        stamps made by the same recipe are recognised.
    """
    seen = np.zeros(len(images), dtype=bool)
    if isinstance(encoder, FrozenEncoder):
        for kind, hashes in _hashes_of(images, native).items():
            if len(hashes):
                seen |= np.isin(hashes, encoder.hashes[kind])
    return seen


def check_disjoint(encoder: Encoder, images: ImageSet, *, native: StrArray | None = None) -> None:
    """Refuse a set of which a frozen encoder has seen an image in training.

    Parameters
    ----------
    encoder, images, native
        As for `seen_in_training`.

    Raises
    ------
    NotComputableError
        Naming the set, how many images overlap, the first of them and what to do.
    """
    seen = seen_in_training(encoder, images, native=native)
    if seen.any():
        first, trained_on = str(images.ids[int(seen.argmax())]), encoder.card["trained_on"]["name"]
        raise NotComputableError(
            f"{images.name}: the frozen encoder {encoder.name!r} was fitted on {int(seen.sum())} "
            f"of these {len(images)} images (the first is {first!r}, the training set "
            f"{trained_on!r}); leave them out, or score the part that was held out of training"
        )


def _hashes_of(images: ImageSet, native: StrArray | None) -> dict[str, StrArray]:
    originals = np.empty(0, f"U{LENGTH}") if native is None else np.asarray(native, f"U{LENGTH}")
    if native is not None and originals.shape != (len(images),):
        raise UsageError(
            f"{images.name}: got {originals.shape} hashes of originals, allowed is one for each of "
            f"the {len(images)} images"
        )
    return {"pixels": pixel_hashes(pixels_of(images)), "native": originals}


def _packed(hashes: Mapping[str, StrArray]) -> dict[str, AnyArray]:
    """Return 16 hex digits as 64-bit integers, which every tensor format can store."""
    return {
        name: np.array([int(text, 16) for text in texts.tolist()], dtype=np.uint64)
        for name, texts in hashes.items()
    }


def _as_text(packed: AnyArray) -> StrArray:
    return np.array([f"{number:0{LENGTH}x}" for number in packed.tolist()], dtype=f"U{LENGTH}")
