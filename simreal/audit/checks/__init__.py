"""One file per check; another package adds one through the entry point ``simreal.checks``."""
