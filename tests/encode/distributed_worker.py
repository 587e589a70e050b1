"""One process of the trainings that `test_distributed` compares: run by it, not by pytest."""

import sys
from pathlib import Path

import numpy as np
import torch

from simreal.core.images import ArraySource
from simreal.encode.augment import load_preset
from simreal.encode.distributed import averaged_gradients, joined, processes, share_of
from simreal.encode.settings import EncoderSettings
from simreal.encode.train import (
    build,
    make_optimiser,
    make_views,
    members_of,
    plan_epoch,
    train,
    with_whole_norms,
)

#: An odd number, so that the processes' shares differ.
N_OBJECTS = 13
OBJECTIVES = ("simclr", "nnclr", "vicreg")
SETTINGS = EncoderSettings(epochs=3, batch=7, threads=1, device="cpu", learning_rate=1e-3)


def source():
    return ArraySource(np.random.default_rng(0).random((N_OBJECTS, 2, 32, 32)))


def prepared(objective, *, dtype, whole):
    """Return a model, whose norms see the `whole` batch."""
    groups = np.arange(N_OBJECTS)
    model = build(source(), groups, objective=objective, settings=SETTINGS, seed=1)
    if whole:
        with_whole_norms(model.network)
    return model.to(dtype).to(memory_format=torch.channels_last)


def stepped(model, *, dtype, alone=False, n_steps=2):
    """Return loss and gradients of every step; `alone`, with the negatives of a process only."""
    optimiser = make_optimiser(model, SETTINGS)
    preset, found = load_preset("galaxy-morphology"), {}
    for number in range(n_steps):
        members = members_of(np.arange(N_OBJECTS))
        plan = plan_epoch(members, preset, settings=SETTINGS, seed=1, epoch=number)
        views = make_views(
            source(), plan, share_of(plan.order), preset=preset, device=torch.device("cpu")
        ).to(dtype)
        optimiser.zero_grad(set_to_none=True)
        loss = model.objective(model.network, views) if alone else model(views, N_OBJECTS)
        loss.backward()
        averaged_gradients(model)
        found[f"{number} loss"] = loss.detach().numpy()
        for name, parameter in model.named_parameters():
            found[f"{number} {name}"] = parameter.grad.numpy().copy()
        optimiser.step()
    for name, value in model.network.state_dict().items():
        found[f"after {name}"] = value.numpy().copy()
    return found


def steps(objective, *, dtype, alone=False, n_steps=2):
    """Return what `stepped` does of a new model."""
    model = prepared(objective, dtype=dtype, whole=processes().size > 1 and not alone)
    return stepped(model, dtype=dtype, alone=alone, n_steps=n_steps)


def weights(objective, **changes):
    """Return the weights and losses of a whole training."""
    done = train(
        source(), np.arange(N_OBJECTS), objective=objective,
        settings=SETTINGS.replace(**changes), seed=1, recipe={"objective": objective},
    )  # fmt: skip
    state = {name: value.numpy() for name, value in done.network.state_dict().items()}
    return {**state, "loss": np.array(done.loss)}


def main(folder):
    torch.set_num_threads(1)
    found = {}
    with joined("cpu") as here:
        for objective in OBJECTIVES:
            found[f"{objective} double"] = steps(objective, dtype=torch.float64)
            found[f"{objective} single"] = steps(objective, dtype=torch.float32, n_steps=1)
        found["alone"] = steps("simclr", dtype=torch.float64, alone=True)
        files = {"checkpoints": folder / "checkpoints", "log": folder / "log.jsonl"}
        found["train"] = weights("simclr", checkpoint_seconds=0.0, **files)
    flat = {f"{job}/{name}": v for job, said in found.items() for name, v in said.items()}
    np.savez(folder / f"rank{here.rank}.npz", **flat)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
