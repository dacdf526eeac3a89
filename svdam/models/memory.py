"""How much a model computes from one example."""

import math

import keras


def activation_values(model: keras.Model) -> int:
    """Values that all layers together compute from one example; unknown sizes count as 1."""
    total = 0
    for operation in getattr(model, "operations", model.layers):
        for node in getattr(operation, "_inbound_nodes", []):
            shapes = [tensor.shape[1:] for tensor in node.output_tensors]
            total += sum(math.prod(size or 1 for size in shape) for shape in shapes)
    return total
