"""Outputs by the names that the classifier's model card gives them: ``tags:guitar``.

After ``tags``, or after the name of the output layer, a response may say the name of an output in
place of its number. Names are found whatever characters they are made of, as in ``tags:no vocals``
and ``tags:Hip-Hop``; quotes may be put around them. A number is always a number.
"""

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from svdam.core.validation import InputError, quoted_list
from svdam.explain.responses import expand_responses, split_responses
from svdam.models.loading import load_model, model_path
from svdam.models.probabilities import names_of_output, num_classes
from svdam.results.model_cards import ModelCard, model_card_path, read_model_card

TAGS = "tags"
"""What the output is called in responses whatever its layer is named, unless a layer has it."""

_OUTPUT_IS = {
    ("logits", "sigmoid"): "multilabel_logits",
    ("logits", "softmax"): "logits",
    ("probabilities", None): "probabilities",
    ("probabilities", "sigmoid"): "probabilities",
    ("probabilities", "softmax"): "probabilities",
}


def load_classifier(
    path: str | os.PathLike, *arguments: Any, flag: str = "classifier"
) -> keras.Model:
    """Loads a classifier with its model card.

    Args:
        path: See `svdam.models.loading.load_model`.
        *arguments: What `load_model` takes after the flag.
        flag: The flag that named it, for messages.

    Raises:
        InputError: If the model cannot be loaded, or its card is damaged or of another model.
    """
    return with_card(load_model(path, flag, *arguments), path)


def with_card(classifier: keras.Model, path: str | os.PathLike) -> keras.Model:
    """The classifier, which keeps the model card of the file that it was loaded from.

    Raises:
        InputError: If the card is damaged, of another model, or names another number of outputs.
    """
    path = model_path(path, "classifier")
    card = read_model_card(path)
    names, count = () if card is None else card.output_names, num_classes(classifier)
    if names and len(names) != count:
        raise InputError(
            f"{model_card_path(path)}: output_names: holds {len(names)} names, the model has "
            f"{count or 'another form of'} outputs"
        )
    classifier.model_card = card
    return classifier


def told_by_card(
    classifier: keras.Model, response: str, output_is: str, where: str
) -> tuple[str, str]:
    """Fills in what the classifier's model card says, if it has one (`with_card`).

    Args:
        classifier: The classifier.
        response: See `svdam.explain.responses`; it may name outputs as the card does.
        output_is: The setting ``--output_is``.
        where: The classifier's file, for messages.

    Returns:
        The response, which names outputs by number, and what the output is: what the card says if
        it was ``auto``.

    Raises:
        InputError: If the card has no such name.
    """
    card = getattr(classifier, "model_card", None)
    names = () if card is None else card.output_names
    numbered = numbered_outputs(response, names, _layers(classifier), where)
    return numbered, output_by_card(card, output_is)


def output_by_card(card: ModelCard | None, output_is: str) -> str:
    """The setting ``--output_is``, or what the model card says if it is ``auto``."""
    if card is None or output_is != "auto":
        return output_is
    return _OUTPUT_IS.get((card.outputs, card.activation), "auto")


def numbered_outputs(
    response: str, names: Sequence[str], layers: dict[str, str], where: str
) -> str:
    """Replaces names of outputs by their numbers; ``*``, for every output, is left as it is.

    Args:
        response: See `svdam.explain.responses`.
        names: Names of the outputs, in order.
        layers: Names that the output goes by, and what to call it instead.
        where: The classifier's file, for messages.

    Raises:
        InputError: If a name is not among ``names``.
    """

    def numbered(match: re.Match) -> str:
        name = match["name"].strip("'\"") if match["name"] not in names else match["name"]
        if name.isdecimal() or name == "*":
            return f"{layers[match['layer']]}:{name}"
        if name in names:
            return f"{layers[match['layer']]}:{names.index(name)}"
        if names:
            raise InputError(
                f"--response: {where} has no output {name!r}; its outputs are "
                f"{quoted_list(names, limit=60)}"
            )
        raise InputError(
            f"--response: nothing names the outputs of {where}; write {name!r} as a number, or "
            "give the model a card with output_names"
        )

    return _pattern(names, layers).sub(numbered, response)


def named_responses(classifier: keras.Model, text: str, where: str) -> dict[str, str]:
    """The responses in a list such as ``fc2:*`` or ``tags:guitar,tags:piano``, by their names.

    Args:
        classifier: The classifier; a model card that it keeps (`with_card`) may name its outputs.
        text: See `svdam.explain.responses.expand_responses`; outputs may be named as in the card.
        where: The classifier's file, for messages.

    Returns:
        Each response, which names outputs by number, by what people call it: what they wrote, or
        what every unit of a layer is called, e.g. ``fc2:17`` or ``tags:guitar``.

    Raises:
        InputError: If a response cannot be read, does not exist, or comes twice.
    """
    card = getattr(classifier, "model_card", None)
    names = () if card is None else card.output_names
    output_layers = _layers(classifier).values()
    found: dict[str, str] = {}
    for part in split_responses(text):
        response, _ = told_by_card(classifier, part, "auto", where)
        expanded = expand_responses(classifier, response)
        called = [part]
        if part.endswith("*"):
            is_output = names and expanded[0].rpartition(":")[0].strip() in output_layers
            called = [f"{part[:-1]}{names[i] if is_output else i}" for i in range(len(expanded))]
        for name, one in zip(called, expanded, strict=True):
            if name in found or one in found.values():
                raise InputError(f"--response: {name!r} is named twice in {text!r}")
            found[name] = one
    return found


def _pattern(names: Iterable[str], layers: Iterable[str]) -> re.Pattern:
    """A term's layer and unit; the unit is a number, a known name, or what stands there instead."""
    known = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    called = "|".join(map(re.escape, sorted(layers, key=len, reverse=True)))
    unit = rf"\d+|{known + '|' if known else ''}'[^']*'|\"[^\"]*\"|[^\s+-][^+)-]*?"
    return re.compile(
        rf"(?<![\w./#\[\]])(?P<layer>{called})\s*:\s*(?P<name>{unit})(?=\s*(?:[+)-]|\Z))"
    )


def _layers(classifier: keras.Model) -> dict[str, str]:
    """Names that the output goes by, and those that `svdam.explain.responses` knows."""
    layers = {name: name for name in names_of_output(classifier)}
    if TAGS not in {layer.name for layer in classifier.layers}:
        layers[TAGS] = min(layers, default="output")
    return layers
