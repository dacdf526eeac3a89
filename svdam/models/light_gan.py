"""A generator and a critic at a fraction of the cost of Tables 1 and 2, for trainings on CPUs.

They differ from the paper's networks in what costs or hinders most:

- Both see standardised bands: an affine map with fixed mean and standard deviation per band stands
  inside, so that the loss weighs all bands alike. Outside, excerpts stay raw log-mel.
- The generator's first feature map already has a quarter of the bands, since partials need places
  in frequency more than events need places in time; it is doubled in time first, then in both.
- Bilinear upsampling and 3 x 3 convolutions replace transposed ones and their checkerboard.
- The latent also scales the channels of the inner blocks (Karras et al., 2019, in a simple form).
- The critic's kernels are small, with a pooled shortcut around each strided convolution.
"""

import math

import keras
import numpy as np
from keras import layers

from svdam.core.config import FRONT_END, LATENT_SIZE
from svdam.models.generator import SCALING, margins

_SEED_CHANNELS = 64
_STYLE_UNITS = 128


def build_light_generator(
    mean: np.ndarray,
    std: np.ndarray,
    frames: int = FRONT_END.excerpt_frames,
    *,
    silence: float = FRONT_END.silence,
) -> keras.Model:
    """Builds the generator with random weights.

    Args:
        mean: (bands,) mean of each band over the training frames, log-mel.
        std: (bands,) their standard deviation, above 0.
        frames: Frames of an excerpt.
        silence: Floor of the log-mel, ``front_end.silence``.

    Returns:
        A model from (batch, 128) latents to (batch, frames, bands, 1) log-mel excerpts, none of
        whose values is below ``silence``. As in `svdam.models.generator`, they are cut out of the
        next multiples of 16.
    """
    bands = len(mean)
    latents = keras.Input((LATENT_SIZE,), name="latent")
    style = _act(layers.Dense(_STYLE_UNITS, name="style")(latents))
    seed_shape = (-(-frames // SCALING), 4 * -(-bands // SCALING), _SEED_CHANNELS)
    x = layers.Dense(math.prod(seed_shape), name="dense")(latents)
    x = _act(layers.Reshape(seed_shape, name="reshape")(x))
    x = _block(x, style, 96, "b16")
    x = _block(x, style, 80, "b32")
    for channels, name in ((40, "b64"), (16, "b128")):
        x = _upsampled(x, 2, f"{name}_up")
        x = _act(_convolution(channels, 3, f"{name}_conv1")(x))
    x = layers.Conv2D(1, 5, padding="same", name="out")(x)
    x = layers.Cropping2D((margins(frames), margins(bands)), name="crop")(x)
    x = layers.Normalization(axis=2, mean=mean, variance=std**2, invert=True, name="raw")(x)
    examples = keras.ops.maximum(x, silence)
    return keras.Model(latents, examples, name="generator")


def build_light_critic(
    mean: np.ndarray, std: np.ndarray, frames: int = FRONT_END.excerpt_frames
) -> keras.Model:
    """Builds the critic with random weights.

    Args:
        mean: (bands,) mean of each band over the training frames, log-mel.
        std: (bands,) their standard deviation, above 0.
        frames: Frames of an excerpt.

    Returns:
        A model from (batch, frames, bands, 1) log-mel excerpts to (batch, 1) scores, higher for
        what looks real.
    """
    bands = len(mean)
    excerpts = keras.Input((frames, bands, 1), name="log_mel")
    x = layers.Normalization(axis=2, mean=mean, variance=std**2, name="standardised")(excerpts)
    x = layers.ZeroPadding2D((margins(frames), margins(bands)), name="pad")(x)
    x = _act(_convolution(32, (4, 6), "conv1", strides=2)(x))
    for number, channels in enumerate((64, 128, 256), 2):
        y = _act(_convolution(channels, 4, f"conv{number}", strides=2)(x))
        pooled = layers.AveragePooling2D(2, name=f"pool{number}")(x)
        shortcut = layers.Conv2D(channels, 1, use_bias=False, name=f"skip{number}")(pooled)
        x = layers.Add(name=f"sum{number}")([y, shortcut])
    x = _act(_convolution(128, 3, "conv5")(x))
    x = layers.Flatten(name="flatten")(x)
    x = _act(layers.Dense(128, name="fc")(x))
    return keras.Model(excerpts, layers.Dense(1, name="score")(x), name="critic")


def _block(
    x: keras.KerasTensor, style: keras.KerasTensor, channels: int, name: str
) -> keras.KerasTensor:
    """Doubles the frames; two convolutions, the first scaled by the style, and a shortcut."""
    x = _upsampled(x, (2, 1), f"{name}_up")
    y = _convolution(channels, 3, f"{name}_conv1")(x)
    initial = keras.initializers.RandomNormal(stddev=0.05)
    scale = layers.Dense(channels, kernel_initializer=initial, name=f"{name}_style")(style)
    scale = layers.Reshape((1, 1, channels), name=f"{name}_scale")(scale)
    scaled = layers.Multiply(name=f"{name}_scaled")([y, scale])
    y = _act(layers.Add(name=f"{name}_styled")([y, scaled]))
    # A smaller start lets the shortcut dominate at first.
    initial = keras.initializers.RandomNormal(stddev=0.5 * math.sqrt(2 / (9 * channels)))
    y = layers.Conv2D(
        channels, 3, padding="same", kernel_initializer=initial, name=f"{name}_conv2"
    )(y)
    shortcut = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_skip")(x)
    return _act(layers.Add(name=f"{name}_out")([y, shortcut]))


def _upsampled(x: keras.KerasTensor, size: int | tuple[int, int], name: str) -> keras.KerasTensor:
    # In float32: TensorFlow's bilinear resizing in bfloat16 takes four times as long on a CPU.
    return layers.UpSampling2D(size, interpolation="bilinear", name=name, dtype="float32")(x)


def _convolution(
    channels: int, kernel: int | tuple[int, int], name: str, strides: int = 1
) -> layers.Layer:
    return layers.Conv2D(
        channels, kernel, strides, padding="same", kernel_initializer="he_normal", name=name
    )


def _act(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.LeakyReLU(negative_slope=0.2)(x)
