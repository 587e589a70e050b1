import numpy as np
import pytest

from simreal.core.images import ImageSet, Setup
from simreal.pipeline.results import ReadSide, selection_bias


def side(name, kept, broken):
    ids = np.array([f"{name}{i}" for i in range(kept)])
    images = ImageSet(
        name=name,
        role="observed",
        sampling="random",
        images=np.zeros((kept, 1, 8, 8), np.float32),
        ids=ids,
        groups=ids,
        setup=Setup(track="flux", bands=("sdss-r",), unit="nJy / pix"),
    )
    return ReadSide(images=images, rejected=[{"id": str(i)} for i in range(broken)], notes=[])


@pytest.mark.parametrize(("broken", "said"), [(0, False), (1, False), (4, True)])
def test_a_side_that_loses_more_broken_files_is_called_out(broken, said):
    # 1 of 100 is one point, 4 of 100 are four; two points are allowed.
    found = selection_bias({"sim": side("a", 100 - broken, broken), "obs": side("b", 100, 0)})
    assert bool(found) == said
    if said:
        assert "selection bias: 4.0 % of a and 0.0 % of b" in found[0]
        assert "rejected.csv" in found[0]


def test_it_counts_on_either_side_alike():
    there = selection_bias({"sim": side("a", 90, 10), "obs": side("b", 100, 0)})
    back = selection_bias({"sim": side("a", 100, 0), "obs": side("b", 90, 10)})
    assert len(there) == len(back) == 1
