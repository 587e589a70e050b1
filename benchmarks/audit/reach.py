"""Detection sizes by normal theory: a few trials with all galaxies, scaled to other sample sizes.

    python benchmarks/audit/reach.py --pair runs/pair --out runs/reach --docs docs/audit.md

For every nuisance the check that must name it is run at a ladder of sizes on all galaxies of the
pair. Each of its readings has a value, an error and a limit; errors go with the root of n. The
chance that a reading is red at n a side is that of a normal number being beyond its limit by as
many errors as the Holm correction of a whole battery asks of its first rejection. The table gives
the size at which the best reading reaches 80 %. `planted.py detection` finds the same sizes by
repeated trials, at a hundred times the cost; `planted.py naming` shows how often they are met at
n = 300.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from planted import KINDS, STATE, embedded, load_pair, most, prepare_pair
from scipy.stats import norm
from trials import between

from simreal.audit.battery import run_audit
from simreal.audit.contract import Given
from simreal.testing import exchanged, plant_side

SEEN = 0.8
#: Readings with a limit in a fast battery of one population.
READINGS = 75
BEYOND = float(norm.isf(0.05 / READINGS))
SAMPLES = (100, 300, 687)
STEPS = 7
DRAWS = 1


def readings(kind, size, n, seed):
    """Every limited reading of the check that must name this nuisance."""
    sim, obs = exchanged(*STATE["sides"], seed=seed, n=n)
    sim = embedded(plant_side(sim, kind, size, seed=2 * seed))
    obs = embedded(plant_side(obs, kind, 0.0, seed=2 * seed + 1))
    given = Given(sim=sim, obs=obs, same_population=True, seed=seed)
    found = run_audit(given, checks=(KINDS[kind].check,)).checks[0]
    return {
        r.name: (r.exceedance * r.limit, r.error, r.limit)
        for r in found.vetoing
        if r.value is not None
    }


def chance(found, n_given, n):
    """Chance that the best reading is red at `n` a side."""
    best = 0.0
    for value, error, limit in found.values():
        scaled = error * np.sqrt(n_given / n)
        if scaled <= 0:
            best = max(best, float(value > limit))
            continue
        best = max(best, float(norm.sf(BEYOND - (value - limit) / scaled)))
    return best


def smallest(sizes, chances):
    """Size at which the chance crosses 80 %, interpolated in the logarithm."""
    for k, now in enumerate(chances):
        if now >= SEEN:
            if k == 0:
                return f"< {sizes[0]:.2g}"
            before = chances[k - 1]
            part = (SEEN - before) / (now - before)
            return f"{np.exp(np.log(sizes[k - 1]) + part * np.log(sizes[k] / sizes[k - 1])):.2g}"
    return f"> {sizes[-1]:.2g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pair", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    prepare_pair(options.pair, "sdss")
    load_pair(options.pair)
    n_given = most(options.pair)
    lines = [
        f"| nuisance | unit | {' | '.join(f'n = {n}' for n in SAMPLES)} |",
        "|---|---|" + "---|" * len(SAMPLES),
    ]
    kept = {}
    for kind in options.kinds:
        one = KINDS[kind]
        top = min(one.sizes[2], one.maximum)
        sizes = np.geomspace(one.sizes[0] / 4, top, STEPS)
        found = [
            [readings(kind, float(size), n_given, seed) for seed in range(DRAWS)] for size in sizes
        ]
        kept[kind] = {"sizes": sizes.tolist(), "readings": found}
        cells = []
        for n in SAMPLES:
            chances = [np.mean([chance(draw, n_given, n) for draw in draws]) for draws in found]
            cells.append(smallest(sizes, np.maximum.accumulate(chances)))
        lines.append(f"| {kind} | {one.unit} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "reach.json").write_text(json.dumps(kept))
    between(options.docs, "planted-detection", "\n".join(lines))


if __name__ == "__main__":
    main()
