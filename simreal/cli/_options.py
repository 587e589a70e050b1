"""Options that several commands share, each written once."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _together(*options: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    """Return one decorator for `options`, listed by ``--help`` in this order."""

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


#: Which collections are compared.
collections = _together(
    click.option("--sim", help="Simulated collection: catalogue name, card (.toml) or folder."),
    click.option("--obs", help="Observed collection: catalogue name, card (.toml) or folder."),
    click.option("--track", help="rgb or flux, where collections exist in several; auto."),
)

#: What the stamps look like.
framing = _together(
    click.option("--frame", help="auto, angular, physical or radius."),
    click.option(
        "--frame-width", type=float, help="Full width of the frame, in units of the frame."
    ),
    click.option("--stamp", type=int, help="Side of the matched stamps [pixel]; default 64."),
)

#: How both sides come to the same footing.
matching = _together(
    click.option("--n", type=click.IntRange(min=1), help="Groups kept per side."),
    click.option(
        "--select",
        multiple=True,
        metavar="[sim:|obs:]PROPERTY=LO:HI",
        help="Keep objects with a property or measured shape in a range; repeat for several.",
    ),
    click.option(
        "--match-on",
        multiple=True,
        metavar="PROPERTY=TOLERANCE[dex|%]",
        help="Keep objects with a counterpart on the other side, such as stellar_mass=0.2dex; "
        "repeat.",
    ),
    click.option("--match-method", help="strata (default) or nearest."),
    click.option("--match-force", is_flag=True, help="Go on where too few counterparts are left."),
    framing,
    click.option(
        "--redshift",
        type=float,
        help="Where calibrated images without a redshift are placed; default as observed.",
    ),
    click.option(
        "--allow",
        multiple=True,
        help="Condition allowed to differ, such as noise; 'bands' pairs the nearest ones.",
    ),
)

#: How an encoder is trained.
training = _together(
    click.option("--augmentation", help="Preset (see 'simreal list augmentations')."),
    click.option("--backbone", help="small-residual, small-vit, resnet18, resnet50 or timm:NAME."),
    click.option("--averaged", is_flag=True, help="Average vectors over turns and mirror images."),
)

#: What an audit looks at beyond its battery.
faults = _together(
    click.option(
        "--bridge",
        "bridges",
        multiple=True,
        help="Another survey as a row of the full audit; repeat.",
    ),
    click.option(
        "--nuisance", is_flag=True, help="Match one more nuisance at a time; see what is left."
    ),
    click.option(
        "--plant",
        "plants",
        multiple=True,
        metavar="KIND=SIZE",
        help="How much distance a fault of this size would buy, such as psf=0.05; repeat.",
    ),
)

seed = click.option("--seed", type=click.IntRange(min=0), help="Root seed; default 0.")
threads = click.option("--threads", type=click.IntRange(min=1), help="Threads; default all cores.")
device = click.option("--device", help="auto, cpu, cuda or mps.")
debug = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
)
