"""Copies of the networks that compute the same faster on a CPU.

Two layers stood out in a profile of the search. Where they occur they are replaced by a form with
the same values and the same gradient up to rounding:

- TensorFlow computes a transposed convolution of stride 2 as the gradient of a convolution, at half
  a convolution's speed. It equals an ordinary convolution on the small map that makes the four
  pixels of each 2 x 2 block as channels, which are then put in their places (sub-pixel
  convolution, Shi et al., CVPR 2016). Only the forward pass is done so; its gradient is fast.
- A leaky ReLU is differentiated as `svdam.models.leaky_relu` does.

With SVDNet and the paper's generator a step takes 12 % less processor time, and a step in bfloat16
another quarter. Gradients of weights, and of gradients, are not given: these copies are for
searches, not for training.
"""

import keras
import numpy as np
import tensorflow as tf

from svdam.models.leaky_relu import FastLeakyReLU
from svdam.models.precision import all_layers
from svdam.models.shapes import copy_weights


def accelerated(model: keras.Model) -> keras.Model:
    """A copy of ``model``, sharing nothing with it, with faster layers where there are any.

    Returns:
        The copy; or ``model`` itself where there is a GPU, where nothing can be replaced, where
        Keras cannot copy it layer by layer, or where the copy does not compute the same.
    """
    if tf.config.list_physical_devices("GPU"):
        return model
    if all(_faster_kind(layer) is type(layer) for layer in all_layers(model)):
        return model
    try:
        copy = keras.models.clone_model(model, clone_function=_copied)
        copy_weights(model, copy)
    except (TypeError, ValueError, NotImplementedError):  # A user's layer without a configuration.
        return model
    return copy if _computes_the_same(model, copy) else model


def _copied(layer: keras.layers.Layer) -> keras.layers.Layer:
    return _faster_kind(layer).from_config(layer.get_config())


def _faster_kind(layer: keras.layers.Layer) -> type[keras.layers.Layer]:
    """The class that computes what ``layer`` does: another one if that is faster."""
    if FastLeakyReLU.replaces(layer):
        return FastLeakyReLU
    if type(layer) is keras.layers.Conv2DTranspose and _is_doubling(layer):
        return _DoublingConvolution
    return type(layer)


def _is_doubling(layer: keras.layers.Conv2DTranspose) -> bool:
    return (
        tuple(layer.strides) == (2, 2)
        and tuple(layer.dilation_rate) == (1, 1)
        and min(layer.kernel_size) >= 2
        and layer.padding == "same"
        and layer.output_padding is None
        and layer.data_format == "channels_last"
    )


def _computes_the_same(model: keras.Model, copy: keras.Model) -> bool:
    """Tried on two random inputs."""
    shape = model.input_shape[1:]
    if None in shape:
        return False
    inputs = np.random.RandomState(0).normal(size=(2, *shape))
    expected, found = (
        np.asarray(keras.ops.convert_to_numpy(one(inputs, training=False)), np.float64)
        for one in (model, copy)
    )
    is_rounded = any(layer.compute_dtype == "bfloat16" for layer in all_layers(model))
    tolerance = 0.05 if is_rounded else 1e-4
    return bool(np.abs(found - expected).max() <= tolerance * np.abs(expected).max())


class _DoublingConvolution(keras.layers.Conv2DTranspose):
    """A transposed convolution of stride 2, computed by `doubling_convolution`."""

    def call(self, inputs):
        """(batch, 2 height, 2 width, outputs) of (batch, height, width, inputs)."""
        kernel = tf.cast(self.kernel, inputs.dtype)

        @tf.custom_gradient
        def convolve(x):
            y = doubling_convolution(x, kernel)
            return y, lambda dy: tf.nn.conv2d(dy, kernel, 2, "SAME")

        outputs = convolve(inputs)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, tf.cast(self.bias, outputs.dtype))
        return self.activation(outputs) if self.activation is not None else outputs


def doubling_convolution(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Transposed convolution of stride 2, padded to double size, as a convolution.

    Args:
        x: (batch, height, width, inputs).
        kernel: (height, width, outputs, inputs), as `keras.layers.Conv2DTranspose` holds it.

    Returns:
        (batch, 2 height, 2 width, outputs).
    """
    height, width, outputs, inputs = kernel.shape
    rows, row_padding = _taps(height)
    columns, column_padding = _taps(width)
    padded = tf.pad(kernel, [[0, 1], [0, 1], [0, 0], [0, 0]])  # A last, empty row and column.
    blocks = tf.gather(tf.gather(padded, rows, axis=0), columns, axis=2)
    # (row tap, row of the block, column tap, column of the block, outputs, inputs)
    blocks = tf.transpose(blocks, (0, 2, 5, 1, 3, 4))
    blocks = tf.reshape(blocks, (len(rows), len(columns), inputs, 4 * outputs))
    x = tf.nn.conv2d(x, blocks, 1, [[0, 0], row_padding, column_padding, [0, 0]])
    return tf.nn.depth_to_space(x, 2)


def _taps(size: int) -> tuple[np.ndarray, list[int]]:
    """Which rows of a kernel of ``size`` rows meet which rows of the small map.

    Returns:
        (taps, 2): for each place around a small row, and each of the two large rows that the small
        row becomes, the kernel's row, or ``size`` for none; and how far the places reach before and
        after the small row.
    """
    before = (size - 2) // 2  # What "same" cuts off at the start of the full result.
    found = {}  # Large row 2 j + parity sums the small rows j + shift, through kernel row tap.
    for parity in (0, 1):
        for tap in range((parity + before) % 2, size, 2):
            found[(parity + before - tap) // 2, parity] = tap
    shifts = range(min(found)[0], max(found)[0] + 1)
    taps = [[found.get((shift, parity), size) for parity in (0, 1)] for shift in shifts]
    return np.array(taps), [-shifts[0], shifts[-1]]
