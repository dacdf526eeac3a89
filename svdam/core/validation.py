"""Errors that the user can correct, and checks that many places share."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


class InputError(ValueError):
    """Bad input. Its message is one line: what, where, what was found and the way out."""


class InputWarning(UserWarning):
    """Unusual input that can be used, and how it was understood. Its message is one line."""


def quoted_list(names: Sequence[Any], limit: int = 12) -> str:
    """``'a', 'b' and 3 more``: names for a message, cut after ``limit``."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def one_line(error: BaseException, limit: int = 300) -> str:
    """The first lines of an exception's message, joined and cut to fit a message of ours."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def require_finite(values: np.ndarray, what: str) -> None:
    """Raises InputError if ``values`` holds a NaN or an infinity."""
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise InputError(f"{what}: {bad} of {np.size(values)} values are not finite")


def require_log_mel(log_mel: np.ndarray, num_mels: int) -> np.ndarray:
    """Checks a log-mel spectrogram of shape (frames, num_mels) and returns it as an array.

    Raises:
        InputError: If the shape is wrong or a value is not finite.
    """
    log_mel = np.asarray(log_mel)
    if log_mel.ndim != 2 or log_mel.shape[1] != num_mels:
        raise InputError(f"log-mel: found shape {log_mel.shape}, expected (frames, {num_mels})")
    require_finite(log_mel, "log-mel")
    return log_mel


def is_number(value: Any) -> bool:
    """True for finite ints and floats; bools are not numbers here."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # An integer that no float can hold.
        return False
