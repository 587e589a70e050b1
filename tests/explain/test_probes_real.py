"""Probes of real SDSS images: what the fixed encoders hold of spiral and non-spiral.

``pytest -m slow --log-cli-level=info`` shows the numbers.
"""

import logging

import numpy as np
import pytest

from simreal.core.images import ArraySource
from simreal.encode.run import embed, fit_encoder
from simreal.explain.label_counts import label_sweep
from simreal.explain.probes import knn_probe, linear_probe
from simreal.explain.search import random_handfuls
from simreal.explain.targets import target_of
from simreal.pipeline.ingest import read_collection

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.real, pytest.mark.slow]

#: [pixel] The middle of the 424-pixel frames, brought to 64 pixels by means of 4 x 4.
CROP, STAMP = 256, 64


@pytest.fixture(scope="module")
def stamps():
    images = read_collection("sdss", role="observed").images
    edge = (images.images.shape[-1] - CROP) // 2
    blocks = []
    for _, block in images.chunks():
        middle = block[:, :, edge : edge + CROP, edge : edge + CROP]
        small = middle.reshape(*block.shape[:2], STAMP, CROP // STAMP, STAMP, CROP // STAMP)
        blocks.append(small.mean(axis=(3, 5), dtype=np.float32))
    return images.replace(images=ArraySource(np.concatenate(blocks)))


@pytest.fixture
def probed(real_data, request):
    real_data("sdss_gz2")
    stamps = request.getfixturevalue("stamps")

    def probe(name):
        one = embed(fit_encoder(name, [stamps]), stamps)
        return one, target_of(one, "morphology")

    return probe


@pytest.mark.parametrize(
    # Measured .57 and .74 at 200 labels; .68 and .72 of the first 25, .50 being chance.
    ("encoder", "at_200", "at_25"),
    [("pca", (0.53, 0.63), (0.60, 0.80)), ("morphology", (0.70, 0.79), (0.62, 0.82))],
)
def test_spirals_are_told_from_the_rest_as_measured(
    probed, encoder, at_200, at_25, record_property
):
    one, target = probed(encoder)
    rng = np.random.default_rng(0)
    at, everything = label_sweep(one, target, counts=(200,), rng=rng)
    linear, near = linear_probe(one, target, rng=rng), knn_probe(one, target, rng=rng)
    handfuls, first = random_handfuls(one, target, "spiral", rng=rng)
    # One wide axis of the pixels decides all distances, and it does not tell spirals.
    near_mean, _ = random_handfuls(one, target, "spiral", rank_by="distance", rng=rng)
    for name, value in {
        "200 labels": at.score, "all but a fifth": everything.score, "handfuls": handfuls,
        "linear": linear.scores["accuracy"], "neighbours": near.scores["accuracy"], "one": first,
        "distance": near_mean,
    }.items():  # fmt: skip
        log.info("%s, %s: %s", encoder, name, value)
    assert at.n_labels == 200
    assert at_200[0] < at.score.value < at_200[1]
    assert at.score.low < at.score.value < at.score.high
    assert everything.score.value > at.score.value - 0.01
    assert linear.n_groups == 763
    assert handfuls.n_candidates == 758
    assert at_25[0] < handfuls.mean < at_25[1]
    assert handfuls.mean > handfuls.baseline
    assert (near_mean.mean < near_mean.baseline) == (encoder == "pca")
    assert (first.score.n, first.k) == (25, 25)
