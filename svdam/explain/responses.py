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
    sigmoid(logits:3)       probability of one of several independent labels, from its logit
    softmax(logits:3)       probability of one of several exclusive classes

`expand_responses` reads lists of them, ``fc2:3,logit``, in which ``fc2:*`` stands for every unit.

`svdam.explain.activations` lists what has a name. ``output`` is the model's own output. A layer is
named after its activation function, and with ``_pre`` before it: SVDNet has ``conv1`` ... ``fc2``
after their leaky ReLU and ``conv1_pre`` ... ``fc2_pre`` before, and a layer of a user's model,
``Dense(64, activation="relu", name="hidden")``, is ``hidden`` and ``hidden_pre``.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from svdam.core.validation import InputError, is_number, quoted_list
from svdam.explain.activations import Activations

Response = str | Callable[[Mapping[str, tf.Tensor]], tf.Tensor]

_NUMBER = r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+"
_NAME = r"[A-Za-z_][\w./#\[\]]*"
_FUNCTIONS = ("sigmoid", "softmax")


@dataclasses.dataclass(frozen=True)
class Term:
    """One summand of a response: ``weight`` times a layer's mean, or times one unit of it.

    ``function``, sigmoid or softmax, is applied to the layer before.
    """

    weight: float
    layer: str
    unit: int | None
    function: str | None = None

    def __str__(self):
        unit = "" if self.unit is None else f":{self.unit}"
        weight = "" if self.weight == 1 else "-" if self.weight == -1 else f"{self.weight:g} * "
        measured = f"{self.layer}{unit}"
        return weight + (f"{self.function}({measured})" if self.function else measured)


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
        layer = match["layer"] or match["quoted"][1:-1]
        terms.append(Term(weight, layer, unit, match["function"]))
        position = match.end()
    if not terms:
        raise InputError("--response: is empty; expected e.g. logit")
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
        rf"(?:(?P<function>{'|'.join(_FUNCTIONS)})\s*\(\s*)?"
        rf"(?:(?P<layer>{'|'.join([*known, _NAME])})|(?P<quoted>'[^']+'|\"[^\"]+\"))"
        r"(?:\s*:\s*(?P<unit>\d+))?(?(function)\s*\))\s*(?=[+-]|\Z)"
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
    return _response_function(Activations(classifier), response)


def _response_function(
    activations: Activations, response: Response
) -> Callable[[tf.Tensor], tf.Tensor]:
    if callable(response):
        return lambda excerpts: _checked_shape(response(_cast(activations(excerpts))))
    terms = _parse_known(response, activations)

    def respond(excerpts: tf.Tensor) -> tf.Tensor:
        """(batch,) responses of (batch, frames, mels, 1) excerpts."""
        named = activations(excerpts)
        used = _cast({term.layer: named[term.layer] for term in terms})
        return tf.add_n([_term_value(term, used, activations) for term in terms])

    return respond


def split_responses(text: str) -> list[str]:
    """The responses in a list that is joined by commas; commas inside quotes belong to a name."""
    parts = re.findall(r"(?:'[^']*'|\"[^\"]*\"|[^,])+", text) or [text]
    return [part.strip() for part in parts]


def expand_responses(classifier: keras.Model, text: str) -> list[str]:
    """The responses in a list such as ``fc2:*,logit``; ``fc2:*`` is every unit of ``fc2``.

    Args:
        classifier: See `response_function`.
        text: Responses joined by commas. Commas inside quotes belong to a name.

    Returns:
        Each response in the grammar above, in order.

    Raises:
        InputError: If a response cannot be read, does not exist, or comes twice.

    Example:
        ```python
        expand_responses(classifier, "fc2:*,logit")  # ["fc2:0", ..., "fc2:63", "logit"]
        ```
    """
    activations = Activations(classifier)
    responses: list[str] = []
    for part in split_responses(text):
        match = re.fullmatch(r"(.*:\s*)\*", part, re.DOTALL)
        if not match:
            _parse_known(part, activations)
            responses.append(part)
            continue
        layer = _parse_known(f"{match[1]}0", activations)[-1].layer
        responses.extend(f"{match[1]}{unit}" for unit in range(_num_units(layer, activations)))
    if repeated := sorted({one for one in responses if responses.count(one) > 1}):
        raise InputError(f"--response: {quoted_list(repeated, limit=6)} is named twice in {text!r}")
    return responses


def response_list(response: Response | Sequence[Response]) -> list[Response]:
    """The responses of an argument that may be a single one."""
    return [response] if callable(response) or isinstance(response, str) else list(response)


def response_table(
    classifier: keras.Model, responses: Sequence[Response]
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Builds a function that measures another response of each excerpt.

    Whatever the number of responses, the classifier runs once: a response of the grammar is a
    weighted sum of means of layers and units, and each excerpt takes those that it needs.

    Args:
        classifier: See `response_function`.
        responses: What can be measured.

    Returns:
        A function of (batch, frames, mels, 1) excerpts and (batch,) integers, positions in
        ``responses``, to (batch,) responses. It can be differentiated.

    Raises:
        InputError: As `response_function` does, or if there is no response.
    """
    if not responses:
        raise InputError("response: is an empty list; expected at least one response")
    activations = Activations(classifier)
    if len(responses) == 1:
        respond = _response_function(activations, responses[0])
        return lambda excerpts, places: respond(excerpts)
    functions = {i: one for i, one in enumerate(responses) if callable(one)}
    terms = [() if callable(one) else _parse_known(one, activations) for one in responses]
    weighted = _weighted_means(terms, activations) if any(terms) else None

    def respond_each(excerpts: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """(batch,) responses of (batch, frames, mels, 1) excerpts, by (batch,) places."""
        named = activations(excerpts)
        parts = [] if weighted is None else [weighted(named, places)]
        for number, function in functions.items():
            # Each function sees its own excerpts alone, so that none spoils another's gradient.
            rows = tf.where(places == number)
            mine = {name: tf.gather_nd(value, rows) for name, value in named.items()}
            values = _checked_shape(function(_cast(mine)))
            parts.append(tf.scatter_nd(rows, values, tf.shape(places, tf.int64)))
        return tf.add_n(parts)

    return respond_each


def response_matrix(
    classifier: keras.Model, responses: Sequence[str]
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Builds a function that measures all responses of every excerpt; the classifier runs once.

    Args:
        classifier: See `response_function`.
        responses: Responses in the grammar above.

    Returns:
        A function from (batch, frames, mels, 1) excerpts to (batch, responses) responses.

    Raises:
        InputError: As `response_table` does.
    """
    if not responses:
        raise InputError("response: is an empty list; expected at least one response")
    activations = Activations(classifier)
    means, columns, weights = _blocks(
        [_parse_known(one, activations) for one in responses], activations
    )

    def respond(excerpts: tf.Tensor) -> tf.Tensor:
        """(batch, responses) of (batch, frames, mels, 1) excerpts."""
        chosen = tf.gather(means(activations(excerpts)), columns, axis=1)
        return tf.reduce_sum(tf.cast(weights, chosen.dtype) * chosen, axis=2)

    return respond


def _weighted_means(
    terms: Sequence[tuple[Term, ...]], activations: Activations
) -> Callable[[Mapping[str, tf.Tensor], tf.Tensor], tf.Tensor]:
    """From activations and (batch,) places in ``terms`` to (batch,) sums; 0 where there is none."""
    means, columns, weights = _blocks(terms, activations)

    def weighted(named: Mapping[str, tf.Tensor], places: tf.Tensor) -> tf.Tensor:
        chosen = tf.gather(means(named), tf.gather(columns, places), batch_dims=1)
        return tf.reduce_sum(tf.cast(tf.gather(weights, places), chosen.dtype) * chosen, axis=1)

    return weighted


def _blocks(
    terms: Sequence[tuple[Term, ...]], activations: Activations
) -> tuple[Callable[[Mapping[str, tf.Tensor]], tf.Tensor], np.ndarray, np.ndarray]:
    """All means that sums of terms are made of, and which of them each sum takes.

    Returns:
        A function from activations to (batch, means); (terms, summands) columns of these, and
        their weights, 0 where a sum has fewer summands.
    """
    blocks = dict.fromkeys(map(_block, itertools.chain(*terms)))
    sizes = [1 if whole else _num_units(layer, activations) for layer, _, whole in blocks]
    first = dict(zip(blocks, np.cumsum([0, *sizes[:-1]]), strict=True))
    columns = np.zeros((len(terms), max(map(len, terms))), np.int32)
    weights = np.zeros(columns.shape)
    for row, sum_ in enumerate(terms):
        for place, term in enumerate(sum_):
            columns[row, place] = first[_block(term)] + (term.unit or 0)
            weights[row, place] = term.weight

    def means(named: Mapping[str, tf.Tensor]) -> tf.Tensor:
        used = _cast({layer: named[layer] for layer, _, _ in blocks})
        return tf.concat([_means(*block, used, activations) for block in blocks], axis=1)

    return means, columns, weights


def _block(term: Term) -> tuple[str, str | None, bool]:
    """What a term is a part of: a layer, the function of it, and whether all of it is averaged."""
    return term.layer, term.function, term.unit is None


def _means(
    layer: str,
    function: str | None,
    whole: bool,
    used: Mapping[str, tf.Tensor],
    activations: Activations,
) -> tf.Tensor:
    """(batch, 1) means of a whole layer, or (batch, units) means of its units."""
    activation = _applied(function, layer, used, activations)
    axes = set(range(1, activation.shape.rank))
    if not whole and axes:
        axes.remove(activations.unit_axes[layer] % activation.shape.rank)
    means = tf.reduce_mean(activation, axis=sorted(axes))
    return means if means.shape.rank == 2 else means[:, tf.newaxis]


def _parse_known(text: str, activations: Activations) -> tuple[Term, ...]:
    """The terms of a response, all of which the classifier has."""
    terms = parse_response(text, activations.shapes)
    for term in terms:
        _validate_term(term, activations)
    return terms


def _cast(activations: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {
        name: tf.cast(value, tf.float32) if value.dtype in (tf.bfloat16, tf.float16) else value
        for name, value in activations.items()
    }


def _validate_term(term: Term, activations: Activations) -> None:
    activations.require(term.layer, "response")
    if term.function == "softmax" and _num_units(term.layer, activations) == 1:
        raise InputError(f"--response: {term}: the softmax of one unit is 1; expected sigmoid")
    if term.unit is None:
        return
    units = _num_units(term.layer, activations, f"; name it without :{term.unit}")
    if term.unit >= units:
        raise InputError(
            f"--response: {term.layer} has no unit {term.unit}; its units are 0 to {units - 1}"
        )


def _num_units(layer: str, activations: Activations, advice: str = "") -> int:
    shape = activations.shapes[layer]
    units = shape[activations.unit_axes[layer]] if len(shape) > 1 else 1
    if units is None:
        raise InputError(f"--response: {layer} has a variable number of units{advice}")
    return units


def _applied(
    function: str | None, layer: str, used: Mapping[str, tf.Tensor], activations: Activations
) -> tf.Tensor:
    """A layer's activation, or a function of it."""
    if function == "softmax":
        return tf.nn.softmax(used[layer], axis=activations.unit_axes[layer])
    return tf.sigmoid(used[layer]) if function == "sigmoid" else used[layer]


def _term_value(term: Term, used: Mapping[str, tf.Tensor], activations: Activations) -> tf.Tensor:
    activation = _applied(term.function, term.layer, used, activations)
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
