"""`Embedding`: where an encoder put every object."""

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from simreal.core.arrays import Float32Array, StrArray, owned
from simreal.core.errors import NothingUsableError, UsageError
from simreal.core.images import Sampling, Setup, check_rows

if TYPE_CHECKING:
    from astropy.table import QTable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedding:
    """Vectors of one set under one encoder.

    Parameters
    ----------
    name : str
        Name of the set.
    sampling : {"random", "curated"}
    vectors : array (n, d)
        float32, finite.
    ids, groups : arrays of str (n,)
    properties : QTable or None
    setup : Setup
        Conditions of the images that were embedded.
    encoder_digest : str
        Two embeddings compare only if these are equal.
    source_digest : str
        Digest of the images behind the vectors.

    Raises
    ------
    UsageError
        If lengths disagree or ids repeat.
    NothingUsableError
        If a vector is not finite: the first such image is named.
    """

    name: str
    sampling: Sampling
    vectors: Float32Array
    ids: StrArray
    groups: StrArray
    setup: Setup
    encoder_digest: str
    source_digest: str
    properties: "QTable | None" = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", owned(self.vectors, np.float32))
        object.__setattr__(self, "ids", owned(self.ids, np.str_))
        object.__setattr__(self, "groups", owned(self.groups, np.str_))
        if self.vectors.ndim != 2:
            raise UsageError(
                f"{self.name}: vectors have shape {self.vectors.shape}, allowed is (n, d)"
            )
        check_rows(
            self.name,
            len(self.vectors),
            ids=self.ids,
            groups=self.groups,
            properties=self.properties,
        )
        bad = ~np.isfinite(self.vectors).all(axis=1)
        if bad.any():
            raise NothingUsableError(
                f"{self.name}: the vector of {str(self.ids[np.argmax(bad)])!r} is not finite "
                f"({int(bad.sum())} in all); look at that image and at the encoder"
            )

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def n_groups(self) -> int:
        """Number of independent objects."""
        return len(np.unique(self.groups))

    @property
    def digest(self) -> str:
        """sha256 of vectors, ids, groups and encoder."""
        sha = hashlib.sha256(self.encoder_digest.encode())
        sha.update(repr(self.vectors.shape).encode())
        for array in (self.ids, self.groups):
            sha.update("\x1f".join(array.tolist()).encode())
        sha.update(np.ascontiguousarray(self.vectors, dtype="<f4").tobytes())
        return sha.hexdigest()

    def rows(self, rows: npt.ArrayLike) -> "Embedding":
        """Return the subset `rows` (indices or a boolean mask)."""
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == np.bool_ else index.astype(np.int64)
        return self.replace(
            vectors=self.vectors[index],
            ids=self.ids[index],
            groups=self.groups[index],
            setup=self.setup.rows(index),
            properties=None if self.properties is None else self.properties[index],
        )

    def replace(self, **changes: Any) -> "Embedding":
        """Return a checked copy with `changes`."""
        return dataclasses.replace(self, **changes)
