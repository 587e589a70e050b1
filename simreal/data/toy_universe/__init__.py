"""The toy universe: galaxies drawn and rendered on the spot, with defects that are known."""
