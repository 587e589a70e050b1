"""Checking a user's own card and files: what is in order, what is not, ten stamps to look at."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simreal.core.images import Role, Track
from simreal.pipeline.fragments import plain

if TYPE_CHECKING:
    from simreal.data.card_suite import JudgedCard

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CardCheck:
    """What was found, and the page that shows it."""

    judged: "JudgedCard"
    sheet: Path

    def as_json(self) -> dict[str, Any]:
        """Return the findings as plain JSON values."""
        return {
            "name": self.judged.card.name,
            "passed": self.judged.passed,
            "findings": plain(self.judged.findings),
            "n_rejected": self.judged.n_rejected,
            "contact_sheet": str(self.sheet),
        }


def check_card(
    name: str,
    *,
    role: Role = "simulated",
    track: Track | None = None,
    everything: bool = False,
    out: Path | None = None,
    progress: Progress | None = None,
) -> CardCheck:
    """Run the contract of a card and its files, and write the contact sheet.

    Parameters
    ----------
    name : str
        Card (``.toml``), catalogue name or folder.
    role : {"simulated", "observed"}
        What a bare folder is taken for.
    track : {"rgb", "flux"}, optional
        For collections that come in several.
    everything : bool
        Read every file, not a sample.
    out : Path, optional
        Page to write; default ``NAME-check.html``.
    progress : callable, optional
        ``(label, done, total)``.

    Raises
    ------
    UsageError
        If the card itself cannot be read.
    """
    from simreal.data.card_suite import SAMPLE, judge_card
    from simreal.data.contact_sheet import write_contact_sheet
    from simreal.data.ingest import card_for, in_track

    card = card_for(name, role=role)
    if track is not None:
        card = in_track(card, track)
    sheet = out or Path(f"{card.name}-check.html")
    label = f"check {card.name}"
    if progress is not None:
        progress(label, 0, 1)
    with tempfile.TemporaryDirectory() as work:
        sample = None if everything else SAMPLE
        judged = judge_card(card, work=Path(work), sample=sample)
        write_contact_sheet(judged, sheet)
    if progress is not None:
        progress(label, 1, 1)
    return CardCheck(judged=judged, sheet=sheet)
