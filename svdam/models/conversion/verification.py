"""Comparing a converted model with an independent computation of the same network."""

from collections.abc import Iterable, Mapping

import keras
import numpy as np

from svdam.core.validation import InputError

TOLERANCE = 1e-5
"""Largest difference of a layer from the reference, relative to the layer's largest value."""


def layer_activations(
    model: keras.Model, names: Iterable[str], excerpts: np.ndarray
) -> dict[str, np.ndarray]:
    """The model's activations of the named layers, from (batch, frames, bands) excerpts."""
    tapped = keras.Model(model.input, {name: model.get_layer(name).output for name in names})
    found = tapped(excerpts[..., np.newaxis], training=False)
    return {name: np.asarray(values) for name, values in found.items()}


def largest_differences(
    found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Largest difference by layer, relative to the layer's largest value."""
    return {
        name: float(np.abs(found[name] - values).max() / np.abs(values).max())
        for name, values in expected.items()
    }


def verified(differences: Mapping[str, float], tolerance: float = TOLERANCE) -> list[str]:
    """Lines about the differences from the reference.

    Args:
        differences: By layer, relative.
        tolerance: The largest that is accepted.

    Raises:
        InputError: If one is too large.
    """
    lines = [
        f"verify: {name}: largest difference {difference:.1e} of the layer's largest value"
        for name, difference in differences.items()
    ]
    wrong = {name: value for name, value in differences.items() if not value <= tolerance}
    if wrong:
        name, value = next(iter(wrong.items()))
        raise InputError(
            f"verify: {name} differs from the reference by {value:.1e} of its largest value, "
            f"expected at most {tolerance:.0e}; nothing was written"
        )
    return lines
