"""Networks in the form in which a CPU trains them fastest: same weights, same function.

`cpu_form` takes a plain Keras model and returns one whose convolutions are computed as suits a CPU.
It shares every variable with the plain model, which stays what is checkpointed and exported. On a
GPU the plain model is used as it is: cuDNN knows best there.
"""

import keras
import tensorflow as tf

from svdam.models.leaky_relu import FastLeakyReLU
from svdam.training.spectral_convolution import STRIDE, spectral_convolution

_WIDE = 20
"""Mel taps from which `spectral_convolution` is faster, all gradients taken together, with AVX2
alone as with AVX-512."""


def suited_form(model: keras.Model) -> keras.Model:
    """The form of a model in which to train it on this machine."""
    return model if tf.config.list_logical_devices("GPU") else cpu_form(model)


def cpu_form(model: keras.Model) -> keras.Model:
    """The same model over the same variables, computed as suits a CPU.

    A model that is not a graph of layers is returned as it is.
    """

    def replaced(layer: keras.layers.Layer) -> keras.layers.Layer:
        """The layer in its fast form, if it has one."""
        if FastLeakyReLU.replaces(layer):
            return FastLeakyReLU.from_config(layer.get_config())
        return _Convolution(layer) if _Convolution.replaces(layer) else layer

    try:
        return keras.models.clone_model(model, clone_function=replaced, recursive=True)
    except ValueError:  # Of models that are programs of their own, Keras makes no other form.
        return model


class _Convolution(keras.layers.Layer):
    """A convolution of Keras's, computed in the spectrum if it is wide."""

    @staticmethod
    def replaces(layer: keras.layers.Layer) -> bool:
        """Whether ``layer`` is a convolution without groups and dilation."""
        return (
            type(layer) in (keras.layers.Conv2D, keras.layers.Conv2DTranspose)
            and layer.data_format == "channels_last"
            and tuple(layer.dilation_rate) == (1, 1)
            and getattr(layer, "groups", 1) == 1
            and getattr(layer, "output_padding", None) is None
        )

    def __init__(self, layer: keras.layers.Layer):
        # No policy of its own: Keras would round the bias on its way here.
        super().__init__(dtype=layer.variable_dtype, autocast=False, name=f"{layer.name}_cpu")
        self.layer = layer
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """What the layer computes, (batch, height, width, channels), in its own precision."""
        layer = self.layer
        inputs = tf.cast(inputs, layer.compute_dtype)
        kernel = tf.cast(layer.kernel, layer.compute_dtype)
        outputs = self._convolve(inputs, kernel)
        if layer.use_bias:
            outputs = _add_bias(outputs, tf.convert_to_tensor(layer.bias))
        return outputs if layer.activation is None else layer.activation(outputs)

    def _convolve(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        layer = self.layer
        if isinstance(layer, keras.layers.Conv2DTranspose):
            return keras.ops.conv_transpose(inputs, kernel, layer.strides, layer.padding)
        is_wide = layer.kernel_size[1] >= _WIDE and inputs.shape.is_fully_defined()
        if is_wide and layer.strides == (STRIDE, STRIDE) and layer.padding == "same":
            return spectral_convolution(inputs, kernel)
        return keras.ops.conv(inputs, kernel, layer.strides, layer.padding)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of a batch, for Keras: the layer's."""
        return self.layer.compute_output_shape(input_shape)


def _add_bias(features: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Adds one value per channel, of higher precision perhaps.

    In bfloat16 TensorFlow's gradient of a bias sums some hundred thousand values in steps of 8
    bits, and comes out wrong by 10 to 20 %. A product with ones is the same sum, kept in float32
    until its end.
    """
    if features.dtype == bias.dtype:
        return features + bias

    @tf.custom_gradient
    def add(x, b):
        def gradient(dy):
            rows = tf.reshape(dy, (-1, dy.shape[-1]))
            ones = tf.ones_like(rows[:, :1])
            return dy, tf.cast(tf.matmul(ones, rows, transpose_a=True)[0], b.dtype)

        return tf.nn.bias_add(x, tf.cast(b, x.dtype)), gradient

    return add(features, bias)
