"""Audit matched stamps with an embedding that is fitted in a moment."""

from simreal.audit.battery import run_audit
from simreal.audit.contract import Given, Side
from simreal.encode.run import embed, fit_encoder
from simreal.encode.settings import EncoderSettings


def audited(sim, obs, *, sky=(None, None), seed=0, dimension=16):
    """Return the fast audit of two sets of stamps of one population."""
    encoder = fit_encoder(
        "pca", [sim, obs], settings=EncoderSettings(dimension=dimension), seed=seed
    )
    sides = [
        Side(stamps=images, sky=empty, embedding=embed(encoder, images))
        for images, empty in zip((sim, obs), sky, strict=True)
    ]
    return run_audit(Given(sim=sides[0], obs=sides[1], same_population=True, seed=seed))


def red(result):
    """Return the names of the checks that are red."""
    return {check.name for check in result.checks if check.verdict == "red"}


def told(result):
    """Return every vetoing reading as text, for the message of a failed assertion."""
    return "\n".join(
        f"{check.name}: {r.name} {r.shown} limit {r.shown_limits} {r.verdict}"
        for check in result.checks
        for r in check.readings
        if r.vetoes and r.value is not None and r.verdict != "clean"
    )
