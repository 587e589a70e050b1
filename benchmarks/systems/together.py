"""System A: SimCLR and NNCLR on simulated and real galaxies in one run, and what shares a cluster.

    python benchmarks/systems/together.py --out runs/systems [--passes 12000]

EAGLE and SDSS as `simreal compare` matches them, luminance, one encoder for both, told of neither.
Clusters are fitted to both sides together, each drawn to the same number; a row says how many of
each side fell in. Then two toy collections, both with two views of every galaxy: positives are
other directions of the same galaxy (`second_view = "group"`); `toy-survey`, which has one view, is
refused. Nearest analogues of a new image: `simreal analogues`. Needs SIMREAL_DATA.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from real_images import Store, clock, matched, score

from simreal.core.cards import load_card
from simreal.core.errors import NotComputableError
from simreal.core.seeding import stream
from simreal.data.ingest import ingest
from simreal.encode.run import embed, fit_encoder
from simreal.encode.settings import EncoderSettings
from simreal.explain.clustering import COMPONENTS, K, hdbscan
from simreal.explain.scores import share
from simreal.pipeline.fragments import plain
from simreal.stats.clusters import assign, fit_centres
from simreal.stats.pca import fit_pca


def occupied(vectors, seed):
    """Return for every cluster of both sides together how many of each are in it."""
    rng = stream(seed, "system A")
    n = min(len(each.vectors) for each in vectors.values())
    drawn = [
        each.vectors[rng.choice(len(each.vectors), n, replace=False)] for each in vectors.values()
    ]
    points = fit_pca(np.concatenate(drawn), max_components=COMPONENTS, rng=rng).apply(
        np.concatenate(drawn)
    )
    found = {
        f"k-means, k = {K}": assign(points, fit_centres(points, K, seed=seed)),
        "hdbscan": hdbscan(points, max(10, n // 25)),
    }
    return {
        method: [
            {
                "cluster": int(cluster),
                **{
                    side: int((labels[i * n : (i + 1) * n] == cluster).sum())
                    for i, side in enumerate(vectors)
                },
            }
            for cluster in np.unique(labels)
        ]
        for method, labels in found.items()
    }


def measure(name, passes):
    row = {"encoder": name}
    found = matched()
    stamps = found.shown(found.plan.lead)
    settings = EncoderSettings(image_passes=passes, threads=1)
    with clock(row):
        encoder = fit_encoder(name, list(stamps.values()), settings=settings, seed=0)
    vectors = {side: embed(encoder, images) for side, images in stamps.items()}
    return row | {"clusters": occupied(vectors, 0)}


def views(names, passes=1_000):
    """Return the loss with other directions as positives, or why there can be none."""
    settings = EncoderSettings(image_passes=passes, second_view="group", threads=1)
    with tempfile.TemporaryDirectory() as folder:
        sets = [
            ingest(load_card(name), seed=0, store=Path(folder) / f"{name}.h5").images
            for name in names
        ]
        try:
            loss = fit_encoder("simclr", sets, settings=settings).card["loss"]
        except NotComputableError as error:
            return {"refused": str(error)}
        return {"loss": [loss[0], loss[-1]]}


def markdown(kept):
    lines = ["| encoder | clusters | cluster | EAGLE | SDSS | share of EAGLE |", "|---" * 6 + "|"]
    for row in kept.values():
        for method, clusters in row.get("clusters", {}).items():
            for each in clusters:
                of = plain(share(each["sim"], each["sim"] + each["obs"]))
                name = "noise" if each["cluster"] < 0 else each["cluster"]
                lines.append(
                    f"| {row['encoder']} | {method} | {name} | {each['sim']} | {each['obs']} | "
                    f"{score(of, 2)} |"
                )
    said = [f"* {key}: {row}" for key, row in kept.items() if "clusters" not in row]
    return "\n".join([*lines, "", *said]) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/systems"))
    parser.add_argument("--passes", type=int, default=12_000)
    given = parser.parse_args()
    store = Store(given.out / f"together-{given.passes}.json")
    for name in ("simclr", "nnclr"):
        store.make(name, partial(measure, name, given.passes))
    for names in (("toy-sim", "toy-twin"), ("toy-sim", "toy-survey")):
        store.make(" and ".join(names), partial(views, names))
    (given.out / f"together-{given.passes}.md").write_text(markdown(store.rows))


if __name__ == "__main__":
    main()
