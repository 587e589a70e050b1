"""Arrays that a noun owns: contiguous, read-only, nobody else's memory."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Float32Array: TypeAlias = npt.NDArray[np.float32]
Float64Array: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
StrArray: TypeAlias = npt.NDArray[np.str_]
AnyArray: TypeAlias = npt.NDArray[Any]


def owned(values: npt.ArrayLike, dtype: npt.DTypeLike) -> AnyArray:
    """Return `values` as a contiguous read-only array that owns its memory.

    A read-only view of somebody else's array protects nothing, so whatever is a view or
    still writeable is copied, once.

    Examples
    --------
    >>> mine = owned([1, 2], "f8")
    >>> mine.flags.writeable
    False
    """
    array = np.asarray(values)
    wanted = np.dtype(dtype)
    same_kind = array.dtype == wanted or wanted.kind == "U" == array.dtype.kind
    if same_kind and array.base is None and not array.flags.writeable and array.flags.c_contiguous:
        return array
    copy = np.array(array, dtype=dtype, order="C", copy=True)
    copy.flags.writeable = False
    return copy
