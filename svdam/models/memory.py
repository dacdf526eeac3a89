"""How much memory a model's computation takes, and whether this machine has it."""

import math
from typing import Any

import keras
import tensorflow as tf

from svdam.core.memory import require_memory

_VALUE_BYTES = {"float64": 8, "bfloat16": 2, "float16": 2}  # Others take 4.


def activation_bytes(model: keras.Model) -> int:
    """Bytes of all that a model computes from one example, its input among it.

    Nested models are gone through each time that they are called. Sizes that are not known count
    as 1, and nested models that are no graph of layers by what they put out.
    """
    return _model_bytes(model, {})


def require_batch_fits(batch_size: int, bytes_per_example: float) -> None:
    """Refuses a batch that this machine cannot hold.

    GPUs have memory of their own, of which TensorFlow says itself that it does not suffice, in the
    first step: with them nothing is refused here.

    Raises:
        InputError: Naming ``--batch_size``.
    """
    if not tf.config.list_physical_devices("GPU"):
        require_memory(batch_size * bytes_per_example, "batch_size", batch_size)


def _nodes(model: keras.Model) -> list[Any]:
    """The calls of layers and operations that a model is made of."""
    graph = getattr(model, "_functional", None) or model  # Where a Sequential model keeps it.
    by_depth = getattr(graph, "_nodes_by_depth", {})
    return [node for nodes in by_depth.values() for node in nodes]


def _model_bytes(model: keras.Model, known: dict[int, int]) -> int:
    # Each model is looked at once: models that call models twice would otherwise take forever.
    if id(model) not in known:
        known[id(model)] = sum(_node_bytes(node, known) for node in _nodes(model))
    return known[id(model)]


def _node_bytes(node: Any, known: dict[int, int]) -> int:
    operation = node.operation
    if isinstance(operation, keras.Model) and _nodes(operation):
        return _model_bytes(operation, known)
    each = _VALUE_BYTES.get(getattr(operation, "compute_dtype", "float32"), 4)
    shapes = [tensor.shape[1:] for tensor in node.output_tensors]
    return each * sum(math.prod(size or 1 for size in shape) for shape in shapes)
