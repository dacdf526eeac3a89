"""Networks in the form in which a CPU trains them fastest: same weights, same function.

`cpu_form` takes a plain Keras model and returns one whose convolutions are computed as suits a CPU.
It shares every variable with the plain model, which stays what is checkpointed and exported. On a
GPU the plain model is used as it is: cuDNN knows best there.
"""

import keras
import tensorflow as tf

from svdam.training.spectral_convolution import STRIDE, spectral_convolution

_WIDE = 20
"""Mel taps from which `spectral_convolution` is faster, all gradients taken together."""


def cpu_form(model: keras.Model) -> keras.Model:
    """The same model over the same variables, with convolutions computed as suits a CPU."""
    convolutions = (keras.layers.Conv2D, keras.layers.Conv2DTranspose)

    def replaced(layer: keras.layers.Layer) -> keras.layers.Layer:
        """The layer in its fast form, if it has one."""
        return _Convolution(layer) if isinstance(layer, convolutions) else layer

    return keras.models.clone_model(model, clone_function=replaced)


class _Convolution(keras.layers.Layer):
    """A convolution of Keras's, computed in the spectrum if it is wide, with a float32 bias.

    In bfloat16 the gradient of a bias sums some hundred thousand values in steps of 8 bits, and
    comes out wrong by 10 to 20 %: adding the bias in float32 makes it a float32 sum.
    """

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
            outputs = tf.cast(outputs, layer.variable_dtype) + tf.convert_to_tensor(layer.bias)
        return tf.cast(outputs, layer.compute_dtype)

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
