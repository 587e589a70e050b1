"""The command line: exit codes, one-line errors, machine-readable output."""

import json
import os
import subprocess
import sys

import pytest

from simreal.cli import main


@pytest.fixture
def simreal(capsys):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["comprae"], "unknown command 'comprae': did you mean 'compare'"),
        (["compare", "--smi", "eagle"], "No such option"),
        (["compare"], "--sim is missing"),
        (["compare", "--sim", "toy-sim"], "--obs is missing"),
        (["compare", "--sim", "egale", "--obs", "sdss"], "did you mean 'eagle'"),
        (["compare", "--sim", "toy-sim", "--obs", "toy-survey", "--encoder", "simclear"],
         "did you mean 'simclr'"),
        (["compare", "--sim", "toy-sim", "--obs", "toy-survey", "--metric", "mdm"],
         "did you mean 'mmd'"),
        (["compare", "--sim", "toy-sim", "--obs", "toy-survey", "--select", "mass"],
         "PROPERTY=LO:HI"),
        (["compare", "--sim", "toy-sim", "--obs", "toy-survey", "--frame", "square"], "frame"),
        (["compare", "--config", "absent.toml"], "no such settings file"),
        (["compare", "--sim", "toy-sim", "--obs", "toy-survey", "--n", "many"], "--n"),
        (["list", "galaxies"], "catalogues"),
        (["cache", "burn"], "clear"),
    ],
)  # fmt: skip
def test_a_wrong_word_gets_one_line_and_exit_2(simreal, arguments, words):
    code, out, err = simreal(*arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert err.startswith("simreal: error: ")
    assert err.count("\n") == 1


def test_missing_images_say_what_to_fetch_and_offer_the_toys(simreal, monkeypatch, tmp_path):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path))
    code, out, err = simreal("compare", "--sim", "eagle", "--obs", "sdss")
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert "eagle" in err
    assert str(tmp_path) in err
    assert "--sim toy-sim --obs toy-survey" in err


@pytest.mark.parametrize(
    "what", ["catalogues", "encoders", "augmentations", "benchmarks", "metrics"]
)
def test_lists_are_machine_readable(simreal, what):
    code, out, err = simreal("list", what, "--json")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    assert all(row["name"] for row in rows)
    if what == "catalogues":
        assert {"track", "role", "sampling"} <= set(rows[0])
    code, text, _ = simreal("list", what)
    assert code == 0
    assert all(row["name"] in text for row in rows)


def test_the_doctor_finds_this_machine_healthy(simreal):
    code, out, _ = simreal("doctor", "--json")
    report = json.loads(out)
    assert report["ok"], report
    assert code == 0
    assert {"torch", "cache", "catalogue cards"} <= {row["name"] for row in report["checks"]}


def test_the_doctor_says_what_is_broken(simreal, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("SIMREAL_CACHE", str(blocked))
    code, out, _ = simreal("doctor")
    assert code == 1
    assert "FAIL  cache" in out


def test_the_cache_can_be_looked_at_and_emptied(simreal, monkeypatch, tmp_path):
    monkeypatch.setenv("SIMREAL_CACHE", str(tmp_path))
    assert simreal("cache", "path")[1].strip() == str(tmp_path)
    assert json.loads(simreal("cache", "info", "--json")[1])["stages"] == {}
    assert json.loads(simreal("cache", "clear", "--json")[1]) == {"removed": 0}


def test_a_dry_run_makes_nothing(simreal, monkeypatch, tmp_path):
    monkeypatch.setenv("SIMREAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    code, out, _ = simreal(
        "compare", "--sim", "toy-sim", "--obs", "toy-survey", "--dry-run", "--json"
    )
    assert code == 0
    assert {row["state"] for row in json.loads(out)} == {"to do"}
    assert list(tmp_path.iterdir()) == []


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_importing_simreal_imports_nothing_heavy():
    heavy = ("numpy", "scipy", "torch", "sklearn", "astropy", "matplotlib", "galsim", "h5py", "PIL")
    found = python(f"import simreal, sys; print([m for m in {heavy!r} if m in sys.modules])")
    assert found.stdout.strip() == "[]", found.stderr


def test_help_imports_nothing_heavy():
    heavy = ("numpy", "torch", "sklearn", "astropy", "matplotlib", "galsim", "h5py", "pydantic")
    found = python(
        "import sys\nfrom simreal.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    assert found.stdout.strip().endswith("[]"), found.stdout + found.stderr


def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} -m simreal list catalogues | head -1"
    found = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )
    assert found.stderr == ""
    assert found.returncode == 0


@pytest.mark.parametrize(
    ("kept", "options", "level"),
    [
        ("full", [], "full"),
        ("none", [], "fast"),
        ("fast", [], "fast"),
        ("fast", ["--full"], "full"),
    ],
)
def test_an_audit_of_a_run_keeps_its_level_and_never_audits_nothing(
    kept, options, level, tmp_path, monkeypatch
):
    from click.testing import CliRunner

    from simreal.cli.audit import command
    from simreal.pipeline import run as pipeline
    from simreal.pipeline.settings import RunSettings, settings_to_toml

    bridges = ("decals-rgb",) if kept == "full" else ()
    settings = RunSettings(sim="toy-sim", obs="toy-survey", audit=kept, bridges=bridges)
    (tmp_path / "run.toml").write_text(settings_to_toml(settings))
    asked = []

    def stop(given, **_):
        asked.append(given)
        raise SystemExit(0)

    monkeypatch.setattr(pipeline, "run_comparison", stop)
    CliRunner().invoke(command, [str(tmp_path), *options])
    assert [one.audit for one in asked] == [level]
    assert asked[0].bridges == bridges
