"""Checkpoints: one safetensors file per epoch, from which training resumes to the bit.

The random numbers of an epoch are a function of seed and epoch, so weights, optimiser and
the losses so far are the whole state; the learning rate is a function of the step.
"""

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from simreal.core.arrays import IntArray
from simreal.core.errors import StorageError
from simreal.core.images import ImageSource
from simreal.core.provenance import json_digest
from simreal.encode.distributed import agreed, processes
from simreal.encode.settings import EncoderSettings
from simreal.encode.weights import write_atomically

#: Files kept of one training: the newest, and the one before it in case that is damaged.
KEPT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """Where one training, known by `key`, leaves its state; nowhere if `folder` is None."""

    folder: Path | None
    key: str = ""
    seconds: float = 0.0
    _written: list[float] = field(default_factory=list)

    @classmethod
    def open(
        cls,
        settings: EncoderSettings,
        recipe: dict[str, Any],
        source: ImageSource,
        groups: IntArray,
    ) -> "Checkpoints":
        """Return the checkpoints of this recipe on these images."""
        if settings.checkpoints is None:
            return cls(folder=None)
        sha = hashlib.sha256(json_digest(recipe).encode())
        if processes().size > 1:
            sha.update(f"{processes().size} processes".encode())
        sha.update(repr((torch.__version__, settings.threads or torch.get_num_threads())).encode())
        sha.update(np.ascontiguousarray(groups, "<i8").tobytes())
        for start in range(0, source.shape[0], 256):
            block = source.read(slice(start, min(start + 256, source.shape[0])))
            sha.update(np.ascontiguousarray(block, "<f4").tobytes())
        folder = Path(settings.checkpoints)
        return cls(folder=folder, key=sha.hexdigest()[:16], seconds=settings.checkpoint_seconds)

    def files(self) -> list[Path]:
        """Return the files of this training, oldest first."""
        if self.folder is None:
            return []
        return sorted(self.folder.glob(f"{self.key}-*.safetensors"))

    def write(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, loss: list[float], *, last: bool
    ) -> None:
        """Write the state after ``len(loss)`` epochs, unless the last one is too recent.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        now = time.monotonic()
        recent = self._written and now - self._written[-1] < self.seconds
        if self.folder is None or (recent and not last) or not processes().first:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{self.key}-{len(loss):06d}.safetensors"
            write_atomically(path, _pack(model, optimiser, loss))
            for old in self.files()[:-KEPT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{self.folder}: could not write a checkpoint ({error.strerror or error}); free "
                "space or choose another folder"
            ) from error
        self._written.append(now)

    def resume(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> list[float]:
        """Bring `model` and `optimiser` to the newest sound state; return its losses.

        A damaged file is passed over: training from the one before it, or from the start,
        ends in the same bits. Of several processes the first reads and tells the others.
        """
        state = agreed(self._newest() if processes().first else None)
        if state is None:
            return []
        tensors, loss = state
        _restore(model, optimiser, tensors)
        return list(loss)

    def _newest(self) -> tuple[dict[str, Tensor], list[float]] | None:
        states = (_unpack(path) for path in reversed(self.files()))
        return next((state for state in states if state is not None), None)


def _pack(model: nn.Module, optimiser: torch.optim.Optimizer, loss: list[float]) -> bytes:
    from safetensors.torch import save

    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{k}": torch.as_tensor(v) for k, v in state.items()}
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    meta = {"sha256": _content(plain, loss), "loss": json.dumps(loss)}
    content: bytes = save(plain, metadata=meta)
    return content


def _unpack(path: Path) -> tuple[dict[str, Tensor], list[float]] | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        loss = json.loads(meta["loss"])
        return (tensors, loss) if meta["sha256"] == _content(tensors, loss) else None
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def _content(tensors: dict[str, Tensor], loss: list[float]) -> str:
    sha = hashlib.sha256(json.dumps(loss).encode())
    for name in sorted(tensors):
        sha.update(f"{name}:{tuple(tensors[name].shape)}".encode())
        sha.update(tensors[name].numpy().tobytes())
    return sha.hexdigest()


@torch.no_grad()
def _restore(
    model: nn.Module, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for number, parameter in enumerate(parameters):
        prefix = f"optimiser.{number}."
        for name, value in tensors.items():
            if name.startswith(prefix):
                # In the parameter's own memory layout: another would add in another order.
                alike = torch.empty_like(parameter) if value.ndim else torch.empty_like(value)
                optimiser.state[parameter][name.removeprefix(prefix)] = alike.copy_(value)
