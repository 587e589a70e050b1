"""Convolution of stamps, each with its own kernel, against astropy's convolve_fft image by image.

All take turns in one process on the same images and kernels; results must agree to single
precision, and the figures are medians of the ratios inside a turn. The peer is raced as one calls
it, and told that there are no missing pixels and no kernel to normalise, which makes it faster.
Zeros beyond the field; then mirrors, which the peer has to be given as a wider image; then kernels
that are not mirror images of themselves, like stamps of real PSFs; then missing pixels.

    python benchmarks/speed/bench_psf_matching.py [--turns 7] [--json]
"""

import argparse
import json
import time

import numpy as np
from astropy.convolution import convolve_fft

from simreal.match.convolution import convolve_each, convolve_masked
from simreal.match.psf_kernels import matching_kernels, profile_from_fwhm, width_kernels

#: side of the stamps, number of stamps for us and for the peer, side of the kernels, goal
CASES = ((64, 256, 48, 31, 15.0), (128, 96, 24, 31, 0.0), (256, 24, 8, 31, 5.0))
FASTER = {"boundary": "fill", "nan_treatment": "fill", "normalize_kernel": False}


def with_astropy(images, kernels, **options):
    return np.stack(
        [convolve_fft(i[0], k[0], **options)[None] for i, k in zip(images, kernels, strict=True)]
    )


def with_mirrors(images, kernels):
    half = kernels.shape[-1] // 2
    wide = np.pad(images, ((0, 0), (0, 0), (half, half), (half, half)), mode="symmetric")
    return with_astropy(wide, kernels)[:, :, half:-half, half:-half]


def with_holes(images, kernels, mask):
    return np.stack(
        [
            convolve_fft(i[0], k[0], boundary="wrap", mask=m[0])[None]
            for i, k, m in zip(images, kernels, mask, strict=True)
        ]
    )


def timed(function, *arguments, **options):
    start = time.perf_counter()
    result = function(*arguments, **options)
    return time.perf_counter() - start, result


def contestants(images, kernels, uneven, mask):
    """Return ours and theirs by name: functions of the rows to work on."""
    holes = np.where(mask, np.float32(0), images)
    ours = {
        "zeros": lambda r: convolve_each(images[r], kernels[r], edges="zero"),
        "zeros, uneven": lambda r: convolve_each(images[r], uneven[r], edges="zero"),
        "mirrors": lambda r: convolve_each(images[r], kernels[r]),
        "missing": lambda r: convolve_masked(holes[r], kernels[r], mask=mask[r], edges="wrap")[0],
    }
    theirs = {
        "zeros": lambda r: with_astropy(images[r], kernels[r]),
        "zeros, told more": lambda r: with_astropy(images[r], kernels[r], **FASTER),
        "zeros, uneven": lambda r: with_astropy(images[r], uneven[r]),
        "mirrors": lambda r: with_mirrors(images[r], kernels[r]),
        "missing": lambda r: with_holes(images[r], kernels[r], mask[r]),
    }
    return ours, theirs


def compare(side, n, n_peer, k, *, turns):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(n, 1, side, side)).astype(np.float32)
    images[:, 0, side // 2, side // 2] += 100.0
    source = rng.uniform(2.0, 3.0, n)
    kernels = np.abs(width_kernels(source, source * rng.uniform(1.2, 1.8, n), k)[:, None])
    uneven = kernels.copy()
    uneven[:, :, k // 2, k // 2 + 1] += 1e-3
    kernels, uneven = (q / q.sum((2, 3), keepdims=True) for q in (kernels, uneven))
    mask = rng.random(images.shape) < 0.01
    ours, theirs = contestants(images, kernels, uneven, mask)
    ratios, apart, mine = {name: [] for name in theirs}, {}, []
    for _ in range(turns + 1):  # the first turn warms up
        seconds, found = {}, {}
        for name, function in ours.items():
            spent, found[name] = timed(function, slice(n))
            seconds[name] = spent / n
        mine.append(seconds["zeros"])
        for name, function in theirs.items():
            own = name if name in ours else "zeros"
            spent, expected = timed(function, slice(n_peer))
            ratios[name].append(spent / n_peer / seconds[own])
            got = found[own][:n_peer]
            good = ~mask[:n_peer] if own == "missing" else np.ones(got.shape, bool)
            apart[name] = float(np.abs(got - expected)[good].max() / np.abs(expected).max())
    pairs = profile_from_fwhm(np.stack([source, 1.5 * source]).ravel(), k).reshape(2, n, 1, k, k)
    making, _ = timed(matching_kernels, pairs[0], pairs[1])
    return {
        "side": side,
        "n": n,
        "kernel": k,
        "milliseconds_per_image": round(1000 * float(np.median(mine[1:])), 4),
        "ratios": {name: round(float(np.median(r[1:])), 1) for name, r in ratios.items()},
        "largest_difference": float(f"{max(apart.values()):.2g}"),
        "wiener_milliseconds_per_kernel": round(1000 * making / n, 3),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    found = [compare(*case[:4], turns=options.turns) for case in CASES]
    if options.json:
        print(json.dumps(found))
        return
    for one, (*_, goal) in zip(found, CASES, strict=True):
        print(
            f"{one['side']} px, kernels of {one['kernel']} px: "
            f"{one['milliseconds_per_image']} ms an image, results within "
            f"{one['largest_difference']:.1e} of the peak" + (f", goal {goal:g} x" if goal else "")
        )
        for name, ratio in one["ratios"].items():
            print(f"  {name:18} {ratio} times as fast")
        print(f"  a Wiener kernel with its report {one['wiener_milliseconds_per_kernel']} ms")


if __name__ == "__main__":
    main()
