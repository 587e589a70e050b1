"""Synthetic galaxies with known PSFs: a PSF 10 % too broad, noise 2 % too loud, or neither.

    python benchmarks/audit/synthetic.py --out runs/synthetic --jobs 2 [--trials 40] [--n 1000]
        [--first 200] [--universe 1]

Galaxies, neighbours and stars of the toy universe are rendered once without noise, under the
PSF and under one that is broader by `--psf`. Every trial draws two disjoint samples of `--n`
galaxies and as many pieces of empty sky, adds correlated noise (that of one side louder by
`--noise`), maps both to 8-bit composites, encodes them as JPEG of quality 90 and runs the fast
battery. The setups do not tell: `--declared alike` has both sides declare the PSF and the noise of
the other, observed one, as a pipeline does that got its PSF wrong; `--declared none` leaves both
out. Conditions are those of every image alike, unless `--seeing-scatter` and `--sky-scatter` let
them vary from image to image. `--universe` renders other galaxies: what was settled on one pool is
to be confirmed on another.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from trials import Kept, audited, between, share, spread

from simreal.audit.contract import Given, Side
from simreal.core.images import ImageSet, Setup
from simreal.core.seeding import stream
from simreal.data.toy_universe.observe import add_noise, display, display_noise
from simreal.data.toy_universe.options import BANDS, Camera, ToyOptions
from simreal.data.toy_universe.population import draw_population
from simreal.data.toy_universe.render import render
from simreal.data.toy_universe.sight import draw_sight, sight_stream
from simreal.encode.run import embed, fit_encoder, load_encoder, save_encoder
from simreal.encode.settings import EncoderSettings
from simreal.match.bands import luminance
from simreal.match.pixels import requantise

CAMERA = Camera(pixel_scale=0.396, stamp=64)
KEY = ("kind", "seed", "n", "size", "scatter", "declared", "universe")
#: [magnitude] As good as nothing: a sight with its neighbours and stars and no galaxy.
INVISIBLE = 60.0
BLOCK = 100
STATE = {}


def options_of(given):
    """The toy survey, with more stars, since a stamp holds a third of its field."""
    return ToyOptions(
        n_galaxies=given.pool,
        seeing_scatter=given.seeing_scatter,
        sky_scatter=given.sky_scatter,
        stars=1.0,
    )


def sights_of(given, part):
    """The conditions of every image; those of its sky are not those of its galaxy."""
    options, sights = options_of(given), []
    for i in range(given.pool):
        rng = sight_stream(given.universe, f"synthetic {part}", i, 0)
        sights.append(draw_sight(options, CAMERA, geometry="sky", rng=rng))
    return sights


def rendered(given, part, broader):
    """Flux without noise ``(n, band, y, x)``."""
    options = options_of(given)
    galaxies = draw_population(options, name="synthetic", seed=given.universe)
    images = np.empty((given.pool, len(BANDS), CAMERA.stamp, CAMERA.stamp), np.float32)
    for i, (galaxy, sight) in enumerate(zip(galaxies, sights_of(given, part), strict=True)):
        wide = dataclasses.replace(sight, seeing=sight.seeing * (1 + broader))
        if part == "sky":
            galaxy = dataclasses.replace(galaxy, magnitude=INVISIBLE)
        images[i] = render(galaxy, wide, CAMERA, psf=options.psf, colour_offset=0.0)
    return images


def pool_path(given, part, broader):
    conditions = f"{given.seeing_scatter:g}-{given.sky_scatter:g}-{broader:g}"
    return given.out / f"{part}-{given.universe}-{given.pool}-{conditions}.npy"


def prepare_pool(given):
    """Render what is not there yet, and fit the encoder on images that carry nothing."""
    given.out.mkdir(parents=True, exist_ok=True)
    for part in ("stamps", "sky"):
        for broader in (0.0, given.psf):
            path = pool_path(given, part, broader)
            if not path.is_file():
                np.save(path, rendered(given, part, broader))
    folder = given.out / "encoder"
    if not folder.is_dir():
        load_pool(given)
        sample = observed("encoder", np.arange(min(given.pool, 1000)), 0.0, 0.0, seed=0).stamps
        settings = EncoderSettings(threads=1)
        save_encoder(fit_encoder("pca", [luminance(sample)], settings=settings, seed=0), folder)


def load_pool(given):
    STATE["given"] = given
    for part in ("stamps", "sky"):
        STATE[part, "sights"] = sights_of(given, part)
        for broader in (0.0, given.psf):
            STATE[part, broader] = np.load(pool_path(given, part, broader))
    if (given.out / "encoder").is_dir():
        STATE["encoder"] = load_encoder(given.out / "encoder")


def observed(name, rows, broader, louder, *, seed):
    """One side: noise, display, last encoding, and what its setup says of it."""
    sets = {}
    for part in ("stamps", "sky"):
        images, sights = STATE[part, broader], [STATE[part, "sights"][row] for row in rows]
        rms = np.array([sight.sky_rms for sight in sights])
        rng = stream(seed, "synthetic", name, part)
        shown = np.empty((len(rows), *images.shape[1:]), np.float32)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            white = rng.standard_normal((len(block), *images.shape[1:]), dtype=np.float32)
            flux = add_noise(
                images[block],
                white,
                sky_rms=rms[start : start + len(block)] * (1 + louder),
                correlation=ToyOptions().noise_correlation,
            )
            eight_bit = display(flux / np.float32(CAMERA.pixel_scale**2))
            shown[start : start + len(block)] = requantise(eight_bit / np.float32(255), quality=90)
        ids = np.array([f"{row:05d}" for row in rows])
        sets[part] = ImageSet(
            name=f"{name} {part}",
            role="observed",
            sampling="random",
            images=shown,
            ids=ids,
            groups=ids,
            setup=declared(sights, rms),
        )
    return Side(stamps=sets["stamps"], sky=sets["sky"])


def declared(sights, rms):
    """What both sides say of themselves: nothing, or the truth about the observed one."""
    setup = Setup(track="rgb", bands=BANDS, unit="display")
    if STATE["given"].declared == "none":
        return setup
    widths = np.array([sight.seeing for sight in sights]) / CAMERA.pixel_scale
    return setup.replace(
        psf_fwhm=np.repeat(widths[:, None], len(BANDS), axis=1),
        noise=display_noise(rms / CAMERA.pixel_scale**2),
    )


def trial(work):
    kind, seed = work
    given = STATE["given"]
    order = stream(seed, "synthetic", "draw").permutation(given.pool)
    first, second = np.sort(order[: given.n]), np.sort(order[given.n : 2 * given.n])
    broader = given.psf if kind == "psf" else 0.0
    louder = given.noise if kind == "noise" else 0.0
    sides = [
        observed("sim", first, broader, louder, seed=seed),
        observed("obs", second, 0.0, 0.0, seed=seed),
    ]
    sim, obs = (
        dataclasses.replace(side, embedding=embed(STATE["encoder"], luminance(side.stamps)))
        for side in sides
    )
    audit = Given(sim=sim, obs=obs, same_population=True, seed=seed)
    return audited(audit, **about(given, kind, seed))


def seeds_of(given):
    return range(given.first, given.first + given.trials)


def about(given, kind, seed):
    size = {"psf": given.psf, "noise": given.noise, "none": 0.0}[kind]
    scatter = f"{given.seeing_scatter:g}, {given.sky_scatter:g}"
    return {
        "kind": kind,
        "seed": seed,
        "n": given.n,
        "size": size,
        "scatter": scatter,
        "declared": given.declared,
        "universe": given.universe,
    }


def table(kept, given):
    lines = [
        "| planted | called confounded | named first | median seconds |",
        "|---|---|---|---|",
    ]
    words = {
        "psf": f"PSF broader by {100 * given.psf:g} %",
        "noise": f"noise louder by {100 * given.noise:g} %",
        "none": "nothing",
    }
    for kind, meaning in words.items():
        keys = [tuple(about(given, kind, seed)[k] for k in KEY) for seed in seeds_of(given)]
        rows = [kept.get(*key) for key in keys if kept.has(*key)]
        caught = [row for row in rows if row["verdict"] == "confounded"]
        names = sorted({row["first"] for row in caught})
        counted = ", ".join(f"`{x}` {sum(row['first'] == x for row in caught)}" for x in names)
        seconds = np.median([row["seconds"] for row in rows]) if rows else np.nan
        lines.append(f"| {meaning} | {share(len(caught), len(rows))} | {counted} | {seconds:.0f} |")
    said = {"alike": "declared alike on both sides", "none": "declared on neither side"}
    lines += [
        "",
        f"n = {given.n} a side, {given.trials} trials each; PSF and noise {said[given.declared]}.",
    ]
    return "\n".join(lines)


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the pool and the rows")
    parser.add_argument("--docs", type=Path, help="page with the markers, such as docs/audit.md")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--trials", type=int, default=40, help="of every kind")
    parser.add_argument("--first", type=int, default=0, help="seed of the first trial")
    parser.add_argument("--universe", type=int, default=0, help="seed of the galaxies rendered")
    parser.add_argument("--kinds", nargs="*", default=["psf", "noise", "none"])
    parser.add_argument("--n", type=int, default=1000, help="galaxies a side")
    parser.add_argument("--pool", type=int, default=2400, help="galaxies rendered")
    parser.add_argument("--psf", type=float, default=0.1, help="part of the FWHM")
    parser.add_argument("--noise", type=float, default=0.02, help="part of the sky rms")
    parser.add_argument(
        "--declared", choices=("alike", "none"), default="alike", help="what the setups say"
    )
    parser.add_argument("--seeing-scatter", type=float, default=0.0, help="of its natural log")
    parser.add_argument("--sky-scatter", type=float, default=0.0, help="of its natural log")
    return parser.parse_args()


def main():
    given = parse()
    prepare_pool(given)
    kept = Kept(given.out / "trials.jsonl", KEY)
    work = [
        (kind, seed)
        for seed in seeds_of(given)
        for kind in given.kinds
        if not kept.has(*(about(given, kind, seed)[name] for name in KEY))
    ]
    for row in spread(trial, work, jobs=given.jobs, prepare=lambda: load_pool(given)):
        kept.add(row)
    between(given.docs, "synthetic-trials", table(kept, given))


if __name__ == "__main__":
    main()
