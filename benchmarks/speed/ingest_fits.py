"""Ingesting many small FITS files against a bare astropy header-and-data read of the same files.

    python benchmarks/speed/ingest_fits.py [--files 10000] [--side 64] [--packed] [--json]

Both sides read the same files in turns within one process; the figure is the median over rounds of
the ratio within a round. The peer opens each file with astropy, takes the header and the pixels as
float32, and keeps nothing. Ingest does that and all the rest: structure and checksums, WCS, unit,
checks of the pixels, repeats, the store with its digests. The growth of the cost is fitted between
a tenth of the files and all of them.
"""

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

from simreal.core.cards import Calibration, Card, Credit, Files, View
from simreal.data.ingest import ingest

GOAL = 2.0


def write_files(folder: Path, n: int, side: int, ending: str) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRPIX1"], header["CRPIX2"], header["CRVAL1"], header["CRVAL2"] = 1.0, 1.0, 150.0, 2.0
    header["CD1_1"], header["CD2_2"] = -0.2 / 3600, 0.2 / 3600
    header["BUNIT"] = "nJy"
    for i in range(20):  # What surveys leave in a header, and nobody reads.
        header[f"KEY{i:03d}"] = (i * math.pi, "a value and a comment")
    for i in range(n):
        pixels = rng.normal(0, 1, (side, side)).astype(">f4")
        fits.PrimaryHDU(pixels, header).writeto(folder / f"g_{i:06d}{ending}")


def make_card(folder: str, ending: str) -> Card:
    return Card(
        name="bench",
        title="Noise",
        role="observed",
        track="flux",
        sampling="random",
        sampling_note="noise",
        files=Files(
            adapter="fits_stamps",
            folder=folder,
            pattern=f"*{ending}",
            options={"path": f"g_{{id}}{ending}"},
        ),
        view=View(geometry="sky", bands=("lsst-r",), unit="nJy / pix", display="linear"),
        calibration=Calibration(
            unit="header", pixel_scale_from="wcs", mask="none", already_dimmed=True
        ),
        credit=Credit(citation=(), licence="none", fetch="Made here."),
    )


def bare_read(folder: Path) -> float:
    total = 0.0
    for path in sorted(folder.iterdir()):
        with fits.open(path, memmap=False) as hdus:
            total += hdus[0].header["CD2_2"]
            total += float(hdus[0].data.astype(np.float32)[0, 0])
    return total


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--packed", action="store_true", help="gzipped files")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ending = ".fits.gz" if options.packed else ".fits"
    few = max(1, options.files // 10)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        os.environ["SIMREAL_DATA"] = name
        write_files(root / "all", options.files, options.side, ending)
        write_files(root / "few", few, options.side, ending)
        store = root / "store.h5"

        def whole(folder: str) -> int:
            return len(ingest(make_card(folder, ending), seed=0, store=store).images)

        assert whole("few") == few
        bare_read(root / "few")
        rounds = [
            (
                seconds(lambda: whole("all")),
                seconds(lambda: bare_read(root / "all")),
                seconds(lambda: whole("few")),
            )
            for _ in range(options.rounds)
        ]
    figures = {
        "files": options.files,
        "side": options.side,
        "ingest_seconds": round(statistics.median(r[0] for r in rounds), 2),
        "bare_read_seconds": round(statistics.median(r[1] for r in rounds), 2),
        "times_bare_read": round(statistics.median(r[0] / r[1] for r in rounds), 2),
        "goal": {"times_bare_read": GOAL},
        "growth_exponent": round(
            statistics.median(
                math.log(r[0] / r[2]) / math.log(options.files / few) for r in rounds
            ),
            2,
        ),
    }
    if options.json:
        print(json.dumps(figures))
        return
    print(f"ingest    {figures['ingest_seconds']:8.2f} s for {options.files} files")
    print(f"bare read {figures['bare_read_seconds']:8.2f} s")
    print(f"{figures['times_bare_read']} x the bare read (goal <= {GOAL:g})")
    print(f"cost grows as n^{figures['growth_exponent']}")


if __name__ == "__main__":
    main()
