"""The networks in plain NumPy, in the layouts of their original programs: to verify conversions.

Nothing here knows Keras, and weights are taken as the original files hold them: true convolutions
on (batch, channel, time, mel) for Lasagne, mel-major correlations on (batch, mel, time, channel)
for TensorFlow 1. Computed in double precision, one line a layer, slowly.
"""

from collections.abc import Mapping

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
    height, width = kernel.shape[:2]
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    total = np.zeros(())
    for i in range(height):
        for j in range(width):
            total = total + x[:, i : i + rows, j : j + columns] @ kernel[i, j]
    return total


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


def _pooled(x: np.ndarray) -> np.ndarray:
    """Maxima of 3 x 3 cells of (batch, height, width, channel); an incomplete rest is left out."""
    batch, height, width, channels = x.shape
    rows, columns = height // 3, width // 3
    cells = x[:, : 3 * rows, : 3 * columns].reshape(batch, rows, 3, columns, 3, channels)
    return cells.max(axis=(2, 4))


def _leaky(x: np.ndarray, slope: float) -> np.ndarray:
    return np.where(x > 0, x, slope * x)
