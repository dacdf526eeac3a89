"""Classifier responses f_a (Section 2): what activation maximization drives up or down.

A response is named by a small grammar, or is any differentiable Python function of the named
activations::

    logit                   mean of the layer ``logit``: with one output, the logit itself
    fc2:17                  unit 17 of ``fc2``
    conv3                   mean of ``conv3`` over time, mel and channels
    conv3:5                 mean of channel 5 of ``conv3`` over time and mel
    backbone.edges:2        unit 2 of ``edges``, a layer of the model ``backbone`` inside
    shared#2:1              unit 1 of ``shared``, a layer that is called twice, at its second call
    'my layer':2            any name, in quotes or without them
    logit - 0.5 * conv1     sums and differences with weights

`svdam.explain.activations` lists what has a name. ``output`` is the model's own output. A layer is
named after its activation function, and with ``_pre`` before it: SVDNet has ``conv1`` ... ``fc2``
after their leaky ReLU and ``conv1_pre`` ... ``fc2_pre`` before, and a layer of a user's model,
``Dense(64, activation="relu", name="hidden")``, is ``hidden`` and ``hidden_pre``.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping

import keras
import tensorflow as tf

from svdam.core.validation import InputError, is_number, quoted_list
from svdam.explain.activations import Activations

Response = str | Callable[[Mapping[str, tf.Tensor]], tf.Tensor]

_NUMBER = r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+"
_NAME = r"[A-Za-z_][\w./#\[\]]*"


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


def parse_response(text: str, names: Iterable[str] = ()) -> tuple[Term, ...]:
    """Parses the grammar above.

    Args:
        text: The response.
        names: Names that are known. They are found whatever characters they are made of, the
            longest first; so ``conv-1`` is the layer of this name, if there is one.

    Raises:
        InputError: Naming the place that does not parse.
    """
    term = _term_pattern(names)
    terms: list[Term] = []
    position = 0
    while position < len(text):
        match = term.match(text, position)
        if not match or (terms and not match["sign"]):
            raise InputError(
                f"--response: cannot read {text[position:].strip()!r} in {text!r}; expected terms "
                "like logit, fc2:17, 0.5 * conv3 or 'a name in quotes':2, joined by + or -"
                + (f"; the names are {quoted_list(list(names), limit=60)}" if names else "")
            )
        weight = float(match["weight"] or 1) * (-1 if match["sign"] == "-" else 1)
        unit = None if match["unit"] is None else int(match["unit"])
        if not is_number(weight):
            raise InputError(f"--response: the weight {match['weight']!r} is not finite")
        terms.append(Term(weight, match["layer"] or match["quoted"][1:-1], unit))
        position = match.end()
    if not terms:
        raise InputError("--response: is empty; expected for example logit")
    return tuple(terms)


def named_layers(response: Response) -> list[str]:
    """Names of the layers and outputs that a response is made of.

    None for a Python function, and for names that are told from the rest only by those who know the
    names of the model.
    """
    try:
        return [] if callable(response) else [term.layer for term in parse_response(response)]
    except InputError:
        return []


def _term_pattern(names: Iterable[str]) -> re.Pattern:
    known = [re.escape(name) for name in sorted(names, key=len, reverse=True)]
    return re.compile(
        rf"\s*(?P<sign>[+-]?)\s*(?:(?P<weight>{_NUMBER})\s*\*\s*)?"
        rf"(?:(?P<layer>{'|'.join([*known, _NAME])})|(?P<quoted>'[^']+'|\"[^\"]+\"))"
        r"(?:\s*:\s*(?P<unit>\d+))?\s*(?=[+-]|\Z)"
    )


def response_function(
    classifier: keras.Model, response: Response = "logit"
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Builds f_a over f_n: from excerpts to one response each.

    Args:
        classifier: Any Keras model that tells the shape of its input. Layers can be named in
            functional, sequential and subclassed models, and in models inside of them.
        response: The grammar above, or a function from a mapping of names
            (`svdam.explain.activations`) to activations of shape (batch, ...), to (batch,)
            responses.

    Returns:
        A function from (batch, frames, mels, 1) excerpts to (batch,) responses, in float32 at least
        (layers of a bfloat16 model are cast before they are averaged). It can be differentiated.

    Raises:
        InputError: If a layer or a unit does not exist; the message lists what does.
    """
    activations = Activations(classifier)
    if callable(response):
        return lambda excerpts: _checked_shape(response(_cast(activations(excerpts))))
    terms = parse_response(response, activations.shapes)
    for term in terms:
        _validate_term(term, activations)

    def respond(excerpts: tf.Tensor) -> tf.Tensor:
        """(batch,) responses of (batch, frames, mels, 1) excerpts."""
        named = activations(excerpts)
        used = _cast({term.layer: named[term.layer] for term in terms})
        return tf.add_n([_term_value(term, used[term.layer], activations) for term in terms])

    return respond


def _cast(activations: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {
        name: tf.cast(value, tf.float32) if value.dtype in (tf.bfloat16, tf.float16) else value
        for name, value in activations.items()
    }


def _validate_term(term: Term, activations: Activations) -> None:
    activations.require(term.layer, "response")
    if term.unit is None:
        return
    shape = activations.shapes[term.layer]
    units = shape[activations.unit_axes[term.layer]] if len(shape) > 1 else 1
    if units is None:
        raise InputError(
            f"--response: {term.layer} has an open number of units; name it without :{term.unit}"
        )
    if term.unit >= units:
        raise InputError(
            f"--response: {term.layer} has no unit {term.unit}; its units are 0 to {units - 1}"
        )


def _term_value(term: Term, activation: tf.Tensor, activations: Activations) -> tf.Tensor:
    if term.unit is not None and activation.shape.rank > 1:
        place = slice(term.unit, term.unit + 1)
        is_last = activations.unit_axes[term.layer] == -1
        activation = activation[..., place] if is_last else activation[:, place]
    axes = list(range(1, activation.shape.rank))
    return term.weight * tf.reduce_mean(activation, axis=axes)


def _checked_shape(responses: tf.Tensor) -> tf.Tensor:
    if responses.shape.rank != 1:
        raise InputError(
            f"response function: returned shape {tuple(responses.shape)}, expected (batch,)"
        )
    return responses
