"""Views of an object that share its shape and its colours: no band is changed by itself."""

from simreal.encode.augment import Blur, Brightness, Noise, Photometry, Placement, Preset

PRESET = Preset(
    name="colour-aware",
    operations=(
        Placement(
            zoom=1.15,
            shift=2.0,
            reason="an object has no up and no handedness, and neither its centre nor its radius "
            "is measured better than this",
        ),
        Photometry(
            mixes=(
                Brightness(
                    strength=0.2,
                    reason="distance scales all bands alike and leaves every ratio of two bands; "
                    "contrast, saturation and gains per band would change colours, which tell "
                    "ages, dust and redshifts",
                ),
            )
        ),
        Blur(
            sigma=0.8,
            share=0.5,
            reason="the same in all bands, so that no colour gradient is made: seeing differs "
            "from night to night",
        ),
        Noise(
            sigma=0.02,
            reason="depth differs from field to field; half of what shapes bear, because a colour "
            "is a difference of two bands and twice as noisy",
        ),
    ),
)
