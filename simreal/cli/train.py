"""``simreal train``: a frozen encoder with a model card."""

import json
import shlex
from pathlib import Path
from typing import Any

import click

from simreal.cli import _options
from simreal.cli._show import progress_shown

#: Options whose name is not that of the setting; torchrun would take --n and --log for its own.
_OPTIONS = {"labels": "--label", "n": "--groups"}

#: What ``--quick`` changes: the budget of a quick comparison.
_QUICK = {"image_passes": 2500}


@click.command(name="train")
@click.option("--obs", required=True, help="Observed collection: catalogue name, card or folder.")
@click.option("--encoder", help="Encoder (see 'simreal list encoders'); default simclr.")
@click.option("--share", type=float, help="Of the groups that are trained on; default 0.5.")
@click.option("--groups", "n", type=int, help="At most so many groups are trained on.")
@click.option("--track", help="rgb or flux, for collections that come in both.")
@_options.framing
@_options.training
@click.option("--image-passes", type=int, help="Training budget; default 12000.")
@click.option("--patience", type=int, help="End after so many epochs without a lower loss.")
@click.option(
    "--epoch-log",
    "log",
    type=click.Path(path_type=Path),
    help="Folder for JSON lines, one per epoch.",
)
@click.option(
    "--tensorboard", type=click.Path(path_type=Path), help="Folder for TensorBoard (an extra)."
)
@click.option("--quick", is_flag=True, help="A fifth of the training budget.")
@click.option(
    "--label", "labels", multiple=True, help="Property probed on the held-out part; repeat."
)
@_options.seed
@_options.threads
@_options.device
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default trained/OBS.")
@click.option("--json", "as_json", is_flag=True, help="Print the model card and nothing else.")
@_options.debug
def command(quick: bool, out: Path | None, as_json: bool, **options: Any) -> int:
    """Train a frozen encoder on a part of one observed collection.

    The rest is held out and is what the encoder may score: 'simreal compare --encoder-from'
    takes the folder that is written. Several processes: torchrun --nproc-per-node 2 -m simreal
    train ...
    """
    from simreal.pipeline.train import TrainSettings, run_training

    given = {key: value for key, value in options.items() if value not in (None, (), False)}
    settings = TrainSettings(**{**(_QUICK if quick else {}), **given})
    with progress_shown(quiet=as_json) as progress:
        done = run_training(
            settings, out=out, command=_command_line(given, quick=quick, out=out), progress=progress
        )
    if done is None:
        return 0
    click.echo(json.dumps(done.card, indent=1) if as_json else _text(done.card, done.folder))
    return 4 if done.n_rejected else 0


def _command_line(given: dict[str, Any], *, quick: bool, out: Path | None) -> str:
    """Return the command that repeats the training."""
    words = ["simreal", "train"]
    for name, value in given.items():
        if name in ("log", "tensorboard"):
            continue
        option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
        if value is True:
            words.append(option)
            continue
        for item in value if isinstance(value, tuple) else (value,):
            words += [option, str(item)]
    words += ["--quick"] if quick else []
    words += [] if out is None else ["--out", out.name]
    return shlex.join(words)


def _text(card: Any, folder: Path) -> str:
    training, held_out, matching = card["training"], card["held_out"], card["matching"]
    frame = f"{matching['frame']}, {matching['frame_width']:g} wide [{matching['frame_unit']}]"
    name = card["data"]["name"]
    lines = [
        f"trained on  {training['n_images']} images of {training['n_groups']} objects of {name}",
        f"held out    {held_out['n_images']} images of {held_out['n_groups']} objects",
        f"stamps      {matching['stamp']} pixels, frame {frame}",
    ]
    for name, variant in card["variants"].items():
        loss = variant.get("loss")
        fell = f"; loss {loss[0]:.4g} to {loss[-1]:.4g} in {len(loss)} epochs" if loss else ""
        lines.append(f"{name:11} {variant['dimension']} dimensions{fell}")
        for label, found in card["probes"][name].items():
            lines += [f"            {label}: {text}" for text in _scores(found)]
    lines.append(f"written     {folder} ('simreal compare --encoder-from {folder}' uses it)")
    return "\n".join(lines)


def _scores(found: Any) -> list[str]:
    lines = []
    for probe in ("linear", "knn"):
        for name, score in found[probe].get("scores", {}).items():
            if name in ("accuracy", "r2") and score["value"] is not None:
                lines.append(
                    f"{probe} {name} {score['value']:.3f} ({score['low']:.3f} to "
                    f"{score['high']:.3f}, n = {score['n']}), baseline "
                    f"{found[probe]['baseline']:.3f}"
                )
    return lines
