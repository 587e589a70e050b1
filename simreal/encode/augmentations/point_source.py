"""Views of a quasar or star: cut, turned, mirrored and moved; its width and colours are signal."""

from simreal.encode.augment import Crop, Noise, Placement, Preset

PRESET = Preset(
    name="point-source",
    operations=(
        Crop(
            share=0.25,
            reason="what stands beside a point source by chance is not the source; its rim goes, "
            "at its own scale",
        ),
        Placement(
            zoom=1.0,
            shift=3.0,
            reason="a point source has no angle and its place in the stamp is the cutter's; zoom "
            "would make a quasar of a galaxy, for the width against the PSF tells them apart",
        ),
        Noise(
            sigma=0.01,
            reason="fields differ a little in depth; more would drown the bands in which a "
            "source drops out, and blur and colour changes would undo what classifies it",
        ),
    ),
)
