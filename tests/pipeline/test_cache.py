"""The stage cache: whole or absent, never damaged, one writer at a time."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from simreal.core.errors import StorageError
from simreal.pipeline.cache import StageCache, cache_folder, code_version, stage_key


def build_text(text):
    def build(folder: Path) -> None:
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text(text)

    return build


def refuse(folder):
    raise AssertionError(f"{folder} must not be built")


def test_a_stage_is_built_once(tmp_path):
    cache = StageCache(tmp_path)
    first = cache.fetch("read", "k1", build_text("one"))
    assert (first / "deep" / "a.txt").read_text() == "one"
    assert cache.fetch("read", "k1", refuse) == first
    assert cache.has("read", "k1")
    assert not cache.has("read", "k2")


def test_a_failed_build_leaves_nothing(tmp_path):
    cache = StageCache(tmp_path)

    def half(folder):
        (folder / "a.txt").write_text("half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        cache.fetch("read", "k", half)
    assert not cache.has("read", "k")
    assert [path.name for path in (tmp_path / "read").iterdir()] == [".k.lock"]


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_a_damaged_entry_is_made_again(tmp_path, harm):
    cache = StageCache(tmp_path)
    file = cache.fetch("read", "k", build_text("whole")) / "deep" / "a.txt"
    if harm == "flip":
        file.write_text("whale")
    elif harm == "truncate":
        file.write_text("")
    else:
        file.unlink()
    assert (cache.fetch("read", "k", build_text("whole")) / "deep" / "a.txt").read_text() == "whole"


def test_entries_are_counted_and_cleared(tmp_path):
    cache = StageCache(tmp_path)
    cache.fetch("read", "k1", build_text("one"))
    cache.fetch("match", "k2", build_text("two"))
    assert [entry.stage for entry in cache.entries()] == ["match", "read"]
    assert all(entry.bytes > 0 for entry in cache.entries())
    assert cache.clear() == 2
    assert cache.entries() == []


def test_a_key_depends_on_inputs_and_code():
    key = stage_key("match", code=("match",), a=1)
    assert key == stage_key("match", code=("match",), a=1)
    assert key != stage_key("match", code=("match",), a=2)
    assert key != stage_key("match", code=("measure",), a=1)
    assert code_version("core") == code_version("core")


def test_a_cache_that_cannot_be_written_is_one_clear_line(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError, match="point SIMREAL_CACHE at a writable folder"):
        StageCache(blocked).fetch("read", "k", refuse)


def test_the_cache_folder_is_the_users_choice(monkeypatch, tmp_path):
    monkeypatch.setenv("SIMREAL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("SIMREAL_CACHE")
    assert cache_folder().name == "simreal"


def _count_builds(folder, counter):
    def build(target):
        with counter.get_lock():
            counter.value += 1
        time.sleep(0.1)
        (target / "a.txt").write_text("x")

    StageCache(Path(folder)).fetch("read", "k", build)


def test_many_processes_build_once(tmp_path):
    context = multiprocessing.get_context("fork")
    counter = context.Value("i", 0)
    workers = [
        context.Process(target=_count_builds, args=(str(tmp_path), counter)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=30)
        assert worker.exitcode == 0
    assert counter.value == 1


def _hang(folder):
    StageCache(Path(folder)).fetch("read", "k", lambda target: time.sleep(60))


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    context = multiprocessing.get_context("fork")
    holder = context.Process(target=_hang, args=(str(tmp_path),))
    holder.start()
    while not list(tmp_path.glob("read/.k-*")):
        time.sleep(0.02)
    os.kill(holder.pid, signal.SIGKILL)
    holder.join(timeout=10)
    assert StageCache(tmp_path).fetch("read", "k", build_text("after")).is_dir()
