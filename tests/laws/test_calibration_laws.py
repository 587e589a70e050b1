"""Laws of the calibration: fair tests pass it, and the known errors of protocol do not."""

import dataclasses

import numpy as np
import pytest

from simreal.compare.calibrate import Calibration, measure_planted
from simreal.compare.calibration.effort import Effort
from simreal.compare.calibration.level import measure_levels
from simreal.compare.calibration.planted import PLANTED, PlantedTrials, Trial, planted_rows
from simreal.compare.calibration.populations import GaussianPair
from simreal.compare.calibration.power import ALTERNATIVES, measure_power

DEFAULT = ("mmd", "occupancy", "sliced_wasserstein")


@pytest.fixture(scope="module")
def trials():
    task = PlantedTrials(seed=0, n_permutations=99)
    return [task(i) for i in range(60)]


def test_every_planted_error_is_caught_and_the_right_protocol_is_not(trials):
    """60 repetitions: the rejections, 1.00, 1.00, .96, .7, .18, and far from uniform p."""
    rows = {row.name: row for row in planted_rows(trials)}
    assert len(rows) == 5
    for row in rows.values():
        assert row.caught, row
        assert row.passed, row
        assert row.band[0] <= row.correct <= row.band[1]
        assert row.rejection > row.correct
    assert rows["one-sided PCA"].rejection == 1.0
    assert rows["reused projection"].rejection > 0.9
    assert rows["views as objects"].rejection > 0.8
    # Known to .007 (200 trials of .05 / 60^.5): .63 with the error, .50 without.
    sky = rows["standardised by side"]
    assert sky.auc == pytest.approx(0.63, abs=0.04)
    assert sky.correct_auc == pytest.approx(0.5, abs=0.03)


def test_an_error_that_is_not_one_is_not_caught(trials):
    """With the right protocol in the place of the error nothing is caught, and that fails."""
    fair = [
        tuple(Trial(p=trial.right_p, right_p=trial.right_p) for trial in found) for found in trials
    ]
    rows = planted_rows(fair)
    assert not any(row.caught for row in rows)
    assert not any(row.passed for row in rows)
    assert not Calibration(planted=rows).passed


def test_an_alarm_that_always_rings_catches_nothing(trials):
    loud = [tuple(Trial(p=trial.p, right_p=trial.p) for trial in found) for found in trials]
    rows = planted_rows(loud)
    assert all(row.caught for row in rows)
    assert not any(row.passed for row in rows)


def test_planted_errors_are_drawn_from_streams_of_their_own():
    task = PlantedTrials(seed=1, n_permutations=19)
    assert task(3) == task(3)
    assert task(3) != task(4)
    assert len({error.name for error in PLANTED}) == len(PLANTED)


def test_the_default_metrics_keep_their_level_at_a_glance():
    """40 repetitions at n = 50; the full check is the command's, and the slow test below."""
    effort = Effort(n_permutations=99)
    rows = measure_levels([(GaussianPair(n=50, dimension=8), 40)], DEFAULT, effort=effort)
    assert all(row.passed for row in rows), rows


@pytest.mark.slow  # 1,500 permutation tests
def test_the_default_metrics_keep_their_level():
    effort = Effort()
    rows = measure_levels([(GaussianPair(n=100), effort.repetitions)], DEFAULT, effort=effort)
    assert all(row.passed for row in rows), rows
    assert all(row.band == pytest.approx((0.022, 0.08), abs=0.005) for row in rows)


@pytest.mark.slow  # 2,500 trials
def test_the_planted_errors_are_caught_at_full_length():
    assert all(row.passed for row in measure_planted(Effort()))


@pytest.mark.slow  # 500 permutation tests
def test_aggregated_mmd_reaches_its_power():
    rows = measure_power(["mmd"], alternatives=ALTERNATIVES[:1], effort=Effort())
    assert rows[0].passed, rows


def test_more_difference_is_more_power():
    steps = [
        dataclasses.replace(
            ALTERNATIVES[0],
            name=f"shift {shift}",
            pair=GaussianPair(n=50, dimension=4, shift=shift, name=f"shift {shift}"),
        )
        for shift in (0.0, 0.5, 1.5)
    ]
    rows = measure_power(
        ["mmd"], alternatives=steps, effort=Effort(repetitions=40, n_permutations=99)
    )
    powers = [row.power for row in rows]
    assert powers[0] < 0.25
    assert (np.diff(powers) > 0).all(), powers
