"""Networks that compute in bfloat16, with everything around them in float32."""

from collections.abc import Iterator

import keras


def use_mixed_bfloat16(model: keras.Model) -> keras.Model:
    """Lets the layers of a model compute in bfloat16, in place. Weights stay float32.

    Standardisation stays in float32, and everything from the last layer with weights on: log-mel
    values of -16 would be rounded to steps of 0.06, and responses to three digits.

    Args:
        model: Any Keras model; nested models are gone through.

    Returns:
        The same model.
    """
    layers = list(all_layers(model))
    with_weights = [number for number, layer in enumerate(layers) if layer.weights]
    last = with_weights[-1] if with_weights else 0
    for layer in layers[:last]:
        if not isinstance(layer, keras.layers.Normalization):
            layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
    return model


def all_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers in the order of computation, those of nested models in their place."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield layer
