"""``simreal ingest``, ``match`` and ``check``: exit codes, text, JSON and files."""

import csv
import json
import re
import time

import numpy as np
import pytest
from PIL import Image

from simreal.cli import main
from simreal.core.cards import catalogue_folder
from simreal.data.store import read_set


@pytest.fixture
def simreal(capsys):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err

    return run


@pytest.fixture
def folder(tmp_path):
    """Write a folder of 20 composites with a bright middle."""
    images = tmp_path / "mocks"
    images.mkdir()
    y, x = np.indices((64, 64)) - 31.5
    for i in range(20):
        random = np.random.default_rng(i)
        light = np.exp(-np.hypot(y, x * (1 + i / 20)) / 6)
        planes = 20 + 180 * light[..., None] + random.normal(0, 4, (64, 64, 3))
        picture = np.clip(planes, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(images / f"g_{i:03d}.png")
    return images


@pytest.fixture
def few_observed(tmp_path):
    """Write the card of a small toy survey."""
    text = (catalogue_folder() / "toy-survey.toml").read_text()
    path = tmp_path / "few.toml"
    path.write_text(re.sub(r"n_galaxies = \d+", "n_galaxies = 60", text))
    return path


class TestIngest:
    def test_it_says_what_was_read(self, simreal, folder):
        code, out, err = simreal("ingest", str(folder), "--role", "observed")
        assert code == 0
        assert "20 of 20 objects, 64 x 64 pixels" in out
        assert "observed, curated" in out
        assert "red, green, blue (rgb track)" in out
        assert "rejected    0" in out
        assert "read mocks" in err

    def test_a_second_time_it_is_there(self, simreal, folder):
        first = json.loads(simreal("ingest", str(folder), "--json")[1])
        second = json.loads(simreal("ingest", str(folder), "--json")[1])
        assert (first["cached"], second["cached"]) == (False, True)
        assert first["store"] == second["store"]

    def test_broken_files_are_listed_and_exit_4(self, simreal, folder, tmp_path):
        (folder / "g_003.png").write_bytes(b"")
        store = tmp_path / "out" / "mine.h5"
        code, out, err = simreal("ingest", str(folder), "--out", str(store), "--json")
        assert (code, err) == (4, "")
        rows = json.loads(out)
        assert (rows["n"], rows["n_rejected"], rows["cached"]) == (19, 1, False)
        assert rows["rejected"][0]["id"] == "g_003"
        assert len(read_set(store)) == 19
        with open(store.with_name("mine.rejected.csv"), newline="") as handle:
            assert [row["id"] for row in csv.DictReader(handle)] == ["g_003"]

    def test_wrong_words_get_one_line(self, simreal, tmp_path):
        code, out, err = simreal("ingest", "egale")
        assert (code, out) == (2, "")
        assert "did you mean 'eagle'" in err
        assert err.count("\n") == 1
        code, _, err = simreal("ingest", str(tmp_path / "absent"))
        assert code == 2
        assert "no such folder" in err

    def test_a_track_that_is_not_there_is_refused(self, simreal, folder):
        code, _, err = simreal("ingest", str(folder), "--track", "flux")
        assert code == 2
        assert "track" in err


class TestMatch:
    def test_both_sides_and_what_it_took_are_written(self, simreal, folder, few_observed, tmp_path):
        out_folder = tmp_path / "matched"
        arguments = ["match", "--sim", str(folder), "--obs", str(few_observed), "--n", "8"]
        picture = tmp_path / "pictures" / "strip.png"
        strip = ["--strip", str(picture)]
        code, out, err = simreal(*arguments, *strip, "--out", str(out_folder))
        assert code == 0, err
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert f"strip       {picture}" in out
        for words in ("matched ", "frame ", "check ", "balance ", "excluded ", "written "):
            assert f"\n{words}" in f"\n{out}"
        names = {path.name for path in out_folder.iterdir()}
        assert names >= {"sim.h5", "obs.h5", "match.json", "excluded.csv", "rejected.csv"}
        match = json.loads((out_folder / "match.json").read_text())
        sim, obs = (read_set(out_folder / f"{side}.h5") for side in ("sim", "obs"))
        assert sim.n_groups == 8
        assert obs.n_groups == 16
        assert f"matched     {len(sim)} simulated, {len(obs)} observed" in out
        assert sim.setup.frame == obs.setup.frame == match["frame"]["kind"]
        with open(out_folder / "excluded.csv", newline="") as handle:
            assert len(list(csv.DictReader(handle))) == len(match["excluded"])
        # The stages are in the cache: a second run only reads and prints.
        start = time.perf_counter()
        code, again, err = simreal(*arguments, "--out", str(out_folder), "--json")
        assert (code, err) == (0, "")
        assert time.perf_counter() - start < 10
        assert json.loads(again)["checks"] == match["checks"]
        assert json.loads(again)["n"] == {"sim": len(sim), "obs": len(obs)}

    def test_a_strip_is_a_png(self, simreal, tmp_path):
        arguments = ["match", "--sim", "toy-sim", "--obs", "toy-survey"]
        code, _, err = simreal(*arguments, "--strip", str(tmp_path / "strip.jpg"))
        assert code == 2
        assert "allowed is the name of a .png file" in err

    def test_a_side_is_needed(self, simreal):
        code, out, err = simreal("match", "--sim", "toy-sim")
        assert (code, out) == (2, "")
        assert "--obs is missing" in err


class TestCheck:
    def test_a_folder_in_order(self, simreal, folder, tmp_path):
        page = tmp_path / "page.html"
        code, out, _ = simreal("check", str(folder), "--out", str(page))
        assert code == 0
        assert "mocks: in order" in out
        assert "half-light radius" in out
        assert page.read_text().count("data:image/png;base64,") == 10

    def test_what_is_broken_is_named_with_its_fix(self, simreal, folder, tmp_path):
        for i in range(8):
            (folder / f"g_{i:03d}.png").write_text("<html>404</html>")
        page = tmp_path / "page.html"
        code, out, _ = simreal("check", str(folder), "--out", str(page), "--json")
        assert code == 7
        found = json.loads(out)
        assert (found["passed"], found["n_rejected"]) == (False, 8)
        broken = [row for row in found["findings"] if row["state"] == "broken"]
        assert [row["check"] for row in broken] == ["reads"]
        assert "E_HTML 8" in broken[0]["found"]

    def test_metrics_are_checked_as_before(self, simreal):
        code, out, _ = simreal("check", "metric", "energy")
        assert code == 0
        assert "kept" in out

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["check"], "Missing argument"),
            (["check", "metric"], "name the metric"),
            (["check", "eagle", "sdss"], "one CARD, or metric NAME"),
            (["check", "egale"], "did you mean 'eagle'"),
            (["check", "absent.toml"], "no such card"),
        ],
    )
    def test_wrong_words_get_one_line(self, simreal, arguments, words):
        code, out, err = simreal(*arguments)
        assert (code, out) == (2, "")
        assert words in err
        assert err.count("\n") == 1
