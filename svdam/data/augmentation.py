"""Augmentation of the classifier's training excerpts (Schlueter & Grill, ISMIR 2015).

Each excerpt is stretched in time and shifted in pitch by up to 30 % either way, and goes through
one random filter of up to 10 dB either way:

1. Excerpts are cut longer than needed (164 frames) from spectrograms (of magnitudes, or of powers
   if the front end sums these) that a spline filter has gone over (`spline_coefficients`).
2. Stretch and shift are one affine map, evaluated by quadratic splines (`stretch_and_shift`).
   Beyond the excerpt, and above the highest frequency, is silence.
3. Mel filterbank and logarithm, as in the front end (`log_mel_of`).
4. A filter with a Gaussian response in dB is added (`filter_responses`). Its centre is uniform in
   pitch between 150 and 8000 Hz, its strength uniform in dB. Its width in semitones is
   5 + 2 * normal, as the original code draws it, where its documentation says uniform from 5 to 7.

The original standardises afterwards; here the classifier does that itself.

The affine map is separable and the filterbank linear: an excerpt's log-mel is log(T X F), where X
are the spline coefficients, T (115 x 164) interpolates in time, and F (513 x 80) shifts and applies
the filterbank. `SpectralAugmentation` computes it so, four times as fast as stage by stage, and
without the rounding in between.
"""

import functools
import math

import numpy as np
import scipy.ndimage
import scipy.sparse

from svdam.audio.log_mel import compress, decompress, mel_filterbank
from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.validation import InputError

SPLINE_ORDER = 2
MAX_STRETCH = 0.3
MAX_SHIFT = 0.3
MAX_FILTER_DB = 10.0
MIN_FILTER_HZ = 150.0
FILTER_WIDTH_SEMITONES = (5.0, 2.0)
"""Mean and standard deviation of the filter's width."""


class SpectralAugmentation:
    """Augments batches of spectrogram excerpts into log-mel excerpts.

    Attributes:
        num_frames: Frames of the excerpts that it takes; their centre frame stays the centre.
    """

    def __init__(
        self,
        front_end: FrontEnd = FRONT_END,
        *,
        max_stretch: float = MAX_STRETCH,
        max_shift: float = MAX_SHIFT,
        max_filter_db: float = MAX_FILTER_DB,
    ):
        """Sets how much at most; 0 leaves a stage out.

        Args:
            front_end: Of the spectrograms.
            max_stretch: Largest change of tempo, as a share.
            max_shift: Largest change of pitch, as a share.
            max_filter_db: Largest gain or loss of the filter.

        Raises:
            InputError: If a share is not from 0 to below 1, or the gain negative.
        """
        for name, share in (("max_stretch", max_stretch), ("max_shift", max_shift)):
            if not 0 <= share < 1:
                raise InputError(f"{name}: found {share}, expected from 0 to below 1")
        if not 0 <= max_filter_db < math.inf:
            raise InputError(f"max_filter_db: found {max_filter_db}, expected at least 0")
        self.num_frames = int(front_end.excerpt_frames / (1 - max_stretch))
        self._front_end = front_end
        self._max_stretch, self._max_shift = max_stretch, max_shift
        self._max_filter_db = max_filter_db

    def __call__(self, excerpts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augments a batch.

        Args:
            excerpts: (batch, num_frames, bins) float32 from `spline_coefficients`.
            rng: Where the draws come from.

        Returns:
            (batch, excerpt_frames, num_mels) float32 raw log-mel.
        """
        batch = len(excerpts)
        stretch = 1 + rng.uniform(-self._max_stretch, self._max_stretch, batch)
        shift = 1 + rng.uniform(-self._max_shift, self._max_shift, batch)
        filters = draw_filters(rng, batch, self._max_filter_db, self._front_end)
        log_mel = stretched_log_mel(excerpts, stretch, shift, self._front_end)
        if self._max_filter_db:
            gains = filter_responses(*filters, self._front_end)[:, np.newaxis]
            log_mel = amplified(log_mel, gains, self._front_end)
        return log_mel


def spline_coefficients(spectrogram: np.ndarray, order: int = SPLINE_ORDER) -> np.ndarray:
    """Coefficients of the spline through a spectrogram, as the later stages take them.

    Args:
        spectrogram: (frames, bins) from `svdam.audio.log_mel.spectrogram`.
        order: Of the spline.

    Returns:
        (frames, bins) float32.
    """
    return scipy.ndimage.spline_filter(spectrogram, order).astype(np.float32)


def stretch_and_shift(
    coefficients: np.ndarray,
    stretch: np.ndarray,
    shift: np.ndarray,
    num_frames: int,
    num_bins: int,
    order: int = SPLINE_ORDER,
) -> np.ndarray:
    """Stretches excerpts in time, shifts them in pitch, and keeps their centre and lowest bins.

    Args:
        coefficients: (batch, frames, bins) from `spline_coefficients`.
        stretch: (batch,) factors of duration; 1.1 is slower.
        shift: (batch,) factors of frequency; 1.1 is higher.
        num_frames: Frames to keep.
        num_bins: Bins to keep.
        order: Of the spline, 1 to 3.

    Returns:
        (batch, num_frames, num_bins), of the dtype of ``coefficients``; 0 outside of the excerpt.
    """
    frames, bins = coefficients.shape[1:]
    result = np.empty((len(coefficients), num_frames, num_bins), coefficients.dtype)
    for excerpt, out, slower, higher in zip(coefficients, result, stretch, shift, strict=True):
        in_time = _interpolation(_stretched_positions(frames, num_frames, slower), frames, order)
        in_pitch = _interpolation(np.arange(num_bins) / higher, bins, order)
        out[...] = in_time @ (in_pitch @ excerpt.T).T
    return result


def log_mel_of(spectra: np.ndarray, front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """Mel filterbank and logarithm.

    Args:
        spectra: (batch, frames, bins) with at least the bins up to ``max_hz``.
        front_end: Front-end settings.

    Returns:
        (batch, frames, num_mels) float32.
    """
    filterbank = _filterbank(front_end)[: spectra.shape[-1]]
    return compress(np.maximum(spectra @ filterbank, 0), front_end).astype(np.float32)


def stretched_log_mel(
    coefficients: np.ndarray,
    stretch: np.ndarray,
    shift: np.ndarray,
    front_end: FrontEnd = FRONT_END,
) -> np.ndarray:
    """`log_mel_of` of `stretch_and_shift`, computed as one product of matrices.

    Args:
        coefficients: (batch, frames, bins) from `spline_coefficients`.
        stretch: (batch,) factors of duration.
        shift: (batch,) factors of frequency.
        front_end: Front-end settings.

    Returns:
        (batch, excerpt_frames, num_mels) float32.
    """
    frames, bins = coefficients.shape[1:]
    num_frames = front_end.excerpt_frames
    filterbank = _filterbank(front_end)
    kept_bins = num_mel_bins(front_end)
    mel = np.empty((len(coefficients), num_frames, front_end.num_mels), np.float32)
    for excerpt, out, slower, higher in zip(coefficients, mel, stretch, shift, strict=True):
        in_time = _interpolation(_stretched_positions(frames, num_frames, slower), frames)
        in_pitch = _interpolation(np.arange(kept_bins) / higher, bins)
        shifted = in_pitch.T @ filterbank[:kept_bins]
        out[...] = (in_time @ excerpt) @ shifted
    return compress(np.maximum(mel, 0, out=mel), front_end)


def draw_filters(
    rng: np.random.Generator, batch: int, max_db: float, front_end: FrontEnd = FRONT_END
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws random filters.

    Returns:
        Centres in Hz, widths in semitones, and strengths in dB, each (batch,).
    """
    low, high = math.log2(MIN_FILTER_HZ), math.log2(front_end.max_hz)
    mean, deviation = FILTER_WIDTH_SEMITONES
    centre_hz = 2 ** rng.uniform(low, high, batch)
    width_semitones = mean + deviation * rng.standard_normal(batch)
    return centre_hz, width_semitones, rng.uniform(-max_db, max_db, batch)


def filter_responses(
    centre_hz: np.ndarray,
    width_semitones: np.ndarray,
    strength_db: np.ndarray,
    front_end: FrontEnd = FRONT_END,
) -> np.ndarray:
    """What filters add to the natural logarithm of mel bands.

    Args:
        centre_hz: (batch,) centres.
        width_semitones: (batch,) standard deviation of the Gaussian, from the centre upwards.
        strength_db: (batch,) gain at the centre.
        front_end: Front-end settings.

    Returns:
        (batch, num_mels) float32: logarithms of each mel filter's gain.
    """
    num_bins = num_mel_bins(front_end)
    bins_per_hz = num_bins / front_end.max_hz
    centre = np.asarray(centre_hz)[:, np.newaxis] * bins_per_hz
    # Above the centre a semitone is wider than below: the upper side sets the width of both.
    width = centre * (2 ** (np.asarray(width_semitones)[:, np.newaxis] / 12) - 1)
    bell = np.exp(-0.5 * ((np.arange(num_bins) - centre) / width) ** 2)
    gain = 10 ** (front_end.power * np.asarray(strength_db)[:, np.newaxis] * bell / 20)
    return np.log(gain @ _filter_shares(front_end)).astype(np.float32)


def amplified(log_mel: np.ndarray, gains: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """Log-mel spectrograms whose mel bands are louder.

    Args:
        log_mel: (batch, frames, num_mels) float32; it is overwritten.
        gains: Natural logarithms of the gains, which broadcast to that shape.
        front_end: Front-end settings.

    Returns:
        (batch, frames, num_mels) float32. Without an offset in the logarithm, the gain is added,
        to silence as well, as the original code does.
    """
    if front_end.log_offset:
        mel = decompress(log_mel, front_end) * np.exp(gains)
        return compress(mel, front_end).astype(np.float32)
    log_mel += gains if front_end.log_factor == 1 else front_end.log_factor * gains
    return log_mel


def num_mel_bins(front_end: FrontEnd = FRONT_END) -> int:
    """Bins below the mel filterbank's upper edge, as the original counts them (372)."""
    return int(front_end.num_bins * 2 * front_end.max_hz // front_end.sample_rate)


def _stretched_positions(frames: int, num_frames: int, stretch: float) -> np.ndarray:
    """Where the kept frames were before stretching: the middle of both is the same."""
    return np.arange(num_frames) / stretch + 0.5 * (frames - num_frames / stretch)


def _interpolation(
    positions: np.ndarray, size: int, order: int = SPLINE_ORDER
) -> scipy.sparse.csr_matrix:
    """Sparse matrix (positions, size) from spline coefficients to the spline's values.

    Rows of positions before the first or after the last sample are 0. At the ends, coefficients are
    mirrored, as scipy.ndimage does.
    """
    taps = np.arange(order + 1)
    # Even orders are centred on a sample, odd ones between two.
    first = np.floor(positions + (0.5 if order % 2 == 0 else 0)) - order // 2
    weights = _spline_weights(positions - first, order)
    weights[(positions < 0) | (positions > size - 1)] = 0
    columns = np.abs(first[:, np.newaxis].astype(np.int64) + taps)
    columns = np.where(columns >= size, 2 * (size - 1) - columns, columns)
    columns = np.clip(columns, 0, size - 1)  # Rows of zeros may point anywhere.
    rows = np.arange(len(positions) + 1) * (order + 1)
    return scipy.sparse.csr_matrix(
        (weights.ravel(), columns.ravel(), rows), shape=(len(positions), size)
    )


def _spline_weights(offset: np.ndarray, order: int) -> np.ndarray:
    """(positions, order + 1) values of the B-spline, at ``offset`` from the first tap."""
    distance = np.abs(offset[:, np.newaxis] - np.arange(order + 1))
    if order == 1:
        return np.maximum(1 - distance, 0)
    if order == 2:
        outer = 0.5 * np.maximum(1.5 - distance, 0) ** 2
        return np.where(distance <= 0.5, 0.75 - distance**2, outer)
    if order == 3:
        outer = np.maximum(2 - distance, 0) ** 3 / 6
        return np.where(distance <= 1, 2 / 3 - distance**2 * (2 - distance) / 2, outer)
    raise ValueError(f"order: found {order}, expected 1 to 3")


@functools.lru_cache(maxsize=8)
def _filter_shares(front_end: FrontEnd) -> np.ndarray:
    """The filterbank up to `num_mel_bins`, with filters that sum to 1, as the paper's do."""
    filterbank = _filterbank(front_end)[: num_mel_bins(front_end)]
    if front_end.filterbank == "ismir2015":
        return filterbank
    shares = filterbank / np.maximum(filterbank.sum(axis=0), 1e-30)
    shares[0, ~filterbank.any(axis=0)] = 1  # A filter between two bins sums nothing.
    return shares


@functools.lru_cache(maxsize=8)
def _filterbank(front_end: FrontEnd) -> np.ndarray:
    return mel_filterbank(front_end).astype(np.float32)
