"""TensorFlow 1 checkpoints of the authors' released code as SVDNet and generator.

The released code is mel-major: its maps are (mel, time, channel), those of this project are
(time, mel, channel). So in every kernel the two axes swap, and with them the order of the features
that the classifier flattens before its first dense layer and that the generator reshapes after its
own. Kernels are correlations in both, nothing is flipped. TensorFlow stores no shape-free order:
variables go by name, ``conv2d``, ``conv2d_1``, ... in the order of construction.

Optimiser slots beside the variables (``conv2d/kernel/Momentum``) are left out.
"""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from svdam.core.config import LATENT_SIZE
from svdam.core.validation import InputError, one_line, quoted_list
from svdam.models.classifier import build_svdnet
from svdam.models.conversion.lasagne import LAYERS as CLASSIFIER_LAYERS
from svdam.models.conversion.lasagne import read_meanstd
from svdam.models.conversion.parameters import Parameter, checked_parameters
from svdam.models.generator import FIRST_SHAPE, KERNELS, build_generator

_CLASSIFIER_NAMES = ("conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "dense", "dense_1", "dense_2")
_GENERATOR_NAMES = (
    "gen/dense",
    "gen/conv2d_transpose",
    "gen/conv2d_transpose_1",
    "gen/conv2d_transpose_2",
    "gen/conv2d_transpose_3",
    "gen/conv2d",
)
_GENERATOR_LAYERS = ("dense", "up1", "up2", "up3", "up4", "out")
_SLOT = re.compile(
    r"(.*/)?(kernel|bias|gamma|beta)/(Momentum|Adam|Adam_\d+|RMSProp|RMSProp_\d+|Adagrad)"
    r"|(.*/)?(beta[12]_power|global_step)(_\d+)?"
)
_MAX_BYTES = 256 << 20


def load_tf1_checkpoint(
    prefix: str | os.PathLike, meanstd_path: str | os.PathLike | None = None
) -> keras.Model:
    """Loads a classifier or a generator, whichever the checkpoint holds.

    Args:
        prefix: Path of the checkpoint without ``.index`` or ``.data-00000-of-00001`` (with one of
            them is fine too).
        meanstd_path: ``mean`` and ``std`` of each mel band, for a classifier.

    Returns:
        SVDNet from (batch, 115, 80, 1) to (batch, 1 or 2), or a generator from (batch, 128) to
        (batch, 115, 80, 1).

    Raises:
        InputError: If the checkpoint is damaged, or of another network.
    """
    variables, place = read_tf1_variables(prefix)
    if any(name.startswith("gen/") for name in variables):
        if meanstd_path is not None:
            raise InputError(f"{place}: is a generator, which takes no --meanstd")
        return _generator(variables, place)
    return _classifier(variables, place, meanstd_path)


def read_tf1_variables(prefix: str | os.PathLike) -> tuple[dict[str, np.ndarray], str]:
    """Reads the variables of a checkpoint, without the slots of its optimiser.

    Returns:
        The variables by name, and how messages name the checkpoint.

    Raises:
        InputError: If it is missing, damaged or cut short.
    """
    prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", os.fspath(prefix))
    shapes = _checkpoint_shapes(prefix)
    import tensorflow as tf

    names = [name for name in shapes if not _SLOT.fullmatch(name)]
    try:
        reader = tf.compat.v1.train.NewCheckpointReader(prefix)
        return {name: np.asarray(reader.get_tensor(name)) for name in names}, prefix
    except Exception as error:  # Whatever TensorFlow stumbles over in a damaged file.
        raise InputError(f"{prefix}: is damaged or truncated ({one_line(error)})") from error


def _checkpoint_shapes(prefix: str) -> dict[str, Sequence[int]]:
    """Shapes of all variables; refuses what could not be a checkpoint of these networks."""
    import tensorflow as tf

    folder = Path(prefix)
    for path in (Path(f"{prefix}.index"), Path(f"{prefix}.data-00000-of-00001")):
        if not path.is_file():
            hint = " (give the checkpoint's path without suffix)" if folder.is_dir() else ""
            raise InputError(f"{prefix}: is not a TensorFlow 1 checkpoint: no {path.name}{hint}")
    try:
        reader = tf.compat.v1.train.NewCheckpointReader(prefix)
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    except Exception as error:
        raise InputError(f"{prefix}: has no readable index ({one_line(error)})") from error
    strange = sorted(n for n, d in dtypes.items() if not (d.is_floating or d.is_integer))
    if strange:
        raise InputError(f"{prefix}: holds {quoted_list(strange, 3)}, which are not numbers")
    size = sum(math.prod(shape) * dtypes[name].size for name, shape in shapes.items())
    if size > _MAX_BYTES:
        raise InputError(
            f"{prefix}: declares {size / 1e6:.0f} MB of variables, expected at most "
            f"{_MAX_BYTES / 1e6:.0f} MB"
        )
    return shapes


def _classifier(
    variables: dict[str, np.ndarray], place: str, meanstd_path: str | os.PathLike | None
) -> keras.Model:
    num_outputs = 2 if variables.get("dense_2/bias", np.zeros(1)).shape == (2,) else 1
    mean, std = (None, None) if meanstd_path is None else read_meanstd(meanstd_path)
    model = build_svdnet(mean, std, num_outputs)
    layers = [model.get_layer(name) for name in CLASSIFIER_LAYERS]
    values = checked_parameters(variables, _expected(_CLASSIFIER_NAMES, layers), place)
    for name, layer in zip(_CLASSIFIER_NAMES, layers, strict=True):
        kernel = values[f"{name}/kernel"]
        if layer.name == "fc1_pre":
            time, mel, channels = model.get_layer("pool2").output.shape[1:]
            kernel = _swapped(kernel.reshape(mel, time, channels, -1)).reshape(kernel.shape)
        elif kernel.ndim == 4:
            kernel = _swapped(kernel)
        layer.set_weights([kernel, values[f"{name}/bias"]])
    return model


def _generator(variables: dict[str, np.ndarray], place: str) -> keras.Model:
    model = build_generator(_preset(variables, place))
    layers = [model.get_layer(name) for name in _GENERATOR_LAYERS]
    values = checked_parameters(variables, _expected(_GENERATOR_NAMES, layers), place)
    time, mel, channels = FIRST_SHAPE
    for name, layer in zip(_GENERATOR_NAMES, layers, strict=True):
        kernel, bias = values[f"{name}/kernel"], values[f"{name}/bias"]
        if layer.name == "dense":
            columns = kernel.reshape(LATENT_SIZE, mel, time, channels)
            kernel = columns.swapaxes(1, 2).reshape(kernel.shape)
            bias = _swapped(bias.reshape(mel, time, channels)).reshape(bias.shape)
        else:
            kernel = _swapped(kernel)
        layer.set_weights([kernel, bias])
    return model


def _preset(variables: dict[str, np.ndarray], place: str) -> str:
    """The generator's preset, told by its kernels."""
    names = _GENERATOR_NAMES[1:5]
    kernels = [variables.get(f"{name}/kernel", np.zeros((0, 0))).shape[1::-1] for name in names]
    for preset, expected in KERNELS.items():
        if tuple(kernels) == expected:
            return preset
    missing = [name for name in names if f"{name}/kernel" not in variables]
    if missing:
        raise InputError(
            f"{place}: has no {quoted_list([f'{name}/kernel' for name in missing], 3)}"
        )
    found = ", ".join(f"{time}x{mel}" for time, mel in kernels)
    known = "; ".join(
        f"{preset}: " + ", ".join(f"{time}x{mel}" for time, mel in sizes)
        for preset, sizes in KERNELS.items()
    )
    raise InputError(
        f"{place}: has transposed convolutions with kernels (time x mel) {found}, expected one of "
        f"{known}"
    )


def _expected(names: Sequence[str], layers: Sequence[keras.layers.Layer]) -> list[Parameter]:
    """Names and shapes in the released code's layout."""
    expected = []
    for name, layer in zip(names, layers, strict=True):
        kernel, bias = (tuple(value.shape) for value in layer.weights)
        if len(kernel) == 4:
            kernel = (kernel[1], kernel[0], *kernel[2:])
        what = layer.name.removesuffix("_pre")
        expected.append(Parameter(f"{name}/kernel", f"kernel of {what}", kernel))
        expected.append(Parameter(f"{name}/bias", f"bias of {what}", bias))
    return expected


def _swapped(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.swapaxes(0, 1))
