"""The three mel filterbanks: from frequencies of the STFT to mel bands.

All have triangular filters whose corners are equally spaced on a mel scale, as
`svdam.core.front_end.FrontEnd.band_edges_hz` gives them. They differ in that scale, in where the
slopes are straight, and in their sums.
"""

import functools

import numpy as np

from svdam.core.config import FRONT_END, FrontEnd
from svdam.core.front_end import hz_to_mel


@functools.lru_cache(maxsize=8)
def mel_filterbank(front_end: FrontEnd = FRONT_END) -> np.ndarray:
    """The mel filterbank of a front end.

    - ``ismir2015`` (footnote 3): each filter rises from its lower corner and falls to its upper
      one, sampled at the FFT bins, and sums to 1. As in the original code the widths of the slopes
      are counted in whole bins, so that the two slopes need not meet exactly at the middle corner.
    - ``slaney``: librosa's default. Slopes are straight in hertz, each filter has unit area.
    - ``htk``: TensorFlow's ``linear_to_mel_weight_matrix``. Slopes are straight in mel, each filter
      has a peak of 1, and the first bin is left out.

    Returns:
        (num_bins, num_mels) float64, read-only. A filter that lies between two bins is zero.
    """
    filterbank = _FILTERBANKS[front_end.filterbank](front_end)
    filterbank.flags.writeable = False
    return filterbank


def _ismir2015(front_end: FrontEnd) -> np.ndarray:
    corners = front_end.band_edges_hz() * front_end.fft_length / front_end.sample_rate  # In bins.
    edges = np.searchsorted(np.arange(front_end.num_bins), corners)
    filterbank = np.zeros((front_end.num_bins, front_end.num_mels))
    for band in range(front_end.num_mels):
        left, peak, right = edges[band : band + 3]
        rising, falling = np.arange(left, peak), np.arange(peak, right)
        filterbank[rising, band] = (rising - corners[band]) / (peak - left)
        filterbank[falling, band] = (corners[band + 2] - falling) / (right - peak)
    sums = filterbank.sum(axis=0)
    return filterbank / np.where(sums, sums, 1)


def _slaney(front_end: FrontEnd) -> np.ndarray:
    corners = front_end.band_edges_hz()
    return _triangles(_bin_hz(front_end), corners) * 2 / (corners[2:] - corners[:-2])


def _htk(front_end: FrontEnd) -> np.ndarray:
    bins = hz_to_mel(_bin_hz(front_end), "htk")
    filterbank = _triangles(bins, hz_to_mel(front_end.band_edges_hz(), "htk"))
    filterbank[0] = 0
    return filterbank


_FILTERBANKS = {"ismir2015": _ismir2015, "slaney": _slaney, "htk": _htk}


def _bin_hz(front_end: FrontEnd) -> np.ndarray:
    return np.arange(front_end.num_bins) * front_end.sample_rate / front_end.fft_length


def _triangles(positions: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(positions, corners - 2): triangles of height 1 between each three successive corners."""
    slopes = (positions[:, np.newaxis] - corners[:-1]) / np.diff(corners)
    return np.maximum(np.minimum(slopes[:, :-1], 1 - slopes[:, 1:]), 0)
