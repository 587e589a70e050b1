"""A benchmark and its run folders as the pipeline leaves them, of synthetic vectors."""

import hashlib
import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from simreal.compare.run import compare_embeddings
from simreal.compare.settings import InferenceSettings
from simreal.core.benchmark_cards import (
    ObservedList,
    load_benchmark,
    observed_list_text,
    read_benchmark,
    read_observed_list,
)
from simreal.core.embedding import Embedding
from simreal.core.images import Setup
from simreal.data.store import write_embedding
from simreal.encode.weights import weights_digest, write_weights
from simreal.pipeline import fragments
from simreal.pipeline.board import build_board, reads_on_reference
from simreal.pipeline.conformity import settings_of
from simreal.pipeline.leaderboard import read_runs
from simreal.pipeline.manifest import write_manifest
from simreal.report.leaderboard import board_to_json

N, N_OBS, DIMENSION = 20, 60, 3
ENCODERS = {"luminance": "a" * 64, "colour": "b" * 64}
METRICS = ("mmd", "energy")

CARD = """
name = "synthetic-v1"
version = 1
title = "Synthetic <b>benchmark</b>"
description = "Gaussians against a Gaussian | not galaxies."
track = "rgb"
rank_by = "mmd"
n = {n}
seed = 0
expected_minutes = 1

[observed]
collection = "toy-survey"
list = "synthetic-v1.observed.csv"
sha256 = "{sha256}"
n = {n_obs}

[encoder]
name = "{encoder}"
plugin = "pca"

[encoder.digests]
luminance = "{luminance}"
colour = "{colour}"

[inference]
permutations = 99
floor_splits = 50
subsamples = 60

[metrics]
mmd = {{ reads = {mmd} }}
energy = {{ reads = {energy} }}

[[rows]]
name = "near"
kind = "simulation"
sim = "toy-twin"

[[rows]]
name = "far"
kind = "simulation"
sim = "toy-sim"

[[rows]]
name = "again"
kind = "positive control"
sim = "toy-survey"

[[rows]]
name = "wrong"
kind = "negative control"
fault = "stars"
of = "again"

[weak_convergence]
fine = "near"
coarse = "far"
"""

SETUP = Setup(track="rgb", bands=("red",), unit="display")


def embedding(name: str, variant: str, vectors: np.ndarray, *, prefix: str = "") -> Embedding:
    ids = np.array([f"{prefix or name}-{i:03d}" for i in range(len(vectors))])
    return Embedding(
        name=name, sampling="random", vectors=vectors.astype(np.float32), ids=ids, groups=ids,
        setup=SETUP, encoder_digest=ENCODERS[variant], source_digest=source(name, variant),
    )  # fmt: skip


def source(name: str, variant: str) -> str:
    """The digest of the stamps: as they are in colour, of other pixels in luminance."""
    return f"{name} {variant}".encode().hex().ljust(64, "0")[:64]


def observed_objects() -> ObservedList:
    ids = [f"toy-survey-{i:03d}" for i in range(N_OBS)]
    return ObservedList(ids=ids, groups=ids, pixel_hashes=[f"{i:016x}" for i in range(N_OBS)])


def observed_embedding(variant: str) -> Embedding:
    rng = np.random.default_rng(sum(variant.encode()))
    return embedding("toy-survey", variant, rng.normal(size=(N_OBS, DIMENSION)))


class Bench:
    """The card and the run folders of one benchmark."""

    def __init__(self, root: Path) -> None:
        self.root, self.runs = root, root / "board" / "runs"

    @property
    def card(self) -> Path:
        return self.root / "synthetic-v1.toml"

    @property
    def board(self) -> Path:
        return self.root / "board"

    def loaded(self):
        card, path = load_benchmark(str(self.card))
        return card, read_observed_list(card, path.parent)

    def write_card(self, **changes: object) -> None:
        (self.root / "encoder").mkdir(parents=True, exist_ok=True)
        text = observed_list_text(observed_objects())
        (self.root / "synthetic-v1.observed.csv").write_text(text)
        values = {
            "n": N, "n_obs": N_OBS, "encoder": self.root / "encoder",
            "sha256": hashlib.sha256(text.encode()).hexdigest(), **ENCODERS,
            **{name: reads_on_reference(name) for name in METRICS}, **changes,
        }  # fmt: skip
        self.card.write_text(CARD.format(**values))

    def write_run(self, row_name: str, shift: float, *, n: int = 24, verdict: str = "warned"):
        card, _ = self.loaded()
        row = next(row for row in card.rows if row.name == row_name)
        folder, settings = self.runs / row.name, settings_of(card, row)
        rng = np.random.default_rng(int(100 * shift) + len(row.name))
        sides_of, comparisons = {}, []
        for variant in ENCODERS:
            obs = observed_embedding(variant)
            sides = {
                "obs": obs,
                "sim": embedding(row.sim, variant, rng.normal(size=(n, DIMENSION)) + shift,
                                 prefix=row.name),
                "ceiling": obs.replace(name="bad", vectors=obs.vectors * 5 + 6),
            }  # fmt: skip
            for side, one in sides.items():
                write_embedding(folder / "embeddings" / variant / f"{side}.h5", one)
            sides_of[variant] = sides
            comparisons += [
                {**one, "lead": variant == "luminance"}
                for one in recomputed(sides, settings, variant)
            ]
        lead = sides_of["colour"]
        results = {
            "track": "rgb",
            "seed": settings.seed,
            "sim": described(lead["sim"], row.sim),
            "obs": described(lead["obs"], "toy-survey"),
            "encoder": {
                "mode": "frozen", "variants": {v: {"digest": d} for v, d in ENCODERS.items()}
            },
            "audit": {
                "verdict": verdict, "level": "fast", "first": "psf", "reasons": ["display"],
                "checks": [{"name": "psf", "title": "PSF"}],
            },
            "comparisons": comparisons,
            "provenance": {"settings": settings.model_dump(mode="json"), "versions": {}},
        }  # fmt: skip
        objects = observed_objects()
        write_json(folder / "results.json", results)
        write_json(folder / "observed.json", {
            "ids": objects.ids.tolist(), "groups": objects.groups.tolist(),
            "pixel_hashes": objects.pixel_hashes.tolist(),
        })  # fmt: skip
        write_encoder(folder, trained_on=range(1000, 1010))
        write_manifest(folder)
        return folder

    def write_control(self) -> Path:
        folder = self.runs / "wrong"
        for variant in ENCODERS:
            place = folder / "embeddings" / variant
            place.mkdir(parents=True)
            for side in ("obs", "ceiling"):
                had = self.runs / "again" / "embeddings" / variant / f"{side}.h5"
                shutil.copyfile(had, place / f"{side}.h5")
            rng = np.random.default_rng(9)
            wrong = embedding("wrong", variant, 2 + rng.normal(size=(24, DIMENSION)))
            write_embedding(place / "sim.h5", wrong)
        write_json(folder / "control.json", {"fault": "stars", "of": "again", "seed": 0})
        write_manifest(folder)
        return folder


def recomputed(sides, settings, variant):
    inference = InferenceSettings(
        n_permutations=settings.permutations, n_floor_splits=settings.floor_splits, power=False
    )
    found = compare_embeddings(
        sides["obs"], sides["sim"], metrics=settings.metrics, settings=inference,
        seed=settings.seed, variant=variant, ceiling=sides["ceiling"],
    )  # fmt: skip
    return json.loads(json.dumps(fragments.comparison_rows(found)))


def described(one: Embedding, name: str) -> dict:
    return {
        "name": name, "title": f"{name} title", "digest": one.source_digest, "n": len(one),
        "n_groups": one.n_groups,
    }  # fmt: skip


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_encoder(folder: Path, *, trained_on) -> None:
    """A frozen encoder's hashes of what it was trained on, one for each variant."""
    hashes = {"native": np.array(list(trained_on), dtype=np.uint64)}
    for variant in ENCODERS:
        recipe = {"encoder": "pca"}
        card = {"recipe": recipe, "digest": weights_digest(recipe, hashes), "trained_on": {}}
        write_weights(folder / "encoder" / variant, card, hashes)


def seal(path: Path) -> None:
    """Seal a card as `benchmarks/freeze.py` does."""
    text = path.read_text()
    assert "seal" not in tomllib.loads(text)
    path.write_text(f'seal = "{read_benchmark(path).digest}"\n' + text)


@pytest.fixture(scope="session")
def built_board(made_bench: Bench) -> dict:
    """The board of `made_bench`, as it is read back; copy it before you change anything."""
    card, observed = made_bench.loaded()
    board = build_board(card, read_runs(card, observed, made_bench.runs))
    return json.loads(board_to_json(board))


@pytest.fixture(scope="session")
def made_bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A benchmark with all its runs; copy it before you change anything."""
    bench = Bench(tmp_path_factory.mktemp("bench"))
    bench.write_card()
    bench.write_run("near", 0.1)
    bench.write_run("far", 1.5)
    bench.write_run("again", 0.0)
    bench.write_control()
    return bench
