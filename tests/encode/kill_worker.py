"""A small training that `test_kill` kills: run by it, not by pytest."""

import sys
from pathlib import Path

import numpy as np

from simreal.core.images import ArraySource
from simreal.encode.encoders import simclr
from simreal.encode.settings import EncoderSettings

EPOCHS = 12


def trained(folder):
    """Return the encoder; with a `folder`, from the newest checkpoint there, with a log."""
    settings = EncoderSettings(
        epochs=EPOCHS, batch=16, threads=1, device="cpu", checkpoint_seconds=0,
        checkpoints=None if folder is None else folder / "checkpoints",
        log=None if folder is None else folder / "log.jsonl",
    )  # fmt: skip
    images = np.random.default_rng(0).random((96, 1, 32, 32), dtype=np.float32)
    return simclr.fit(ArraySource(images), np.arange(96), settings=settings, seed=5)


if __name__ == "__main__":
    trained(Path(sys.argv[1]))
