"""A leaky ReLU that is faster to differentiate on a CPU.

Its gradient follows from its output just as well as from its input, which then need not be kept;
and in bfloat16, where TensorFlow's own operation for it is not vectorised, it is put together from
some that are. Gradients of gradients are right, too.
"""

import keras
import tensorflow as tf


class FastLeakyReLU(keras.layers.LeakyReLU):
    """A leaky ReLU whose gradient is taken from its output, not from its input."""

    @classmethod
    def replaces(cls, layer: keras.layers.Layer) -> bool:
        """Whether this layer, with the configuration of ``layer``, computes the same."""
        return type(layer) is keras.layers.LeakyReLU and 0 < layer.negative_slope <= 1

    def call(self, inputs):
        """The activations, of the shape of ``inputs``."""

        @tf.custom_gradient
        def activate(x):
            y = tf.nn.leaky_relu(x, self.negative_slope)
            return y, lambda dy: leaky_relu_gradient(dy, y, self.negative_slope)

        return activate(inputs)


def leaky_relu_gradient(dy: tf.Tensor, y: tf.Tensor, slope: float) -> tf.Tensor:
    """Gradient of a leaky ReLU with ``slope`` from 0 to 1, from that of its output ``y``."""
    if dy.dtype == tf.bfloat16:
        return dy * tf.maximum(tf.sign(y), tf.cast(slope, tf.bfloat16))  # 1 or the slope.
    return tf.raw_ops.LeakyReluGrad(gradients=dy, features=y, alpha=slope)
