"""What a match is held to: sky, frame and footing, each with its limit."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

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
#: Resamples behind a sampling error, and how many errors beyond its limit a number fails.
RESAMPLES = 100
OPEN_SIGMA = 2.0
PSF_LIMIT = 0.03
SEAM_LIMIT = 0.05
CHUNK = 256


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


def sky_checks(
    sim: Float32Array, obs: Float32Array, *, injected: bool, rng: np.random.Generator
) -> list[MatchCheck]:
    """Compare the sky of both sides, galaxies left out, as distributions.

    A number outside its limit by less than its own sampling error neither passes nor fails:
    so few patches cannot tell.

    Parameters
    ----------
    sim, obs : arrays (n, band, y, x)
        After everything that was done to the matched stamps. Where sky was injected, `obs`
        are scored frames, which lent none.
    rng : Generator
        For the bootstrap of the sampling errors.
    """
    label = "injected sky" if injected else "sky as it came"
    note = f"{len(sim)} simulated patches against {len(obs)} of scored observed frames"
    if injected:
        note += " (donors are balanced against these by design)"
    frequency, numbers_sim = _sky_table(sim)
    _, numbers_obs = _sky_table(obs)
    values = _contrast(numbers_sim, numbers_obs)
    draws = np.array(
        [
            _contrast(_redrawn(numbers_sim, rng), _redrawn(numbers_obs, rng))
            for _ in range(RESAMPLES)
        ]
    )
    errors = draws.std(axis=0)
    names = [f"{label}: mean", *(f"{label}: rms, {name}" for name in RMS_LIMITS)]
    limits = [MEAN_LIMIT, *(limit for _, limit in RMS_LIMITS.values())]
    checks = [
        resolved(name, float(value), limit, float(error), unit="" if k else "sigma", note=note)
        for k, (name, value, limit, error) in enumerate(
            zip(names, values, limits, errors, strict=False)
        )
    ]
    power = values[len(names) :]
    listed = ", ".join(f"{f:.2f}: {1 + r:.3f}" for f, r in zip(frequency, power, strict=True))
    text = f"{note}; ratio by frequency [cycle/pixel]: {listed}"
    for name, k in (("lowest", int(power.argmin())), ("highest", int(power.argmax()))):
        title = f"{label}: power spectrum, {name} bin"
        error = float(errors[len(names) + k])
        checks.append(resolved(title, float(power[k]), POWER_LIMIT, error, unit="", note=text))
    return [*checks, seam_check(sim, rng)] if injected else checks


def resolved(
    name: str, offset: float, limit: float, error: float, *, unit: str, note: str
) -> MatchCheck:
    """Return a check on ``|offset| <= limit`` that stays open where `error` decides it.

    Numbers without a unit are ratios, and are reported as one plus their offset.

    Examples
    --------
    >>> resolved("rms", 0.03, 0.02, 0.01, unit="", note="").passed is None
    True
    """
    centre = 0.0 if unit else 1.0
    check = limited(name, centre + offset, centre - limit, centre + limit, unit=unit, note=note)
    told = f"{note}; standard error {error:.3f}"
    if check.passed or abs(offset) > limit + OPEN_SIGMA * error:
        return replace(check, note=told)
    return replace(check, passed=None, note=f"{told}: so few patches cannot tell")


def _sky_table(stamps: Float32Array) -> tuple[Float64Array, Float64Array]:
    """Return spatial frequencies, and level, rms and power per stamp ``(n, 2 + bins)``."""
    level, rms = sky_numbers(stamps)
    frequency, power = azimuthal_power(stamps.mean(1))
    return frequency, np.column_stack([level, rms, power])


def _redrawn(table: Float64Array, rng: np.random.Generator) -> Float64Array:
    return np.asarray(table[rng.integers(len(table), size=len(table))])


def _contrast(sim: Float64Array, obs: Float64Array) -> Float64Array:
    """Return mean level in sigma, and rms percentiles and median powers as ratios less one."""
    percentiles = [percentile for percentile, _ in RMS_LIMITS.values()]
    mean = (sim[:, 0].mean() - obs[:, 0].mean()) / max(float(np.median(obs[:, 1])), 1e-9)
    ratios = [
        np.percentile(sim[:, 1], percentiles)
        / np.maximum(np.percentile(obs[:, 1], percentiles), 1e-9),
        np.median(sim[:, 2:], axis=0) / np.maximum(np.median(obs[:, 2:], axis=0), 1e-12),
    ]
    return np.concatenate([[mean], *(ratio - 1 for ratio in ratios)])


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


def seam_check(sky: Float32Array, rng: np.random.Generator) -> MatchCheck:
    """Compare steps across the seams of injected sky with steps elsewhere in it.

    The corners of a donor meet on the stamp's axes; if the step from pixel to pixel were
    larger or smaller there, a cross would mark the injected side.
    """
    n = len(sky)
    parts = [_steps(sky[start : start + CHUNK]) for start in range(0, n, CHUNK)]
    profiles = [np.concatenate(part) for part in zip(*parts, strict=True)]
    value = _seam_ratio(profiles)
    draws = [
        _seam_ratio([profile[rows] for profile in profiles])
        for rows in (rng.integers(n, size=n) for _ in range(RESAMPLES))
    ]
    note = "mean step across the lines where a donor's corners meet, over the mean elsewhere"
    error = float(np.std(draws))
    return resolved("injected sky: seams", value - 1, SEAM_LIMIT, error, unit="", note=note)


def _steps(sky: Float32Array) -> list[Float64Array]:
    """Return each patch's mean step from pixel to pixel along y and along x ``(n, step)``."""
    luminance = sky.mean(1)
    _, rms = clipped_statistics(luminance.reshape(len(sky), -1))
    profiles = []
    for axis in (1, 2):
        steps = np.abs(np.diff(luminance, axis=axis)) / np.maximum(rms, 1e-6)[:, None, None]
        # A star's edge is no seam: one star outweighs the steps of the noise.
        profiles.append(np.swapaxes(np.minimum(steps, 3.0), axis, 2).mean(axis=1))
    return profiles


def _seam_ratio(profiles: Sequence[Float64Array]) -> float:
    """Return the mean step across the middle over that elsewhere, of profiles ``(n, step)``."""
    ratios = []
    for each in profiles:
        profile = each.mean(axis=0)
        side = len(profile) + 1
        # JPEG draws faint lines of its own every eight pixels: like is compared with like.
        lines = {c: profile[c - 2 : c + 1].mean() for c in _block_edges(side, side // 2)}
        across = lines.pop(side // 2)
        ratios.append(across / np.mean(list(lines.values())))
    return float(np.mean(ratios))


def _block_edges(side: int, centre: int) -> list[int]:
    return [c for c in range(centre % 8, side, 8) if 2 <= c < side - 1]


def closure_checks(sim: Measured, obs: Measured) -> list[MatchCheck]:
    """Report how large galaxies are on the stamps of both sides; physics, so no limit."""
    radii = []
    for measured in (sim, obs):
        known = measured.radius[np.isfinite(measured.radius)]
        radii.append(float(np.median(known)) if len(known) else float("nan"))
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
    widths = [np.atleast_2d(fwhm).mean(1) for fwhm in (sim.psf_fwhm, obs.psf_fwhm)]
    middle = [float(np.median(w)) for w in widths]
    # The standard error of a median is 1.25 times that of a mean.
    errors = [
        1.25 * float(w.std()) / m / np.sqrt(len(w)) for w, m in zip(widths, middle, strict=True)
    ]
    note = f"medians {middle[0]:.2f} and {middle[1]:.2f} stamp pixels"
    offset, error = middle[0] / middle[1] - 1, float(np.hypot(*errors))
    return [resolved("PSF width, sim over obs", offset, PSF_LIMIT, error, unit="", note=note)]
