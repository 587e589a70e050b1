"""Measured morphology and what statmorph fits: Sérsic profile, ellipticity, asymmetries."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from simreal.core.arrays import AnyArray, BoolArray, Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSource, RowsOf
from simreal.core.provenance import versions
from simreal.encode.encoder import (
    EncoderMeta,
    Progress,
    check_groups,
    check_images,
    group_weights,
)
from simreal.encode.encoders.morphology import CLIP, measured, robust_scale
from simreal.encode.settings import EncoderSettings
from simreal.encode.weights import Stored, read_card, read_weights, weights_digest
from simreal.measure.morphology import feature_names
from simreal.measure.morphology_fits import BAD, FEATURES, Fits, fit_morphology
from simreal.measure.pixel_hash import pixel_digests

META = EncoderMeta(trains=False, summary="measured morphology and what statmorph fits")

#: Narrower stamps hold no profile to be fitted.
MINIMUM_SIZE = 24

#: Fewest usable fits of a number whose scale is believed.
FEWEST_FITS = 8

FLAGS = ("flag", "flag_sersic")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StatmorphEncoder(Stored):
    """Every number of `morphology`, then those of `morphology_fits`, on the scale of the pool.

    A number that statmorph flagged reads 0, the middle of the pool, and the last two
    entries say so: ``flag`` (0 good, 1/2 suspect, 1 bad) and ``flag_sersic`` (0 or 1). No
    image is dropped, so both sides keep what is hard to fit.

    ``weights`` holds ``centre`` and ``scale``, both ``(number,)``. ``known`` remembers rows
    that were measured in this process by the hash of their pixels, and is not stored.
    """

    settings: EncoderSettings
    known: dict[str, Float64Array] = field(default_factory=dict)
    name: str = "morphology_statmorph"

    def encode(self, source: ImageSource) -> Float32Array:
        """Return one vector per image, float32 ``(n, dimension)``."""
        check_images(self.card, source)
        return self._on_scale(_rows(source, self.settings, self.known))

    def _on_scale(self, rows: Float64Array) -> Float32Array:
        numbers, flags = rows[:, : -len(FLAGS)], rows[:, -len(FLAGS) :]
        standard = (numbers - self.weights["centre"]) / self.weights["scale"]
        clipped = CLIP * np.arcsinh(np.where(np.isfinite(standard), standard, 0.0) / CLIP)
        return np.concatenate([clipped, flags], axis=1).astype(np.float32)


def fit(
    source: ImageSource,
    groups: IntArray,
    *,
    settings: EncoderSettings,
    seed: int,
    progress: Progress | None = None,
) -> StatmorphEncoder:
    """Measure and fit the pool for centre and scale of every number, every group counting once.

    Raises
    ------
    NotComputableError
        If there are too few groups, the images are too small, or statmorph is not installed.
    """
    n_groups = check_groups("morphology_statmorph", groups)
    if min(source.shape[2:]) < MINIMUM_SIZE:
        raise NotComputableError(
            f"encoder 'morphology_statmorph' needs images of {MINIMUM_SIZE} pixels or more on a "
            f"side, got {source.shape[2:]}; match with a larger stamp"
        )
    known: dict[str, Float64Array] = {}
    rows = _rows(source, settings, known, progress)
    numbers = rows[:, : -len(FLAGS)]
    valid = np.isfinite(numbers)
    centre, scale = _scale_of_valid(numbers, valid, group_weights(groups))
    weights: dict[str, AnyArray] = {"centre": centre, "scale": scale}
    names = [*feature_names(source.shape[1]), *FEATURES, *FLAGS]
    recipe = {
        "encoder": "morphology_statmorph",
        "features": names,
        "clip": CLIP,
        "shape": list(source.shape[1:]),
        "statmorph": versions(("statmorph",))["statmorph"],
    }
    card = {
        "encoder": "morphology_statmorph",
        "objective": "none",
        "mode": "pooled",
        "recipe": recipe,
        "digest": weights_digest(recipe, weights),
        "dimension": len(names),
        "shape": list(source.shape[1:]),
        "seed": seed,
        "n_images": source.shape[0],
        "n_groups": n_groups,
        "masked": {
            name: int((~valid[:, column]).sum())
            for column, name in enumerate(names[: -len(FLAGS)])
            if name in FEATURES
        },
        "versions": versions(("simreal", "numpy", "statmorph")),
    }
    return StatmorphEncoder(card=card, weights=weights, settings=settings, known=known)


def load(folder: Path) -> StatmorphEncoder:
    """Return the encoder stored in `folder`; it runs on as many cores as there are."""
    card = read_card(folder)
    weights = read_weights(folder, card)
    return StatmorphEncoder(card=card, weights=weights, settings=EncoderSettings())


def _rows(
    source: ImageSource,
    settings: EncoderSettings,
    known: dict[str, Float64Array],
    progress: Progress | None = None,
) -> Float64Array:
    """Return measured and fitted numbers and both flags, row by row; NaN where masked."""
    digests = pixel_digests(source)
    missing = {digest: row for row, digest in enumerate(digests) if digest not in known}
    new = sorted(missing.values())
    if new:
        part = RowsOf(source, np.array(new, dtype=np.int64))
        fits = fit_morphology(part, workers=_workers(settings), progress=progress)
        found = np.concatenate([measured(part), _in_own_scale(fits, source.shape[2:])], axis=1)
        known.update({digests[row]: numbers for row, numbers in zip(new, found, strict=True)})
    return np.stack([known[digest] for digest in digests])


def _in_own_scale(fits: Fits, size: tuple[int, ...]) -> Float64Array:
    """Return fitted numbers and flags as entries: ratios by logarithm, lengths of half sides."""
    columns = dict(zip(FEATURES, fits.values.T.copy(), strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        columns["sersic_n"] = np.log10(columns["sersic_n"])
        columns["sersic_radius"] = np.log10(columns["sersic_radius"] / (min(size) / 2))
    numbers = np.stack([columns[name] for name in FEATURES], axis=1)
    flags = [np.minimum(fits.flag, BAD) / BAD, np.minimum(fits.flag_sersic, 1)]
    return np.concatenate([np.where(np.isfinite(numbers), numbers, np.nan), np.stack(flags, 1)], 1)


def _scale_of_valid(
    numbers: Float64Array, valid: BoolArray, weights: Float64Array
) -> tuple[Float64Array, Float64Array]:
    centre, scale = np.zeros(numbers.shape[1]), np.ones(numbers.shape[1])
    for column in range(numbers.shape[1]):
        good = valid[:, column]
        if good.sum() >= FEWEST_FITS:
            share = weights[good] / weights[good].sum()
            middle, width = robust_scale(numbers[good, column : column + 1], share)
            centre[column], scale[column] = middle[0], width[0]
    return centre, scale


def _workers(settings: EncoderSettings) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return settings.threads or cores or 1
