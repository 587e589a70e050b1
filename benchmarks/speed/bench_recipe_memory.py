"""Peak memory and time of matching calibrated stamps, by their number, each in a fresh process.

``functions``: the array functions one after another, block by block from and to files: placement,
PSF per object, resampling, shot noise, correlated noise measured on survey sky, fixed stretch.
``recipe``: the whole `match_flux` of an idealised and an observed set on the store, half of the
stamps on each side. Stamps are 3-band and 128 x 128; 10,000 of them take 2 GB alone, so that
staying below means streaming. Writing the stamps is another process and does not count.

    python benchmarks/speed/bench_recipe_memory.py [--n 1000 2000] [--what recipe] [--json]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIDE, BLOCK, STAMP = 128, 64, 64
BANDS = ("sdss-g", "sdss-r", "sdss-i")
SCALE, Z, NOISE, SEEING = 0.396, 0.05, 15.0, 3.3
GOAL = 2.0


def galaxies(n, rng):
    """Return idealised exponential discs [nJy / pixel], float32 ``(n, 3, y, x)``."""
    grid = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
    size, ratio = rng.uniform(4, 7, n), rng.uniform(0.4, 1, n)
    peak = 10 ** rng.uniform(2.3, 3.3, (n, 3, 1, 1))
    dx = grid / size[:, None, None]
    dy = grid[:, None] / (size * ratio)[:, None, None]
    return (peak * np.exp(-np.hypot(dx, dy))[:, None]).astype(np.float32)


def blocks(n):
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]


# -- The array functions, block by block ----------------------------------------------------


def write_blocks(folder, n):
    rng = np.random.default_rng(0)
    with (folder / "ideal.bin").open("wb") as out:
        for rows in blocks(n):
            out.write(galaxies(rows.stop - rows.start, rng).tobytes())


def run_functions(folder, n):
    from simreal.match.convolution import convolve_each
    from simreal.match.correlated_noise import (
        blank_regions,
        draw,
        measured,
        missing,
        shot_noise,
        through,
        white,
    )
    from simreal.match.pixels import resample
    from simreal.match.placement import physical_scale, place
    from simreal.match.psf_kernels import profile_from_fwhm, width_kernels
    from simreal.match.stretch import fixed_asinh

    rng = np.random.default_rng(1)
    survey = draw(through(white([NOISE] * 3), profile_from_fwhm([1.5], 9)), 64, (SIDE, SIDE), rng)
    spectrum = measured(survey, blank_regions(survey))
    added = missing(white([0.0] * 3), spectrum).spectrum
    kpc = physical_scale(SCALE, redshift=Z)
    target = rng.uniform(3.0, 4.0, n)
    placed = place(kpc, z_from=Z, z_to=rng.uniform(0.05, 0.08, n))
    width = 100.0 * placed.pixel_scale / SCALE
    width = np.minimum(width, 120.0)
    with (folder / "ideal.bin").open("rb") as source, (folder / "matched.bin").open("wb") as out:
        for rows in blocks(n):
            count = rows.stop - rows.start
            images = np.fromfile(source, np.float32, count * 3 * SIDE**2)
            images = images.reshape(count, 3, SIDE, SIDE)
            images *= placed.flux_factor[rows, None, None, None].astype(np.float32)
            images = convolve_each(images, width_kernels(0.0, target[rows], 31)[:, None])
            middle = np.full(count, (SIDE - 1) / 2)
            images = resample(
                images, x=middle, y=middle, width=width[rows], n_out=STAMP, conserve="flux"
            )
            images = shot_noise(images, 0.05, rng) + draw(added, count, (STAMP, STAMP), rng)
            out.write(fixed_asinh(images, 3 * spectrum.rms).tobytes())


# -- The recipe on stored sets --------------------------------------------------------------


def described(name, n, **setup):
    from astropy.table import QTable

    from simreal.core.images import Setup
    from simreal.data.store import Description

    ids = np.array([f"{name}-{k:05d}" for k in range(n)])
    return Description(
        name=name,
        role="simulated" if name == "sim" else "observed",
        sampling="random",
        ids=ids,
        groups=ids,
        setup=Setup(
            track="flux", bands=BANDS, unit="nJy / pix", display="linear", pixel_scale=SCALE,
            redshift=Z, **setup,
        ),
        properties=QTable({"id": ids}),
    )  # fmt: skip


def write_sets(folder, n):
    from simreal.data.store import StoreWriter
    from simreal.match.convolution import convolve_each
    from simreal.match.psf_kernels import profile_from_fwhm

    rng = np.random.default_rng(0)
    n //= 2
    kernel = profile_from_fwhm([SEEING], 31)[None]
    for name in ("sim", "obs"):
        ideal = name == "sim"
        setup = {"rendition": "idealised"} if ideal else {
            "psf_fwhm": np.full(3, SEEING), "noise": np.full(3, NOISE), "rendition": "survey",
        }  # fmt: skip
        with StoreWriter(folder / f"{name}.h5", dtype="float32") as writer:
            for rows in blocks(n):
                images = galaxies(rows.stop - rows.start, rng)
                if not ideal:
                    images = convolve_each(images, kernel)
                    noise = rng.standard_normal(images.shape, dtype=np.float32)
                    images += np.float32(NOISE) * noise
                writer.append(images)
            writer.finish(described(name, n, **setup))


def run_recipe(folder, n):
    del n
    from simreal.core.cards import View
    from simreal.data.store import read_set
    from simreal.match.flux.run import match_flux
    from simreal.match.recipe import Recipe

    sim, obs = (read_set(folder / f"{name}.h5") for name in ("sim", "obs"))
    view = View(geometry="sky", bands=BANDS, unit="nJy / pix", display="linear")
    match_flux(sim, obs, views=(view, view), recipe=Recipe(stamp=STAMP), seed=0)


WRITERS = {"functions": write_blocks, "recipe": write_sets}
RUNNERS = {"functions": run_functions, "recipe": run_recipe}


def child(what, step, folder, n):
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (WRITERS if step == "write" else RUNNERS)[what](Path(folder), n)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "what": what, "n": n, "peak_gb": round(used.ru_maxrss / 2**20, 3),
        "python_gb": round(before / 2**20, 3), "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
    }))  # fmt: skip


def in_a_process(what, step, folder, n):
    command = [sys.executable, __file__, "--child", what, step, str(folder), str(n)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, nargs="+", default=[1000, 2000, 4000])
    parser.add_argument("--what", nargs="+", choices=sorted(RUNNERS), default=sorted(RUNNERS))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, step, folder, n = options.child
        child(what, step, folder, int(n))
        return
    found = []
    for what in options.what:
        for n in options.n:
            with tempfile.TemporaryDirectory() as folder:
                in_a_process(what, "write", folder, n)
                found.append(in_a_process(what, "run", folder, n))
    if options.json:
        print(json.dumps(found))
        return
    for one in found:
        print(
            f"{one['what']:9} {one['n']:6} stamps: {one['peak_gb']} GB at most (goal {GOAL:g} at "
            f"10,000), {one['seconds']} s, {1000 * one['cpu_seconds'] / one['n']:.1f} ms of CPU a "
            "stamp"
        )


if __name__ == "__main__":
    main()
