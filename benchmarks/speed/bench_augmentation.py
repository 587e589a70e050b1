"""Batched augmentation against a torchvision v2 loop and a two-worker DataLoader.

All three turn the same images into views with the same list of operations, in turns within
one process; the figure is the median over rounds of the ratio within a round. The peers work
on one image at a time and run with one thread each, which is their best: many small tensor
operations on several threads wait for each other far longer than they compute.

Run: ``python benchmarks/speed/bench_augmentation.py [--json] [--bands 1]``
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

# As simreal.encode does, before torch is loaded: threads that spin stall on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from simreal.encode.augment import draw_views, load_preset

SIZE, BATCH, SIGMA = 64, 128, 0.8


def peer_transform(bands: int) -> v2.Compose:
    """The operations of ``galaxy-morphology`` as torchvision offers them."""
    jitter = {"brightness": 0.2, "contrast": 0.2}
    colour = {"saturation": 0.2} if bands == 3 else {}
    shift = 2 / SIZE
    bilinear = v2.InterpolationMode.BILINEAR
    return v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(180, (shift, shift), (1 / 1.15, 1.15), interpolation=bilinear),
            v2.ColorJitter(**jitter, **colour),
            v2.RandomApply([v2.GaussianBlur(5, (0.01, SIGMA))], p=0.5),
            v2.GaussianNoise(sigma=0.02, clip=False),
        ]
    )


class Views(Dataset):
    """One augmented view per index, as a DataLoader wants it."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images, self.transform = images, peer_transform(images.shape[1])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(self.images[index])


def candidates(images: torch.Tensor, threads: int) -> dict[str, Callable[[], None]]:
    preset, one = load_preset("galaxy-morphology"), Views(images)
    loader = DataLoader(one, batch_size=BATCH, num_workers=2, persistent_workers=True)
    n = len(images)

    def batched() -> None:
        torch.set_num_threads(threads)
        draws = torch.from_numpy(draw_views(preset, n, seed=0, epoch=0)[:, 0])
        for start in range(0, n, BATCH):
            preset(images[start : start + BATCH], draws[start : start + BATCH])

    def loop() -> None:
        torch.set_num_threads(1)
        for start in range(0, n, BATCH):
            torch.stack([one[i] for i in range(start, min(start + BATCH, n))])

    def workers() -> None:
        torch.set_num_threads(1)
        for _ in loader:
            pass

    return {"batched": batched, "v2 loop": loop, "DataLoader, 2 workers": workers}


def seconds(run: Callable[[], None], repeats: int) -> float:
    # Candidates differ in threads: one untimed call lets the pool of the new number settle.
    run()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--bands", type=int, default=3, choices=(1, 3))
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = (options.images, options.bands, SIZE, SIZE)
    runs = candidates(torch.from_numpy(rng.random(shape, dtype=np.float32)), options.threads)
    for run in runs.values():
        run()
    # The quick one is repeated so that every turn lasts long enough to be timed.
    rounds = [
        {name: seconds(run, 3 if name == "batched" else 1) for name, run in runs.items()}
        for _ in range(options.rounds)
    ]
    figures = {
        "images_per_second": {
            name: round(options.images / statistics.median(r[name] for r in rounds))
            for name in runs
        },
        "times_v2_loop": round(statistics.median(r["v2 loop"] / r["batched"] for r in rounds), 2),
        "times_dataloader": round(
            statistics.median(r["DataLoader, 2 workers"] / r["batched"] for r in rounds), 2
        ),
        "goal": {"times_v2_loop": 5, "times_dataloader": 3},
        "bands": options.bands,
        "threads": options.threads,
    }
    if options.json:
        print(json.dumps(figures))
        return
    for name, rate in figures["images_per_second"].items():
        print(f"{name:24s} {rate:8d} images/s")
    print(f"{figures['times_v2_loop']} x the v2 loop (goal 5)")
    print(f"{figures['times_dataloader']} x the DataLoader (goal 3)")


if __name__ == "__main__":
    main()
