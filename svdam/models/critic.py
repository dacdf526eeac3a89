"""The GAN's critic (discriminator): Table 2 of the paper."""

import keras
from keras import layers

from svdam.core.config import FRONT_END
from svdam.models.generator import margins, require_size, scaled_kernels

KERNELS = ((5, 80), (5, 40), (5, 20), (5, 10))
"""Kernels (time x mel), for 80 bands."""

CHANNELS = (32, 64, 128, 256)


def build_critic(
    frames: int = FRONT_END.excerpt_frames, bands: int = FRONT_END.num_mels
) -> keras.Model:
    """Builds the critic with random weights (Glorot uniform, biases 0).

    The 115 frames of an excerpt are padded with zeros to 128, where the generator is cropped. Other
    sizes are padded to the next multiples of 16; kernels cover the same share of the bands.

    Args:
        frames: Frames of an excerpt.
        bands: Mel bands of an excerpt.

    Returns:
        A model from (batch, frames, bands, 1) log-mel excerpts to (batch, 1) scores, higher for
        what looks real.

    Raises:
        InputError: If a size is not positive.

    Example:
        >>> build_critic().count_params()
        2890720
    """
    require_size(frames, bands)
    kernels = scaled_kernels(KERNELS, bands)
    excerpts = keras.Input((frames, bands, 1), name="log_mel")
    x = layers.ZeroPadding2D((margins(frames), margins(bands)), name="pad")(excerpts)
    for number, (channels, kernel) in enumerate(zip(CHANNELS, kernels, strict=True), 1):
        x = layers.Conv2D(channels, kernel, 2, padding="same", name=f"conv{number}")(x)
        x = layers.LeakyReLU(negative_slope=0.2, name=f"conv{number}_act")(x)
    x = layers.Flatten(name="flatten")(x)
    scores = layers.Dense(1, use_bias=False, name="score")(x)
    return keras.Model(excerpts, scores, name="critic")
