"""What the paper of SimCLR tried on photographs, for reference: not what galaxies want."""

from simreal.encode.augment import Blur, Brightness, Colour, Contrast, Noise, Photometry, Preset
from simreal.encode.layers import (
    ColourDrop,
    CropAndResize,
    Cutout,
    Flip,
    QuarterTurns,
    Sobel,
    Sometimes,
)

#: Of the images, for what the paper tried but left out of its final recipe.
TRIED = 0.2

PRESET = Preset(
    name="simclr-paper",
    operations=(
        CropAndResize(
            least_area=0.08,
            stretch=4 / 3,
            reason="published: part and whole of a photograph show one thing. A galaxy loses its "
            "size and often itself",
        ),
        Flip(reason="published with the crop; here upside down too, for the sky has no up"),
        Sometimes(
            share=0.8,
            operation=Photometry(
                mixes=(
                    Brightness(
                        strength=0.8,
                        reason="published as colour jitter: crops of one photograph share a "
                        "histogram, which would give them away",
                    ),
                    Contrast(
                        strength=0.8,
                        reason="published as colour jitter, with the strength of the paper",
                    ),
                    Colour(
                        saturation=0.8,
                        gain=0.2,
                        reason="published as saturation and hue; any number of bands has gains, "
                        "only three have a hue",
                    ),
                )
            ),
        ),
        Sometimes(
            share=0.2,
            operation=ColourDrop(
                reason="published as colour dropping: what is the same in grey is the same"
            ),
        ),
        Blur(
            sigma=1.2,
            share=0.5,
            reason="published with a kernel of a tenth of the side, half of the time; as wide as "
            "five taps hold",
        ),
        Sometimes(
            share=TRIED,
            operation=Cutout(
                side=0.5,
                reason="tried in the paper, left out of its recipe: a part hidden, not its scale",
            ),
        ),
        Sometimes(
            share=TRIED,
            operation=QuarterTurns(
                reason="tried in the paper as rotation by quarters, left out of its recipe: "
                "photographs have an up, the sky has none",
            ),
        ),
        Sometimes(
            share=TRIED,
            operation=Noise(
                sigma=0.1,
                reason="tried in the paper, left out of its recipe: depth says nothing of a shape",
            ),
        ),
        Sometimes(
            share=TRIED,
            operation=Sobel(
                reason="tried in the paper, left out of its recipe: edges without brightness"
            ),
        ),
    ),
)
