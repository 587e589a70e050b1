"""Views of a galaxy that share its shape and its size: nothing is enlarged or shrunk."""

from simreal.encode.augment import (
    Blur,
    Brightness,
    Colour,
    Contrast,
    Noise,
    Photometry,
    Placement,
    Preset,
)

PRESET = Preset(
    name="size-aware",
    operations=(
        Placement(
            zoom=1.0,
            shift=2.0,
            reason="a galaxy has no up and no handedness, and its centre is not measured better; "
            "its size is what is asked for, so there is no zoom",
        ),
        Photometry(
            mixes=(
                Brightness(
                    strength=0.2,
                    reason="dust along the way and zero points scale all bands alike",
                ),
                Contrast(
                    strength=0.1,
                    reason="the display mapping of composites is unknown; half of what shapes "
                    "bear, because a steeper display makes a galaxy look smaller",
                ),
                Colour(
                    saturation=0.2,
                    gain=0.1,
                    reason="band gains of composites are a choice of the display and say nothing "
                    "of a size",
                ),
            )
        ),
        Blur(
            sigma=0.5,
            share=0.5,
            reason="seeing differs from night to night; little of it, because it enlarges what "
            "is small",
        ),
        Noise(
            sigma=0.04,
            reason="depth differs from field to field; a size must not be its noise",
        ),
    ),
)
