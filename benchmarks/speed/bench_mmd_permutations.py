"""Permutations of MMD at n = m = 2,000, d = 128: blocked products against two usual loops.

* *indexing*: the kernel matrix is stored once per bandwidth; for every permutation its three
  blocks are picked by fancy indexing and summed.
* *matrix-vector*: the matrix is stored in single precision; every permutation is one product with
  its vector of signs.

A full run of either takes long, so a few of their permutations are timed, interleaved with the
blocked run, and scaled; all run in one process on the same points, bandwidths and labels, and must
agree. Memory is what the blocked run allocates at its peak, for 500 permutations of 20,000 points.

    python benchmarks/speed/bench_mmd_permutations.py [--n 2000] [--d 128] [--permutations 500]
        [--memory-points 20000] [--json]
"""

import argparse
import json
import time
import tracemalloc

import numpy as np

from simreal.compare.kernels import squared_distances
from simreal.compare.metrics.mmd import LADDER, Mmd, median_bandwidth
from simreal.stats.groups import permuted_labels

GOALS = {
    "against_indexing": (">=", 200),
    "against_matrix_vector": (">=", 8),
    "in_units_of_one_mmd": ("<=", 4),
    "largest_difference_in_null_sd": ("<=", 0.01),
    "peak_megabytes": ("<=", 300),
}


def by_indexing(kernels, labels):
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


def by_matrix_vector(kernels, labels):
    """Return w'Kw per permutation and bandwidth: MMD² but for the diagonal, which costs nothing."""
    n = labels.sum(axis=1, keepdims=True)
    weights = np.where(labels, 1 / n, -1 / (labels.shape[1] - n)).astype(np.float32)
    return np.array([[w @ (kernel @ w) for kernel in kernels] for w in weights])


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def drawn(n, d, n_permutations, ladder):
    rng = np.random.default_rng(0)
    points = rng.standard_normal((2 * n, d), dtype=np.float32)
    points[n:, 0] += 0.1
    labels = permuted_labels(np.arange(2 * n) >= n, n_permutations, rng=rng)
    bandwidth = median_bandwidth(points, rng=rng)
    return points, labels, Mmd(centre=points.mean(axis=0), bandwidth=bandwidth, ladder=ladder)


def compare(n, d, n_permutations, *, ladder, slow_permutations=5, repeats=3):
    points, labels, metric = drawn(n, d, n_permutations, ladder)
    squared = squared_distances(points.astype(np.float64), points.astype(np.float64))
    kernels = [np.exp(squared * (-0.5 / (step * metric.bandwidth) ** 2)) for step in ladder]
    del squared
    singles = [kernel.astype(np.float32) for kernel in kernels]
    seconds = {name: [] for name in ("fast", "one", "indexing", "matrix_vector")}
    difference = 0.0
    for repeat in range(repeats):
        some = labels[repeat * slow_permutations : (repeat + 1) * slow_permutations]
        scale = len(labels) / len(some)
        taken, fast = timed(metric.components, points, labels, ~labels)
        seconds["fast"].append(taken)
        seconds["one"].append(timed(metric.components, points, labels[:1], ~labels[:1])[0])
        taken, slow = timed(by_indexing, kernels, some)
        seconds["indexing"].append(taken * scale)
        seconds["matrix_vector"].append(timed(by_matrix_vector, singles, some)[0] * scale)
        mine = fast[repeat * slow_permutations : (repeat + 1) * slow_permutations]
        difference = max(difference, float((np.abs(slow - mine) / fast.std(axis=0)).max()))
    best = {name: min(values) for name, values in seconds.items()}
    return {
        "n": n,
        "d": d,
        "permutations": n_permutations,
        "bandwidths": len(ladder),
        "seconds": round(best["fast"], 3),
        "against_indexing": round(best["indexing"] / best["fast"], 1),
        "against_matrix_vector": round(best["matrix_vector"] / best["fast"], 1),
        "in_units_of_one_mmd": round(best["fast"] / best["one"], 2),
        "largest_difference_in_null_sd": float(f"{difference:.2g}"),
    }


def memory(n_points, d, n_permutations):
    points, labels, metric = drawn(n_points // 2, d, n_permutations, (1.0,))
    others = ~labels
    tracemalloc.start()
    metric.components(points, labels, others)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {
        "points": n_points,
        "permutations": n_permutations,
        "peak_megabytes": round(peak / 1e6, 1),
    }


def verdicts(row):
    for name, (sign, goal) in GOALS.items():
        if name in row:
            met = row[name] >= goal if sign == ">=" else row[name] <= goal
            print(f"  {name} {row[name]:g}, goal {sign} {goal:g}: {'met' if met else 'MISSED'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--permutations", type=int, default=500)
    parser.add_argument("--memory-points", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [
        compare(options.n, options.d, options.permutations, ladder=ladder)
        for ladder in ((1.0,), LADDER)
    ]
    rows.append(memory(options.memory_points, options.d, 500))
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(", ".join(f"{name} {value:g}" for name, value in row.items()))
        verdicts(row)


if __name__ == "__main__":
    main()
