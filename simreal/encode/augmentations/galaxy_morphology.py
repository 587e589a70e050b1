"""Views of a galaxy that share its shape: another angle, distance, seeing, sky and stretch."""

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
    name="galaxy-morphology",
    operations=(
        Placement(
            zoom=1.15,
            shift=2.0,
            reason="a galaxy has no up, no handedness we may prefer, and neither its centre nor "
            "its radius is measured better than this",
        ),
        Photometry(
            mixes=(
                Brightness(
                    strength=0.2,
                    reason="distance, dust along the way and zero points scale all bands alike",
                ),
                Contrast(
                    strength=0.2,
                    reason="the display mapping of composites is unknown, and its slope with it",
                ),
                Colour(
                    saturation=0.2,
                    gain=0.1,
                    reason="band gains of composites are a choice of the display; larger shifts of "
                    "colour are astrophysics and stay visible",
                ),
            )
        ),
        Blur(
            sigma=0.8,
            share=0.5,
            reason="seeing differs from night to night by about this after matching",
        ),
        Noise(
            sigma=0.04,
            reason="depth differs from field to field; a shape must not be its noise",
        ),
    ),
)
