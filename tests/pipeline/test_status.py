"""Where a run stands: what is there, what is missing, what a rerun would do."""

import pytest

from simreal.core.errors import UsageError
from simreal.pipeline.manifest import write_manifest
from simreal.pipeline.settings import RunSettings, settings_to_toml
from simreal.pipeline.status import FILES, as_text, status_of


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text("x")
    settings = RunSettings(sim="toy-sim", obs="toy-survey", encoder="pca", check_encoders=())
    (folder / "run.toml").write_text(settings_to_toml(settings))
    write_manifest(folder)
    return folder


def test_a_whole_run_is_finished_and_says_what_a_rerun_would_do(run):
    (found,) = status_of(run)
    assert found.finished
    assert found.wrong == ()
    assert {row["state"] for row in found.stages} == {"to do"}
    assert "match" in {row["stage"] for row in found.stages}
    assert "finished" in as_text(found)
    assert "resume" not in as_text(found)


def test_what_is_missing_or_altered_is_named_with_the_way_on(run):
    (run / "report.html").unlink()
    (run / "rejected.csv").write_text("edited")
    (found,) = status_of(run)
    assert not found.finished
    assert found.wrong == ("report.html is missing", "rejected.csv was altered")
    assert found.resume == f"simreal compare --config {run / 'run.toml'} --out {run}"
    assert "NOT finished" in as_text(found)


def test_a_run_that_was_stopped_before_its_report_says_so(tmp_path):
    (found,) = status_of(tmp_path)
    assert not found.finished
    assert "the run did not end" in found.wrong[-1]
    assert found.stages == ()
    assert "settings are not known" in found.note
    assert "repeat the command" in found.resume


def test_settings_that_no_longer_hold_are_a_note(run):
    path = run / "run.toml"
    path.write_text(path.read_text().replace("toy-sim", "egale"))
    (found,) = status_of(run)
    assert "egale" in found.note


def test_a_board_gives_the_status_of_every_run(made_bench):
    (made_bench.board / "card.toml").write_text(made_bench.card.read_text())
    found = {one.folder.name: one for one in status_of(made_bench.board)}
    assert set(found) == {"near", "far", "again", "wrong"}
    assert found["wrong"].finished
    assert "report.html is missing" in found["near"].wrong


def test_an_absent_folder_gets_one_line(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        status_of(tmp_path / "absent")
