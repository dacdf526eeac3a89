"""SVDNet, the singing voice detector of Schlueter & Grill (ISMIR 2015): Table 4 of the paper."""

import keras
import numpy as np
from keras import layers

from svdam.core.config import FRONT_END
from svdam.core.validation import InputError
from svdam.models.generator import require_size

SMALLEST_SIDE = 25
"""Frames, and bands, of the smallest excerpt: 1x1 after the second pool."""


def build_svdnet(
    mean: np.ndarray | None = None,
    std: np.ndarray | None = None,
    num_outputs: int = 1,
    frames: int = FRONT_END.excerpt_frames,
    bands: int = FRONT_END.num_mels,
) -> keras.Model:
    """Builds SVDNet with random weights.

    The model takes raw log-mel excerpts; the standardisation is its first layer. It ends in the
    logit (Section 3.2): the sigmoid (softmax, for two outputs) is applied outside. Layers named
    ``conv1`` ... ``fc2`` are the activations; ``conv1_pre`` ... ``fc2_pre`` what goes into their
    leaky ReLU.

    Args:
        mean: (bands,) mean of each mel band over the training frames; 0 by default.
        std: (bands,) standard deviation (ddof 1) of each mel band; 1 by default.
        num_outputs: 1, or 2 for the variant with one neuron per class.

        frames: Frames of an excerpt.
        bands: Mel bands of an excerpt.

    Returns:
        A model from (batch, frames, bands, 1) log-mel to (batch, num_outputs) logits.

    Raises:
        InputError: If the statistics are not (bands,), finite, and the deviations positive, or an
            excerpt is too small for the convolutions and pools.

    Example:
        >>> classifier = build_svdnet()
        >>> classifier.input_shape, classifier.output_shape
        ((None, 115, 80, 1), (None, 1))
    """
    require_size(frames, bands, SMALLEST_SIDE)
    mean, std = _validate_statistics(mean, std, bands)
    if num_outputs < 1:
        raise InputError(f"num_outputs: found {num_outputs}, expected at least 1")
    inputs = keras.Input((frames, bands, 1), name="log_mel")
    x = layers.Normalization(axis=2, mean=mean, variance=std**2, name="standardise")(inputs)
    x = _conv(x, 64, "conv1")
    x = _conv(x, 32, "conv2")
    x = layers.MaxPooling2D(3, name="pool1")(x)
    x = _conv(x, 128, "conv3")
    x = _conv(x, 64, "conv4")
    x = layers.MaxPooling2D(3, name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.5, seed=1, name="dropout1")(x)
    x = _dense(x, 256, "fc1")
    x = layers.Dropout(0.5, seed=2, name="dropout2")(x)
    x = _dense(x, 64, "fc2")
    x = layers.Dropout(0.5, seed=3, name="dropout3")(x)
    logits = layers.Dense(num_outputs, kernel_initializer="orthogonal", name="logit")(x)
    return keras.Model(inputs, logits, name="svdnet")


def _conv(x, filters: int, name: str):
    x = layers.Conv2D(filters, 3, kernel_initializer="orthogonal", name=f"{name}_pre")(x)
    return layers.LeakyReLU(negative_slope=0.01, name=name)(x)


def _dense(x, units: int, name: str):
    x = layers.Dense(units, kernel_initializer="orthogonal", name=f"{name}_pre")(x)
    return layers.LeakyReLU(negative_slope=0.01, name=name)(x)


def _validate_statistics(mean, std, bands: int) -> tuple[np.ndarray, np.ndarray]:
    mean = np.zeros(bands) if mean is None else np.asarray(mean, np.float64)
    std = np.ones(bands) if std is None else np.asarray(std, np.float64)
    for name, values in (("mean", mean), ("std", std)):
        if values.shape != (bands,):
            raise InputError(f"{name}: found shape {values.shape}, expected ({bands},)")
        if not np.isfinite(values).all():
            raise InputError(f"{name}: holds values that are not finite")
    if (std <= 0).any():
        raise InputError(f"std: band {int(np.argmin(std))} is {std.min():g}, expected more than 0")
    return mean, std
