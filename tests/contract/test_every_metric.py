"""One contract over every metric, built in or of an installed package."""

from types import SimpleNamespace

import numpy as np
import pytest

from simreal.compare.contract import MetricMeta
from simreal.compare.contract_suite import CHECKS
from simreal.compare.run import load_metric
from simreal.core.plugins import available

METRICS = sorted(available("simreal.compare.metrics", "simreal.metrics"))
META = MetricMeta(
    summary="s", zero_point="0", minimum_groups=2, estimand="expectation at this n", citation="c"
)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", METRICS)
def test_every_metric_keeps_the_contract(name, check):
    assert CHECKS[check](load_metric(name)) == ""


def metric(statistic, **changes):
    parts = {"__name__": "broken", "__doc__": "A metric.", "META": META, "statistic": statistic}
    return SimpleNamespace(**(parts | changes))


def gap(obs, sim, *, rng):
    return float(abs(sim.mean() - obs.mean()))


class Side:
    """Calls the first labels it is shown far and all others near: no level at all."""

    def __init__(self, pooled, rng):
        pass

    def values(self, points, sim, obs):
        return np.where((sim == sim[0]).all(axis=1), 1.0, 0.0)


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        ("says_what_it_is", metric(gap, __doc__="")),
        (
            "is_finite_and_repeats",
            metric(lambda obs, sim, *, rng: float(np.random.default_rng().random())),
        ),
        ("is_finite_and_repeats", metric(lambda obs, sim, *, rng: float("nan"))),
        ("does_not_depend_on_the_order", metric(lambda obs, sim, *, rng: float(obs[0, 0]))),
        ("reads_more_shift_as_further", metric(lambda obs, sim, *, rng: -gap(obs, sim, rng=rng))),
        ("keeps_its_level", metric(gap, fit=Side)),
    ],
)
def test_the_contract_can_be_broken(check, broken):
    assert CHECKS[check](broken) != ""


def test_inputs_that_are_written_to_are_noticed():
    def careless(obs, sim, *, rng):
        obs -= obs.mean()
        return gap(obs, sim, rng=rng)

    assert CHECKS["leaves_its_inputs_alone"](metric(careless)) == "its inputs were changed"
