"""Classifier responses f_a (Section 2): what activation maximization drives up or down.

A response is named by a small grammar, or is any differentiable Python function of the named
activations::

    logit                   mean of the layer ``logit``: with one output, the logit itself
    fc2:17                  unit 17 of ``fc2``
    conv3                   mean of ``conv3`` over time, mel and channels
    conv3:5                 mean of channel 5 of ``conv3`` over time and mel
    logit - 0.5 * conv1     sums and differences with weights

Names are those of the model's layers; ``output`` is the model's last one, whatever its name. A
layer is named after its activation function, and with ``_pre`` before it: SVDNet has ``conv1`` ...
``fc2`` after their leaky ReLU and ``conv1_pre`` ... ``fc2_pre`` before, and a layer of a user's
model, ``Dense(64, activation="relu", name="hidden")``, is ``hidden`` and ``hidden_pre``.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from svdam.core.validation import InputError, is_number, quoted_list

Response = str | Callable[[Mapping[str, tf.Tensor]], tf.Tensor]

_TERM = re.compile(
    r"\s*(?P<sign>[+-]?)\s*(?:(?P<weight>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)\s*\*\s*)?"
    r"(?P<layer>[A-Za-z_][\w./]*)(?:\s*:\s*(?P<unit>\d+))?\s*"
)

_WITH_ACTIVATION = (
    keras.layers.Activation,
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
"""Layers whose ``activation`` is the last thing they do (a recurrent layer's is not)."""


@dataclasses.dataclass(frozen=True)
class Term:
    """One summand of a response: ``weight`` times a layer's mean, or times one unit of it."""

    weight: float
    layer: str
    unit: int | None

    def __str__(self):
        unit = "" if self.unit is None else f":{self.unit}"
        weight = "" if self.weight == 1 else "-" if self.weight == -1 else f"{self.weight:g} * "
        return f"{weight}{self.layer}{unit}"


def parse_response(text: str) -> tuple[Term, ...]:
    """Parses the grammar above.

    Raises:
        InputError: Naming the place that does not parse.
    """
    terms: list[Term] = []
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if not match or (terms and not match["sign"]):
            raise InputError(
                f"--response: cannot read {text[position:].strip()!r} in {text!r}; expected terms "
                "like logit, fc2:17 or 0.5 * conv3, joined by + or -"
            )
        weight = float(match["weight"] or 1) * (-1 if match["sign"] == "-" else 1)
        unit = None if match["unit"] is None else int(match["unit"])
        if not is_number(weight):
            raise InputError(f"--response: the weight {match['weight']!r} is not finite")
        terms.append(Term(weight, match["layer"], unit))
        position = match.end()
    if not terms:
        raise InputError("--response: is empty; expected for example logit")
    return tuple(terms)


def named_layers(response: Response) -> list[str]:
    """Names of the layers and outputs that a response is made of; none for a Python function."""
    return [] if callable(response) else [term.layer for term in parse_response(response)]


def response_function(
    classifier: keras.Model, response: Response = "logit"
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Builds f_a over f_n: from excerpts to one response each.

    Args:
        classifier: Any Keras model; to name inner layers it must be functional or sequential.
        response: The grammar above, or a function from a mapping of layer names to activations, of
            shape (batch, ...), to (batch,) responses.

    Returns:
        A function from (batch, frames, mels, 1) excerpts to (batch,) responses, in float32 at least
        (layers of a bfloat16 model are cast before they are averaged). It can be differentiated.

    Raises:
        InputError: If a layer or a unit does not exist; the message lists what does.
    """
    outputs = named_activations(classifier)
    if callable(response):
        model = keras.Model(classifier.inputs[0], outputs)
        return lambda excerpts: _checked_shape(response(_cast(model(excerpts, training=False))))
    terms = parse_response(response)
    for term in terms:
        _validate_term(term, outputs)
    used = {term.layer: outputs[term.layer] for term in terms}
    model = keras.Model(classifier.inputs[0], used)

    def respond(excerpts: tf.Tensor) -> tf.Tensor:
        """(batch,) responses of (batch, frames, mels, 1) excerpts."""
        activations = _cast(model(excerpts, training=False))
        return tf.add_n([_term_value(term, activations[term.layer]) for term in terms])

    return respond


def named_activations(classifier: keras.Model) -> dict[str, keras.KerasTensor]:
    """All activations that a response can name.

    One for each layer, ``NAME_pre`` for those with an activation function inside, and ``output``.
    """
    layers = [layer for layer in getattr(classifier, "layers", []) if _is_named(layer)]
    outputs = {layer.name: layer.output for layer in layers}
    outputs.setdefault("output", classifier.outputs[0])
    for layer in layers:
        name = f"{layer.name}_pre"
        if name not in outputs and _has_activation(layer):
            outputs[name] = _before_activation(layer, name)
    return outputs


def _is_named(layer: keras.layers.Layer) -> bool:
    """Whether the layer makes one tensor, once."""
    nodes = getattr(layer, "_inbound_nodes", [])
    is_input = isinstance(layer, keras.layers.InputLayer)
    return len(nodes) == 1 and not is_input and isinstance(layer.output, keras.KerasTensor)


def _has_activation(layer: keras.layers.Layer) -> bool:
    is_linear = getattr(layer, "activation", None) in (None, keras.activations.linear)
    return isinstance(layer, _WITH_ACTIVATION) and not is_linear


def _before_activation(layer: keras.layers.Layer, name: str) -> keras.KerasTensor:
    """What goes into the activation function of ``layer``: the output of a linear copy of it."""
    copy = type(layer).from_config({**layer.get_config(), "name": name, "activation": "linear"})
    output = copy(layer.input)
    copy.set_weights(layer.get_weights())
    return output


def _cast(activations: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {
        name: tf.cast(value, tf.float32) if value.dtype in (tf.bfloat16, tf.float16) else value
        for name, value in activations.items()
    }


def _validate_term(term: Term, outputs: Mapping[str, keras.KerasTensor]) -> None:
    if term.layer not in outputs:
        raise InputError(
            f"--response: the classifier has no layer {term.layer!r}; it has "
            f"{quoted_list(list(outputs), limit=60)}"
        )
    units = outputs[term.layer].shape[-1]
    if term.unit is not None and term.unit >= units:
        raise InputError(
            f"--response: {term.layer} has no unit {term.unit}; its units are 0 to {units - 1}"
        )


def _term_value(term: Term, activation: tf.Tensor) -> tf.Tensor:
    if term.unit is not None:
        activation = activation[..., term.unit : term.unit + 1]
    axes = list(range(1, activation.shape.rank))
    return term.weight * tf.reduce_mean(activation, axis=axes)


def _checked_shape(responses: tf.Tensor) -> tf.Tensor:
    if responses.shape.rank != 1:
        raise InputError(
            f"response function: returned shape {tuple(responses.shape)}, expected (batch,)"
        )
    return responses
