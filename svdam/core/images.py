"""Log-mel spectrograms as colour images, for TensorBoard and quick looks. NumPy only."""

import numpy as np

from svdam.core.validation import InputError

# Where the colour map's channels rise and fall: blue, cyan, yellow, red, with dark ends, the map of
# the paper's figures. Each channel is a trapezium over [0, 1].
_LEVELS = np.arange(256) / 255
_COLOURS = np.stack(
    [
        np.interp(_LEVELS, (0.35, 0.66, 0.89, 1.0), (0.0, 1.0, 1.0, 0.5)),
        np.interp(_LEVELS, (0.125, 0.375, 0.64, 0.91), (0.0, 1.0, 1.0, 0.0)),
        np.interp(_LEVELS, (0.0, 0.11, 0.34, 0.65), (0.5, 1.0, 1.0, 0.0)),
    ],
    axis=-1,
)


def log_mel_image(
    log_mel: np.ndarray, minimum: float | None = None, maximum: float | None = None
) -> np.ndarray:
    """Draws a log-mel spectrogram: time to the right, low bands at the bottom, quiet is blue.

    Args:
        log_mel: (frames, mels) or (frames, mels, 1), or a batch of either, of any float type.
            Values that are not finite are drawn as the minimum.
        minimum: Value drawn darkest blue; each spectrogram's own smallest by default.
        maximum: Value drawn darkest red; each spectrogram's own largest by default.

    Returns:
        (mels, frames, 3) uint8, or (batch, mels, frames, 3) for a batch.

    Raises:
        InputError: If the shape is none of these.
    """
    log_mel = np.asarray(log_mel, np.float64)
    if log_mel.ndim > 2 and log_mel.shape[-1] == 1:
        log_mel = log_mel[..., 0]
    if log_mel.ndim not in (2, 3) or 0 in log_mel.shape:
        raise InputError(f"log-mel image: found shape {log_mel.shape}, expected (frames, mels)")
    finite = np.isfinite(log_mel)
    low = _limit(np.where(finite, log_mel, np.inf).min(axis=(-2, -1)), minimum)
    high = _limit(np.where(finite, log_mel, -np.inf).max(axis=(-2, -1)), maximum)
    span = np.where(high > low, high - low, 1.0)
    levels = np.where(finite, (np.where(finite, log_mel, low) - low) / span, 0)
    indices = np.rint(255 * np.clip(levels, 0, 1)).astype(np.uint8)
    upright = np.swapaxes(indices, -2, -1)[..., ::-1, :]
    return np.rint(255 * _COLOURS).astype(np.uint8)[upright]


def _limit(own: np.ndarray, given: float | None) -> np.ndarray:
    """The limit of the colours, with axes to spread over frames and mels."""
    limit = np.full(own.shape, given) if given is not None else np.where(np.isfinite(own), own, 0)
    return limit[..., None, None]
