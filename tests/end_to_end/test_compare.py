"""The main job on the toy universe, through the command line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def simreal(*arguments, cache, **environment):
    return subprocess.run(
        [sys.executable, "-m", "simreal", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SIMREAL_CACHE": str(cache), **environment},
    )


def results_of(folder):
    return json.loads((Path(folder) / "results.json").read_text())


def without_timings(results):
    provenance = {**results["provenance"], "timings": None, "command": None}
    return {**results, "provenance": provenance}


QUICK_PCA = ("--quick", "--encoder", "pca", "--permutations", "199")


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory):
    base = tmp_path_factory.mktemp("toy")
    found = simreal(
        "compare", "--sim", "toy-sim", "--obs", "toy-survey", *QUICK_PCA, "--out", base / "run",
        cache=base / "cache",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return base, found


def test_a_run_writes_everything_a_reader_needs(toy_run):
    base, found = toy_run
    names = {path.name for path in (base / "run").iterdir()}
    assert {
        "results.json", "report.html", "figures", "rejected.csv", "excluded.csv", "run.toml"
    } <= names  # fmt: skip
    assert "report.html" in found.stdout


def test_the_results_keep_to_the_schema(toy_run):
    import jsonschema

    import simreal

    path = Path(simreal.__file__).parent / "report" / "schema" / "results-1.json"
    jsonschema.validate(results_of(toy_run[0] / "run"), json.loads(path.read_text()))


def test_the_planted_defects_are_seen(toy_run):
    results = results_of(toy_run[0] / "run")
    lead = [row for row in results["comparisons"] if row["lead"]]
    assert {row["metric"] for row in lead} == {"mmd", "occupancy", "sliced_wasserstein"}
    for row in lead:
        assert row["p_value"] <= 0.01, row
        assert row["floor"] is not None
        assert row["n_sim"] == row["n_obs"] > 0
    assert results["audit"]["verdict"] == "warned"


def test_a_rerun_does_nothing_and_says_the_same(toy_run):
    base, _ = toy_run
    before = {path: path.stat().st_mtime_ns for path in (base / "cache").rglob("*.h5")}
    found = simreal(
        "compare", "--sim", "toy-sim", "--obs", "toy-survey", *QUICK_PCA, "--out", base / "again",
        cache=base / "cache",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert before == {path: path.stat().st_mtime_ns for path in (base / "cache").rglob("*.h5")}
    first, second = results_of(base / "run"), results_of(base / "again")
    assert without_timings(first) == without_timings(second)


def test_json_prints_the_results_and_nothing_else(toy_run):
    base, _ = toy_run
    found = simreal(
        "compare", "--config", base / "run" / "run.toml", "--out", base / "json", "--json",
        cache=base / "cache",
    )  # fmt: skip
    assert found.returncode == 0
    assert found.stderr == ""
    assert without_timings(json.loads(found.stdout)) == without_timings(results_of(base / "run"))


def test_a_threshold_gives_exit_code_7(toy_run):
    base, _ = toy_run
    found = simreal(
        "compare", "--config", base / "run" / "run.toml", "--out", base / "limit",
        "--fail-above", "occupancy=0.0001", cache=base / "cache",
    )  # fmt: skip
    assert found.returncode == 7
    assert "--fail-above occupancy=0.0001: reads" in found.stderr


def test_broken_files_are_listed_and_the_rest_goes_on(real_data, tmp_path):
    folder = real_data("eagle", "sdss_gz2")
    data = tmp_path / "data"
    (data / "eagle" / "images").mkdir(parents=True)
    shutil.copy(folder / "eagle" / "catalogue.csv", data / "eagle")
    for path in sorted((folder / "eagle" / "images").iterdir())[:60]:
        shutil.copy(path, data / "eagle" / "images")
    (data / "sdss_gz2").symlink_to(folder / "sdss_gz2")
    first = sorted((data / "eagle" / "images").iterdir())[0]
    first.write_bytes(first.read_bytes()[:2000])
    found = simreal(
        "compare", "--sim", "eagle", "--obs", "sdss", *QUICK_PCA, "--out", tmp_path / "run",
        cache=tmp_path / "cache", SIMREAL_DATA=str(data),
    )  # fmt: skip
    assert found.returncode == 4, found.stderr
    rejected = results_of(tmp_path / "run")["rejected"]
    assert [row["id"] for row in rejected] == [first.stem]
    assert rejected[0]["code"] == "E_TRUNC"
    assert first.stem in (tmp_path / "run" / "rejected.csv").read_text()
