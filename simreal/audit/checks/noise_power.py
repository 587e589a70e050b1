"""Whether noise has the same texture on both sides: the shape of its power spectrum.

The noise of a survey is correlated: by the resampling of its frames, by the steps that brought
them here. An interpolation, a smoothing or white noise on one side alone changes how the power
of the sky is spread over the scales, and one interpolation suffices to tell the sides apart
perfectly. Read are ln power in annuli without the mean over the annuli, so that noise of
another amplitude, which `sky_statistics` names, changes nothing here; the power along x against
that along y; and how well all of them together tell the sides apart on images not seen, because
a change too small for one annulus against their scatter can be plain in all.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from simreal.audit.contract import CheckMeta, Found, Given
from simreal.audit.inference import AUC_LIMIT, Asked, not_computable, offset
from simreal.audit.sky import Seen, rounded, seen_corners, seen_sky, told_apart
from simreal.core.arrays import Float64Array
from simreal.core.audit import Reading
from simreal.core.errors import NotComputableError
from simreal.measure.sky_texture import SkyTexture

META = CheckMeta(
    code="A2",
    title="noise power spectrum",
    question="Is the noise of the sky correlated alike on both sides?",
    cost="fast",
    names_cause=True,
    mend="send both sides through the same resampling and encoding, and draw the noise from the "
    "survey's own sky",
)
POWER_LIMIT = float(np.log(1.05))
#: [cycle / pixel] Above this, what is seen of a galaxy's outskirts is noise.
FINE = 0.3


def run(given: Given, *, rng: np.random.Generator) -> Found:
    """Compare the spectra of the sky, and of the corners of the stamps."""
    seen = seen_sky(given)
    vetoes = seen.pure or given.same_population
    readings = _readings(seen, where="", vetoes=vetoes, rng=rng)
    readings += _on_stamps(given, rng) if seen.pure else [_finest(seen)]
    bins = len(seen.texture[0].frequency)
    return Found(
        readings=readings,
        pictures={"spectra": _spectra(seen, readings[:bins])},
        notes=seen.notes,
    )


def _on_stamps(given: Given, rng: np.random.Generator) -> list[Reading]:
    """Return the same of the corners: a leak into the stamps leaves empty sky as it is."""
    where, vetoes = " in the corners of the stamps", given.same_population
    try:
        return _readings(seen_corners(given), where=where, vetoes=vetoes, rng=rng)
    except NotComputableError as error:
        return [not_computable(Asked(name=f"power{where}", vetoes=vetoes), str(error))]


def _readings(seen: Seen, *, where: str, vetoes: bool, rng: np.random.Generator) -> list[Reading]:
    sim, obs = seen.texture
    readings = [
        offset(
            Asked(
                name=f"power at {frequency:.2f} cycle/pixel{where}",
                limit=POWER_LIMIT,
                scale="ratio",
                vetoes=vetoes,
                note="against the mean over all frequencies",
            ),
            sim.shape[:, k],
            obs.shape[:, k],
        )
        for k, frequency in enumerate(sim.frequency)
    ]
    along = Asked(
        name=f"fine power along x over along y{where}",
        limit=POWER_LIMIT,
        scale="ratio",
        vetoes=vetoes,
    )
    readings.append(offset(along, sim.anisotropy, obs.anisotropy))
    together = Asked(
        name=f"told apart by all frequencies together{where}",
        limit=AUC_LIMIT,
        scale="auc",
        vetoes=vetoes,
    )
    readings.append(told_apart(together, _table(sim), _table(obs), rng=rng))
    return readings


def _finest(seen: Seen) -> Reading:
    """Return the one number of the corners that no galaxy's outskirts change.

    Structure of galaxies reaches to the lower frequencies, and through their mean to all
    readings above; between the two highest bins there is noise alone.
    """
    sim, obs = seen.texture
    high, next_to = sim.frequency[-1], sim.frequency[-2]
    asked = Asked(
        name=f"power at {high:.2f} over {next_to:.2f} cycle/pixel",
        limit=POWER_LIMIT,
        scale="ratio",
        vetoes=bool(next_to >= FINE),
    )
    return offset(
        asked, *(texture.log_power[:, -1] - texture.log_power[:, -2] for texture in (sim, obs))
    )


def _table(texture: SkyTexture) -> Float64Array:
    return np.column_stack([texture.shape, texture.anisotropy])


def _spectra(seen: Seen, readings: Sequence[Reading]) -> dict[str, Any]:
    sim, obs = seen.texture
    shown = [reading.shown for reading in readings]
    return {
        "kind": "curves",
        "x": rounded(sim.frequency),
        "x_label": "spatial frequency [cycle / pixel]",
        "y_label": "power over its mean over all frequencies",
        "log": True,
        "series": {
            name: rounded(_typical(texture)) for name, texture in (("sim", sim), ("obs", obs))
        },
        "ratio": rounded([value for value, _, _ in shown]),
        "ratio_low": rounded([low for _, low, _ in shown]),
        "ratio_high": rounded([high for _, _, high in shown]),
        "limits": rounded([math.exp(-POWER_LIMIT), math.exp(POWER_LIMIT)]),
        "caption": f"Power spectra of the noise ({seen.where}, medians over images) and their "
        "ratio with its 95 % interval. The limit of a frequency is wider where images scatter.",
    }


def _typical(texture: SkyTexture) -> Float64Array:
    """Return the median spectrum ``(bins,)``, NaN where no image has one."""
    shape = texture.shape[np.isfinite(texture.shape).all(axis=1)]
    if not len(shape):
        return np.full(len(texture.frequency), np.nan)
    return np.asarray(np.exp(np.median(shape, axis=0)))
