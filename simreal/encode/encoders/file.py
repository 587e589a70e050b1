"""Embeddings computed elsewhere, looked up by the ids of the images; nothing is computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simreal.core.arrays import AnyArray, Float32Array, IntArray, StrArray
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import ImageSet, ImageSource
from simreal.encode.embedding_files import EmbeddingTable, read_table
from simreal.encode.encoder import EncoderMeta, Progress, check_images
from simreal.encode.pool import pixels_of
from simreal.encode.settings import EncoderSettings
from simreal.encode.weights import Stored, read_card, read_weights, weights_digest
from simreal.measure.pixel_hash import pixel_digests

META = EncoderMeta(trains=False, summary="vectors computed elsewhere, looked up by id")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FileEncoder(Stored):
    """A vector for every image it was matched to, known again by its pixels.

    ``weights`` holds ``vectors (n, dimension)`` and the sha256 of the pixels they belong to,
    ``pixels (n, 4)``, in the order of those. Altered pixels are another image, of which a
    file knows nothing: a bad mock made of the observed stamps gets no vector.
    """

    name: str = "file"

    def encode(self, source: ImageSource) -> Float32Array:
        """Return one vector per image, float32 ``(n, dimension)``.

        Raises
        ------
        NotComputableError
            If an image is not among those the vectors were matched to.
        """
        check_images(self.card, source)
        known = {pixels.tobytes(): row for row, pixels in enumerate(self.weights["pixels"])}
        rows = [known.get(key.tobytes(), -1) for key in _keys(source)]
        if -1 in rows:
            raise NotComputableError(
                f"encoder 'file' has no vector for {rows.count(-1)} of {len(rows)} images (the "
                f"first in row {rows.index(-1)}): it knows those it was matched to and no altered "
                "ones; add --ceiling none, and leave out --audit full, --nuisance and --plant"
            )
        vectors: Float32Array = self.weights["vectors"][rows]
        return vectors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnmatchedVectors:
    """What a file holds, before anyone has said which images are to be compared."""

    table: EmbeddingTable
    seed: int
    n_groups: int

    def matched_to(self, sets: Sequence[ImageSet]) -> FileEncoder:
        """Return the encoder of the images of `sets`.

        Raises
        ------
        UsageError
            If an image has no vector, or a vector more than one image.
        """
        if self.table.sets is None:
            _check_apart(self.table.path, sets)
        rows = np.concatenate([self.table.rows_of(s.name, s.ids) for s in sets])
        vectors, keys = self.table.single(rows), np.concatenate([_keys(pixels_of(s)) for s in sets])
        ids = np.concatenate([s.ids for s in sets])
        pixels, first, member = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        # Two passes through a network elsewhere may differ by rounding.
        alike = np.isclose(vectors, vectors[first[member.reshape(-1)]], rtol=1e-3, atol=1e-6)
        differs = ~alike.all(axis=1)
        if differs.any():
            one = int(differs.argmax())
            raise UsageError(
                f"{self.table.path}: {str(ids[first[member.reshape(-1)[one]]])!r} and "
                f"{str(ids[one])!r} are the same pixels with two vectors; an encoder sees pixels "
                "alone, so give them one, or leave one image out"
            )
        shape = list(sets[0].images.shape[1:])
        weights: dict[str, AnyArray] = {"vectors": vectors[first], "pixels": pixels}
        recipe = {"encoder": "file", "dimension": int(vectors.shape[1]), "shape": shape}
        card = {
            "encoder": "file",
            "objective": "computed elsewhere",
            "mode": "pooled",
            "recipe": recipe,
            "digest": weights_digest(recipe, weights),
            "dimension": int(vectors.shape[1]),
            "shape": shape,
            "seed": self.seed,
            "n_images": len(rows),
            "n_groups": self.n_groups,
            "file": self.table.path.name,
            "rows_not_used": len(self.table.ids) - len(np.unique(rows)),
        }
        return FileEncoder(card=card, weights=weights)


def fit(
    source: ImageSource,  # noqa: ARG001 - vectors are looked up
    groups: IntArray,
    *,
    settings: EncoderSettings,
    seed: int,
    progress: Progress | None = None,
) -> UnmatchedVectors:
    """Read the file; the images are matched to it afterwards, by their ids.

    Raises
    ------
    UsageError
        If no file was named, or it is not one of ids and vectors.
    """
    if settings.embeddings is None:
        raise UsageError(
            "encoder 'file' needs a file of embeddings computed elsewhere: --embeddings PATH "
            "(.parquet, .npz, .npy with ids in a .txt, .h5)"
        )
    table = read_table(settings.embeddings)
    if progress:
        progress("embeddings read", 1, 1)
    return UnmatchedVectors(table=table, seed=seed, n_groups=len(np.unique(groups)))


def load(folder: Path) -> FileEncoder:
    """Return the encoder stored in `folder`."""
    card = read_card(folder)
    return FileEncoder(card=card, weights=read_weights(folder, card))


def _keys(source: ImageSource) -> AnyArray:
    """Return the sha256 of every image's pixels as four numbers, ``(n, 4)``."""
    digests = b"".join(bytes.fromhex(digest) for digest in pixel_digests(source))
    return np.frombuffer(digests, dtype=np.uint64).reshape(-1, 4)


def _check_apart(path: Path, sets: Sequence[ImageSet]) -> None:
    seen: dict[str, str] = {}
    for images in sets:
        ids: StrArray = images.ids
        for whose in ids.tolist():
            if whose in seen:
                raise UsageError(
                    f"{path}: id {whose!r} is that of an image of {seen[whose]!r} and of one of "
                    f"{images.name!r}, and the file does not tell them apart; add a column of the "
                    "collections' names ('set' in parquet, 'sets' elsewhere)"
                )
            seen[whose] = images.name
