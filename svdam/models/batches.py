"""Applying a model to more excerpts than fit into one batch."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

BATCH_SIZE = 64


def in_batches(
    function: Callable[[np.ndarray], Any], excerpts: np.ndarray, batch_size: int = BATCH_SIZE
) -> np.ndarray:
    """Applies a model, or a function of a batch, to (N, ...) excerpts, and joins the results."""
    batches = (excerpts[i : i + batch_size] for i in range(0, len(excerpts), batch_size))
    return np.concatenate([keras.ops.convert_to_numpy(function(batch)) for batch in batches])
