"""Vectors of one collection under a stored encoder, image by image from the store."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simreal.core.embedding import Embedding
from simreal.core.errors import UsageError, did_you_mean
from simreal.core.images import ImageSet, Role, Setup, Track

Progress = Callable[[str, int, int], None]

#: Images that are in memory at a time.
CHUNK = 512


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """What was embedded, and what must be known of it.

    Parameters
    ----------
    path : Path
        File of the embedding, as `simreal.read_embedding` reads it.
    embedding : Embedding
    variant : str
        What the encoder was shown.
    encoder : str
        Name of the encoder.
    notes : tuple of str
    n_rejected : int
        Broken files that were left out.
    """

    path: Path
    embedding: Embedding
    variant: str
    encoder: str
    notes: tuple[str, ...]
    n_rejected: int


def embed_collection(
    collection: str,
    *,
    encoder_from: str,
    out: Path,
    variant: str | None = None,
    role: Role = "observed",
    track: Track | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Embedded:
    """Embed stamps with a shipped encoder, one of ``simreal train``, or one of a frozen run.

    Parameters
    ----------
    collection : str
        A set of stamps (``.h5``, as ``simreal match`` and ``simreal ingest`` write them), or a
        catalogue name, card or folder whose images have the encoder's size already.
    encoder_from : str
        Shipped name or folder.
    out : Path
        HDF5 file to write.
    variant : str, optional
        Default the leading one of the track.
    role, track, seed
        How a collection that is no ``.h5`` file is read.
    progress : callable, optional
        ``(label, done, total)``.

    Raises
    ------
    UsageError
        If bands, size or frame are not the encoder's, or a name is unknown.
    StorageError
        If the encoder or the store is damaged, or the file cannot be written.
    """
    from simreal.data.store import write_embedding
    from simreal.encode.frozen import seen_in_training
    from simreal.encode.run import embed
    from simreal.encode.shipped import load_variant
    from simreal.match.variants import VARIANTS, shown
    from simreal.pipeline.encoding import model_card, variant_folder

    images, rejected = _images(collection, role=role, track=track, seed=seed, progress=progress)
    known = VARIANTS[images.setup.track]
    chosen = variant or known[0]
    if chosen not in known:
        raise UsageError(f"variant: got {chosen!r}: {did_you_mean(chosen, known)}")
    encoder = load_variant(variant_folder(encoder_from, chosen))
    card = model_card(encoder_from)
    _check(images, chosen, tuple(encoder.card["shape"]), encoder_from)
    if card is not None:
        _check_frame(images, str(card["matching"]["frame"]), encoder_from)
    vectors = np.empty((len(images), encoder.dimension), np.float32)
    n_seen = 0
    for start in range(0, len(images), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(images)))
        part = shown(images.rows(rows), chosen)
        vectors[rows] = embed(encoder, part).vectors
        n_seen += int(seen_in_training(encoder, part).sum())
        if progress is not None:
            progress(f"embed {images.name}", int(rows[-1]) + 1, len(images))
    embedding = Embedding(
        name=images.name,
        sampling=images.sampling,
        vectors=vectors,
        ids=images.ids,
        groups=images.groups,
        setup=_setup(images, chosen),
        properties=images.properties,
        encoder_digest=encoder.digest,
        source_digest=images.digest,
    )
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    notes = [f"{n_seen} of {len(images)} images were trained on"] if n_seen else []
    return Embedded(
        path=out,
        embedding=write_embedding(out, embedding),
        variant=chosen,
        encoder=encoder.name,
        notes=tuple(notes),
        n_rejected=rejected,
    )


def _images(
    collection: str, *, role: Role, track: Track | None, seed: int, progress: Progress | None
) -> tuple[ImageSet, int]:
    from simreal.data.store import read_set
    from simreal.pipeline.ingest import read_collection

    if collection.endswith(".h5"):
        return read_set(Path(collection).expanduser()), 0
    found = read_collection(collection, role=role, track=track, seed=seed, progress=progress)
    return found.images, len(found.rejected)


def _check(images: ImageSet, variant: str, wanted: tuple[int, ...], encoder_from: str) -> None:
    bands = len(_setup(images, variant).bands)
    got = (bands, *images.images.shape[2:])
    if got != wanted:
        raise UsageError(
            f"{images.name}: the encoder {encoder_from} knows stamps (band, y, x) = {wanted}, got "
            f"{got} as {variant}; make them with 'simreal match' and embed the sim.h5 or obs.h5 "
            "that it writes"
        )


def _check_frame(images: ImageSet, wanted: str, encoder_from: str) -> None:
    got = images.setup.frame
    if got not in ("native", wanted):
        raise UsageError(
            f"{images.name}: the encoder {encoder_from} knows the frame {wanted!r}, got stamps in "
            f"the frame {got!r}; match with --frame {wanted}"
        )


def _setup(images: ImageSet, variant: str) -> Setup:
    """Return the conditions of the images as they are shown, without reading a pixel."""
    from simreal.match.variants import shown

    blank = np.zeros((*images.images.shape[:2], 1, 1), np.float32)
    return shown(images.replace(images=blank, mask=None), variant).setup
