"""Systems B and C on SDSS: spirals from 200 labels, from five examples, and as clusters.

    python benchmarks/systems/spirals.py --out runs/systems [--passes 24000] [--pictures FOLDER]

All 1,374 SDSS images as 64-pixel colour stamps, encoders fitted to all of them without labels; 763
are labelled spiral or not. System C: principal components, HDBSCAN and k-means held against the
label. With `--pictures` the clusters are shown on UMAP and t-SNE (extra `pictures`) with the images
nearest to the middle of each. Needs SIMREAL_DATA.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from real_images import LABEL, WANTED, Store, clock, score, sdss_stamps

from simreal.core.images import ArraySource
from simreal.encode.run import embed, fit_encoder
from simreal.encode.settings import EncoderSettings
from simreal.explain.clustering import ClusterSettings
from simreal.pipeline.probe import ProbeSettings, probe_embedding

#: Key, encoder, middle of the frame [pixel], and what departs from the defaults.
ROWS = (
    ("simclr", "simclr", 256, {}),
    ("simclr, colour-aware", "simclr", 256, {"augmentation": "colour-aware"}),
    ("simclr, closer", "simclr", 128, {}),
    ("simclr, averaged", "simclr", 256, {"averaged": True}),
    ("pca", "pca", 256, {}),
    ("morphology", "morphology", 256, {}),
    ("simclr and morphology", "both", 256, {}),
)
ASKED = ProbeSettings(
    label=LABEL,
    counts=(200,),
    wanted=WANTED,
    parts=("linear", "knn", "label-counts", "search", "clusters"),
    clusters=ClusterSettings(n_permutations=499),
)


class Vectors:
    """Embeddings by key, each made once."""

    def __init__(self, folder, passes):
        self.folder, self.passes, self.stamps = folder, passes, {}

    def of(self, key, row):
        _, name, crop, chosen = next(each for each in ROWS if each[0] == key)
        if name == "both":
            parts = [self.of(other, row) for other in ("simclr", "morphology")]
            # Every axis of unit variance, so that neither decides all distances.
            scaled = [part.vectors / part.vectors.std(axis=0).clip(1e-6) for part in parts]
            return parts[0].replace(vectors=np.concatenate(scaled, axis=1), encoder_digest="both")
        if crop not in self.stamps:
            self.stamps[crop] = sdss_stamps(crop=crop)
        stamps, kept = self.stamps[crop], self.folder / f"{key}-{self.passes}.npy"
        if not kept.is_file():
            settings = EncoderSettings(image_passes=self.passes, threads=1, **chosen)
            with clock(row):
                encoder = fit_encoder(name, [stamps], settings=settings, seed=0)
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, encoder.encode(stamps.images))
        fixed = _Fixed(np.load(kept), key)
        return embed(fixed, stamps)


class _Fixed:
    """An encoder that knows the vectors already."""

    def __init__(self, vectors, name):
        self.vectors, self.name, self.digest = vectors, name, name

    def encode(self, _):
        return self.vectors


def measure(vectors, key):
    row = {}
    return row | probe_embedding(vectors.of(key, row), ASKED) | row


def markdown(kept):
    header = (
        "encoder", "linear, 200 labels", "linear, five folds", "10 neighbours",
        "25 from five spirals, 100 handfuls", "first handful",
    )  # fmt: skip
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for key, row in kept.items():
        at = next(each for each in row["label_counts"] if each["n_labels"] == 200)
        search = row["search"]["classes"][0]
        hands, first = search["handfuls"], search["precision"]
        cells = (
            key,
            score(at["score"]),
            score(row["linear"]["scores"]["accuracy"]),
            score(row["knn"]["scores"]["accuracy"]),
            f"{hands['mean']:.2f}, one {hands['draw_low']:.2f} to {hands['draw_high']:.2f}",
            f"{first['n_right']} of 25: {score(first['score'], 2)}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| encoder | clusters | sizes | noise | silhouette | ARI, p |", "|---" * 6 + "|"]
    for key, row in kept.items():
        for each in row["clusters"]["partitions"]:
            agreed = (each["label"] or {}).get("agreement", {}).get("adjusted_rand")
            rand = f"{agreed['value']:.3f}, {agreed['p_value']:.3f}" if agreed else "–"
            cells = (
                key, each["method"], ", ".join(map(str, each["sizes"])) or "none",
                score(each["noise_fraction"], 2), score(each["scores"]["silhouette"], 2), rand,
            )  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def picture(vectors, key, folder):
    from simreal.explain.clustering import clusters
    from simreal.explain.projection import neighbour_map
    from simreal.explain.projection_pictures import cluster_page

    embedding = vectors.of(key, {})
    _, _, crop, _ = next(each for each in ROWS if each[0] == key)
    stamps = vectors.stamps[crop]
    points, partitions = clusters(embedding, rng=np.random.default_rng(0))
    pixels = np.asarray(ArraySource(stamps.images.read(points.rows)).array)
    for method in ("umap", "tsne"):
        placed = neighbour_map(points.coordinates, method=method, seed=0)
        for partition in partitions:
            drawn = cluster_page(placed, partition, pixels, embedding.ids[points.rows])
            folder.mkdir(parents=True, exist_ok=True)
            drawn.savefig(folder / f"{method}-{partition.method.split(',')[0]}.png")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/systems"))
    parser.add_argument("--passes", type=int, default=24_000)
    parser.add_argument("--only", action="append", help="key of a row; repeat")
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    vectors = Vectors(given.out / "vectors", given.passes)
    store = Store(given.out / f"spirals-{given.passes}.json")
    for key, *_ in ROWS:
        if not given.only or key in given.only:
            store.make(key, partial(measure, vectors, key))
            (given.out / f"spirals-{given.passes}.md").write_text(markdown(store.rows))
    if given.pictures:
        picture(vectors, "simclr", given.pictures)


if __name__ == "__main__":
    main()
