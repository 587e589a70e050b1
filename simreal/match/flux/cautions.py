"""What a reader must know about a match of calibrated images before believing it."""

from collections.abc import Mapping, Sequence

from simreal.match.cautions import geometry_caution, imbalance_caution
from simreal.match.frame import CommonFrame
from simreal.match.result import BalanceRow
from simreal.match.sides import Party

#: Fewer independent objects than this on a side are a sample of nothing.
POPULATION = 100
#: Share of a side's pixels that neighbours may take before it is said.
REPLACED = 0.02


def flux_cautions(
    sim: Party,
    obs: Party,
    *,
    frame: CommonFrame,
    balance: Sequence[BalanceRow],
    residual: Sequence[str],
    different: Sequence[str],
    replaced: Mapping[str, float],
    psf_known: bool,
) -> tuple[str, ...]:
    """Return the warnings that go with two matched sets.

    Parameters
    ----------
    residual : sequence of str
        Fields of `Setup` that differ still.
    different : sequence of str
        Pairs of bands that are not the same band.
    replaced : mapping of "sim", "obs" to float
        Share of the pixels that show noise in place of neighbours.
    psf_known : bool
    """
    out: list[str] = []
    if frame.kind == "radius":
        out.append(
            "size is not tested: both sides are framed in units of their measured half-light radius"
        )
    out += [line for party in (sim, obs) for line in _sample(party)]
    if different:
        out.append(f"bands are not the same on both sides: {'; '.join(different)}")
    if not psf_known:
        out.append(
            "PSF widths are not known on both sides, so no PSF was matched; state view.survey or "
            "give PSF files"
        )
    if obs.images.setup.gain is None and sim.images.setup.rendition == "idealised":
        out.append(
            f"{obs.images.name} states no gain: simulated light has no shot noise of its own"
        )
    out += geometry_caution(sim, obs)
    for side, share in replaced.items():
        if share > REPLACED:
            out.append(
                f"{100 * share:.1f} % of the pixels of {side} were neighbours or masked and show "
                "noise in their place"
            )
    out += imbalance_caution(balance)
    if residual:
        out.append(
            "not on the same footing after matching: "
            + ", ".join(residual)
            + " still differ; the distance contains these differences"
        )
    return tuple(out)


def blown_up_caution(native: float, stamp: int) -> list[str]:
    """Return a warning where stamps have more pixels than the frame holds on the coarser side.

    Examples
    --------
    >>> blown_up_caution(64.0, 64), len(blown_up_caution(23.5, 32))
    ([], 1)
    """
    if native >= stamp - 1:
        return []
    text = (
        f"the frame holds {native:.3g} native pixels of the coarser side, fewer than the {stamp} "
        "of the stamps: its square pixels show"
    )
    return [text]


def _sample(party: Party) -> list[str]:
    out, n = [], party.images.n_groups
    if n < POPULATION:
        out.append(
            f"no population claim: {party.images.name} has {n} independent objects; see the "
            "smallest shift that this comparison could have detected"
        )
    if party.images.sampling == "curated":
        out.append(
            f"{party.images.name} is a curated sample: its mix of types is the collector's, so "
            "nothing is claimed about over- or under-production"
        )
    return out
