"""NNCLR: the support queue is first in first out, the loss the published one."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from simreal.encode.objectives.nnclr import Objective, SupportQueue, nnclr
from simreal.encode.objectives.simclr import nt_xent
from simreal.encode.settings import EncoderSettings


def rows(seed, n, d=4):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32))


def queue_of(length, d=4, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SupportQueue(length, d)


def built(seed=0, width=6):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Objective(SimpleNamespace(width=width), settings=EncoderSettings())


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 7))
def test_first_in_first_out_whatever_the_batches(sizes, length):
    queue = queue_of(length)
    initial = queue.vectors.clone()
    pushed = [rows(i, size) for i, size in enumerate(sizes)]
    for batch in pushed:
        queue.push(batch)
    everything = torch.cat([initial, functional.normalize(torch.cat(pushed), dim=1)])
    # From the oldest on: what the last `length` arrivals were.
    held = queue.vectors.roll(-int(queue.start), 0)
    torch.testing.assert_close(held, everything[-length:], atol=0, rtol=0)


def test_it_starts_with_unit_vectors_that_follow_from_the_seed():
    queue = queue_of(64, 8, seed=1)
    torch.testing.assert_close(queue.vectors.norm(dim=1), torch.ones(64))
    assert torch.equal(queue.vectors, queue_of(64, 8, seed=1).vectors)
    assert not torch.equal(queue.vectors, queue_of(64, 8, seed=2).vectors)


@given(st.integers(0, 2**31))
def test_the_nearest_is_that_of_the_largest_cosine(seed):
    queue, wanted = queue_of(20), rows(seed, 5)
    held = queue.vectors.numpy().astype(float)
    for vector, found in zip(wanted.numpy().astype(float), queue.nearest(wanted), strict=True):
        cosines = held @ vector / np.linalg.norm(vector)
        assert np.dot(found.numpy(), vector) / np.linalg.norm(vector) == pytest.approx(
            cosines.max(), abs=1e-6
        )


def test_an_object_finds_itself_once_it_is_in_the_queue():
    queue, vectors = queue_of(50, 16), rows(3, 5, 16)
    queue.push(vectors)
    torch.testing.assert_close(queue.nearest(vectors * 4), functional.normalize(vectors, dim=1))


def test_neighbours_that_are_the_views_themselves_give_simclr():
    first, second = rows(0, 8), rows(1, 8)
    both = nnclr((first, second), (first, second), temperature=0.2)
    torch.testing.assert_close(both, nt_xent(first, second, temperature=0.2))


def test_the_neighbours_are_looked_up_before_the_batch_joins_the_queue():
    objective, features = built(), rows(0, 12, 6)
    before = objective.queue.vectors.clone()
    projected = objective.projector(features)
    here, there = objective.predictor(projected).chunk(2)
    found = [
        before[(half @ before.T).argmax(1)] for half in functional.normalize(projected).chunk(2)
    ]
    expected = nnclr((found[0], found[1]), (here, there), temperature=0.2)
    torch.testing.assert_close(objective(lambda views: views, features), expected)
    # Afterwards the first views, and only they, are in it.
    torch.testing.assert_close(
        objective.queue.vectors[:6], functional.normalize(projected[:6], dim=1)
    )
    assert torch.equal(objective.queue.vectors[6:], before[6:])
    assert int(objective.queue.start) == 6


def test_no_gradient_flows_through_the_neighbours():
    objective = built()
    features = rows(0, 12, 6).requires_grad_()
    objective(lambda views: views, features).backward()
    assert features.grad.abs().sum() > 0
    assert not objective.queue.vectors.requires_grad


@pytest.mark.parametrize("temperature", [0.1, 0.2, 0.5])
def test_it_equals_lightlys_loss_and_memory_bank(temperature):
    losses = pytest.importorskip("lightly.loss.ntx_ent_loss", reason="lightly is not installed")
    from lightly.models.modules.nn_memory_bank import NNMemoryBankModule

    queue = queue_of(40, 16)
    bank = NNMemoryBankModule(size=(40, 16))
    bank.bank = queue.vectors.clone()
    criterion = losses.NTXentLoss(temperature=temperature)
    for turn in range(4):  # three batches of 12 fill the queue of 40 to its last place but four
        z0, z1, p0, p1 = (rows(10 * turn + i, 12, 16) for i in range(4))
        nearest = bank(z1, update=False), bank(functional.normalize(z0, dim=1), update=True)
        theirs = 0.5 * (criterion(nearest[1], p1) + criterion(nearest[0], p0))
        mine = nnclr((queue.nearest(z0), queue.nearest(z1)), (p0, p1), temperature=temperature)
        queue.push(z0)
        assert mine.item() == pytest.approx(theirs.item(), abs=1e-6)
    # Theirs drops what does not fit before it wraps round; first in first out does not.
    assert torch.equal(bank.bank[12:], queue.vectors[12:])
