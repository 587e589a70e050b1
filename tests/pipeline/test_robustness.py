"""Other encoders and other seeds, told together."""

from types import SimpleNamespace

import pytest

from simreal.pipeline.robustness import robustness


def found(digest, **metrics):
    rows = [
        {
            "metric": name, "value": value, "low": value, "high": value, "ceiling": None,
            "excess": None, "p_value": p, "p_adjusted": p, "n_sim": 9, "n_obs": 9, "reason": None,
            "floor": {"median": 0.0, "low": -0.2, "high": 0.2},
        }
        for name, (value, p) in metrics.items()
    ]  # fmt: skip
    return {"encoder": {"digest": digest}, "comparisons": rows}


def plan(*checks):
    return SimpleNamespace(
        settings=SimpleNamespace(encoder="simclr", seed=0),
        checks=[SimpleNamespace(encoder=name, seed=seed) for name, seed in checks],
    )


def test_seeds_give_a_spread_and_kinds_an_agreement():
    result = robustness(
        found("a", mmd=(0.1, 0.01), occupancy=(0.2, 0.01)),
        [
            found("b", mmd=(0.3, 0.9), occupancy=(0.2, 0.01)),
            found("c", mmd=(0.0, 0.6), occupancy=(0.1, 0.02)),
        ],
        variant="luminance",
        plan=plan(("simclr", 1), ("morphology", 0)),
    )
    spread = {one["metric"]: one for one in result["between_seeds"]}
    assert spread["mmd"]["values"] == [0.1, 0.3]
    assert spread["mmd"]["in_floor_units"] == pytest.approx(0.02**0.5 / 0.1)
    # Seeds of one encoder are no second opinion: simclr seed 1 is not asked.
    assert result["encoder_dependent"] == ["mmd"]
    assert [one["encoder"] for one in result["encoders"]] == ["simclr", "simclr", "morphology"]


def test_without_checks_there_is_nothing_to_say():
    result = robustness(found("a", mmd=(0.1, 0.01)), [], variant="luminance", plan=plan())
    assert (result["between_seeds"], result["agreement"]) == ([], [])
