"""A whole comparison of two embeddings: seconds and memory per metric, and their growth with n.

    python benchmarks/speed/bench_comparison.py [--n 5000] [--dimension 128] [--metric NAME ...]

Every metric that is not on request goes through the inference of a comparison: B = 999 and all
of n for fast ones, B = 199 and a subsample of 1,000 for heavy ones, 50 floor splits, interval and
power. The observed side has 2n objects, so that the floor is at the n of the value. The physical
limit it is held against is one matrix product of the size of the kernel matrix, timed in the same
run. With `--growth` smaller n are run too and the exponent of the cost is fitted.
"""

import argparse
import json
import resource
import time

import numpy as np

from simreal.compare.run import compare_embeddings
from simreal.compare.settings import InferenceSettings
from simreal.core.embedding import Embedding
from simreal.core.errors import NotComputableError
from simreal.core.images import Setup
from simreal.pipeline.settings import expand_metrics

SETUP = Setup(track="rgb", bands=("luminance",), unit="display")
GROWTH = (625, 1250, 2500, 5000)


def embedding(name, n, d, *, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, d)) * np.linspace(2, 0.2, d)
    vectors[:, 0] += shift
    ids = np.array([f"{name}{i}" for i in range(n)])
    return Embedding(
        name=name, sampling="random", vectors=vectors.astype(np.float32), ids=ids, groups=ids,
        setup=SETUP, encoder_digest="e", source_digest=name,
    )  # fmt: skip


def one_run(metric, n, d):
    """Seconds of one metric at n a side, or why there is no number."""
    obs, sim = embedding("obs", 2 * n, d, seed=1), embedding("sim", n, d, seed=2, shift=0.3)
    start = time.perf_counter()
    try:
        compare_embeddings(
            obs, sim, metrics=[metric], settings=InferenceSettings(n_floor_splits=50), seed=0
        )
    except NotComputableError as error:
        return None, str(error)
    return time.perf_counter() - start, ""


def product_seconds(n, d):
    """The physical limit: the inner products of 2n points, in single precision."""
    points = np.random.default_rng(0).normal(size=(2 * n, d)).astype(np.float32)
    block = 2048
    start = time.perf_counter()
    for i in range(0, 2 * n, block):
        points[i : i + block] @ points.T
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--metric", action="append")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    sizes = [n for n in GROWTH if n <= given.n] if given.growth else [given.n]
    rows = []
    for metric in expand_metrics(tuple(given.metric or ("all",))):
        found = [one_run(metric, n, given.dimension) for n in sizes]
        seconds = [s for s, _ in found]
        row = {"metric": metric, "n": sizes, "seconds": seconds, "reason": found[-1][1]}
        if len(sizes) > 1 and None not in seconds:
            row["exponent"] = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
        rows.append(row)
        if not given.json:
            shown = " ".join("-" if s is None else f"{s:8.1f}" for s in seconds)
            grows = f"  ~ n^{row['exponent']:.1f}" if "exponent" in row else ""
            print(f"{metric:24} {shown} s{grows}  {row['reason']}", flush=True)
    limit = product_seconds(given.n, given.dimension)
    total = sum(row["seconds"][-1] or 0.0 for row in rows)
    # Linux counts kilobytes, macOS bytes; the benchmarks are run on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    summary = {
        "n": given.n, "total_seconds": total, "peak_gb": peak, "product_seconds": limit,
        "ratio": total / limit, "metrics": rows,
    }  # fmt: skip
    if given.json:
        print(json.dumps(summary))
    else:
        print(
            f"in all {total:.0f} s ({total / 60:.1f} min), peak {peak:.2f} GB; the inner products "
            f"of all pairs take {limit:.2f} s: {total / limit:.0f} times that"
        )


if __name__ == "__main__":
    main()
