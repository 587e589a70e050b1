"""Where two populations part: the map of both sides and the least realistic objects."""
