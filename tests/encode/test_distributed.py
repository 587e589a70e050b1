"""Many processes are one: loss, gradients, weights; and a process that dies takes no other along.

The per-process contrast that is often written by mistake fails the same comparison.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from simreal.core.errors import NotComputableError
from simreal.encode.distributed import (
    LostProcessError,
    Processes,
    Whole,
    WholeBatchNorm2d,
    agreed,
    check_share,
    gathered,
    joined,
    lost_processes_named,
    processes,
    share_of,
    with_whole_norms,
)
from simreal.encode.train_log import read_log

WORKER = Path(__file__).with_name("distributed_worker.py")

_spec = spec_from_file_location("distributed_worker", WORKER)
worker = module_from_spec(_spec)
_spec.loader.exec_module(worker)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(arguments, *, size=2, **environment):
    """Start `size` processes as torchrun does."""
    port = str(free_port())
    started = []
    for rank in range(size):
        env = {
            **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
            "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
            "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **environment,
        }  # fmt: skip
        command = [sys.executable, *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, env=env, text=True, **pipes))
    return started


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes found, one mapping per process, and the folder they wrote to."""
    folder = tmp_path_factory.mktemp("two")
    started = start([WORKER, folder])
    said = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    found = []
    for rank in range(2):
        with np.load(folder / f"rank{rank}.npz") as file:
            found.append({name: file[name] for name in file.files})
    return found, folder


def of(found, job):
    return {n.partition("/")[2]: v for n, v in found.items() if n.partition("/")[0] == job}


def farthest(one, other, *, scale=None):
    """Return the largest difference of two mappings of arrays, in units of each one's largest."""
    assert one.keys() == other.keys()
    worst = 0.0
    for name, values in one.items():
        if values.dtype.kind == "f":
            size = max(np.abs(values).max(), 1e-12) if scale is None else scale
            worst = max(worst, float(np.abs(values - other[name]).max() / size))
    return worst


class Threads:
    """Two threads that exchange tensors as processes do, for the mathematics alone."""

    def __init__(self, size=2):
        self.size, self.here = size, threading.local()
        self.barrier, self.slots = threading.Barrier(size, timeout=60), [None] * size

    def processes(self):
        return Processes(rank=getattr(self.here, "rank", 0), size=self.size)

    def exchanged(self, tensor):
        self.slots[self.here.rank] = tensor.detach().clone()
        self.barrier.wait()
        found = [slot.clone() for slot in self.slots]
        self.barrier.wait()
        return found

    def all_reduce(self, tensor):
        with torch.no_grad():
            tensor.copy_(sum(self.exchanged(tensor)))

    def all_gather(self, parts, tensor):
        for part, found in zip(parts, self.exchanged(tensor), strict=True):
            part.copy_(found)

    def run(self, work):
        def one(rank):
            self.here.rank = rank
            return work(rank)

        with ThreadPoolExecutor(self.size) as pool:
            return list(pool.map(one, range(self.size)))


@pytest.fixture
def threads(monkeypatch):
    made = Threads()
    for module in ("simreal.encode.distributed", "simreal.encode.train"):
        monkeypatch.setattr(f"{module}.processes", made.processes)
    monkeypatch.setattr(torch.distributed, "all_reduce", made.all_reduce)
    monkeypatch.setattr(torch.distributed, "all_gather", made.all_gather)
    return made


def of_threads(threads, objective, **options):
    whole = not options.get("alone", False)
    models = [worker.prepared(objective, dtype=torch.float64, whole=whole) for _ in range(2)]
    return threads.run(lambda rank: worker.stepped(models[rank], dtype=torch.float64, **options))


@pytest.mark.parametrize("objective", worker.OBJECTIVES)
def test_a_batch_in_two_parts_is_the_batch(threads, objective, monkeypatch):
    """Loss, gradients, weights after the step, and the queue; in double precision."""
    # The queue of one shows in the loss of the next step only.
    n_steps = 2 if objective == "nnclr" else 1
    both = of_threads(threads, objective, n_steps=n_steps)
    monkeypatch.undo()
    one = worker.steps(objective, dtype=torch.float64, n_steps=n_steps)
    for found in both:
        assert farthest(one, found) < 1e-9


def test_negatives_of_one_part_only_would_be_seen(threads, monkeypatch):
    """The comparison above, of what it must refuse."""
    alone = of_threads(threads, "simclr", alone=True, n_steps=1)[0]
    monkeypatch.undo()
    one = worker.steps("simclr", dtype=torch.float64, n_steps=1)
    assert abs(float(one["0 loss"]) - float(alone["0 loss"])) > 0.1
    assert farthest(one, alone) > 0.1


def test_norms_of_one_part_only_would_be_seen(threads, monkeypatch):
    models = [worker.prepared("simclr", dtype=torch.float64, whole=False) for _ in range(2)]
    parts = threads.run(lambda rank: worker.stepped(models[rank], dtype=torch.float64, n_steps=1))
    monkeypatch.undo()
    assert farthest(worker.steps("simclr", dtype=torch.float64, n_steps=1), parts[0]) > 0.01


@pytest.mark.parametrize("objective", ["simmim"])
def test_an_objective_on_pixels_is_refused_with_several(threads, objective):
    with pytest.raises(NotComputableError, match=r"needs the network's 'standardised'"):
        of_threads(threads, objective)


@pytest.mark.slow
class TestProcesses:
    """Two processes that gloo joins."""

    @pytest.mark.parametrize("objective", worker.OBJECTIVES)
    def test_loss_gradients_and_weights_are_those_of_one(self, two, objective):
        """In double precision, so that what is left is no matter of rounding."""
        one = worker.steps(objective, dtype=torch.float64)
        for found in two[0]:
            assert farthest(one, of(found, f"{objective} double")) < 1e-6

    @pytest.mark.parametrize("objective", worker.OBJECTIVES)
    def test_in_single_precision_what_is_left_is_rounding(self, two, objective):
        one = worker.steps(objective, dtype=torch.float32, n_steps=1)
        both = of(two[0][0], f"{objective} single")
        assert abs(float(one["0 loss"]) / float(both["0 loss"]) - 1) < 1e-6
        gradients = {n: v for n, v in one.items() if n.startswith("0 ") and n != "0 loss"}
        largest = max(np.abs(value).max() for value in gradients.values())
        assert farthest(gradients, {n: both[n] for n in gradients}, scale=largest) < 2e-5

    def test_negatives_of_one_process_only_would_be_seen(self, two):
        one = worker.steps("simclr", dtype=torch.float64)
        alone = of(two[0][0], "alone")
        assert abs(float(one["0 loss"]) - float(alone["0 loss"])) > 0.1
        assert farthest(one, alone) > 0.1

    def test_a_whole_training(self, two):
        """Adam divides by the size of a gradient, so that rounding grows step by step."""
        first, second = (of(found, "train") for found in two[0])
        assert farthest(first, second) == 0
        np.testing.assert_allclose(first["loss"], worker.weights("simclr")["loss"], rtol=5e-3)

    def test_only_the_first_process_writes(self, two):
        rows = read_log(two[1] / "log.jsonl")
        assert [row["epoch"] for row in rows] == [1, 2, 3]
        assert {row["effective_batch"] for row in rows} == {6}
        assert len(list((two[1] / "checkpoints").iterdir())) == 2


class TestOne:
    """What the pieces are where nobody else has joined."""

    def test_nothing_changes(self):
        assert processes() == Processes(rank=0, size=1)
        assert share_of(np.arange(5)).tolist() == [0, 1, 2, 3, 4]
        assert agreed({"a": 1}) == {"a": 1}
        rows = torch.rand(3, 2, requires_grad=True)
        gathered(rows, [3]).sum().backward()
        assert rows.grad.tolist() == [[1.0, 1.0]] * 3
        with joined("cpu") as here:
            assert here.first

    def test_norms_keep_their_weights_and_names(self):
        torch.manual_seed(0)
        plain = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
        plain(torch.rand(8, 2, 6, 6))
        held = torch.nn.Sequential(plain)
        before = {k: v.clone() for k, v in held.state_dict().items()}
        images = torch.rand(4, 2, 6, 6)
        expected = held.eval()(images)
        with_whole_norms(held)
        assert isinstance(held[0][1], WholeBatchNorm2d)
        after = held.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[k], before[k]) for k in before)
        assert torch.equal(held.eval()(images), expected)

    def test_an_objective_that_needs_more_than_features_is_refused(self):
        network = torch.nn.Module()
        network.width, network.maps = 4, lambda x: x
        whole = Whole(network, 3)
        assert whole.width == 4
        with pytest.raises(NotComputableError, match=r"needs the network's 'maps'.*in one process"):
            whole.maps(1)

    def test_more_processes_than_objects(self, monkeypatch):
        monkeypatch.setattr(
            "simreal.encode.distributed.processes", lambda: Processes(rank=0, size=9)
        )
        check_share(18, 2)
        with pytest.raises(NotComputableError, match="batch of 8 objects cannot be shared by 9"):
            check_share(17, 2)

    def test_an_error_of_the_network_is_one_line(self, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "4")
        monkeypatch.setenv("RANK", "2")
        with (
            pytest.raises(LostProcessError, match="process 2 of 4: another process") as gone,
            lost_processes_named(),
        ):
            raise RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")
        assert "\n" not in str(gone.value)
        with pytest.raises(RuntimeError, match="shapes"), lost_processes_named():
            raise RuntimeError("shapes do not fit")
        monkeypatch.setenv("WORLD_SIZE", "1")
        with pytest.raises(RuntimeError, match="gloo"), lost_processes_named():
            raise RuntimeError("gloo")


@pytest.mark.slow
class TestKilled:
    """The commands, as torchrun starts them."""

    @pytest.fixture
    def pictures(self, tmp_path):
        folder, rng = tmp_path / "pictures", np.random.default_rng(3)
        folder.mkdir()
        y, x = np.mgrid[-36:36, -36:36]
        for number in range(32):
            light = np.exp(-0.5 * (x**2 + (y / rng.uniform(0.5, 1)) ** 2) / rng.uniform(9, 36))
            noisy = 0.1 + 0.6 * light[..., None] + rng.normal(scale=0.02, size=(72, 72, 3))
            pixels = np.rint(255 * np.clip(noisy, 0, 1)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:02d}.png")
        return folder

    def begun(self, tmp_path, pictures, **environment):
        command = [
            "-m", "simreal", "train", "--obs", pictures, "--stamp", "32", "--threads", "1",
            "--image-passes", "1000000", "--epoch-log", tmp_path / "log", "--out", tmp_path / "out",
        ]  # fmt: skip
        return start(command, SIMREAL_CACHE=str(tmp_path / "cache"), **environment)

    def wait_for_epochs(self, log, started, n=3):
        until = time.monotonic() + 240
        while time.monotonic() < until:
            if log.exists() and len(read_log(log)) >= n:
                return
            if any(process.poll() is not None for process in started):
                break
            time.sleep(0.2)
        said = [process.communicate() for process in started if process.poll() is not None]
        pytest.fail(f"the training did not get going: {said}")

    @pytest.mark.parametrize("killed", [0, 1])
    def test_the_others_end_with_one_line(self, tmp_path, pictures, killed):
        started = self.begun(tmp_path, pictures)
        try:
            self.wait_for_epochs(tmp_path / "log" / "luminance.jsonl", started)
            started[killed].send_signal(signal.SIGKILL)
            err = started[1 - killed].communicate(timeout=120)[1]
        finally:
            for process in started:
                process.kill()
                process.wait()
                process.stdout.close()
                process.stderr.close()
        assert started[1 - killed].returncode == 6
        last = err.splitlines()[-1]
        assert "simreal: error: " in last
        assert f"process {1 - killed} of 2: another process of this training is gone" in last
        assert "Traceback" not in err
        assert not (tmp_path / "out").exists()
        checkpoints = list((tmp_path / "cache" / "checkpoints").rglob("*.safetensors"))
        assert checkpoints, "there is nothing to resume from"
