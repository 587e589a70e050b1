"""The command line: one file per command, no logic."""

from simreal.cli._main import main as main
