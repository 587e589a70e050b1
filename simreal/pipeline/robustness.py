"""Does the result hang on the encoder? The leading variant under other encoders and seeds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simreal.pipeline.fragments import plain

if TYPE_CHECKING:
    from simreal.pipeline.plan import Plan


def robustness(
    lead: Mapping[str, Any], checked: Sequence[Mapping[str, Any]], *, variant: str, plan: "Plan"
) -> dict[str, Any]:
    """Return the spread over encoder seeds, and whether encoders of other kinds agree.

    Parameters
    ----------
    lead : mapping
        `fragments.comparing` of the leading variant.
    checked : sequence of mapping
        The same under each of ``plan.checks``.
    variant : str
    plan : Plan
    """
    from simreal.compare.stability import agreement, spread_over_seeds

    own = plan.settings.encoder
    tables = [(own, plan.settings.seed, lead)] + [
        (check.encoder, check.seed, found)
        for check, found in zip(plan.checks, checked, strict=True)
    ]
    spreads, agreements = [], []
    for row in lead["comparisons"]:
        metric = row["metric"]
        rows = [(name, seed, _row(found, metric)) for name, seed, found in tables]
        values = [r["value"] for name, _, r in rows if name == own and r["value"] is not None]
        if len(values) > 1:
            floor = row["floor"]
            ends = None if floor is None else (floor["low"], floor["high"])
            spreads.append(plain(spread_over_seeds(metric, values, floor=ends)))
        p_values = {
            name: r["p_adjusted"]
            for name, seed, r in rows
            if r["p_adjusted"] is not None and (name != own or seed == plan.settings.seed)
        }
        if len(p_values) > 1:
            agreements.append(plain(agreement(metric, p_values)))
    return {
        "variant": variant,
        "encoders": [
            {
                "encoder": name,
                "seed": seed,
                "digest": found["encoder"]["digest"],
                "comparisons": [_short(r) for r in found["comparisons"]],
            }
            for name, seed, found in tables
        ],
        "between_seeds": spreads,
        "agreement": agreements,
        "encoder_dependent": [one["metric"] for one in agreements if one["encoder_dependent"]],
    }


def _row(found: Mapping[str, Any], metric: str) -> Mapping[str, Any]:
    row: Mapping[str, Any] = next(r for r in found["comparisons"] if r["metric"] == metric)
    return row


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = (
        "metric", "value", "low", "high", "floor", "ceiling", "excess", "p_value", "p_adjusted",
        "n_sim", "n_obs", "reason",
    )  # fmt: skip
    return {name: row[name] for name in kept}
