"""A training that is killed without warning ends, resumed, in the same bits."""

import os
import subprocess
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from simreal.encode.train_log import read_log

WORKER = Path(__file__).with_name("kill_worker.py")

_spec = spec_from_file_location("kill_worker", WORKER)
worker = module_from_spec(_spec)
_spec.loader.exec_module(worker)

#: Where it is killed: after so many epochs, and this share of another.
POINTS = np.random.default_rng(2026).uniform(0, worker.EPOCHS - 1, size=20).round(3)


@pytest.fixture(scope="module")
def whole():
    return worker.trained(None)


def kill_at(folder, point):
    """Start the training and kill it -9 at `point`; return how many epochs it had logged."""
    process = subprocess.Popen(
        [sys.executable, str(WORKER), str(folder)], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    log, until = folder / "log.jsonl", time.monotonic() + 240
    try:
        while time.monotonic() < until and process.poll() is None:
            rows = read_log(log) if log.exists() else []
            if log.exists() and len(rows) >= int(point):
                time.sleep((point % 1) * (rows[-1]["seconds"] if rows else 0.1))
                break
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    return len(read_log(log))


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS.tolist())
def test_killed_anywhere_it_ends_in_the_same_bits(whole, point, tmp_path):
    logged = kill_at(tmp_path, point)
    assert logged < worker.EPOCHS, "it was over before it was killed"
    again = worker.trained(tmp_path)
    assert again.digest == whole.digest
    assert again.card["loss"] == whole.card["loss"]
    assert [row["epoch"] for row in read_log(tmp_path / "log.jsonl")] == [
        *range(1, worker.EPOCHS + 1)
    ]
    # Nothing half-written is left for the next one to trip over.
    assert not [p for p in (tmp_path / "checkpoints").iterdir() if p.suffix != ".safetensors"]
