"""A training step without augmentation against the bare network's forward and backward.

Whatever the loop adds (reading images, projector, loss, optimiser) is what the ratio shows.
Both take turns within one process on batches of one size; the figure is the median over
rounds of the ratio within a round.

Run: ``python benchmarks/speed/bench_training_step.py [--json] [--bands 1]``
"""

import argparse
import json
import os
import statistics
import time

# As simreal.encode does, before torch is loaded: threads that spin stall on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from simreal.core.images import ArraySource
from simreal.encode.augment import Preset
from simreal.encode.settings import EncoderSettings
from simreal.encode.train import build, make_optimiser, make_views, members_of, plan_epoch, step

SIZE = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--bands", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    n, settings = 4 * options.batch, EncoderSettings(batch=options.batch)
    pixels = np.random.default_rng(0).random((n, options.bands, SIZE, SIZE), dtype=np.float32)
    source, groups = ArraySource(pixels), np.arange(n)
    model = build(source, groups, objective="simclr", settings=settings, seed=0)
    model = model.to(memory_format=torch.channels_last)
    optimiser, none = make_optimiser(model, settings), Preset(name="none", operations=())
    plan = plan_epoch(members_of(groups), none, settings=settings, seed=0, epoch=0)
    chosen = plan.order[: options.batch]
    cpu = torch.device("cpu")
    fixed = make_views(source, plan, chosen, preset=none, device=cpu)

    def bare() -> None:
        model.network.zero_grad(set_to_none=True)
        model.network(fixed).sum().backward()

    def whole() -> None:
        views = make_views(source, plan, chosen, preset=none, device=cpu)
        step(model, optimiser, views, rate=1e-4)

    rounds = []
    for turn in range(options.rounds + 2):
        times = {}
        for name, run in (("bare", bare), ("step", whole)):
            start = time.perf_counter()
            run()
            times[name] = time.perf_counter() - start
        rounds += [times] if turn >= 2 else []
    views = 2 * options.batch
    figures = {
        "views_per_second": {
            name: round(views / statistics.median(r[name] for r in rounds)) for name in rounds[0]
        },
        "share_of_bare": round(statistics.median(r["bare"] / r["step"] for r in rounds), 3),
        "goal": {"share_of_bare": 0.9},
        "bands": options.bands,
        "threads": options.threads,
    }
    if options.json:
        print(json.dumps(figures))
        return
    for name, rate in figures["views_per_second"].items():
        print(f"{name:6s} {rate:6d} views/s")
    print(f"step at {100 * figures['share_of_bare']:.1f} % of the bare network (goal 90 %)")


if __name__ == "__main__":
    main()
