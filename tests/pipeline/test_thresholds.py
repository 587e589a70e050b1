"""`--against`: whether a run is closer to the same sky than an earlier one."""

import json
import shutil

import pytest

from simreal.core.errors import FootingError, NotComputableError, StorageError, UsageError
from simreal.data.store import read_embedding, write_embedding
from simreal.pipeline.manifest import altered_files, write_manifest
from simreal.pipeline.thresholds import against, against_lines, check_against, paired_with


@pytest.fixture
def runs(made_bench, tmp_path):
    shutil.copytree(made_bench.runs, tmp_path / "runs")
    return tmp_path / "runs"


def edited(run, change):
    for variant in ("luminance", "colour"):
        for side in ("sim", "obs"):
            path = run / "embeddings" / variant / f"{side}.h5"
            write_embedding(path, change(read_embedding(path), side))
    write_manifest(run)


def test_the_nearer_run_is_closer_both_ways(runs):
    found = against(runs / "far", runs / "near")
    rows = {row["metric"]: row for row in found["differences"]}
    assert set(rows) == {"mmd", "energy"}
    assert (found["this"], found["that"]) == ("toy-sim", "toy-twin")
    assert rows["mmd"]["closer"] == "that"
    assert rows["mmd"]["low"] > 0
    assert rows["mmd"]["difference"] == pytest.approx(rows["mmd"]["this"] - rows["mmd"]["that"])
    other = against(runs / "near", runs / "far")
    assert other["differences"][0]["closer"] == "this"
    assert "this run is closer" in "\n".join(against_lines(other))


def test_the_same_run_again_differs_by_nothing(runs, tmp_path):
    shutil.copytree(runs / "near", tmp_path / "again")
    found = against(runs / "near", tmp_path / "again")
    row = found["differences"][0]
    assert (row["difference"], row["low"], row["high"], row["closer"]) == (0.0, 0.0, 0.0, None)
    assert row["linked"] == row["n"] > 0
    assert "same galaxies: no difference seen" in "\n".join(against_lines(found))


def test_the_outcome_is_left_beside_the_run_and_is_no_alteration(runs):
    found = paired_with(runs / "near", runs / "far")
    assert json.loads((runs / "far" / "against.json").read_text()) == found
    assert altered_files(runs / "far") == []
    write_manifest(runs / "far")
    (runs / "far" / "against.json").unlink()
    assert altered_files(runs / "far") == []


def test_other_encoders_and_other_observations_are_refused(runs):
    edited(runs / "near", lambda one, _: one.replace(encoder_digest="c" * 64))
    with pytest.raises(FootingError, match=r"--against .*different encoders.*one frozen encoder"):
        against(runs / "far", runs / "near")
    edited(
        runs / "again",
        lambda one, side: (
            one.replace(groups=[f"x{g}" for g in one.groups]) if side == "obs" else one
        ),
    )
    with pytest.raises(NotComputableError, match="0 observed objects in common of 60"):
        against(runs / "far", runs / "again")


def test_a_run_that_is_not_whole_or_is_this_one_is_refused_before_any_work(runs, tmp_path):
    check_against(None, tmp_path)
    check_against(runs / "near", tmp_path)
    with pytest.raises(UsageError, match="where this run writes"):
        check_against(runs / "near", runs / "far" / ".." / "near")
    (runs / "near" / "results.json").unlink()
    with pytest.raises(StorageError, match=r"results\.json is missing"):
        check_against(runs / "near", tmp_path)
    with pytest.raises(StorageError, match="no finished run"):
        check_against(tmp_path / "absent", tmp_path)
