"""The classifier's front end: from samples to a log-mel spectrogram.

Section 3.1 of the paper (footnotes 2 and 3) and Schlueter & Grill (ISMIR 2015): magnitudes of a
1024-sample STFT without centre padding, 80 triangular mel filters, natural logarithm.

As in the original code, frames are windowed in single precision and transformed in double: an FFT
in single precision is off by up to 3e-5 in the logarithm.
"""

import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.fft

from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.validation import InputError

_BLOCK_FRAMES = 1024  # Bounds the memory of a long recording.
_PART_FRAMES = 128  # 1 MB of spectra, which stay in a core's cache.
_GROUP_BANDS = 16


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


def hz_to_mel(hz: np.ndarray | float) -> np.ndarray:
    """Frequency in hertz as mel = 1127 ln(1 + f / 700)."""
    return 1127 * np.log1p(np.asarray(hz) / 700)


def mel_to_hz(mel: np.ndarray | float) -> np.ndarray:
    """The inverse of `hz_to_mel`."""
    return 700 * np.expm1(np.asarray(mel) / 1127)


def magnitude_spectrogram(samples: np.ndarray, front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """Magnitudes of the STFT (footnote 2), without centre padding.

    Args:
        samples: (samples,) mono, at ``front_end.sample_rate``.
        front_end: Front-end settings.

    Returns:
        (frames, window_length // 2 + 1) float32.

    Raises:
        InputError: If the samples are not one-dimensional or not finite.
    """
    num_bins = front_end.window_length // 2 + 1
    transform = _Transform(front_end, num_bins)
    frames = np.empty((front_end.num_frames(len(samples)), num_bins), np.float32)
    start = 0
    for block in _frame_blocks([samples], front_end):
        for part in _parts(block):
            frames[start : start + len(part)] = transform.magnitudes(part)
            start += len(part)
    return frames


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
    blocks = list(log_mel_blocks([samples], front_end))
    return np.concatenate(blocks) if blocks else np.empty((0, front_end.num_mels), np.float32)


def log_mel_blocks(
    sample_blocks: Iterable[np.ndarray], front_end: FrontEnd = FRONT_END
) -> Iterator[np.ndarray]:
    """The log-mel spectrogram of a recording that comes, and goes, block by block.

    Args:
        sample_blocks: (samples,) each, consecutive.
        front_end: Front-end settings.

    Yields:
        (frames, num_mels) float32: 1024 frames each, the last one fewer. Together they are what
        `log_mel_spectrogram` returns for all samples, to the bit.

    Raises:
        InputError: If samples are not one-dimensional or not finite.
    """
    groups = _filter_groups(front_end)
    transform = _Transform(front_end, groups[-1].stop_bin)  # No filter needs what is above.
    for frames in _frame_blocks(sample_blocks, front_end):
        log_mel = np.empty((len(frames), front_end.num_mels), np.float32)
        start = 0
        for part in _parts(frames):
            magnitudes = transform.magnitudes(part)
            mel = log_mel[start : start + len(part)]
            for group in groups:
                bins = magnitudes[:, group.start_bin : group.stop_bin]
                np.matmul(bins, group.filters, out=mel[:, group.bands])
            start += len(part)
        np.maximum(log_mel, front_end.magnitude_floor, out=log_mel)
        np.log(log_mel, out=log_mel)
        yield log_mel


class _FilterGroup(NamedTuple):
    """Neighbouring mel filters, and the bins on which one of them is not zero."""

    bands: slice
    start_bin: int
    stop_bin: int
    filters: np.ndarray


@functools.lru_cache(maxsize=8)
def _filter_groups(front_end: FrontEnd) -> list[_FilterGroup]:
    """The filterbank cut into groups: 97 % of it are zeros, most of which need no product."""
    filterbank = mel_filterbank(front_end).astype(np.float32)
    groups = []
    for start in range(0, front_end.num_mels, _GROUP_BANDS):
        bands = slice(start, min(start + _GROUP_BANDS, front_end.num_mels))
        used = np.flatnonzero(filterbank[:, bands].any(axis=1))
        first, stop = int(used[0]), int(used[-1]) + 1
        filters = np.ascontiguousarray(filterbank[first:stop, bands])
        groups.append(_FilterGroup(bands, first, stop, filters))
    return groups


class _Transform:
    """Magnitudes of a few frames at a time: so few that all steps find them in the cache."""

    def __init__(self, front_end: FrontEnd, num_bins: int):
        self._num_bins = num_bins
        self._window = np.hanning(front_end.window_length).astype(np.float32)
        self._windowed = np.empty((_PART_FRAMES, front_end.window_length))
        self._spectra = np.empty((_PART_FRAMES, num_bins), np.complex64)
        self._magnitudes = np.empty((_PART_FRAMES, num_bins), np.float32)

    def magnitudes(self, frames: np.ndarray) -> np.ndarray:
        """(frames, window_length) float32 -> (frames, num_bins) float32, valid until next time."""
        count = len(frames)
        windowed, spectra = self._windowed[:count], self._spectra[:count]
        # The product is rounded to single precision before it is widened, as in the original code.
        np.multiply(frames, self._window, out=windowed, dtype=np.float32, casting="same_kind")
        spectra[...] = scipy.fft.rfft(windowed, axis=1)[:, : self._num_bins]
        return np.abs(spectra, out=self._magnitudes[:count])


def _frame_blocks(sample_blocks: Iterable[np.ndarray], front_end: FrontEnd) -> Iterator[np.ndarray]:
    """Cuts consecutive blocks of samples into blocks of `_BLOCK_FRAMES` frames, the last fewer.

    Always the same frames are in a block: sums of other lengths may be rounded otherwise.
    """
    hop, length = front_end.hop_length, front_end.num_samples(_BLOCK_FRAMES)
    pending = np.zeros(0, np.float32)
    for samples in sample_blocks:
        samples = _validate_samples(samples)
        pending = np.concatenate([pending, samples]) if len(pending) else samples
        start = 0
        while len(pending) - start >= length:
            yield _frames(pending[start : start + length], front_end)
            start += _BLOCK_FRAMES * hop
        pending = pending[start:]
    if front_end.num_frames(len(pending)):
        yield _frames(pending, front_end)


def _frames(samples: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """All whole frames, (frames, window_length), as a view."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, front_end.window_length)
    return windows[:: front_end.hop_length]


def _parts(frames: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(frames), _PART_FRAMES):
        yield frames[start : start + _PART_FRAMES]


def _validate_samples(samples: np.ndarray) -> np.ndarray:
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1:
        raise InputError(f"samples: found shape {samples.shape}, expected (samples,): mono")
    if not np.isfinite(samples).all():
        raise InputError("samples: hold values that are not finite")
    return samples
