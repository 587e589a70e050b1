"""``results.json`` schema 1, put together from what the stages found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simreal.core import provenance as machine_facts
from simreal.core.cards import Card
from simreal.core.images import ImageSet
from simreal.pipeline.plan import Plan
from simreal.pipeline.robustness import robustness
from simreal.pipeline.settings import RunSettings

SCHEMA = 1
LEVEL = 0.05

#: Shares of broken inputs that differ by more than this are a selection.
REJECTION_LIMIT = 0.02

#: Title of the control rows that the headline excess is given against.
POSITIVE = "real galaxies through the simulation's pipeline"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadSide:
    """One collection as read: its images, what was quarantined, what a reader must know."""

    images: ImageSet
    rejected: list[dict[str, str]]
    notes: list[str]


def assemble(
    plan: Plan,
    *,
    read: Mapping[str, ReadSide],
    stamps: Mapping[str, ImageSet],
    match: Mapping[str, Any],
    audit: Mapping[str, Any],
    compared: Mapping[str, Mapping[str, Any]],
    checked: Sequence[Mapping[str, Any]],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the content of ``results.json``.

    Parameters
    ----------
    plan : Plan
    read : mapping of "sim", "obs" to ReadSide
    stamps : mapping of "sim", "obs" to ImageSet
        The images as matched.
    match : mapping
        From `fragments.matching`, with the comparisons that a matched selection is held against.
    audit : mapping
        From `audit.as_fragment`.
    compared : mapping
        `fragments.comparing` of each variant, the leading one first.
    checked : sequence of mapping
        The leading variant under other encoders and other seeds.
    provenance : mapping
        The command line and the timings of the stages.
    """
    lead, *_ = compared
    settings, cards = plan.settings, {"sim": plan.sim_card, "obs": plan.obs_card}
    comparisons = [
        {**row, "lead": variant == lead}
        for variant, found in compared.items()
        for row in found["comparisons"]
    ]
    results = {
        "schema": SCHEMA,
        "track": plan.sim_card.track,
        "object_kind": plan.sim_card.object_kind,
        "null_test": plan.null_test,
        "sim": _side(cards["sim"], read["sim"].images, stamps["sim"]),
        "obs": _side(cards["obs"], read["obs"].images, stamps["obs"]),
        "encoder": _encoder(settings, compared, lead),
        "seed": settings.seed,
        "frame": match["frame"],
        "matching": match["steps"],
        "match_checks": match["checks"],
        "selection": {
            "cuts": list(settings.select),
            "matched_fraction": match["matched_fraction"],
            "balance": match["balance"],
            "n_donors": match["n_donors"],
            "matched": match["matched_selection"],
            "unmatched_comparisons": match["unmatched_comparisons"],
        },
        "audit": {**audit, "positive_excess": positive_excess(audit["controls"], comparisons)},
        "ceiling": _ceiling(settings, cards["obs"].name),
        "comparisons": comparisons,
        "robustness": robustness(compared[lead], checked, variant=lead, plan=plan),
        "occupancy": _with_variant(compared[lead]["occupancy"], lead),
        "objects": _with_variant(compared[lead]["objects"], lead),
        "map": _with_variant(compared[lead]["map"], lead),
        "warnings": [
            *match["warnings"],
            *(() if plan.null_test else selection_bias(read)),
            *(f"{found.images.name}: {note}" for found in read.values() for note in found.notes),
        ],
        "rejected": [
            {"side": side, **row} for side, found in read.items() for row in found.rejected
        ],
        "excluded": match["excluded"],
        "provenance": {
            "versions": machine_facts.versions(),
            "machine": machine_facts.machine(),
            "device": compared[lead]["encoder"]["card"].get("device", "cpu"),
            "threads": plan.encoder.threads,
            "settings": settings.model_dump(mode="json"),
            **provenance,
        },
    }
    return {"headline": headline(results), **results}


def selection_bias(read: Mapping[str, ReadSide]) -> list[str]:
    """Return a warning where broken files cost one side clearly more than the other.

    Files do not break at random: the faint, the large and the far are lost first.
    """
    share = {
        side: len(found.rejected) / max(len(found.rejected) + len(found.images), 1)
        for side, found in read.items()
    }
    if abs(share["sim"] - share["obs"]) <= REJECTION_LIMIT:
        return []
    listed = " and ".join(
        f"{100 * share[side]:.1f} % of {found.images.name}" for side, found in read.items()
    )
    text = (
        f"selection bias: {listed} were rejected as broken, which differs by more than "
        f"{100 * REJECTION_LIMIT:.0f} points; look at rejected.csv before believing a difference"
    )
    return [text]


def headline(results: Mapping[str, Any]) -> str:
    """Return the verdict in one sentence: told apart or not, by what, at which n."""
    rows = [row for row in results["comparisons"] if row["lead"]]
    sim, obs = results["sim"]["name"], results["obs"]["name"]
    usable = [row for row in rows if row["p_adjusted"] is not None]
    verdict = _said(results["audit"])
    if not usable:
        reason = rows[0]["reason"] if rows else "no metric"
        return f"{sim} against {obs}: audit verdict {verdict}; not computable ({reason})"
    best = min(usable, key=lambda row: (row["p_adjusted"], row["metric"]))
    told_apart = [row for row in usable if row["p_adjusted"] <= LEVEL]
    outcome = (
        f"told apart by {len(told_apart)} of {len(rows)} metrics"
        if told_apart
        else f"not told apart by any of {len(rows)} metrics"
    )
    kind = " (null test: two disjoint halves of one collection)" if results["null_test"] else ""
    return (
        f"{sim} against {obs}{kind}: audit verdict {verdict}; {outcome} on {best['variant']} with "
        f"{best['n_sim']} groups a side (smallest Holm p = {best['p_adjusted']:.3g})"
    )


def _said(audit: Mapping[str, Any]) -> str:
    """Return the verdict, and for a confounded comparison by what."""
    by = next((check["title"] for check in audit["checks"] if check["name"] == audit["first"]), "")
    verdict = str(audit["verdict"])
    return f"{verdict} (by {by})" if verdict == "confounded" and by else verdict


def _side(card: Card, native: ImageSet, stamps: ImageSet) -> dict[str, Any]:
    return {
        "name": native.name,
        "title": card.title,
        "digest": stamps.digest,
        "role": card.role,
        "sampling": card.sampling,
        "sampling_note": card.sampling_note,
        "rendition": card.view.rendition,
        "geometry": card.view.geometry,
        "n": len(stamps),
        "n_groups": stamps.n_groups,
        "n_read": len(native),
        "citation": list(card.credit.citation),
        "licence": card.credit.licence,
        "acknowledgement": card.credit.acknowledgement,
    }


def _encoder(
    settings: RunSettings, compared: Mapping[str, Mapping[str, Any]], lead: str
) -> dict[str, Any]:
    first = compared[lead]["encoder"]
    return {
        "name": settings.encoder,
        "objective": first["card"].get("objective"),
        "mode": settings.mode,
        "trained_on": first["card"].get("trained_on"),
        "digest": first["digest"],
        "dimension": first["dimension"],
        "variants": {
            variant: {**found["encoder"], "transform": found["transform"], "n": found["n"]}
            for variant, found in compared.items()
        },
    }


def positive_excess(
    controls: Sequence[Mapping[str, Any]], comparisons: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]] | None:
    """Return the headline excess against the positive control instead of the floor.

    (value - positive) / (ceiling - positive), where positive is what real galaxies sent through
    the simulation's own pipeline read; None where that was not computable.

    Examples
    --------
    >>> row = {"variant": "luminance", "metric": "mmd", "lead": True, "value": 0.3, "low": 0.2,
    ...        "high": 0.4, "ceiling": 1.1}
    >>> control = {"title": POSITIVE, "variant": "luminance", "metric": "mmd", "value": 0.1,
    ...            "reason": None}
    >>> round(positive_excess([control], [row])[0]["value"], 3)
    0.2
    """
    positive: dict[tuple[str, str], float] = {}
    for row in controls:
        if row["title"] == POSITIVE and row["value"] is not None and not row.get("reason"):
            positive.setdefault((row["variant"], row["metric"]), row["value"])
    rows = []
    for row in comparisons:
        base = positive.get((row["variant"], row["metric"]))
        if not row["lead"] or base is None or row["value"] is None or row["ceiling"] is None:
            continue
        span = row["ceiling"] - base
        scaled = sorted((row[end] - base) / span for end in ("low", "high"))
        rows.append(
            {
                "metric": row["metric"],
                "variant": row["variant"],
                "value": (row["value"] - base) / span,
                "low": scaled[0],
                "high": scaled[1],
                "reason": None,
            }
        )
    return rows or None


def _ceiling(settings: RunSettings, obs: str) -> dict[str, str] | None:
    if settings.ceiling == "none":
        return None
    return {"name": settings.ceiling, "made_from": f"stamps of {obs} that are not compared"}


def _with_variant(found: Mapping[str, Any] | None, variant: str) -> dict[str, Any] | None:
    return None if found is None else {"variant": variant, **found}
