"""Five errors of protocol that make a rejection meaningless, planted so that they are caught.

Both sides always are one population. Each error gives p-values that are far from uniform, and
the verdict that judges the level of the metrics must say so; the right protocol stands beside
it, on the same draws, and must pass. A calibration that does not flag these would flag nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from simreal.compare.calibration.populations import correlated_views
from simreal.compare.calibration.verdicts import judge_levels
from simreal.compare.inference import (
    aggregate,
    oriented,
    permutation_statistics,
    randomised_p_value,
)
from simreal.compare.metrics import mmd
from simreal.compare.sample import Sample
from simreal.core.arrays import BoolArray, Float32Array, Float64Array
from simreal.core.seeding import stream
from simreal.stats.groups import permuted_labels
from simreal.stats.pca import fit_pca

#: Objects per side.
N = 100

#: Bandwidths of the fifth error: a sixteenth to sixteen times the median, half octaves.
MANY_BANDWIDTHS = tuple(2.0 ** (step / 2) for step in range(-8, 9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One repetition: the p-value of the planted error and that of the right protocol.

    ``score`` and ``right_score`` are the numbers that tell the error apart where that is not a
    rejection: an area under a curve.
    """

    p: float
    right_p: float
    score: float | None = None
    right_score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedError:
    """An error of protocol.

    Parameters
    ----------
    name : str
    summary : str
        What is done wrong.
    right : str
        What is done instead.
    expected : str
        What the error is known to give.
    trial : callable
        ``trial(rng, n_permutations) -> Trial``.
    """

    name: str
    summary: str
    right: str
    expected: str
    trial: Callable[[np.random.Generator, int], Trial]


def one_sided_pca(rng: np.random.Generator, n_permutations: int) -> Trial:
    """Test the images a PCA was fitted on against fresh ones: 400 axes, 100 images a side."""
    obs, sim = rng.standard_normal((2, N, 400), dtype=np.float32)
    wrong, right = fit_pca(obs), fit_pca(np.concatenate([obs, sim]))
    return Trial(
        p=_mmd_p(wrong.apply(obs), wrong.apply(sim), rng, n_permutations),
        right_p=_mmd_p(right.apply(obs), right.apply(sim), rng, n_permutations),
    )


def reused_projection(rng: np.random.Generator, n_permutations: int) -> Trial:
    """Train a projection on the side label and test on the images it was trained on."""
    obs, sim = rng.standard_normal((2, N, 16), dtype=np.float32)
    half = N // 2
    wrong, right = _separating_axis(obs, sim), _separating_axis(obs[:half], sim[:half])
    return Trial(
        p=_mmd_p(obs @ wrong, sim @ wrong, rng, n_permutations),
        right_p=_mmd_p(obs[half:] @ right, sim[half:] @ right, rng, n_permutations),
    )


def views_as_objects(rng: np.random.Generator, n_permutations: int) -> Trial:
    """Take four views of each of 40 galaxies for 160 galaxies."""
    obs, sim = (
        correlated_views(40, 4, 8, correlation=0.8, rng=rng).astype(np.float32) for _ in range(2)
    )
    rounds = np.concatenate([sim, obs]).transpose(1, 0, 2)
    grouped = Sample(
        rounds=np.ascontiguousarray(rounds),
        is_sim=np.arange(80) < 40,
        obs_rounds=np.ascontiguousarray(obs.transpose(1, 0, 2)),
    )
    return Trial(
        p=_mmd_p(obs.reshape(-1, 8), sim.reshape(-1, 8), rng, n_permutations),
        right_p=_p_of(grouped, rng, n_permutations),
    )


def standardised_by_side(rng: np.random.Generator, n_permutations: int) -> Trial:
    """Standardise each side by its own mean and deviation, then look at the corners.

    The sky of all images is the same and narrow; the few source pixels are bright, with a heavy
    tail. Mean and deviation of a side hang on its brightest galaxies, and moving the sky by
    them tells the sides apart where there is nothing but sky.
    """
    sides = [_images(rng) for _ in range(2)]
    own = [(corner - pixels.mean()) / pixels.std() for corner, pixels in sides]
    fixed = [corner for corner, _ in sides]
    return Trial(
        p=_auc_p(own[0], own[1], rng, n_permutations),
        right_p=_auc_p(fixed[0], fixed[1], rng, n_permutations),
        score=_held_out_auc(own[0], own[1]),
        right_score=_held_out_auc(fixed[0], fixed[1]),
    )


def chosen_bandwidth(rng: np.random.Generator, n_permutations: int) -> Trial:
    """Choose the bandwidth that tells the observed labels apart best, then permute labels."""
    points = rng.standard_normal((2 * N, 2), dtype=np.float32)
    metric = mmd.Mmd(
        centre=points.mean(axis=0, dtype=np.float64),
        bandwidth=mmd.median_bandwidth(points, rng=rng),
        ladder=MANY_BANDWIDTHS,
    )
    labels = permuted_labels(np.arange(2 * N) < N, n_permutations, rng=rng)
    ladder = metric.components(points, labels, ~labels)
    spread = ladder.std(axis=0)
    best = int(np.argmax((ladder[0] - ladder.mean(axis=0)) / np.where(spread > 0, spread, 1.0)))
    return Trial(
        p=randomised_p_value(ladder[:, best], rng=rng),
        right_p=randomised_p_value(aggregate(ladder), rng=rng),
    )


PLANTED: tuple[PlantedError, ...] = (
    PlantedError(
        name="one-sided PCA",
        summary="PCA fitted on one side, the same images tested against fresh ones",
        right="PCA fitted on both sides pooled",
        expected="rejection 1.00",
        trial=one_sided_pca,
    ),
    PlantedError(
        name="reused projection",
        summary="projection trained on the side label, tested on its training images",
        right="tested on the half it was not trained on",
        expected="rejection 1.00",
        trial=reused_projection,
    ),
    PlantedError(
        name="views as objects",
        summary="four views of a galaxy taken for four galaxies",
        right="labels permuted by galaxy, one view per galaxy in each round",
        expected="rejection .85 to .96",
        trial=views_as_objects,
    ),
    PlantedError(
        name="standardised by side",
        summary="each side standardised by its own mean and deviation; sky corners",
        right="fixed constants for both sides",
        expected="AUC .63 (.50 with fixed constants)",
        trial=standardised_by_side,
    ),
    PlantedError(
        name="chosen bandwidth",
        summary="bandwidth chosen on the observed labels, then labels permuted",
        right="maximum over bandwidths taken again inside every permutation",
        expected="rejection .11 or more",
        trial=chosen_bandwidth,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedRow:
    """What became of one planted error.

    Parameters
    ----------
    name, summary, right, expected : str
        See `PlantedError`.
    repetitions : int
    rejection, correct : float
        Rejections at 5 % with the error, and with the right protocol on the same draws.
    ks_p, correct_ks_p : float
        p-values of the p-values being uniform.
    band : tuple
        Where the rejection of an exact test lies.
    auc, correct_auc : float or None
    caught : bool
        Whether the verdict on a metric's level would have failed the error.
    passed : bool
        Caught, and the right protocol not: an alarm that always rings catches nothing.
    """

    name: str
    summary: str
    right: str
    expected: str
    repetitions: int
    rejection: float
    correct: float
    ks_p: float
    correct_ks_p: float
    band: tuple[float, float]
    auc: float | None
    correct_auc: float | None
    caught: bool
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedTrials:
    """One repetition of every planted error; a callable that travels to other processes."""

    seed: int
    n_permutations: int

    def __call__(self, repetition: int) -> tuple[Trial, ...]:
        """Return one trial per planted error."""
        return tuple(
            error.trial(
                stream(self.seed, "calibrate", "planted", error.name, str(repetition)),
                self.n_permutations,
            )
            for error in PLANTED
        )


def planted_rows(trials: Sequence[Sequence[Trial]]) -> tuple[PlantedRow, ...]:
    """Judge the trials ``[repetition][error]`` of the planted errors."""
    by_error = list(zip(*trials, strict=True))
    wrong = judge_levels([[trial.p for trial in found] for found in by_error])
    right = judge_levels([[trial.right_p for trial in found] for found in by_error])
    return tuple(
        PlantedRow(
            name=error.name,
            summary=error.summary,
            right=error.right,
            expected=error.expected,
            repetitions=len(trials),
            rejection=bad.rejection,
            correct=good.rejection,
            ks_p=bad.ks_p,
            correct_ks_p=good.ks_p,
            band=bad.band,
            auc=_mean([trial.score for trial in found]),
            correct_auc=_mean([trial.right_score for trial in found]),
            caught=not bad.passed,
            passed=good.passed and not bad.passed,
        )
        for error, found, bad, good in zip(PLANTED, by_error, wrong, right, strict=True)
    )


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None


def _mmd_p(
    obs: Float32Array, sim: Float32Array, rng: np.random.Generator, n_permutations: int
) -> float:
    return _p_of(Sample.of(obs, sim), rng, n_permutations)


def _p_of(sample: Sample, rng: np.random.Generator, n_permutations: int) -> float:
    metric = mmd.fit(sample.pooled, rng=rng)
    statistics = permutation_statistics(metric, sample, n_permutations, rng=rng)
    return randomised_p_value(statistics, rng=rng)


def _separating_axis(obs: Float32Array, sim: Float32Array) -> Float32Array:
    """Return Fisher's direction between two sides, as one column."""
    within = np.cov(obs, rowvar=False) + np.cov(sim, rowvar=False)
    axis = np.linalg.solve(within, sim.mean(axis=0) - obs.mean(axis=0))
    return np.asarray(axis / np.linalg.norm(axis), dtype=np.float32)[:, None]


def _images(rng: np.random.Generator) -> tuple[Float64Array, Float64Array]:
    """Return the corner pixel of each image, and all pixels ``(N, 1050)``, of one side.

    1000 pixels of sky with deviation 1; 50 of a source whose brightness scatters by a factor of
    e^1.5 from galaxy to galaxy and by e from pixel to pixel.
    """
    sky = rng.standard_normal((N, 1000))
    brightness = 10.0 * np.exp(1.5 * rng.standard_normal((N, 1)))
    source = brightness * np.exp(rng.standard_normal((N, 50)))
    return sky[:, 0], np.concatenate([sky, source], axis=1)


def _auc(obs: Float64Array, sim: Float64Array) -> float:
    return float(np.searchsorted(np.sort(obs), sim).mean() / len(obs))


def _held_out_auc(obs: Float64Array, sim: Float64Array) -> float:
    """Return the area under the curve on half of the images, its direction from the others."""
    half = len(obs) // 2
    sign = 1.0 if _auc(obs[:half], sim[:half]) >= 0.5 else -1.0
    return _auc(sign * obs[half:], sign * sim[half:])


def _auc_p(
    obs: Float64Array, sim: Float64Array, rng: np.random.Generator, n_permutations: int
) -> float:
    both = np.concatenate([sim, obs])
    ranks = np.argsort(np.argsort(both)).astype(np.float64)
    labels: BoolArray = permuted_labels(np.arange(len(both)) < len(sim), n_permutations, rng=rng)
    return randomised_p_value(oriented(labels @ ranks, "both"), rng=rng)
