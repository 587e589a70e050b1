"""What a reader must know about a match before believing it, in one sentence each."""

from collections.abc import Sequence

import numpy as np

from simreal.match.frame import CommonFrame
from simreal.match.result import BalanceRow
from simreal.match.selection import mending_cut, standardised_difference
from simreal.match.sides import Party

BALANCED = 0.1


def match_cautions(
    sim: Party,
    obs: Party,
    *,
    frame: CommonFrame,
    balance: Sequence[BalanceRow],
    residual: Sequence[str],
    injected: bool,
    sky_known: bool,
    psf_known: bool,
) -> tuple[str, ...]:
    """Return the warnings that go with two matched parties.

    Parameters
    ----------
    sim, obs : Party
        The scored images.
    residual : sequence of str
        Fields of `Setup` that differ still.
    injected : bool
        Whether the simulated side was given the survey's PSF and sky here.
    sky_known : bool
        Whether the sky of both sides could be measured on the frame.
    psf_known : bool
        Whether the PSF widths of both sides are known.
    """
    out: list[str] = []
    if frame.kind == "radius":
        out.append(
            "size is not tested: both sides are framed in units of their measured half-light radius"
        )
    out += _display(sim, obs)
    out += geometry_caution(sim, obs)
    for party in (sim, obs):
        if party.images.sampling == "curated":
            out.append(
                f"{party.images.name} is a curated sample: its mix of types is the collector's, "
                "so nothing is claimed about over- or under-production"
            )
    out += _psf(obs, injected=injected, known=psf_known)
    if not sky_known:
        out.append(
            "sky noise could not be compared: one side shows no galaxy-free sky as wide as the "
            "frame"
        )
    out += imbalance_caution(balance)
    if residual:
        out.append(
            "not on the same footing after matching: "
            + ", ".join(residual)
            + " still differ; the distance contains these differences"
        )
    return tuple(out)


def _display(sim: Party, obs: Party) -> list[str]:
    displays = [(p.images.name, p.images.setup.display) for p in (sim, obs)]
    if displays[0][1] == displays[1][1] and displays[0][1] != "unknown":
        return []
    named = "; ".join(f"{name}: {display}" for name, display in displays)
    text = (
        f"display mappings are not known to agree ({named}): brightness profiles and colours "
        "partly measure the stretch, so the luminance score leads and colour is beside it"
    )
    return [text]


def geometry_caution(sim: Party, obs: Party) -> list[str]:
    """Return a warning where the sides were not seen from the same directions."""
    geometries = (sim.view.geometry, obs.view.geometry)
    same = geometries[0] == geometries[1] or set(geometries) == {"random", "sky"}
    if same:
        return []
    a, b = sim.measured.axis_ratio, obs.measured.axis_ratio
    text = (
        f"viewing geometry differs: {sim.images.name} is {geometries[0]}, {obs.images.name} "
        f"{geometries[1]}; median axis ratio {np.nanmedian(a):.2f} against "
        f"{np.nanmedian(b):.2f} (standardised difference {standardised_difference(a, b):+.2f})"
    )
    swap = np.nanmean(b) > np.nanmean(a)
    mend = mending_cut(b, a) if swap else mending_cut(a, b)
    if mend is not None and abs(standardised_difference(a, b)) >= BALANCED:
        low, left = mend
        cut = f"--select {'sim' if swap else 'obs'}:axis_ratio={low:g}:1"
        text += f"; {cut} mends the mean and leaves {left} of {len(a if swap else b)}"
    return [text]


def _psf(obs: Party, *, injected: bool, known: bool) -> list[str]:
    name = obs.images.name
    if not known:
        text = "PSF widths could not be compared: too few frames show a star"
        if injected:
            text += f"; those given to the simulated side are a guess from few frames of {name}"
        return [text]
    without = int((obs.measured.stars == 0).sum())
    if not injected or without == 0 or obs.images.setup.psf_fwhm is not None:
        return []
    text = (
        f"PSF widths come from stars in {len(obs) - without} of {len(obs)} frames of {name}; the "
        "others take the survey's relation between PSF width and noise correlation"
    )
    return [text]


def imbalance_caution(balance: Sequence[BalanceRow]) -> list[str]:
    """Return a warning where properties or shapes differ on average."""
    off = [row for row in balance if abs(row.smd) >= BALANCED]
    if not off:
        return []
    listed = ", ".join(f"{row.property} {row.smd:+.2f}" for row in off)
    text = (
        f"not balanced (standardised mean difference of {BALANCED} or more, simulated minus "
        f"observed): {listed}; --select can cut either side"
    )
    return [text]
