"""Weights of other programs' networks, checked before they become a model's."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from svdam.core.validation import InputError, quoted_list


class Parameter(NamedTuple):
    """A parameter that a file must hold.

    Attributes:
        name: Its name in the file.
        layer: The layer that it belongs to, for messages.
        shape: What it must have.
    """

    name: str
    layer: str
    shape: tuple[int, ...]


def checked_parameters(
    found: Mapping[str, np.ndarray], expected: Sequence[Parameter], place: str
) -> dict[str, np.ndarray]:
    """Checks names, shapes and values of parameters.

    Args:
        found: Arrays by name; names other than the expected ones are refused.
        expected: What must be there.
        place: How messages name the file.

    Returns:
        The expected parameters, float32.

    Raises:
        InputError: Naming the parameter and its layer, what was found and what was expected.
    """
    missing = [f"{p.name} ({p.layer})" for p in expected if p.name not in found]
    if missing:
        raise InputError(f"{place}: has no {quoted_list(missing, 3)}")
    extra = sorted(found.keys() - {p.name for p in expected})
    if extra:
        raise InputError(
            f"{place}: holds {quoted_list(extra, 3)} in addition to the {len(expected)} "
            "parameters of the network; it belongs to a different network"
        )
    return {p.name: _checked(found[p.name], p, place) for p in expected}


def _checked(array: np.ndarray, parameter: Parameter, place: str) -> np.ndarray:
    where = f"{place}: {parameter.name} ({parameter.layer})"
    if array.dtype.kind != "f":
        raise InputError(f"{where} has dtype {array.dtype}, expected float32 or float64")
    if array.shape != parameter.shape:
        raise InputError(f"{where} has shape {array.shape}, expected {parameter.shape}")
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise InputError(f"{where} holds {bad} values that are not finite single-precision numbers")
    return values
