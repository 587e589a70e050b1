"""The built-in metrics, one file each: see `simreal.compare.contract`."""
