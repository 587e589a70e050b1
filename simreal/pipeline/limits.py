"""Thresholds a continuous-integration job can fail on."""

from collections.abc import Iterable, Mapping
from typing import Any

from simreal.core.errors import UsageError, did_you_mean


def parse_limits(texts: Iterable[str], metrics: Iterable[str]) -> dict[str, float]:
    """Return ``{metric: limit}`` from texts such as ``"mmd=0.02"``.

    Raises
    ------
    UsageError
        If a text is not METRIC=VALUE or the metric is not part of the run.

    Examples
    --------
    >>> parse_limits(["mmd=0.02"], ["mmd"])
    {'mmd': 0.02}
    """
    known = tuple(metrics)
    limits = {}
    for text in texts:
        metric, _, value = text.partition("=")
        if metric not in known:
            raise UsageError(f"--fail-above {text}: {did_you_mean(metric, known)}")
        try:
            limits[metric] = float(value)
        except ValueError:
            raise UsageError(
                f"--fail-above {text}: got {value!r}, allowed is METRIC=NUMBER"
            ) from None
    return limits


def crossed(results: Mapping[str, Any], limits: Mapping[str, float]) -> list[str]:
    """Return one line for every leading metric whose whole interval is above its limit.

    The lower end of the interval decides: a value above the limit that may be chance does not fail
    a job. A metric without a value does.
    """
    lines = []
    for row in results["comparisons"]:
        limit = limits.get(row["metric"])
        if not row["lead"] or limit is None:
            continue
        if row["value"] is None:
            lines.append(f"--fail-above {row['metric']}={limit}: not computable ({row['reason']})")
        elif row["low"] > limit:
            lines.append(
                f"--fail-above {row['metric']}={limit}: reads {row['value']:.6g}, and its interval "
                f"begins at {row['low']:.6g}"
            )
    return lines
