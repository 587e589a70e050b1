"""Gradients as a table for the terminal."""

from typing import TYPE_CHECKING

from simreal.explain.scores import Score

if TYPE_CHECKING:
    from simreal.explain.gradient_encoding import Encoded
    from simreal.explain.gradients import Direction, Gradients, PropertyGradient

#: Angles printed; all of them are in the numbers.
_MOST_ANGLES = 15


def gradient_text(found: "Gradients") -> str:
    """Return the table, with every number's interval and n."""
    from simreal.explain.gradients import ASSOCIATION

    counted = f"{found.n_images} images of {found.n_groups} objects, {found.dimension} dimensions"
    lines = [f"{found.name}: {counted}; intervals and cones of 95 %", ASSOCIATION]
    for each in found.properties:
        lines += ["", *_property(each)]
    known = [each for each in found.angles if each.angle.value is not None]
    if known:
        lines += ["", "angles between gradients (others held fixed), degrees"]
    lines += [
        f"  {pair.first} and {pair.second}: {_number(pair.angle, '.0f')} "
        f"({_number(pair.partial, '.0f')})"
        for pair in known[:_MOST_ANGLES]
    ]
    if len(known) > _MOST_ANGLES:
        lines.append(f"  ... and {len(known) - _MOST_ANGLES} more (--json prints all)")
    return "\n".join(lines)


def _property(each: "PropertyGradient") -> list[str]:
    unit = f" [{each.unit}]" if each.unit else ""
    lines = [f"{each.name}{unit}: {each.n_groups} objects with a value"]
    if each.reason is not None:
        return [*lines, f"  not computable: {each.reason}"]
    if each.linear is not None and each.neighbours is not None:
        lines.append(f"  read by a line       R² {_encoded(each.linear)}")
        lines.append(f"  read by neighbours   R² {_encoded(each.neighbours)}")
    lines.append(f"  gradient             {_direction(each.direction)}")
    held = ", ".join(each.partial.held)
    lines.append(f"  others held fixed    {_direction(each.partial)}")
    if held:
        lines.append(f"                       held: {held}")
    if each.place.value is not None:
        lines.append(f"  rank correlation with the place along it  {_number(each.place, '.2f')}")
    return lines


def _encoded(found: "Encoded") -> str:
    return (
        f"{_number(found.r2, '.2f')}; shuffled up to {found.null_high:.2f}, p {found.p_value:.2g}"
    )


def _direction(found: "Direction") -> str:
    if found.reason is not None:
        return f"- ({found.reason})"
    cone = "no direction excluded" if found.cone is None else f"cone {found.cone:.0f}°"
    share = found.share
    text = "-"
    if share.value is not None and share.low is not None and share.high is not None:
        low, value, high = (100 * x for x in (share.low, share.value, share.high))
        text = f"{value:.1f} % ({low:.1f} to {high:.1f}, n = {share.n})"
    p = "" if found.p_value is None else f", p {found.p_value:.2g}"
    adjusted = "" if found.p_adjusted is None else f" (adjusted {found.p_adjusted:.2g})"
    return f"{text} of the variance, {cone}{p}{adjusted}"


def _number(score: Score, form: str) -> str:
    if score.value is None or score.low is None or score.high is None:
        return f"- ({score.reason})"
    low, value, high = (format(x, form) for x in (score.low, score.value, score.high))
    return f"{value} ({low} to {high}, n = {score.n})"
