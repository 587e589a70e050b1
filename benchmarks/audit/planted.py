"""Planted nuisances on real SDSS halves: what the fast audit sees, and what it calls it.

    python benchmarks/audit/planted.py naming --pair runs/planted/pair --out runs/planted --jobs 2
    python benchmarks/audit/planted.py all --pair runs/planted/pair --out runs/planted --jobs 2

Both sides are real galaxies of one population: SDSS is matched once through simreal's own
`match_pair`, at JPEG quality 100 so that a nuisance can be planted before the last encoding, and
kept in `--pair`. Every trial deals the galaxies anew into two sides, plants a nuisance on the
stamps and the sky of one, encodes both at quality 90, embeds them with one frozen encoder and
runs the fast battery.

naming     every nuisance at its three standard sizes, `--seeds` each, `--n` a side: is the right
           check named first?
alarms     `--clean` pairs that carry nothing: how many are called confounded?
detection  the smallest size that is red in 80 % of `--trials` at n = 100, 300 and all there is,
           by the right check and by any, to within a factor 1.2
tables     Markdown of what has been run, into `--docs` between its markers or to the screen
all        everything

Rows of trials are kept in `--out`; what is there is not run again unless the code has changed.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from trials import Kept, audited, between, check_of_first, share, spread

from simreal.audit.contract import Given, Side
from simreal.core.cards import load_card
from simreal.core.embedding import Embedding
from simreal.data.ingest import ingest
from simreal.data.split import halves
from simreal.data.store import read_set, write_set
from simreal.encode.run import embed, fit_encoder, load_encoder, save_encoder
from simreal.encode.settings import EncoderSettings
from simreal.match.bands import luminance
from simreal.match.recipe import Recipe
from simreal.match.run import match_pair
from simreal.testing import exchanged, nuisances, plant_side

KEY = ("kind", "size", "n", "seed")
SIZES = ("small", "middle", "large")
SEEN = 0.8
#: Neighbouring sizes of the search differ by this factor in the end.
CLOSE = 1.2
#: The search starts at the middle size and goes this far up and down from it.
FARTHEST = 32.0
KINDS = {one.name: one for one in nuisances()}
STATE = {}


def prepare_pair(folder, card_name, seed=0):
    """Match the halves of a survey once, without the last encoding, and fit the encoder."""
    folder = Path(folder)
    if not (folder / "sky_obs.h5").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        card = load_card(card_name)
        native = ingest(card, seed=seed, store=folder / "native.h5").images
        one, other = halves(native, seed=seed)
        recipe = Recipe(jpeg_quality=100)
        found = match_pair(one, other, views=(card.view, card.view), recipe=recipe, seed=seed)
        for name in ("sim", "obs", "sky_sim", "sky_obs"):
            write_set(folder / f"{name}.h5", getattr(found, name))
    if not (folder / "encoder").is_dir():
        sides = [read_set(folder / f"{name}.h5") for name in ("sim", "obs")]
        encoder = fit_encoder(
            "pca", [luminance(one) for one in sides], settings=EncoderSettings(threads=1), seed=seed
        )
        save_encoder(encoder, folder / "encoder")


def load_pair(folder):
    """Read the pair into this process, once."""
    folder = Path(folder)

    def in_memory(name):
        stored = read_set(folder / f"{name}.h5")
        return stored.replace(images=stored.images.read(slice(None)))

    STATE["sides"] = tuple(
        Side(stamps=in_memory(side), sky=in_memory(f"sky_{side}")) for side in ("sim", "obs")
    )
    STATE["encoder"] = load_encoder(folder / "encoder")


def most(folder):
    """Groups a side when all are dealt."""
    groups = [set(read_set(Path(folder) / f"{side}.h5").groups) for side in ("sim", "obs")]
    return len(groups[0] | groups[1]) // 2


def embedded(side):
    found: Embedding = embed(STATE["encoder"], luminance(side.stamps))
    return replace(side, embedding=found)


def trial(work):
    """Deal, plant, encode, embed, audit: one row. Kind "none" plants nothing."""
    kind, size, n, seed = work
    sim, obs = exchanged(*STATE["sides"], seed=seed, n=n)
    planted = "pedestal" if kind == "none" else kind
    sim = embedded(plant_side(sim, planted, size, seed=2 * seed))
    obs = embedded(plant_side(obs, planted, 0.0, seed=2 * seed + 1))
    given = Given(sim=sim, obs=obs, same_population=True, seed=seed)
    return audited(given, kind=kind, size=size, n=n, seed=seed)


def run_trials(work, kept, options):
    missing = [one for one in work if not kept.has(*one)]
    for row in spread(trial, missing, jobs=options.jobs, prepare=lambda: load_pair(options.pair)):
        kept.add(row)


def naming_work(options):
    return [
        (kind, size, options.n, seed)
        for seed in range(options.first, options.first + options.seeds)
        for kind in options.kinds
        for size in KINDS[kind].sizes
    ]


def alarm_work(options):
    seeds = range(options.first, options.first + options.clean)
    return [("none", 0.0, options.n, 1000 + seed) for seed in seeds]


def seen(row, by):
    right = KINDS[row["kind"]].check
    if by == "right":
        return row["checks"].get(right, {}).get("verdict") == "red"
    return row["verdict"] == "confounded"


def search(work):
    """Return the sizes of a nuisance that are seen 80 % of the time; rows are kept on the way."""
    kind, n, trials = work
    kept = STATE["detection"]

    def row(size, seed):
        if not kept.has(kind, size, n, seed):
            kept.add(trial((kind, size, n, seed)))
        return kept.get(kind, size, n, seed)

    def often(size, by):
        """Whether at least 80 % are seen; stops as soon as the answer is certain."""
        needed, count = int(np.ceil(SEEN * trials)), 0
        for k in range(trials):
            count += seen(row(size, k), by)
            if count >= needed or count + trials - 1 - k < needed:
                break
        return count >= needed

    right = smallest(lambda size: often(size, "right"), KINDS[kind])
    anyhow = smallest(lambda size: often(size, "any"), KINDS[kind])
    return {"kind": kind, "n": n, "right": right, "any": anyhow}


def smallest(often, nuisance):
    """Return the smallest size for which `often` holds, None where the largest is not seen."""
    start = nuisance.sizes[1]
    top = min(start * FARTHEST, nuisance.maximum)
    high = start
    while not often(high):
        if high >= top:
            return None
        high = min(2 * high, top)
    low = high / 2
    while often(low):
        high, low = low, low / 2
        if low < start / FARTHEST:
            return high
    while high / low > CLOSE:
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if often(middle) else (middle, high)
    return high


def run_detection(options):
    totals = options.groups or [100, 300, most(options.pair)]
    work = [(kind, n, options.trials) for n in totals for kind in options.kinds]

    def prepare():
        load_pair(options.pair)
        STATE["detection"] = Kept(options.out / "detection.jsonl", KEY)

    found = []
    for sizes in spread(search, work, jobs=options.jobs, prepare=prepare):
        found.append(sizes)
        (options.out / "detection.json").write_text(json.dumps(found, indent=1))


def naming_table(kept, options):
    """One row per nuisance: how often the right check is first, and what else was named."""
    lines = [
        "| nuisance | unit | right check | " + " | ".join(SIZES) + " | named instead |",
        "|---|---|---|" + "---|" * (len(SIZES) + 1),
    ]
    red, right, right_of_all = 0, 0, 0
    for kind in options.kinds:
        one, cells, others = KINDS[kind], [], Counter()
        for size in one.sizes:
            seeds = range(options.first, options.first + options.seeds)
            keys = [(kind, size, options.n, seed) for seed in seeds]
            rows = [kept.get(*key) for key in keys if kept.has(*key)]
            caught = [row for row in rows if row["verdict"] == "confounded"]
            named = sum(row["first"] == one.check for row in rows)
            red += len(caught)
            right += named
            right_of_all += sum(row["first_of_all"] == one.check for row in rows)
            others.update(row["first"] for row in caught if row["first"] != one.check)
            reach = np.median([check_of_first(row) for row in rows]) if rows else 0.0
            cells.append(f"{size:g}: {named} of {len(rows)} ({len(caught)} red, {reach:.1f})")
        instead = ", ".join(f"`{name}` {count}" for name, count in others.most_common(3))
        check = f"`{one.check}`"
        lines.append(f"| {kind} | {one.unit} | {check} | {' | '.join(cells)} | {instead} |")
    lines += [
        "",
        (
            "Cells: size, trials in which the right check is named first (trials called "
            "confounded, median exceedance of the check named first in units of its limit); "
            f"n = {options.n} a side."
        ),
        (
            f"Of the trials called confounded the right check is first in {share(right, red)}; "
            f"{share(right_of_all, red)} if checks that name no cause may be first."
        ),
    ]
    return "\n".join(lines)


def alarms_table(kept, options):
    rows = [kept.get(*key) for key in alarm_work(options) if kept.has(*key)]
    verdicts = Counter(row["verdict"] for row in rows)
    named = Counter(row["first"] for row in rows if row["first"])
    reds = Counter(
        f"{check}: {reading}"
        for row in rows
        for check, found in row["checks"].items()
        for reading in found["red"]
    )
    others = ", ".join(f"{name} {count}" for name, count in verdicts.most_common())
    lines = [
        (
            f"Of {len(rows)} pairs that carry nothing, n = {options.n} a side, "
            f"{share(verdicts['confounded'], len(rows))} are called confounded (all verdicts: "
            f"{others})."
        )
    ]
    if named:
        lines += ["", f"Named: {dict(named)}. Red readings: {dict(reds.most_common(8))}."]
    return "\n".join(lines)


def detection_table(options):
    path = Path(options.out) / "detection.json"
    if not path.is_file():
        return "Not run."
    found = {(row["kind"], row["n"]): row for row in json.loads(path.read_text())}
    sizes = sorted({n for _, n in found})
    columns = [f"n = {n}" for n in sizes]
    lines = [f"| nuisance | unit | {' | '.join(columns)} |", "|---|---|" + "---|" * len(sizes)]
    for kind in options.kinds:
        cells = []
        for n in sizes:
            row = found.get((kind, n))
            texts = [
                "–" if row is None or row[by] is None else f"{row[by]:.2g}"
                for by in ("right", "any")
            ]
            cells.append(" / ".join(texts))
        lines.append(f"| {kind} | {KINDS[kind].unit} | {' | '.join(cells)} |")
    lines += [
        "",
        (
            f"Smallest size that is red in {100 * SEEN:.0f} % of {options.trials} trials, by the "
            "check that must name it / by any check; – where the largest tried is not."
        ),
    ]
    return "\n".join(lines)


def seconds_table(kept):
    """Median seconds of every check by n: where the time goes."""
    times = {}
    for row in kept.rows.values():
        for name, found in row["checks"].items():
            times.setdefault((name, row["n"]), []).append(found["seconds"])
        times.setdefault(("battery", row["n"]), []).append(row["seconds"])
    if not times:
        return "Not run."
    sizes = sorted({n for _, n in times})
    lines = [
        f"| check | {' | '.join(f'n = {n} [s]' for n in sizes)} |",
        "|---|" + "---|" * len(sizes),
    ]
    for name in dict.fromkeys(name for name, _ in times):
        cells = [f"{np.median(times[name, n]):.2f}" if (name, n) in times else "–" for n in sizes]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("naming", "alarms", "detection", "tables", "all"))
    parser.add_argument("--pair", type=Path, required=True, help="folder of the matched pair")
    parser.add_argument("--card", default="sdss", help="the survey, where --pair is empty")
    parser.add_argument("--out", type=Path, required=True, help="folder of rows and results")
    parser.add_argument("--docs", type=Path, help="page with the markers, such as docs/audit.md")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--n", type=int, default=300, help="groups a side")
    parser.add_argument("--seeds", type=int, default=5, help="of every nuisance and size")
    parser.add_argument("--first", type=int, default=0, help="first of these seeds")
    parser.add_argument("--clean", type=int, default=100, help="pairs that carry nothing")
    parser.add_argument("--trials", type=int, default=10, help="of every size searched")
    parser.add_argument("--groups", type=int, nargs="*", help="n of the detection table")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    return parser.parse_args()


def main():
    options = parse()
    prepare_pair(options.pair, options.card)
    kept = {name: Kept(options.out / f"{name}.jsonl", KEY) for name in ("naming", "alarms")}
    if options.what in ("naming", "all"):
        run_trials(naming_work(options), kept["naming"], options)
    if options.what in ("alarms", "all"):
        run_trials(alarm_work(options), kept["alarms"], options)
    if options.what in ("detection", "all"):
        run_detection(options)
    tables = {
        "planted-naming": naming_table(kept["naming"], options),
        "planted-alarms": alarms_table(kept["alarms"], options),
        "planted-detection": detection_table(options),
        "planted-seconds": seconds_table(kept["naming"]),
    }
    for marker, text in tables.items():
        between(options.docs, marker, text)


if __name__ == "__main__":
    main()
