"""Names of layers that TensorFlow refuses in graphs, such as ``2nd dense``.

Keras takes any name without a slash, but a graph does not: there, blanks and letters with accents
end in an error. They are replaced by escapes that graphs take and that can be turned back:
``2nd dense`` becomes ``2nd.x20.dense``.
"""

import contextlib
import re
from collections.abc import Iterator

import keras


def given_name(name: str) -> str:
    """The name that the author of a model gave to a layer which now has ``name``."""
    return re.sub(r"\.x([0-9a-f]+)\.", lambda match: chr(int(match[1], 16)), name)


def use_graph_names(model: keras.Model) -> list[tuple[keras.Layer, str]]:
    """Escapes the names of a model and of the layers in it, where graphs would refuse them.

    Returns:
        The layers whose names have changed, with the names before.
    """
    changed = []
    for layer in (model, *nested_layers(model)):
        name = re.sub(r"^[^a-zA-Z0-9.]|[^\w./-]", _escaped, layer.name, flags=re.ASCII)
        if name != layer.name:
            changed.append((layer, layer.name))
            layer.name = name
    return changed


@contextlib.contextmanager
def graph_names(*models: keras.Model) -> Iterator[None]:
    """Context in which `use_graph_names` holds for models."""
    changed = [one for model in models for one in use_graph_names(model)]
    try:
        yield
    finally:
        for layer, name in changed:
            layer.name = name


def nested_layers(model: keras.Model) -> Iterator[keras.Layer]:
    """The layers of a model and of the models in it, each once, without the inputs."""
    known: set[int] = set()
    waiting = [model]
    while waiting:
        for layer in waiting.pop().layers:
            if id(layer) in known or isinstance(layer, keras.layers.InputLayer):
                continue
            known.add(id(layer))
            yield layer
            if isinstance(layer, keras.Model):
                waiting.append(layer)


def call_numbers(model: keras.Model) -> dict[int, list[int]]:
    """Which call of a layer is computed first, second, ... when a model runs.

    Returns:
        For the layers that a functional model calls several times, by their ``id``: numbers of the
        calls, from 1, as the author wrote them. Keras computes them in another order.
    """
    by_depth = getattr(model, "_nodes_by_depth", {})
    computed: dict[int, list] = {}
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            computed.setdefault(id(node.operation), []).append(node)
    numbers = {}
    for key, nodes in computed.items():
        if len(nodes) > 1:
            written = [node for node in nodes[0].operation._inbound_nodes if node in nodes]
            numbers[key] = [written.index(node) + 1 for node in nodes]
    return numbers


def _escaped(match: re.Match) -> str:
    return f".x{ord(match[0]):x}."
