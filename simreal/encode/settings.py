"""`EncoderSettings`: everything that decides what an encoder becomes, and where it runs."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from simreal.core.errors import UsageError

Device = Literal["auto", "cpu", "cuda", "mps"]
SecondView = Literal["augmentation", "group"]

#: Images that pass through training, two views each: a time budget that does not depend on
#: how many images there are. On two cores this is about half a minute for 64-pixel stamps;
#: twice as many gain .02 to .04 in the accuracy of a morphology probe.
IMAGE_PASSES = 12_000
QUICK_IMAGE_PASSES = 2_500


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSettings:
    """How an encoder is fitted.

    Parameters
    ----------
    dimension : int or None
        Length of a vector; None for the encoder's own default.
    epochs : int or None
        Passes over the groups; None spends `image_passes`, however many groups there are.
    image_passes : int
        Budget behind ``epochs=None``: groups times epochs.
    batch : int
        Groups per training batch; each enters twice.
    temperature : float
        Temperature of the contrastive loss.
    learning_rate, weight_decay : float
        Peak rate of the schedule and decoupled decay of AdamW.
    backbone : str or None
        The network: ``small-residual``, ``small-vit``, ``resnet18`` or ``resnet50`` (these two
        need torchvision); None for the encoder's own default.
    averaged : bool
        Whether a vector is the mean over all quarter turns and mirrors of its image.
    augmentation : str or None
        Name of the preset; None for the encoder's own default, mostly ``galaxy-morphology``.
    second_view : {"augmentation", "group"}
        Where the second view of a pair comes from: the same image again, or another member
        of its group. The latter only where every side has several views per object,
        otherwise the pairs would tell the sides apart.
    embeddings : Path or None
        File of vectors computed elsewhere, which the encoder ``file`` looks up.
    device : {"auto", "cpu", "cuda", "mps"}
    threads : int or None
        Threads of torch; the same seed and threads give the same bits.
    checkpoints : Path or None
        Folder from which an interrupted training resumes.
    checkpoint_seconds : float
        [s] Least time between two checkpoints; 0 writes one per epoch.
    patience : int or None
        Epochs without a lower training loss after which training ends; None for never.
    log : Path or None
        JSON lines to write, one per epoch.
    tensorboard : Path or None
        Folder for TensorBoard, which must be installed.

    Raises
    ------
    UsageError
        If a value is outside what is allowed.

    Examples
    --------
    >>> EncoderSettings(image_passes=1_000).epochs_for(100)
    10
    """

    dimension: int | None = None
    epochs: int | None = None
    image_passes: int = IMAGE_PASSES
    batch: int = 128
    temperature: float = 0.2
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    backbone: str | None = None
    averaged: bool = False
    augmentation: str | None = None
    second_view: SecondView = "augmentation"
    embeddings: Path | None = None
    device: Device = "auto"
    threads: int | None = None
    checkpoints: Path | None = None
    checkpoint_seconds: float = 10.0
    patience: int | None = None
    log: Path | None = None
    tensorboard: Path | None = None

    def __post_init__(self) -> None:
        for name in ("dimension", "epochs", "threads", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"encoder.{name}: got {value}, allowed is 1 or more")
        if self.batch < 2:
            raise UsageError(f"encoder.batch: got {self.batch}, allowed is 2 or more")
        for name in ("image_passes", "temperature", "learning_rate"):
            if not getattr(self, name) > 0:
                raise UsageError(f"encoder.{name}: got {getattr(self, name)}, allowed is above 0")
        for name in ("weight_decay", "checkpoint_seconds"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"encoder.{name}: got {getattr(self, name)}, allowed is 0 or more")
        if self.second_view not in ("augmentation", "group"):
            raise UsageError(
                f"encoder.second_view: got {self.second_view!r}, allowed: augmentation, group"
            )
        if self.device not in ("auto", "cpu", "cuda", "mps"):
            raise UsageError(f"encoder.device: got {self.device!r}, allowed: auto, cpu, cuda, mps")

    def replace(self, **changes: Any) -> "EncoderSettings":
        """Return a checked copy with `changes`."""
        return dataclasses.replace(self, **changes)

    def epochs_for(self, n_groups: int) -> int:
        """Return the number of epochs that spends the budget on `n_groups`."""
        if self.epochs is not None:
            return self.epochs
        return max(4, round(self.image_passes / n_groups))
