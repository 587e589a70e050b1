"""999 permutations of MMD at n = m = 2,000, d = 128: blocked products against the naive loop.

The naive loop stores the kernel matrix once per bandwidth and, for every permutation, picks its
three blocks by fancy indexing and sums them. A full naive run takes many minutes, so a few of its
permutations are timed, interleaved with the blocked run, and scaled to 999; both run in one
process on the same points, bandwidths and labels, and must agree.

    python benchmarks/speed/bench_mmd_permutations.py [--n 2000] [--d 128] [--permutations 999]
"""

import argparse
import json
import time

import numpy as np

from simreal.compare.metrics.mmd import Mmd, median_bandwidth, squared_distances
from simreal.stats.groups import permuted_labels


def naive(kernels, labels):
    """Return unbiased MMD² per permutation and bandwidth, the way it is usually written."""
    result = np.empty((len(labels), len(kernels)))
    for i, is_sim in enumerate(labels):
        sim, obs = np.flatnonzero(is_sim), np.flatnonzero(~is_sim)
        n, m = len(sim), len(obs)
        for j, kernel in enumerate(kernels):
            a = kernel[np.ix_(sim, sim)]
            b = kernel[np.ix_(obs, obs)]
            c = kernel[np.ix_(sim, obs)]
            result[i, j] = (
                (a.sum() - np.trace(a)) / (n * (n - 1))
                + (b.sum() - np.trace(b)) / (m * (m - 1))
                - 2 * c.mean()
            )
    return result


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def compare(n, d, n_permutations, *, naive_permutations=5, repeats=3, ladder=None):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2 * n, d)).astype(np.float32)
    points[n:, 0] += 0.1
    labels = permuted_labels(np.arange(2 * n) >= n, n_permutations, rng=rng)
    metric = Mmd(centre=points.mean(axis=0), bandwidth=median_bandwidth(points, rng=rng))
    metric = (
        metric
        if ladder is None
        else Mmd(centre=metric.centre, bandwidth=metric.bandwidth, ladder=ladder)
    )
    squared = squared_distances(points.astype(np.float64), points.astype(np.float64))
    kernels = [np.exp(-squared / (2 * (step * metric.bandwidth) ** 2)) for step in metric.ladder]
    fast_seconds, naive_seconds, difference = [], [], 0.0
    for repeat in range(repeats):
        seconds, fast = timed(metric.components, points, labels, ~labels)
        fast_seconds.append(seconds)
        some = slice(repeat * naive_permutations, (repeat + 1) * naive_permutations)
        seconds, slow = timed(naive, kernels, labels[some])
        naive_seconds.append(seconds / naive_permutations * len(labels))
        difference = max(difference, float((np.abs(slow - fast[some]) / fast.std(axis=0)).max()))
    one, _ = timed(metric.components, points, labels[:1], ~labels[:1])
    return {
        "n": n,
        "d": d,
        "permutations": n_permutations,
        "bandwidths": len(metric.ladder),
        "fast_seconds": round(min(fast_seconds), 3),
        "naive_seconds_scaled": round(min(naive_seconds), 1),
        "ratio": round(min(naive_seconds) / min(fast_seconds), 1),
        "in_units_of_one_evaluation": round(min(fast_seconds) / one, 2),
        "largest_difference_in_null_sd": float(f"{difference:.2g}"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--permutations", type=int, default=999)
    options = parser.parse_args()
    for ladder in (None, (1.0,)):
        print(json.dumps(compare(options.n, options.d, options.permutations, ladder=ladder)))


if __name__ == "__main__":
    main()
