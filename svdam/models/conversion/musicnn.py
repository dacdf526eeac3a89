"""The four networks of musicnn (Pons and Serra, 2019) as Keras models.

musicnn tags music: 50 tags each, learnt from MagnaTagATune (``MTT_``) or from the Million Song
Dataset (``MSD_``), by a network whose first filters span many bands or many frames (``_musicnn``),
or by one of small square filters (``_vgg``). The package ``musicnn`` holds them as TensorFlow 1
checkpoints. The models here compute the same, with four differences of form:

- Excerpts have a channel axis, (batch, time, 96, 1), and the outputs are logits: the sigmoid, one
  for each tag, is applied outside.
- The feature maps of the middle of ``_musicnn``, (batch, time, channels), are one-dimensional
  convolutions. The original transposes two-dimensional ones.
- Its two pools follow each other. The original interleaves them, feature by feature, so the
  parameters behind them are reordered.
- Dropout, which only training uses, is left out.

Layers are named after the features that the package returns: ``timbral``, ``temporal``, ``cnn1`` to
``cnn3``, ``max_pool``, ``mean_pool`` and ``penultimate``, or ``pool1`` to ``pool5``.

The time axis of ``_musicnn`` is open, since it pools over time: 187 frames (3 s) are what it was
trained with. ``_vgg`` takes 187.

The checkpoint of ``MSD_vgg`` was trained with other pools, 4x1 and then 1x4 without overlap (says
the graph that lies next to it), than those that the package's code builds for both ``_vgg``. Here
it is as in the code, so that it gives what the package gives.

Source: J. Pons and X. Serra, "musicnn: Pre-trained convolutional neural networks for music audio
tagging", ISMIR 2019; https://github.com/jordipons/musicnn, version 0.1.0, ISC licence.
"""

import os
from pathlib import Path

import keras
import numpy as np
from keras import KerasTensor, layers

from svdam.core.validation import InputError, quoted_list
from svdam.models.conversion.parameters import Parameter, checked_parameters
from svdam.models.conversion.tf1 import read_tf1_variables

MODELS = ("MTT_musicnn", "MTT_vgg", "MSD_musicnn", "MSD_vgg")
FRAMES, BANDS = 187, 96

# fmt: off
TAGS = {
    "MTT": (
        "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast",
        "piano", "ambient", "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male",
        "singing", "vocals", "no vocals", "harpsichord", "loud", "quiet", "flute", "woman",
        "male vocal", "no vocal", "pop", "soft", "sitar", "solo", "man", "classic", "choir",
        "voice", "new age", "dance", "male voice", "female vocal", "beats", "harp", "cello",
        "no voice", "weird", "country", "metal", "female voice", "choral",
    ),
    "MSD": (
        "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s",
        "alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists",
        "classic rock", "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s",
        "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic",
        "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country",
        "easy listening", "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock",
        "60s", "rnb", "indie pop", "sad", "House", "happy",
    ),
}
# fmt: on
"""Names of the outputs, in order, by data set, as in the package's ``configuration.py``."""

_NUM_TAGS = 50
_NUM_POOLED = 753
_TIMBRAL_BANDS = (38, 67)  # 0.4 and 0.7 of the bands.
_TEMPORAL_FRAMES = (128, 64, 32)
_VGG_POOLS = (((4, 1), 2), ((2, 2), 2), ((2, 2), 2), ((2, 2), 2), ((4, 4), 4))  # Size, stride.

# The layers with weights, in the order in which the original numbers its variables.
_MUSICNN_CONVOLUTIONS = (
    *(f"timbral_{bands}_conv" for bands in _TIMBRAL_BANDS),
    *(f"temporal_{frames}_conv" for frames in _TEMPORAL_FRAMES),
    *("cnn1_conv", "cnn2_conv", "cnn3_conv"),
)
_MUSICNN_NORMALIZATIONS = (
    "standardise",
    *(f"timbral_{bands}_norm" for bands in _TIMBRAL_BANDS),
    *(f"temporal_{frames}_norm" for frames in _TEMPORAL_FRAMES),
    *("cnn1", "cnn2_norm", "cnn3_norm", "pooled_norm", "penultimate"),
)
_VGG_CONVOLUTIONS = tuple(f"conv{index}" for index in range(1, 6))
_VGG_NORMALIZATIONS = ("standardise", *(f"norm{index}" for index in range(1, 6)))


def load_musicnn(folder: str | os.PathLike, model: str = "MTT_musicnn") -> keras.Model:
    """Loads one of the networks that the package ``musicnn`` brings.

    Args:
        folder: The installed package, or a copy of it: a directory that holds ``MTT_musicnn/`` and
            others. The directory of the one checkpoint will do as well.
        model: Which one, of `MODELS`.

    Returns:
        A model from (batch, 187, 96, 1) excerpts of the front end ``musicnn``, not standardised, to
        (batch, 50) logits of the `TAGS`. For ``_musicnn`` the number of frames is free.

    Raises:
        InputError: If there is no such network or checkpoint, or if it is damaged or of another
            network.
    """
    variables, place = read_musicnn_variables(folder, model)
    built = build_musicnn() if model.endswith("_musicnn") else build_vgg()
    names = _variable_layers(model)
    expected = [
        Parameter(f"{name}/{part}", f"{part.replace('_', ' ')} of {layer}", _shape(part, weight))
        for name, layer in names.items()
        for part, weight in _parts(built.get_layer(layer))
    ]
    values = checked_parameters(variables, expected, place)
    for name, layer_name in names.items():
        layer = built.get_layer(layer_name)
        arrays = [values[f"{name}/{part}"] for part, _ in _parts(layer)]
        if layer_name in ("pooled_norm", "dense"):
            arrays = [_one_pool_after_the_other(array) for array in arrays]
        layer.set_weights(
            [
                array.reshape(weight.shape)
                for array, weight in zip(arrays, layer.weights, strict=True)
            ]
        )
    return built


def read_musicnn_variables(
    folder: str | os.PathLike, model: str
) -> tuple[dict[str, np.ndarray], str]:
    """Reads the variables of a checkpoint of the package, without the slots of its optimiser.

    Returns:
        The variables by name, in the original's layout, and how messages name the checkpoint.

    Raises:
        InputError: If there is no such network or checkpoint, or if it is damaged.
    """
    if model not in MODELS:
        raise InputError(f"musicnn: has no network {model!r}; it has {quoted_list(MODELS)}")
    place = Path(folder)
    if (place / model).is_dir():
        place /= model
    if not (place / ".index").is_file():
        raise InputError(
            f"{folder}: holds no {model}/.index; expected the installed package musicnn (pip "
            "install --no-deps musicnn), or a copy of it"
        )
    return read_tf1_variables(f"{place}/")


def build_musicnn() -> keras.Model:
    """The network ``_musicnn``, with random weights.

    Returns:
        A model from (batch, time, 96, 1) log-mel to (batch, 50) logits.
    """
    excerpt = keras.Input((None, BANDS, 1), name="log_mel")
    x = layers.BatchNormalization(name="standardise")(excerpt)
    padded = layers.ZeroPadding2D(((3, 3), (0, 0)), name="padded")(x)
    timbral = [
        _branch(padded, f"timbral_{bands}", 204, (7, bands), "valid") for bands in _TIMBRAL_BANDS
    ]
    temporal = [
        _branch(x, f"temporal_{frames}", 51, (frames, 1), "same") for frames in _TEMPORAL_FRAMES
    ]
    maps = [
        layers.Concatenate(name="timbral")(timbral),
        layers.Concatenate(name="temporal")(temporal),
    ]
    x = layers.Concatenate(name="frontend")(maps)
    cnn1 = layers.BatchNormalization(name="cnn1")(_convolution("cnn1_conv")(x))
    cnn2 = _residual("cnn2", cnn1)
    cnn3 = _residual("cnn3", cnn2)
    x = layers.Concatenate(name="features")([x, cnn1, cnn2, cnn3])
    pools = [
        layers.GlobalMaxPooling1D(name="max_pool")(x),
        layers.GlobalAveragePooling1D(name="mean_pool")(x),
    ]
    x = layers.Concatenate(name="pooled")(pools)
    x = layers.BatchNormalization(name="pooled_norm")(x)
    x = layers.Dense(200, activation="relu", name="dense")(x)
    x = layers.BatchNormalization(name="penultimate")(x)
    return keras.Model(excerpt, layers.Dense(_NUM_TAGS, name="logits")(x), name="musicnn")


def build_vgg() -> keras.Model:
    """The network ``_vgg``, with random weights.

    Returns:
        A model from (batch, 187, 96, 1) log-mel to (batch, 50) logits.
    """
    excerpt = keras.Input((FRAMES, BANDS, 1), name="log_mel")
    x = layers.BatchNormalization(name="standardise")(excerpt)
    for index, (size, stride) in enumerate(_VGG_POOLS, 1):
        x = layers.Conv2D(128, 3, padding="same", activation="relu", name=f"conv{index}")(x)
        x = layers.BatchNormalization(name=f"norm{index}")(x)
        x = layers.MaxPooling2D(size, stride, name=f"pool{index}")(x)
    x = layers.Flatten(name="flat")(x)
    return keras.Model(excerpt, layers.Dense(_NUM_TAGS, name="logits")(x), name="musicnn_vgg")


def _branch(
    x: KerasTensor, name: str, filters: int, kernel: tuple[int, int], padding: str
) -> KerasTensor:
    """A convolution, normalised, and its maximum over bands: (batch, time, filters)."""
    x = layers.Conv2D(filters, kernel, padding=padding, activation="relu", name=f"{name}_conv")(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    x = layers.MaxPooling2D((1, x.shape[2]), name=f"{name}_max")(x)
    return layers.Reshape((-1, filters), name=name)(x)


def _convolution(name: str) -> layers.Layer:
    return layers.Conv1D(64, 7, padding="same", activation="relu", name=name)


def _residual(name: str, x: KerasTensor) -> KerasTensor:
    change = layers.BatchNormalization(name=f"{name}_norm")(_convolution(f"{name}_conv")(x))
    return layers.Add(name=name)([change, x])


def _variable_layers(model: str) -> dict[str, str]:
    """The layers by the names of their variables in the checkpoint."""

    def numbered(name: str, count: int) -> list[str]:
        return [name, *(f"{name}_{index}" for index in range(1, count))]

    if model.endswith("_musicnn"):
        names = [
            *numbered("conv2d", len(_MUSICNN_CONVOLUTIONS)),
            *numbered("batch_normalization", len(_MUSICNN_NORMALIZATIONS)),
            *numbered("dense", 2),
        ]
        own = [*_MUSICNN_CONVOLUTIONS, *_MUSICNN_NORMALIZATIONS, "dense", "logits"]
    else:
        names = [
            *(f"{index}CNN" for index in range(1, 6)),
            *numbered("batch_normalization", len(_VGG_NORMALIZATIONS)),
            "dense",
        ]
        own = [*_VGG_CONVOLUTIONS, *_VGG_NORMALIZATIONS, "logits"]
    return dict(zip(names, own, strict=True))


def _parts(layer: layers.Layer) -> list[tuple[str, keras.Variable]]:
    """A layer's weights by their names in the checkpoint."""
    is_norm = isinstance(layer, layers.BatchNormalization)
    names = ("gamma", "beta", "moving_mean", "moving_variance") if is_norm else ("kernel", "bias")
    return list(zip(names, layer.weights, strict=True))


def _shape(part: str, weight: keras.Variable) -> tuple[int, ...]:
    """A weight's shape in the original's layout, where all convolutions are two-dimensional."""
    shape = tuple(weight.shape)
    if part == "kernel" and len(shape) == 3:
        return (shape[0], shape[1], 1, shape[2])
    return shape


def _one_pool_after_the_other(values: np.ndarray) -> np.ndarray:
    """Reorders rows from (feature, pool) to (pool, feature); a bias of other length stays."""
    if values.shape[0] != 2 * _NUM_POOLED:
        return values
    return values.reshape(_NUM_POOLED, 2, -1).swapaxes(0, 1).reshape(values.shape)
