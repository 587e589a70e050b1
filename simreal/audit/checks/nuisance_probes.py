"""Whether both sides are centred, registered and crowded alike.

One number per image each. Centres and offsets between bands are conventions of a pipeline and
veto always; neighbours around galaxies may be satellites and veto between equal populations
only, those on empty sky always. What the tables of both sides know of their images' conditions
is compared too. What the encoder sees of a nuisance is only reported: it does no harm while
both sides share its distribution.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simreal.audit.contract import CheckMeta, Found, Given, Side
from simreal.audit.inference import (
    FEWEST,
    SHIFT_LIMIT,
    Asked,
    not_computable,
    offset,
    reading,
    robust_scatter,
)
from simreal.audit.pictures import bar, bars
from simreal.audit.probe import Probed, cross_validated_r2
from simreal.audit.shapes import (
    blanked,
    compact_sources,
    free_pixels,
    light_centre,
    light_radius,
    psf_sigma,
)
from simreal.core.arrays import Float64Array
from simreal.core.audit import Reading
from simreal.core.images import ImageSet
from simreal.measure.registration import band_offsets
from simreal.measure.stamps import luminance_of

META = CheckMeta(
    code="A6",
    title="nuisance probes",
    question="Are images centred, registered and crowded alike, and taken under like conditions?",
    cost="fast",
    names_cause=True,
    mend="centre both sides by the same rule, register the bands, and inject or mask neighbours "
    "alike",
)
#: [pixel]
POSITION_LIMIT = 0.1
RATIO_LIMIT = float(np.log(1.03))
R2_LIMIT = 0.1
#: Neighbours are counted outside this many half-light radii, and outside this part of a side.
CLEAR_RADII, CLEAR_LEAST, CLEAR_MOST = 1.3, 0.15, 0.3
#: Columns of properties that are conditions of an image, not of a galaxy, and distances.
CONDITIONS = ("airmass", "seeing", "exposure", "exptime", "zeropoint", "tile", "chip_x", "chip_y",
              "redshift", "z", "depth", "extinction", "background")  # fmt: skip
#: Sources on empty sky are counted below this significance.
FAINT = 25.0
NEIGHBOURS = "sources beside the galaxy"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """One number per image of both sides, and what is asked of it.

    Parameters
    ----------
    asked : Asked
    sim, obs : array (n,), (m,)
    kind : str
        What an embedding may know of it; probes of one kind are reported as one. Empty where
        the numbers are not those of the stamps.
    """

    asked: Asked
    sim: Float64Array
    obs: Float64Array
    kind: str = ""


def run(given: Given, *, rng: np.random.Generator) -> Found:
    """Compare centres, band offsets, neighbours and declared conditions."""
    sides = (given.sim, given.obs)
    light = [free_pixels(side.stamps) for side in sides]
    luminance = [luminance_of(pixels) for pixels, _ in light]
    usable = [one[1] for one in light]
    probes = [
        *_centres(luminance, usable),
        *_neighbours(given, luminance, usable),
        *_conditions(given),
    ]
    registration, missing = _registration([one[0] for one in light], usable)
    probes += registration
    readings = [offset(probe.asked, probe.sim, probe.obs) for probe in probes]
    notes = []
    crowded, note = _crowded_sky(given)
    if crowded is not None:
        probes.append(crowded)
        readings.append(offset(crowded.asked, crowded.sim, crowded.obs))
    if note is not None:
        notes.append(note)
    readings += missing + _in_embedding(given.obs, probes, rng)
    return Found(readings=readings, pictures={"differences": _bars(probes)}, notes=notes)


def _centres(luminance: Sequence[Any], usable: Sequence[Any]) -> list[Probe]:
    found = [blanked(light_centre(one), ok) for one, ok in zip(luminance, usable, strict=True)]
    return [
        Probe(
            asked=Asked(name=f"centre of the light along {axis}", limit=POSITION_LIMIT,
                        unit="pixel"),
            sim=found[0][:, k],
            obs=found[1][:, k],
            kind="centre",
        )
        for k, axis in enumerate("xy")
    ]  # fmt: skip


def _registration(
    pixels: Sequence[Any], usable: Sequence[Any]
) -> tuple[list[Probe], list[Reading]]:
    bands = pixels[0].shape[1]
    if bands < 2 or pixels[1].shape[1] != bands:
        asked = Asked(name="offset between bands", limit=POSITION_LIMIT, unit="pixel")
        reason = f"got {pixels[0].shape[1]} and {pixels[1].shape[1]} bands, needed are 2 or more"
        return [], [not_computable(asked, reason)]
    found = [blanked(band_offsets(one), ok) for one, ok in zip(pixels, usable, strict=True)]
    # Of two bands, one offset is the other's with the sign turned.
    told = range(1, bands) if bands == 2 else range(bands)
    return [
        Probe(
            asked=Asked(
                name=f"band {band + 1} against the others along {axis}",
                limit=POSITION_LIMIT,
                unit="pixel",
            ),
            sim=found[0][:, band, k],
            obs=found[1][:, band, k],
            kind="offsets between bands",
        )
        for band in told
        for k, axis in enumerate("xy")
    ], []


def _neighbours(given: Given, luminance: Sequence[Any], usable: Sequence[Any]) -> list[Probe]:
    sigma = psf_sigma(given.sim.stamps, given.obs.stamps)
    inner = [
        _clear_radius(side.stamps, one)
        for side, one in zip((given.sim, given.obs), luminance, strict=True)
    ]
    found = [compact_sources(one, inner=max(inner), sigma=sigma) for one in luminance]
    count, share = (
        [
            blanked(getattr(one, pick), ok)
            for one, ok in zip(found, usable, strict=True)
        ]
        for pick in ("count", "share")
    )  # fmt: skip
    note = "neighbours may be satellites, and arms are full of knots"
    vetoes = given.same_population
    return [
        Probe(
            asked=Asked(name=NEIGHBOURS, unit="per stamp", vetoes=vetoes, note=note),
            sim=count[0],
            obs=count[1],
            kind="neighbours",
        ),
        Probe(
            asked=Asked(name=f"share of light in {NEIGHBOURS}", vetoes=vetoes, note=note),
            sim=share[0],
            obs=share[1],
            kind="neighbours",
        ),
    ]  # fmt: skip


def _clear_radius(stamps: ImageSet, luminance: Any) -> float:
    """Return the distance [pixel] from which a source is not the galaxy itself."""
    side = min(luminance.shape[1:])
    radius = light_radius(stamps, luminance)
    clear = CLEAR_RADII * radius if radius is not None else CLEAR_LEAST * side
    return float(np.clip(clear, CLEAR_LEAST * side, CLEAR_MOST * side))


def _crowded_sky(given: Given) -> tuple[Probe | None, str | None]:
    found = [side.sky_pixels() for side in (given.sim, given.obs)]
    skies = [sky for sky in found if sky is not None and len(sky) >= FEWEST]
    if len(skies) < 2:
        return None, f"no sources on empty sky: a side has fewer than {FEWEST} patches of it"
    sigma = psf_sigma(given.sim.stamps, given.obs.stamps)
    counts = []
    for sky in skies:
        sources = compact_sources(np.nan_to_num(luminance_of(sky)), sigma=sigma)
        faint = sources.row[sources.significance < FAINT]
        counts.append(np.bincount(faint, minlength=len(sky)).astype(np.float64))
    asked = Asked(
        name="faint sources on empty sky",
        unit="per patch",
        note="bright stars come and go from patch to patch",
    )
    return Probe(asked=asked, sim=counts[0], obs=counts[1]), None


def _conditions(given: Given) -> list[Probe]:
    """Return what setups and tables of both sides say of the conditions of each image."""
    probes = []
    for name in ("pixel_scale", "exposure"):
        sim, obs = (getattr(side.stamps.setup, name) for side in (given.sim, given.obs))
        if sim is None or obs is None:
            continue
        values = [
            np.log(np.broadcast_to(np.asarray(value, dtype=np.float64), (len(side.stamps),)))
            for value, side in ((sim, given.sim), (obs, given.obs))
        ]
        asked = Asked(name=f"declared {name.replace('_', ' ')}", limit=RATIO_LIMIT, scale="ratio")
        probes.append(Probe(asked=asked, sim=values[0], obs=values[1], kind=asked.name))
    tables = [_numbers(side.stamps) for side in (given.sim, given.obs)]
    for name in CONDITIONS:
        if name in tables[0] and name in tables[1]:
            asked = Asked(name=f"column {name}", vetoes=False, note="as the tables have it")
            probes.append(
                Probe(asked=asked, sim=tables[0][name], obs=tables[1][name], kind=asked.name)
            )
    return probes


def _numbers(stamps: ImageSet) -> dict[str, Float64Array]:
    """Return the numeric columns of a set by their lower-case names, missing values as NaN."""
    table, found = stamps.properties, {}
    if table is None:
        return {}
    for name in table.colnames:
        column = table[name]
        values = np.ma.asarray(getattr(column, "value", column))
        if values.ndim == 1 and values.dtype.kind in "iuf":
            found[name.lower()] = np.asarray(np.ma.filled(values.astype(np.float64), np.nan))
    return found


def _in_embedding(side: Side, probes: Sequence[Probe], rng: np.random.Generator) -> list[Reading]:
    """Return how much of each kind of nuisance the observed embedding knows."""
    if side.embedding is None:
        asked = Asked(name="nuisances in the observed embedding (R²)", scale="share", vetoes=False)
        return [not_computable(asked, "there is no embedding")]
    vectors = np.asarray(side.embedding.vectors, dtype=np.float64)
    best: dict[str, tuple[Probed, int]] = {}
    for probe in probes:
        known = np.isfinite(probe.obs)
        n = int(known.sum())
        if not probe.kind or n < FEWEST or np.ptp(probe.obs[known]) < 1e-9:
            continue
        found = cross_validated_r2(vectors[known], probe.obs[known], rng=rng)
        if probe.kind not in best or found.value > best[probe.kind][0].value:
            best[probe.kind] = (found, n)
    return [
        reading(
            Asked(
                name=f"{kind} in the observed embedding (R²)",
                limit=R2_LIMIT,
                scale="share",
                vetoes=False,
                note="the largest of its kind; harmless while both sides share its distribution",
            ),
            found.value,
            found.error,
            n=(0, n),
        )
        for kind, (found, n) in best.items()
    ]


def _bars(probes: Sequence[Probe]) -> dict[str, Any]:
    """Return differences of means over the scatter from image to image."""
    rows = []
    for probe in probes:
        sides = [values[np.isfinite(values)] for values in (probe.sim, probe.obs)]
        if min(map(len, sides)) < FEWEST:
            continue
        scatter = float(np.sqrt(np.mean([robust_scatter(values) ** 2 for values in sides])))
        if not scatter > 0:
            continue
        error = float(np.sqrt(sum(values.var(ddof=1) / len(values) for values in sides)))
        away = float(sides[0].mean() - sides[1].mean())
        rows.append(bar(probe.asked.name, away / scatter, error / scatter))
    return bars(
        rows,
        x_label="simulated minus observed, in scatters from image to image",
        limit=round(SHIFT_LIMIT, 3),
        caption="At the limit, the number alone tells the sides apart with an AUC of .55.",
    )
