"""The GAN's generator: Table 1 of the paper."""

import math

import keras
from keras import layers

from svdam.core.config import FRONT_END, LATENT_SIZE
from svdam.core.validation import InputError, quoted_list

KERNELS = {
    "paper": ((5, 10), (5, 20), (5, 20), (5, 20)),
    "full_band": ((5, 10), (5, 20), (5, 40), (5, 80)),
    "square": ((5, 5), (5, 5), (5, 5), (5, 5)),
}
"""Kernels (time x mel) of the transposed convolutions, for 80 bands. ``paper``: as Table 1 prints
them; ``full_band``: as wide as the spectrogram, the mirror image of Table 2; ``square``: what the
authors' released code loads."""

CHANNELS = (64, 32, 16, 8)
FIRST_SHAPE = (8, 5, 128)
"""Time, mel and channels of the first feature map, for 115 frames and 80 bands."""

SCALING = 16
"""Ratio of the last feature map's sides to the first's: four strides of 2."""


def margins(size: int) -> tuple[int, int]:
    """What is cut before and after, from the next multiple of `SCALING` to ``size``."""
    total = -size % SCALING
    return total // 2, total - total // 2


CROP = margins(FRONT_END.excerpt_frames)
"""Frames cut before and after, from 128 to 115."""


def build_generator(
    preset: str = "paper",
    frames: int = FRONT_END.excerpt_frames,
    bands: int = FRONT_END.num_mels,
    *,
    silence: float = FRONT_END.silence,
) -> keras.Model:
    """Builds the generator with random weights (Glorot uniform, biases 0).

    Table 1 prints 18 input channels for the last transposed convolution, whose input has 16.

    Excerpts of other sizes are cut out of the next multiples of 16, as Table 1 cuts 115 frames out
    of 128. Kernels cover the same share of the bands, but for those of ``square``, which stay 5x5.

    Args:
        preset: A key of `KERNELS`.
        frames: Frames of an excerpt.
        bands: Mel bands of an excerpt.
        silence: Floor of the log-mel, ``front_end.silence``.

    Returns:
        A model from (batch, 128) latents to (batch, frames, bands, 1) log-mel excerpts, none of
        whose values is below ``silence``.

    Raises:
        InputError: If there is no such preset, or a size is not positive.

    Example:
        >>> generator = build_generator()
        >>> generator.input_shape, generator.output_shape
        ((None, 128), (None, 115, 80, 1))
    """
    if preset not in KERNELS:
        known = quoted_list(list(KERNELS))
        raise InputError(f"generator preset: found {preset!r}, expected one of {known}")
    require_size(frames, bands)
    first_shape = (-(-frames // SCALING), -(-bands // SCALING), FIRST_SHAPE[2])
    kernels = KERNELS[preset] if preset == "square" else scaled_kernels(KERNELS[preset], bands)
    latents = keras.Input((LATENT_SIZE,), name="latent")
    x = layers.Dense(math.prod(first_shape), name="dense")(latents)
    x = layers.LeakyReLU(negative_slope=0.2, name="dense_act")(x)
    x = layers.Reshape(first_shape, name="reshape")(x)
    for number, (channels, kernel) in enumerate(zip(CHANNELS, kernels, strict=True), 1):
        x = layers.Conv2DTranspose(channels, kernel, 2, padding="same", name=f"up{number}")(x)
        x = layers.LeakyReLU(negative_slope=0.2, name=f"up{number}_act")(x)
    x = layers.Conv2D(1, 5, padding="same", name="out")(x)
    x = keras.ops.maximum(x, silence)
    examples = layers.Cropping2D((margins(frames), margins(bands)), name="crop")(x)
    return keras.Model(latents, examples, name="generator")


def scaled_kernels(kernels: tuple[tuple[int, int], ...], bands: int) -> tuple[tuple[int, int], ...]:
    """Kernels for 80 bands (time x mel), made to cover the same share of the padded ``bands``."""
    scale = -(-bands // SCALING) / FIRST_SHAPE[1]
    return tuple((time, round(mel * scale)) for time, mel in kernels)


def require_size(frames: int, bands: int, smallest: int = 1) -> None:
    """Raises InputError if an excerpt is smaller than a network takes."""
    for name, size in (("frames", frames), ("bands", bands)):
        if size < smallest:
            raise InputError(f"{name}: found {size}, expected at least {smallest}")
