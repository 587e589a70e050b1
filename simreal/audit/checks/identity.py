"""Whether files and storage alone give a side away.

Grey levels, the quality of the last JPEG, painted borders, plateaus of clipped pixels, the
order of files: facts with hardly any scatter, which a classifier needs no galaxy to learn. An
exact fact is judged by its mean over the images, and its error is never smaller than what one
image that deviates would make; its limit is small, because no galaxy asks for a difference.
Plateaus and black pixels depend on how bright galaxies are and how a display is stretched: they
veto between equal populations, and always where they tell the sides apart by themselves.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simreal.audit.contract import CheckMeta, Found, Given, Side
from simreal.audit.encoding_traces import (
    black_share,
    blockiness,
    brightest,
    effective_bits,
    grey_step,
    jpeg_trace,
    luma_levels,
    masked_share,
    off_grid_share,
    painted_border_share,
    tied_pixels,
)
from simreal.audit.inference import (
    AUC_LIMIT,
    FEWEST,
    Asked,
    auc_with_error,
    not_computable,
    offset,
    reading,
    separation,
)
from simreal.audit.pictures import bar, bars, histograms
from simreal.audit.shapes import blanked, filled
from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.core.audit import Reading
from simreal.core.images import ImageSet
from simreal.measure.stamps import luminance_of

META = CheckMeta(
    code="A11",
    title="identity of files",
    question="Do storage, borders, clipping or the order of files give a side away?",
    cost="fast",
    names_cause=True,
    mend="send both sides through the same last encoding, frame and clipping, and split files "
    "at random",
)
#: Differences of exact facts that do no harm: shares of images or of pixels, bits, and grades
#: of JPEG quality. Of the step between grey levels, its ratio.
SHARE_LIMIT, BITS_LIMIT, QUALITY_LIMIT = 0.02, 0.05, 0.25
STEP_LIMIT = float(np.log(1.002))
BLOCKINESS_LIMIT = float(np.log(1.1))
#: A number that alone separates the sides this well needs no other reason to veto.
EXACT = 0.95
#: [display value] Half a grey level.
HALF_GREY = 0.5 / 255.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traces:
    """The facts of one side, one number per image each; NaN where an image has none."""

    off_grid: Float64Array
    bits: Float64Array
    step: Float64Array
    traced: Float64Array
    quality: Float64Array
    blockiness: Float64Array
    painted: Float64Array
    tied: Float64Array
    brightest: Float64Array
    black: Float64Array
    masked: Float64Array


def traces(pixels: Float32Array, mask: BoolArray | None) -> Traces:
    """Return the facts of stamps ``(n, band, y, x)``."""
    if mask is None:
        whole, values = pixels, pixels.reshape(len(pixels), -1)
        usable: BoolArray = np.asarray(values.max(axis=1) > values.min(axis=1))
    else:
        whole, usable = filled(pixels, mask)
    luma, luminance = luma_levels(whole), luminance_of(whole)
    jpeg = jpeg_trace(luma)
    return Traces(
        off_grid=off_grid_share(pixels, mask),
        bits=blanked(effective_bits(pixels, mask), usable),
        step=blanked(grey_step(pixels, mask), usable),
        traced=blanked(jpeg.traced.astype(np.float64), usable),
        quality=blanked(jpeg.quality, usable),
        blockiness=blanked(blockiness(luma), usable),
        painted=blanked(painted_border_share(luminance), usable),
        tied=blanked(tied_pixels(pixels, mask), usable),
        brightest=brightest(pixels, mask),
        black=black_share(pixels, mask),
        masked=masked_share(pixels, mask),
    )


def run(given: Given, *, rng: np.random.Generator) -> Found:  # noqa: ARG001
    """Compare what storage left in the stamps of both sides, and the order of their files."""
    sim, obs = (traces(side.pixels(), side.stamps.mask) for side in (given.sim, given.obs))
    eight_bit = all(side.stamps.setup.unit == "display" for side in (given.sim, given.obs))
    readings = [
        *(_grey_levels(sim, obs) if eight_bit else ()),
        *_borders(sim, obs),
        *_pixels(given, sim, obs),
    ]
    order, note = _file_order(given)
    readings += order
    notes = [] if note is None else [note]
    if not eight_bit:
        notes.append("grey levels and JPEG: the pixels are no display values")
    notes += [fact for side in (given.sim, given.obs) for fact in _facts(side)]
    return Found(readings=readings, pictures=_pictures(sim, obs), notes=notes)


def exact(asked: Asked, sim: Float64Array, obs: Float64Array, *, unit: float = 1.0) -> Reading:
    """Return the difference of the means of a fact that hardly scatters.

    Parameters
    ----------
    asked : Asked
        Its limit is taken as it is.
    sim, obs : array (n,), (m,)
        Non-finite ones are left out.
    unit : float
        What one image deviates by when it does: the error is at least that of one more or less.

    Examples
    --------
    >>> fact = Asked(name="bits", limit=0.05)
    >>> exact(fact, np.full(300, 8.0), np.full(300, 8.0)).verdict
    'clean'
    >>> exact(fact, np.full(20, 8.0), np.full(20, 8.0)).verdict
    'underpowered'
    """
    sides = [np.asarray(values)[np.isfinite(values)] for values in (sim, obs)]
    counts = (len(sides[0]), len(sides[1]))
    if min(counts) < FEWEST:
        return not_computable(
            asked,
            f"got {counts[0]} simulated and {counts[1]} observed images with this number, needed "
            f"are {FEWEST} of each",
        )
    variance = sum(v.var(ddof=1) / len(v) + 0.5 * (unit / len(v)) ** 2 for v in sides)
    difference = float(sides[0].mean() - sides[1].mean())
    return reading(asked, difference, float(np.sqrt(variance)), n=counts)


def _grey_levels(sim: Traces, obs: Traces) -> list[Reading]:
    """Return what 8 bits and a JPEG leave; no galaxy has a part in it."""
    readings = [
        exact(
            Asked(name="values off the 8-bit grid", limit=SHARE_LIMIT, unit="share"),
            sim.off_grid,
            obs.off_grid,
        ),
        exact(Asked(name="bits in use", limit=BITS_LIMIT, unit="bit"), sim.bits, obs.bits),
        exact(
            Asked(name="stamps with the steps of a JPEG", limit=SHARE_LIMIT, unit="share"),
            sim.traced,
            obs.traced,
        ),
    ]
    if _known(sim.step, obs.step):
        asked = Asked(name="step between grey levels", limit=STEP_LIMIT, scale="ratio")
        readings.append(exact(asked, sim.step, obs.step, unit=0.05))
    if _known(sim.quality, obs.quality):
        asked = Asked(name="quality of the last JPEG", limit=QUALITY_LIMIT, unit="quality")
        readings.append(exact(asked, sim.quality, obs.quality))
    asked = Asked(name="edges of 8 x 8 blocks", limit=BLOCKINESS_LIMIT, scale="ratio")
    return [*readings, offset(asked, sim.blockiness, obs.blockiness)]


def _known(sim: Float64Array, obs: Float64Array) -> bool:
    return bool(min(np.isfinite(values).sum() for values in (sim, obs)) >= FEWEST)


def _borders(sim: Traces, obs: Traces) -> list[Reading]:
    readings = [
        exact(
            Asked(name="painted borders", limit=SHARE_LIMIT, unit="share of sides"),
            sim.painted,
            obs.painted,
        )
    ]
    if sim.masked.any() or obs.masked.any():
        asked = Asked(name="masked pixels", limit=SHARE_LIMIT, unit="share")
        readings.append(exact(asked, sim.masked, obs.masked))
    return readings


def _pixels(given: Given, sim: Traces, obs: Traces) -> list[Reading]:
    """Return what may be display or physics as well."""
    vetoes = given.same_population
    note = "depends on how bright galaxies are on the display"
    return [
        _telling(
            Asked(name="pixels tied at the stamp's maximum", vetoes=vetoes, note=note),
            sim.tied,
            obs.tied,
        ),
        _clipped(
            Asked(
                name="stamps clipped below the other side's brightest",
                limit=SHARE_LIMIT,
                unit="share",
                vetoes=vetoes,
                note=note,
            ),
            sim,
            obs,
        ),
        _telling(
            Asked(name="black pixels", vetoes=False, note="depends on the level of the sky"),
            sim.black,
            obs.black,
        ),
    ]


def _telling(asked: Asked, sim: Float64Array, obs: Float64Array) -> Reading:
    """Return how well a number separates the sides; one that does exactly vetoes."""
    found = separation(asked, sim, obs)
    told = found.value is not None and abs(found.value - 0.5) > EXACT - 0.5
    return replace(found, vetoes=asked.vetoes or told)


def _clipped(asked: Asked, sim: Traces, obs: Traces) -> Reading:
    """Return the share of stamps that a cut below the other side's brightest has levelled.

    The stamps of a side that end on its common maximum, as far as that many of the other side's
    are brighter; positive where the observed side is cut. A fainter or a blurred side has no
    common maximum, and sides cut at one level are level.
    """
    tops = [side.brightest[np.isfinite(side.brightest)] for side in (sim, obs)]
    counts = (len(tops[0]), len(tops[1]))
    if min(counts) < FEWEST:
        return not_computable(asked, f"fewer than {FEWEST} stamps of a side have free pixels")
    lower = 0 if tops[0].max() < tops[1].max() else 1
    cut, other = tops[lower], tops[1 - lower]
    levelled = float((cut > cut.max() - HALF_GREY).mean())
    above = float((other > cut.max() + HALF_GREY).mean())
    share = min(levelled, above)
    # Of two equal sides, a few stamps of one are brighter than all of the other.
    variance = sum(share * (1 - share) / n + 2.0 / n**2 for n in counts)
    return reading(asked, -share if lower == 0 else share, float(np.sqrt(variance)), n=counts)


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key in which numbers inside of names count as numbers.

    Examples
    --------
    >>> sorted(["g10", "g9", "f1"], key=natural_key)
    ['f1', 'g9', 'g10']
    """
    parts = re.split(r"(\d+)", text)
    return tuple((1, int(p), "") if p.isdecimal() else (0, 0, p) for p in parts)


def collection_of(images: ImageSet) -> str:
    """Return the name of the collection that a set, or a half of one, came from.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> collection_of(SimpleNamespace(name="sdss half A"))
    'sdss'
    """
    return re.sub(r"\s+(half|part|split)\s+\w+$", "", images.name.strip())


def _file_order(given: Given) -> tuple[list[Reading], str | None]:
    """Return whether the place of an image among all files tells its side."""
    sides = (given.sim, given.obs)
    sources = [side.stamps if side.native is None else side.native for side in sides]
    names = [collection_of(source) for source in sources]
    pattern = [
        {re.sub(r"\d+", "0", str(one)) for one in side.stamps.ids.tolist()} for side in sides
    ]
    together = names[0] == names[1] or (given.same_population and bool(pattern[0] & pattern[1]))
    if not together:
        return [], f"order of files: {names[0]} and {names[1]} are two collections"
    sim, obs = (side.stamps.ids.tolist() for side in sides)
    order = sorted(range(len(sim) + len(obs)), key=lambda k: natural_key(str([*sim, *obs][k])))
    place = np.empty(len(order))
    place[order] = np.arange(len(order))
    asked = Asked(name="place in the order of files")
    return [separation(asked, place[: len(sim)], place[len(sim) :])], None


def _facts(side: Side) -> list[str]:
    """Return the shapes of a side's images, as they were delivered and as they are."""
    stamps = side.stamps.images.shape
    shape = " x ".join(str(size) for size in stamps[2:])
    facts = f"{side.stamps.name}: {stamps[0]} stamps of {stamps[1]} bands, {shape} pixels"
    if side.native is not None:
        height, width = side.native.images.shape[2:]
        odd = "odd" if height % 2 or width % 2 else "even"
        facts += f"; delivered with {height} x {width} pixels ({odd})"
    return [facts]


def _pictures(sim: Traces, obs: Traces) -> dict[str, Any]:
    rows = []
    labels: Sequence[tuple[str, Callable[[Traces], Float64Array]]] = (
        ("values off the 8-bit grid", lambda t: t.off_grid),
        ("bits in use", lambda t: t.bits),
        ("quality of the last JPEG", lambda t: t.quality),
        ("edges of 8 x 8 blocks", lambda t: t.blockiness),
        ("painted borders", lambda t: t.painted),
        ("pixels tied at the maximum", lambda t: t.tied),
        ("brightest pixel", lambda t: t.brightest),
        ("black pixels", lambda t: t.black),
    )
    for label, pick in labels:
        sides = [values[np.isfinite(values)] for values in (pick(sim), pick(obs))]
        if min(map(len, sides)) >= FEWEST:
            auc, error = auc_with_error(*sides)
            rows.append(bar(label, 0.5 + abs(auc - 0.5), error))
    made = {
        "separation": bars(
            rows,
            x_label="AUC of the number alone, in the direction that tells more",
            limit=0.5 + AUC_LIMIT,
            caption="What the traces of storage tell by themselves.",
        )
    }
    if min(np.isfinite(side.quality).sum() for side in (sim, obs)):
        made["quality"] = histograms(
            sim.quality,
            obs.quality,
            x_label="quality of the last JPEG",
            caption="Estimated from the steps of each stamp's luminance coefficients.",
        )
    return made
