"""How many latents can be optimised at once within a bound of memory.

What a step needs grows with the batch by the activations of both networks, forward and backward.
Their sum over the layers was measured against the peak of a process with SVDNet and the paper's
generator: 1.0 to 1.35 times the sum, beside 1.1 to 1.25 GiB for TensorFlow, its compiled graphs and
the weights, depending on how large the pages are in which the kernel maps TensorFlow's libraries.
"""

import keras

from svdam.core.validation import InputError
from svdam.models.memory import activation_bytes

_GIB = 2**30
_FIXED_BYTES = 1.25 * _GIB
_SAFETY = 1.5


def bytes_per_latent(models: list[keras.Model]) -> float:
    """Memory that one more latent in the batch takes, in bytes, over all ``models``."""
    return _SAFETY * sum(map(activation_bytes, models))


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
            f"least {needed:.1f}; increase it, or optimize fewer latents in one run"
        )
    return int(left // each)
