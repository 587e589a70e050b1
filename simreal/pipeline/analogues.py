"""Analogues of one image: the query through the matching of a run, its encoder, its neighbours.

The query is an image of the survey that the run compared with. It is measured, framed, registered
and encoded as that survey's images were; what cannot be brought to the same footing, or was taken
under other conditions, is refused.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from simreal.core.arrays import BoolArray, Float64Array
from simreal.core.cards import Card, View
from simreal.core.embedding import Embedding
from simreal.core.errors import (
    FootingError,
    NotComputableError,
    NothingUsableError,
    SimrealError,
    UsageError,
    did_you_mean,
)
from simreal.core.images import ImageSet
from simreal.core.seeding import stream
from simreal.explain.analogues import MOST_NAMED, Analogues, BothWays, analogues, both_ways
from simreal.pipeline.cache import StageCache, cache_folder, stage_key
from simreal.pipeline.gradients import cached, plan_of, stored_sides, stored_stamps
from simreal.pipeline.stages import Work, dump, ingest_stage, read_json

if TYPE_CHECKING:
    from simreal.encode.encoder import Encoder
    from simreal.match.frame import CommonFrame
    from simreal.match.job import Job
    from simreal.match.recipe import Recipe
    from simreal.match.sides import Party
    from simreal.pipeline.plan import Plan

Progress = Callable[[str, int, int], None]
VERSION = 1

#: Conditions that are held against those of the survey, and what each is measured by.
CONDITIONS = ("resolution", "exposure")
#: Observed images that the offset of the bands is measured on.
REGISTERED_ON = 1000
#: Shares of the survey's images between which a condition of the query has to lie, and by how
#: much more it may lie off: one image is measured no better.
COMMON = (0.005, 0.995)
MARGIN = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalogueRequest:
    """What is asked about an image.

    Parameters
    ----------
    card : str or None
        Card of the query's survey (catalogue name or file); default that of the run's.
    variant : str or None
        Default the leading one of the run.
    k : int
        Analogues named.
    allow : tuple of str
        Of `CONDITIONS`: go on although the query lies outside the survey's.
    seed : int

    Raises
    ------
    UsageError
        If a condition is unknown or `k` below 1.
    """

    card: str | None = None
    variant: str | None = None
    k: int = MOST_NAMED
    allow: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for each in self.allow:
            if each not in CONDITIONS:
                raise UsageError(f"allow: got {each!r}: {did_you_mean(each, CONDITIONS)}")
        if self.k < 1:
            raise UsageError(f"analogues: got k = {self.k}, allowed is 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnalogueRun:
    """What was found for one image, and for the sides as a whole.

    Parameters
    ----------
    document : dict
        Plain values, as written to ``analogues.json``.
    found : Analogues
    sides : BothWays
    files : tuple of Path
    """

    document: dict[str, Any]
    found: Analogues
    sides: BothWays
    files: tuple[Path, ...]


def run_analogues(
    image: Path,
    run: Path,
    request: AnalogueRequest | None = None,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
) -> AnalogueRun:
    """Return the simulated objects of a finished run that are most like an image.

    Parameters
    ----------
    image : Path
        Image file as the card of its survey has them.
    run : Path
        Folder of a finished run on the rgb track.
    request : AnalogueRequest
    out : Path, optional
        Folder for ``analogues.json`` and, where the stage cache has stamps, ``analogues.png``.
    progress : callable, optional
        ``(label, done, total)``.

    Raises
    ------
    UsageError
        If the image cannot be read as its card says, or this is no such run.
    FootingError
        If bands, resolution or exposure are not those of the survey.
    """
    request, run = request or AnalogueRequest(), Path(run)
    said: Progress = progress or (lambda *_: None)
    sides, variant = stored_sides(run, request.variant)
    plan = plan_of(run)
    card = _card(request.card, plan)
    said("read the query", 0, 1)
    query = read_image(Path(image), card)
    encoder = _encoder(run, plan, variant, sides["obs"].encoder_digest)
    work = Work(plan=plan, cache=StageCache(cache_folder()), seconds={}, progress=said)
    everything = ingest_stage(work, plan.obs_card, plan.read_keys["obs"]).images
    native = _scored(everything, sides["obs"], plan)
    matched, conditions = match_query(
        query,
        card.view,
        like=sides["obs"],
        frame=frame_of(sides["obs"], plan.recipe, plan.settings.seed),
        shift=_stored_shift(work, everything, sides["obs"]),
        allow=request.allow,
    )
    same, trained = _seen(query, native, encoder)
    embedded = _embedded(encoder, matched, variant, sides["obs"])
    rng = stream(request.seed, "analogues", variant)
    found = analogues(embedded, sides["sim"], sides["obs"], same=same, k=request.k, rng=rng)
    whole = both_ways(
        sides["obs"], sides["sim"], rng=stream(request.seed, "analogues", "both ways")
    )
    said("read the query", 1, 1)
    document = {
        "schema": VERSION,
        "source": str(run),
        "image": str(image),
        "card": card.name,
        "variant": variant,
        "seed": request.seed,
        "trained_on": trained,
        "conditions": conditions,
        "allow": list(request.allow),
        **found.to_dict(),
        "both_ways": whole.to_dict(),
        "picture": None,
    }
    files = () if out is None else _write(document, found, matched, run, Path(out))
    return AnalogueRun(document=document, found=found, sides=whole, files=files)


def run_for(sim: str, *, card: str, encoder_from: str, out: Path, progress: Progress) -> Path:
    """Return a finished run of a collection against a survey under a stored encoder, made if new.

    The quick preset without an audit: what is needed are the embeddings of both sides.

    Raises
    ------
    SimrealError
        As `simreal.pipeline.run.run_comparison`.
    """
    from simreal.pipeline.run import run_comparison
    from simreal.pipeline.settings import resolve

    settings = resolve(
        {
            "sim": sim,
            "obs": card,
            "encoder_from": encoder_from,
            "mode": "frozen",
            "audit": "none",
            "explain": "none",
            "check_encoders": (),
            "metrics": ("mmd",),
            "ceiling": "none",
            "permutations": 99,
            "floor_splits": 50,
        }
    )
    return run_comparison(settings, out=out, progress=progress).folder


def _card(named: str | None, plan: "Plan") -> Card:
    """Return the card that the query is read by, refusing another kind of image."""
    from simreal.data.ingest import card_for

    card = plan.obs_card if named is None else card_for(named, role="observed")
    what = f"analogues: the query is read as {card.name}, the run compared {plan.obs_card.name}"
    if card.track != plan.obs_card.track:
        raise FootingError(f"{what}: track differs ({card.track}, {plan.obs_card.track})")
    if card.track != "rgb":
        raise NotComputableError(
            f"analogues: the run is on the {card.track} track; allowed is rgb so far: match a "
            "collection of such queries as --obs of simreal compare"
        )
    if card.view.rendition != "survey":
        raise FootingError(
            f"{what}: an idealised image has neither PSF nor sky; compare it as part of a "
            "collection (simreal compare), which lends it both"
        )
    for name in ("bands", "display", "unit"):
        ours, theirs = getattr(card.view, name), getattr(plan.obs_card.view, name)
        if ours != theirs:
            raise FootingError(f"{what}: {name} differs ({_listed(ours)}; {_listed(theirs)})")
    if card.view.pixel_scale != plan.obs_card.view.pixel_scale:
        raise FootingError(
            f"{what}: resolution differs: pixel scale {card.view.pixel_scale} and "
            f"{plan.obs_card.view.pixel_scale} arcsec"
        )
    return card


def _listed(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def read_image(path: Path, card: Card) -> ImageSet:
    """Return one image file as a set of one, read as the collection of `card` is.

    Raises
    ------
    UsageError
        If there is no such file, or it is not what the card says, in one line.
    """
    from simreal.data.ingest import ingest

    if not path.is_file():
        raise UsageError(f"{path}: no such image file")
    if card.files.adapter not in ("rgb_images", "toy"):
        raise UsageError(
            f"{path}: the card {card.name} is read by the adapter {card.files.adapter!r}, allowed "
            "for a single image is 'rgb_images'; name such a card with --as"
        )
    with TemporaryDirectory() as scratch:
        # A folder of its own: a file name may hold what a pattern reads as a wildcard.
        folder = Path(scratch) / "query"
        folder.mkdir()
        (folder / f"query{path.suffix.lower()}").symlink_to(path.resolve())
        files = card.files.model_copy(
            update={
                "adapter": "rgb_images",
                "folder": str(folder),
                "pattern": "*",
                "table": None,
                "join": None,
                "group": None,
                "options": {},
            }
        )
        alone = card.model_copy(update={"files": files, "properties": {}})
        try:
            read = ingest(alone, seed=0, store=Path(scratch) / "query.h5")
        except NothingUsableError as error:
            raise UsageError(f"{path}: {_reason(str(error))}") from None
        images = read.images
        pixels = np.array(images.images.read(slice(None)), dtype=np.float32)
    name = np.array([path.name])
    return images.replace(images=pixels, ids=name, groups=name)


def _reason(text: str) -> str:
    """Return why a file is refused, without the folder and the name it had on the way."""
    first = text.partition("first: ")[2] or text
    return first.partition(": ")[2] or first


def match_query(
    query: ImageSet,
    view: View,
    *,
    like: Embedding,
    frame: "tuple[Job, CommonFrame]",
    shift: Float64Array | None,
    allow: tuple[str, ...] = (),
) -> tuple[ImageSet, dict[str, Any]]:
    """Return the stamp of one survey image as the match of a run would have made it.

    The steps of the observed side: measured, framed, bands registered, resampled once, encoded.

    Parameters
    ----------
    query : ImageSet
        One image.
    view : View
    like : Embedding
        The observed side of the run: its conditions.
    frame : tuple of Job, CommonFrame
        From `frame_of`.
    shift : array (band, 2) or None
        Offset of the survey's bands, from `band_shift`.
    allow : tuple of str

    Returns
    -------
    matched : ImageSet
    conditions : dict
        What the query was measured to have, and between what the survey lies.

    Raises
    ------
    NotComputableError
        If the frame does not fit into the image.
    FootingError
        If a condition differs.
    """
    from simreal.match.framing import field_limits
    from simreal.match.render import render_survey
    from simreal.match.stamps import matched_set

    job, common = frame
    party = _party(query, view)
    conditions = _conditions(party, like)
    for name, found in conditions.items():
        if found["outside"] and name not in allow:
            raise FootingError(
                f"{query.ids[0]}: {name} differs: {found['measured_by']} is {found['value']:.3g}, "
                f"allowed is {found['low']:.3g} to {found['high']:.3g} as in {like.name}; "
                f"--allow {name} goes on"
            )
    widest = float(field_limits(party, job)[0])
    if widest < common.width * (1 - 1e-12):
        raise NotComputableError(
            f"{query.ids[0]}: its field holds a frame {widest:.3g} wide, the run's is "
            f"{common.width:g} [{common.unit}]; take a wider image"
        )
    stamps = render_survey(replace(party, band_shift=shift), common, job).stamps
    setup = like.setup.rows(np.array([0])).replace(
        bands=query.setup.bands, psf=None, psf_fwhm=None, noise=None
    )
    return matched_set(party, stamps, setup, steps=()), conditions


def frame_of(like: Embedding, recipe: "Recipe", seed: int) -> "tuple[Job, CommonFrame]":
    """Return the common frame of a run, and what every step of its match knows.

    Raises
    ------
    UsageError
        If the embedding names no frame.
    """
    from simreal.match.frame import CommonFrame
    from simreal.match.job import Job

    kind, width = like.setup.frame, like.setup.frame_width
    if kind not in ("angular", "physical", "radius") or width is None:
        raise UsageError(f"{like.name}: its embedding names no frame; repeat the run")
    job = Job(recipe=recipe, seed=seed, kind=kind, progress=None)
    return job, CommonFrame(kind=kind, width=float(np.ravel(width)[0]))


def _party(images: ImageSet, view: View) -> "Party":
    from simreal.match.sides import Party, with_source
    from simreal.measure.stamps import measure_stamps

    rows = np.arange(len(images), dtype=np.int64)
    measured = measure_stamps(images)
    return with_source(
        Party(side="obs", images=images, view=view, measured=measured, original=rows)
    )


def _conditions(party: "Party", like: Embedding) -> dict[str, Any]:
    """Return what the query was measured to have beside what the survey has."""
    measured = party.measured
    radius = float(measured.radius[0])
    psf = float(measured.psf_fwhm[0]) if measured.stars[0] else np.nan
    table = {
        name: np.asarray(getattr(like.properties[name], "value", like.properties[name]), float)
        for name in ("measured_radius", "measured_psf_fwhm", "measured_sky_rms")
        if like.properties is not None and name in like.properties.colnames
    }
    radii, widths = table.get("measured_radius"), table.get("measured_psf_fwhm")
    sharpness = None if radii is None or widths is None else widths / radii
    return {
        "resolution": _placed(
            "PSF width over half-light radius", psf / radius, sharpness, unknown="no star in it"
        ),
        "exposure": _placed(
            "rms of the sky",
            float(measured.luminance_rms[0]),
            table.get("measured_sky_rms"),
            unknown="not measured",
        ),
    }


def _placed(
    measured_by: str, value: float, survey: Float64Array | None, *, unknown: str
) -> dict[str, Any]:
    known = np.array([]) if survey is None else survey[np.isfinite(survey)]
    row: dict[str, Any] = {"measured_by": measured_by, "value": None, "low": None, "high": None}
    if not np.isfinite(value) or not len(known):
        reason = unknown if not np.isfinite(value) else "not measured in the survey"
        return {**row, "outside": False, "reason": reason}
    low, high = np.quantile(known, COMMON) * [1 / MARGIN, MARGIN]
    outside = not low <= value <= high
    return {
        **row, "value": value, "low": float(low), "high": float(high), "outside": outside,
        "reason": None,
    }  # fmt: skip


def band_shift(
    images: ImageSet, view: View, frame: "tuple[Job, CommonFrame]"
) -> Float64Array | None:
    """Return the mean offset of a survey's bands [stamp pixel], measured as the match does.

    Parameters
    ----------
    images : ImageSet
        As they were read; of many, `REGISTERED_ON` are looked at.
    view : View
    frame : tuple of Job, CommonFrame

    Returns
    -------
    array (band, 2) or None
        None where there is none to be taken out.
    """
    from simreal.match.framing import framed
    from simreal.match.register import registered

    if images.images.shape[1] < 2:
        return None
    job, common = frame
    rows = np.linspace(0, len(images) - 1, min(len(images), REGISTERED_ON)).astype(np.int64)
    party, _ = framed(_party(images.rows(rows), view), common, job)
    return registered(party, common, job).band_shift


def _stored_shift(work: Work, images: ImageSet, like: Embedding) -> Float64Array | None:
    """Return the offset of the run's observed bands, measured once and kept in the cache."""
    plan = work.plan
    frame = frame_of(like, plan.recipe, plan.settings.seed)

    def build(folder: Path) -> None:
        shift = band_shift(images, plan.obs_card.view, frame)
        dump({"shift": None if shift is None else shift.tolist()}, folder / "shift.json")

    key = stage_key(
        "register",
        code=("match", "measure"),
        read=plan.read_keys["obs"],
        recipe=plan.recipe,
        seed=plan.settings.seed,
        frame=[frame[1].kind, frame[1].width],
        images=REGISTERED_ON,
    )
    with work.stage(f"register the bands of {plan.obs_card.name}"):
        shift = read_json(work.cache.fetch("register", key, build) / "shift.json")["shift"]
    return None if shift is None else np.array(shift, dtype=np.float64)


def _scored(images: ImageSet, obs: Embedding, plan: "Plan") -> ImageSet:
    """Return the observed images that the run scored, as they were read."""
    place = {name: row for row, name in enumerate(images.ids.tolist())}
    missing = [name for name in obs.ids.tolist() if name not in place]
    if missing:
        raise UsageError(
            f"{plan.obs_card.name}: {len(missing)} of the {len(obs)} images of the run are no "
            f"longer there (first: {missing[0]}); repeat the run"
        )
    return images.rows(np.array([place[name] for name in obs.ids.tolist()], dtype=np.int64))


def _encoder(run: Path, plan: "Plan", variant: str, digest: str) -> "Encoder":
    """Return the encoder of a run: from its folder, as it was named, or from the stage cache."""
    from simreal.encode.run import load_encoder
    from simreal.encode.shipped import load_variant
    from simreal.pipeline.encoding import stored_encoder

    folders = [run / "encoder" / variant]
    if plan.settings.encoder_from is not None:
        named = stored_encoder(plan.settings.encoder_from, variant)
        folders += [] if named is None else [named]
    stage = cached(plan, "embed", plan.embed_keys[variant])
    folders += [] if stage is None else [stage / "encoder"]
    for folder in folders:
        if not (folder / "card.json").is_file():
            continue
        known = plan.settings.encoder_from is not None
        encoder = load_variant(folder) if known else load_encoder(folder)
        if encoder.digest == digest:
            return encoder
    raise UsageError(
        f"{run}: the encoder of this run is neither in its folder nor in the stage cache; repeat "
        "the run with --mode frozen, which keeps it"
    )


def _seen(query: ImageSet, native: ImageSet, encoder: "Encoder") -> tuple[BoolArray, bool | None]:
    """Return which observed images are the query itself, and whether it was trained on."""
    from simreal.encode.frozen import FrozenEncoder, seen_in_training
    from simreal.measure.pixel_hash import pixel_hashes

    own = pixel_hashes(query.images)
    same = pixel_hashes(native.images) == own[0]
    if not isinstance(encoder, FrozenEncoder) or not len(encoder.hashes["native"]):
        # A pooled encoder was fitted on what it scores.
        return same, bool(same.any()) if not isinstance(encoder, FrozenEncoder) else None
    return same, bool(seen_in_training(encoder, query, native=own)[0])


def _embedded(encoder: "Encoder", matched: ImageSet, variant: str, like: Embedding) -> Embedding:
    from simreal.encode.run import embed
    from simreal.match.variants import shown

    seen = shown(matched, variant)
    if seen.setup.bands != like.setup.bands:
        raise FootingError(
            f"{matched.ids[0]}: bands differ: {_listed(seen.setup.bands)}, those of the run are "
            f"{_listed(like.setup.bands)}"
        )
    return embed(encoder, seen)


def _write(
    document: dict[str, Any], found: Analogues, matched: ImageSet, run: Path, out: Path
) -> tuple[Path, ...]:
    from simreal.report.tables import write_bytes, write_text

    files = []
    try:
        picture = _picture(found, matched, stored_stamps(run))
        files.append(write_bytes(picture, out / "analogues.png"))
        document["picture"] = {"drawn": True, "reason": None}
    except SimrealError as error:
        document["picture"] = {"drawn": False, "reason": str(error)}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    return (write_text(text, out / "analogues.json"), *files)


def _picture(found: Analogues, matched: ImageSet, stamps: Any) -> bytes:
    """Draw the query as it was matched over its nearest on both sides, in one stretch."""
    from simreal.report.strips import Row, strip

    rows = [Row(label=f"query  {found.query}, as it was matched", images=matched)]
    for side, near, name in (("sim", found.simulated, found.sim), ("obs", found.real, found.obs)):
        place = {each: row for row, each in enumerate(stamps[side].ids.tolist())}
        chosen = np.array([place[each.id] for each in near], dtype=np.int64)
        rows.append(
            Row(label=f"{side}  {name}: the nearest, from left", images=stamps[side].rows(chosen))
        )
    planes = (0, 1, 2) if matched.images.shape[1] >= 3 else (0,)
    title = "nearest in the embedding of matched stamps; one stretch for all"
    return strip(rows, order=planes, title=title, columns=max(2, len(found.simulated)))
