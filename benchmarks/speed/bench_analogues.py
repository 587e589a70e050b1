"""Exact nearest neighbours among up to 200,000 vectors of 128 numbers, against scikit-learn.

One query, and a thousand at once. Both search exactly, on the same points, in turns, with one
thread; the figure is the median over rounds of the ratio within a round. The peak of memory that a
search adds is measured by `tracemalloc` in a round of its own.

    python benchmarks/speed/bench_analogues.py [--n 200000] [--d 128] [--rounds 3] [--json]
"""

import argparse
import json
import os
import time
import tracemalloc

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
from sklearn.neighbors import NearestNeighbors  # noqa: E402

from simreal.explain.analogues import exact_nearest  # noqa: E402

K = 10


def clock(search):
    start = time.perf_counter()
    distances, rows = search()
    return time.perf_counter() - start, distances, rows


def race(reference, queries, rounds):
    peer = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(reference)
    ratios, ours = [], []
    for _ in range(rounds):
        seconds, distances, rows = clock(lambda: exact_nearest(queries, reference, K))
        theirs, away, near = clock(lambda: peer.kneighbors(queries))
        assert (rows == near).mean() > 0.999
        assert np.allclose(distances, away, rtol=1e-3)
        ratios.append(theirs / seconds)
        ours.append(seconds)
    tracemalloc.start()
    exact_nearest(queries, reference, K)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "queries": len(queries), "points": len(reference), "seconds": float(np.median(ours)),
        "ratio": float(np.median(ratios)), "memory_mb": peak / 1e6,
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=200_000)
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    points = rng.standard_normal((args.n, args.d), dtype=np.float32)
    rows = [
        race(points[: args.n // part], points[:count] + np.float32(0.1), args.rounds)
        for part in (10, 1)
        for count in (1, 1000)
    ]
    if args.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print(
            f"{row['queries']:5d} queries among {row['points']:7d} x {args.d}: "
            f"{row['seconds']:7.3f} s, {row['ratio']:.1f}x scikit-learn, {row['memory_mb']:.0f} MB"
        )


if __name__ == "__main__":
    main()
