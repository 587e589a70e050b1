"""The ladder on images: one frozen encoder, images that are damaged step by step."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simreal.compare.calibration.effort import Effort
from simreal.compare.calibration.ladder import (
    LadderRow,
    ladder_floor,
    ladder_row,
    ladder_scores,
    ladder_unknown,
)
from simreal.compare.calibration.repeat import Progress, repeated
from simreal.core.arrays import Float32Array, Float64Array, IntArray, StrArray
from simreal.core.images import ImageSet
from simreal.core.seeding import stream
from simreal.stats.groups import group_rows, thin_views
from simreal.stats.pca import Pca, fit_pca

#: Seeds: each splits the objects into two halves of its own and draws its own noise.
N_SEEDS = 5

#: Levels of every kind: none, and the grossest. Milder damage than that is far below what a
#: few hundred objects can see, and the order of such steps is an accident.
N_LEVELS = 6

#: Most groups per half.
MOST_GROUPS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rung: a kind of damage, how much of it, and the seed."""

    kind: str
    severity: float
    repetition: int


def ladder_parts(groups: StrArray, *, seed: int) -> tuple[IntArray, IntArray]:
    """Return the rows the encoder is fitted on, a third of the objects, and those scored."""
    from simreal.data.split import split_by_group

    rng = stream(seed, "calibrate", "ladder", "parts")
    fitting, scored = split_by_group(groups, [1 / 3, 2 / 3], rng=rng)
    return fitting, scored


def run_ladder(
    fitting: ImageSet,
    scored: ImageSet,
    metrics: Sequence[str],
    *,
    encoder: Path,
    size: tuple[int, int] = (N_SEEDS, N_LEVELS),
    effort: Effort,
    progress: Progress | None = None,
) -> tuple[LadderRow, ...]:
    """Return how every metric follows every kind of damage.

    The objects are split into halves; one is damaged, then the other; the score is the mean
    distance between the damaged half and the intact one. Encoder and transform are those of
    `fitting`, and have seen neither half.

    Parameters
    ----------
    fitting, scored : ImageSet
        Stamps of disjoint objects, in memory.
    metrics : sequence of str
    encoder : Path
        Folder of the encoder, fitted to `fitting`.
    size : tuple of int
        Seeds, and levels of every kind.
    effort : Effort
    progress : callable(label, done, total), optional
    """
    from simreal.encode.run import embed, load_encoder

    frozen = load_encoder(encoder)
    transform = fit_pca(
        embed(frozen, fitting).vectors, rng=stream(effort.seed, "calibrate", "ladder", "pca")
    )
    n_seeds, n_levels = size
    kinds = damage_kinds(scored, n_levels)
    steps = [
        Step(kind=kind, severity=severity, repetition=repetition)
        for kind, severities in kinds.items()
        for repetition in range(n_seeds)
        for severity in severities
    ]
    task = DamageTrials(
        scored=scored,
        points=transform.apply(embed(frozen, scored).vectors),
        encoder=encoder,
        transform=transform,
        metrics=tuple(metrics),
        steps=tuple(steps),
        seed=effort.seed,
    )
    scores = repeated(
        task, range(len(steps)), workers=effort.workers, label="ladder", progress=progress
    )
    floors = repeated(
        FloorTrials(task),
        range(n_seeds),
        workers=min(effort.workers, n_seeds),
        label="ladder, floor",
        progress=progress,
    )
    rows = []
    n = len(task.halves(0)[0])
    for name in metrics:
        floor = np.concatenate([np.empty(0), *(one[name] for one in floors if name in one)])
        for kind, severities in kinds.items():
            found = [
                one[name] for step, one in zip(steps, scores, strict=True) if step.kind == kind
            ]
            reasons = [one for one in found if isinstance(one, str)]
            if reasons:
                rows.append(ladder_unknown(name, kind, severities=severities, n=n, why=reasons[0]))
                continue
            rows.append(
                ladder_row(
                    name,
                    kind,
                    severities=severities,
                    n=n,
                    scores=np.array(found, dtype=np.float64).reshape(n_seeds, len(severities)),
                    floor=floor,
                )
            )
    return tuple(rows)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DamageTrials:
    """One rung of the ladder: damage, embed, measure; it travels to other processes.

    Parameters
    ----------
    scored : ImageSet
        Stamps, in memory.
    points : array (images, k)
        The undamaged stamps, embedded and transformed.
    encoder : Path
    transform : Pca
    metrics : tuple of str
    steps : tuple of Step
    seed : int
    """

    scored: ImageSet
    points: Float32Array
    encoder: Path
    transform: Pca
    metrics: tuple[str, ...]
    steps: tuple[Step, ...]
    seed: int

    def halves(self, repetition: int) -> tuple[IntArray, IntArray]:
        """Return the rows of the two halves, one image per object, of a seed."""
        rng = stream(self.seed, "calibrate", "ladder", "halves", str(repetition))
        rows = rng.permutation(thin_views(group_rows(self.scored.groups), 1, rng=rng)[0])
        n = min(MOST_GROUPS, len(rows) // 2)
        return rows[:n], rows[n : 2 * n]

    def __call__(self, i: int) -> dict[str, float | str]:
        """Return every metric at step `i`."""
        from simreal.encode.run import embed, load_encoder
        from simreal.match.degrade import degrade

        step, frozen = self.steps[i], load_encoder(self.encoder)
        halves = self.halves(step.repetition)
        damaged = []
        for rows in halves:
            part = self.scored.rows(rows)
            # The same noise at every severity: steps differ in the damage alone.
            rng = stream(self.seed, "calibrate", "ladder", step.kind, str(step.repetition))
            pixels = part.images.read(slice(0, len(part)))
            worse = degrade(pixels, step.kind, step.severity, rng=rng).images
            vectors = embed(frozen, part.replace(images=worse)).vectors
            damaged.append(self.transform.apply(vectors))
        return ladder_scores(
            (self.points[halves[0]], self.points[halves[1]]),
            (damaged[0], damaged[1]),
            self.metrics,
            seed=self.seed,
            repetition=step.repetition,
        )


@dataclass(frozen=True, slots=True, eq=False)
class FloorTrials:
    """The distances between undamaged halves, for one seed."""

    trials: DamageTrials

    def __call__(self, repetition: int) -> dict[str, Float64Array]:
        """Return every metric between random halves of the objects of a seed."""
        first, second = self.trials.halves(repetition)
        return ladder_floor(
            (self.trials.points[first], self.trials.points[second]),
            self.trials.metrics,
            seed=self.trials.seed,
            repetition=repetition,
        )


def damage_kinds(stamps: ImageSet, n_levels: int) -> dict[str, tuple[float, ...]]:
    """Return the kinds of damage these stamps can have, with `n_levels` severities from none."""
    from simreal.match.degrade import KINDS

    one = stamps.images.read(slice(0, 1))
    return {
        name: (kind.levels[0], *kind.levels[1:][1 - n_levels :])
        for name, kind in KINDS.items()
        if kind.applies_to(one)
    }
