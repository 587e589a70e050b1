"""Seven separate layers: crop, flip, translation, rotation, zoom, contrast, brightness."""

from simreal.encode.augment import Brightness, Contrast, Crop, Photometry, Preset
from simreal.encode.layers import Flip, Rotation, Translation, Zoom

PRESET = Preset(
    name="seven-layers",
    operations=(
        Crop(
            share=0.25,
            reason="what stands at the rim of a stamp by chance is not the object; cut at the "
            "object's own scale",
        ),
        Flip(reason="an object on the sky has no handedness, and a mirror changes no pixel"),
        Translation(
            shift=2.0,
            reason="the place of an object in its stamp is the cutter's choice, to about this",
        ),
        Rotation(degrees=180.0, reason="an object on the sky has no up: every angle is as good"),
        Zoom(
            zoom=1.15,
            reason="a distance is seldom known better than this; leave it out where size is "
            "signal, as the presets size-aware and point-source do",
        ),
        Photometry(
            mixes=(
                Contrast(
                    strength=0.2,
                    reason="the display mapping of composites is unknown, and its slope with it",
                ),
            )
        ),
        Photometry(
            mixes=(
                Brightness(
                    strength=0.2,
                    reason="distance, dust along the way and zero points scale all bands alike",
                ),
            )
        ),
    ),
)
