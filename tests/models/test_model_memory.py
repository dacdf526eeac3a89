"""What a model computes from one example, added up by hand."""

import keras

from svdam.models.memory import activation_bytes


def test_every_output_counts():
    model = keras.Sequential([keras.Input((6, 4, 1)), keras.layers.Conv2D(5, 3)])
    conv = 4 * (6 * 4 + 4 * 2 * 5)
    assert activation_bytes(model) == conv
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(7, dtype="mixed_bfloat16"))
    assert activation_bytes(model) == conv + 4 * 40 + 2 * 7


def test_operations_shared_layers_and_nested_models_count_each_time():
    inner_input = keras.Input((10,))
    hidden = keras.layers.Dense(1000)(inner_input)
    inner = keras.Model(inner_input, keras.layers.Dense(10)(hidden))
    first = keras.Input((10,))
    doubled = keras.ops.repeat(inner(inner(first)), 3, axis=1)
    shared = keras.layers.Activation("relu")
    model = keras.Model(first, shared(shared(doubled)))
    each = 10 + 1000 + 10
    assert activation_bytes(model) == 4 * (10 + 2 * each + 30 + 30 + 30)
