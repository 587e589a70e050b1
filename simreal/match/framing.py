"""Choose the common frame and leave out, by name, what cannot fill it."""

import numpy as np

from simreal.core.arrays import Float64Array
from simreal.core.errors import NotComputableError
from simreal.core.images import Step
from simreal.match.frame import CommonFrame, inside, rounded_down, widest
from simreal.match.job import Job
from simreal.match.sides import Party


def field_limits(party: Party, job: Job) -> Float64Array:
    """Return the widest frame, in its unit, inside each image's own field."""
    return np.asarray(2 * party.edge * job.scale(party))


def widest_of(party: Party, job: Job) -> float:
    """Return the widest frame at which the party loses no more than the recipe allows."""
    return widest(field_limits(party, job), job.recipe.loss_limit)


def common_frame(sim: Party, obs: Party, *, ceiling: float | None, job: Job) -> CommonFrame:
    """Return the frame of both sides: one number, chosen without regard to the label.

    Parameters
    ----------
    ceiling : float or None
        Width that the donated sky fills.
    """
    if job.recipe.frame_width is not None:
        return CommonFrame(kind=job.kind, width=job.recipe.frame_width)
    limits = [widest_of(sim, job), widest_of(obs, job)]
    if ceiling is not None:
        limits.append(ceiling)
    if job.kind == "radius":
        limits.append(job.recipe.widest_radius_frame)
    return CommonFrame(kind=job.kind, width=rounded_down(min(limits)))


def overshoot(party: Party, frame: CommonFrame, job: Job) -> int:
    """Return how many frames reach beyond the field of their image: none, by construction."""
    return int((~inside(field_limits(party, job), frame.width)).sum())


def framed(party: Party, frame: CommonFrame, job: Job) -> tuple[Party, float]:
    """Leave out images whose own field does not hold the frame; return the share lost."""
    limits = field_limits(party, job)
    lost = ~inside(limits, frame.width)
    if lost.all():
        raise NotComputableError(
            f"frame: none of {len(party)} images of {party.images.name} holds a frame "
            f"{frame.width:g} wide [{frame.unit}], the widest that fits in any is "
            f"{limits.max():.3g}; ask for a narrower --frame-width"
        )
    reasons = [
        f"field holds {limits[row]:.3g}, the frame is {frame.width:g} [{frame.unit}]"
        for row in np.flatnonzero(lost)
    ]
    left = party.without(lost, step="frame", reasons=reasons)
    radius = party.measured.radius
    return left.noted(
        Step(
            name=f"frame {frame.kind}",
            before={"images": len(party), "median radius [pixel]": float(np.median(radius))},
            after={
                "images": len(left),
                "width": frame.width,
                "median width [pixel]": float(np.median(frame.width / job.scale(left))),
            },
            note=f"width in {frame.unit}",
        )
    ), float(lost.mean())
