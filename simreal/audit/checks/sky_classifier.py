"""Whether a linear probe tells the sides apart by sky alone.

Averages of pixels know nothing of noise: the features are statistics of second and higher
order (rms, power in annuli, autocorrelation, skewness) next to level and tilt. A held-out AUC
above .55 says that an encoder can tell the sides apart without looking at a galaxy. It does not
say by what; `noise_power` and `sky_statistics` do.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from simreal.audit.contract import CheckMeta, Found, Given
from simreal.audit.inference import AUC_LIMIT, Asked, auc_with_error, not_computable
from simreal.audit.sky import Seen, band_rms, seen_corners, seen_sky, told_apart
from simreal.core.arrays import Float64Array
from simreal.core.audit import Reading
from simreal.core.errors import NotComputableError
from simreal.measure.sky_texture import QUANTILES

META = CheckMeta(
    code="A1",
    title="sky classifier",
    question="Can a linear probe tell the sides apart without seeing a galaxy?",
    cost="fast",
    names_cause=False,
    mend="find the number of the sky that differs (noise power spectrum, sky level and noise) "
    "and match it",
)
#: Features shown with what they tell alone.
SHOWN = 10
#: Patches shown of either side.
EXAMPLES = 3


def run(given: Given, *, rng: np.random.Generator) -> Found:
    """Train and test a probe on the sky, and on the corners of the stamps."""
    seen = seen_sky(given)
    sim, obs = features(seen)
    vetoes = seen.pure or given.same_population
    asked = Asked(
        name=f"told apart by {'sky' if seen.pure else 'the corners of the stamps'}",
        limit=AUC_LIMIT,
        scale="auc",
        vetoes=vetoes,
    )
    readings = [told_apart(asked, _table(sim), _table(obs), rng=rng)]
    if seen.pure:
        readings.append(_on_stamps(given, rng))
    return Found(
        readings=readings,
        pictures={"patches": _patches(seen), "features": _bars(sim, obs)},
        notes=seen.notes,
    )


def _on_stamps(given: Given, rng: np.random.Generator) -> Reading:
    asked = Asked(
        name="told apart by the corners of the stamps",
        limit=AUC_LIMIT,
        scale="auc",
        vetoes=given.same_population,
    )
    try:
        seen = seen_corners(given)
    except NotComputableError as error:
        return not_computable(asked, str(error))
    sim, obs = features(seen)
    return told_apart(asked, _table(sim), _table(obs), rng=rng)


def features(seen: Seen) -> tuple[Mapping[str, Float64Array], Mapping[str, Float64Array]]:
    """Return the features of the simulated and the observed side by name, each ``(n,)``."""
    sim, obs = (_of(seen, side) for side in (0, 1))
    return sim, obs


def _of(seen: Seen, side: int) -> dict[str, Float64Array]:
    sky, free, found = (seen.sim, seen.obs)[side], seen.free[side], seen.texture[side]
    with np.errstate(divide="ignore"):
        rms = np.log(found.rms)
        bands = np.log(band_rms(sky, free))
    table = {
        "level": found.level,
        "darkest tenth": found.floor,
        "ln rms": rms,
        "skewness": found.skewness,
        "kurtosis": found.kurtosis,
        "tilt along y": found.tilt[:, 0],
        "tilt along x": found.tilt[:, 1],
        "steepness": np.hypot(*found.tilt.T),
        "anisotropy": found.anisotropy,
    }
    table |= {f"ln power at {f:.2f}": found.shape[:, k] for k, f in enumerate(found.frequency)}
    table |= {
        f"correlation at {lag + 1} px along {axis}": found.correlation[:, k, lag]
        for k, axis in enumerate("yx")
        for lag in range(2)
    }
    table["correlation along diagonals"] = found.diagonal.mean(axis=1)
    table |= {
        f"{100 * q:.0f}th percentile": (found.quantiles[:, k] - found.level) / found.rms
        for k, q in enumerate(QUANTILES)
    }
    if bands.shape[1] > 1:
        table |= {f"ln rms of band {b + 1}": bands[:, b] - rms for b in range(bands.shape[1])}
    return table


def _table(of: Mapping[str, Float64Array]) -> Float64Array:
    return np.column_stack(list(of.values()))


def _bars(sim: Mapping[str, Float64Array], obs: Mapping[str, Float64Array]) -> dict[str, Any]:
    """Return what each feature tells alone: weights of a probe share among related features."""
    found = []
    for name in sim:
        one, other = (values[np.isfinite(values)] for values in (sim[name], obs[name]))
        if min(len(one), len(other)) > 1:
            auc, error = auc_with_error(one, other)
            found.append((0.5 + abs(auc - 0.5), error, name))
    found.sort(reverse=True)
    rows = [
        {
            "label": name,
            "value": round(auc, 4),
            "low": round(auc - 1.96 * error, 4),
            "high": round(auc + 1.96 * error, 4),
        }
        for auc, error, name in found[:SHOWN]
    ]
    return {
        "kind": "bars",
        "rows": rows,
        "x_label": "AUC of the feature alone, in the direction that tells more",
        "limit": 0.5 + AUC_LIMIT,
        "caption": "What single features of the sky tell; the probe weighs all of them together.",
    }


def _patches(seen: Seen) -> dict[str, Any]:
    """Return the mean sky of both sides, their difference, and some examples."""
    known = np.isfinite(seen.texture[1].rms)
    level, unit = 0.0, 1.0
    if known.any():
        level, unit = (
            float(np.median(getattr(seen.texture[1], x)[known])) for x in ("level", "rms")
        )

    def relative(pixels: Float64Array) -> Float64Array:
        return np.nan_to_num((pixels - level) / unit)

    tiles, means = [], []
    for name, sky, free in (
        ("simulated", seen.sim, seen.free[0]),
        ("observed", seen.obs, seen.free[1]),
    ):
        luminance = sky.luminance()
        count = np.maximum(free.sum(axis=0), 1)
        means.append(relative(np.where(free, luminance, 0).sum(axis=0) / count))
        tiles.append(_tile(f"{name}, mean of {len(sky)}", means[-1]))
    tiles.append(_tile("mean, simulated minus observed", means[0] - means[1]))
    for name, sky in (("simulated", seen.sim), ("observed", seen.obs)):
        luminance = sky.luminance()
        tiles += [
            _tile(f"{name} {k + 1}", relative(luminance[k].astype(np.float64)))
            for k in range(min(EXAMPLES, len(sky)))
        ]
    return {
        "kind": "images",
        "tiles": tiles,
        "diverging": True,
        "caption": f"Luminance of the {seen.where} in units of the median observed sky rms, from "
        "the median observed level. A pedestal, a tilt or a fixed pattern shows in the means.",
    }


def _tile(label: str, patches: Float64Array) -> dict[str, Any]:
    """Return a tile of one patch, or of four corners side by side."""
    if len(patches) == 4:
        patches = np.block([[patches[0], patches[1]], [patches[2], patches[3]]])[None]
    pixels = np.round(patches[0, :64, :64], 4).tolist()
    return {"label": label, "pixels": pixels}
