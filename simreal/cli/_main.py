"""``simreal``: parse, call the pipeline, print."""

import importlib
import os
import signal
import sys
from typing import Any, NoReturn

import click

from simreal.core.errors import SimrealError, did_you_mean

#: command -> (module that holds it, one line of help); loaded only when used.
_COMMANDS = {
    "compare": ("simreal.cli.compare", "Compare a simulated with an observed collection."),
    "audit": ("simreal.cli.audit", "Ask whether a distance measures galaxies, or veto it."),
    "leaderboard": ("simreal.cli.leaderboard", "Make a benchmark's runs and build its board."),
    "verify": ("simreal.cli.verify", "Recompute a run or a board from its embeddings."),
    "status": ("simreal.cli.status", "Say what of a run is finished and what a rerun would do."),
    "cite": ("simreal.cli.cite", "Say whom to cite for a run, and under which licences."),
    "calibrate": ("simreal.cli.calibrate", "Check the statistics: level, power, coverage, ladder."),
    "probe": ("simreal.cli.probe", "Ask what an embedding holds: labels, neighbours, clusters."),
    "train": ("simreal.cli.train", "Train a frozen encoder with a model card."),
    "analogues": ("simreal.cli.analogues", "Find the simulated objects most like an image."),
    "gradients": ("simreal.cli.gradients", "Ask which direction goes along with which property."),
    "embed": ("simreal.cli.embed", "Embed a collection with a stored encoder."),
    "ingest": ("simreal.cli.ingest", "Read a collection and say what came of it."),
    "match": ("simreal.cli.match", "Bring two collections to the same footing."),
    "check": ("simreal.cli.check", "Say whether your card and files, or a plug-in, are in order."),
    "list": ("simreal.cli.listing", "List catalogues, encoders, metrics or checks."),
    "doctor": ("simreal.cli.doctor", "Say what works on this machine and what does not."),
    "cache": ("simreal.cli.cache", "Look at the stage cache, or empty it."),
}


class _Lazy(click.Group):
    """A group that imports a command only to run it, so that ``--help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name][0])
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(
                f"unknown command {args[0]!r}: {did_you_mean(args[0], _COMMANDS)}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="simreal", prog_name="simreal")
def program() -> None:
    """How real a simulation looks, where it does not, and why.

    Start with:  simreal compare --sim toy-sim --obs toy-survey
    """


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    debug = "--debug" in (sys.argv if arguments is None else arguments)
    try:
        code: Any = program.main(arguments, prog_name="simreal", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.ClickException as error:
        code = _fail(_one_line(error), 2)
    except SimrealError as error:
        if debug:
            raise
        code = _fail(" ".join(str(error).split()), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        code = _fail("interrupted; a rerun resumes from the finished stages", 130)
    except BrokenPipeError:
        # The reader of our output left (`| head`): say nothing, and keep Python from trying
        # to flush into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        if debug:
            raise
        code = _fail(f"{error.filename or 'input/output'}: {error.strerror or error}", 6)
    sys.exit(code if isinstance(code, int) else 0)


def _one_line(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "simreal"
    return f"{text} ('{path} --help' lists what is allowed)"


def _fail(text: str, code: int) -> int:
    print(f"simreal: error: {text}", file=sys.stderr)  # noqa: T201
    return code


def _terminated(number: int, frame: object) -> NoReturn:  # noqa: ARG001
    raise SystemExit(143)
