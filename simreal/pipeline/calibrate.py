"""The calibration, in the order of a methods section.

Read one observed collection and bring it to one frame; embed it; measure level, power, coverage
and the planted errors; fit one encoder on a third of the objects and damage the others step by
step; say what passed and what did not. Stamps and encoders are kept in the cache.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from simreal.compare.calibrate import PARTS, Part, calibrate
from simreal.compare.calibration.coverage import EFFECTS
from simreal.compare.calibration.effort import Effort, load_metric
from simreal.compare.calibration.ladder import LadderRow
from simreal.compare.calibration.populations import (
    GaussianPair,
    Population,
    SplitEmbedding,
    pooled_sample,
)
from simreal.compare.calibration.power import ALTERNATIVES
from simreal.compare.sample import Sample
from simreal.core.arrays import Float32Array
from simreal.core.cards import Card
from simreal.core.errors import NotComputableError, UsageError, did_you_mean
from simreal.core.images import ImageSet
from simreal.core.plugins import available, load
from simreal.pipeline.cache import StageCache, cache_folder, stage_key
from simreal.pipeline.calibration_document import document
from simreal.pipeline.ladder import N_LEVELS, N_SEEDS, ladder_parts, run_ladder
from simreal.pipeline.settings import RunSettings
from simreal.stats.groups import group_rows, thin_views

if TYPE_CHECKING:
    from simreal.encode.settings import EncoderSettings

Progress = Callable[[str, int, int], None]

Null: TypeAlias = Literal["gaussian", "survey", "images"]
NULLS: tuple[Null, ...] = get_args(Null)

#: The collection that is calibrated on, and what stands in for it where its files are not here.
SURVEY, STAND_IN = "sdss", "toy-survey"

#: Metrics of a comparison that names none: those the quick preset runs and the ladder judges.
DEFAULT_METRICS: tuple[str, ...] = RunSettings.model_fields["metrics"].default

#: Metrics whose intervals are checked unless others are named.
COVERED: tuple[str, ...] = ("mmd", "sliced_wasserstein")

#: An encoder is trained anew in every repetition of the null made of images: fewer of them.
IMAGE_SHARE = 0.2

#: Image passes of a trained encoder in that null: seconds, not minutes.
IMAGE_PASSES = 1_000

#: What ``--quick`` changes: fixed, so that two quick runs mean the same thing.
QUICK: Mapping[str, Any] = {
    "repetitions": 40,
    "planted_repetitions": 60,
    "n_subsamples": 100,
    "effects": EFFECTS[1:2],
    "alternatives": ALTERNATIVES[::2],
    "galaxies": 320,
    "ladder": (2, 4),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateSettings:
    """What one calibration does.

    Parameters
    ----------
    metrics : tuple of str
        Empty: every installed metric (quick: those of a default comparison).
    parts : tuple of str
    nulls : tuple of str
        Of the level: ``gaussian``, ``survey`` (embeddings split in two) and ``images`` (an
        encoder fitted anew to both sides in every repetition).
    obs : str or None
        Observed collection; None is `SURVEY`, or `STAND_IN` where its files are not here.
    encoder : str or None
        None is ``simclr`` for the survey and the ladder and ``pca`` where it is fitted anew in
        every repetition (quick: ``pca`` everywhere).
    repetitions : int or None
        Of a fast metric; None is 500 (quick: 40).
    n : int
        Groups per side of level and coverage; some metrics are not computed for the usual 100.
    quick : bool
    seed : int
    workers : int
        Processes; they change no number.

    Raises
    ------
    UsageError
        If a metric, part, null or encoder is unknown, or a number out of range.
    """

    metrics: tuple[str, ...] = ()
    parts: tuple[Part, ...] = PARTS
    nulls: tuple[Null, ...] = NULLS
    obs: str | None = None
    encoder: str | None = None
    repetitions: int | None = None
    n: int = 100
    quick: bool = False
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        _check_names("part", self.parts, PARTS)
        _check_names("null", self.nulls, NULLS)
        for metric in self.metrics:
            load_metric(metric)
        if self.encoder is not None:
            load("simreal.encode.encoders", "simreal.encoders", self.encoder)
        self.effort  # noqa: B018  # checks its numbers

    @property
    def effort(self) -> Effort:
        """How much is done."""
        full = QUICK["repetitions"] if self.quick else 500
        return Effort(
            seed=self.seed,
            repetitions=full if self.repetitions is None else self.repetitions,
            n=self.n,
            n_subsamples=QUICK["n_subsamples"] if self.quick else 500,
            planted_repetitions=QUICK["planted_repetitions"] if self.quick else 500,
            workers=self.workers,
        )

    @property
    def needs_images(self) -> bool:
        """Whether a collection is read at all."""
        of_level = "level" in self.parts and self.nulls != ("gaussian",)
        return of_level or "ladder" in self.parts

    @property
    def survey_encoder(self) -> str:
        """The encoder of the survey and of the ladder."""
        return self.encoder or ("pca" if self.quick else "simclr")

    @property
    def image_encoder(self) -> str:
        """The encoder that is fitted anew in every repetition."""
        return self.encoder or "pca"

    @property
    def metrics_of(self) -> dict[Part, tuple[str, ...]]:
        """The metrics of every part."""
        every = tuple(available("simreal.compare.metrics", "simreal.metrics"))
        chosen = self.metrics or (DEFAULT_METRICS if self.quick else every)
        return {
            "level": chosen,
            "power": chosen,
            "coverage": self.metrics or COVERED,
            "ladder": chosen,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """The stamps of one observed collection in one frame, and what a reader must know of them."""

    stamps: ImageSet
    key: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RetrainedImages:
    """Images of one collection, split in two, with an encoder fitted to both in every draw.

    Parameters
    ----------
    stamps : ImageSet
        In memory.
    encoder : str
    n : int
        Groups per side.
    passes : int
        Image passes of an encoder that is trained.
    source : str
        What the images are.
    """

    stamps: ImageSet
    encoder: str
    n: int
    passes: int = IMAGE_PASSES
    source: str = ""
    name: str = "images"

    def __post_init__(self) -> None:
        if 2 * self.n > self.stamps.n_groups:
            raise NotComputableError(
                f"{self.name}: two disjoint sides of {self.n} need {2 * self.n} groups, there are "
                f"{self.stamps.n_groups}; ask for fewer per side"
            )

    @property
    def note(self) -> str:
        """What a reader must know."""
        return f"{self.source}; {self.encoder} fitted to both sides anew in every repetition"

    def draw(self, rng: np.random.Generator) -> Sample:
        """Split, fit an encoder to the pool that carries no label, embed, transform."""
        from simreal.encode.run import embed, fit_encoder

        rows = rng.permutation(thin_views(group_rows(self.stamps.groups), 1, rng=rng)[0])
        sides = [self.stamps.rows(part) for part in (rows[: self.n], rows[self.n : 2 * self.n])]
        encoder = fit_encoder(
            self.encoder,
            sides,
            settings=training_settings().replace(image_passes=self.passes),
            seed=int(rng.integers(2**31)),
        )
        obs, sim = (embed(encoder, side).vectors for side in sides)
        return pooled_sample(obs, sim, rng=rng)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Work:
    settings: CalibrateSettings
    cache: StageCache
    progress: Progress


def run_calibration(
    settings: CalibrateSettings, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Calibrate the statistics and return the document of results.

    Parameters
    ----------
    settings : CalibrateSettings
    progress : callable, optional
        Called with a label, the steps done and the steps in all.

    Returns
    -------
    dict
        See `simreal.pipeline.calibration_document.document`.

    Raises
    ------
    SimrealError
        In one line: what was got, what is allowed, what to do.
    """
    start = time.perf_counter()
    work = _Work(settings=settings, cache=StageCache(cache_folder()), progress=progress or _silent)
    survey = _survey(work) if settings.needs_images else None
    found = calibrate(
        [part for part in settings.parts if part != "ladder"],
        metrics=settings.metrics_of,
        populations=_populations(work, survey) if "level" in settings.parts else (),
        alternatives=QUICK["alternatives"] if settings.quick else ALTERNATIVES,
        effects=QUICK["effects"] if settings.quick else EFFECTS,
        effort=settings.effort,
        progress=progress,
    )
    if survey is not None and "ladder" in settings.parts:
        found = dataclasses.replace(
            found,
            ladder=_ladder(work, survey),
            judged=frozenset(settings.metrics or DEFAULT_METRICS),
        )
    return document(
        found,
        settings=dataclasses.asdict(settings)
        | {"survey_encoder": settings.survey_encoder, "image_encoder": settings.image_encoder}
        | {name: getattr(settings.effort, name) for name in ("repetitions", "n", "n_permutations")},
        survey=None if survey is None else survey.note,
        seconds=time.perf_counter() - start,
    )


def _check_names(what: str, given: Sequence[str], allowed: Sequence[str]) -> None:
    for name in given:
        if name not in allowed:
            raise UsageError(f"unknown {what} {name!r}: {did_you_mean(name, allowed)}")


def training_settings() -> "EncoderSettings":
    """Return settings that give the same encoder whatever the number of processes and cores."""
    from simreal.encode.settings import EncoderSettings

    return EncoderSettings(threads=1, device="cpu")


def _silent(label: str, done: int, total: int) -> None:
    """Show no progress."""


def _survey(work: _Work) -> Survey:
    """Read the observed collection and bring all of it to one frame, luminance only."""
    from simreal.data.ingest import fingerprint, ingest
    from simreal.data.split import halves
    from simreal.data.store import read_set, write_set
    from simreal.match.bands import luminance
    from simreal.match.recipe import Recipe
    from simreal.match.run import match_pair

    seed = work.settings.seed
    card, note = _card(work.settings)
    recipe = Recipe()
    key = stage_key(
        "stamps",
        code=("data", "match", "measure", "stats"),
        source=fingerprint(card, seed=seed),
        recipe=recipe,
        seed=seed,
    )

    def build(folder: Path) -> None:
        work.progress(f"read {card.name}", 0, 1)
        native = folder / "images.h5"
        ingested = ingest(card, seed=seed, store=native)
        work.progress(f"read {card.name}", 1, 1)
        # Matching takes two sides: two halves of one collection come to the same frame.
        first, second = halves(ingested.images, seed=seed)
        matched = match_pair(
            first,
            second,
            views=(card.view, card.view),
            recipe=recipe,
            seed=seed,
            progress=work.progress,
        )
        write_set(folder / "stamps.h5", one_set(luminance(matched.sim), luminance(matched.obs)))
        native.unlink()

    folder = work.cache.fetch("stamps", key, build)
    stamps = read_set(folder / "stamps.h5")
    return Survey(
        stamps=stamps.replace(images=stamps.images.read(slice(0, len(stamps)))),
        key=key,
        note=f"{card.name}, {len(stamps)} stamps of {stamps.n_groups} objects{note}",
    )


def _card(settings: CalibrateSettings) -> tuple[Card, str]:
    """Return the card of the observed collection and what to say of the choice."""
    from simreal.data.ingest import card_for

    if settings.obs is not None:
        return card_for(settings.obs, role="observed"), ""
    if settings.quick:
        toy = card_for(STAND_IN, role="observed")
        options = {**toy.files.options, "n_galaxies": QUICK["galaxies"]}
        files = toy.files.model_copy(update={"options": options})
        return toy.model_copy(update={"files": files}), " (quick: rendered on the spot)"
    card = card_for(SURVEY, role="observed")
    folder = card.folder()
    if folder is None or folder.is_dir():
        return card, ""
    return (
        card_for(STAND_IN, role="observed"),
        f" (rendered on the spot: the images of {SURVEY} are not here)",
    )


def one_set(first: ImageSet, second: ImageSet) -> ImageSet:
    """Return two sets on one footing as one, in memory; conditions of single images are dropped."""
    pixels = [np.concatenate([block for _, block in s.chunks()]) for s in (first, second)]
    masks = [
        np.zeros(p.shape, dtype=np.bool_) if s.mask is None else s.mask
        for s, p in zip((first, second), pixels, strict=True)
    ]
    mask = np.concatenate(masks)
    plain = {"psf": None, "psf_fwhm": None, "noise": None, "exposure": None, "pixel_scale": None}
    return first.replace(
        images=np.concatenate(pixels),
        mask=mask if mask.any() else None,
        ids=np.concatenate([first.ids, second.ids]),
        groups=np.concatenate([first.groups, second.groups]),
        setup=first.setup.replace(**plain),
        properties=None,
        history=(),
    )


def _populations(work: _Work, survey: Survey | None) -> list[tuple[Population, int]]:
    """Return the nulls of the level, each with its repetitions."""
    settings, effort = work.settings, work.settings.effort
    found: list[tuple[Population, int]] = []
    if "gaussian" in settings.nulls:
        found.append((GaussianPair(n=effort.n), effort.repetitions))
    if survey is None:
        return found
    n = min(effort.n, survey.stamps.n_groups // 2)
    if "survey" in settings.nulls:
        split = SplitEmbedding(
            vectors=_vectors(work, survey),
            groups=survey.stamps.groups,
            n=n,
            note=f"{survey.note}; {settings.survey_encoder}, label-free",
        )
        found.append((split, effort.repetitions))
    if "images" in settings.nulls:
        retrained = RetrainedImages(
            stamps=survey.stamps, encoder=settings.image_encoder, n=n, source=survey.note
        )
        found.append((retrained, max(20, round(IMAGE_SHARE * effort.repetitions))))
    return found


def _vectors(work: _Work, survey: Survey) -> Float32Array:
    """Embed all stamps with one encoder fitted to all of them, without labels."""
    from simreal.encode.run import embed, load_encoder

    folder = _fitted(work, survey, survey.stamps, "all")
    return embed(load_encoder(folder), survey.stamps).vectors


def _ladder(work: _Work, survey: Survey) -> tuple[LadderRow, ...]:
    """Fit the encoder on a third of the objects and damage the others."""
    seed = work.settings.seed
    fitting, scored = ladder_parts(survey.stamps.groups, seed=seed)
    return run_ladder(
        survey.stamps.rows(fitting),
        survey.stamps.rows(scored),
        work.settings.metrics_of["ladder"],
        encoder=_fitted(work, survey, survey.stamps.rows(fitting), "third"),
        size=QUICK["ladder"] if work.settings.quick else (N_SEEDS, N_LEVELS),
        effort=work.settings.effort,
        progress=work.progress,
    )


def _fitted(work: _Work, survey: Survey, images: ImageSet, which: str) -> Path:
    """Return the folder of the survey's encoder, fitted to `images`."""
    from simreal.encode.run import fit_encoder, save_encoder

    settings = work.settings
    training = training_settings()
    if settings.quick:
        training = training.replace(image_passes=IMAGE_PASSES)
    key = stage_key(
        "calibration encoder",
        code=("encode", "stats"),
        stamps=survey.key,
        which=which,
        encoder=settings.survey_encoder,
        settings=training,
        seed=settings.seed,
    )

    def build(folder: Path) -> None:
        encoder = fit_encoder(
            settings.survey_encoder,
            [images],
            settings=training,
            seed=settings.seed,
            progress=work.progress,
        )
        save_encoder(encoder, folder)

    return work.cache.fetch("calibration-encoder", key, build)
