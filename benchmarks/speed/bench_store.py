"""How fast a random batch comes out of the store, against h5py's own fancy indexing.

All candidates read the same rows of the same pixels from a warm page cache, in turns, in one
process; what counts is the ratio inside a turn. Run::

    python benchmarks/speed/bench_store.py [--turns 9] [--json]
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import h5py  # noqa: E402
import numpy as np  # noqa: E402

from simreal.core.images import Setup  # noqa: E402
from simreal.data.store import Description, StoreWriter  # noqa: E402

BATCH = 256
BAR = 15.0
CASES = {
    "stamps, float32 3 x 64 x 64": ("float32", 4000, (3, 64, 64)),
    "stamps, uint8 3 x 64 x 64": ("uint8", 4000, (3, 64, 64)),
    "composites, uint8 3 x 128 x 128": ("uint8", 800, (3, 128, 128)),
}


def _pixels(dtype: str, n: int, shape: tuple[int, ...]) -> np.ndarray:
    raw = np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)
    return raw if dtype == "uint8" else (raw / np.float32(255)).astype(np.float32)


def _store(path: Path, pixels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    names = np.arange(len(pixels)).astype(str)
    with StoreWriter(path, dtype=str(pixels.dtype)) as writer:  # type: ignore[arg-type]
        writer.append(pixels)
        about = Description(
            name="bench",
            role="observed",
            sampling="random",
            ids=names,
            groups=names,
            setup=Setup(track="rgb", bands=("r", "g", "b"), unit="display"),
        )
        return writer.finish(about).images.read


def _peers(folder: Path, pixels: np.ndarray) -> dict[str, h5py.Dataset]:
    """h5py's automatic chunks, and one image per chunk, which suits random reads best."""
    chunks = {"automatic chunks": True, "one image per chunk": (1, *pixels.shape[1:])}
    found = {}
    for i, (label, chunk) in enumerate(chunks.items()):
        with h5py.File(folder / f"peer{i}.h5", "w") as file:
            file.create_dataset("images", data=pixels, chunks=chunk)
        found[label] = h5py.File(folder / f"peer{i}.h5", "r")["images"]
    return found


def _seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def race(case: str, *, turns: int) -> dict[str, object]:
    """Return median ratios of one case; every turn draws new rows."""
    dtype, n, shape = CASES[case]
    pixels = _pixels(dtype, n, shape)
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        ours = _store(Path(name) / "store.h5", pixels)
        peers = _peers(Path(name), pixels)
        times: dict[str, list[float]] = {label: [] for label in ("ours", *peers)}
        for turn in range(turns + 1):
            # h5py accepts ascending rows only, so everyone gets them in that order.
            rows = np.sort(rng.choice(n, BATCH, replace=False))
            expected = pixels[rows] / np.float32(255) if dtype == "uint8" else pixels[rows]
            np.testing.assert_array_equal(ours(rows), expected)
            spent = {"ours": _seconds(lambda rows=rows: ours(rows))}
            for label, dataset in peers.items():
                spent[label] = _seconds(lambda d=dataset, rows=rows: d[rows])
            if turn:  # the first turn warms the cache
                for label, value in spent.items():
                    times[label].append(value)
        for dataset in peers.values():
            dataset.file.close()
    mine = np.array(times.pop("ours"))
    ratios = {label: float(np.median(np.array(t) / mine)) for label, t in times.items()}
    return {
        "case": case,
        "ours_ms": 1e3 * float(np.median(mine)),
        "peer_ms": {label: 1e3 * float(np.median(t)) for label, t in times.items()},
        "ratio": ratios,
        "meets_bar": min(ratios.values()) >= BAR,
    }


def main() -> None:
    """Run every case and print a line or a JSON object each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for case in CASES:
        found = race(case, turns=options.turns)
        if options.json:
            print(json.dumps(found))
            continue
        ratios = ", ".join(f"{value:.0f}x {label}" for label, value in found["ratio"].items())
        print(f"{case}: {found['ours_ms']:.1f} ms per {BATCH}; {ratios} (bar {BAR:.0f}x)")


if __name__ == "__main__":
    main()
