"""What a user's own card and files must keep: everything said, and what to do about it.

Each check looks at a card and at what became of its files and returns what it found. The files
themselves are never written to: the checks work on a folder of links.
"""

import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.core.cards import Card
from simreal.core.errors import SimrealError
from simreal.core.images import ImageSet, property_values
from simreal.data._contract import Ingested
from simreal.data._files import FoundFile, existing_folder, found_files
from simreal.data._outcome import WORRYING_FRACTION, by_code
from simreal.data.ingest import _adapter, ingest

State = Literal["kept", "look", "broken", "not tried"]

#: Objects whose files are read; a larger collection is checked on a sample of this many.
SAMPLE = 100
#: [s] Reading slower than this is not repeated.
PATIENCE = 15.0
#: AB magnitudes that galaxies, groups and clusters have: on the sky, and at 10 pc.
MAGNITUDES: Mapping[str, tuple[float, float]] = {"": (3.0, 32.0), "absolute ": (-30.0, -4.0)}
#: Half-light radii of galaxies: [kpc] at the object, [arcsec] on the sky.
RADII: Mapping[str, tuple[float, float]] = {"kpc": (0.1, 60.0), "arcsec": (0.02, 60.0)}
#: Share of images whose light must be brighter in the middle than at the border.
CENTRED = 0.8
#: Share of negative pixels at the border: below the first there is no noise around a zero sky,
#: above the second there is.
NO_NOISE, NOISE = 0.02, 0.2

_DIGITS = re.compile(r"\d+")
_PLANTED: Mapping[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[: len(content) // 2],
    "empty": lambda _content: b"",
    "a web page": lambda _content: b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check of a card: ``kept``, worth a ``look``, ``broken`` or ``not tried``.

    ``fix`` says what to do; it is empty where there is nothing to do.
    """

    check: str
    state: State
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedCard:
    """Everything that was found about a card and its files.

    Parameters
    ----------
    card : Card
    findings : tuple of Finding
    images : ImageSet or None
        What was read, on a store in the work folder.
    n_rejected : int
    """

    card: Card
    findings: tuple[Finding, ...]
    images: ImageSet | None
    n_rejected: int

    @property
    def passed(self) -> bool:
        """Whether nothing is broken."""
        return all(each.state != "broken" for each in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Case:
    """What the checks look at."""

    card: Card
    ingested: Ingested
    look: "_Look"

    @property
    def images(self) -> ImageSet:
        return self.ingested.images


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Look:
    """Numbers of every image: flux per band, half-light radius, centre and border.

    Parameters
    ----------
    flux : array (n, band)
        Sum above the level of the border.
    radius : array (n,)
        [pixel] of the circle that holds half of the light, all bands together.
    contrast : array (n,)
        Mean of the central quarter above the border, over the scatter of the border.
    negative : array (n,)
        Share of the border's pixels below zero.
    """

    flux: Float64Array
    radius: Float64Array
    contrast: Float64Array
    negative: Float64Array


def judge_card(card: Card, *, work: Path, seed: int = 0, sample: int | None = SAMPLE) -> JudgedCard:
    """Run every check on a card and its files.

    Parameters
    ----------
    card : Card
    work : Path
        Folder for the store of what is read.
    seed : int
        Of synthetic collections.
    sample : int or None
        Objects whose files are read; None for all.

    Returns
    -------
    JudgedCard

    Examples
    --------
    >>> from simreal.core.cards import load_card
    >>> card = load_card("toy-twin")
    >>> files = card.files.model_copy(update={"options": {"n_galaxies": 4, "views": 2}})
    >>> few = card.model_copy(update={"files": files})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     judged = judge_card(few, work=Path(folder))
    >>> judged.passed
    True
    """
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as linked:
        try:
            near, about = _linked(card, Path(linked), sample)
            findings.append(about)
            start = time.perf_counter()
            ingested = ingest(near, seed=seed, store=work / "images.h5")
            seconds = time.perf_counter() - start
        except SimrealError as error:
            text, fix = _halves(_own_words(str(error), linked, card))
            findings.append(Finding(check="reads", state="broken", found=text, fix=fix))
            return JudgedCard(card=card, findings=tuple(findings), images=None, n_rejected=0)
        findings.append(_reads(ingested, seconds))
        findings.append(_quarantine(near, ingested, seconds, work=work, seed=seed))
        case = _Case(card=card, ingested=ingested, look=_looked(ingested.images))
        for name, check in CHECKS.items():
            findings += [
                Finding(check=name, state=state, found=found, fix=fix)
                for state, found, fix in check(case)
            ]
    return JudgedCard(
        card=card,
        findings=tuple(findings),
        images=ingested.images,
        n_rejected=len(ingested.rejected),
    )


def _own_words(text: str, linked: str, card: Card) -> str:
    return text.replace(linked, str(card.folder() or ""))


def _halves(text: str) -> tuple[str, str]:
    """Return what was found and what to do: errors say the latter after the last semicolon."""
    found, _, fix = text.rpartition("; ")
    return (found, fix) if found else (text, "")


def _linked(card: Card, folder: Path, sample: int | None) -> tuple[Card, Finding]:
    """Return the card over links to its files, or to those of some of its objects."""
    if card.files.folder is None:
        return card, Finding(check="files", state="kept", found="rendered on the spot")
    source = existing_folder(card)
    everything = found_files(source, "**/*")
    wanted = found_files(source, card.files.pattern)
    suffixes = _suffixes(card)
    opened = [file for file in wanted if file.name.lower().endswith(suffixes)]
    if not opened:
        return card, Finding(
            check="files",
            state="broken",
            found=f"{len(wanted)} of {len(everything)} files in {source} match "
            f"{card.files.pattern!r}, and none ends in {', '.join(suffixes)}",
            fix="correct files.pattern, files.folder or files.adapter",
        )
    chosen = everything if sample is None else _sampled(everything, sample)
    for file in chosen:
        link = folder / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.path.resolve())
    found = f"{len(opened)} files in {source} to read"
    if len(chosen) < len(everything):
        found += f", checked on a sample of {len(chosen)} files (--all reads every one)"
    near = card.model_copy(update={"files": card.files.model_copy(update={"folder": str(folder)})})
    return near, Finding(check="files", state="kept", found=found)


def _suffixes(card: Card) -> tuple[str, ...]:
    return tuple(getattr(_adapter(card), "SUFFIXES", ("",)))


def _sampled(files: Sequence[FoundFile], sample: int) -> tuple[FoundFile, ...]:
    """Return the files of evenly spread objects; the files of an object stay together.

    An object is told by the last number in its file names; files without one are kept.
    """
    if len(files) <= 3 * sample:
        return tuple(files)
    of = {file.name: _last_number(file.name) for file in files}
    numbers = sorted({number for number in of.values() if number is not None})
    if len(numbers) <= sample:
        return tuple(files)
    picked = {numbers[i] for i in np.linspace(0, len(numbers) - 1, sample).astype(int)}
    return tuple(f for f in files if of[f.name] is None or of[f.name] in picked)


def _last_number(name: str) -> str | None:
    stem = Path(name).name.partition(".")[0]
    found = _DIGITS.findall(stem)
    return found[-1] if found else None


def _reads(ingested: Ingested, seconds: float) -> Finding:
    n, lost = len(ingested.images), len(ingested.rejected)
    found = f"{n} images of {ingested.images.n_groups} objects in {seconds:.1f} s"
    if not lost:
        return Finding(check="reads", state="kept", found=found)
    first, fix = _halves(ingested.rejected[0].reason)
    return Finding(
        check="reads",
        state="broken" if lost > WORRYING_FRACTION * (n + lost) else "look",
        found=f"{found}; {lost} rejected ({by_code(ingested.rejected)}), the first: {first}",
        fix=fix,
    )


def _quarantine(
    near: Card, ingested: Ingested, seconds: float, *, work: Path, seed: int
) -> Finding:
    """Plant broken files beside the good ones, which must come out as before."""
    name = "broken files change nothing"
    folder = near.folder()
    if near.files.folder is None or folder is None:
        return Finding(check=name, state="not tried", found="the collection has no files")
    if seconds > PATIENCE:
        found = f"reading takes {seconds:.0f} s: it is not repeated"
        return Finding(check=name, state="not tried", found=found)
    with _planted(near, folder) as names:
        if not names:
            return Finding(check=name, state="not tried", found="no file name holds a number")
        try:
            again = ingest(near, seed=seed, store=work / "again.h5")
        except SimrealError as error:
            return Finding(
                check=name,
                state="broken",
                found=f"one broken file stops everything: {_own_words(str(error), '', near)}",
                fix="let the adapter raise BadFileError for it",
            )
    if again.images.digest == ingested.images.digest:
        more = len(again.rejected) - len(ingested.rejected)
        found = f"{len(names)} were planted ({', '.join(names)}), {more} of them rejected by name"
        return Finding(check=name, state="kept", found=f"{found}; the others bit-identical")
    return Finding(
        check=name,
        state="broken",
        found=f"with {len(names)} broken files beside them the good ones read differently, or "
        "read differently every time",
        fix="let the adapter treat every file by itself, in the order of the names",
    )


@contextmanager
def _planted(near: Card, folder: Path) -> Iterator[list[str]]:
    """Put broken copies of a file beside the good ones, under names of their own."""
    suffixes = _suffixes(near)
    names = [
        file
        for file in found_files(folder, near.files.pattern)
        if file.name.lower().endswith(suffixes) and _last_number(file.name) is not None
    ]
    put: list[Path] = []
    if names:
        content = names[0].path.read_bytes()
        for i, broken in enumerate(_PLANTED.values()):
            path = _renamed(names[0].path, f"98765432{i}")
            path.write_bytes(broken(content))
            put.append(path)
    try:
        yield list(_PLANTED) if put else []
    finally:
        for path in put:
            path.unlink()


def _renamed(path: Path, number: str) -> Path:
    stem, dot, ending = path.name.partition(".")
    last = list(_DIGITS.finditer(stem))[-1]
    return path.with_name(stem[: last.start()] + number + stem[last.end() :] + dot + ending)


def _looked(images: ImageSet) -> _Look:
    seen = []
    for rows, block in images.chunks(64):
        for place, image in enumerate(block):
            mask = None if images.mask is None else images.mask[rows.start + place]
            seen.append(look_at(image, mask))
    flux, radius, contrast, negative = zip(*seen, strict=True)
    return _Look(
        flux=np.array(flux),
        radius=np.array(radius),
        contrast=np.array(contrast),
        negative=np.array(negative),
    )


def look_at(
    image: Float32Array, mask: BoolArray | None
) -> tuple[Float64Array, float, float, float]:
    """Return what one image ``(band, y, x)`` shows: flux, radius, contrast, negative border.

    Only the image's own field counts, without its padding, and no masked pixel.

    Examples
    --------
    >>> y, x = np.indices((41, 41)) - 20
    >>> disc = (np.hypot(y, x) <= 10).astype(np.float32)
    >>> flux, radius, _, _ = look_at(disc[None], None)
    >>> bool(flux[0] == disc.sum()), 6 < radius < 8  # 10 / sqrt(2) = 7.07
    (True, True)
    """
    field = (slice(None), slice(None)) if mask is None else own_field(mask)
    part = (slice(None), *field)
    values = np.array(image[part], dtype=np.float64)
    if mask is not None:
        values[mask[part]] = np.nan
    height, width = values.shape[-2:]
    y, x = np.indices((height, width))
    edge = np.minimum.reduce([y, x, height - 1 - y, width - 1 - x]) < max(2, min(y.shape) // 10)
    near = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2)
    border = values[:, edge]
    level, scatter = _middle(border)
    values -= level[:, None, None]
    inner = values[:, near <= min(height, width) / 4]
    middle = float(np.mean(inner[np.isfinite(inner)])) if np.isfinite(inner).any() else 0.0
    known = border[np.isfinite(border)]
    return (
        np.nansum(values, axis=(1, 2)),
        _half_light(np.nansum(values, axis=0), near),
        middle / max(float(scatter.mean()), 1e-30),
        float(np.mean(known < 0)) if len(known) else 0.0,
    )


def _middle(border: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return median and scatter along the last axis; an edge that is all masked counts 0."""
    known = np.where(np.isfinite(border).any(axis=-1, keepdims=True), border, 0.0)
    low, level, high = np.nanpercentile(known, (15.9, 50, 84.1), axis=-1)
    return level, (high - low) / 2


def _half_light(image: Float64Array, near: Float64Array) -> float:
    order = np.argsort(near, axis=None)
    grown = np.cumsum(image.ravel()[order])
    peak = int(np.argmax(grown))
    if not grown[peak] > 0:
        return float("nan")
    first = int(np.argmax(grown >= grown[peak] / 2))
    return float(near.ravel()[order][first])


Verdict = tuple[State, str, str]


def check_bands(case: _Case) -> Iterator[Verdict]:
    """Tell whether bands are named so that others can pair them."""
    from simreal.core.conditions import condition_names, load_conditions

    bands = case.images.setup.bands
    if case.card.track != "flux":
        yield "kept", ", ".join(bands), ""
        return
    known = {band for name in condition_names() for band in load_conditions(name).bands}
    unknown = [band for band in bands if band not in known]
    if unknown:
        yield (
            "look",
            f"{', '.join(unknown)}: not among the bands of the shipped surveys",
            "name bands instrument-filter, such as sdss-r; others need a wavelength to be paired",
        )
    else:
        yield "kept", ", ".join(bands), ""


def check_scale(case: _Case) -> Iterator[Verdict]:
    """Tell whether the half-light radii are those of galaxies."""
    setup, radius = case.images.setup, np.nanmedian(case.look.radius)
    scales = {"arcsec": setup.pixel_scale, "kpc": setup.physical_scale}
    if all(scale is None for scale in scales.values()):
        yield (
            "look",
            f"no pixel scale is known; half-light radius {radius:.1f} pixels",
            "state view.pixel_scale or view.field_of_view (flux: calibration.pixel_scale)",
        )
    for unit, scale in scales.items():
        if scale is None:
            continue
        size = float(np.nanmedian(case.look.radius * scale))
        found = f"{np.median(scale):.4g} {unit} / pixel; half-light radius {size:.3g} {unit}"
        low, high = RADII[unit]
        if case.card.object_kind == "galaxy" and not low <= size <= high:
            yield (
                "broken",
                f"{found}, galaxies have {low:g} to {high:g}",
                "correct the pixel scale and its unit",
            )
        else:
            yield "kept", found, ""


def check_brightness(case: _Case) -> Iterator[Verdict]:
    """Tell whether the magnitudes are those of galaxies."""
    if case.card.track != "flux":
        yield "not tried", "display values have no magnitude", ""
        return
    flux = case.look.flux
    magnitude = 31.4 - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
    kind, distance = "", case.images.setup.distance
    if distance is None and case.card.calibration is not None:
        distance = case.card.calibration.distance
    if distance is not None:
        # [Mpc]; the distance modulus to 10 pc.
        kind = "absolute "
        magnitude = magnitude - 5 * np.log10(np.reshape(distance, (-1, 1)) * 1e5)
    share = float(np.isfinite(magnitude).mean())
    middle = np.nanmedian(magnitude, axis=0) if share else np.full(flux.shape[1], np.nan)
    shown = ", ".join(
        f"{band} {value:.2f}" for band, value in zip(case.images.setup.bands, middle, strict=True)
    )
    fix = "correct calibration.unit and zero_point; compare with a magnitude you know"
    low, high = MAGNITUDES[kind]
    if share < CENTRED:
        yield "broken", f"{100 * (1 - share):.0f} % of the total fluxes are negative", fix
    elif not ((low <= middle) & (middle <= high)).all():
        yield "broken", f"median {kind}AB magnitudes {shown}, allowed are {low:g} to {high:g}", fix
    else:
        yield "kept", f"median {kind}AB magnitudes {shown}: compare with what you know", ""


def check_centre(case: _Case) -> Iterator[Verdict]:
    """Tell whether there is an object in the middle."""
    share = float(np.mean(case.look.contrast > 0))
    found = f"{100 * share:.0f} % of the images are brighter in the middle than at the border"
    if share < CENTRED:
        yield "broken", found, "centre the stamps on their objects; look at the contact sheet"
    else:
        yield "kept", found, ""


def check_sky(case: _Case) -> Iterator[Verdict]:
    """Tell whether there is sky where the card says so, and nowhere else."""
    rendition, negative = case.images.setup.rendition, float(np.median(case.look.negative))
    if case.card.track != "flux":
        yield "not tried", f"the card says {rendition}", ""
    elif rendition == "idealised" and negative > NOISE:
        yield (
            "broken",
            f"idealised, but {100 * negative:.0f} % of the border is negative, as noise is",
            'say rendition = "survey" in [view]',
        )
    elif rendition == "survey" and negative < NO_NOISE:
        yield (
            "look",
            "survey, but hardly a pixel of the border is negative",
            'subtract the sky, or say rendition = "idealised" in [view]',
        )
    else:
        yield "kept", f"{rendition}; {100 * negative:.0f} % of the border is negative", ""


def check_mask(case: _Case) -> Iterator[Verdict]:
    """Tell whether the mask leaves something."""
    calibration, mask = case.card.calibration, case.images.mask
    if calibration is None:
        yield "not tried", "display images have no mask", ""
        return
    share = 0.0 if mask is None else float(np.mean([_lost(own) for own in mask]))
    found = f"mask = {calibration.mask!r}: {100 * share:.1f} % of the pixels are left out"
    if share > 0.5:
        yield "look", found, "turn calibration.mask round (good, bad)"
    elif share == 0 and calibration.mask != "none":
        yield "look", found, "nothing is masked inside the images: see that their mask is found"
    else:
        yield "kept", found, ""


def _lost(mask: BoolArray) -> float:
    """Return the share of masked pixels in an image's own field, its padding left out."""
    return float(mask[(slice(None), *own_field(mask))].mean())


def own_field(mask: BoolArray) -> tuple[slice, slice]:
    """Return the part ``(y, x)`` of an image ``(band, y, x)`` that is not padding.

    Examples
    --------
    >>> mask = np.ones((1, 5, 5), dtype=bool)
    >>> mask[0, 1:4, 2:4] = False
    >>> own_field(mask)
    (slice(1, 4, None), slice(2, 4, None))
    """
    used: BoolArray = np.asarray(~mask.all(axis=0))
    ys, xs = np.flatnonzero(np.any(used, axis=1)), np.flatnonzero(np.any(used, axis=0))
    if len(ys) == 0:
        return slice(0, mask.shape[1]), slice(0, mask.shape[2])
    return slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1)


def check_groups(case: _Case) -> Iterator[Verdict]:
    """Tell whether views of one object are known as such."""
    n, groups, views = len(case.images), case.images.n_groups, case.card.view.views_per_object
    found = f"{n} images of {groups} objects"
    if views > 1 and groups == n > 1:
        yield (
            "look",
            f"{found}, though view.views_per_object = {views}",
            "where several views are here, name the column they share in files.group",
        )
    else:
        yield "kept", found, ""


def check_properties(case: _Case) -> Iterator[Verdict]:
    """Tell which properties are there, missing or the same for all."""
    table = case.images.properties
    if table is None or not table.colnames:
        yield (
            "look",
            "none: nothing to match the selections by, nor to explain by",
            "join a table with files.table, files.join and [properties.NAME]",
        )
        return
    good, odd = [], []
    for name in table.colnames:
        found = property_values(table, name)
        if found is None:
            good.append(name)
            continue
        values, valid, _ = found
        if not valid.any():
            odd.append(f"{name} has no value")
        elif len(values) > 1 and np.ptp(values[valid]) == 0:
            odd.append(f"{name} is the same for all")
        else:
            good.append(name if valid.all() else f"{name} ({100 * valid.mean():.0f} % known)")
    if good:
        yield "kept", ", ".join(good), ""
    if odd:
        yield "look", "; ".join(odd), "check the column's name and the rows joined"


def check_repeats(case: _Case) -> Iterator[Verdict]:
    """Pass on what was noted while reading."""
    if not case.ingested.notes:
        yield "kept", "nothing", ""
    for note in case.ingested.notes:
        yield "look", note, "see that this is meant"


def check_credit(case: _Case) -> Iterator[Verdict]:
    """Tell whether others can cite and fetch the collection."""
    credit = case.card.credit
    if not credit.citation or credit.licence in ("", "not stated"):
        yield "look", "no citation or licence", "fill in [credit]: reports print it"
    else:
        yield "kept", f"{credit.citation[0]}; {credit.licence}", ""


CHECKS: Mapping[str, Callable[[_Case], Iterator[Verdict]]] = {
    "bands": check_bands,
    "pixel scale": check_scale,
    "brightness": check_brightness,
    "centre": check_centre,
    "sky": check_sky,
    "mask": check_mask,
    "objects and views": check_groups,
    "properties": check_properties,
    "noted while reading": check_repeats,
    "credit": check_credit,
}
