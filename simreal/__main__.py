"""``python -m simreal``."""

from simreal.cli import main

main()
