"""The GAN's generator: Table 1 of the paper."""

import keras
from keras import layers

from svdam.core.config import FRONT_END, LATENT_SIZE
from svdam.core.validation import InputError, quoted_list

KERNELS = {
    "paper": ((5, 10), (5, 20), (5, 20), (5, 20)),
    "full_band": ((5, 10), (5, 20), (5, 40), (5, 80)),
    "square": ((5, 5), (5, 5), (5, 5), (5, 5)),
}
"""Kernels (time x mel) of the transposed convolutions. ``paper``: as Table 1 prints them;
``full_band``: as wide as the spectrogram, the mirror image of Table 2; ``square``: what the
authors' released code loads."""

CHANNELS = (64, 32, 16, 8)
FIRST_SHAPE = (8, 5, 128)
"""Time, mel and channels of the first feature map."""

CROP = (6, 7)
"""Frames cut before and after, from 128 to 115."""


def build_generator(preset: str = "paper") -> keras.Model:
    """Builds the generator with random weights (Glorot uniform, biases 0).

    Table 1 prints 18 input channels for the last transposed convolution, whose input has 16.

    Args:
        preset: A key of `KERNELS`.

    Returns:
        A model from (batch, 128) latents to (batch, 115, 80, 1) log-mel excerpts, none of whose
        values is below log(1e-7), the floor of the front end.

    Raises:
        InputError: If there is no such preset.
    """
    if preset not in KERNELS:
        known = quoted_list(list(KERNELS))
        raise InputError(f"generator preset: found {preset!r}, expected one of {known}")
    latents = keras.Input((LATENT_SIZE,), name="latent")
    x = layers.Dense(5120, name="dense")(latents)
    x = layers.LeakyReLU(negative_slope=0.2, name="dense_act")(x)
    x = layers.Reshape(FIRST_SHAPE, name="reshape")(x)
    for number, (channels, kernel) in enumerate(zip(CHANNELS, KERNELS[preset], strict=True), 1):
        x = layers.Conv2DTranspose(channels, kernel, 2, padding="same", name=f"up{number}")(x)
        x = layers.LeakyReLU(negative_slope=0.2, name=f"up{number}_act")(x)
    x = layers.Conv2D(1, 5, padding="same", name="out")(x)
    x = keras.ops.maximum(x, FRONT_END.silence)
    examples = layers.Cropping2D((CROP, (0, 0)), name="crop")(x)
    return keras.Model(latents, examples, name="generator")
