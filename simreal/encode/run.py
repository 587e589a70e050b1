"""Fit, apply, save and load encoders by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from simreal.core import plugins
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, StorageError, UsageError
from simreal.core.images import ImageSet
from simreal.encode.encoder import Encoder, EncoderMeta, Progress
from simreal.encode.pool import pixels_of, pool_sets
from simreal.encode.settings import EncoderSettings
from simreal.encode.weights import read_card

PACKAGE, GROUP = "simreal.encode.encoders", "simreal.encoders"


def encoder_meta(name: str) -> EncoderMeta:
    """Return what the encoder `name` says of itself."""
    return cast(EncoderMeta, plugins.load(PACKAGE, GROUP, name).META)


def fit_encoder(
    name: str,
    sets: Sequence[ImageSet],
    *,
    settings: EncoderSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Encoder:
    """Fit the encoder `name` on `sets` pooled, never told which set an image is from.

    Parameters
    ----------
    name : str
        A built-in (such as ``pca``, ``simclr``, ``morphology``) or an outsider's plug-in.
    sets : sequence of ImageSet
        On one footing: same bands, same size. Their order, names and ids change nothing.
    settings : EncoderSettings
    seed : int
    progress : callable(label, done, total), optional

    Returns
    -------
    Encoder
        Same images, settings, seed and threads: the same bits.

    Raises
    ------
    UsageError
        If there is no such encoder.
    NotComputableError
        If the sets differ in kind, or there are too few objects.
    """
    plugin = plugins.load(PACKAGE, GROUP, name)
    pool = pool_sets(sets)
    fitted: Encoder = plugin.fit(
        pool,
        pool.groups,
        settings=settings or EncoderSettings(),
        seed=seed,
        progress=progress,
    )
    return fitted


def embed(encoder: Encoder, images: ImageSet) -> Embedding:
    """Return where `encoder` puts every image of a set.

    Raises
    ------
    NotComputableError
        If the images are not of the kind the encoder was fitted on, or a vector comes out
        non-finite (the first such image is named).
    """
    vectors = encoder.encode(pixels_of(images))
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        raise NotComputableError(
            f"{images.name}: encoder {encoder.name!r} gives image "
            f"{str(images.ids[int(np.argmax(bad))])!r} a non-finite vector ({int(bad.sum())} such "
            "images); look at its pixels, or leave it out"
        )
    return Embedding(
        name=images.name,
        sampling=images.sampling,
        vectors=vectors,
        ids=images.ids,
        groups=images.groups,
        setup=images.setup,
        properties=images.properties,
        encoder_digest=encoder.digest,
        source_digest=images.digest,
    )


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """Write `encoder` into `folder` as safetensors and a JSON card."""
    encoder.save(Path(folder))


def load_encoder(folder: Path) -> Encoder:
    """Return the encoder stored in `folder`, a `FrozenEncoder` if it was frozen.

    Raises
    ------
    StorageError
        If weights or card are missing, changed or of another format.
    UsageError
        If the card names an encoder that is not installed.
    """
    folder = Path(folder)
    card: dict[str, Any] = read_card(folder)
    if "trained_on" in card:
        # `frozen` builds on this module.
        from simreal.encode.frozen import load_frozen

        return load_frozen(folder)
    name = card.get("encoder")
    if not isinstance(name, str):
        raise StorageError(f"{folder}: the card names no encoder; train it again")
    try:
        plugin = plugins.load(PACKAGE, GROUP, name)
    except UsageError as error:
        raise UsageError(f"{folder}: {error}") from None
    loaded: Encoder = plugin.load(folder)
    return loaded
