"""The classifier's front end: from samples to a log-mel spectrogram.

By default, that of Section 3.1 of the paper (footnotes 2 and 3) and of Schlueter & Grill (ISMIR
2015): magnitudes of a 1024-sample STFT without centre padding, 80 triangular mel filters, natural
logarithm. `svdam.audio.front_ends` has others.

Each filterbank comes with the arithmetic of the code that it is from, as the rounding of an FFT in
single precision shows in the logarithm of quiet bands (by up to 3e-5 for ``ismir2015``, 3e-4 for
``yamnet``): frames are windowed in single precision and transformed in double for ``ismir2015``,
both in double for ``slaney`` (librosa), both in single for ``htk`` (TensorFlow).
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.fft

from svdam.audio.filterbanks import mel_filterbank
from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.validation import InputError

_BLOCK_FRAMES = 1024  # Bounds the memory of a long recording.
_PART_FRAMES = 128  # 1 MB of spectra, which stay in a core's cache.
_GROUP_BANDS = 16
_LARGEST_EXPONENT = 50.0  # Far beyond any sound; no overflow.


def magnitude_spectrogram(samples: np.ndarray, front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """Magnitudes of the STFT (footnote 2).

    Args:
        samples: (samples,) mono, at ``front_end.sample_rate``.
        front_end: Front-end settings.

    Returns:
        (frames, num_bins) float32.

    Raises:
        InputError: If the samples are not one-dimensional or not finite.
    """
    transform = _Transform(front_end, front_end.num_bins)
    frames = np.empty((front_end.num_frames(len(samples)), front_end.num_bins), np.float32)
    start = 0
    for block in _frame_blocks([samples], front_end):
        for part in _parts(block):
            frames[start : start + len(part)] = transform.magnitudes(part)
            start += len(part)
    return frames


def spectrogram(samples: np.ndarray, front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """What the mel filters sum: `magnitude_spectrogram`, or its square."""
    magnitudes = magnitude_spectrogram(samples, front_end)
    return magnitudes if front_end.power == 1 else np.square(magnitudes, out=magnitudes)


def with_margins(samples: np.ndarray, front_end: FrontEnd) -> tuple[np.ndarray, FrontEnd]:
    """A recording out of which single frames can be cut, whether they are centred or not.

    Args:
        samples: (samples,) a whole recording.
        front_end: Front-end settings.

    Returns:
        The samples with the zeros that centring adds at both ends, and the front end that analyses
        them without adding any: frame t starts at sample t * hop_length.
    """
    if not front_end.centered:
        return samples, front_end
    padded = np.pad(samples, front_end.padding)
    return padded, dataclasses.replace(front_end, centered=False)


def log_mel_spectrogram(samples: np.ndarray, front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """The log-mel spectrogram of a recording: log(max(mel, 1e-7)) in Section 3.1.

    Args:
        samples: (samples,) mono, at ``front_end.sample_rate``.
        front_end: Front-end settings.

    Returns:
        (frames, num_mels) float32; without centring, there are no frames if the recording is
        shorter than a window.

    Raises:
        InputError: If the samples are not one-dimensional or not finite.

    Example:
        >>> import numpy as np
        >>> tone = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> log_mel = log_mel_spectrogram(tone)
        >>> log_mel.shape, int(log_mel.mean(axis=0).argmax())  # The band around 440 Hz.
        ((67, 80), 14)
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
            spectra = transform.magnitudes(part) if front_end.power == 1 else transform.powers(part)
            mel = log_mel[start : start + len(part)]
            for group in groups:
                bins = spectra[:, group.start_bin : group.stop_bin]
                np.matmul(bins, group.filters, out=mel[:, group.bands])
            start += len(part)
        yield compress(log_mel, front_end)


def compress(mel: np.ndarray, front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """The logarithm of a front end, in place.

    Args:
        mel: Mel bands, float32 or float64, of any shape.
        front_end: Front-end settings.

    Returns:
        ``mel`` itself, which now holds the log-mel spectrogram.
    """
    if front_end.log_scale != 1:
        mel *= front_end.log_scale
    if front_end.log_offset:
        mel += front_end.log_offset
    np.maximum(mel, front_end.magnitude_floor, out=mel)
    np.log(mel, out=mel)
    if front_end.log_factor != 1:
        mel *= front_end.log_factor
    return mel


def decompress(log_mel: np.ndarray, front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """The inverse of `compress`: mel bands of magnitude or power.

    Args:
        log_mel: Log-mel spectrogram, of any shape.
        front_end: Front-end settings.

    Returns:
        float64, not negative; 0 where ``log_mel`` is that of silence, or less.
    """
    log_mel = np.asarray(log_mel, np.float64)
    exponent = np.minimum(log_mel / front_end.log_factor, _LARGEST_EXPONENT)
    mel = np.maximum(np.exp(exponent) - front_end.log_offset, 0) / front_end.log_scale
    mel[log_mel <= front_end.silence + 1e-6 * front_end.log_factor] = 0
    return mel


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
        first, stop = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        filters = np.ascontiguousarray(filterbank[first:stop, bands])
        groups.append(_FilterGroup(bands, first, stop, filters))
    return groups


class _Transform:
    """Spectra of a few frames at a time: so few that all steps find them in the cache."""

    def __init__(self, front_end: FrontEnd, num_bins: int):
        self._num_bins = num_bins
        self._window = analysis_window(front_end)
        precision = np.float32 if front_end.filterbank == "htk" else np.float64
        self._windowed = np.zeros((_PART_FRAMES, front_end.fft_length), precision)
        self._spectra = np.empty((_PART_FRAMES, num_bins), np.complex64)
        self._magnitudes = np.empty((_PART_FRAMES, num_bins), np.float32)

    def magnitudes(self, frames: np.ndarray) -> np.ndarray:
        """(frames, window_length) float32 -> (frames, num_bins) float32, valid until next time."""
        spectra = self._transform(frames)
        return np.abs(spectra, out=self._magnitudes[: len(frames)])

    def powers(self, frames: np.ndarray) -> np.ndarray:
        """As `magnitudes`, squared."""
        parts = self._transform(frames).view(np.float32)
        np.square(parts, out=parts)
        return np.add(parts[:, ::2], parts[:, 1::2], out=self._magnitudes[: len(frames)])

    def _transform(self, frames: np.ndarray) -> np.ndarray:
        windowed, spectra = self._windowed[: len(frames)], self._spectra[: len(frames)]
        # The product is rounded to the window's precision, then widened to that of the transform.
        inside, precision = windowed[:, : len(self._window)], self._window.dtype
        np.multiply(frames, self._window, out=inside, dtype=precision, casting="same_kind")
        spectra[...] = scipy.fft.rfft(windowed, axis=1)[:, : self._num_bins]
        return spectra


def analysis_window(front_end: FrontEnd) -> np.ndarray:
    """The window of the STFT, (window_length,), in the precision that it is applied in."""
    length = front_end.window_length
    period = length - 1 if front_end.window == "symmetric_hann" else length
    if front_end.filterbank == "htk":  # TensorFlow computes it in single precision.
        turns = np.float32(2 * np.pi) * np.arange(length, dtype=np.float32) / np.float32(period)
        return np.float32(0.5) - np.float32(0.5) * np.cos(turns)
    window = np.hanning(period + 1)[:length]
    return window if front_end.filterbank == "slaney" else window.astype(np.float32)


def _frame_blocks(sample_blocks: Iterable[np.ndarray], front_end: FrontEnd) -> Iterator[np.ndarray]:
    """Cuts consecutive blocks of samples into blocks of `_BLOCK_FRAMES` frames, the last fewer.

    Always the same frames are in a block: sums of other lengths may be rounded otherwise.
    """
    hop, window = front_end.hop_length, front_end.window_length
    length = window + (_BLOCK_FRAMES - 1) * hop
    pending = np.zeros(0, np.float32)
    for samples in _padded(map(_validate_samples, sample_blocks), front_end.padding):
        pending = np.concatenate([pending, samples]) if len(pending) else samples
        start = 0
        while len(pending) - start >= length:
            yield _frames(pending[start : start + length], front_end)
            start += _BLOCK_FRAMES * hop
        pending = pending[start:]
    if len(pending) >= window:
        yield _frames(pending, front_end)


def _padded(blocks: Iterator[np.ndarray], padding: int) -> Iterator[np.ndarray]:
    """Zeros before the first and after the last sample, if there is any."""
    if not padding:
        yield from blocks
        return
    zeros, num_samples = np.zeros(padding, np.float32), 0
    for block in blocks:
        if len(block):
            yield block if num_samples else np.concatenate([zeros, block])
        num_samples += len(block)
    if num_samples:
        yield zeros


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
