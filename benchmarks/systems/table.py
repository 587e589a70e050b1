"""All objectives and baselines on the same real images with the same number of image passes.

    python benchmarks/systems/table.py --out runs/systems [--passes 12000] [--seeds 3]

EAGLE against SDSS as `simreal compare` matches them, 64 pixels, luminance. Every encoder is fitted
to both sides pooled, without labels. Rows that OUT/table-PASSES.json has are not made again;
OUT/table-PASSES.md is written after each. Needs SIMREAL_DATA.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

from real_images import LABEL, WANTED, Store, clock, matched, score

from simreal.compare.run import compare_embeddings
from simreal.data.store import write_embedding
from simreal.encode.run import embed, fit_encoder, save_encoder
from simreal.encode.settings import EncoderSettings
from simreal.explain.clustering import ClusterSettings
from simreal.match.variants import shown
from simreal.pipeline.audit import Evidence, audit_comparison
from simreal.pipeline.encoding import PIXEL_PERMUTED, bad_mock
from simreal.pipeline.fragments import plain
from simreal.pipeline.probe import ProbeSettings, probe_embedding
from simreal.pipeline.stages import silent

#: Name of a row: encoder and what departs from its defaults.
TRAINED = ("simclr", "nnclr", "vicreg", "simmim", "mae", "denoising")
FIXED = ("morphology", "pca", "pixels", "random_convolution")
PRESETS = ("colour-aware", "size-aware", "geometric", "survey-realistic", "point-source")


def rows(seeds):
    """Yield key, encoder, settings and seed, the most wanted first."""
    for name in (*FIXED, *TRAINED):
        yield name, name, {}, 0
    yield "simclr resnet18", "simclr", {"backbone": "resnet18"}, 0
    for seed in range(1, seeds):
        for name in ("simclr", "nnclr", "vicreg", "simmim", "mae"):
            yield f"{name} seed {seed}", name, {}, seed
    for preset in PRESETS:
        for seed in range(seeds):
            key = f"simclr {preset}" + (f" seed {seed}" if seed else "")
            yield key, "simclr", {"augmentation": preset}, seed
    for seed in range(seeds):
        key = "simclr averaged" + (f" seed {seed}" if seed else "")
        yield key, "simclr", {"averaged": True}, seed
    for seed in range(1, seeds):
        yield f"simclr resnet18 seed {seed}", "simclr", {"backbone": "resnet18"}, seed
        yield f"denoising seed {seed}", "denoising", {}, seed


def measure(found, variant, name, chosen, seed, passes):
    """Return everything that is asked of one encoder."""
    row = {"encoder": name, "settings": chosen, "seed": seed, "variant": variant}
    settings = EncoderSettings(image_passes=passes, threads=1, **chosen)
    stamps = found.shown(variant)
    with clock(row):
        encoder = fit_encoder(name, list(stamps.values()), settings=settings, seed=seed)
    vectors = {side: embed(encoder, images) for side, images in stamps.items()}
    mock = bad_mock(PIXEL_PERMUTED, found.stamps["obs"], seed=seed)
    ceiling = embed(encoder, shown(mock, variant))
    asked = ProbeSettings(
        label=LABEL, counts=(200,), wanted=WANTED, clusters=ClusterSettings(n_permutations=199)
    )
    row["probe"] = trimmed(probe_embedding(vectors["obs"], asked))
    compared = compare_embeddings(
        vectors["obs"],
        vectors["sim"],
        metrics=("mmd",),
        seed=0,
        allow=found.match["residual_differences"],
        variant=variant,
        ceiling=ceiling,
    )
    row["mmd"] = plain(compared.comparisons[0])
    row["audit"] = audit(found, encoder, vectors, variant)
    row["effective_rank"] = encoder.card.get("effective_rank")
    return row


def trimmed(probed):
    """Leave the members of every cluster out of what is kept."""
    for partition in probed["clusters"].get("partitions", ()):
        partition.pop("members")
        partition.pop("examples")
    return probed


def audit(found, encoder, vectors, variant):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_encoder(encoder, folder / "encoder")
        for side, each in vectors.items():
            write_embedding(folder / f"{side}.h5", each)
        evidence = Evidence(
            native=found.native,
            stamps=found.stamps,
            sky=found.sky,
            embedded={found.plan.lead: folder},
            match=found.match,
            bridges={},
        )
        said, _ = audit_comparison(found.plan, evidence, progress=silent)
    assert variant == found.plan.lead, "the audit looks at the leading variant"
    return {
        "verdict": said["verdict"],
        "first": said["first"],
        "checks": {check["name"]: check["verdict"] for check in said["checks"]},
    }


HEADER = (
    "encoder", "linear, 200 labels", "linear, five folds", "10 neighbours", "k-means 8 silhouette",
    "HDBSCAN silhouette; sizes; noise", "precision at 25, 100 handfuls", "MMD excess", "audit",
    "seconds",
)  # fmt: skip


def line(key, row):
    probe = row["probe"]
    at = next(each for each in probe["label_counts"] if each["n_labels"] == 200)
    density, means = probe["clusters"]["partitions"]
    handfuls = probe["search"]["classes"][0]["handfuls"]
    sizes = ", ".join(map(str, density["sizes"])) or "none"
    noise = score(density["noise_fraction"], 2)
    cells = (
        key,
        score(at["score"]),
        score(probe["linear"]["scores"]["accuracy"]),
        score(probe["knn"]["scores"]["accuracy"]),
        score(means["scores"]["silhouette"], 2) + "; " + ", ".join(map(str, means["sizes"])),
        f"{score(density['scores']['silhouette'], 2)}; {sizes}; {noise}",
        f"{handfuls['mean']:.2f} ({handfuls['draw_low']:.2f} to {handfuls['draw_high']:.2f})",
        score(row["mmd"]["excess"], 2),
        row["audit"]["verdict"],
        f"{row['cpu_seconds']:.0f}",
    )
    return "| " + " | ".join(cells) + " |"


def markdown(kept):
    lines = ["| " + " | ".join(HEADER) + " |", "|---" * len(HEADER) + "|"]
    return "\n".join([*lines, *(line(key, row) for key, row in kept.items())]) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/systems"))
    parser.add_argument("--passes", type=int, default=12_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", action="append", help="key of a row; repeat")
    given = parser.parse_args()
    found = matched()
    store = Store(given.out / f"table-{given.passes}.json")
    for key, name, chosen, seed in rows(given.seeds):
        if given.only and key not in given.only:
            continue
        made = partial(measure, found, found.plan.lead, name, chosen, seed, given.passes)
        store.make(key, made)
        (given.out / f"table-{given.passes}.md").write_text(markdown(store.rows))


if __name__ == "__main__":
    main()
