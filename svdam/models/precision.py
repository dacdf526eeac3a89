"""Networks that compute in bfloat16, with everything around them in float32."""

import contextlib
from collections.abc import Iterator

import keras
from keras import layers

_FLOAT32, _BFLOAT16 = "float32", "mixed_bfloat16"
_CONVERTED = {
    *(layers.Conv1D, layers.Conv2D, layers.Conv2DTranspose, layers.Dense),
    *(layers.DepthwiseConv2D, layers.SeparableConv1D, layers.SeparableConv2D),
    *(layers.Activation, layers.ELU, layers.LeakyReLU, layers.PReLU, layers.ReLU),
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.AveragePooling1D, layers.AveragePooling2D),
    *(layers.Cropping1D, layers.Cropping2D, layers.ZeroPadding1D, layers.ZeroPadding2D),
    *(layers.Add, layers.Concatenate, layers.Flatten, layers.Permute, layers.Reshape),
    layers.BatchNormalization,
}
"""Products of matrices and what stands between them. Layers of others may hold float32 constants,
sums over a whole map need more than 8 bits, and dropout would draw other numbers: they stay as they
are, and Keras casts for them."""


def use_mixed_bfloat16(model: keras.Model) -> keras.Model:
    """Lets the layers of a model compute in bfloat16, in place. Weights stay float32.

    Standardisation stays in float32, and everything from the last layer with weights on: log-mel
    values of -16 would be rounded to steps of 0.06, and responses to three digits. So does what is
    not a convolution, a dense layer or one that usually stands between them, and what was not in
    float32 before.

    Args:
        model: Any Keras model; nested models are gone through.

    Returns:
        The same model.
    """
    found = list(all_layers(model))
    with_weights = [number for number, layer in enumerate(found) if layer.weights]
    last = with_weights[-1] if with_weights else 0
    for layer in found[:last]:
        if type(layer) in _CONVERTED and layer.dtype_policy.name == _FLOAT32:
            layer.dtype_policy = keras.DTypePolicy(_BFLOAT16)
    return model


@contextlib.contextmanager
def in_float32(model: keras.Model) -> Iterator[None]:
    """Undoes `use_mixed_bfloat16` for a while, in which the model is evaluated or saved."""
    converted = [layer for layer in all_layers(model) if layer.dtype_policy.name == _BFLOAT16]
    for layer in converted:
        layer.dtype_policy = keras.DTypePolicy(_FLOAT32)
    try:
        yield
    finally:
        for layer in converted:
            layer.dtype_policy = keras.DTypePolicy(_BFLOAT16)


def all_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers in the order of computation, those of nested models in their place."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield layer
