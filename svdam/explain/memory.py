"""How many latents can be optimised at once within a bound of memory.

What a step needs grows with the batch by the activations of both networks, forward and backward.
Their sum over the layers was measured against the peak of a process with SVDNet and the paper's
generator: 1.0 to 1.35 times the sum, beside 0.6 GiB for TensorFlow and the weights.
"""

import math

import keras

from svdam.core.validation import InputError
from svdam.explain.precision import all_layers

_GIB = 2**30
_FIXED_BYTES = 1.0 * _GIB
_SAFETY = 1.5


def bytes_per_latent(models: list[keras.Model]) -> float:
    """Memory that one more latent in the batch takes, in bytes, over all ``models``."""
    total = 0
    for model in models:
        total += math.prod(size or 1 for size in model.input_shape[1:]) * 4
        for layer in all_layers(model):
            total += _output_values(layer) * _value_bytes(layer)
    return _SAFETY * total


def latents_at_once(
    models: list[keras.Model], max_memory_gib: float, results_bytes: int = 0
) -> int:
    """Latents whose search stays under ``max_memory_gib``.

    Args:
        models: The networks that a step goes through.
        max_memory_gib: Bound for the whole process, in GiB.
        results_bytes: Size of what the run writes, which is held in memory at its end.

    Raises:
        InputError: If there is no room for a single one.
    """
    each = bytes_per_latent(models)
    left = max_memory_gib * _GIB - _FIXED_BYTES - results_bytes
    if left < each:
        needed = (_FIXED_BYTES + results_bytes + each) / _GIB
        raise InputError(
            f"--max_memory: found {max_memory_gib:g} GiB, but these models and results need at "
            f"least {needed:.1f}; raise it, or search fewer latents in one run"
        )
    return int(left // each)


def _output_values(layer: keras.layers.Layer) -> int:
    """Values of a layer's output for one latent; 0 if the layer does not tell."""
    try:
        outputs = layer.output
    except (AttributeError, ValueError):  # Never called, or several times with other shapes.
        return 0
    tensors = outputs if isinstance(outputs, list | tuple) else [outputs]
    return sum(math.prod(size or 1 for size in tensor.shape[1:]) for tensor in tensors)


def _value_bytes(layer: keras.layers.Layer) -> int:
    return {"float64": 8, "bfloat16": 2, "float16": 2}.get(layer.compute_dtype, 4)
