"""Which match a track takes."""

from simreal.core.cards import View
from simreal.core.errors import UsageError
from simreal.core.images import ImageSet
from simreal.match.recipe import Recipe
from simreal.match.result import Matched
from simreal.measure.stamps import Progress


def match_sets(
    sim: ImageSet,
    obs: ImageSet,
    *,
    views: tuple[View, View],
    recipe: Recipe,
    seed: int,
    progress: Progress | None = None,
) -> Matched:
    """Bring two sets of one track to the same observing conditions.

    Display composites by `simreal.match.run.match_pair`, calibrated images by
    `simreal.match.flux.run.match_flux`.

    Raises
    ------
    UsageError
        If there is no match for the track.
    """
    from simreal.match.flux.run import match_flux
    from simreal.match.run import match_pair

    matchers = {"rgb": match_pair, "flux": match_flux}
    track = sim.setup.track
    if track not in matchers:
        raise UsageError(
            f"{sim.name}: got track {track!r}, allowed for matching: {', '.join(matchers)}"
        )
    return matchers[track](sim, obs, views=views, recipe=recipe, seed=seed, progress=progress)
