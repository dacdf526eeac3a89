"""The networks in plain NumPy, in the layouts of their original programs: to verify conversions.

Nothing here knows Keras, and weights are taken as the original files hold them: true convolutions
on (batch, channel, time, mel) for Lasagne, mel-major correlations on (batch, mel, time, channel)
for the authors' released code, correlations on (batch, time, mel, channel) for musicnn. Computed in
double precision, one line per layer, slowly.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from svdam.core.config import FRONT_END


def lasagne_forward(
    parameters: Mapping[str, np.ndarray], standardised: np.ndarray
) -> dict[str, np.ndarray]:
    """The network of Schlueter & Grill (ISMIR 2015), without dropout.

    Args:
        parameters: ``param0`` ... ``param13``.
        standardised: (batch, time 115, mel 80) log-mel excerpts, after standardisation.

    Returns:
        Activations by SVDNet's layer names, feature maps as (batch, time, mel, channel).
    """
    weights = {name: np.asarray(values, np.float64) for name, values in parameters.items()}
    maps = {}
    x = np.asarray(standardised, np.float64)[:, np.newaxis]
    for index, name in enumerate(("conv1", "conv2", "conv3", "conv4")):
        x = _true_convolution(x, weights[f"param{2 * index}"])
        x = _leaky(x + weights[f"param{2 * index + 1}"][:, np.newaxis, np.newaxis], 0.01)
        maps[name] = x
        if name in ("conv2", "conv4"):
            x = _pooled(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
            maps["pool1" if name == "conv2" else "pool2"] = x
    layers = {name: values.transpose(0, 2, 3, 1) for name, values in maps.items()}
    x = x.reshape(len(x), -1)
    layers["fc1"] = x = _leaky(x @ weights["param8"] + weights["param9"], 0.01)
    layers["fc2"] = x = _leaky(x @ weights["param10"] + weights["param11"], 0.01)
    layers["logit"] = x @ weights["param12"] + weights["param13"]
    return layers


def tf1_classifier_forward(
    variables: Mapping[str, np.ndarray], standardised: np.ndarray
) -> dict[str, np.ndarray]:
    """The classifier of the authors' released code.

    Args:
        variables: ``conv2d/kernel`` ... ``dense_2/bias``.
        standardised: (batch, time 115, mel 80) log-mel excerpts, after standardisation.

    Returns:
        ``fc1``, ``fc2`` and ``logit`` by SVDNet's layer names.
    """
    weights = {name: np.asarray(values, np.float64) for name, values in variables.items()}
    x = np.asarray(standardised, np.float64).swapaxes(1, 2)[..., np.newaxis]
    for index, name in enumerate(("conv2d", "conv2d_1", "conv2d_2", "conv2d_3")):
        x = _correlation(x, weights[f"{name}/kernel"]) + weights[f"{name}/bias"]
        x = _leaky(x, 0.01)
        if index % 2:
            x = _pooled(x)
    x = x.reshape(len(x), -1)
    fc1 = _leaky(x @ weights["dense/kernel"] + weights["dense/bias"], 0.01)
    fc2 = _leaky(fc1 @ weights["dense_1/kernel"] + weights["dense_1/bias"], 0.01)
    logit = fc2 @ weights["dense_2/kernel"] + weights["dense_2/bias"]
    return {"fc1": fc1, "fc2": fc2, "logit": logit}


def tf1_generator_forward(variables: Mapping[str, np.ndarray], latents: np.ndarray) -> np.ndarray:
    """The generator of the authors' released code.

    Args:
        variables: ``gen/dense/kernel`` ... ``gen/conv2d/bias``.
        latents: (batch, 128).

    Returns:
        (batch, time 115, mel 80) log-mel.
    """
    weights = {name: np.asarray(values, np.float64) for name, values in variables.items()}
    x = np.asarray(latents, np.float64) @ weights["gen/dense/kernel"] + weights["gen/dense/bias"]
    x = _leaky(x, 0.2).reshape(len(x), 5, 8, -1)
    for suffix in ("", "_1", "_2", "_3"):
        name = f"gen/conv2d_transpose{suffix}"
        x = _transposed_convolution(x, weights[f"{name}/kernel"]) + weights[f"{name}/bias"]
        x = _leaky(x, 0.2)
    kernel = weights["gen/conv2d/kernel"]
    before = [(size - 1) // 2 for size in kernel.shape[:2]]
    after = [size // 2 for size in kernel.shape[:2]]
    x = np.pad(x, ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)))
    x = _correlation(x, kernel) + weights["gen/conv2d/bias"]
    return np.maximum(x, FRONT_END.silence)[:, :, 6:-7, 0].swapaxes(1, 2)


def musicnn_forward(
    variables: Mapping[str, np.ndarray], excerpts: np.ndarray
) -> dict[str, np.ndarray]:
    """The network ``_musicnn`` of Pons and Serra (2019), without dropout.

    Args:
        variables: ``conv2d/kernel`` ... ``dense_1/bias``.
        excerpts: (batch, time, band 96) log-mel excerpts.

    Returns:
        Activations by the layer names of `svdam.models.conversion.musicnn`, maps as (batch, time,
        channel).
    """
    weights = {name: np.asarray(values, np.float64) for name, values in variables.items()}
    x = _normalised(np.asarray(excerpts, np.float64)[..., np.newaxis], weights, 0)
    branches = []
    for index in range(5):
        name = f"conv2d_{index}" if index else "conv2d"
        frames = len(weights[f"{name}/kernel"])
        maps = _rectified(_padded(x, (frames - 1) // 2, frames // 2), weights, name)
        branches.append(_normalised(maps, weights, 1 + index).max(axis=2))
    layers = {
        "timbral": np.concatenate(branches[:2], axis=2),
        "temporal": np.concatenate(branches[2:], axis=2),
    }
    features = [np.concatenate(branches, axis=2)]
    for index in range(3):
        padded = _padded(features[-1][..., np.newaxis], 3, 3)
        maps = _normalised(_rectified(padded, weights, f"conv2d_{5 + index}"), weights, 6 + index)
        residual = features[-1] if index else 0
        layers[f"cnn{1 + index}"] = maps[:, :, 0] + residual
        features.append(layers[f"cnn{1 + index}"])
    together = np.concatenate(features, axis=2)
    layers["max_pool"], layers["mean_pool"] = together.max(axis=1), together.mean(axis=1)
    pools = np.stack([layers["max_pool"], layers["mean_pool"]], axis=2).reshape(len(x), -1)
    x = _normalised(pools, weights, 9) @ weights["dense/kernel"] + weights["dense/bias"]
    layers["penultimate"] = x = _normalised(np.maximum(x, 0), weights, 10)
    layers["logits"] = x @ weights["dense_1/kernel"] + weights["dense_1/bias"]
    return layers


def musicnn_vgg_forward(
    variables: Mapping[str, np.ndarray], excerpts: np.ndarray
) -> dict[str, np.ndarray]:
    """The network ``_vgg`` of Pons and Serra (2019), without dropout.

    Args:
        variables: ``1CNN/kernel`` ... ``dense/bias``.
        excerpts: (batch, time 187, band 96) log-mel excerpts.

    Returns:
        Activations by the layer names of `svdam.models.conversion.musicnn`.
    """
    weights = {name: np.asarray(values, np.float64) for name, values in variables.items()}
    x = _normalised(np.asarray(excerpts, np.float64)[..., np.newaxis], weights, 0)
    layers = {}
    pools = (((4, 1), 2), ((2, 2), 2), ((2, 2), 2), ((2, 2), 2), ((4, 4), 4))  # Size, stride.
    for index, (size, stride) in enumerate(pools, 1):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        x = _normalised(_rectified(padded, weights, f"{index}CNN"), weights, index)
        layers[f"pool{index}"] = x = _pooled(x, size, stride)
    layers["logits"] = x.reshape(len(x), -1) @ weights["dense/kernel"] + weights["dense/bias"]
    return layers


def _normalised(x: np.ndarray, weights: Mapping[str, np.ndarray], index: int) -> np.ndarray:
    """Batch normalisation of the last axis by the statistics of the training."""
    name = f"batch_normalization_{index}" if index else "batch_normalization"
    scale = weights[f"{name}/gamma"] / np.sqrt(weights[f"{name}/moving_variance"] + 1e-3)
    return (x - weights[f"{name}/moving_mean"]) * scale + weights[f"{name}/beta"]


def _rectified(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return np.maximum(_correlation(x, weights[f"{name}/kernel"]) + weights[f"{name}/bias"], 0)


def _padded(x: np.ndarray, before: int, after: int) -> np.ndarray:
    """(batch, time, band, channel) with zeros before and after."""
    return np.pad(x, ((0, 0), (before, after), (0, 0), (0, 0)))


def _true_convolution(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(batch, input, time, mel) with (output, input, time, mel): y[t] = sum x[t + 2 - i] w[i]."""
    height, width = weights.shape[2:]
    rows, columns = x.shape[2] - height + 1, x.shape[3] - width + 1
    total = np.zeros(())
    for i in range(height):
        for j in range(width):
            top, left = height - 1 - i, width - 1 - j
            part = x[:, :, top : top + rows, left : left + columns]
            total = total + np.tensordot(part, weights[:, :, i, j], axes=(1, 1))
    return total.transpose(0, 3, 1, 2)


def _correlation(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(batch, height, width, input) with (height, width, input, output): y[t] = sum x[t+i] k[i]."""
    windows = _windows(x, kernel.shape[:2])
    return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))


def _transposed_convolution(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Stride 2, kernel (height, width, output, input): the full result, cropped to double size."""
    height, width, outputs = kernel.shape[:3]
    batch, rows, columns = x.shape[:3]
    full = np.zeros((batch, 2 * (rows - 1) + height, 2 * (columns - 1) + width, outputs))
    for i in range(height):
        for j in range(width):
            full[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2] += x @ kernel[i, j].T
    top, left = (height - 2) // 2, (width - 2) // 2
    return full[:, top : top + 2 * rows, left : left + 2 * columns]


def _pooled(x: np.ndarray, size: Sequence[int] = (3, 3), stride: int = 3) -> np.ndarray:
    """Maxima of cells of (batch, height, width, channel); an incomplete rest is left out."""
    return _windows(x, size)[:, ::stride, ::stride].max(axis=(-2, -1))


def _windows(x: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A view of all stretches of (batch, height, width, channel): the size is the last two axes."""
    view: Any = np.lib.stride_tricks.sliding_window_view  # Its types know one axis only.
    return view(x, size, axis=(1, 2))


def _leaky(x: np.ndarray, slope: float) -> np.ndarray:
    return np.where(x > 0, x, slope * x)
