"""Run the checks, hold the false alarms of the whole battery at 5 %, and give the verdict."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from simreal.audit.contract import Found, Given, check_meta, check_names, load_check
from simreal.audit.inference import not_computable
from simreal.core.audit import AuditCheck, AuditResult, Cost, Overall, Reading
from simreal.core.errors import SimrealError
from simreal.core.seeding import stream
from simreal.stats.fdr import holm

Progress = Callable[[str, int, int], None]


def run_audit(
    given: Given,
    *,
    cost: Cost = "fast",
    checks: Sequence[str] | None = None,
    also: Sequence[str] = (),
    caps: Sequence[str] = (),
    progress: Progress | None = None,
) -> AuditResult:
    """Run a battery of checks on a comparison.

    Parameters
    ----------
    given : Given
        Several views of a group are thinned to one at random: checks count groups.
    cost : {"fast", "full"}
        ``full`` runs all checks, ``fast`` those that neither match nor embed again.
    checks : sequence of str, optional
        Choose from these only.
    also : sequence of str
        Checks to run whatever their cost.
    caps : sequence of str
        Reasons, known beforehand, for which the verdict can be no better than ``warned``.
    progress : callable, optional
        ``(label, done, total)``.

    Returns
    -------
    AuditResult

    Raises
    ------
    UsageError
        If a check is unknown.
    """
    names = check_names() if checks is None else tuple(checks)
    metas = {name: check_meta(load_check(name), name) for name in (*names, *also)}
    wanted = [
        name for name in metas if cost == "full" or metas[name].cost == "fast" or name in also
    ]
    rng = stream(given.seed, "audit", "views")
    thinned = replace(given, sim=given.sim.one_per_group(rng), obs=given.obs.one_per_group(rng))
    done, controls = [], []
    for k, name in enumerate(wanted):
        if progress is not None:
            progress("audit", k, len(wanted))
        found, seconds = _run(name, thinned)
        meta = metas[name]
        controls += list(found.controls)
        done.append(
            AuditCheck(
                name=name,
                code=meta.code,
                title=meta.title,
                question=meta.question,
                cost=meta.cost,
                names_cause=meta.names_cause,
                mend=meta.mend,
                readings=tuple(found.readings),
                pictures=found.pictures,
                notes=tuple(found.notes),
                seconds=seconds,
            )
        )
    if progress is not None:
        progress("audit", len(wanted), len(wanted))
    adjusted = _adjusted(done)
    not_run = tuple(metas[name].title for name in names if name not in wanted)
    verdict, reasons = overall(adjusted, not_run=not_run, caps=caps)
    return AuditResult(
        verdict=verdict,
        checks=tuple(adjusted),
        not_run=not_run,
        reasons=tuple(reasons),
        first=named_first(adjusted),
        controls=tuple(controls),
    )


def _run(name: str, given: Given) -> tuple[Found, float]:
    start = time.perf_counter()
    try:
        found = load_check(name).run(given, rng=stream(given.seed, "audit", name))
    except SimrealError as error:
        # A check that cannot be made is a finding, never a reason to lose the comparison.
        found = Found(readings=[not_computable(name, str(error))])
    return found, round(time.perf_counter() - start, 3)


def _adjusted(checks: Sequence[AuditCheck]) -> list[AuditCheck]:
    """Return the checks with p-values adjusted over every reading that can veto.

    What is only reported raises no alarm, and must not cost those that do their power.
    """
    p_values = [
        reading.p_value
        for check in checks
        for reading in check.vetoing
        if reading.p_value is not None
    ]
    corrected = iter(holm(p_values).tolist() if p_values else [])

    def with_p(reading: Reading) -> Reading:
        if reading.p_value is None or not reading.vetoes:
            return reading
        return replace(reading, p_adjusted=float(next(corrected)))

    return [replace(check, readings=tuple(map(with_p, check.readings))) for check in checks]


def overall(
    checks: Sequence[AuditCheck], *, not_run: Sequence[str] = (), caps: Sequence[str] = ()
) -> tuple[Overall, list[str]]:
    """Return the verdict over all checks, with its reasons.

    Confounded if a vetoing reading is red. Underpowered if one of a fast check is blind: it could
    not have seen even a gross difference (full checks ask about the score, and say themselves
    what they could not resolve), or if none of them could be made. Clean if every vetoing reading
    of every check is clean, no check is left out and nothing else caps the verdict. Warned
    otherwise.
    """
    red = [check for check in checks if check.verdict == "red"]
    red.sort(key=lambda check: (not check.names_cause, -check.exceedance))
    reasons = [f"{check.title} outside its limit: {_worst(check)}" for check in red]
    blind = [
        f"{check.title}: {r.name}"
        for check in checks
        for r in check.readings
        if r.vetoes and r.blind and check.cost == "fast"
    ]
    if blind:
        reasons.append(
            f"too few objects to rule out even a gross difference in {len(blind)} readings: "
            f"{'; '.join(blind[:4])}{' ...' if len(blind) > 4 else ''}"
        )
    vetoing = [check for check in checks if check.vetoes]
    missing = [check.title for check in vetoing if check.verdict == "not computable"]
    if missing:
        reasons.append(f"not computable: {', '.join(missing)}")
    unproven = [check.title for check in vetoing if check.verdict == "underpowered"]
    if unproven:
        reasons.append(f"not shown to be inside the limit at this n: {', '.join(unproven)}")
    if not_run:
        reasons.append(f"not run: {', '.join(not_run)}")
    reasons += caps
    if red:
        return "confounded", reasons
    fast = [check.verdict for check in vetoing if check.cost == "fast"]
    # Where no fast check could be made at all, as on a dozen objects, nothing was ruled out.
    if blind or (fast and set(fast) == {"not computable"}):
        return "underpowered", reasons
    return ("warned" if reasons else "clean"), reasons


def _worst(check: AuditCheck) -> str:
    worst = check.worst
    if worst is None:
        return ""
    value, low, high = worst.shown
    return f"{worst.name} {value:.3g} [{low:.3g}, {high:.3g}], {worst.exceedance:.1f} limits"


def named_first(checks: Sequence[AuditCheck]) -> str | None:
    """Return the red check with the largest exceedance, those that name a cause before others.

    A classifier that tells the sides apart says that something differs; it is listed, and it
    names the cause only where no check that measures one thing is red.
    """
    red = [check for check in checks if check.verdict == "red"]
    if not red:
        return None
    return max(red, key=lambda check: (check.names_cause, check.exceedance)).name
