"""The GAN's critic (discriminator): Table 2 of the paper."""

import keras
from keras import layers

from svdam.core.config import FRONT_END
from svdam.models.generator import CROP

KERNELS = ((5, 80), (5, 40), (5, 20), (5, 10))
CHANNELS = (32, 64, 128, 256)


def build_critic() -> keras.Model:
    """Builds the critic with random weights (Glorot uniform, biases 0).

    The 115 frames of an excerpt are padded with zeros to 128, where the generator is cropped.

    Returns:
        A model from (batch, 115, 80, 1) log-mel excerpts to (batch, 1) scores, higher for what
        looks real.
    """
    excerpts = keras.Input((FRONT_END.excerpt_frames, FRONT_END.num_mels, 1), name="log_mel")
    x = layers.ZeroPadding2D((CROP, (0, 0)), name="pad")(excerpts)
    for number, (channels, kernel) in enumerate(zip(CHANNELS, KERNELS, strict=True), 1):
        x = layers.Conv2D(channels, kernel, 2, padding="same", name=f"conv{number}")(x)
        x = layers.LeakyReLU(negative_slope=0.2, name=f"conv{number}_act")(x)
    x = layers.Flatten(name="flatten")(x)
    scores = layers.Dense(1, use_bias=False, name="score")(x)
    return keras.Model(excerpts, scores, name="critic")
