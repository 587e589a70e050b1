"""Precision, recall, density and coverage at n = m = 5,000, d = 128: bounds against scikit-learn.

The peer is the usual recipe: three full matrices of Euclidean distances from scikit-learn, a
partition for the radii, comparisons. Both take turns in one process on the same points in single
precision, must give the same four numbers, and the figure is the median of the ratios inside a
turn. Then the cost of one more assignment, as in a permutation test, once the neighbours of all
points are listed.

    python benchmarks/speed/bench_prdc.py [--n 5000] [--d 128] [--turns 5] [--permutations 50]
"""

import argparse
import json
import time

import numpy as np
from sklearn.metrics import pairwise_distances

from simreal.compare import manifold
from simreal.compare.manifold import Readings, balls, covered, crowding, occupied, readings
from simreal.stats.groups import permuted_labels

K = manifold.K


def with_sklearn(points, sim, obs):
    """Return the four readings from full distance matrices."""
    real, fake = points[obs], points[sim]

    def radii(side):
        return np.partition(pairwise_distances(side), K, axis=1)[:, K]

    of_real, of_fake = radii(real), radii(fake)
    across = pairwise_distances(real, fake)
    in_real = across <= of_real[:, None]
    return Readings(
        precision=float(in_real.any(axis=0).mean()),
        recall=float((across <= of_fake[None]).any(axis=1).mean()),
        density=float(in_real.sum() / (K * len(fake))),
        coverage=float(in_real.any(axis=1).mean()),
    )


def all_assignments(points, labels):
    """Return the four readings of every assignment, from lists of neighbours."""
    of_obs, of_sim = balls(points, ~labels, labels), balls(points, labels, ~labels)
    return [
        Readings(
            precision=covered(real, row),
            recall=covered(fake, ~row),
            density=crowding(real, row, k=K),
            coverage=occupied(real),
        )
        for real, fake, row in zip(of_obs, of_sim, labels, strict=True)
    ]


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def largest_difference(one, two):
    return max(abs(getattr(one, name) - getattr(two, name)) for name in Readings.__slots__)


def compare(n, d, *, turns, n_permutations):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2 * n, d)).astype(np.float32)
    points[n:, 0] += 0.1
    is_sim = np.arange(2 * n) >= n
    ours, theirs, apart = [], [], 0.0
    for _ in range(turns + 1):  # the first turn warms up
        seconds, found = timed(readings, points, is_sim, ~is_sim)
        ours.append(seconds)
        seconds, expected = timed(with_sklearn, points, is_sim, ~is_sim)
        theirs.append(seconds)
        apart = max(apart, largest_difference(found, expected))
    labels = permuted_labels(is_sim, n_permutations, rng=rng)
    listing, _ = timed(manifold.neighbour_table, points)
    all_of_them, listed = timed(all_assignments, points, labels)
    return {
        "n": n,
        "d": d,
        "seconds": round(float(np.median(ours[1:])), 3),
        "sklearn_seconds": round(float(np.median(theirs[1:])), 3),
        "ratio": round(float(np.median(np.divide(theirs[1:], ours[1:]))), 2),
        "listing_seconds": round(listing, 3),
        "seconds_per_permutation": round(all_of_them / len(labels), 4),
        "permutations_per_evaluation": round(
            float(np.median(ours[1:])) / (all_of_them / len(labels)), 1
        ),
        "largest_difference": float(f"{apart:.2g}"),
        "largest_difference_of_lists": largest_difference(listed[0], found),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--permutations", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    found = compare(options.n, options.d, turns=options.turns, n_permutations=options.permutations)
    if options.json:
        print(json.dumps(found))
        return
    print(f"precision, recall, density, coverage at n = m = {found['n']}, d = {found['d']}")
    print(f"  simreal {found['seconds']} s, scikit-learn {found['sklearn_seconds']} s")
    print(f"  {found['ratio']} times as fast (median of ratios inside a turn)")
    print(
        f"  neighbour lists {found['listing_seconds']} s, then "
        f"{1000 * found['seconds_per_permutation']:.1f} ms per permutation: "
        f"{found['permutations_per_evaluation']} for one evaluation"
    )


if __name__ == "__main__":
    main()
