"""The classifier's front end: from samples to a log-mel spectrogram.

Section 3.1 of the paper (footnotes 2 and 3) and Schlueter & Grill (ISMIR 2015): magnitudes of a
1024-sample STFT without centre padding, 80 triangular mel filters, natural logarithm.

As in the original code, frames are windowed in single precision and transformed in double: an FFT
in single precision is off by up to 3e-5 in the logarithm.
"""

import functools
from collections.abc import Iterator

import numpy as np
import scipy.fft

from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.validation import InputError

_BLOCK_FRAMES = 1024  # Bounds the memory of a long recording; about 10 MB of spectra.


@functools.lru_cache(maxsize=8)
def mel_filterbank(front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """The mel filterbank of footnote 3.

    Corner frequencies are equally spaced in mel = 1127 ln(1 + f / 700). Each filter rises from its
    lower corner and falls to its upper one, sampled at the FFT bins, and sums to 1. As in the
    original code the widths of the slopes are counted in whole bins, so that the two slopes need
    not meet exactly at the middle corner.

    Returns:
        (window_length // 2 + 1, num_mels) float64, read-only.
    """
    num_bins = front_end.window_length // 2 + 1
    corners_mel = np.linspace(
        hz_to_mel(front_end.min_hz), hz_to_mel(front_end.max_hz), front_end.num_mels + 2
    )
    corners = mel_to_hz(corners_mel) * front_end.window_length / front_end.sample_rate  # In bins.
    edges = np.searchsorted(np.arange(num_bins), corners)
    filterbank = np.zeros((num_bins, front_end.num_mels))
    for band in range(front_end.num_mels):
        left, peak, right = edges[band : band + 3]
        rising, falling = np.arange(left, peak), np.arange(peak, right)
        filterbank[rising, band] = (rising - corners[band]) / (peak - left)
        filterbank[falling, band] = (corners[band + 2] - falling) / (right - peak)
    filterbank /= filterbank.sum(axis=0)
    filterbank.flags.writeable = False
    return filterbank


def hz_to_mel(hz: np.ndarray | float) -> np.ndarray | float:
    """Frequency in hertz as mel = 1127 ln(1 + f / 700)."""
    return 1127 * np.log1p(np.asarray(hz) / 700)


def mel_to_hz(mel: np.ndarray | float) -> np.ndarray | float:
    """The inverse of `hz_to_mel`."""
    return 700 * np.expm1(np.asarray(mel) / 1127)


def magnitude_spectrogram(samples: np.ndarray, front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """Magnitudes of the STFT (footnote 2), without centre padding.

    Args:
        samples: (samples,) mono, at ``front_end.sample_rate``.
        front_end: Front-end settings.

    Returns:
        (frames, window_length // 2 + 1) float32.
    """
    samples = _validate_samples(samples)
    spectrogram = np.empty(
        (front_end.num_frames(len(samples)), front_end.window_length // 2 + 1), np.float32
    )
    for start, magnitudes in _magnitude_blocks(samples, front_end):
        spectrogram[start : start + len(magnitudes)] = magnitudes
    return spectrogram


def log_mel_spectrogram(samples: np.ndarray, front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """The log-mel spectrogram of a recording: log(max(mel, 1e-7)), Section 3.1.

    Args:
        samples: (samples,) mono, at ``front_end.sample_rate``.
        front_end: Front-end settings.

    Returns:
        (frames, num_mels) float32; no frames where there are fewer samples than a window.

    Raises:
        InputError: If the samples are not one-dimensional or not finite.
    """
    samples = _validate_samples(samples)
    filterbank = mel_filterbank(front_end).astype(np.float32)
    num_bins = int(np.flatnonzero(filterbank.any(axis=1))[-1]) + 1  # None above max_hz.
    log_mel = np.empty((front_end.num_frames(len(samples)), front_end.num_mels), np.float32)
    for start, magnitudes in _magnitude_blocks(samples, front_end):
        mel = magnitudes[:, :num_bins] @ filterbank[:num_bins]
        block = log_mel[start : start + len(mel)]
        np.log(np.maximum(mel, front_end.magnitude_floor, out=mel), out=block)
    return log_mel


def _magnitude_blocks(samples: np.ndarray, front_end: FrontEnd) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (first frame, float32 magnitudes) for consecutive blocks of frames."""
    num_frames = front_end.num_frames(len(samples))
    if not num_frames:
        return
    window = np.hanning(front_end.window_length).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, front_end.window_length)
    frames = frames[:: front_end.hop_length]
    for start in range(0, num_frames, _BLOCK_FRAMES):
        windowed = frames[start : start + _BLOCK_FRAMES] * window
        spectra = scipy.fft.rfft(windowed.astype(np.float64), axis=1)
        yield start, np.abs(spectra).astype(np.float32)


def _validate_samples(samples: np.ndarray) -> np.ndarray:
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1:
        raise InputError(f"samples: found shape {samples.shape}, expected (samples,): mono")
    if not np.isfinite(samples).all():
        raise InputError("samples: hold values that are not finite")
    return samples
