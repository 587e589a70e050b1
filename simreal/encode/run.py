"""Fit, apply, save and load encoders by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from simreal.core import plugins
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError, StorageError, UsageError
from simreal.core.images import ImageSet
from simreal.encode.encoder import Encoder, EncoderMeta, LookedUp, Progress
from simreal.encode.pool import NonFiniteImageError, missing_bands, pixels_of, pool_sets
from simreal.encode.settings import EncoderSettings
from simreal.encode.views import check_views
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
        If the sets differ in kind, there are too few objects, or second views are asked for where
        an object has but one.
    """
    if settings is not None and settings.second_view == "group":
        check_views(sets)
    plugin = plugins.load(PACKAGE, GROUP, name)
    pool = pool_sets(sets)
    # An outsider's may say nothing of itself.
    if not getattr(getattr(plugin, "META", None), "missing_bands", False):
        for images in sets:
            _check_whole(name, images)
    try:
        fitted: Encoder | LookedUp = plugin.fit(
            pool,
            pool.groups,
            settings=settings or EncoderSettings(),
            seed=seed,
            progress=progress,
        )
    except NonFiniteImageError as error:
        raise NotComputableError(_named(sets, int(pool.order[error.row]))) from None
    return fitted.matched_to(sets) if isinstance(fitted, LookedUp) else fitted


def embed(encoder: Encoder, images: ImageSet) -> Embedding:
    """Return where `encoder` puts every image of a set.

    Raises
    ------
    NotComputableError
        If the images are not of the kind the encoder was fitted on, or a vector comes out
        non-finite (the first such image is named).
    """
    if not encoder.card.get("missing_bands"):
        _check_whole(encoder.name, images)
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


def _named(sets: Sequence[ImageSet], place: int) -> str:
    """Return which image of the sets laid end to end has a pixel that is not finite."""
    starts = np.cumsum([0, *(len(images) for images in sets)])
    which = int(np.searchsorted(starts, place, side="right")) - 1
    images = sets[which]
    return (
        f"{images.name}: image {str(images.ids[place - starts[which]])!r} has a pixel that is not "
        "finite; mask it or leave the image out"
    )


def _check_whole(name: str, images: ImageSet) -> None:
    """Refuse images without a band for an encoder that cannot tell missing from faint."""
    missing = missing_bands(pixels_of(images))
    if missing.any():
        row = int(missing.any(axis=1).argmax())
        band = images.setup.bands[int(missing[row].argmax())]
        raise NotComputableError(
            f"{images.name}: image {str(images.ids[row])!r} has no band {band!r} "
            f"({int(missing.any(axis=1).sum())} images lack one), and the encoder {name!r} was "
            "not fitted on such images; leave them or the band out, or fit simclr on sets of "
            "which both lack bands alike"
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
