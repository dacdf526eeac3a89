"""Generator and critic by the name of their preset, for every program that trains them."""

import keras
import numpy as np

from svdam.core.config import LIGHT
from svdam.core.front_end import FrontEnd
from svdam.models.critic import build_critic
from svdam.models.generator import build_generator
from svdam.models.light_gan import build_light_critic, build_light_generator


def build_networks(
    preset: str, front_end: FrontEnd, mean: np.ndarray, std: np.ndarray, precision: str = "float32"
) -> tuple[keras.Model, keras.Model]:
    """Builds a generator and its critic with random weights.

    Args:
        preset: ``light``, or one of the presets of `svdam.models.generator.build_generator`.
        front_end: Front end of the excerpts.
        mean: (bands,) mean of each band over the training frames, log-mel; light networks hold it.
        std: (bands,) their standard deviation, above 0.
        precision: Keras's dtype policy of the networks.
    """
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(precision)
    try:
        frames, bands, silence = front_end.excerpt_frames, front_end.num_mels, front_end.silence
        if preset == LIGHT:
            return (
                build_light_generator(mean, std, frames, silence=silence),
                build_light_critic(mean, std, frames),
            )
        return (
            build_generator(preset, frames, bands, silence=silence),
            build_critic(frames, bands),
        )
    finally:
        keras.mixed_precision.set_dtype_policy(before)
