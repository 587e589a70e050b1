"""System B: what SimMIM and MAE tell of the hidden parts of SDSS images they have not seen.

    python benchmarks/systems/reconstruct.py --out runs/systems [--passes 12000] [--strips FOLDER]

Half of the galaxies train, the others are shown with as many patches hidden as in training. Errors
are those of hidden pixels, on the display scale from 0 to 1, beside two that know nothing: the mean
of the visible pixels of the image, and linear interpolation between them. `--strips` draws the
first eight galaxies: as they are, as shown to the network, as told, as interpolated. Needs
SIMREAL_DATA.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from real_images import Store, clock, halves, score, sdss_stamps
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.stats import t as student

from simreal.core.seeding import stream
from simreal.encode.foreground import foreground
from simreal.encode.run import fit_encoder, load_encoder, save_encoder
from simreal.encode.settings import EncoderSettings

SHOWN = 8


def mean_score(values):
    """Return the mean over images with Student's interval."""
    n, mean = len(values), float(np.mean(values))
    reach = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return {"value": mean, "low": mean - reach, "high": mean + reach, "n": n}


def averaged(images, hidden):
    """Fill hidden pixels with the mean of the visible ones of their image and band."""
    seen = np.where(hidden, np.nan, images)
    return np.where(hidden, np.nanmean(seen, axis=(2, 3), keepdims=True), images)


def interpolated(images, hidden):
    """Fill hidden pixels linearly from the visible ones; at the rim from the nearest."""
    filled = images.copy()
    for image, out, target in zip(images, hidden[:, 0], filled, strict=True):
        seen, wanted = np.argwhere(~out), np.argwhere(out)
        values = image[:, ~out].T
        told = LinearNDInterpolator(seen, values)(wanted)
        rim = np.isnan(told).any(axis=1)
        if rim.any():
            told[rim] = NearestNDInterpolator(seen, values)(wanted[rim])
        target[:, out] = told.T
    return filled


def errors(told, images, where):
    """Return per image the root-mean-square and the mean absolute error over `where`."""
    chosen = np.broadcast_to(where, images.shape)
    away, count = np.where(chosen, told - images, 0.0), chosen.sum(axis=(1, 2, 3)).clip(1)
    kept = chosen.any(axis=(1, 2, 3))
    rms = np.sqrt((away**2).sum(axis=(1, 2, 3)) / count)[kept]
    return {
        "rms": mean_score(rms),
        "absolute": mean_score((np.abs(away).sum(axis=(1, 2, 3)) / count)[kept]),
    }


def encoder_of(name, folder, passes, row):
    kept = folder / f"{name}-half-{passes}"
    if not (kept / "card.json").is_file():
        training, _ = halves(sdss_stamps())
        settings = EncoderSettings(image_passes=passes, threads=1)
        with clock(row):
            save_encoder(fit_encoder(name, [training], settings=settings, seed=0), kept)
    return load_encoder(kept)


def measure(name, folder, passes):
    row = {"encoder": name, "passes": passes}
    encoder, (_, unseen) = encoder_of(name, folder, passes, row), halves(sdss_stamps())
    images = np.asarray(unseen.images.read(slice(None)))
    found = encoder.reconstruct(unseen.images, rng=stream(0, "system B", name))
    galaxy = foreground(torch.from_numpy(images.copy())).numpy() & found.hidden
    for told, filled in {
        "network": found.pictures,
        "mean of the visible": averaged(images, found.hidden),
        "interpolation": interpolated(images, found.hidden),
    }.items():
        row[told] = {
            "hidden": errors(filled, images, found.hidden),
            "hidden galaxy": errors(filled, images, galaxy),
        }
    return row | {"hidden_share": float(found.hidden.mean())}


def markdown(kept):
    lines = ["| encoder | filled by | hidden pixels, rms | absolute | in the galaxy, rms |"]
    lines.append("|---" * 5 + "|")
    for row in kept.values():
        for name in ("network", "mean of the visible", "interpolation"):
            hidden, galaxy = row[name]["hidden"], row[name]["hidden galaxy"]
            cells = (hidden["rms"], hidden["absolute"], galaxy["rms"])
            said = " | ".join(score(each, 4) for each in cells)
            lines.append(f"| {row['encoder']} | {name} | {said} |")
    return "\n".join(lines) + "\n"


def strips(folder, encoders):
    from matplotlib.figure import Figure

    _, unseen = halves(sdss_stamps())
    few = unseen.rows(np.arange(SHOWN))
    images = np.asarray(few.images.read(slice(None)))
    folder.mkdir(parents=True, exist_ok=True)
    for name, encoder in encoders.items():
        found = encoder.reconstruct(few.images, rng=stream(0, "system B", name))
        rows = {
            "as it is": images,
            "shown": np.where(found.hidden, 0.5, images),
            "told": found.pictures,
            "interpolated": interpolated(images, found.hidden),
        }
        figure = Figure(figsize=(1.2 * SHOWN, 5.0), layout="constrained")
        panels = figure.subplots(len(rows), SHOWN)
        for line, (said, pictures) in zip(panels, rows.items(), strict=True):
            line[0].set_ylabel(said)
            for axes, picture in zip(line, pictures, strict=True):
                axes.imshow(np.clip(np.moveaxis(picture, 0, -1), 0, 1))
                axes.set(xticks=[], yticks=[])
        figure.suptitle(f"{name}: held-out SDSS galaxies, {row_share(found):.0f} % hidden")
        figure.savefig(folder / f"{name}.png")


def row_share(found):
    return 100 * float(found.hidden.mean())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/systems"))
    parser.add_argument("--passes", type=int, default=12_000)
    parser.add_argument("--strips", type=Path)
    given = parser.parse_args()
    store = Store(given.out / f"reconstruct-{given.passes}.json")
    for name in ("mae", "simmim"):
        store.make(name, partial(measure, name, given.out / "encoders", given.passes))
        (given.out / f"reconstruct-{given.passes}.md").write_text(markdown(store.rows))
    if given.strips:
        folder = given.out / "encoders"
        made = {n: encoder_of(n, folder, given.passes, {}) for n in ("mae", "simmim")}
        strips(given.strips, made)


if __name__ == "__main__":
    main()
