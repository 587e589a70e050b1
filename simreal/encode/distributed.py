"""Training in many processes, such that it is the training of one.

``torchrun`` starts the processes. Each turns its share of a batch into features; the features
of the whole batch are gathered, so that every objective that acts on features sees the batch it
would see in one process, with all its negatives and statistics. Batch norms of the network take
their statistics from the whole batch too. What is left of a difference is rounding.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from simreal.core.arrays import IntArray
from simreal.core.errors import NotComputableError, StorageError
from simreal.encode.backbones import Backbone

#: How long a process waits for the others before it gives up.
PATIENCE = timedelta(minutes=30)

#: What the errors of gloo and nccl have in common when another process is gone.
_GONE = re.compile(
    r"gloo|nccl|c10d|connection|peer|broken pipe|socket|timed? ?out|process group", re.IGNORECASE
)


class LostProcessError(StorageError):
    """Another process of the training is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The processes of one training, and which of them this is."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0


def processes() -> Processes:
    """Return the processes that have `joined`; one, where none has."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return Processes()
    return Processes(rank=distributed.get_rank(), size=distributed.get_world_size())


def started_together() -> tuple[int, int]:
    """Return how many processes torchrun started, in all and on this machine.

    Examples
    --------
    >>> started_together()
    (1, 1)
    """
    return int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started, by nccl on GPUs and by gloo elsewhere.

    Raises
    ------
    LostProcessError
        If the others do not come, or one of them goes.
    """
    if started_together()[0] == 1:
        yield Processes()
        return
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    with lost_processes_named():
        distributed.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
        try:
            yield processes()
        finally:
            distributed.destroy_process_group()


@contextmanager
def lost_processes_named() -> Iterator[None]:
    """Turn what the network says when another process is gone into one line.

    Raises
    ------
    LostProcessError
        Naming this process.
    """
    try:
        yield
    except RuntimeError as error:
        size = started_together()[0]
        if size == 1 or not _GONE.search(str(error)):
            raise
        rank = os.environ.get("RANK", "0")
        raise LostProcessError(
            f"process {rank} of {size}: another process of this training is gone; "
            "see what it said, then start all of them again: they resume from the last checkpoint"
        ) from None


def agreed(value: Any) -> Any:
    """Return what the first process holds for `value`; plain values or tensors on the CPU."""
    if processes().size == 1:
        return value
    held = [value]
    distributed.broadcast_object_list(held, src=0)
    return held[0]


def share_of(chosen: IntArray) -> IntArray:
    """Return the part of a batch that this process turns into features."""
    here = processes()
    return chosen if here.size == 1 else np.array_split(chosen, here.size)[here.rank]


def check_share(n_objects: int, n_batches: int) -> None:
    """Check that no process goes without an object in any batch.

    Raises
    ------
    NotComputableError
        Naming the smallest batch and how many processes there are.
    """
    smallest, size = n_objects // n_batches, processes().size
    if size > 1 and smallest < size:
        raise NotComputableError(
            f"a batch of {smallest} objects cannot be shared by {size} processes; start at most "
            f"{smallest}, or give more images"
        )


class Whole(nn.Module):
    """A network as an objective sees it: features of the whole batch, of every process.

    Parameters
    ----------
    network : Backbone
    n_objects : int
        In the whole batch; each has two views.
    """

    def __init__(self, network: Backbone, n_objects: int) -> None:
        super().__init__()
        self.network, self.n_objects = network, n_objects

    @property
    def width(self) -> int:
        """Length of a feature vector."""
        return self.network.width

    def forward(self, views: Tensor) -> Tensor:
        """Map the views of this process's objects to features ``(2N, width)`` of all objects."""
        features = self.network(views)
        lengths = [len(part) for part in np.array_split(np.empty(self.n_objects), processes().size)]
        first, second = features.chunk(2)
        both = [gathered(part, lengths) for part in (first, second)]
        return torch.cat(both)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            raise NotComputableError(
                f"this objective needs the network's {name!r} and not only its features, which is "
                "all that processes exchange; train it in one process"
            ) from None


def gathered(rows: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return the rows of all processes, in the order of the processes.

    Every process goes on with the same whole, so that each finds the gradient of its own rows
    by itself; it is multiplied with the number of processes, over which `averaged_gradients`
    then averages.

    Parameters
    ----------
    rows : Tensor (n, d)
    lengths : sequence of int
        n of every process.
    """
    found: Tensor = _Gather.apply(rows, tuple(lengths))
    return found


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, lengths: tuple[int, ...]) -> Tensor:
        ctx.lengths = lengths
        if len(lengths) == 1:
            return rows.clone()
        longest = max(lengths)
        padded = functional.pad(rows, (0, 0, 0, longest - len(rows))).contiguous()
        parts = [torch.empty_like(padded) for _ in lengths]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, lengths, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        here, (whole,) = processes(), gradients
        start = sum(ctx.lengths[: here.rank])
        return here.size * whole[start : start + ctx.lengths[here.rank]], None


class _Sum(torch.autograd.Function):
    """The sum over processes, whose gradient is the sum of the gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:  # noqa: ARG004
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


class WholeBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the statistics of all processes.

    torch's own works on GPUs only.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Normalise ``(n, band, y, x)`` by mean and variance of the whole batch."""
        if not self.training or processes().size == 1:
            alone: Tensor = super().forward(images)
            return alone
        count = torch.tensor([float(images.numel() // images.shape[1])], dtype=images.dtype)
        n = _Sum.apply(count.to(images.device))
        mean = _Sum.apply(images.sum(dim=(0, 2, 3))) / n
        centred = images - mean[:, None, None]
        variance = _Sum.apply((centred**2).sum(dim=(0, 2, 3))) / n
        self._remember(mean.detach(), variance.detach() * (n / (n - 1)))
        scale = self.weight / torch.sqrt(variance + self.eps)
        normalised: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normalised

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            return
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


def with_whole_norms(module: nn.Module) -> None:
    """Let the batch norms inside `module` see the whole batch; weights and names stay."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            whole = WholeBatchNorm2d(child.num_features, eps=child.eps, momentum=child.momentum)
            whole.load_state_dict(child.state_dict())
            setattr(module, name, whole.to(child.weight.device))
        else:
            with_whole_norms(child)


@torch.no_grad()
def averaged_gradients(module: nn.Module) -> None:
    """Replace every gradient by its mean over the processes."""
    size = processes().size
    if size == 1:
        return
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    start = 0
    for gradient in gradients:
        part = flat[start : start + gradient.numel()]
        gradient.copy_(part.view_as(gradient) / size)
        start += gradient.numel()
