"""`leaderboard`, `verify`, `cite` and `status` on the command line: exit codes, one-line errors."""

import json

import pytest

from simreal.cli import main


@pytest.fixture
def simreal(capsys):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(one) for one in arguments])
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err

    return run


@pytest.mark.parametrize(
    ("arguments", "words", "expected"),
    [
        (["leaderboard", "toy-v9"], "did you mean 'toy-v1'", 2),
        (["leaderboard", "absent-v1.toml"], "no such card", 2),
        (["leaderboard"], "Missing argument", 2),
        (["verify", "absent"], "neither a run (results.json) nor a board", 2),
        (["cite", "absent"], "name the folder of a finished run", 6),
        (["status", "absent"], "no such folder", 2),
        (["compare", "--sim", "toy-sim", "--obs", "toy-survey", "--against", "absent"],
         "no finished run", 6),
    ],
)  # fmt: skip
def test_a_wrong_word_gets_one_line(simreal, tmp_path, monkeypatch, arguments, words, expected):
    monkeypatch.chdir(tmp_path)
    code, out, err = simreal(*arguments)
    assert (code, out) == (expected, "")
    assert words in err
    assert err.startswith("simreal: error: ")
    assert err.count("\n") == 1


def test_a_refusal_of_verify_leaves_with_7_and_is_machine_readable(simreal, tmp_path):
    (tmp_path / "results.json").write_text("{}")
    (tmp_path / "manifest.json").write_text(
        json.dumps({"format": 1, "files": {"results.json": "0" * 64, "gone.csv": "0" * 64}})
    )
    code, out, err = simreal("verify", tmp_path)
    assert (code, out) == (7, "")
    assert "not verified: results.json was altered (and 1 more)" in err
    code, out, err = simreal("verify", tmp_path, "--json")
    assert (code, err) == (7, "")
    assert json.loads(out)["verified"] is False


def test_status_is_machine_readable_and_leaves_with_1_where_something_is_missing(simreal, tmp_path):
    code, out, err = simreal("status", tmp_path, "--json")
    assert (code, err) == (1, "")
    (found,) = json.loads(out)
    assert not found["finished"]
    code, out, _ = simreal("status", tmp_path)
    assert "NOT finished" in out


def test_help_names_the_commands(simreal):
    _, out, _ = simreal("--help")
    assert all(name in out for name in ("leaderboard", "verify", "status", "cite"))


def test_a_board_without_any_images_says_what_to_fetch(simreal, monkeypatch, tmp_path):
    monkeypatch.setenv("SIMREAL_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    code, out, err = simreal("leaderboard", "sdss-rgb-v1")
    assert (code, out) == (5, "")
    line = err.splitlines()[-1]
    assert "no row could be made; the first: eagle-ref50" in line
    assert str(tmp_path / "data") in line
    assert not (tmp_path / "boards").exists()
