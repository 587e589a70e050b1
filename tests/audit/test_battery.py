"""The battery: family-wise error, names of causes, verdicts that nothing can talk up."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from simreal.audit import battery
from simreal.audit.battery import named_first, overall, run_audit
from simreal.audit.contract import (
    CheckMeta,
    Found,
    Given,
    Side,
    check_meta,
    check_names,
    load_check,
)
from simreal.audit.inference import Asked, not_computable, reading
from simreal.core.audit import AuditCheck
from simreal.core.errors import NotComputableError, UsageError
from simreal.core.images import ImageSet, Setup


def stamps(n, *, name="sim", views=1, seed=0):
    rng = np.random.default_rng(seed)
    ids = np.array([f"{name}{k}" for k in range(n)])
    return ImageSet(
        name=name, role="observed" if name == "obs" else "simulated", sampling="random",
        images=rng.normal(0.1, 0.01, (n, 3, 32, 32)).astype("f4"), ids=ids,
        groups=np.array([f"{name}{k // views}" for k in range(n)]),
        setup=Setup(track="rgb", bands=("r", "g", "b"), unit="display"),
    )  # fmt: skip


def check(name="psf", *, names_cause=True, readings=(), cost="fast"):
    return AuditCheck(
        name=name, code="A4", title=name, question="?", cost=cost, names_cause=names_cause,
        mend="", readings=tuple(readings),
    )  # fmt: skip


def read(value, error=0.01, *, limit=0.1, vetoes=True):
    return reading(Asked(name="x", limit=limit, vetoes=vetoes), value, error, n=(300, 300))


CLEAN, RED, VAGUE, BLIND = read(0.0), read(0.5), read(0.09), read(0.0, 0.5)


@pytest.mark.parametrize(
    ("readings", "kwargs", "verdict"),
    [
        ([CLEAN], {}, "clean"),
        ([CLEAN], {"not_run": ("A7",)}, "warned"),
        ([CLEAN], {"caps": ("rgb",)}, "warned"),
        ([CLEAN, VAGUE], {}, "warned"),
        ([CLEAN, BLIND], {}, "underpowered"),
        ([CLEAN, BLIND, RED], {}, "confounded"),
        ([CLEAN, not_computable("x", "no stars")], {}, "warned"),
        ([CLEAN, read(0.5, vetoes=False)], {}, "clean"),
        ([not_computable("x", "no stars")], {}, "underpowered"),
    ],
)
def test_the_verdict_over_all(readings, kwargs, verdict):
    found, reasons = overall([check(readings=readings)], **kwargs)
    assert found == verdict
    assert bool(reasons) == (verdict != "clean")


def test_a_check_with_something_not_computable_is_never_clean():
    assert check(readings=[CLEAN, not_computable("x", "no stars")]).verdict == "underpowered"
    assert check(readings=[not_computable("x", "no stars")]).verdict == "not computable"
    assert check(readings=[]).verdict == "not computable"


def test_a_check_that_measures_one_thing_names_the_cause_before_a_classifier():
    classifier = check("sky", names_cause=False, readings=[read(5.0)])
    measured = check("psf", readings=[read(0.5)])
    louder = check("noise", readings=[read(0.8)])
    assert named_first([classifier, measured, louder]) == "noise"
    assert named_first([classifier]) == "sky"
    assert named_first([check(readings=[CLEAN])]) is None


def fake(monkeypatch, runs, costs=None):
    """Replace the installed checks by fakes."""
    metas = {
        name: CheckMeta(
            code=f"A{k}", title=f"title {name}", question="?", cost=(costs or {}).get(name, "fast"),
            names_cause=True, mend="",
        )
        for k, name in enumerate(runs)
    }  # fmt: skip
    modules = {name: SimpleNamespace(META=metas[name], run=run) for name, run in runs.items()}
    monkeypatch.setattr(battery, "check_names", lambda: tuple(runs))
    monkeypatch.setattr(battery, "load_check", modules.__getitem__)


def given(**changes):
    sides = {"sim": Side(stamps=stamps(40)), "obs": Side(stamps=stamps(40, name="obs"))}
    return Given(**{**sides, **changes})


def test_false_alarms_are_held_over_the_whole_battery(monkeypatch):
    # Each number lies exactly at its limit: half of the intervals that are wholly outside would
    # be red at 2.5 % each; over twenty readings, Holm holds any of them at 5 %.
    trials, alarms, bare = 300, 0, 0
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        readings = [read(rng.normal(0.1, 0.02), 0.02) for _ in range(20)]
        fake(monkeypatch, {"a": lambda given, *, rng, r=tuple(readings): Found(readings=r)})
        alarms += run_audit(given()).verdict == "confounded"
        bare += any(one.low > one.limit for one in readings)
    assert bare > 0.25 * trials
    assert alarms <= 0.05 * trials + 3 * np.sqrt(trials * 0.05 * 0.95)


def test_a_check_that_fails_is_a_finding_and_the_rest_goes_on(monkeypatch):
    def broken(given, *, rng):
        raise NotComputableError("stamps of 8 pixels have no corners; use larger ones")

    fake(monkeypatch, {"a": broken, "b": lambda given, *, rng: Found(readings=[CLEAN])})
    result = run_audit(given())
    assert result.check("a").verdict == "not computable"
    assert "8 pixels" in result.check("a").readings[0].reason
    assert result.check("b").verdict == "clean"
    assert result.verdict == "warned"


def test_checks_that_were_not_run_are_named(monkeypatch):
    runs = {name: lambda given, *, rng: Found(readings=[CLEAN]) for name in ("a", "b", "c")}
    fake(monkeypatch, runs, costs={"b": "full", "c": "full"})
    fast = run_audit(given())
    assert fast.not_run == ("title b", "title c")
    assert fast.verdict == "warned"
    assert run_audit(given(), also=("c",)).not_run == ("title b",)
    full = run_audit(given(), cost="full")
    assert full.not_run == ()
    assert full.verdict == "clean"


def test_several_views_count_as_one_object(monkeypatch):
    seen = []

    def look(given, *, rng):
        seen.append((len(given.sim.stamps), len(given.sim.sky), given.sim.embedding))
        return Found(readings=[CLEAN])

    fake(monkeypatch, {"a": look})
    side = Side(stamps=stamps(40, views=4), sky=stamps(40, views=4))
    run_audit(given(sim=side))
    assert seen == [(10, 10, None)]


def test_random_streams_belong_to_checks(monkeypatch):
    drawn = {}

    def draw(name):
        def run(given, *, rng):
            drawn.setdefault(name, []).append(rng.random())
            return Found(readings=[CLEAN])

        return run

    fake(monkeypatch, {"a": draw("a"), "b": draw("b")})
    run_audit(given())
    fake(monkeypatch, {"b": draw("b")})
    run_audit(given())
    assert drawn["b"][0] == drawn["b"][1] != drawn["a"][0]


def test_every_installed_check_says_what_it_is():
    names = check_names()
    metas = [check_meta(load_check(name), name) for name in names]
    assert [meta.order for meta in metas] == sorted(meta.order for meta in metas)
    assert len({meta.code for meta in metas}) == len(metas)
    for meta in metas:
        assert meta.question.endswith("?")
        assert meta.mend


def test_an_unknown_check_is_refused_by_name():
    with pytest.raises(UsageError, match="psff"):
        run_audit(given(), checks=("psff",))


def test_a_side_refuses_embeddings_of_other_rows():
    from simreal.core.embedding import Embedding

    images = stamps(30)
    embedding = Embedding(
        name="e", sampling="random", vectors=np.zeros((30, 2), "f4"), ids=images.ids[::-1],
        groups=images.groups, setup=images.setup, encoder_digest="a", source_digest="b",
    )  # fmt: skip
    with pytest.raises(UsageError, match="row by row"):
        Side(stamps=images, embedding=embedding)
    assert replace(Side(stamps=images)).rows(np.arange(3)).stamps.ids.tolist() == [
        "sim0",
        "sim1",
        "sim2",
    ]
