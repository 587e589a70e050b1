"""Resampling to other pixels by overlap matrices against reproject_exact image by image.

Axis-aligned grids, a frame cut out around a fractional centre. Both take turns in one process;
surface brightness must agree, the flux of the frame is checked against that of a frame which holds
the whole source, and the figure is the median of the ratios inside a turn.

    python benchmarks/speed/bench_resampling.py [--turns 5] [--json]
"""

import argparse
import json
import time

import numpy as np
from astropy.wcs import WCS
from reproject import reproject_exact

from simreal.match.pixels import resample

#: side of the images, of the frames, number of images for us and for the peer
CASES = ((64, 40, 256, 4), (128, 90, 128, 3), (256, 150, 48, 2))
GOAL = 100.0


def plane(x, y, step):
    """Return a WCS in which pixel (x, y) of the input is the middle, with pixels of `step`."""
    wcs = WCS(naxis=2)
    # Cartesian and tiny, so that squares on the sphere are squares to 1e-9.
    wcs.wcs.ctype = ["RA---CAR", "DEC--CAR"]
    wcs.wcs.cdelt = [-1e-5 * step, 1e-5 * step]
    wcs.wcs.crpix = [x + 1, y + 1]
    wcs.wcs.crval = [0.0, 0.0]
    return wcs


def with_reproject(images, x, y, width, n_out):
    """Return brightness, one image and band after the other."""
    out = np.empty((*images.shape[:2], n_out, n_out))
    for k, image in enumerate(images):
        middle = (n_out - 1) / 2
        target = plane(middle, middle, width[k] / n_out)
        for b, band in enumerate(image):
            out[k, b], _ = reproject_exact(
                (band, plane(x[k], y[k], 1.0)), target, shape_out=(n_out, n_out)
            )
    return out


def timed(function, *arguments, **options):
    start = time.perf_counter()
    result = function(*arguments, **options)
    return time.perf_counter() - start, result


def scene(n, side, rng):
    """Return Gaussians that are small against their image, float32 ``(n, 1, side, side)``."""
    grid = np.arange(side) - (side - 1) / 2
    sigma = rng.uniform(0.04, 0.06, n)[:, None, None] * side
    dx, dy = rng.uniform(-2, 2, (2, n, 1, 1))
    square = (grid[:, None] - dy) ** 2 + (grid - dx) ** 2
    return np.exp(-0.5 * square / sigma**2).astype(np.float32)[:, None]


def compare(side, n_out, n, n_peer, *, turns):
    rng = np.random.default_rng(0)
    images = scene(n, side, rng)
    x, y = (side - 1) / 2 + rng.uniform(-0.5, 0.5, (2, n))
    width = rng.uniform(0.85, 0.95, n) * (side - 1)
    ratios, mine, apart = [], [], 0.0
    for _ in range(turns + 1):  # the first turn warms up
        seconds, ours = timed(resample, images, x=x, y=y, width=width, n_out=n_out)
        some = slice(n_peer)
        slow, theirs = timed(with_reproject, images[some], x[some], y[some], width[some], n_out)
        mine.append(seconds / n)
        ratios.append((slow / n_peer) / (seconds / n))
        apart = max(apart, float(np.abs(ours[some] - theirs).max() / theirs.max()))
    flux = resample(images, x=x, y=y, width=width, n_out=n_out, conserve="flux")
    # In double precision and pixel by pixel of the frame: what the frame holds, exactly.
    exact = resample(images.astype("f8"), x=x, y=y, width=width, n_out=1, conserve="flux")
    lost = np.abs(flux.sum((2, 3), dtype="f8") / exact[..., 0, 0] - 1).max()
    return {
        "side": side,
        "frame": n_out,
        "n": n,
        "milliseconds_per_image": round(1000 * float(np.median(mine[1:])), 4),
        "ratio": round(float(np.median(ratios[1:])), 1),
        "largest_difference": float(f"{apart:.2g}"),
        "flux_error": float(f"{lost:.2g}"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    found = [compare(*case, turns=options.turns) for case in CASES]
    if options.json:
        print(json.dumps(found))
        return
    for one in found:
        print(
            f"{one['side']} px to {one['frame']} px: {one['ratio']} times as fast (goal {GOAL:g}), "
            f"brightness within {one['largest_difference']:.1e} of the peak, flux to "
            f"{one['flux_error']:.1e}"
        )


if __name__ == "__main__":
    main()
