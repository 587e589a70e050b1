"""Every distance against a named peer on the same points, in one interleaved run, and its growth.

The peers are what one would write without this package: the whole kernel matrix in numpy, scipy's
`cdist`, POT. All candidates of a race run in turn in one process, on the same points, with one
thread; values must agree; the figure is the median over rounds of the ratio within a round. Growth
is the exponent of a power law fitted to the time at several n.

    python benchmarks/speed/bench_distances.py [--n 5000] [--d 128] [--exact-n 1500] [--rounds 3]
        [--only NAME ...] [--json]

A race is an entry of `RACES`; to add one, write a function `(n, d) -> Race`.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
for _name in ("PYTORCH", "JAX", "CUPY", "TENSORFLOW"):
    os.environ.setdefault(f"POT_BACKEND_DISABLE_{_name}", "1")

import numpy as np  # noqa: E402

from simreal.compare.metrics import (  # noqa: E402
    energy,
    kid,
    max_sliced_wasserstein,
    mmd,
    sinkhorn,
    sliced_wasserstein,
)
from simreal.compare.transport import squared_wasserstein  # noqa: E402

#: Races run at `--exact-n`: in a comparison these take a stated subsample as well.
HEAVY = {"exact", "sinkhorn", "max_sliced"}


@dataclass(frozen=True)
class Race:
    """Ours and its peers: functions without arguments, and how much faster we want to be."""

    ours: Callable[[], float]
    peers: dict[str, Callable[[], float]]
    goals: dict[str, float]
    tolerance: float = 1e-4


def pool(n, d, dtype=np.float32):
    points = np.random.default_rng(0).standard_normal((2 * n, d)).astype(dtype)
    points[n:, 0] += 0.5
    return points, (np.arange(2 * n) >= n)[None]


def fitted(module, n, d):
    points, sim = pool(n, d)
    metric = module.fit(points, rng=np.random.default_rng(1))
    return metric, lambda: float(metric.values(points, sim, ~sim)[0])


def combined(kernel, x, y):
    """Unbiased MMD² of two samples from whole kernel matrices, with sums in double precision."""
    n, m = len(x), len(y)
    a, b = kernel(x, x), kernel(y, y)
    within = (a.sum(dtype=float) - np.trace(a)) / (n * (n - 1)) + (
        b.sum(dtype=float) - np.trace(b)
    ) / (m * (m - 1))
    return float(within - 2 * kernel(x, y).mean(dtype=float))


def race_mmd(n, d):
    from scipy.spatial.distance import cdist

    metric, ours = fitted(mmd, n, d)
    points, _ = pool(n, d)
    rate = -0.5 / metric.bandwidth**2

    def by_numpy(x, y):
        squared = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * (x @ y.T)
        return np.exp(squared * np.float32(rate))

    def by_scipy(x, y):
        return np.exp(cdist(x, y, "sqeuclidean") * rate)

    double = points.astype(np.float64)
    return Race(
        ours,
        {
            "numpy, whole matrix, float32": lambda: combined(by_numpy, points[:n], points[n:]),
            "scipy cdist": lambda: combined(by_scipy, double[:n], double[n:]),
        },
        {"numpy, whole matrix, float32": 4, "scipy cdist": 35},
        tolerance=1e-3,
    )


def race_energy(n, d):
    from scipy.spatial.distance import cdist

    _, ours = fitted(energy, n, d)
    double = pool(n, d, np.float64)[0]
    return Race(
        ours,
        {"scipy cdist": lambda: combined(lambda x, y: -cdist(x, y), double[:n], double[n:])},
        {"scipy cdist": 35},
        tolerance=1e-3,
    )


def race_kid(n, d):
    _, ours = fitted(kid, n, d)
    points, _ = pool(n, d)

    def whole(x, y):
        return (x @ y.T / np.float32(d) + 1) ** 3

    peer = "numpy, whole matrix, float32"
    return Race(ours, {peer: lambda: combined(whole, points[:n], points[n:])}, {}, tolerance=1e-3)


def race_sliced(n, d):
    import ot

    metric, ours = fitted(sliced_wasserstein, n, d)
    double = pool(n, d)[0].astype(np.float64)

    def by_pot():
        return float(
            ot.sliced_wasserstein_distance(double[:n], double[n:], projections=metric.axes.T, p=2)
        )

    return Race(ours, {"POT, same projections": by_pot}, {"POT, same projections": 15})


def race_exact(n, d):
    import ot
    from scipy.optimize import linear_sum_assignment

    points = pool(n, d, np.float64)[0]
    x, y = points[:n], points[n:]

    def by_pot():
        return float(ot.emd2([], [], ot.dist(x, y), numItermax=10_000_000))

    def by_scipy():
        costs = ot.dist(x, y)
        return float(costs[linear_sum_assignment(costs)].mean())

    return Race(
        lambda: squared_wasserstein(x, y),
        {"POT emd2": by_pot, "scipy assignment alone": by_scipy},
        {"POT emd2": 1.5},
    )


def race_sinkhorn(n, d):
    import ot

    metric, ours = fitted(sinkhorn, n, d)
    double = pool(n, d)[0].astype(np.float64)
    x, y = double[:n], double[n:]

    def cost(a, b):
        costs = ot.dist(a, b)
        plan = ot.sinkhorn([], [], costs, metric.regularisation, stopThr=sinkhorn.TOLERANCE)
        return float((plan * costs).sum() + metric.regularisation * divergence(plan))

    def divergence(plan):
        some = plan[plan > 0]
        return float((some * np.log(some * plan.size)).sum())

    def by_pot():
        return (cost(x, y) - (cost(x, x) + cost(y, y)) / 2) ** 0.5

    return Race(ours, {"POT, float64": by_pot}, {}, tolerance=1e-3)


def race_max_sliced(n, d):
    _, ours = fitted(max_sliced_wasserstein, n, d)
    return Race(ours, {}, {})


RACES = {
    "mmd": race_mmd,
    "energy": race_energy,
    "kid": race_kid,
    "sliced": race_sliced,
    "exact": race_exact,
    "sinkhorn": race_sinkhorn,
    "max_sliced": race_max_sliced,
}


def seconds(act):
    start = time.perf_counter()
    value = act()
    return time.perf_counter() - start, value


def run(name, n, d, *, rounds):
    race = RACES[name](n, d)
    _, expected = seconds(race.ours)  # the first call pays for imports and pages
    ours, ratios = [], {peer: [] for peer in race.peers}
    for _ in range(rounds):
        mine = min(seconds(race.ours)[0] for _ in range(3))
        ours.append(mine)
        for peer, act in race.peers.items():
            theirs, value = seconds(act)
            ratios[peer].append(theirs / mine)
            if not np.isclose(value, expected, rtol=race.tolerance):
                raise SystemExit(f"{name}: ours says {expected:.8g}, {peer} says {value:.8g}")
    found = {peer: float(np.median(values)) for peer, values in ratios.items()}
    return {
        "race": name,
        "n": n,
        "d": d,
        "ours_ms": 1e3 * float(np.median(ours)),
        "ratio": found,
        "goals": race.goals,
        "met": all(found[peer] >= goal for peer, goal in race.goals.items()),
    }


def growth(name, n, d):
    """Return the exponent p of seconds ~ n^p, from four n up to the one given."""
    sizes = [max(32, round(n * share)) for share in (0.25, 0.4, 0.63, 1.0)]
    spent = []
    for size in sizes:
        ours = RACES[name](size, d).ours
        ours()
        spent.append(min(seconds(ours)[0] for _ in range(3)))
    return float(np.polyfit(np.log(sizes), np.log(spent), 1)[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--d", type=int, default=128)
    parser.add_argument("--exact-n", type=int, default=1500, help="for the heavy distances")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=sorted(RACES), default=list(RACES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for name in options.only:
        n = min(options.n, options.exact_n) if name in HEAVY else options.n
        found = run(name, n, options.d, rounds=options.rounds)
        found["growth"] = growth(name, n, options.d)
        if options.json:
            print(json.dumps(found), flush=True)
            continue
        parts = [
            f"{ratio:.3g}x {peer}"
            + (f" (goal {found['goals'][peer]:g}x)" if peer in found["goals"] else "")
            for peer, ratio in found["ratio"].items()
        ]
        print(
            f"{name}: n = {n}, d = {options.d}: {found['ours_ms']:.1f} ms, "
            f"grows as n^{found['growth']:.2f}; {', '.join(parts) or 'no peer'}"
            f"{'' if found['met'] else '  MISSED'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
