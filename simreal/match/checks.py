"""What a match is held to: sky, frame and footing, each with its limit."""

from collections.abc import Mapping

import numpy as np

from simreal.core.arrays import Float32Array, Float64Array
from simreal.core.images import Setup
from simreal.match.result import MatchCheck
from simreal.measure.power import azimuthal_power
from simreal.measure.sky import clipped_statistics
from simreal.measure.stamps import Measured

MEAN_LIMIT = 0.02
RMS_LIMITS: Mapping[str, tuple[float, float]] = {
    "median": (50.0, 0.02),
    "5th percentile": (5.0, 0.05),
    "95th percentile": (95.0, 0.05),
}
POWER_LIMIT = 0.05
PSF_LIMIT = 0.03


def limited(
    name: str,
    value: float,
    low: float | None,
    high: float | None,
    *,
    unit: str = "",
    note: str = "",
) -> MatchCheck:
    """Return a check that passes when `value` is inside [low, high].

    Examples
    --------
    >>> limited("sky rms", 1.03, 0.98, 1.02).passed
    False
    """
    passed = bool(
        np.isfinite(value)
        and (low is None or value >= low - 1e-12)
        and (high is None or value <= high + 1e-12)
    )
    return MatchCheck(
        name=name, value=float(value), low_limit=low, high_limit=high, passed=passed, unit=unit,
        note=note,
    )  # fmt: skip


def sky_numbers(stamps: Float32Array) -> tuple[Float64Array, Float64Array]:
    """Return sigma-clipped level and rms of the luminance of each sky stamp."""
    luminance = stamps.mean(1)
    return clipped_statistics(luminance.reshape(len(stamps), -1))


def sky_checks(sim: Float32Array, obs: Float32Array, *, injected: bool) -> list[MatchCheck]:
    """Compare the sky of both sides, galaxies left out, as distributions.

    Parameters
    ----------
    sim, obs : arrays (n, band, y, x)
        After everything that was done to the matched stamps. Where sky was injected, `obs`
        are scored frames, which lent none.
    """
    label = "injected sky" if injected else "sky as it came"
    note = f"{len(sim)} simulated patches against {len(obs)} of scored observed frames."
    level_sim, rms_sim = sky_numbers(sim)
    level_obs, rms_obs = sky_numbers(obs)
    sigma = float(np.median(rms_obs))
    checks = [
        limited(
            f"{label}: mean", float(level_sim.mean() - level_obs.mean()) / sigma,
            -MEAN_LIMIT, MEAN_LIMIT, unit="sigma", note=note,
        )
    ]  # fmt: skip
    for name, (percentile, limit) in RMS_LIMITS.items():
        ratio = float(np.percentile(rms_sim, percentile) / np.percentile(rms_obs, percentile))
        checks.append(limited(f"{label}: rms, {name}", ratio, 1 - limit, 1 + limit, note=note))
    return checks + power_checks(sim, obs, label=label, note=note)


def power_ratio(sim: Float32Array, obs: Float32Array) -> tuple[Float64Array, Float64Array]:
    """Return spatial frequency and the ratio of the median noise power in each bin."""
    frequency, power_sim = azimuthal_power(sim.mean(1))
    _, power_obs = azimuthal_power(obs.mean(1))
    with np.errstate(all="ignore"):
        return frequency, np.median(power_sim, axis=0) / np.median(power_obs, axis=0)


def power_checks(
    sim: Float32Array, obs: Float32Array, *, label: str, note: str
) -> list[MatchCheck]:
    """Compare median noise power in every azimuthal bin: the lowest and the highest ratio."""
    frequency, ratio = power_ratio(sim, obs)
    listed = ", ".join(f"{f:.2f}: {r:.3f}" for f, r in zip(frequency, ratio, strict=True))
    limits = (1 - POWER_LIMIT, 1 + POWER_LIMIT)
    text = f"{note} Ratio by frequency [cycle/pixel]: {listed}."
    return [
        limited(f"{label}: power spectrum, lowest bin", float(ratio.min()), *limits, note=text),
        limited(f"{label}: power spectrum, highest bin", float(ratio.max()), *limits, note=text),
    ]


def frame_checks(
    *, losses: Mapping[str, float], loss_limit: float | None, overshoot: Mapping[str, int],
    interpolations: Mapping[str, int],
) -> list[MatchCheck]:  # fmt: skip
    """Return the checks of the frame: losses, padded borders, interpolations."""
    checks = [
        limited(
            f"frame loss, {side}", loss, None, loss_limit,
            note="share of the selected images whose own field does not hold the frame",
        )
        if loss_limit is not None
        else MatchCheck(name=f"frame loss, {side}", value=loss, note="frame width as asked for")
        for side, loss in losses.items()
    ]  # fmt: skip
    checks += [
        limited(
            f"padded borders, {side}", count, None, 0, unit="stamps",
            note="stamps whose frame reaches beyond the field of their image",
        )
        for side, count in overshoot.items()
    ]  # fmt: skip
    difference = interpolations["sim"] - interpolations["obs"]
    checks.append(
        limited(
            "interpolations, sim minus obs", difference, 0, 0,
            note=f"{interpolations['obs']} area-overlap resampling on each side",
        )
    )  # fmt: skip
    return checks


def closure_checks(sim: Measured, obs: Measured) -> list[MatchCheck]:
    """Report how large galaxies are on the stamps of both sides; physics, so no limit."""
    radii = [float(np.nanmedian(measured.radius)) for measured in (sim, obs)]
    return [
        MatchCheck(
            name="half-light radius on the stamps, sim over obs",
            value=radii[0] / radii[1],
            note=f"medians {radii[0]:.2f} and {radii[1]:.2f} stamp pixels",
        )
    ]


def psf_checks(sim: Setup, obs: Setup) -> list[MatchCheck]:
    """Compare the PSF widths of the matched stamps."""
    if sim.psf_fwhm is None or obs.psf_fwhm is None:
        return []
    middle = float(np.median(sim.psf_fwhm)), float(np.median(obs.psf_fwhm))
    note = f"medians {middle[0]:.2f} and {middle[1]:.2f} stamp pixels"
    limits = (1 - PSF_LIMIT, 1 + PSF_LIMIT)
    return [limited("PSF width, sim over obs", middle[0] / middle[1], *limits, note=note)]
