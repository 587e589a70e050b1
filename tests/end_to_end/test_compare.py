"""The main job on the toy universe, through the command line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
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
    provenance = {**results["provenance"], "timings": None}
    return {**results, "provenance": provenance}


#: Explanations take half of a small run; that of real images below has them.
TOYS = (
    "compare", "--sim", "toy-sim", "--obs", "toy-survey", "--quick", "--explain", "none",
)  # fmt: skip


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory):
    base = tmp_path_factory.mktemp("toy")
    found = simreal(*TOYS, "--out", base / "run", cache=base / "cache")
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


def test_every_number_has_its_n_its_interval_and_its_floor(toy_run):
    results = results_of(toy_run[0] / "run")
    assert results["audit"]["verdict"] == "warned"
    metrics = {row["metric"] for row in results["comparisons"] if row["lead"]}
    assert metrics == {"mmd", "occupancy", "sliced_wasserstein"}
    for row in results["comparisons"]:
        assert row["low"] <= row["value"] <= row["high"]
        assert row["floor"]["low"] <= row["floor"]["median"] <= row["floor"]["high"]
        assert row["n_sim"] == row["n_obs"] > 0


def test_the_planted_defects_are_seen(toy_run):
    rows = results_of(toy_run[0] / "run")["comparisons"]
    smallest = min(row["p_adjusted"] for row in rows if row["lead"])
    # Three metrics and 199 permutations: Holm's smallest possible value is 3 / 200.
    assert smallest == pytest.approx(3 / 200)


@pytest.mark.slow  # two full runs: minutes
def test_the_readme_run_finds_every_planted_defect(tmp_path):
    found = simreal(
        "compare", "--sim", "toy-sim", "--obs", "toy-survey", "--out", tmp_path / "run",
        cache=tmp_path / "cache",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    results = results_of(tmp_path / "run")
    assert max(row["p_value"] for row in results["comparisons"] if row["lead"]) <= 0.01
    assert "elliptical" in classes_reported_missing(results, tmp_path / "cache")


def classes_reported_missing(results, cache):
    """Return the commonest class among the examples of each region reported missing."""
    from simreal.data.store import read_set

    obs = read_set(next(iter(cache.glob("match/*/obs.h5"))))
    class_of = dict(zip(obs.ids.tolist(), obs.properties["morphology_class"], strict=True))
    found = set()
    for region in results["occupancy"]["regions"]:
        if region["direction"] == "missing":
            examples = Counter(str(class_of[name]) for name in region["obs_ids"])
            found.add(examples.most_common(1)[0][0])
    return found


@pytest.mark.slow  # five runs of the toy universe: minutes
def test_a_frame_in_angle_sees_sizes_and_a_frame_in_radii_says_it_does_not(tmp_path):
    """Only the size defect is planted: the same universe, every length 1.35 times larger."""
    from simreal.core.cards import catalogue_folder

    card = (catalogue_folder() / "toy-sim.toml").read_text()
    for planted in ("missing_class", "colour_offset"):
        card = re.sub(rf"^{planted} = .*$", "", card, flags=re.MULTILINE)
    sizes = {"toy-large": card, "toy-right": re.sub("size_factor = .*", "size_factor = 1.0", card)}
    value = {}
    for name, text in sizes.items():
        path = tmp_path / f"{name}.toml"
        path.write_text(text.replace('name = "toy-sim"', f'name = "{name}"'))
        for frame in ("angular", "radius"):
            found = simreal(
                "compare", "--sim", path, "--obs", "toy-survey", "--quick", "--encoder", "pca",
                "--frame", frame, "--out", tmp_path / name / frame, cache=tmp_path / "cache",
            )  # fmt: skip
            assert found.returncode == 0, found.stderr
            results = results_of(tmp_path / name / frame)
            value[name, frame] = next(
                row for row in results["comparisons"] if row["lead"] and row["metric"] == "mmd"
            )
            says = any("size is not tested" in text for text in results["warnings"])
            assert says == (frame == "radius")
    defect, right = value["toy-large", "angular"], value["toy-right", "angular"]
    assert defect["value"] > right["high"]
    assert defect["p_adjusted"] <= 0.05


def test_a_rerun_does_nothing_and_says_the_same(toy_run):
    base, _ = toy_run
    before = {path: path.stat().st_mtime_ns for path in (base / "cache").rglob("*.h5")}
    found = simreal(*TOYS, "--out", base / "again", cache=base / "cache")
    assert found.returncode == 0, found.stderr
    assert before == {path: path.stat().st_mtime_ns for path in (base / "cache").rglob("*.h5")}
    first, second = results_of(base / "run"), results_of(base / "again")
    assert without_timings(first) == without_timings(second)


def test_json_prints_the_results_and_a_threshold_gives_exit_code_7(toy_run):
    base, _ = toy_run
    found = simreal(
        "compare", "--config", base / "run" / "run.toml", "--out", base / "json", "--json",
        "--fail-above", "sliced_wasserstein=0.0001", cache=base / "cache",
    )  # fmt: skip
    assert found.returncode == 7
    (line,) = found.stderr.splitlines()
    assert "--fail-above sliced_wasserstein=0.0001: " in line
    printed, first = json.loads(found.stdout), results_of(base / "run")
    for results in (printed, first):
        del results["provenance"]["command"]  # one names the settings file, the other options
    assert without_timings(printed) == without_timings(first)


def test_broken_files_are_listed_and_the_rest_goes_on(real_data, tmp_path):
    folder = real_data("eagle", "sdss_gz2")
    data = tmp_path / "data"
    (data / "eagle" / "images").mkdir(parents=True)
    shutil.copy(folder / "eagle" / "catalogue.csv", data / "eagle")
    for path in sorted((folder / "eagle" / "images").iterdir())[:60]:
        shutil.copy(path, data / "eagle" / "images")
    (data / "sdss_gz2" / "images").mkdir(parents=True)
    for path in sorted((folder / "sdss_gz2").iterdir()):
        if path.is_file():
            shutil.copy(path, data / "sdss_gz2")
    for path in sorted((folder / "sdss_gz2" / "images").iterdir())[:200]:
        (data / "sdss_gz2" / "images" / path.name).symlink_to(path)
    first = sorted((data / "eagle" / "images").iterdir())[0]
    first.write_bytes(first.read_bytes()[:2000])
    found = simreal(
        "compare", "--sim", "eagle", "--obs", "sdss", "--quick", "--encoder", "pca",
        "--out", tmp_path / "run", cache=tmp_path / "cache", SIMREAL_DATA=str(data),
    )  # fmt: skip
    assert found.returncode == 4, found.stderr
    rejected = results_of(tmp_path / "run")["rejected"]
    assert [row["id"] for row in rejected] == [first.stem]
    assert rejected[0]["code"] == "E_TRUNC"
    assert first.stem in (tmp_path / "run" / "rejected.csv").read_text()
    explained = results_of(tmp_path / "run")["explained"]
    assert explained["regions"]["reason"] is None
    assert explained["gradients"]["sim"]["properties"]
    assert (tmp_path / "run" / "figures" / "property_map_1.pdf").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_whole_stages_only(tmp_path, number, code):
    cache = tmp_path / "cache"
    # A test runner in the background ignores interrupts, and its children inherit that.
    listening = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from simreal.cli import main; main(sys.argv[1:])"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", listening, *TOYS, "--out", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SIMREAL_CACHE": str(cache)},
    )
    with run:
        for line in run.stderr:
            if "read toy-sim: ..." in line:  # the survey is read, the simulation has begun
                break
        time.sleep(0.5)
        run.send_signal(number)
        rest = run.stderr.read()
    assert run.returncode == code
    assert "Traceback" not in rest
    entries = [path for path in cache.glob("*/*") if path.is_dir()]
    assert [path.parent.name for path in entries] == ["read"]
    assert (entries[0] / "entry.json").is_file()
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def frozen_run(toy_run):
    base, _ = toy_run
    quick = (
        "--encoder", "pca", "--check-encoder", "none", "--metric", "mmd", "--audit", "none",
        "--mode", "frozen",
    )  # fmt: skip
    found = simreal(*TOYS, *quick, "--out", base / "frozen", cache=base / "cache")
    assert found.returncode == 0, found.stderr
    return base, quick


def test_the_result_says_whether_it_hangs_on_the_encoder_and_what_it_could_have_seen(toy_run):
    results = results_of(toy_run[0] / "run")
    encoders = {one["encoder"] for one in results["robustness"]["encoders"]}
    assert encoders == {"simclr", "morphology", "random_convolution"}
    assert results["ceiling"]["name"] == "pixel-permuted"
    for row in results["comparisons"]:
        assert row["excess_low"] <= row["excess"] <= row["excess_high"]
        assert row["detectable"] is None or row["detectable"]["n"] == row["n_sim"]
    for side in ("sim", "obs"):
        scores = results["objects"]["scores"][side]
        assert len(scores["ids"]) == len(scores["p_value"]) == results[side]["n"]
        assert min(scores["p_value"]) >= scores["off_support"]["smallest_p"]


def test_a_frozen_encoder_scores_only_what_it_was_not_fitted_on(frozen_run):
    base, _ = frozen_run
    results = results_of(base / "frozen")
    trained_on = results["encoder"]["trained_on"]
    assert results["encoder"]["mode"] == "frozen"
    pooled = results_of(base / "run")
    assert trained_on["n_images"] + results["obs"]["n"] == pooled["obs"]["n"]
    assert results["sim"]["n"] == pooled["sim"]["n"]


def test_a_frozen_encoder_is_used_again(frozen_run):
    base, quick = frozen_run
    stored = ("--encoder-from", base / "frozen" / "encoder")
    again = simreal(*TOYS, *quick, *stored, "--out", base / "again", cache=base / "cache")
    assert again.returncode == 0, again.stderr
    numbers = [
        [row["value"] for row in results_of(base / name)["comparisons"]]
        for name in ("frozen", "again")
    ]
    assert numbers[0] == numbers[1]


def test_strata_compare_at_fixed_property(frozen_run):
    base, quick = frozen_run
    found = simreal(
        *TOYS, *quick[:-2], "--strata", "stellar_mass", "--out", base / "strata",
        cache=base / "cache",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    strata = results_of(base / "strata")["encoder"]["variants"]["luminance"]["transform"]["strata"]
    assert strata["properties"] == ["stellar_mass"]
    assert abs(strata["balance"][0]["after"]) < 0.2
