"""Where the time of encoding goes: the bare network, the step, augmentation, embedding, ResNet-18.

All candidates take turns within one process on the same pixels; every figure is the median
over rounds of the ratio within a round, so that what else the machine does cancels. On a busy
machine ``--cpu-time --threads 1`` counts the process's own seconds and not its waiting.

Run: ``python benchmarks/speed/bench_encoding.py [--json] [--bands 1] [--part step]``
"""

import argparse
import contextlib
import json
import os
import statistics
import time
from collections.abc import Callable

# As simreal.encode does, before torch is loaded: threads that spin stall on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from simreal.core.images import ArraySource
from simreal.encode.augment import Preset, load_preset
from simreal.encode.backbones import new_network, stored_network
from simreal.encode.encoders import simclr
from simreal.encode.settings import EncoderSettings
from simreal.encode.train import build, make_optimiser, make_views, members_of, plan_epoch, step

SIZE = 64
GOALS = {
    "step_over_bare": 0.9,
    "augmentation_share": 0.3,
    "embedding_over_bare": 0.9,
    "embedding_over_nchw_512": 1.6,
    "training_over_resnet18": 4.0,
    "embedding_over_resnet18": 4.0,
}
CPU = torch.device("cpu")

Runs = dict[str, Callable[[], None]]


#: What is read before and after a candidate.
CLOCK = [time.perf_counter]


def turns(runs: Runs, rounds: int) -> list[dict[str, float]]:
    """Return the seconds of every candidate in every round, two rounds of warming left out."""
    found = []
    for turn in range(rounds + 2):
        times = {}
        for name, run in runs.items():
            start = CLOCK[0]()
            run()
            times[name] = CLOCK[0]() - start
        found += [times] if turn >= 2 else []
    return found


def ratio(rounds: list[dict[str, float]], above: str, below: str) -> float:
    return round(statistics.median(r[above] / r[below] for r in rounds), 3)


class Training:
    """One model and what a step of it needs."""

    def __init__(self, pixels: np.ndarray, batch: int, backbone: str | None = None) -> None:
        settings = EncoderSettings(batch=batch, backbone=backbone)
        self.source, groups = ArraySource(pixels), np.arange(len(pixels))
        model = build(self.source, groups, objective="simclr", settings=settings, seed=0)
        self.model = model.to(memory_format=torch.channels_last)
        self.optimiser = make_optimiser(self.model, settings)
        self.none = Preset(name="none", operations=())
        self.usual = load_preset("galaxy-morphology").fitted(self.source)
        self.plans = {
            preset.name: plan_epoch(members_of(groups), preset, settings=settings, seed=0, epoch=0)
            for preset in (self.none, self.usual)
        }
        self.chosen = self.plans["none"].order[:batch]

    def views(self, preset: Preset) -> torch.Tensor:
        plan = self.plans[preset.name]
        return make_views(self.source, plan, self.chosen, preset=preset, device=CPU)

    def step(self, preset: Preset, precision: torch.dtype | None = None) -> None:
        views = self.views(preset)
        around = contextlib.nullcontext() if precision is None else torch.autocast("cpu", precision)
        with around:
            step(self.model, self.optimiser, views, rate=1e-4)


def steps(pixels: np.ndarray, options: argparse.Namespace) -> dict[str, float]:
    ours = Training(pixels, options.batch)
    fixed = ours.views(ours.none)

    def bare() -> None:
        ours.model.network.zero_grad(set_to_none=True)
        ours.model.network(fixed).sum().backward()

    rounds = turns(
        {
            "bare": bare,
            "plain": lambda: ours.step(ours.none),
            "whole": lambda: ours.step(ours.usual),
            "augmentation": lambda: _discard(ours.views(ours.usual)),
            "reading": lambda: _discard(ours.views(ours.none)),
        },
        options.rounds,
    )
    share = statistics.median((r["augmentation"] - r["reading"]) / r["whole"] for r in rounds)
    return {
        "step_over_bare": ratio(rounds, "bare", "plain"),
        "augmentation_share": round(share, 3),
        "views_per_second": _rate(rounds, "whole", 2 * options.batch),
    }


def embedding(pixels: np.ndarray, options: argparse.Namespace) -> dict[str, float]:
    n = len(pixels)
    settings = EncoderSettings(epochs=1, batch=64, threads=options.threads)
    few = ArraySource(pixels[:64])
    encoder = simclr.fit(few, np.arange(64), settings=settings, seed=0)
    source = ArraySource(pixels)
    network = stored_network(encoder.weights).eval()
    plain = stored_network(encoder.weights).eval().to(memory_format=torch.contiguous_format)
    images = torch.from_numpy(pixels)
    last = images.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def bare() -> None:
        for start in range(0, n, 32):
            network(last[start : start + 32])

    @torch.inference_mode()
    def nchw() -> None:
        for start in range(0, n, 512):
            plain(images[start : start + 512])

    rounds = turns(
        {"embed": lambda: _discard(encoder.encode(source)), "bare": bare, "nchw": nchw},
        options.rounds,
    )
    return {
        "embedding_over_bare": ratio(rounds, "bare", "embed"),
        "embedding_over_nchw_512": ratio(rounds, "nchw", "embed"),
        "embedded_per_second": _rate(rounds, "embed", n),
    }


def against_resnet(pixels: np.ndarray, options: argparse.Namespace) -> dict[str, float]:
    batch = min(options.batch, 64)
    small, large = Training(pixels, batch), Training(pixels, batch, "resnet18")
    rounds = turns(
        {
            "small": lambda: small.step(small.usual),
            "resnet18": lambda: large.step(large.usual),
        },
        max(5, options.rounds // 2),
    )
    networks = {"small": small.model.network, "resnet18": large.model.network}
    images = torch.from_numpy(pixels[:128]).contiguous(memory_format=torch.channels_last)

    def seen(name: str) -> Callable[[], None]:
        @torch.inference_mode()
        def run() -> None:
            for start in range(0, len(images), 32):
                networks[name](images[start : start + 32])

        return run

    for network in networks.values():
        network.eval()
    inference = turns({name: seen(name) for name in networks}, options.rounds)
    return {
        "training_over_resnet18": ratio(rounds, "resnet18", "small"),
        "embedding_over_resnet18": ratio(inference, "resnet18", "small"),
    }


def precision(pixels: np.ndarray, options: argparse.Namespace) -> dict[str, float]:
    """Half precision and the arrangement of memory: what each would gain."""
    found = {}
    for backbone in ("small-residual", "small-vit"):
        ours = Training(pixels, options.batch, backbone)
        plain = Training(pixels, options.batch, backbone)
        plain.model = plain.model.to(memory_format=torch.contiguous_format)
        fixed = plain.views(plain.none).contiguous()

        def first(plain: Training = plain, fixed: torch.Tensor = fixed) -> None:
            step(plain.model, plain.optimiser, fixed, rate=1e-4)

        runs: Runs = {
            "float32": lambda ours=ours: ours.step(ours.none),
            "bfloat16": lambda ours=ours: ours.step(ours.none, torch.bfloat16),
            "channels first": first,
        }
        rounds = turns(runs, max(5, options.rounds // 2))
        found[f"{backbone}: training, bfloat16 over float32"] = ratio(rounds, "float32", "bfloat16")
        found[f"{backbone}: training, channels last over first"] = ratio(
            rounds, "channels first", "float32"
        )
        mean, scale = np.full(pixels.shape[1], 0.5), np.full(pixels.shape[1], 0.3)
        network = new_network(backbone, mean, scale).eval()
        network = network.to(memory_format=torch.channels_last)
        other = new_network(backbone, mean, scale).eval()
        images = torch.from_numpy(pixels[:128])
        last = images.contiguous(memory_format=torch.channels_last)
        rounds = turns(
            {
                "float32": lambda n=network, i=last: _inferred(n, i),
                "bfloat16": lambda n=network, i=last: _inferred(n, i, torch.bfloat16),
                "channels first": lambda n=other, i=images: _inferred(n, i),
            },
            options.rounds,
        )
        found[f"{backbone}: embedding, bfloat16 over float32"] = ratio(
            rounds, "float32", "bfloat16"
        )
        found[f"{backbone}: embedding, channels last over first"] = ratio(
            rounds, "channels first", "float32"
        )
    return found


@torch.inference_mode()
def _inferred(
    network: torch.nn.Module, images: torch.Tensor, kind: torch.dtype | None = None
) -> None:
    around = contextlib.nullcontext() if kind is None else torch.autocast("cpu", kind)
    with around:
        for start in range(0, len(images), 32):
            network(images[start : start + 32])


def _discard(_: object) -> None:
    pass


def _rate(rounds: list[dict[str, float]], name: str, n: int) -> int:
    return round(n / statistics.median(r[name] for r in rounds))


PARTS = {"step": steps, "embed": embedding, "resnet18": against_resnet, "precision": precision}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")
    parser.add_argument("--bands", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu-time", action="store_true", help="with --threads 1 only")
    options = parser.parse_args()
    if options.cpu_time:
        CLOCK[0] = time.process_time
    torch.set_num_threads(options.threads)
    shape = (options.images, options.bands, SIZE, SIZE)
    pixels = np.random.default_rng(0).random(shape, dtype=np.float32)
    figures: dict[str, object] = {"bands": options.bands, "threads": options.threads}
    for part in options.part or PARTS:
        figures |= PARTS[part](pixels, options)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        goal = GOALS.get(name)
        sign = "at most" if name == "augmentation_share" else "at least"
        print(f"{name:52s} {value}" + (f"   (goal: {sign} {goal})" if goal else ""))


if __name__ == "__main__":
    main()
