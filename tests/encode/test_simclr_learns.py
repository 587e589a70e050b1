"""What the contrastive encoder learns of galaxies, against what pixels say."""

import csv

import numpy as np
import pytest

from simreal.core.images import ArraySource
from simreal.encode.encoder import effective_rank
from simreal.encode.encoders import pca, simclr
from simreal.encode.settings import EncoderSettings


def neighbour_accuracy(vectors, labels, k=15, folds=5):
    """Share of objects whose k nearest objects of other folds vote for their label."""
    rng = np.random.default_rng(0)
    fold = rng.permutation(len(labels)) % folds
    distance = ((vectors[:, None] - vectors[None]) ** 2).sum(2)
    distance[fold[:, None] == fold[None]] = np.inf
    nearest = np.argsort(distance, axis=1)[:, :k]
    return float(((labels[nearest].mean(1) > 0.5) == labels).mean())


def barred_and_round(n, rng):
    """Elongated and round blobs of the same flux and area, at any angle."""
    y, x = np.mgrid[:32, :32] - 15.5
    images = np.empty((n, 1, 32, 32), np.float32)
    labels = rng.integers(0, 2, n).astype(bool)
    for i, elongated in enumerate(labels):
        angle, ratio = rng.uniform(0, np.pi), 2.5 if elongated else 1.0
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        images[i, 0] = np.exp(-(u**2 / ratio + v**2 * ratio) / (2 * 3.0**2))
    return images + rng.normal(0, 0.03, images.shape).astype(np.float32), labels


@pytest.mark.slow  # half a minute of training
def test_it_finds_shapes_at_any_angle_without_labels():
    images, labels = barred_and_round(200, np.random.default_rng(0))
    settings = EncoderSettings(image_passes=3000, batch=64, threads=1, device="cpu")
    encoder = simclr.fit(ArraySource(images), np.arange(200), settings=settings, seed=0)
    vectors = encoder.encode(ArraySource(images))
    # A coin gets 0.5 +- 0.035; the shape is the only thing the images differ in.
    assert neighbour_accuracy(vectors, labels) > 0.9
    assert encoder.card["loss"][-1] < encoder.card["loss"][0]
    assert encoder.card["effective_rank"] > 3


@pytest.mark.slow  # minutes of training at the default budget
@pytest.mark.real
def test_it_sees_spirals_better_than_principal_components_do(real_data):
    from PIL import Image

    folder = real_data("sdss_gz2") / "sdss_gz2"
    with open(folder / "labels.csv", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    images = np.empty((len(rows), 1, 64, 64), np.float32)
    for i, row in enumerate(rows):
        with Image.open(folder / "images" / row["filename"]) as file:
            margin = file.width * 3 // 16
            box = (margin, margin, file.width - margin, file.height - margin)
            stamp = file.convert("RGB").resize((64, 64), Image.Resampling.BOX, box)
        images[i, 0] = np.asarray(stamp).mean(axis=2) / 255
    source, groups = ArraySource(images), np.arange(len(rows))
    known = np.array([row["label"] in ("spiral", "non_spiral") for row in rows])
    spiral = np.array([row["label"] == "spiral" for row in rows])[known]
    settings = EncoderSettings(threads=2)
    learnt = simclr.fit(source, groups, settings=settings, seed=0)
    linear = pca.fit(source, groups, settings=settings, seed=0)
    learnt_accuracy = neighbour_accuracy(learnt.encode(source)[known], spiral)
    linear_accuracy = neighbour_accuracy(linear.encode(source)[known], spiral)
    # 763 labels: an accuracy is known to 0.018, a difference of two to less than 0.025.
    assert learnt_accuracy > 0.62
    assert learnt_accuracy > linear_accuracy + 0.05
    assert effective_rank(learnt.encode(source)) > 10
