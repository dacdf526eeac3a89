"""Log-mel spectrograms of a recording whose pitch is shifted, for test-time augmentation.

Schlueter & Grill (ISMIR 2015) shift pitch by stretching every magnitude spectrum along frequency,
with quadratic splines. As that is linear, the shift and the mel filterbank are one matrix: a
shifted log-mel spectrogram takes no longer than a plain one.
"""

import functools

import numpy as np

from svdam.audio.log_mel import compress, mel_filterbank, spectrogram, with_margins
from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.validation import InputError

SPLINE_ORDER = 2
_BLOCK_FRAMES = 4096


def pitch_shifted_log_mel(
    samples: np.ndarray, percent: float, front_end: FrontEnd = FRONT_END
) -> np.ndarray:
    """The log-mel spectrogram after shifting the pitch.

    Args:
        samples: (samples,) mono, at ``front_end.sample_rate``.
        percent: By how much frequencies grow: 10 shifts up by 10 %, -20 down by 20 %.
        front_end: Front-end settings.

    Returns:
        (frames, num_mels) float32.

    Raises:
        InputError: If ``percent`` is not between -90 and 900, or the samples are no sound.
    """
    if not -90 <= percent <= 900:
        raise InputError(f"pitch shift: found {percent} percent, expected from -90 to 900")
    filterbank = _shifted_filterbank(float(percent), front_end)
    samples, front_end = with_margins(samples, front_end)
    num_frames = front_end.num_frames(len(samples))
    log_mel = np.empty((num_frames, front_end.num_mels), np.float32)
    for start in range(0, num_frames, _BLOCK_FRAMES):
        stop = min(start + _BLOCK_FRAMES, num_frames)
        first = start * front_end.hop_length
        block = samples[first : first + front_end.num_samples(stop - start)]
        # Splines overshoot: what falls below 0 is silence like everything below the floor. What
        # nearly cancels needs the filterbank's double precision.
        mel = spectrogram(block, front_end) @ filterbank
        log_mel[start:stop] = compress(np.maximum(mel, 0), front_end)
    return log_mel


@functools.lru_cache(maxsize=32)
def _shifted_filterbank(percent: float, front_end: FrontEnd) -> np.ndarray:
    """(bins, num_mels): shifts spectra of ``bins``, then applies the mel filterbank."""
    import scipy.ndimage

    bins = front_end.num_bins
    # Along frequency only; spectra above the original's highest frequency are 0.
    prefilter = scipy.ndimage.spline_filter1d(np.eye(bins), SPLINE_ORDER, axis=1)
    positions = np.arange(bins) / (1 + percent / 100)
    shift = np.stack(
        [
            scipy.ndimage.map_coordinates(
                row, positions[None], order=SPLINE_ORDER, mode="constant", prefilter=False
            )
            for row in prefilter
        ]
    )
    return shift @ mel_filterbank(front_end)
