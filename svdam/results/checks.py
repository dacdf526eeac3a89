"""Whether the values of a results file fit each other, so that nothing fails later on.

A dimension is a letter that means the same size in all arrays of a file, a number, or ``...`` for
any dimensions. The letters are those of `svdam.results.files`: C configurations, N latents,
P trajectories, S steps and the start, F frames, B bands, M excerpts, K and L extremes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from svdam.core.validation import InputError, is_number

_HISTORY = ("P", "S", "N")
AM_SHAPES: dict[str, tuple] = {
    "seeds": ("N",),
    "start_latents": ("N", ...),
    "start_examples": ("N", "F", "B", 1),
    "start_responses": ("N",),
    "latents": ("C", "N", ...),
    "examples": ("C", "N", "F", "B", 1),
    "responses": ("C", "N"),
    "log_priors": ("C", "N"),
    "history_rates": ("P",),
    "history_weights": ("P",),
    "history_responses": _HISTORY,
    "history_log_priors": _HISTORY,
    "history_gradient_norms": _HISTORY,
    "history_latent_norms": _HISTORY,
    "start_probabilities": ("N",),
    "probabilities": ("C", "N"),
}
_OPTIONAL = ("start_probabilities", "probabilities")  # Of responses that are single outputs.
REAL_SHAPES: dict[str, tuple] = {"responses": ("M",), "song": ("M",), "first_frame": ("M",)}
for _name, _count in (("highest", "K"), ("lowest", "L")):
    for _column in ("responses", "probabilities", "song", "first_frame"):
        REAL_SHAPES[f"{_name}/{_column}"] = (_count,)
    REAL_SHAPES[f"{_name}/excerpts"] = (_count, "F", "B")
_INTEGERS = ("seeds", "song", "first_frame")


def require_am_columns(columns: Mapping[str, Any], configurations: Sequence[Any]) -> None:
    """Checks the columns of a file of maximize_activation.

    Raises:
        InputError: Saying what does not fit.
    """
    _require_shapes(columns, AM_SHAPES, {"C": len(configurations)})
    known = set(zip(columns["history_rates"], columns["history_weights"], strict=True))
    for one in configurations:
        if not (
            is_number(one.learning_rate)
            and is_number(one.prior_weight)
            and isinstance(one.num_steps, int)
            and (one.learning_rate, one.prior_weight) in known
            and 0 < one.num_steps < columns["history_responses"].shape[1]
        ):
            raise InputError(f"has no history of its configuration {one.__dict__}")


def require_real_columns(columns: Mapping[str, Any], num_songs: int) -> None:
    """Checks the columns of a file of collect_responses; see `require_am_columns`."""
    _require_shapes(columns, REAL_SHAPES, {})
    for name, values in columns.items():
        if name.rsplit("/", 1)[-1] == "song" and not ((values >= 0) & (values < num_songs)).all():
            raise InputError(f"{name} names songs that it does not hold")


def _require_shapes(
    columns: Mapping[str, Any], shapes: Mapping[str, tuple], sizes: dict[str, int]
) -> None:
    for name, expected in shapes.items():
        if name.rsplit("/", 1)[-1] in _OPTIONAL and name not in columns:
            continue
        values = columns[name]
        kinds = "iu" if name.rsplit("/", 1)[-1] in _INTEGERS else "f"
        if not isinstance(values, np.ndarray) or values.dtype.kind not in kinds:
            raise InputError(f"{name} holds {getattr(values, 'dtype', 'text')}")
        fixed = [size for size in expected if size is not ...]
        fits = len(values.shape) >= len(fixed) and (
            ... in expected or len(values.shape) == len(fixed)
        )
        for size, found in zip(fixed, values.shape, strict=False):
            wanted = sizes.setdefault(size, found) if isinstance(size, str) else size
            fits = fits and found == wanted and found > 0
        if not fits:
            raise InputError(f"{name} has shape {values.shape}, which does not fit the others")
