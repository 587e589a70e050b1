"""The same footing or a refusal: what must agree before two embeddings are compared."""

import dataclasses
from collections.abc import Sequence

from simreal.core.embedding import Embedding
from simreal.core.errors import FootingError, UsageError, did_you_mean
from simreal.core.images import Setup


def check_footing(obs: Embedding, sim: Embedding, *, allow: Sequence[str] = ()) -> tuple[str, ...]:
    """Return notes on differences that were allowed, or refuse those that were not.

    Matching is a step one cannot forget: images seen under different conditions differ whatever
    the objects are, and a distance between them says nothing about galaxies.

    Raises
    ------
    FootingError
        Naming the encoders, or the fields in which the setups differ.
    UsageError
        If an allowed field does not exist.
    """
    fields = [field.name for field in dataclasses.fields(Setup)]
    for name in allow:
        if name not in fields:
            raise UsageError(f"allow: unknown field {name!r}: {did_you_mean(name, fields)}")
    if obs.encoder_digest != sim.encoder_digest:
        raise FootingError(
            f"{sim.name} and {obs.name} come from different encoders "
            f"({sim.encoder_digest[:12]!r} and {obs.encoder_digest[:12]!r}); embed both with one"
        )
    differing = obs.setup.differs_from(sim.setup)
    refused = [name for name in differing if name not in allow]
    if refused:
        raise FootingError(
            f"{sim.name} and {obs.name} are not on the same footing: they differ in "
            f"{', '.join(refused)}; match them first, or allow it by name and have it said in "
            "the report"
        )
    if not differing:
        return ()
    return (f"not on the same footing in {', '.join(differing)}, which was allowed",)
