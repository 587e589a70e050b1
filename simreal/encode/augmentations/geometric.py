"""Views that differ in angle and place only: brightness, colour and noise stay the image's own."""

from simreal.encode.augment import Placement, Preset

PRESET = Preset(
    name="geometric",
    operations=(
        Placement(
            zoom=1.15,
            shift=2.0,
            reason="a galaxy has no up and no handedness, and neither its centre nor its radius "
            "is measured better; noise is what the denoising objective adds itself",
        ),
    ),
)
