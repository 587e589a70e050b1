"""Which sets may lend a second view from another image of the same object."""

from collections.abc import Sequence

import numpy as np

from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSet


def check_views(sets: Sequence[ImageSet]) -> None:
    """Check that every object of every set has several images.

    Otherwise what two views of a pair have in common would depend on the set: two directions here,
    one image twice there. An encoder could tell the sides apart by that.

    Raises
    ------
    NotComputableError
        Naming the first set that has not, and how many of its objects have one image.
    """
    for images in sets:
        _, counts = np.unique(images.groups, return_counts=True)
        single = int((counts == 1).sum())
        if single:
            raise NotComputableError(
                f"{images.name}: {single} of {len(counts)} objects have a single image, needed "
                "are two or more of every object on every side for second_view 'group'; use "
                "second_view 'augmentation'"
            )
