"""What a classifier's output is: logits or probabilities. The one place that decides it.

The decision is read off the model: from the output back through what only reshapes, selects or
pools, to the layer or operation that made the values. A sigmoid or softmax makes probabilities,
whether it is a layer, an activation or a function of `keras.ops`; a layer without activation makes
logits. One logit is the argument of a sigmoid, several are those of a softmax, as in the paper.
Nothing in a model tells the logits of exclusive classes from those of independent labels, and after
other operations nothing is known: there the user says what the output is.
"""

import math
from typing import Any, NamedTuple

import keras
import numpy as np

from svdam.core.settings import OUTPUT_KINDS
from svdam.core.validation import InputError
from svdam.models.names import given_name

_PROBABILITIES = ("sigmoid", "hard_sigmoid", "softmax")
_LOGITS = ("linear", "log_softmax")  # The softmax of a log-softmax is the softmax.

# Classes by name: those of operations are private to Keras.
_OPERATIONS_WITH_ACTIVATION = {
    "Sigmoid": "sigmoid",
    "HardSigmoid": "hard_sigmoid",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
}
_RESHAPING = {
    *("Reshape", "Flatten", "Permute", "Squeeze", "ExpandDims", "Transpose", "Swapaxes"),
    *("Moveaxis", "Ravel", "Cast", "Identity", "StopGradient", "Copy"),
}
_SELECTING = {
    *("GetItem", "Slice", "Take", "TakeAlongAxis", "Split", "Unstack", "Flip", "Roll"),
    *("Repeat", "Tile", "BroadcastTo", "Concatenate", "Stack", "Hstack", "Vstack", "Clip"),
    *("Mean", "Median", "Max", "Min", "Amax", "Amin", "AveragePool", "MaxPool"),
    *("AdaptiveAveragePool", "AdaptiveMaxPool"),
}
_SELECTING_LAYERS = (
    keras.layers.Average,
    keras.layers.Concatenate,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Cropping3D,
    keras.layers.RepeatVector,
)
_LINEAR = {"Matmul", "Einsum", "Dot", "Tensordot", "Conv", "DepthwiseConv"}
_AFFINE = {
    *("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Negative"),
    *("BatchNormalization", "Rescaling"),
}


def kind_of_output(classifier: keras.Model, output_is: str = "auto", where: str = "") -> str:
    """What the classifier's output is.

    Args:
        classifier: A model with one input and one output.
        output_is: The setting ``--output_is``; ``auto`` to read it off the model.
        where: What the model is called in messages, for example its flag and file.

    Returns:
        ``logits``, ``multilabel_logits`` or ``probabilities``.

    Raises:
        InputError: If it cannot be read off the model.
    """
    if output_is != "auto":
        return output_is
    kind, origin = _kind(_Place(classifier.outputs[0]))
    if kind is None:
        choices = ", ".join(kind for kind in OUTPUT_KINDS if kind != "auto")
        raise InputError(
            f"--output_is: {where or classifier.name} ends in {origin}, which does not tell logits "
            f"from probabilities; expected one of {choices}"
        )
    return kind


def ends_in_probabilities(classifier: keras.Model) -> bool:
    """Whether the classifier itself applies a sigmoid or softmax, as far as it can be told."""
    return _kind(_Place(classifier.outputs[0]))[0] == "probabilities"


def probabilities_of(outputs: np.ndarray, kind: str) -> np.ndarray:
    """Probabilities of all classes.

    Args:
        outputs: (batch, ...) outputs of a classifier; at most one axis is longer than 1.
        kind: What they are; see `kind_of_output`.

    Returns:
        (batch, classes) float32 from 0 to 1: the sigmoid of one logit, or of each of several
        independent ones; the softmax of the logits of exclusive classes.
    """
    import scipy.special

    values = np.asarray(outputs).astype(np.float64)
    values = values.reshape(len(values), math.prod(values.shape[1:]))
    if kind == "logits" and values.shape[1] > 1:
        values = scipy.special.softmax(values, axis=1)
    elif kind != "probabilities":
        values = scipy.special.expit(values)
    return values.astype(np.float32)


def num_classes(classifier: keras.Model) -> int | None:
    """How many classes the output has; None where it has more axes, for example time."""
    sizes = [size for size in classifier.outputs[0].shape[1:] if size != 1]
    return None if len(sizes) > 1 or None in sizes else math.prod(sizes)


def names_of_output(classifier: keras.Model) -> frozenset[str]:
    """Names of the layers whose unit i belongs to class i of the output.

    These are the last layer and those before it that only reshape, or whose softmax or sigmoid is
    taken; ``NAME_pre`` is what goes into the softmax or sigmoid of ``NAME``, and ``model.layer`` a
    layer of a nested model. None if the output has more axes than that of the classes.
    """
    count = num_classes(classifier)
    if count is None:
        return frozenset()
    names = {"output"} - {layer.name for layer in classifier.layers}
    place: _Place | None = _Place(classifier.outputs[0])
    while place is not None:
        made = _origin(place)
        operation = made.operation
        if count in (1, place.tensor.shape[-1]) and len(operation._inbound_nodes) == 1:
            name = given_name(".".join((*made.path, operation.name)))
            names |= {name, f"{name}_pre"} if _activation(operation) in _PROBABILITIES else {name}
        keeps_units = _only_reshapes(operation) or (
            _activation(operation) is not None and not getattr(operation, "weights", ())
        )
        place = made.sources[0] if keeps_units and len(made.sources) == 1 else None
    return frozenset(names)


class _Place(NamedTuple):
    """A tensor, and the calls of nested models that it lies in, the outermost first."""

    tensor: keras.KerasTensor
    calls: tuple[Any, ...] = ()


class _Origin(NamedTuple):
    """What made a tensor: a layer or operation in the models of ``path``, from ``sources``."""

    operation: Any
    path: tuple[str, ...]
    sources: list[_Place]


def _origin(place: _Place) -> _Origin:
    """Goes into nested models, and out of them at their input."""
    operation, node_index, tensor_index = place.tensor._keras_history
    node = operation._inbound_nodes[node_index]
    if isinstance(operation, keras.layers.InputLayer) and place.calls:
        *outer, call = place.calls
        position = [one is place.tensor for one in call.operation.inputs].index(True)
        return _origin(_Place(call.input_tensors[position], tuple(outer)))
    if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
        return _origin(_Place(operation.outputs[tensor_index], (*place.calls, node)))
    path = tuple(call.operation.name for call in place.calls)
    return _Origin(operation, path, [_Place(one, place.calls) for one in node.input_tensors])


def _kind(place: _Place) -> tuple[str | None, str]:
    """(logits, probabilities or None for unknown; the layer that decides it)."""
    operation, _, sources = _origin(place)
    if isinstance(operation, keras.layers.TimeDistributed):
        operation = operation.layer
    name = f"{operation.name!r} ({type(operation).__name__})"
    if _only_reshapes(operation) or _selects_or_pools(operation):
        kinds = {_kind(source) for source in sources}
        return kinds.pop() if len({kind for kind, _ in kinds}) == 1 else (None, name)
    if _activation(operation) in _PROBABILITIES:
        return "probabilities", name
    if _activation(operation) in _LOGITS or _is_named(operation, _LINEAR):
        return "logits", name
    if _is_named(operation, _AFFINE) and {_kind(source)[0] for source in sources} == {"logits"}:
        return "logits", name  # For example divided by a temperature.
    return None, name


def _activation(operation: Any) -> str | None:
    """Name of the activation function that an operation of Keras ends in."""
    if not _is_of_keras(operation) or isinstance(operation, keras.layers.RNN):
        return None  # The activation of a recurrent layer is not the last thing that it does.
    activation = getattr(operation, "activation", None)
    if activation is None:
        return _OPERATIONS_WITH_ACTIVATION.get(type(operation).__name__)
    name = getattr(activation, "__name__", "")
    return name if getattr(keras.activations, name, None) is activation else None


def _only_reshapes(operation: Any) -> bool:
    """Whether the same values come out in the same order."""
    is_linear = isinstance(operation, keras.layers.Activation) and (
        _activation(operation) == "linear"
    )
    return is_linear or _is_named(operation, _RESHAPING) or _is_in(operation, "regularization")


def _selects_or_pools(operation: Any) -> bool:
    """Whether what comes out are some of the values, or means or extremes of them."""
    return (
        isinstance(operation, _SELECTING_LAYERS)
        or _is_in(operation, "pooling")
        or _is_named(operation, _SELECTING)
    )


def _is_in(operation: Any, package: str) -> bool:
    return type(operation).__module__.startswith(f"keras.src.layers.{package}.")


def _is_named(operation: Any, names: set[str]) -> bool:
    return _is_of_keras(operation) and type(operation).__name__ in names


def _is_of_keras(operation: Any) -> bool:
    return type(operation).__module__.startswith("keras.")
