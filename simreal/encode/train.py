"""The training loop: one anonymous pool in, one network out.

All randomness comes from named streams of one seed, drawn per epoch and indexed by object,
so an epoch needs nothing of the ones before it but weights and optimiser: resuming is exact.
No side, set or id is known here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import cos, isfinite, pi
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from simreal.core import plugins
from simreal.core.arrays import Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSource
from simreal.core.seeding import integer_seed, stream
from simreal.encode.augment import Preset, draw_views, load_preset
from simreal.encode.backbones import Backbone, new_network
from simreal.encode.checkpoints import Checkpoints
from simreal.encode.distributed import (
    Whole,
    averaged_gradients,
    check_share,
    lost_processes_named,
    processes,
    share_of,
    with_whole_norms,
)
from simreal.encode.encoder import Progress, group_weights
from simreal.encode.pool import NonFiniteImageError, missing_bands
from simreal.encode.settings import EncoderSettings
from simreal.encode.train_log import TrainLog, stalled

OBJECTIVES, OBJECTIVE_GROUP = "simreal.encode.objectives", "simreal.objectives"

#: Backbone and augmentation where none is asked for.
DEFAULT, PRESET = "small-residual", "galaxy-morphology"

#: Share of the steps in which the learning rate rises, linearly.
WARM_UP = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A trained network on the CPU, in evaluation mode, and the loss of every epoch."""

    network: Backbone
    loss: tuple[float, ...]


def train(
    source: ImageSource,
    groups: IntArray,
    *,
    objective: str,
    settings: EncoderSettings,
    seed: int,
    recipe: dict[str, Any],
    progress: Progress | None = None,
) -> Trained:
    """Train a backbone on `source` under `objective`.

    Parameters
    ----------
    source : ImageSource
    groups : array of int (n,)
        Rows of one object; an epoch shows one image of each.
    objective : str
        Name of the plug-in.
    settings : EncoderSettings
    seed : int
    recipe : dict
        What identifies this training to its checkpoints.
    progress : callable(label, done, total), optional

    Raises
    ------
    NotComputableError
        If a pixel or the loss is not finite.
    """
    here = processes()
    preset = load_preset(settings.augmentation or PRESET).fitted(source)
    epochs, members = settings.epochs_for(int(groups.max()) + 1), members_of(groups)
    n_batches = max(1, round(len(members) / settings.batch))
    check_share(len(members), n_batches)
    with runtime(settings) as device, lost_processes_named():
        model = build(source, groups, objective=objective, settings=settings, seed=seed)
        if here.size > 1:
            with_whole_norms(model.network)
        model = model.to(device).to(memory_format=torch.channels_last)
        optimiser = make_optimiser(model, settings)
        checkpoints = Checkpoints.open(settings, recipe, source, groups)
        losses = checkpoints.resume(model, optimiser)
        log = opened_log(settings, done=len(losses))
        for epoch in range(len(losses), epochs):
            if stalled(losses, settings.patience):
                break
            total, rate = 0.0, 0.0
            plan = plan_epoch(members, preset, settings=settings, seed=seed, epoch=epoch)
            for batch, chosen in enumerate(np.array_split(plan.order, n_batches)):
                views = make_views(source, plan, share_of(chosen), preset=preset, device=device)
                done = (epoch * n_batches + batch + 0.5) / (epochs * n_batches)
                rate = settings.learning_rate * schedule(done)
                loss = step(model, optimiser, views, rate=rate, n_objects=len(chosen))
                total += loss * len(chosen) / len(members)
            if not isfinite(total):
                raise NotComputableError(
                    f"the loss is {total} at epoch {epoch + 1} of {epochs}; look for extreme "
                    f"pixels, or lower the learning rate ({settings.learning_rate})"
                )
            losses.append(total)
            last = epoch + 1 == epochs or stalled(losses, settings.patience)
            checkpoints.write(model, optimiser, losses, last=last)
            log.epoch(
                epoch + 1,
                loss=total,
                rate=rate,
                images=len(members),
                batch=round(len(members) / n_batches),
            )
            if progress and here.first:
                progress("training", epoch + 1, epochs)
        log.close()
    return Trained(network=model.network.cpu().eval(), loss=tuple(losses))


def opened_log(settings: EncoderSettings, *, done: int) -> TrainLog:
    """Return the log that the settings ask for; only the first process writes one."""
    if not processes().first:
        return TrainLog()
    return TrainLog.open(settings.log, settings.tensorboard, done=done)


class Model(nn.Module):
    """What is trained: the network that stays and the objective that goes."""

    def __init__(self, network: Backbone, objective: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(self, views: Tensor, n_objects: int | None = None) -> Tensor:
        """Return the loss of the whole batch, of which `views` are this process's.

        Parameters
        ----------
        views : Tensor (2n, band, y, x)
            First views, then second views.
        n_objects : int, optional
            In the whole batch, where `views` show a part of it.
        """
        network: nn.Module = self.network
        if processes().size > 1:
            network = Whole(self.network, n_objects or len(views) // 2)
        loss: Tensor = self.objective(network, views)
        return loss


def step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    views: Tensor,
    *,
    rate: float,
    n_objects: int | None = None,
) -> float:
    """Take one gradient step and return the loss before it."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad(set_to_none=True)
    loss: Tensor = model(views, n_objects)
    loss.backward()  # type: ignore[no-untyped-call]
    averaged_gradients(model)
    optimiser.step()
    return float(loss.detach())


def schedule(done: float) -> float:
    """Return the share of the peak rate when a share `done` of training is over.

    Examples
    --------
    >>> [round(schedule(x), 3) for x in (0.05, 0.1, 0.55, 1.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if done < WARM_UP:
        return done / WARM_UP
    return (1 + cos(pi * (done - WARM_UP) / (1 - WARM_UP))) / 2


def build(
    source: ImageSource, groups: IntArray, *, objective: str, settings: EncoderSettings, seed: int
) -> Model:
    """Return an untrained model; the caller's random state is left alone."""
    mean, scale = pooled_constants(source, group_weights(groups))
    check_contrast(source)
    presence = bool(missing_bands(source).any())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer_seed(seed, "encode", "initial weights"))
        network = new_network(
            settings.backbone or DEFAULT, mean, scale, settings.dimension, presence=presence
        )
        return Model(network, objective_class(objective)(network, settings=settings))


def objective_class(name: str) -> Any:
    """Return the class of the objective `name`: a module with a ``name`` and one method."""
    return plugins.load(OBJECTIVES, OBJECTIVE_GROUP, name).Objective


def make_optimiser(model: nn.Module, settings: EncoderSettings) -> torch.optim.AdamW:
    """Return AdamW that decays matrices and kernels but neither biases nor norms."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def pooled_constants(
    source: ImageSource, weights: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return mean and standard deviation per band of the pooled pixels, groups alike.

    Bands that an image lacks do not count.

    Raises
    ------
    NotComputableError
        If a pixel is not finite.
    """
    n, bands = source.shape[:2]
    first, second = np.zeros(bands), np.zeros(bands)
    missing = missing_bands(source)
    for start in range(0, n, 256):
        rows = slice(start, min(start + 256, n))
        pixels = source.read(rows).astype(np.float64)
        pixels[missing[rows]] = 0.0
        means = pixels.mean(axis=(2, 3))
        if not np.isfinite(means).all():
            raise NonFiniteImageError(start + int((~np.isfinite(means)).any(axis=1).argmax()))
        first += weights[rows] @ means
        second += weights[rows] @ (pixels**2).mean(axis=(2, 3))
    if missing.any():
        known = np.maximum(weights @ ~missing, 1e-12)
        first, second = first / known, second / known
    scale = np.sqrt(np.maximum(second - first**2, 0))
    if not np.isfinite(scale).all():
        raise NotComputableError(
            "pixels are too bright to be squared; look for extreme values, or scale the images"
        )
    return first, np.where(scale > 1e-6, scale, 1.0)


def check_contrast(source: ImageSource) -> None:
    """Refuse images of which every pixel is the same: there is nothing to learn.

    Raises
    ------
    NotComputableError
        Naming the value.
    """
    level = float(np.nan_to_num(source.read(slice(0, 1)).flat[0]))
    for start in range(0, source.shape[0], 256):
        # A band that an image lacks reads NaN and is no contrast.
        block = np.nan_to_num(
            source.read(slice(start, min(start + 256, source.shape[0]))), nan=level
        )
        if (block != level).any():
            return
    raise NotComputableError(
        f"every pixel of every image is the same ({level:g}); look at the files, and at how they "
        "were matched"
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Epoch:
    """What an epoch shows: per object the rows of both views and their random numbers."""

    order: IntArray
    rows: IntArray
    draws: Float32Array


def plan_epoch(
    members: list[IntArray], preset: Preset, *, settings: EncoderSettings, seed: int, epoch: int
) -> Epoch:
    """Choose one image per object, or two where views of an object make the pair."""
    rng = stream(seed, "encode", "epoch", str(epoch))
    n = len(members)
    first = np.array([m[int(u * len(m))] for m, u in zip(members, rng.random(n), strict=True)])
    second = first
    if settings.second_view == "group":
        pick = zip(members, first, rng.random(n), strict=True)
        second = np.array([_another(m, row, u) for m, row, u in pick])
    return Epoch(
        order=rng.permutation(n),
        rows=np.stack([first, second], axis=1),
        draws=draw_views(preset, n, seed=seed, epoch=epoch),
    )


def _another(members: IntArray, row: int, uniform: float) -> int:
    others = members[members != row]
    return int(others[int(uniform * len(others))]) if len(others) else row


def members_of(groups: IntArray) -> list[IntArray]:
    """Return the rows of every group, groups in order of their number.

    Examples
    --------
    >>> [rows.tolist() for rows in members_of(np.array([1, 0, 1]))]
    [[1], [0, 2]]
    """
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return list(np.split(order, starts))


@torch.no_grad()
def make_views(
    source: ImageSource, epoch: Epoch, chosen: IntArray, *, preset: Preset, device: torch.device
) -> Tensor:
    """Return the views ``(2N, band, y, x)`` of the `chosen` objects: first, then second."""
    rows, draws = epoch.rows[chosen].T, epoch.draws[chosen].swapaxes(0, 1)
    first = source.read(rows[0])
    second = first if (rows[0] == rows[1]).all() else source.read(rows[1])
    images = torch.from_numpy(np.concatenate([first, second])).to(device)
    uniform = torch.from_numpy(draws.reshape(len(images), -1)).to(device)
    return preset(images, uniform).contiguous(memory_format=torch.channels_last)


@contextmanager
def runtime(settings: EncoderSettings) -> Iterator[torch.device]:
    """Choose the device, set threads and determinism, and put both back afterwards."""
    device = choose_device(settings.device)
    threads, deterministic = torch.get_num_threads(), torch.backends.cudnn.deterministic
    tuned = torch.backends.cudnn.benchmark
    try:
        torch.set_num_threads(settings.threads or threads)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        yield device
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.deterministic = deterministic
        torch.backends.cudnn.benchmark = tuned


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; ``auto`` is the first of cuda, mps and cpu there is.

    Raises
    ------
    NotComputableError
        If this machine has no such device.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(device for device, found in there.items() if found))
    if not there[name]:
        raise NotComputableError(
            f"this machine has no device {name!r}; available: "
            f"{', '.join(device for device, found in there.items() if found)}, or auto"
        )
    return torch.device(name)
