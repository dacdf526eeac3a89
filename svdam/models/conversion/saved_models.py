"""SavedModels without the configuration of a Keras model: a layer around their graph.

Such a folder holds a graph of TensorFlow that nothing turns back into layers. It can still be run,
and explained where it has gradients, by `keras.layers.TFSMLayer`: the ``.keras`` file then refers
to the folder, which has to stay where it is. Inner layers have no names, and since a graph could
run code, every command needs ``--allow_unsafe_model``.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from svdam.core.validation import InputError, one_line, quoted_list

ENDPOINTS = ("serving_default", "serve")
"""Signatures by preference: the one that TensorFlow and Keras 2 write, and that of Keras 3."""


def has_keras_configuration(folder: Path) -> bool:
    """Whether Keras 2 wrote a SavedModel, so that tf_keras can make layers of it again."""
    return (folder / "keras_metadata.pb").exists()


def wrapped_saved_model(folder: Path) -> keras.Model:
    """A model of one layer that runs the graph of a SavedModel.

    Args:
        folder: The SavedModel, which must have a signature from one batch of excerpts.

    Raises:
        InputError: If it cannot be read, has no such signature, or no gradient with respect to the
            excerpts, without which nothing can be maximized.
    """
    folder = folder.resolve()
    try:
        signatures = tf.saved_model.load(folder).signatures
    except Exception as error:  # Whatever TensorFlow raises over a file that it cannot read.
        raise InputError(f"--input: {folder} cannot be read ({one_line(error)})") from error
    endpoint = _endpoint(signatures, folder)
    spec = _excerpts(signatures[endpoint], endpoint, folder)
    layer = keras.layers.TFSMLayer(str(folder), call_endpoint=endpoint, name="saved_model")
    excerpts = keras.Input(spec.shape[1:], dtype=spec.dtype.name)
    outputs = layer(excerpts)
    flat = keras.tree.flatten(outputs)
    model = keras.Model(excerpts, flat[0] if len(flat) == 1 else outputs)
    _require_gradient(model, folder)
    return model


def _endpoint(signatures: Any, folder: Path) -> str:
    for name in (*ENDPOINTS, *signatures):
        if name in signatures and (name in ENDPOINTS or len(signatures) == 1):
            return name
    found = quoted_list(list(signatures)) or "none"
    raise InputError(
        f"--input: the signatures of {folder} are {found}, expected one of "
        f"{quoted_list(ENDPOINTS)}, or a single one"
    )


def _excerpts(signature: Any, endpoint: str, folder: Path) -> tf.TensorSpec:
    """What a signature takes: one batch of excerpts, of any size."""
    _, arguments = signature.structured_input_signature
    specs = list(arguments.values())
    if len(specs) != 1 or specs[0].shape.rank is None or not specs[0].dtype.is_floating:
        found = ", ".join(f"{spec.name}: {spec.dtype.name} {spec.shape}" for spec in specs)
        raise InputError(
            f"--input: the signature {endpoint!r} of {folder} takes ({found}); expected one batch "
            "of excerpts of known rank"
        )
    if specs[0].shape[0] is not None:
        raise InputError(
            f"--input: {folder} takes batches of {specs[0].shape[0]} only; export it with an open "
            "batch axis"
        )
    return specs[0]


def _require_gradient(model: keras.Model, folder: Path) -> None:
    """Refuses graphs that TensorFlow cannot differentiate, for example quantized ones."""
    shape = [size or 64 for size in model.input_shape[1:]]
    values = np.random.RandomState(0).normal(size=(2, *shape))
    excerpts = tf.constant(values, model.inputs[0].dtype)
    reason = "its output does not depend on its input by differentiable operations"
    try:
        with tf.GradientTape() as tape:
            tape.watch(excerpts)
            total = tf.add_n([tf.reduce_sum(one) for one in keras.tree.flatten(model(excerpts))])
        gradient = tape.gradient(total, excerpts)
    except Exception as error:  # A LookupError for an operation without gradient, among others.
        gradient, reason = None, one_line(error)
    if gradient is None:
        raise InputError(
            f"--input: {folder} has no gradient, so nothing can be maximized ({reason}); export "
            "the model as it was trained, in float32"
        )
