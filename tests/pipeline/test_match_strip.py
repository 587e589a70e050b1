"""A strip of a finished match: bands by wavelength, sky where there is any."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simreal.core.images import ImageSet, Setup
from simreal.data.store import write_set
from simreal.pipeline.match import write_strip

SIDE = 64


def a_set(name: str, pixels: np.ndarray, bands: tuple[str, ...]) -> ImageSet:
    ids = np.array([f"{name}-{k}" for k in range(len(pixels))])
    setup = Setup(track="flux", bands=bands, unit="display", display="asinh 1, 1, 1")
    return ImageSet(
        name=name, role="simulated", sampling="random", images=pixels.astype(np.float32),
        ids=ids, groups=ids, setup=setup,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bands", "colour"),
    [
        (("nircam-f115w", "nircam-f150w", "nircam-f200w"), [0, 0, 255]),
        (("nircam-f200w", "nircam-f150w", "nircam-f115w"), [255, 0, 0]),
        # Without a known wavelength the order of the card is from blue to red.
        (("mine-a", "mine-b", "mine-c"), [0, 0, 255]),
    ],
)
def test_long_wavelengths_are_red(tmp_path: Path, bands: tuple[str, ...], colour: list[int]):
    pixels = np.zeros((2, 3, SIDE, SIDE))
    pixels[:, 0] = 1.0
    for side in ("sim", "obs"):
        write_set(tmp_path / f"{side}.h5", a_set(side, pixels, bands))
    write_strip(tmp_path, tmp_path / "two.png", names=("a", "b"))
    write_set(tmp_path / "sky_sim.h5", a_set("sky", 0 * pixels, bands))
    write_strip(tmp_path, tmp_path / "three.png", names=("a", "b"))
    two, three = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("two", "three"))
    painted = (two == colour).all(axis=-1).sum()
    assert painted == 4 * (2 * SIDE) ** 2
    assert three.shape[0] > two.shape[0] + 2 * SIDE
    assert (three == 0).all(axis=-1).sum() >= 2 * (2 * SIDE) ** 2
