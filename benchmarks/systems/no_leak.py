"""No leak: one population labelled sim and obs sits at the floor under every objective.

    python benchmarks/systems/no_leak.py --out runs/systems [--repetitions 100] [--objective simclr]

Each repetition draws 180 galaxies of 32 pixels from one law, calls 60 of them simulated and 120
observed at random, fits the encoder to both pooled, and compares. Were the label to reach an
encoder by any way, distances would lie above those between halves of one side, and small p-values
would be more frequent than their level. Exit code 1 if they are. Rows that OUT/no-leak.json has are
not made again, so that a night can be continued.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
from real_images import Store, clock, score

from simreal.compare.run import compare_embeddings
from simreal.compare.settings import InferenceSettings
from simreal.core.images import ArraySource, ImageSet, Setup
from simreal.core.seeding import stream
from simreal.encode.run import embed, fit_encoder
from simreal.encode.settings import EncoderSettings
from simreal.explain.scores import share
from simreal.pipeline.fragments import plain

OBJECTIVES = ("simclr", "nnclr", "vicreg", "simmim", "mae", "denoising")
N_SIM, N_OBS, SIZE = 60, 120, 32
LEVEL = 0.05
#: A step of `denoising` costs many of the others'; two epochs keep a repetition at five seconds.
EPOCHS = {"denoising": 2}
SETTINGS = EncoderSettings(epochs=4, batch=60, threads=1)
INFERENCE = InferenceSettings(n_permutations=199, n_floor_splits=50, n_subsamples=50, power=False)


def galaxies(n, rng):
    """Return noisy exponential discs of random brightness, size, shape and angle."""
    offset = np.arange(SIZE) - (SIZE - 1) / 2
    y, x = np.meshgrid(offset, offset, indexing="ij")
    angle, ratio = rng.uniform(0, np.pi, (n, 1, 1)), rng.uniform(0.3, 1, (n, 1, 1))
    scale, light = rng.uniform(1.5, 5, (n, 1, 1)), rng.uniform(0.3, 1, (n, 1, 1))
    along = x * np.cos(angle) + y * np.sin(angle)
    across = (y * np.cos(angle) - x * np.sin(angle)) / ratio
    disc = light * np.exp(-np.hypot(along, across) / scale)
    return (disc + rng.normal(0, 0.03, disc.shape))[:, None].astype(np.float32)


def side(name, role, pixels):
    ids = np.array([f"{name}{i}" for i in range(len(pixels))])
    return ImageSet(
        name=name,
        role=role,
        sampling="random",
        images=ArraySource(pixels),
        ids=ids,
        groups=ids,
        setup=Setup(track="rgb", bands=("grey",), unit="display"),
    )


def repetition(objective, number):
    """Return how far one population lies from itself."""
    row, rng = {}, stream(number, "no leak")
    pixels = galaxies(N_SIM + N_OBS, rng)
    sim = side("s", "simulated", pixels[:N_SIM])
    obs = side("o", "observed", pixels[N_SIM:])
    with clock(row):
        settings = SETTINGS.replace(epochs=EPOCHS.get(objective, SETTINGS.epochs))
        encoder = fit_encoder(objective, [sim, obs], settings=settings, seed=number)
        found = compare_embeddings(
            embed(encoder, obs),
            embed(encoder, sim),
            metrics=("mmd",),
            settings=INFERENCE,
            seed=number,
        ).comparisons[0]
    return row | {
        "value": found.estimate.value,
        "floor": found.floor.median,
        "floor_high": found.floor.high,
        "p_value": found.p_value,
    }


def summary(rows):
    """Return a table, and whether any objective is above its floor too often."""
    header = ("objective", "repetitions", "p at most 0.05", "above 97.5 % of its floor", "seconds")
    lines = ["| " + " | ".join(header) + " |", "|---" * 5 + "|"]
    leaks = False
    for objective in dict.fromkeys(key.rpartition(" ")[0] for key in rows):
        own = [row for key, row in rows.items() if key.rpartition(" ")[0] == objective]
        small = share(sum(row["p_value"] <= LEVEL for row in own), len(own))
        above = share(sum(row["value"] > row["floor_high"] for row in own), len(own))
        seconds = np.median([row["cpu_seconds"] for row in own])
        # The interval of a share of 100 is wide; a leak through training is not this subtle.
        leaks |= small.low > LEVEL
        lines.append(
            f"| `{objective}` | {len(own)} | {score(plain(small))} | {score(plain(above))} | "
            f"{seconds:.1f} |"
        )
    return "\n".join(lines) + "\n", leaks


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/systems"))
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--objective", action="append", help="repeat; default all")
    given = parser.parse_args()
    store = Store(given.out / "no-leak.json")
    for number in range(given.repetitions):
        for objective in given.objective or OBJECTIVES:
            store.make(f"{objective} {number}", partial(repetition, objective, number))
        text, leaks = summary(store.rows)
        (given.out / "no-leak.md").write_text(text)
    print(text)
    return int(leaks)


if __name__ == "__main__":
    sys.exit(main())
