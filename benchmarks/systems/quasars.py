"""System D: quasars at redshift six found in multi-band images without training on a label.

    python benchmarks/systems/quasars.py --out runs/systems [--seeds 5] [--passes 16000]

The collection `toy-quasars`: 2 % quasars among brown dwarfs and galaxies in g r i z y, a new draw
for every seed. Each image is divided by its brightest pixel, as in Byrne et al. (2024); SimCLR with
the preset `point-source`; principal components; HDBSCAN. The island is the cluster that holds most
of five quasars known from spectra; nothing else reads a label until purity and completeness are
counted over all other objects. PCA of the same pixels goes the same way.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from real_images import Store, clock, score

from simreal.core.cards import load_card
from simreal.core.images import ArraySource
from simreal.core.seeding import stream
from simreal.data.ingest import ingest
from simreal.encode.run import embed, fit_encoder
from simreal.encode.settings import EncoderSettings
from simreal.explain.clustering import cluster_points, hdbscan
from simreal.explain.probes import linear_probe
from simreal.explain.scores import share
from simreal.explain.targets import target_of
from simreal.pipeline.fragments import plain

QUASAR, KNOWN = "quasar", 5
#: Fixed beforehand: half of the quasars expected, and what a point must have around it.
SMALLEST, NEIGHBOURS, COMPONENTS = 20, 5, 8


def collection(seed):
    with tempfile.TemporaryDirectory() as folder:
        images = ingest(load_card("toy-quasars"), seed=seed, store=Path(folder) / "set.h5").images
        pixels = np.array(images.images.read(slice(None)))
    brightest = pixels.max(axis=(1, 2, 3), keepdims=True)
    return images.replace(images=ArraySource(pixels / brightest))


def island(embedding, is_quasar, *, seed):
    """Return what the cluster of five known quasars holds of all objects but these five."""
    rng = stream(seed, "system D")
    points = cluster_points(embedding, n_components=COMPONENTS, rng=rng)
    labels = np.empty(len(embedding), dtype=int)
    labels[points.rows] = hdbscan(points.coordinates, SMALLEST, density_neighbours=NEIGHBOURS)
    known = rng.choice(np.flatnonzero(is_quasar), KNOWN, replace=False)
    held = labels[known][labels[known] >= 0]
    sizes = np.bincount(labels[labels >= 0]).tolist()
    row = {"clusters": sizes, "noise": int((labels < 0).sum()), "explained": points.explained}
    others = np.ones(len(labels), bool)
    others[known] = False
    if not len(held):
        return row | {"found": 0, "right": 0, "quasars": int((is_quasar & others).sum())}
    inside = (labels == np.bincount(held).argmax()) & others
    return row | {
        "found": int(inside.sum()),
        "right": int((inside & is_quasar).sum()),
        "quasars": int((is_quasar & others).sum()),
    }


def measure(name, seed, passes):
    images, row = collection(seed), {"encoder": name, "seed": seed}
    settings = EncoderSettings(image_passes=passes, augmentation="point-source", threads=1)
    with clock(row):
        encoder = fit_encoder(name, [images], settings=settings, seed=seed)
    embedding = embed(encoder, images)
    target = target_of(embedding, "source_class")
    probe = linear_probe(embedding, target, rng=stream(seed, "system D probe"))
    row["linear"] = plain(probe.scores["accuracy"])
    row["recalls"] = plain(probe.recalls)
    is_quasar = np.asarray(images.properties["source_class"]) == QUASAR
    return row | island(embedding, is_quasar, seed=seed)


def summary(rows):
    lines = ["| encoder | seed | purity | completeness | clusters; noise | seconds |", "|---|" * 6]
    for row in rows.values():
        pure = score(plain(share(row["right"], row["found"])), 2)
        whole = score(plain(share(row["right"], row["quasars"])), 2)
        sizes = ", ".join(map(str, row["clusters"])) + f"; {row['noise']}"
        lines.append(
            f"| {row['encoder']} | {row['seed']} | {pure}, {row['right']} of {row['found']} | "
            f"{whole}, {row['right']} of {row['quasars']} | {sizes} | {row['cpu_seconds']:.0f} |"
        )
    for name in dict.fromkeys(row["encoder"] for row in rows.values()):
        own = [row for row in rows.values() if row["encoder"] == name]
        right, found, quasars = (sum(row[k] for row in own) for k in ("right", "found", "quasars"))
        lines.append(
            f"| {name} | all {len(own)} | {score(plain(share(right, found)), 2)} | "
            f"{score(plain(share(right, quasars)), 2)} | | |"
        )
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/systems"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--passes", type=int, default=16_000)
    given = parser.parse_args()
    store = Store(given.out / f"quasars-{given.passes}.json")
    for seed in range(given.seeds):
        for name in ("simclr", "pca"):
            store.make(f"{name} {seed}", lambda n=name, s=seed: measure(n, s, given.passes))
            (given.out / f"quasars-{given.passes}.md").write_text(summary(store.rows))


if __name__ == "__main__":
    main()
