"""Which observed frames lend sky and PSF to calibrated images that have neither."""

from dataclasses import dataclass, replace

import numpy as np

from simreal.core.arrays import IntArray
from simreal.core.errors import NotComputableError
from simreal.match.donors import (
    assign_donors,
    choose_donors,
    n_donor_groups,
    sky_features,
    widest_sky,
)
from simreal.match.flux.render import donated_sky
from simreal.match.frame import CommonFrame
from simreal.match.job import Job
from simreal.match.render import CHUNK
from simreal.match.sides import Party

#: Real blank sky is injected where there are at least this many observed groups.
FEWEST_OBSERVED = 150
#: Fewest frames with free sky.
FEWEST_DONORS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lent:
    """Observed frames that lend sky and PSF, and which one each simulated image got."""

    party: Party
    pick: IntArray

    def rows(self, rows: IntArray) -> "Lent":
        """Return the donors of the simulated images `rows`."""
        return replace(self, pick=self.pick[rows])


def wants_donors(sim: Party, obs: Party) -> bool:
    """Return whether real sky is to be injected: into idealised images, from a large survey."""
    idealised = sim.images.setup.rendition == "idealised"
    return idealised and obs.noisy and obs.images.n_groups >= FEWEST_OBSERVED


def chosen_donors(
    sim: Party, obs: Party, frame: CommonFrame, job: Job
) -> tuple[Party, Party, Lent]:
    """Take donors out of the observed side by their sky alone, and hand each to some images."""
    usable = np.flatnonzero(widest_sky(obs, job.scale(obs)) >= frame.width)
    if len(usable) < FEWEST_DONORS:
        raise NotComputableError(
            f"matching: {len(usable)} of {len(obs)} frames of {obs.images.name} have galaxy-free "
            f"sky for a frame {frame.width:g} wide [{frame.unit}], needed are "
            f"{FEWEST_DONORS}; ask for a narrower --frame-width"
        )
    sky = np.concatenate(
        [
            donated_sky(obs, usable[start : start + CHUNK], frame=frame, repeats=None, job=job)
            for start in range(0, len(usable), CHUNK)
        ]
    )
    width = obs.measured.psf_fwhm[usable] * job.scale(obs)[usable]
    features = sky_features(sky, width)
    n = n_donor_groups(obs.images.n_groups, sim.images.n_groups, job.recipe.donor_fraction)
    lends = choose_donors(obs.images.groups[usable], features, n, job.rng("donors"))
    lenders = usable[lends]
    chosen = np.isin(obs.images.groups, obs.images.groups[lenders])
    held_out = features[~lends & ~chosen[usable]]
    pick = assign_donors(features[lends], held_out, len(sim), job.rng("assign"))
    party = obs.keep(lenders)
    return sim, obs.keep(~chosen), Lent(party=party, pick=pick)


def still(lent: Lent | None, before: IntArray, sim: Party) -> Lent | None:
    """Return the donors of the simulated images that are still in."""
    return None if lent is None else lent.rows(np.flatnonzero(np.isin(before, sim.original)))
