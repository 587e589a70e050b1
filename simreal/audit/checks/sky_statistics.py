"""Whether the sky is as bright, as noisy and as level on both sides.

Level and tilt are in units of the observed side's median noise. The level has a second
reading, of the darkest blocks of a patch: faint sources cannot brighten them, and where a
display clips the sky at black they show a pedestal sooner. The autocorrelation at 1 to 3
pixels is the power spectrum again, which `noise_power` judges; here it is reported, and what
vetoes are lags beyond the reach of an interpolation. The numbers of skewness and kurtosis have
no harm of their own: their limit is that they do not tell the sides apart.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from simreal.audit.contract import CheckMeta, Found, Given
from simreal.audit.inference import (
    FEWEST,
    SHIFT_LIMIT,
    Asked,
    not_computable,
    offset,
    quantile_offset,
    reading,
)
from simreal.audit.sky import Seen, rounded, seen_corners, seen_sky
from simreal.core.arrays import Float64Array
from simreal.core.audit import Reading
from simreal.core.errors import NotComputableError
from simreal.measure.sky_texture import SkyTexture

META = CheckMeta(
    code="A3",
    title="sky level and noise",
    question="Is the sky as bright, as noisy and as level on both sides?",
    cost="fast",
    names_cause=True,
    mend="subtract the background alike on both sides, and draw noise from the survey's own "
    "distribution of sky rms",
)
LEVEL_LIMIT, RMS_LIMIT, TAIL_LIMIT, LAG_LIMIT = 0.02, 0.02, 0.05, 0.02
#: The 5th and the 95th percentile of the rms from image to image.
TAILS = (5, 95)
#: [pixel] Shorter lags are the power spectrum again.
SHORTEST_LAG = 4
#: Share of images without any noise by which sides may differ.
FLAT_LIMIT = 0.05
UNIT = "median observed sky rms"


def run(given: Given, *, rng: np.random.Generator) -> Found:
    """Compare the numbers of the sky, and level and noise in the corners of the stamps."""
    seen = seen_sky(given)
    # In the corners of stamps all of these may be a galaxy's.
    vetoes = seen.pure or given.same_population
    readings = [
        *_levels(seen, vetoes=vetoes),
        *_noise(seen, vetoes=vetoes, rng=rng),
        *_moments(seen, vetoes=vetoes),
        *_lags(seen, vetoes=vetoes),
        _flat(seen, vetoes=vetoes),
    ]
    if seen.pure:
        readings += _on_stamps(given)
    return Found(readings=readings, pictures=_pictures(seen), notes=seen.notes)


def _unit(seen: Seen) -> float:
    """Return the median observed rms, or the simulated one where the observed sky is flat."""
    for texture in reversed(seen.texture):
        if np.isfinite(texture.rms).any():
            return float(np.nanmedian(texture.rms))
    return 1.0


def _levels(seen: Seen, *, vetoes: bool) -> list[Reading]:
    unit = _unit(seen)

    def of(texture: SkyTexture) -> Mapping[str, Float64Array]:
        tilt = texture.tilt / unit
        return {
            "mean level": texture.level / unit,
            "level of the darkest tenth": texture.floor / unit,
            "tilt along x, edge to edge": tilt[:, 1],
            "tilt along y, edge to edge": tilt[:, 0],
            "steepness of the tilt": np.hypot(tilt[:, 0], tilt[:, 1]),
        }

    sim, obs = (of(texture) for texture in seen.texture)
    return [
        offset(Asked(name=name, limit=LEVEL_LIMIT, unit=UNIT, vetoes=vetoes), sim[name], obs[name])
        for name in sim
    ]


def _noise(seen: Seen, *, vetoes: bool, rng: np.random.Generator) -> list[Reading]:
    sim, obs = (np.log(texture.rms) for texture in seen.texture)
    asked = Asked(name="sky rms", limit=RMS_LIMIT, scale="ratio", vetoes=vetoes)
    readings = [offset(asked, sim, obs)]
    for percentile in TAILS:
        tail = Asked(
            name=f"sky rms, {percentile}th percentile",
            limit=TAIL_LIMIT,
            scale="ratio",
            vetoes=vetoes,
        )
        found = quantile_offset(tail, sim, obs, percentile=percentile, rng=rng)
        readings.append(_as_a_mean(tail, found))
    return readings


def _as_a_mean(asked: Asked, found: Reading) -> Reading:
    """Return the reading of a percentile with the limit that its scatter allows.

    To first order a percentile is the mean of its influence values over the images; as for
    any number, what is small against their scatter tells no sides apart.
    """
    if found.value is None:
        return found
    scatter = found.error / np.hypot(found.n_sim**-0.5, found.n_obs**-0.5)
    limit = max(TAIL_LIMIT, SHIFT_LIMIT * float(scatter))
    return reading(
        replace(asked, limit=limit), found.value, found.error, n=(found.n_sim, found.n_obs)
    )


def _moments(seen: Seen, *, vetoes: bool) -> list[Reading]:
    sim, obs = seen.texture
    note = "no difference harms by itself: the limit is an AUC of .55"
    return [
        offset(Asked(name="skewness", vetoes=vetoes, note=note), sim.skewness, obs.skewness),
        offset(Asked(name="kurtosis", vetoes=vetoes, note=note), sim.kurtosis, obs.kurtosis),
    ]


def _lags(seen: Seen, *, vetoes: bool) -> list[Reading]:
    sim, obs = (texture.correlation.mean(axis=1) for texture in seen.texture)
    readings = []
    for lag in range(1, sim.shape[1] + 1):
        short = lag < SHORTEST_LAG
        asked = Asked(
            name=f"autocorrelation at {lag} pixel",
            limit=LAG_LIMIT,
            vetoes=vetoes and not short,
            note="judged by the power spectrum" if short else "",
        )
        readings.append(offset(asked, sim[:, lag - 1], obs[:, lag - 1]))
    return readings


def _flat(seen: Seen, *, vetoes: bool) -> Reading:
    """Return the difference of the shares of images without noise, which lack all the rest.

    No galaxy takes the noise out of an image: where there is such an image, this vetoes.
    """
    flat = [texture.flat.astype(np.float64) for texture in seen.texture]
    shares = [float(side.mean()) for side in flat]
    # Half an image of either kind is what a share of exactly 0 or 1 leaves open.
    errors = [
        max(share * (1 - share), 0.5 / len(side)) / len(side)
        for share, side in zip(shares, flat, strict=True)
    ]
    asked = Asked(
        name="share of images without noise", limit=FLAT_LIMIT, vetoes=vetoes or max(shares) > 0
    )
    n = (len(flat[0]), len(flat[1]))
    if min(n) < FEWEST:
        return not_computable(
            asked, f"got {n[0]} simulated and {n[1]} observed images, needed are {FEWEST} of each"
        )
    return reading(asked, shares[0] - shares[1], float(np.sqrt(sum(errors))), n=n)


def _on_stamps(given: Given) -> list[Reading]:
    """Return level and noise of the corners: a leak into the stamps leaves empty sky as it is."""
    vetoes = given.same_population
    names = ("darkest tenth in the corners of the stamps", "rms in the corners of the stamps")
    level = Asked(name=names[0], limit=LEVEL_LIMIT, unit=UNIT, vetoes=vetoes)
    noise = Asked(name=names[1], limit=RMS_LIMIT, scale="ratio", vetoes=vetoes)
    try:
        seen = seen_corners(given)
    except NotComputableError as error:
        return [not_computable(asked, str(error)) for asked in (level, noise)]
    (sim, obs), unit = seen.texture, _unit(seen)
    return [
        offset(level, sim.floor / unit, obs.floor / unit),
        offset(noise, np.log(sim.rms), np.log(obs.rms)),
    ]


def _pictures(seen: Seen) -> dict[str, Any]:
    unit = _unit(seen)
    names = ("sim", "obs")

    def values(pick: str) -> dict[str, list[float | None]]:
        tables = {
            name: getattr(t, pick) / unit for name, t in zip(names, seen.texture, strict=True)
        }
        return {name: rounded(table[np.isfinite(table)]) for name, table in tables.items()}

    return {
        "rms": {
            "kind": "histograms",
            "values": values("rms"),
            "x_label": f"sky rms [{UNIT}]",
            "caption": f"Noise of each image ({seen.where}, luminance, about a plane).",
        },
        "level": {
            "kind": "histograms",
            "values": values("level"),
            "x_label": f"sky level [{UNIT}]",
            "caption": f"Level of each image ({seen.where}, luminance, sources masked).",
        },
    }
