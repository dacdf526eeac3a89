"""Networks of the original Lasagne code (Schlueter & Grill, ISMIR 2015) as SVDNet, and back.

The original saves ``param0`` ... ``param13``: weights and biases of conv1 to conv4, two dense
layers and the output. Three things differ from Keras:

- Theano's convolutions are true convolutions, Keras' are correlations: kernels are flipped.
- A convolution's weights are (output, input, time, mel), not (time, mel, input, output).
- The first dense layer reads features in the order channel, time, mel, not time, mel, channel.

The original standardises its input outside the network, by the mean and standard deviation of an
.npz file of their own; in SVDNet they are the first layer. Moving numbers about changes none of
them: there and back is exact, bit for bit.
"""

import os
import re
from collections.abc import Mapping

import keras
import numpy as np

from svdam.core.config import FRONT_END
from svdam.core.npz import read_npz
from svdam.core.validation import InputError, quoted_list
from svdam.models.classifier import build_svdnet
from svdam.models.conversion.parameters import Parameter, checked_parameters

LAYERS = ("conv1_pre", "conv2_pre", "conv3_pre", "conv4_pre", "fc1_pre", "fc2_pre", "logit")
"""SVDNet's layers with weights; layer i has ``param{2 i}`` (weights) and ``param{2 i + 1}``."""

_MAX_BYTES = 64 << 20  # Six times SVDNet in double precision.


def load_lasagne_npz(
    path: str | os.PathLike, meanstd_path: str | os.PathLike | None = None
) -> keras.Model:
    """Loads a network that the original ``train.py`` saved.

    Args:
        path: The network: an .npz archive with ``param0`` ... ``param13``, or ``arr_0`` ...
            ``arr_13``, as ``numpy.savez(path, *values)`` names them.
        meanstd_path: Its ``*_meanstd.npz``, with ``mean`` and ``std`` of each mel band. Without it
            the model takes features that are already standardised.

    Returns:
        SVDNet from (batch, 115, 80, 1) log-mel to (batch, outputs) logits, one or two.

    Raises:
        InputError: If a file is damaged, or of another network.
    """
    parameters = read_lasagne_parameters(path)
    mean, std = (None, None) if meanstd_path is None else read_meanstd(meanstd_path)
    model = build_svdnet(mean, std, num_outputs=parameters["param13"].shape[0])
    for index, name in enumerate(LAYERS):
        kernel, bias = parameters[f"param{2 * index}"], parameters[f"param{2 * index + 1}"]
        layer = model.get_layer(name)
        layer.set_weights([_to_keras(kernel, layer), bias])
    return model


def to_lasagne(model: keras.Model) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The parameters of a SVDNet as the original's ``predict.py`` reads them.

    Args:
        model: A SVDNet with one or two outputs.

    Returns:
        ``param0`` ... ``param13``, float32, in this order, and mean and standard deviation (80,),
        float64.

    Raises:
        InputError: If the model is no SVDNet.
    """
    _require_svdnet(model)
    parameters = {}
    for index, name in enumerate(LAYERS):
        layer = model.get_layer(name)
        kernel, bias = layer.get_weights()
        parameters[f"param{2 * index}"] = _to_theano(kernel, layer)
        parameters[f"param{2 * index + 1}"] = bias
    standardise = model.get_layer("standardise")
    mean = np.asarray(standardise.input_mean, np.float64).reshape(-1)
    variance = np.asarray(standardise.input_variance, np.float64).reshape(-1)
    return parameters, mean, np.sqrt(variance)


def read_lasagne_parameters(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads and checks the parameters of a network of the original code.

    Returns:
        ``param0`` ... ``param13``, float32, with one or two outputs.

    Raises:
        InputError: If the file is damaged, or of another network.
    """
    arrays = read_npz(path, _MAX_BYTES)
    if arrays and all(f"arr_{index}" in arrays for index in range(len(arrays))):
        # numpy.savez(FILE, *values) numbers the values, whose order is the network's.
        arrays = {f"param{index}": arrays[f"arr_{index}"] for index in range(len(arrays))}
    _refuse_other_networks(arrays, str(path))
    num_outputs = 2 if arrays.get("param13", np.zeros(1)).shape == (2,) else 1
    return checked_parameters(arrays, _expected(num_outputs), str(path))


def read_meanstd(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Reads mean and standard deviation of the mel bands.

    Returns:
        mean and std, each (80,) float64.

    Raises:
        InputError: If the file is damaged, or its values can be no statistics of mel bands.
    """
    arrays = read_npz(path, _MAX_BYTES)
    if set(arrays) != {"mean", "std"}:
        raise InputError(f"{path}: holds {quoted_list(sorted(arrays), 4)}, expected mean and std")
    for name, values in arrays.items():
        if values.shape != (FRONT_END.num_mels,) or values.dtype.kind != "f":
            raise InputError(
                f"{path}: {name} has shape {values.shape} and dtype {values.dtype}, expected "
                f"({FRONT_END.num_mels},) numbers: one per mel band"
            )
        if not np.isfinite(values).all():
            raise InputError(f"{path}: {name} holds values that are not finite")
    mean, std = (arrays[name].astype(np.float64) for name in ("mean", "std"))
    if not (std > 0).all():
        band = int(np.argmin(std))
        raise InputError(f"{path}: std of band {band} is {std[band]:g}, expected more than 0")
    return mean, std


def _expected(num_outputs: int) -> list[Parameter]:
    """Names and shapes in the original's layout, from Table 4."""
    convolutions = [(64, 1, 3, 3), (32, 64, 3, 3), (128, 32, 3, 3), (64, 128, 3, 3)]
    shapes = [*convolutions, (4928, 256), (256, 64), (64, num_outputs)]
    expected = []
    for index, (layer, shape) in enumerate(zip(LAYERS, shapes, strict=True)):
        name = layer.removesuffix("_pre")
        units = shape[0] if len(shape) == 4 else shape[1]
        expected.append(Parameter(f"param{2 * index}", f"weights of {name}", shape))
        expected.append(Parameter(f"param{2 * index + 1}", f"bias of {name}", (units,)))
    return expected


def _refuse_other_networks(arrays: Mapping[str, np.ndarray], place: str) -> None:
    """Refuses what is recognised as something else, by name, before anything is missing."""
    names = [name for name in arrays if re.fullmatch(r"param(0|[1-9]\d*)", name)]
    if not names:
        if set(arrays) == {"mean", "std"}:
            raise InputError(f"{place}: holds mean and std; give it as --meanstd, not as --input")
        raise InputError(
            f"{place}: holds {quoted_list(sorted(arrays), 3)}, expected param0 to param13, as "
            "saved by the original train.py"
        )
    if len(names) > 14:
        kind = "with batch normalisation" if _has_batch_normalisation(arrays) else "in all"
        raise InputError(
            f"{place}: holds {len(names)} parameters {kind}, the ISMIR 2015 network has 14; it is "
            "a different network, e.g. of the phd_extra branch, which cannot be converted"
        )


def _has_batch_normalisation(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether four vectors follow each other: beta, gamma, mean and inverse deviation."""
    ranks = [arrays[f"param{i}"].ndim if f"param{i}" in arrays else 0 for i in range(len(arrays))]
    return any(ranks[i : i + 4] == [1, 1, 1, 1] for i in range(len(ranks)))


def _to_keras(kernel: np.ndarray, layer: keras.layers.Layer) -> np.ndarray:
    if kernel.ndim == 4:
        return kernel[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)
    if layer.name != "fc1_pre":
        return kernel
    time, mel, channels = _flattened_shape()
    return kernel.reshape(channels, time, mel, -1).transpose(1, 2, 0, 3).reshape(kernel.shape)


def _to_theano(kernel: np.ndarray, layer: keras.layers.Layer) -> np.ndarray:
    if kernel.ndim == 4:
        return np.ascontiguousarray(kernel[::-1, ::-1].transpose(3, 2, 0, 1))
    if layer.name != "fc1_pre":
        return kernel
    time, mel, channels = _flattened_shape()
    return kernel.reshape(time, mel, channels, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)


def _flattened_shape() -> tuple[int, int, int]:
    """(time, mel, channels) before the first dense layer: two times two convolutions, a pooling."""
    time, mel = FRONT_END.excerpt_frames, FRONT_END.num_mels
    for _ in range(2):
        time, mel = (time - 4) // 3, (mel - 4) // 3
    return time, mel, 64


def _require_svdnet(model: keras.Model) -> None:
    names = {layer.name for layer in model.layers}
    missing = [name for name in ("standardise", *LAYERS) if name not in names]
    if missing:
        raise InputError(f"model: has no layer {quoted_list(missing, 3)}; expected a SVDNet")
    num_outputs = model.output_shape[-1]
    if num_outputs not in (1, 2):
        raise InputError(f"model: has {num_outputs} outputs, expected a SVDNet with 1 or 2")
    reference = build_svdnet(num_outputs=num_outputs)
    for name in LAYERS:
        found = [tuple(value.shape) for value in model.get_layer(name).weights]
        expected = [tuple(value.shape) for value in reference.get_layer(name).weights]
        if found != expected:
            raise InputError(f"model: layer {name} has weights {found}, a SVDNet has {expected}")
    if model.get_layer("standardise").input_mean is None:
        raise InputError("model: layer standardise has no fixed mean and variance")
