"""The log of a training: one JSON object per line and epoch, and TensorBoard where it is wanted."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simreal.core.errors import StorageError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainLog:
    """Where a training says how far it is; nowhere where neither was asked for.

    Parameters
    ----------
    path : Path or None
        JSON lines.
    board : SummaryWriter or None
        Of TensorBoard.
    """

    path: Path | None = None
    board: Any = None
    _since: list[float] = field(default_factory=lambda: [time.perf_counter()])

    @classmethod
    def open(cls, path: Path | None, board: Path | None, *, done: int) -> "TrainLog":
        """Return the log of a training of which `done` epochs are over.

        Lines of later epochs, left by an interrupted run, are taken out: they come again.

        Raises
        ------
        UsageError
            If TensorBoard is wanted and not installed.
        StorageError
            If the file cannot be written.
        """
        writer = None if board is None else _tensorboard(Path(board), done)
        if path is not None:
            _rewind(Path(path), done)
        return cls(path=None if path is None else Path(path), board=writer)

    def epoch(self, number: int, *, loss: float, rate: float, images: int, batch: int) -> None:
        """Write what came of one epoch.

        Parameters
        ----------
        number : int
            From 1.
        loss : float
        rate : float
            Learning rate of the last step.
        images : int
            Objects shown, two views each.
        batch : int
            Objects in a step, over all processes.
        """
        if self.path is None and self.board is None:
            return
        now = time.perf_counter()
        seconds = now - self._since[-1]
        self._since[:] = [now]
        row = {
            "epoch": number,
            "loss": loss,
            "learning_rate": rate,
            "seconds": round(seconds, 4),
            "images_per_second": round(images / max(seconds, 1e-9), 2),
            "effective_batch": batch,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if self.path is not None:
            _append(self.path, json.dumps(row, allow_nan=False) + "\n")
        if self.board is not None:
            for name in ("loss", "learning_rate", "images_per_second"):
                self.board.add_scalar(name, row[name], number)
            self.board.flush()

    def close(self) -> None:
        """Let go of what is open."""
        if self.board is not None:
            self.board.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the epochs of a log; a last line that was cut by a crash is left out."""
    rows = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def stalled(losses: Sequence[float], patience: int | None) -> bool:
    """Return whether the training objective has not improved for `patience` epochs.

    It is the only thing a training may be stopped by: a score on held-out labels, or of one
    side against the other, would choose the encoder that gives the answer.

    Examples
    --------
    >>> stalled([3.0, 2.0, 2.5, 2.0], patience=2), stalled([3.0, 2.0, 2.5, 1.9], patience=2)
    (True, False)
    >>> stalled([3.0, 2.0, 2.5, 2.0], patience=None)
    False
    """
    if patience is None or len(losses) <= patience:
        return False
    return min(losses[-patience:]) >= min(losses[:-patience])


def _tensorboard(folder: Path, done: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "tensorboard: not installed; pip install 'simreal[tensorboard]', or leave "
            "--tensorboard out: --epoch-log writes the same numbers as JSON lines"
        ) from None
    return SummaryWriter(str(folder), purge_step=done + 1)


def _rewind(path: Path, done: int) -> None:
    rows = [row for row in (read_log(path) if path.exists() else []) if row["epoch"] <= done]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise _refused(path, error) from error


def _append(path: Path, line: str) -> None:
    try:
        with open(path, "a", encoding="utf-8") as handle:
            handle.write(line)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path}: could not write the training log ({error.strerror or error}); free space or "
        "choose another file"
    )
