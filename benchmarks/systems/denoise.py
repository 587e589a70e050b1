"""System E: noise of known strength taken off SDSS images that the autoencoder has not seen.

    python benchmarks/systems/denoise.py --out runs/systems [--epochs 16] [--strips FOLDER]

Half of the galaxies train `denoising` on luminance stamps of 64 pixels. To the others the noise of
its training is added from another stream, and taken off by the network and by wavelets
(scikit-image, extra `bench`). The truth is the image as SDSS has it, noise of its own included.
Structural similarity is averaged over the pixels of the galaxy's mask only; beside it, as often
published, over all pixels with the background of both images set to zero. Needs SIMREAL_DATA.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from real_images import Store, clock, halves, score, sdss_stamps
from reconstruct import SHOWN, mean_score
from skimage.restoration import denoise_wavelet

from simreal.core.images import ArraySource
from simreal.core.seeding import stream
from simreal.encode.foreground import foreground, similarity
from simreal.encode.objectives.denoising import noisy
from simreal.encode.run import embed, fit_encoder, load_encoder, save_encoder
from simreal.encode.settings import EncoderSettings
from simreal.explain.clustering import ClusterSettings
from simreal.match.variants import shown
from simreal.pipeline.probe import ProbeSettings, probe_embedding


def encoder_of(folder, epochs, row):
    kept = folder / f"denoising-half-{epochs}"
    if not (kept / "card.json").is_file():
        training, _ = halves(shown(sdss_stamps(), "luminance"))
        settings = EncoderSettings(epochs=epochs, threads=1)
        with clock(row):
            save_encoder(fit_encoder("denoising", [training], settings=settings, seed=0), kept)
    return load_encoder(kept)


def with_noise(images, encoder):
    """Return the images with the noise of training, drawn anew, in their own unit."""
    mean, scale = (torch.tensor(encoder.weights[name]) for name in ("mean", "scale"))
    standard = (torch.from_numpy(images) - mean) / scale
    return (noisy(standard, stream(0, "system E", "noise")) * scale + mean).numpy()


def wavelets(noised, images):
    """Return two wavelet denoisers; the noise level is told to them, image by image."""
    found = {}
    for method in ("BayesShrink", "VisuShrink"):
        told = np.empty_like(noised)
        for out, image, clean in zip(told, noised, images, strict=True):
            sigma = float((image - clean).std())
            out[0] = denoise_wavelet(
                image[0], sigma=sigma, method=method, mode="soft", rescale_sigma=True
            )
        found[f"wavelets, {method}"] = told
    return found


def quality(told, images):
    """Return similarity and peak signal to noise of `told` against `images`, means over images."""
    told, wanted = torch.from_numpy(told.copy()), torch.from_numpy(images.copy())
    galaxy = foreground(wanted)
    span = wanted.amax((1, 2, 3)) - wanted.amin((1, 2, 3))
    inside = _mean(similarity(told, wanted, span), galaxy)
    zeroed = similarity(told * galaxy, wanted * galaxy, span).mean((1, 2, 3))
    everywhere = similarity(told, wanted, span).mean((1, 2, 3))
    squares = (told - wanted) ** 2
    kept = galaxy.any(dim=-1).any(dim=-1)[:, 0].numpy()
    return {
        "ssim_mask": mean_score(inside.numpy()[kept]),
        "ssim_zeroed": mean_score(zeroed.numpy()[kept]),
        "ssim_all": mean_score(everywhere.numpy()[kept]),
        "psnr": mean_score(_decibel(squares.mean((1, 2, 3)), span)[kept]),
        "psnr_mask": mean_score(_decibel(_mean(squares, galaxy), span)[kept]),
        "mask_share": float(galaxy.float().mean()),
    }


def _mean(values, chosen):
    weight = chosen.to(values.dtype)
    return (values * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1)


def _decibel(squares, span):
    return (10 * torch.log10(span**2 / squares)).numpy()


def measure(folder, epochs):
    row = {"epochs": epochs}
    encoder, (_, unseen) = (
        encoder_of(folder, epochs, row),
        halves(shown(sdss_stamps(), "luminance")),
    )
    images = np.array(unseen.images.read(slice(None)))
    noised = with_noise(images, encoder)
    told = {
        "noisy": noised,
        "network": encoder.denoise(ArraySource(noised)),
        **wavelets(noised, images),
    }
    row["quality"] = {name: quality(each, images) for name, each in told.items()}
    asked = ProbeSettings(parts=("clusters",), clusters=ClusterSettings(k=(3, 8)))
    probed = probe_embedding(embed(encoder, shown(sdss_stamps(), "luminance")), asked)
    for partition in probed["clusters"]["partitions"]:
        partition.pop("members")
    return row | {"clusters": probed["clusters"]}


def markdown(row):
    names = ("ssim_mask", "ssim_zeroed", "ssim_all", "psnr", "psnr_mask")
    header = ("", "SSIM in the mask", "SSIM, zeroed", "SSIM, all", "PSNR", "PSNR in the mask")
    lines = ["| " + " | ".join(header) + " |", "|---" * 6 + "|"]
    for name, found in row["quality"].items():
        cells = (score(found[key], 3 if key.startswith("ssim") else 1) for key in names)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| clusters | sizes | noise | silhouette | Calinski-Harabasz | Davies-Bouldin |"]
    lines.append("|---" * 6 + "|")
    for each in row["clusters"]["partitions"]:
        cells = (
            each["method"],
            ", ".join(map(str, each["sizes"])) or "none",
            score(each["noise_fraction"], 2),
            *(
                score(each["scores"][name], digits)
                for name, digits in (
                    ("silhouette", 2),
                    ("calinski_harabasz", 0),
                    ("davies_bouldin", 2),
                )
            ),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def strips(folder, encoder):
    from matplotlib.figure import Figure

    _, unseen = halves(shown(sdss_stamps(), "luminance"))
    images = np.array(unseen.images.read(slice(0, SHOWN)))
    noised = with_noise(images, encoder)
    rows = {
        "as it is": images,
        "noisy": noised,
        "network": encoder.denoise(ArraySource(noised)),
        "wavelets": wavelets(noised, images)["wavelets, BayesShrink"],
    }
    figure = Figure(figsize=(1.2 * SHOWN, 5.0), layout="constrained")
    for line, (said, pictures) in zip(figure.subplots(4, SHOWN), rows.items(), strict=True):
        line[0].set_ylabel(said)
        for axes, picture in zip(line, pictures, strict=True):
            axes.imshow(picture[0], cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "denoising.png")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/systems"))
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--strips", type=Path)
    given = parser.parse_args()
    folder = given.out / "encoders"
    store = Store(given.out / f"denoise-{given.epochs}.json")
    row = store.make("denoising", partial(measure, folder, given.epochs))
    (given.out / f"denoise-{given.epochs}.md").write_text(markdown(row))
    if given.strips:
        strips(given.strips, encoder_of(folder, given.epochs, {}))


if __name__ == "__main__":
    main()
