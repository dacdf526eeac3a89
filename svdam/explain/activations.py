"""What the layers of a classifier compute, by name.

The classifier itself is run, and its layers are listened to meanwhile. So a layer is found wherever
it is, and its activation is the one that this output was computed from:

- ``edges`` is the output of the layer of that name, ``backbone.edges`` the output of a layer of
  ``backbone``, a model inside the classifier, at any depth.
- ``edges_pre`` is what goes into its activation function.
- ``edges#1`` and ``edges#2`` are the calls of a layer that is called twice, in their order.
- ``lstm[0]``, or ``lstm[state]``, is one output of a layer with several.
- ``output`` is the output of the classifier, whatever the name of its last layer.
"""

import collections
import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from svdam.core.validation import InputError, quoted_list
from svdam.models.batches import in_batches
from svdam.models.names import call_numbers, given_name, graph_names, nested_layers
from svdam.models.shapes import fitted_model, plain_model

_ACTIVATION_LAYERS = (
    *(keras.layers.ELU, keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ReLU),
    keras.layers.Softmax,
)


class Activations:
    """The activations of a classifier: a function from a batch of excerpts to all of them by name.

    Attributes:
        shapes: Shape of each activation, in the order of computation; the batch is the first
            dimension.
        unit_axes: Axis of its units, by name: the last one, or 1 for channels that come first.
        left_out: Why other layers cannot be named.
    """

    def __init__(self, classifier: keras.Model):
        """Runs ``classifier`` once symbolically.

        Raises:
            InputError: If it is not a model from one tensor of known shape to one tensor.
        """
        classifier = plain_model(classifier, "--classifier: it")
        self._classifier = classifier
        self._layers = list(nested_layers(classifier))
        self.unit_axes: dict[str, int] = {}
        self.left_out: dict[str, str] = {}
        excerpt = classifier.inputs[0]
        spec = tf.TensorSpec((None, *excerpt.shape[1:]), excerpt.dtype)
        outputs = tf.function(self).get_concrete_function(spec).structured_outputs
        self.shapes = {name: tuple(value.shape) for name, value in outputs.items()}

    def __call__(self, excerpts: Any) -> dict[str, tf.Tensor]:
        """Activations of (batch, ...) excerpts by name. `tf.function` skips those not used."""
        listener = _Listener(self._classifier)
        with graph_names(self._classifier), listener.attached(self._layers):
            outputs = self._classifier(excerpts, training=False)
        found = self._nameable(listener.named(), _graph(keras.tree.flatten(outputs)[0]))
        if tf.is_tensor(outputs) and "output" not in found:
            same = [name for name, tensor in found.items() if tensor is outputs]
            self.unit_axes["output"] = self.unit_axes[same[-1]] if same else -1
            found["output"] = outputs
        return found

    def require(self, name: str, flag: str) -> None:
        """Raises InputError, which lists what there is, unless ``name`` can be named."""
        if name in self.shapes:
            return
        several = [one for one in self.shapes if re.sub(r"#\d+|\[.*?\]", "", one) == name]
        if several:
            raise InputError(
                f"--{flag}: {name!r} is called several times or has several outputs; name one: "
                f"{quoted_list(sorted(several), limit=60)}"
            )
        reason = f" ({self.left_out[name]})" if name in self.left_out else ""
        raise InputError(
            f"--{flag}: the classifier has no layer {name!r}{reason}; it has "
            f"{quoted_list(list(self.shapes), limit=60)}"
        )

    def _nameable(
        self, heard: list[tuple[str, keras.Layer, Any]], graph: Any
    ) -> dict[str, tf.Tensor]:
        """The tensors of ``graph`` that a response can be made of."""
        counts = collections.Counter(name for name, _, _ in heard)
        is_channels_first = any(map(_has_channels_first, self._layers))
        found = {}
        for name, layer, tensor in heard:
            if counts[name] > 1:
                self.left_out[name] = "two layers have this name"
            elif _graph(tensor) is not graph:
                self.left_out[name] = "it is computed inside a loop"
            elif not tensor.dtype.is_floating:
                self.left_out[name] = f"its values are {tensor.dtype.name}"
            elif not tensor.shape.rank:
                self.left_out[name] = "it is not one value per excerpt"
            else:
                found[name] = tensor
                first = _has_channels_first(layer)
                if not hasattr(layer, "data_format"):
                    first = is_channels_first and tensor.shape.rank == 4
                self.unit_axes[name] = 1 if first and tensor.shape.rank > 2 else -1
        return found


def layer_units(
    classifier: keras.Model, layer: str, excerpt_shape: tuple[int, ...], flag: str = "layer"
) -> Callable[[np.ndarray], np.ndarray]:
    """The activations of all units of a layer, as a function.

    Args:
        classifier: A model that tells the shape of its input.
        layer: Name of one of its layers.
        excerpt_shape: (frames, mels, 1).
        flag: Name of the flag that named the layer, for messages.

    Returns:
        A function from (N, frames, mels, 1) excerpts to (N, units) activations.

    Raises:
        InputError: If there is no such layer.
    """
    activations = Activations(fitted_model(classifier, excerpt_shape, "--classifier: it"))
    activations.require(layer, flag)

    @tf.function(reduce_retracing=True)
    def units(excerpts):
        return tf.reshape(activations(excerpts)[layer], (tf.shape(excerpts)[0], -1))

    return lambda excerpts: in_batches(units, excerpts)


class _Heard(NamedTuple):
    """A tensor that a layer computed.

    Attributes:
        place: The models around the layer and the layer itself: their names, and which of their
            calls it was, from 1.
        suffix: What to add to the name.
        layer: The layer.
        tensor: What it computed.
    """

    place: tuple[tuple[str, int], ...]
    suffix: str
    layer: keras.Layer
    tensor: Any


class _Listener:
    """Hears what layers compute while a model runs."""

    def __init__(self, model: keras.Model):
        self._numbers = call_numbers(model)  # In the model that is running.
        self._around: tuple[tuple[str, int], ...] = ()
        self._calls: collections.Counter = collections.Counter()
        self._outputs: list[_Heard] = []
        self._befores: list[_Heard] = []

    @contextlib.contextmanager
    def attached(self, layers: list[keras.Layer]) -> Iterator[None]:
        """Context in which the calls of ``layers`` are heard."""
        own = [vars(layer).get("call") for layer in layers]
        try:
            for layer in layers:
                layer.call = self._heard(layer)
            yield
        finally:
            for layer, call in zip(layers, own, strict=True):
                vars(layer).pop("call", None)
                if call is not None:
                    layer.call = call

    def named(self) -> list[tuple[str, keras.Layer, Any]]:
        """(name, layer, tensor) of all that was heard; names may occur twice."""
        outputs = [(self._name(one), one.layer, one.tensor) for one in self._outputs]
        taken = {name for name, _, _ in outputs}
        befores = [(self._name(one), one.layer, one.tensor) for one in self._befores]
        # SVDNet has layers named conv1_pre themselves.
        return outputs + [one for one in befores if one[0] not in taken]

    def _heard(self, layer: keras.Layer) -> Callable:
        """The call of a layer, which is noted."""
        call = layer.call

        def heard(*args, **kwargs):
            around, numbers, name = self._around, self._numbers, given_name(layer.name)
            self._calls[*around, name] += 1
            number = self._calls[*around, name]
            if id(layer) in numbers:
                number = numbers[id(layer)][number - 1]
            self._around = place = (*around, (name, number))
            if isinstance(layer, keras.Model):
                self._numbers = call_numbers(layer)
            try:
                with _watched_activation(layer) as seen:
                    outputs = call(*args, **kwargs)
            finally:
                self._around, self._numbers = around, numbers
            for path, tensor in keras.tree.flatten_with_path(outputs):
                if tf.is_tensor(tensor):
                    suffix = "".join(f"[{step}]" for step in path)
                    self._outputs.append(_Heard(place, suffix, layer, tensor))
            before = args[0] if isinstance(layer, _ACTIVATION_LAYERS) else None
            for x, y in seen:
                before = x if y is outputs else before  # The last thing that the layer did.
            if before is not None:
                self._befores.append(_Heard(place, "_pre", layer, before))
            return outputs

        return heard

    def _name(self, one: _Heard) -> str:
        steps = []
        for depth, (name, number) in enumerate(one.place):
            is_only = self._calls[*one.place[:depth], name] == 1
            steps.append(name if is_only else f"{name}#{number}")
        return ".".join(steps) + one.suffix


@contextlib.contextmanager
def _watched_activation(layer: keras.Layer) -> Iterator[list[tuple[Any, Any]]]:
    """Context in which what goes into and comes out of a layer's activation function is noted."""
    function = vars(layer).get("activation")
    seen: list[tuple[Any, Any]] = []
    if not callable(function) or function is keras.activations.linear:
        yield seen
        return

    def watched(x, *args, **kwargs):
        y = function(x, *args, **kwargs)
        seen.append((x, y))
        return y

    layer.activation = watched
    try:
        yield seen
    finally:
        layer.activation = function


def _graph(tensor: Any) -> Any:
    """The graph that a tensor belongs to; None in eager execution."""
    return None if tf.executing_eagerly() else tensor.graph


def _has_channels_first(layer: keras.Layer) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"
